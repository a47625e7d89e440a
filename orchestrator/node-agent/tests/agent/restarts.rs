//! What becomes of pods when their agent dies, comes back or ends.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use crate::lab::{DEADLINE, Lab, PODS, free_port, is_alive, is_ready, server, shell};
use serde_json::{Value, json};
use swell_env::SystemClock;
use swell_runtime::{ContainerRuntime, FakeConfig, FakeRuntime};

#[tokio::test]
async fn pods_outlive_their_agent_and_are_not_started_twice() {
    let mut lab = Lab::start().await;
    let go = lab.dir.path().join("go");
    let script = format!("while [ ! -e {} ]; do sleep 0.01; done; exit 5", go.to_str().unwrap());
    lab.create_one("web", server("web", free_port())).await;
    lab.create(
        "ends",
        &json!({"restartPolicy": "Never",
            "containers": [{"name": "main", "image": "host", "command": shell(&script)}]}),
    )
    .await;
    let web = lab.until("web", is_ready).await;
    let ends = lab.until("ends", is_ready).await;
    let (web_pid, ends_pid) = (lab.root_pid(&web), lab.root_pid(&ends));
    lab.kill_agent().await;
    fs::write(&go, "").unwrap();
    while is_alive(ends_pid) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(is_alive(web_pid));
    let before = lab.api.history(PODS, "web").len();

    lab.start_agent().await;
    let ended = lab.until("ends", |pod| pod["status"]["phase"] == "Failed").await;
    let end = &ended["status"]["containerStatuses"][0]["state"]["terminated"];
    assert_eq!(end["exitCode"], 5, "what happened meanwhile is known");
    assert_eq!(lab.root_pid(&web), web_pid);
    lab.create_one("new", server("web", free_port())).await;
    let new = lab.until("new", is_ready).await;
    assert_ne!(new["status"]["podIP"], web["status"]["podIP"], "its address is still taken");
    let after = lab.api.history(PODS, "web");
    assert!(after[before..].iter().all(is_ready), "it did not lose its traffic");
    assert_eq!(lab.pod("web").unwrap()["status"]["containerStatuses"][0]["restartCount"], 0);
    lab.delete("web").await;
    lab.until_gone("web").await;
    assert!(!is_alive(web_pid), "an adopted pod is stopped as any other");
}

#[tokio::test]
async fn a_pod_that_is_no_longer_wanted_is_removed_first() {
    let mut lab = Lab::start().await;
    let moved = lab.create_one("moved", server("web", free_port())).await;
    let pod = lab.until("moved", is_ready).await;
    let pid = lab.root_pid(&pod);
    lab.kill_agent().await;
    lab.force_delete("moved").await;
    lab.start_agent().await;
    lab.create_one("other", server("web", free_port())).await;
    lab.until("other", is_ready).await;
    assert!(!is_alive(pid));
    let uid = moved["metadata"]["uid"].as_str().unwrap();
    assert!(lab.running().runtime.list_pod(uid).is_empty());
}

#[tokio::test]
async fn a_pod_whose_object_vanished_is_stopped() {
    let lab = Lab::start().await;
    lab.create_one("web", server("web", free_port())).await;
    let pod = lab.until("web", is_ready).await;
    let pid = lab.root_pid(&pod);
    lab.force_delete("web").await;
    let gone = async {
        while is_alive(pid) || !lab.running().runtime.sandboxes().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, gone).await.expect("stopped");
}

#[tokio::test]
async fn the_demos_agent_takes_its_pods_along() {
    let mut lab = Lab::start_with(|config| config.stop_pods_on_shutdown = true).await;
    lab.create_one("web", server("web", free_port())).await;
    let pod = lab.until("web", is_ready).await;
    let pid = lab.root_pid(&pod);
    let running = lab.agent.take().unwrap();
    running.shutdown.cancel();
    tokio::time::timeout(DEADLINE, running.task).await.expect("in time").unwrap();
    assert!(!is_alive(pid));
    assert!(running.runtime.sandboxes().is_empty());
    assert!(running.agent.inventory().is_empty());
}

#[tokio::test]
async fn without_it_pods_stay_when_the_agent_ends() {
    let mut lab = Lab::start().await;
    lab.create_one("web", server("web", free_port())).await;
    let pod = lab.until("web", is_ready).await;
    let pid = lab.root_pid(&pod);
    let running = lab.agent.take().unwrap();
    running.shutdown.cancel();
    tokio::time::timeout(DEADLINE, running.task).await.expect("in time").unwrap();
    assert!(is_alive(pid));
    drop((running.agent, running.runtime));
    lab.start_agent().await;
    lab.delete("web").await;
    lab.until_gone("web").await;
    assert!(!is_alive(pid));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dozens_of_simulated_pods_run_and_go() {
    let mut lab = Lab::start().await;
    lab.kill_agent().await;
    lab.config.runtime_class = "fake".to_owned();
    let millis = Duration::from_millis;
    let config = FakeConfig { start_delay: millis(5), stop_delay: millis(5) };
    let runtime = Arc::new(FakeRuntime::new(config, Arc::new(SystemClock::new())));
    lab.start_agent_on(Arc::clone(&runtime) as Arc<dyn ContainerRuntime>);
    let names: Vec<String> = (0..60).map(|n| format!("pod-{n}")).collect();
    for name in &names {
        lab.create_one(name, json!({"name": "main", "image": "nginx"})).await;
    }
    for name in &names {
        lab.until(name, is_ready).await;
    }
    let mut addresses = runtime.addresses();
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses.len(), names.len(), "each has its own address");
    for name in &names {
        lab.delete(name).await;
    }
    for name in &names {
        lab.until_gone(name).await;
    }
    assert_eq!(runtime.addresses(), Vec::<std::net::IpAddr>::new());
    let last: Value = lab.api.history(PODS, "pod-0").pop().unwrap();
    assert!(!last["metadata"]["deletionTimestamp"].is_null());
}
