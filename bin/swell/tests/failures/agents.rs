//! Agents as processes of their own that are killed, and servers that are killed under them.

use serde_json::Value;

use crate::harness::workloads::{pod, sleepers};
use crate::harness::{Agent, Folder, Server, processes_with, wait_for};

#[test]
fn a_new_agent_adopts_the_pods_of_one_that_was_killed() {
    let folder = Folder::new();
    let server = Server::start(&folder.join("data"), &[]);
    let agent_dir = folder.join("agent");
    let agent = Agent::start(&server, &agent_dir, "n1");
    server.must(&["apply", "-f", &folder.file("sleepers.yaml", &sleepers("3001"))]);
    // Ends once with 3, so that there is a count to keep.
    let flag = folder.join("flag").display().to_string();
    let once =
        format!("[sh, -c, 'test -e {flag} || {{ touch {flag}; exit 3; }}; exec sleep 600 0.3002']");
    server.must(&["apply", "-f", &folder.file("once.yaml", &pod("once", "Always", &once))]);
    // It is ready in its first life as well, for a moment.
    let before = wait_for("one pod that has ended once", || {
        let fates = server.ready_pods(3);
        ((fates[0].restarts, fates[0].last_exit_code) == (1, Some(3))).then_some(fates)
    });
    let running = || [processes_with("0.3001"), processes_with("0.3002")].concat();
    let processes = running();
    assert_eq!(processes.len(), 3);

    agent.process.kill();
    assert_eq!(running(), processes, "pods run on without an agent");
    let agent = Agent::spawn(&server, &agent_dir, "n1");
    // A change that only the new agent can bring about shows that it has taken over.
    server.must(&["delete", "pod/once"]);
    wait_for("the end of one pod", || {
        let listed = server.must(&["get", "pods", "-o", "name"]);
        (!listed.contains("pod/once")).then_some(())
    });
    assert_eq!(server.ready_pods(2), before[1..], "the others are as they were");
    assert_eq!(running(), processes_with("0.3001"));
    assert!(running().iter().all(|seen| processes.contains(seen)), "the same processes");
    assert_eq!(agent.process.stop(), 0);
    assert_eq!(running().len(), 2, "pods stay when their agent is stopped");
    assert_eq!(server.stop(), 0);
}

#[test]
fn an_agent_outlives_its_server_and_no_tick_is_lost() {
    let folder = Folder::new();
    let data = folder.join("data");
    let server = Server::start(&data, &[]);
    let agent = Agent::start(&server, &folder.join("agent"), "n1");
    server.must(&["apply", "-f", &folder.file("sleepers.yaml", &sleepers("3101"))]);
    let before = server.ready_pods(2);
    let processes = processes_with("0.3101");
    wait_for("samples of the agent", || {
        server.query("count_over_time(node_load1{instance=~'n1.*'}[1m])").first().cloned()
    });
    let addresses = server.addresses();
    server.kill();
    let server = Server::start_again(&data, addresses, &[]);
    // Samples from after the restart are there.
    let ready_at = now(&server);
    let times = wait_for("samples from after the restart", || {
        let series = server.query("node_load1{instance=~'n1.*'}[5m]");
        let values = series.first()?["values"].as_array()?;
        let times: Vec<f64> = values.iter().filter_map(|pair| pair[0].as_f64()).collect();
        times.last().is_some_and(|last| *last > ready_at + 2.0).then_some(times)
    });
    for pair in times.windows(2) {
        let gap = pair[1] - pair[0];
        assert!(gap > 0.0, "a tick came twice: {times:?}");
        assert!(gap < 2.5, "ticks are lost: {times:?}");
    }
    assert_eq!(server.ready_pods(2), before);
    assert_eq!(processes_with("0.3101"), processes);
    assert_eq!(agent.process.stop(), 0);
    assert_eq!(server.stop(), 0);
}

/// The server's clock.
fn now(server: &Server) -> f64 {
    let (_, body) = server.get("/api/v1/query?query=time()");
    let answer: Value = serde_json::from_str(&body).expect("JSON");
    answer["data"]["result"][0].as_f64().expect("a time")
}

#[test]
fn the_pods_of_a_lost_node_move_and_are_stopped_when_it_comes_back() {
    let folder = Folder::new();
    let server = Server::start(&folder.join("data"), &[]);
    let steady = Agent::start(&server, &folder.join("steady"), "steady");
    let weak_dir = folder.join("weak");
    let weak = Agent::start(&server, &weak_dir, "weak");
    server.must(&["apply", "-f", &folder.file("sleepers.yaml", &sleepers("3201"))]);
    server.ready_pods(2);
    let on = |node: &str| -> Vec<String> {
        let pods = server.pods();
        let of_node = pods.iter().filter(|pod| pod["spec"]["nodeName"] == node);
        of_node.filter_map(|pod| pod["metadata"]["name"].as_str().map(str::to_owned)).collect()
    };
    assert_eq!((on("steady").len(), on("weak").len()), (1, 1), "they spread");
    let stayed = on("steady");
    weak.process.kill();
    let moved = wait_for("both pods on the node that is left", || {
        let all = on("steady");
        let ready = server.pods().iter().filter(|pod| pod["status"]["phase"] == "Running").count();
        (all.len() == 2 && ready == 2).then_some(all)
    });
    assert!(moved.contains(&stayed[0]), "the other one was not touched");
    assert_eq!(processes_with("0.3201").len(), 3, "nobody could stop the one that was left behind");

    // It comes back: what is no longer its own is stopped, and nothing else.
    let weak = Agent::start(&server, &weak_dir, "weak");
    wait_for("the end of what was left behind", || {
        (processes_with("0.3201").len() == 2).then_some(())
    });
    assert_eq!(on("steady"), moved);
    assert_eq!(weak.process.stop(), 0);
    assert_eq!(steady.process.stop(), 0);
    assert_eq!(server.stop(), 0);
}
