//! A server with its own node that is killed and comes back.

use serde_json::Value;

use crate::harness::workloads::{autoscaler, deployment, sleepers};
use crate::harness::{Folder, Seen, Server, processes_with, wait_for};

#[test]
fn a_killed_server_finds_its_objects_samples_and_pods_again() {
    let folder = Folder::new();
    let data = folder.join("data");
    let server = Server::start(&data, &["--with-agent"]);
    let applied = server.must(&["apply", "-f", &folder.file("sleepers.yaml", &sleepers("4001"))]);
    assert!(applied.contains("deployment.apps/sleeper created"), "{applied}");
    let before = server.ready_pods(2);
    let sample = wait_for("a stored sample", || {
        server.query("node_load1[1m]").first()?["values"][0].as_array().cloned()
    });
    server.kill();

    let server = Server::start(&data, &["--with-agent"]);
    assert_eq!(server.ready_pods(2), before, "the same pods run on, none was started twice");
    let at = sample[0].as_f64().expect("a time");
    let (_, body) = server.get(&format!("/api/v1/query?query=node_load1[1m]&time={}", at + 1.0));
    assert!(body.contains(sample[1].as_str().expect("a value")), "{body}");
    server.must(&["delete", "deployment/sleeper"]);
    wait_for("the end of the pods", || {
        server.must(&["get", "pods", "-o", "name"]).trim().is_empty().then_some(())
    });
    assert_eq!(processes_with("0.4001"), Vec::<Seen>::new());
    assert_eq!(server.stop(), 0);
}

/// Burns a few hundredths of a core, many times what it asks for.
const BUSY: &str = "[sh, -c, 'while :; do i=0; while [ $i -lt 4000 ]; do i=$((i+1)); done; sleep 0.1; done', '0.4101']";

#[test]
fn a_server_killed_under_load_goes_on_with_the_size_it_had_reached() {
    let folder = Folder::new();
    let data = folder.join("data");
    let server = Server::start(&data, &["--with-agent"]);
    let busy = deployment("busy", 1, "cpu: 10m", BUSY);
    server.must(&["apply", "-f", &folder.file("busy.yaml", &busy)]);
    server.must(&["apply", "-f", &folder.file("hpa.yaml", &autoscaler("busy", "busy", 1, 4))]);
    let before = server.ready_pods(4);
    let processes = processes_with("0.4101");
    assert_eq!(processes.len(), 4);
    let usage = "count(count_over_time(container_cpu_usage_seconds_total{container='main'}[5m]))";
    let measured = wait_for("samples of every pod", || {
        server.query(usage).first().filter(|count| count["value"][1] == "4").cloned()
    });
    let decisions = decisions_out(&server);
    assert!(!decisions.is_empty(), "it was scaled out");
    server.kill();
    assert_eq!(processes_with("0.4101"), processes, "pods run on without a server");

    let server = Server::start(&data, &["--with-agent"]);
    // The autoscaler is at work again: it has decided since the restart.
    wait_for("a decision after the restart", || {
        let (code, stdout, _) = server.cli(&["explain", "hpa/busy", "--output", "json"]);
        let record: Value = serde_json::from_str(&stdout).ok().filter(|_| code == 0)?;
        let is_new = !decisions.contains(&record["id"]);
        (is_new && record["repeated"].as_u64()? >= 3 && record["replicas"] == 4).then_some(())
    });
    assert_eq!(server.ready_pods(4), before, "the same pods");
    assert_eq!(processes_with("0.4101"), processes, "none was started twice, none ended");
    assert_eq!(server.object("deployment/busy")["spec"]["replicas"], 4);
    for decision in &decisions {
        let kept = decisions_out(&server);
        assert!(kept.contains(decision), "the decisions are kept: {decision} in {kept:?}");
    }
    let at = measured["value"][0].as_f64().expect("a time");
    let (_, body) = server.get(&format!(
        "/api/v1/query?query=count(container_cpu_usage_seconds_total%7Bcontainer%3D%22main%22%7D)&time={at}"
    ));
    assert!(body.contains("\"4\""), "what was measured before is there: {body}");
    server.must(&["delete", "hpa/busy"]);
    server.must(&["delete", "deployment/busy"]);
    wait_for("the end of the processes", || processes_with("0.4101").is_empty().then_some(()));
    assert_eq!(server.stop(), 0);
}

/// Ids of the decisions that added pods.
fn decisions_out(server: &Server) -> Vec<Value> {
    let (_, body) = server.get("/api/swell/v1/decisions?namespace=default&name=busy&limit=100");
    let answer: Value = serde_json::from_str(&body).expect("JSON");
    let all = answer["decisions"].as_array().cloned().unwrap_or_default();
    all.into_iter()
        .filter(|decision| decision["direction"] == "out")
        .map(|decision| decision["id"].clone())
        .collect()
}
