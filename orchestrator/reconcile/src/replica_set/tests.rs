use k8s_openapi::api::apps::v1::ReplicaSetSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::Expectations;

const NOW: TimestampMs = TimestampMs(1_800_000_000_000);

fn set(replicas: i32) -> ReplicaSet {
    ReplicaSet {
        metadata: ObjectMeta {
            name: Some("web-6f7c9".to_owned()),
            namespace: Some("default".to_owned()),
            uid: Some("set".to_owned()),
            generation: Some(1),
            ..ObjectMeta::default()
        },
        spec: Some(ReplicaSetSpec {
            replicas: Some(replicas),
            selector: LabelSelector::default(),
            ..ReplicaSetSpec::default()
        }),
        status: None,
    }
}

/// A pod by name, node, phase, and seconds of readiness.
fn pod(name: &str, node: &str, phase: &str, ready_s: Option<i64>) -> Arc<Pod> {
    let conditions = ready_s.map(|seconds| {
        let since = time(NOW - DurationMs::from_secs(seconds));
        json!([{"type": "Ready", "status": "True", "lastTransitionTime": since}])
    });
    let pod = json!({
        "metadata": {"name": name, "namespace": "default", "uid": name,
            "creationTimestamp": time(NOW - DurationMs::from_secs(ready_s.unwrap_or(0)))},
        "spec": {"nodeName": node, "containers": []},
        "status": {"phase": phase, "conditions": conditions},
    });
    Arc::new(serde_json::from_value(pod).expect("a pod"))
}

fn plan(set: &ReplicaSet, pods: &[Arc<Pod>]) -> Plan {
    reconcile(&Observed { replica_set: set, pods, failure: None }, NOW)
}

#[test]
fn missing_pods_are_created_from_the_template() {
    let plan = plan(&set(3), &[pod("a", "n1", "Running", Some(9)), pod("b", "n1", "Failed", None)]);
    assert_eq!((plan.create_count, plan.delete.len()), (2, 0));
    let template = plan.template.expect("a pod to create");
    assert_eq!(template.metadata.generate_name.as_deref(), Some("web-6f7c9-"));
    let owner = crate::controller_of(&template.metadata).expect("an owner");
    assert_eq!((owner.kind.as_str(), owner.uid.as_str()), ("ReplicaSet", "set"));
    let status = plan.status.expect("a status");
    assert_eq!(
        (status.replicas, status.ready_replicas, status.observed_generation),
        (1, Some(1), Some(1))
    );
}

#[test]
fn the_least_missed_pods_go_first() {
    let check = |pods: &[Arc<Pod>], keep: i32, expected: &[&str]| {
        let plan = plan(&set(keep), pods);
        let names: Vec<&str> = plan.delete.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, expected);
    };
    let old = pod("old", "n1", "Running", Some(900));
    let young = pod("young", "n2", "Running", Some(10));
    let unready = pod("unready", "n2", "Running", None);
    let pending = pod("pending", "n2", "Pending", None);
    let unplaced = pod("unplaced", "", "Pending", None);
    let all = [old.clone(), young.clone(), unready, pending, unplaced];
    check(&all, 0, &["unplaced", "pending", "unready", "young", "old"]);
    check(&all, 3, &["unplaced", "pending"]);
    let doubled = [pod("x", "n1", "Running", Some(900)), young, old];
    check(&doubled, 2, &["old"]);
    let mut cheap = (*doubled[1]).clone();
    cheap.metadata.annotations =
        Some(BTreeMap::from([(DELETION_COST.to_owned(), "-5".to_owned())]));
    check(&[doubled[0].clone(), Arc::new(cheap), doubled[2].clone()], 2, &["young"]);
}

#[test]
fn a_pod_is_available_after_its_seconds_of_readiness() {
    let mut set = set(1);
    set.spec.as_mut().expect("a spec").min_ready_seconds = Some(30);
    let plan = plan(&set, &[pod("a", "n1", "Running", Some(10))]);
    assert_eq!(plan.recheck_after, Some(DurationMs(20_000)));
    let status = plan.status.expect("a status");
    assert_eq!((status.ready_replicas, status.available_replicas), (Some(1), None));
}

#[test]
fn a_failure_shows_as_a_condition_and_goes_away() {
    let mut set = set(1);
    let observed =
        Observed { replica_set: &set, pods: &[], failure: Some(("FailedCreate", "quota")) };
    let status = reconcile(&observed, NOW).status.expect("a status");
    assert_eq!(status.conditions.as_ref().expect("conditions")[0].type_, "ReplicaFailure");
    set.status = Some(*status);
    let again = Observed { replica_set: &set, pods: &[], failure: Some(("FailedCreate", "quota")) };
    assert!(reconcile(&again, NOW + DurationMs(5000)).status.is_none(), "said already");
    assert!(plan(&set, &[]).status.expect("a status").conditions.is_none());
}

#[test]
fn a_set_that_goes_creates_nothing() {
    let mut set = set(3);
    set.metadata.deletion_timestamp = Some(time(NOW));
    let plan = plan(&set, &[]);
    assert_eq!((plan.create_count, plan.delete.len()), (0, 0));
}

proptest! {
    /// Any mixture of fresh and stale looks ends with the wanted number, and never goes beyond it.
    #[test]
    fn stale_caches_never_create_twice(
        steps in proptest::collection::vec((0_i32..6, any::<bool>()), 1..20),
    ) {
        let mut real: Vec<Arc<Pod>> = Vec::new();
        let mut cached: Vec<Arc<Pod>> = Vec::new();
        let mut expectations = Expectations::default();
        let mut next = 0;
        let mut peak = 0;
        for (wanted, fresh) in steps.iter().copied().chain([(3, true), (3, true)]) {
            if fresh {
                cached.clone_from(&real);
            }
            let seen = expectations.apply(cached.clone(), NOW);
            let set = set(wanted);
            let plan = plan(&set, &seen);
            for _ in 0..plan.create_count {
                let pod = pod(&format!("p{next}"), "n1", "Running", Some(1));
                next += 1;
                expectations.pod_created(Arc::clone(&pod), NOW);
                real.push(pod);
            }
            for (_, uid) in &plan.delete {
                real.retain(|pod| pod.metadata.uid.as_deref() != Some(uid.as_str()));
                expectations.pod_deleted(uid, NOW);
            }
            peak = peak.max(wanted);
            prop_assert_eq!(real.len(), usize::try_from(wanted).expect("small"));
        }
        prop_assert!(next >= peak);
    }
}
