use std::sync::Arc;

use k8s_openapi::api::apps::v1::ReplicaSetStatus;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::times::time;

const NOW: TimestampMs = TimestampMs(1_800_000_000_000);

fn deployment(replicas: i32, strategy: Value, image: &str) -> Deployment {
    let deployment = json!({
        "metadata": {"name": "web", "namespace": "default", "uid": "d", "generation": 1},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "strategy": strategy,
            "template": {"metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "c", "image": image}]}}},
    });
    serde_json::from_value(deployment).expect("a deployment")
}

/// The world that plans are carried out in: pods become ready when a test says so.
struct World {
    deployment: Deployment,
    sets: Vec<ReplicaSet>,
    now: TimestampMs,
    notes: Vec<String>,
}

impl World {
    fn new(deployment: Deployment) -> Self {
        Self { deployment, sets: Vec::new(), now: NOW, notes: Vec::new() }
    }

    fn plan(&self) -> Plan {
        let sets: Vec<&ReplicaSet> = self.sets.iter().collect();
        let observed = Observed {
            deployment: &self.deployment,
            replica_sets: &sets,
            taken_names: &[],
            old_pod_count: 0,
        };
        reconcile(&observed, self.now).expect("a plan")
    }

    fn carry_out(&mut self, plan: &Plan) {
        for change in &plan.change {
            let set = self
                .sets
                .iter_mut()
                .find(|set| set.metadata.name.as_ref() == Some(&change.name))
                .expect("the set exists");
            let spec = set.spec.as_mut().expect("a spec");
            spec.replicas = change.replicas.or(spec.replicas);
            let size = spec.replicas.unwrap_or(0);
            if let Some(status) = &mut set.status {
                status.replicas = status.replicas.min(size);
                status.ready_replicas = status.ready_replicas.map(|ready| ready.min(size));
                status.available_replicas = status.available_replicas.map(|count| count.min(size));
            }
            spec.min_ready_seconds = change.min_ready_seconds.or(spec.min_ready_seconds);
            set.metadata.annotations.get_or_insert_default().extend(change.annotations.clone());
        }
        for (name, _) in &plan.delete {
            self.sets.retain(|set| set.metadata.name.as_ref() != Some(name));
        }
        if let Some(created) = &plan.create {
            let mut set = (**created).clone();
            set.metadata.creation_timestamp = Some(time(
                NOW + DurationMs::from_secs(i64::try_from(self.sets.len()).expect("few")),
            ));
            set.metadata.uid = set.metadata.name.clone();
            self.sets.push(set);
        }
        if let Some(status) = &plan.status {
            self.deployment.status = Some((**status).clone());
        }
        self.deployment.metadata.annotations.get_or_insert_default().extend(plan.annotate.clone());
        self.notes.extend(plan.notes.iter().map(|note| note.message.clone()));
    }

    /// Reconciles until nothing is left to do.
    fn settle(&mut self) {
        for _ in 0..20 {
            let plan = self.plan();
            if plan.is_empty() {
                return;
            }
            self.carry_out(&plan);
        }
        panic!("reconciling does not come to rest: {:?}", self.plan());
    }

    /// Pods of every set follow its size (those too many go at once); so many of them are available.
    fn pods(&mut self, available: impl Fn(usize, i32) -> i32) {
        for (idx, set) in self.sets.iter_mut().enumerate() {
            let size = set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(0);
            let available = available(idx, size).clamp(0, size);
            set.status = Some(ReplicaSetStatus {
                replicas: size,
                ready_replicas: Some(available),
                available_replicas: Some(available),
                ..ReplicaSetStatus::default()
            });
        }
    }

    fn all_ready(&mut self) {
        self.pods(|_, size| size);
    }

    fn sizes(&self) -> Vec<i32> {
        self.sets
            .iter()
            .map(|set| set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(0))
            .collect()
    }

    fn set_image(&mut self, image: &str) {
        let spec = self.deployment.spec.as_mut().expect("a spec");
        let containers = &mut spec.template.spec.as_mut().expect("a pod spec").containers;
        containers[0].image = Some(image.to_owned());
    }

    fn resize(&mut self, replicas: i32) {
        self.deployment.spec.as_mut().expect("a spec").replicas = Some(replicas);
    }

    fn reason(&self, kind: &str) -> String {
        let conditions =
            self.deployment.status.as_ref().and_then(|status| status.conditions.as_ref());
        conditions
            .into_iter()
            .flatten()
            .find(|condition| condition.type_ == kind)
            .and_then(|condition| condition.reason.clone())
            .unwrap_or_default()
    }
}

fn rolling(surge: Value, unavailable: Value) -> Value {
    json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}})
}

