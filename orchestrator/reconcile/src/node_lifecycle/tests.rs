use serde_json::json;

use super::*;
use crate::times::micro_time;

const NOW: TimestampMs = TimestampMs(1_800_000_000_000);
const RULES: Rules = Rules {
    grace: DurationMs(40_000),
    toleration: DurationMs(30_000),
    pod_range: Ipv4Addr::new(127, 64, 0, 0),
    pod_range_prefix: 12,
    node_prefix: 22,
};

fn node(name: &str, ready: &str, cidr: Option<&str>) -> Node {
    let node = json!({
        "metadata": {"name": name},
        "spec": {"podCIDR": cidr},
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    });
    serde_json::from_value(node).expect("a node")
}

fn lease(age_s: i64) -> Arc<Lease> {
    lease_of(NOW - DurationMs::from_secs(age_s))
}

fn lease_of(at: TimestampMs) -> Arc<Lease> {
    let mut lease: Lease =
        serde_json::from_value(json!({"metadata": {}, "spec": {}})).expect("a lease");
    lease.spec.as_mut().expect("a spec").renew_time = Some(micro_time(at));
    Arc::new(lease)
}

fn pod(name: &str, tolerations: serde_json::Value) -> Arc<Pod> {
    let pod = json!({
        "metadata": {"name": name, "namespace": "default", "uid": name},
        "spec": {"nodeName": "n1", "containers": [], "tolerations": tolerations},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    });
    Arc::new(serde_json::from_value(pod).expect("a pod"))
}

/// A look at this node beside another one that is well.
fn look(subject: &Node, heard_s: i64, pods: &[Arc<Pod>], now: TimestampMs) -> Plan {
    let leases =
        BTreeMap::from([("n1".to_owned(), lease(heard_s)), ("well".to_owned(), lease_of(now))]);
    let well = node("well", "True", Some("127.79.252.0/22"));
    let observed = Observed {
        nodes: &[Arc::new(subject.clone()), Arc::new(well)],
        leases: &leases,
        pods,
        listening_since: TimestampMs(0),
    };
    reconcile(&observed, &RULES, now)
}

fn apply(node: &mut Node, plan: &NodePlan) {
    if let Some(taints) = &plan.taints {
        node.spec.as_mut().expect("a spec").taints = Some(taints.clone());
    }
    if let Some(conditions) = &plan.conditions {
        node.status.as_mut().expect("a status").conditions = Some(conditions.clone());
    }
    if let Some(cidr) = &plan.pod_cidr {
        node.spec.as_mut().expect("a spec").pod_cidr = Some(cidr.clone());
    }
}

fn taint_names(node: &Node) -> Vec<String> {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref());
    taints.into_iter().flatten().map(|taint| format!("{}:{}", taint.key, taint.effect)).collect()
}

#[test]
fn a_healthy_node_needs_nothing() {
    let plan = look(&node("n1", "True", Some("127.64.0.0/22")), 3, &[], NOW);
    assert_eq!(plan.nodes, []);
    assert_eq!(plan.recheck_after, Some(DurationMs(37_000)));
}

#[test]
fn a_silent_node_is_tainted_its_pods_marked_and_later_evicted() {
    let mut lost = node("n1", "True", Some("127.64.0.0/22"));
    let pods = [
        pod("plain", json!([])),
        pod(
            "patient",
            json!([{"key": UNREACHABLE, "operator": "Exists", "tolerationSeconds": 90}]),
        ),
        pod("loyal", json!([{"operator": "Exists"}])),
    ];
    let first = look(&lost, 41, &pods, NOW);
    let plan = &first.nodes[0];
    assert_eq!(plan.notes[0].reason, "NodeNotReady");
    assert_eq!((plan.not_ready_pods.len(), plan.evict.len()), (3, 0));
    apply(&mut lost, plan);
    assert_eq!(
        taint_names(&lost),
        ["node.kubernetes.io/unreachable:NoSchedule", "node.kubernetes.io/unreachable:NoExecute"]
    );
    assert_eq!(first.recheck_after, Some(DurationMs(30_000)));
    let names = |plan: &Plan| -> Vec<String> {
        plan.nodes[0].evict.iter().map(|pod| pod.name.clone()).collect()
    };
    assert_eq!(names(&look(&lost, 41, &pods, NOW + DurationMs(30_000))), ["plain"]);
    assert_eq!(names(&look(&lost, 41, &pods, NOW + DurationMs(90_000))), ["plain", "patient"]);
    let mut back = lost.clone();
    back.status.as_mut().expect("a status").conditions.as_mut().expect("conditions")[0].status =
        "True".to_owned();
    let plan = look(&back, 1, &[], NOW);
    apply(&mut back, &plan.nodes[0]);
    assert_eq!(taint_names(&back), [""; 0]);
    assert_eq!(look(&back, 1, &[], NOW).nodes, []);
}

