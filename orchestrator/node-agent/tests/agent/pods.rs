//! Pods of real processes under a real agent.

use std::fs;
use std::net::TcpListener;
use std::time::Duration;

use crate::lab::{
    Lab, NODES, PODS, condition, free_port, helper, is_alive, is_ready, server, shell,
    waiting_reason,
};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_becomes_ready_with_an_address_of_its_own() {
    let lab = Lab::start().await;
    let port = free_port();
    lab.create_one("one", server("web", port)).await;
    lab.create_one("two", server("web", port)).await;
    let one = lab.until("one", is_ready).await;
    let two = lab.until("two", is_ready).await;
    let address = |pod: &Value| pod["status"]["podIP"].as_str().unwrap().to_owned();
    assert_ne!(address(&one), address(&two), "both listen on port {port}");
    assert_eq!(one["status"]["phase"], "Running");
    assert_eq!(one["status"]["hostIP"], "127.0.0.1");
    assert_eq!(condition(&one, "Initialized").unwrap()["status"], "True");
    let container = &one["status"]["containerStatuses"][0];
    assert_eq!((&container["ready"], &container["started"]), (&json!(true), &json!(true)));
    lab.until_event("Started").await;
    let inventory = lab.running().agent.inventory();
    assert_eq!(inventory.len(), 2);
    let entry = inventory.iter().find(|entry| entry.pod == "one").unwrap();
    assert_eq!((entry.container.as_str(), entry.namespace.as_str()), ("web", "default"));
    assert!(is_alive(entry.root_pid.unwrap()));
}

#[tokio::test]
async fn the_node_registers_and_says_what_it_does_not_isolate() {
    let lab = Lab::start().await;
    let node = lab.until_node(|node| node["status"]["conditions"].is_array()).await;
    let ready = condition(&node, "Ready").unwrap();
    assert_eq!((&ready["status"], &ready["reason"]), (&json!("True"), &json!("KubeletReady")));
    let isolated = condition(&node, "swell.dev/Isolated").unwrap();
    assert_eq!(isolated["status"], "False");
    assert!(isolated["message"].as_str().unwrap().contains("not enforced"), "{isolated}");
    assert_eq!(node["status"]["capacity"]["cpu"], "2");
    assert_eq!(node["metadata"]["labels"]["kubernetes.io/hostname"], "node-1");
    let lease = lab.until_lease().await;
    assert_eq!(lease["spec"]["holderIdentity"], "node-1");
}

#[tokio::test]
async fn a_node_that_was_declared_lost_says_that_it_lives() {
    let lab = Lab::start_with(|config| config.lease_interval = Duration::from_millis(100)).await;
    let says = |node: &Value, status: &str| {
        condition(node, "Ready").is_some_and(|ready| ready["status"] == status)
    };
    lab.until_node(|node| says(node, "True")).await;
    let lost = json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}});
    lab.api.patch("/api/v1/nodes/node-1/status", lost).await;
    // Every state is recorded: it was lost, and after that it was not.
    let states = || lab.api.history(NODES, "node-1");
    lab.until_node(|node| {
        says(node, "True") && states().iter().any(|earlier| says(earlier, "Unknown"))
    })
    .await;
}

#[tokio::test]
async fn exit_codes_policies_and_back_off_are_those_of_kubernetes() {
    let lab = Lab::start().await;
    let main = |script: &str| json!({"name": "main", "image": "host", "command": shell(script)});
    lab.create("done", &json!({"restartPolicy": "Never", "containers": [main("exit 0")]})).await;
    lab.create("failed", &json!({"restartPolicy": "Never", "containers": [main("exit 3")]})).await;
    lab.create_one("loop", main("exit 7")).await;
    let done = lab.until("done", |pod| pod["status"]["phase"] == "Succeeded").await;
    assert_eq!(condition(&done, "Ready").unwrap()["reason"], "PodCompleted");
    let failed = lab.until("failed", |pod| pod["status"]["phase"] == "Failed").await;
    let terminated = &failed["status"]["containerStatuses"][0]["state"]["terminated"];
    assert_eq!((&terminated["exitCode"], &terminated["reason"]), (&json!(3), &json!("Error")));

    let looping = lab
        .until("loop", |pod| {
            let container = &pod["status"]["containerStatuses"][0];
            waiting_reason(pod) == "CrashLoopBackOff"
                && container["restartCount"].as_i64() >= Some(3)
        })
        .await;
    let container = &looping["status"]["containerStatuses"][0];
    assert_eq!(container["lastState"]["terminated"]["exitCode"], 7);
    assert_eq!(looping["status"]["phase"], "Running");
    let event = lab.until_event("BackOff").await;
    assert!(event["message"].as_str().unwrap().starts_with("Back-off restarting failed container"));
}