#[test]
fn a_new_deployment_gets_one_set_with_hash_revision_and_owner() {
    let mut world = World::new(deployment(3, Value::Null, "a"));
    world.settle();
    assert_eq!(world.sizes(), [3]);
    let set = &world.sets[0];
    let hash = set.metadata.labels.as_ref().expect("labels")["pod-template-hash"].clone();
    assert_eq!(set.metadata.name.as_deref(), Some(format!("web-{hash}").as_str()));
    let spec = set.spec.as_ref().expect("a spec");
    assert_eq!(spec.selector.match_labels.as_ref().expect("labels")["pod-template-hash"], hash);
    assert_eq!(
        set.metadata.annotations.as_ref().expect("annotations")["deployment.kubernetes.io/revision"],
        "1"
    );
    assert_eq!(world.notes, [format!("Scaled up replica set web-{hash} from 0 to 3")]);
    assert_eq!(world.reason("Progressing"), "NewReplicaSetCreated");
    assert_eq!(world.reason("Available"), "MinimumReplicasUnavailable");
    world.all_ready();
    world.settle();
    assert_eq!(world.reason("Progressing"), "NewReplicaSetAvailable");
    assert_eq!(world.reason("Available"), "MinimumReplicasAvailable");
}

#[test]
fn scaling_moves_the_one_active_set() {
    let mut world = World::new(deployment(2, Value::Null, "a"));
    world.settle();
    world.all_ready();
    world.settle();
    world.resize(5);
    world.settle();
    assert_eq!(world.sizes(), [5]);
    assert!(world.notes.last().expect("a note").ends_with("from 2 to 5"));
    assert_eq!(world.reason("Progressing"), "NewReplicaSetAvailable", "a resize is no rollout");
    world.resize(0);
    world.settle();
    assert_eq!(world.sizes(), [0]);
}

#[test]
fn a_rolling_update_keeps_surge_and_availability() {
    let mut world = World::new(deployment(4, rolling(json!(1), json!(1)), "a"));
    world.settle();
    world.all_ready();
    world.settle();
    world.set_image("b");
    world.settle();
    assert_eq!(world.sizes(), [3, 2], "one surge pod, one taken away");
    world.all_ready();
    world.settle();
    assert_eq!(world.sizes(), [1, 4]);
    world.all_ready();
    world.settle();
    assert_eq!(world.sizes(), [0, 4]);
    world.all_ready();
    world.settle();
    assert_eq!(world.reason("Progressing"), "NewReplicaSetAvailable");
}

#[test]
fn broken_old_pods_go_first_and_never_ready_new_ones_stop_the_update() {
    let mut world = World::new(deployment(4, rolling(json!(1), json!(0)), "a"));
    world.settle();
    world.all_ready();
    world.settle();
    world.set_image("b");
    world.settle();
    for _ in 0..5 {
        world.pods(|idx, size| if idx == 0 { size } else { 0 });
        world.settle();
        assert_eq!(world.sizes(), [4, 1]);
    }
}

#[test]
fn recreate_waits_for_the_old_pods() {
    let mut world = World::new(deployment(2, json!({"type": "Recreate"}), "a"));
    world.settle();
    world.all_ready();
    world.settle();
    world.set_image("b");
    let plan = world.plan();
    world.carry_out(&plan);
    assert_eq!(world.sizes(), [0, 0]);
    let sets: Vec<&ReplicaSet> = world.sets.iter().collect();
    let waiting = Observed {
        deployment: &world.deployment,
        replica_sets: &sets,
        taken_names: &[],
        old_pod_count: 1,
    };
    assert!(
        reconcile(&waiting, NOW)
            .expect("a plan")
            .change
            .iter()
            .all(|change| change.replicas.is_none())
    );
    world.all_ready();
    world.settle();
    assert_eq!(world.sizes(), [0, 2]);
}

#[test]
fn a_rollback_reuses_the_set_and_counts_revisions_up() {
    let mut world = World::new(deployment(1, Value::Null, "a"));
    for image in ["a", "b", "a"] {
        world.set_image(image);
        for _ in 0..4 {
            world.settle();
            world.all_ready();
        }
    }
    assert_eq!(world.sizes(), [1, 0]);
    let annotations = world.deployment.metadata.annotations.as_ref().expect("annotations");
    assert_eq!(annotations["deployment.kubernetes.io/revision"], "3");
}

#[test]
fn old_sets_beyond_the_history_limit_are_deleted() {
    let mut world = World::new(deployment(1, Value::Null, "v0"));
    world.deployment.spec.as_mut().expect("a spec").revision_history_limit = Some(2);
    for version in 0..6 {
        world.set_image(&format!("v{version}"));
        for _ in 0..4 {
            world.settle();
            world.all_ready();
        }
    }
    assert_eq!(world.sizes().len(), 3);
}

