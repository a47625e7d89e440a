use serde_json::{Value, json};
use swell_api_types::by_kind;
use swell_model::TimestampMs;

use super::{IncludeObject, render};

/// 2026-01-01T01:00:00Z, an hour after the objects were made.
const NOW: TimestampMs = TimestampMs(1_767_229_200_000);

fn check(mut object: Value, expected: &[&str]) {
    object["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
    let text = |field: &str| object[field].as_str().expect("given").to_owned();
    let resource = by_kind(&text("apiVersion"), &text("kind")).expect("known");
    let table = render(resource, &[object], "v1", IncludeObject::Metadata, NOW);
    let columns = table["columnDefinitions"].as_array().expect("columns").len();
    let cells: Vec<_> = table["rows"][0]["cells"]
        .as_array()
        .expect("cells")
        .iter()
        .map(|cell| cell.as_str().map_or_else(|| cell.to_string(), str::to_owned))
        .collect();
    assert_eq!(cells.len(), columns);
    assert_eq!(cells, expected);
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
}

fn pod(status: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "a"}, {"name": "b"}], "nodeName": "n1"}, "status": status
    })
}

#[test]
fn pods_tell_why_they_wait_and_how_they_ended() {
    let wide = ["60m", "127.64.0.2", "n1", "<none>", "<none>"];
    let line = |ready, status, restarts| [&["p", ready, status, restarts][..], &wide].concat();
    let running = |restarts: i64| {
        json!({"ready": true, "restartCount": restarts, "state": {"running": {}},
        "lastState": {"terminated": {"finishedAt": "2026-01-01T00:55:00Z"}}})
    };
    check(
        pod(
            json!({"phase": "Running", "podIP": "127.64.0.2", "containerStatuses": [running(0), running(3)]}),
        ),
        &line("2/2", "Running", "3 (5m ago)"),
    );
    let waiting = json!({"ready": false, "restartCount": 0, "state": {"waiting": {"reason": "CrashLoopBackOff"}}});
    check(
        pod(
            json!({"phase": "Running", "podIP": "127.64.0.2", "containerStatuses": [waiting, running(0)]}),
        ),
        &line("1/2", "CrashLoopBackOff", "0"),
    );
    let ended =
        json!({"ready": false, "restartCount": 0, "state": {"terminated": {"exitCode": 3}}});
    check(
        pod(json!({"phase": "Failed", "podIP": "127.64.0.2", "containerStatuses": [ended]})),
        &line("0/2", "ExitCode:3", "0"),
    );
    let mut going = pod(json!({"phase": "Running", "podIP": "127.64.0.2"}));
    going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:59:00Z");
    check(going, &line("0/2", "Terminating", "0"));
}

#[test]
fn workloads_services_and_nodes_have_kubectls_columns() {
    let template = json!({"spec": {"containers": [{"name": "c", "image": "host"}]}});
    check(
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
            "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": template},
            "status": {"readyReplicas": 2, "updatedReplicas": 3, "availableReplicas": 2}
        }),
        &["web", "2/3", "3", "2", "60m", "c", "host", "app=web"],
    );
    check(
        json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"},
            "spec": {
                "scaleTargetRef": {"kind": "Deployment", "name": "web"}, "minReplicas": 1, "maxReplicas": 6,
                "metrics": [
                    {"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": 50}}},
                    {"type": "Pods", "pods": {"target": {"averageValue": "10"}}}
                ]
            },
            "status": {"currentReplicas": 2, "currentMetrics": [{"resource": {"current": {"averageUtilization": 42}}}]}
        }),
        &["web", "Deployment/web", "cpu: 42%/50%, <unknown>/10", "1", "6", "2", "60m"],
    );
    check(
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
            "spec": {"type": "ClusterIP", "clusterIP": "127.96.0.1", "selector": {"app": "web"},
                "ports": [{"port": 80, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]}
        }),
        &["web", "ClusterIP", "127.96.0.1", "<none>", "80/TCP,53/UDP", "60m", "app=web"],
    );
    check(
        json!({
            "apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "web"},
            "subsets": [{"addresses": [{"ip": "1.1.1.1"}, {"ip": "1.1.1.2"}], "ports": [{"port": 80}, {"port": 81}]}]
        }),
        &["web", "1.1.1.1:80,1.1.1.2:80,1.1.1.1:81 + 1 more...", "60m"],
    );
    check(
        json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": "n1", "labels": {"node-role.kubernetes.io/worker": ""}},
            "spec": {"unschedulable": true},
            "status": {
                "conditions": [{"type": "Ready", "status": "True"}],
                "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
                "nodeInfo": {"kubeletVersion": "v1", "osImage": "Debian", "kernelVersion": "6", "containerRuntimeVersion": "process://1"}
            }
        }),
        &[
            "n1",
            "Ready,SchedulingDisabled",
            "worker",
            "60m",
            "v1",
            "127.0.0.1",
            "<none>",
            "Debian",
            "6",
            "process://1",
        ],
    );
    check(
        json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "type": "Normal", "reason": "Started",
            "message": "Started it\n", "involvedObject": {"kind": "Pod", "name": "p"}, "count": 2,
            "source": {"component": "agent", "host": "n1"},
            "firstTimestamp": "2026-01-01T00:59:00Z", "lastTimestamp": "2026-01-01T00:59:50Z"
        }),
        &["10s", "Normal", "Started", "pod/p", "", "agent, n1", "Started it", "60s", "2", "e"],
    );
}
