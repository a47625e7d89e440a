//! Pods that cannot start, and pods that end.

use rustix::process::{Signal, kill_process};
use serde_json::Value;

use crate::harness::workloads::{deployment, pod};
use crate::harness::{Folder, Server, has, pid_of, processes_with, wait_for};

/// The status of the one container of a pod, once it is as wanted.
fn container(server: &Server, pod: &str, is_wanted: impl Fn(&Value) -> bool) -> Value {
    wait_for("the container's status", || {
        let object = server.object(&format!("pod/{pod}"));
        let status = object["status"]["containerStatuses"][0].clone();
        is_wanted(&status).then_some(status)
    })
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let folder = Folder::new();
    let server = Server::start(&folder.join("data"), &["--with-agent"]);
    let manifest = folder.file("broken.yaml", &deployment("broken", 1, "", "[no-such-program]"));
    server.must(&["apply", "-f", &manifest]);
    wait_for("the reason", || {
        let pods = server.pods();
        let waiting = &pods.first()?["status"]["containerStatuses"][0]["state"]["waiting"];
        let message = waiting["message"].as_str()?;
        message.contains("no-such-program").then_some(())
    });
    has(&server.must(&["get", "pods"]), &["broken-", "0/1"]);
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_pod_has_the_limit_of_open_files_that_the_server_was_started_with() {
    let folder = Folder::new();
    let command = "ulimit -Sn 300; ulimit -Hn 4000";
    let server = Server::start_under(command, &folder.join("data"), &["--with-agent"]);
    let text = pod("counter", "Never", "[sh, -c, 'echo soft $(ulimit -Sn) hard $(ulimit -Hn).']");
    server.must(&["apply", "-f", &folder.file("counter.yaml", &text)]);
    container(&server, "counter", |status| status["state"]["terminated"]["exitCode"] == 0);
    has(&server.must(&["logs", "counter"]), &["soft 300 hard 4000."]);
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_pod_that_ends_again_and_again_backs_off_and_says_how_often() {
    let folder = Folder::new();
    let server = Server::start(&folder.join("data"), &["--with-agent"]);
    let text = pod("crasher", "Always", "[sh, -c, 'echo farewell; exit 7']");
    server.must(&["apply", "-f", &folder.file("crasher.yaml", &text)]);
    // The second restart waits ten seconds; until then the first one shows.
    let status = container(&server, "crasher", |status| {
        status["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    });
    assert_eq!(status["restartCount"], 1, "{status}");
    assert_eq!(status["lastState"]["terminated"]["exitCode"], 7, "{status}");
    assert_eq!(status["lastState"]["terminated"]["reason"], "Error", "{status}");
    has(&server.must(&["get", "pods"]), &["crasher", "0/1", "CrashLoopBackOff", "1 ("]);
    has(&server.must(&["logs", "crasher"]), &["farewell"]);
    has(&server.must(&["logs", "crasher", "--previous"]), &["farewell"]);
    wait_for("the event", || {
        let told = server.must(&["describe", "pod/crasher"]);
        told.contains("Back-off restarting failed container main").then_some(())
    });

    // Neither count nor pause is lost with the agent.
    let data_dir = server.data_dir.clone();
    server.kill();
    let server = Server::start(&data_dir, &["--with-agent"]);
    let again = container(&server, "crasher", |status| {
        status["restartCount"].as_i64().is_some_and(|count| count >= 1)
            && status["lastState"]["terminated"]["exitCode"] == 7
    });
    assert!(again["restartCount"].as_i64() <= Some(2), "it waits as before: {again}");
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_container_that_is_killed_is_started_again_and_keeps_its_end() {
    let folder = Folder::new();
    let server = Server::start(&folder.join("data"), &["--with-agent"]);
    let mark = "0.2001";
    let text = pod("victim", "Always", &format!("[sleep, '600', '{mark}']"));
    server.must(&["apply", "-f", &folder.file("victim.yaml", &text)]);
    let before = server.ready_pods(1).remove(0);
    let [first] = &processes_with(mark)[..] else { panic!("one process") };
    kill_process(pid_of(first.pid), Signal::KILL).expect("it runs");
    let after = wait_for("the next run", || {
        server.ready_pods(1).into_iter().find(|fate| fate.restarts == 1)
    });
    assert_eq!(after.uid, before.uid, "the pod is the same");
    assert_eq!(after.last_exit_code, Some(137));
    let [second] = &processes_with(mark)[..] else { panic!("one process") };
    assert_ne!(first, second);
    assert_eq!(server.stop(), 0);
}
