use serde_json::json;

use super::*;

const NOW: TimestampMs = TimestampMs(1_800_000_000_000);

fn pod(name: &str, node: &str, phase: &str, going: bool) -> Arc<Pod> {
    let deleted = going.then_some("2026-01-01T00:00:00Z");
    let pod = json!({
        "metadata": {"name": name, "namespace": "default", "uid": name, "deletionTimestamp": deleted},
        "spec": {"nodeName": node, "containers": []}, "status": {"phase": phase},
    });
    Arc::new(serde_json::from_value(pod).expect("a pod"))
}

#[test]
fn only_pods_that_nobody_will_finish_are_removed() {
    let pods = [
        pod("fine", "n1", "Running", false),
        pod("stopping", "n1", "Running", true),
        pod("lost", "gone", "Running", false),
        pod("new", "just-gone", "Running", false),
        pod("never-placed", "", "Pending", true),
        pod("waiting", "", "Pending", false),
        pod("ended", "n1", "Succeeded", false),
    ];
    let nodes = BTreeSet::from(["n1".to_owned()]);
    let missing_since = BTreeMap::from([
        ("gone".to_owned(), NOW - DurationMs(40_000)),
        ("just-gone".to_owned(), NOW - DurationMs(10_000)),
    ]);
    let observed = Observed { pods: &pods, nodes: &nodes, missing_since: &missing_since };
    let plan = reconcile(&observed, NOW);
    let names: Vec<&str> = plan.remove.iter().map(|removal| removal.name.as_str()).collect();
    assert_eq!(names, ["lost", "never-placed"]);
    assert_eq!(plan.recheck_after, Some(DurationMs(30_000)));
}