#[tokio::test]
async fn init_containers_run_first_and_their_failure_is_tried_again() {
    let lab = Lab::start().await;
    let mark = lab.dir.path().join("mark");
    let mark = mark.to_str().unwrap();
    let init = json!({"name": "init", "image": "host",
        "command": shell(&format!("[ -e {mark} ] || {{ : > {mark}; exit 1; }}"))});
    let main = json!({"name": "main", "image": "host",
        "command": shell(&format!("[ -e {mark} ] && exec sleep 1000"))});
    lab.create("web", &json!({"initContainers": [init], "containers": [main]})).await;
    let pod = lab.until("web", is_ready).await;
    let init = &pod["status"]["initContainerStatuses"][0];
    assert_eq!((&init["restartCount"], &init["ready"]), (&json!(1), &json!(true)));
    let waited =
        lab.api.history(PODS, "web").iter().any(|pod| {
            waiting_reason(pod) == "PodInitializing" && pod["status"]["phase"] == "Pending"
        });
    assert!(waited, "the main container waits for the init container");
}

#[tokio::test]
async fn liveness_restarts_and_readiness_only_withdraws() {
    let lab = Lab::start().await;
    let (sick, busy) = (lab.dir.path().join("sick"), lab.dir.path().join("busy"));
    let port = free_port();
    let mut container = server("web", port);
    container["command"] =
        json!([helper(), "serve", format!("$(POD_IP):{port}"), busy.to_str().unwrap()]);
    container["readinessProbe"]["failureThreshold"] = json!(1);
    container["livenessProbe"] = json!({"periodSeconds": 1, "failureThreshold": 1,
        "exec": {"command": shell(&format!("[ ! -e {} ]", sick.to_str().unwrap()))}});
    lab.create_one("web", container).await;
    let pod = lab.until("web", is_ready).await;
    let first_pid = lab.root_pid(&pod);
    fs::write(&busy, "").unwrap();
    let unready = lab.until("web", |pod| !is_ready(pod)).await;
    assert_eq!(unready["status"]["containerStatuses"][0]["restartCount"], 0);
    fs::remove_file(&busy).unwrap();
    lab.until("web", is_ready).await;
    fs::write(&sick, "").unwrap();
    let event = lab.until_event("Killing").await;
    assert_eq!(event["message"], "Container web failed liveness probe, will be restarted");
    fs::remove_file(&sick).unwrap();
    let restarted = |pod: &Value| pod["status"]["containerStatuses"][0]["restartCount"] == 1;
    lab.until("web", |pod| restarted(pod) && is_ready(pod)).await;
    assert!(!is_alive(first_pid));
    let unhealthy = lab.until_event("Unhealthy").await;
    assert!(unhealthy["message"].as_str().unwrap().contains("probe failed"), "{unhealthy}");
}

#[tokio::test]
async fn a_deleted_pod_is_withdrawn_then_stopped_then_gone() {
    let lab = Lab::start().await;
    let told = lab.dir.path().join("told");
    let script = format!(
        "trap '' TERM; (trap '' TERM; sleep 1000; sleep 1000) & echo up; while :; do sleep 1000; done; : {}",
        helper()
    );
    let pod = lab.create(
        "stubborn",
        &json!({"terminationGracePeriodSeconds": 1, "containers": [{
            "name": "main", "image": "host", "command": shell(&script),
            "lifecycle": {"preStop": {"exec": {"command": shell(&format!("echo bye > {}", told.to_str().unwrap()))}}},
        }]}),
    ).await;
    let uid = pod["metadata"]["uid"].as_str().unwrap();
    let pod = lab.until("stubborn", is_ready).await;
    let root = lab.root_pid(&pod);
    let tree = swell_runtime::process_tree(&[root]).unwrap();
    lab.delete("stubborn").await;
    lab.until_gone("stubborn").await;
    assert!(tree.iter().all(|pid| !is_alive(*pid)), "{tree:?}");
    assert_eq!(fs::read_to_string(&told).unwrap(), "bye\n");
    assert!(lab.running().runtime.list_pod(uid).is_empty());
    assert!(lab.running().runtime.sandboxes().is_empty());
    let history = lab.api.history(PODS, "stubborn");
    let going = |pod: &&Value| !pod["metadata"]["deletionTimestamp"].is_null();
    let withdrawn = history.iter().filter(going).position(|pod| !is_ready(pod)).unwrap();
    let ended = history
        .iter()
        .filter(going)
        .position(|pod| pod["status"]["containerStatuses"][0]["state"]["terminated"].is_object())
        .unwrap();
    assert!(withdrawn < ended, "no longer ready before it is stopped");
    let last = &history.last().unwrap()["status"]["containerStatuses"][0]["state"]["terminated"];
    assert_eq!(last["exitCode"], 137);
    assert_eq!(lab.until_event("Killing").await["message"], "Stopping container main");
}