#[test]
fn applying_a_plan_leaves_nothing_to_do() {
    for (ready, heard_s) in
        [("True", 3), ("False", 3), ("Unknown", 3), ("True", 50), ("Unknown", 50)]
    {
        let mut node = node("n1", ready, None);
        node.spec.as_mut().expect("a spec").unschedulable = Some(true);
        let plan = look(&node, heard_s, &[], NOW);
        apply(&mut node, &plan.nodes[0]);
        assert_eq!(look(&node, heard_s, &[], NOW).nodes, [], "{ready} {heard_s}");
        assert!(
            taint_names(&node).contains(&"node.kubernetes.io/unschedulable:NoSchedule".to_owned())
        );
    }
}

#[test]
fn a_listener_that_just_started_blames_nobody() {
    let leases = BTreeMap::from([("n1".to_owned(), lease(500))]);
    let observed = Observed {
        nodes: &[Arc::new(node("n1", "True", Some("127.64.0.0/22")))],
        leases: &leases,
        pods: &[],
        listening_since: NOW,
    };
    assert_eq!(reconcile(&observed, &RULES, NOW).nodes, []);
}

#[test]
fn when_most_nodes_are_silent_nobody_is_evicted() {
    // Tainted long ago: whoever does not tolerate that has to leave.
    let lost = |name: &str| {
        let mut lost = node(name, "Unknown", Some("127.64.0.0/22"));
        lost.spec.as_mut().expect("a spec").taints = Some(vec![
            Taint {
                key: UNREACHABLE.to_owned(),
                effect: NO_EXECUTE.to_owned(),
                time_added: Some(time(NOW - DurationMs::from_secs(600))),
                ..Taint::default()
            },
            Taint {
                key: UNREACHABLE.to_owned(),
                effect: NO_SCHEDULE.to_owned(),
                ..Taint::default()
            },
        ]);
        Arc::new(lost)
    };
    let evicted = |silent_count: usize, node_count: usize| {
        let name = |idx: usize| format!("n{}", idx + 1);
        let nodes: Vec<Arc<Node>> = (0..node_count)
            .map(|idx| match idx < silent_count {
                true => lost(&name(idx)),
                false => Arc::new(node(&name(idx), "True", Some("127.64.4.0/22"))),
            })
            .collect();
        let leases: BTreeMap<String, Arc<Lease>> = (0..node_count)
            .map(|idx| (name(idx), lease(if idx < silent_count { 900 } else { 1 })))
            .collect();
        let pods = [pod("plain", json!([]))];
        let observed = Observed {
            nodes: &nodes,
            leases: &leases,
            pods: &pods,
            listening_since: TimestampMs(0),
        };
        let plan = reconcile(&observed, &RULES, NOW);
        let evicted: usize = plan.nodes.iter().map(|node| node.evict.len()).sum();
        (evicted, plan.holds_evictions)
    };
    assert_eq!(evicted(1, 2), (1, false));
    assert_eq!(evicted(11, 20), (1, false), "55 % is not above it");
    assert_eq!(evicted(2, 3), (0, true));
    assert_eq!(evicted(1, 1), (0, true), "there is nowhere to go anyway");
}

#[test]
fn every_node_gets_a_range_of_its_own_until_none_is_left() {
    let nodes: Vec<Arc<Node>> = (0..1026)
        .map(|idx| {
            let cidr = (idx == 1).then_some("127.64.4.0/22");
            Arc::new(node(&format!("n{idx}"), "True", cidr))
        })
        .collect();
    let observed =
        Observed { nodes: &nodes, leases: &BTreeMap::new(), pods: &[], listening_since: NOW };
    let plan = reconcile(&observed, &RULES, NOW);
    let ranges: BTreeSet<&str> =
        plan.nodes.iter().filter_map(|node| node.pod_cidr.as_deref()).collect();
    assert_eq!(ranges.len(), 1023);
    assert!(ranges.contains("127.64.0.0/22") && ranges.contains("127.79.252.0/22"));
    assert!(!ranges.contains("127.64.4.0/22"), "taken");
    assert_eq!(plan.without_range.len(), 2);
}