#[test]
fn a_paused_deployment_scales_but_does_not_roll() {
    let mut world = World::new(deployment(2, Value::Null, "a"));
    world.settle();
    world.all_ready();
    world.settle();
    world.deployment.spec.as_mut().expect("a spec").paused = Some(true);
    world.set_image("b");
    world.resize(3);
    world.settle();
    assert_eq!(world.sizes(), [3]);
    assert_eq!(world.reason("Progressing"), "DeploymentPaused");
    world.deployment.spec.as_mut().expect("a spec").paused = None;
    world.settle();
    assert_eq!(world.sizes().len(), 2);
}

#[test]
fn a_rollout_without_progress_runs_out_of_time() {
    let mut world = World::new(deployment(1, Value::Null, "a"));
    world.deployment.spec.as_mut().expect("a spec").progress_deadline_seconds = Some(10);
    world.settle();
    let wait = world.plan().recheck_after.expect("a deadline");
    assert_eq!(wait, DurationMs(11_000));
    world.now = NOW + wait;
    world.settle();
    assert_eq!(world.reason("Progressing"), "ProgressDeadlineExceeded");
    world.all_ready();
    world.settle();
    assert_eq!(world.reason("Progressing"), "NewReplicaSetAvailable");
}

#[test]
fn a_resize_during_a_rollout_keeps_proportions() {
    let mut world = World::new(deployment(10, rolling(json!(3), json!(2)), "a"));
    world.settle();
    world.all_ready();
    world.settle();
    world.set_image("b");
    world.settle();
    assert_eq!(world.sizes(), [8, 5]);
    world.resize(15);
    let plan = world.plan();
    world.carry_out(&plan);
    assert_eq!(world.sizes(), [11, 7], "of eighteen: the example of Kubernetes' documentation");
}

#[test]
fn a_name_that_is_taken_makes_another_hash() {
    let mut world = World::new(deployment(1, Value::Null, "a"));
    let first = world.plan().create.expect("a set").metadata.name.expect("a name");
    let observed = Observed {
        deployment: &world.deployment,
        replica_sets: &[],
        taken_names: &[&first],
        old_pod_count: 0,
    };
    let plan = reconcile(&observed, NOW).expect("a plan");
    assert_ne!(plan.create.as_ref().expect("a set").metadata.name.as_ref(), Some(&first));
    assert_eq!(plan.status.as_ref().expect("a status").collision_count, Some(1));
    world.carry_out(&plan);
    world.settle();
    assert_eq!(world.sizes(), [1]);
}

proptest! {
    /// Whatever becomes ready when: never more pods than allowed, never fewer available than promised, and the
    /// update ends.
    #[test]
    fn a_rolling_update_keeps_its_promises(
        replicas in 1_i32..8,
        surge in 0_i32..4,
        unavailable in 0_i32..4,
        luck in proptest::collection::vec(0_i32..4, 40),
    ) {
        let mut world = World::new(deployment(replicas, rolling(json!(surge), json!(unavailable)), "a"));
        world.settle();
        world.all_ready();
        world.settle();
        world.set_image("b");
        let missing_max = if surge == 0 && unavailable == 0 { 1 } else { unavailable };
        let mut ready = [replicas, 0];
        for step in luck {
            world.settle();
            let sizes = world.sizes();
            let new_size = sizes.get(1).copied().unwrap_or(0);
            prop_assert!(sizes.iter().sum::<i32>() <= replicas + surge);
            ready = [ready[0].min(sizes[0]), (ready[1] + step).min(new_size)];
            prop_assert!(ready[0] + ready[1] >= replicas - missing_max, "{:?} {:?}", sizes, ready);
            world.pods(|idx, _| ready[idx]);
        }
        for _ in 0..30 {
            world.all_ready();
            world.settle();
        }
        prop_assert_eq!(world.sizes(), vec![0, replicas]);
    }
}

#[test]
fn the_hash_depends_on_the_content_alone() {
    let template = deployment(1, Value::Null, "a").spec.expect("a spec").template;
    let hash =
        |template: &_, collisions| crate::template_hash(template, collisions).expect("a hash");
    let one = hash(&template, 0);
    assert_eq!(one.len(), 10);
    assert_eq!(hash(&template, 0), one);
    assert_ne!(hash(&template, 1), one);
    let mut labelled = template.clone();
    let labels = labelled.metadata.get_or_insert_default().labels.get_or_insert_default();
    labels.insert("pod-template-hash".to_owned(), "x".to_owned());
    assert_eq!(hash(&labelled, 0), one);
    let shared: Arc<str> = one.into();
    assert!(shared.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()));
}