#[tokio::test]
async fn what_cannot_run_waits_with_the_reason_and_the_way_out() {
    let lab = Lab::start().await;
    let container = |command: Value| json!({"name": "main", "image": "host", "command": command});
    lab.create_one("missing", container(json!(["/no/such/server"]))).await;
    lab.create_one("image", json!({"name": "main", "image": "nginx:1.27"})).await;
    let missing = lab.until("missing", |pod| waiting_reason(pod) == "CreateContainerError").await;
    let message = &missing["status"]["containerStatuses"][0]["state"]["waiting"]["message"];
    let message = message.as_str().unwrap();
    assert!(message.contains("/no/such/server") && message.contains("install"), "{message}");
    assert_eq!(missing["status"]["phase"], "Pending");
    let image = lab.until("image", |pod| waiting_reason(pod) == "ErrImageNeverPull").await;
    assert_eq!(image["status"]["phase"], "Pending");

    let mut wants_config = container(shell("echo $MODE; exec sleep 1000"));
    wants_config["env"] = json!([{"name": "MODE",
        "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "mode"}}}]);
    lab.create_one("config", wants_config).await;
    let reason = "CreateContainerConfigError";
    let waiting = lab.until("config", |pod| waiting_reason(pod) == reason).await;
    let message = &waiting["status"]["containerStatuses"][0]["state"]["waiting"]["message"];
    assert!(message.as_str().unwrap().contains("configmap \"settings\" not found"), "{message}");
    let settings = json!({"metadata": {"name": "settings"}, "data": {"mode": "fast"}});
    lab.api.create("/api/v1/namespaces/default/configmaps", settings).await;
    lab.until("config", is_ready).await;
    for name in ["missing", "image", "config"] {
        lab.delete(name).await;
        lab.until_gone(name).await;
    }
}

#[tokio::test]
async fn a_program_on_all_addresses_is_reported_and_a_taken_port_names_its_holder() {
    let lab = Lab::start().await;
    let port = free_port();
    let mut greedy = server("web", port);
    greedy["command"] = json!([helper(), "serve", format!("0.0.0.0:{port}")]);
    lab.create_one("greedy", greedy).await;
    let bound = "swell.dev/BoundToPodAddress";
    let pod = lab.until("greedy", |pod| condition(pod, bound).is_some()).await;
    let complaint = condition(&pod, bound).unwrap();
    let message = complaint["message"].as_str().unwrap();
    assert!(message.contains("$POD_IP") && message.contains("container web"), "{message}");
    assert_eq!(lab.until_event("ListensElsewhere").await["message"], message);
    assert!(is_ready(&pod), "it works while it is alone");

    lab.create_one("second", server("web", port)).await;
    let second = lab.until("second", |pod| waiting_reason(pod) == "CreateContainerError").await;
    let message = &second["status"]["containerStatuses"][0]["state"]["waiting"]["message"];
    let holder = format!("pid {}", lab.root_pid(&pod));
    assert!(message.as_str().unwrap().contains(&holder), "{message}");
    lab.delete("greedy").await;
    lab.until("second", is_ready).await;
}

#[tokio::test]
async fn a_port_held_by_a_stranger_is_not_collided_with() {
    let lab = Lab::start().await;
    let stranger = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = stranger.local_addr().unwrap().port();
    lab.create_one("web", server("web", port)).await;
    let pod = lab.until("web", |pod| waiting_reason(pod) == "CreateContainerError").await;
    let message = &pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"];
    let own = format!("pid {}", std::process::id());
    assert!(message.as_str().unwrap().contains(&own), "{message}");
    drop(stranger);
    lab.until("web", is_ready).await;
}
