//! What users get wrong, and what goes wrong by itself: each gets an answer, nothing crashes, nothing is lost.
#![expect(clippy::disallowed_methods, reason = "tests of the binary measure real time")]

mod harness;

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::Path;

use harness::{Server, run, swell, wait_for};

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("written");
}

#[test]
fn a_second_server_on_the_same_directory_is_told_who_holds_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let dir = folder.path().display().to_string();
    let (code, _, stderr) = run(&["server", "--data-dir", &dir, "--listen-http", "127.0.0.1:0"]);
    assert_eq!(code, 1);
    assert!(stderr.contains(&server.child.id().to_string()), "{stderr}");
    assert!(stderr.contains("--data-dir"), "{stderr}");
    assert_eq!(server.get("/-/ready").0, 200, "the first server does not mind");
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_port_in_use_is_named_with_its_flag() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().display().to_string();
    let (code, _, stderr) = run(&["server", "--data-dir", &dir, "--listen-http", &address]);
    assert_eq!(code, 1);
    assert!(stderr.contains(&address) && stderr.contains("--listen-http"), "{stderr}");
}

#[test]
fn wrong_configurations_start_nothing_and_name_the_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("swell.yaml");
    let data = folder.path().join("data");
    for (text, parts) in [
        ("global:\n  scrape_intervall: 5s\n", vec!["scrape_intervall", "2"]),
        ("swell: {wal_sync: sometimes}\n", vec!["wal_sync", "sometimes", "always"]),
        ("global: {scrape_interval: [}\n", vec!["swell.yaml"]),
        ("rule_files: [missing.yaml]\n", vec!["missing.yaml"]),
    ] {
        write(&file, text);
        let shown = file.display().to_string();
        let dir = data.display().to_string();
        let (code, _, stderr) = run(&["server", "--config", &shown, "--data-dir", &dir]);
        assert_eq!(code, 1, "{text}");
        for part in parts {
            assert!(stderr.contains(part), "{part} in {stderr}");
        }
        assert!(!data.exists(), "nothing was made for {text}");
        assert_eq!(run(&["check", "config", &shown]).0, 1);
    }
    let (code, _, stderr) = run(&["server", "--listen-http", "nonsense"]);
    assert_eq!(code, 2, "{stderr}");
}

#[test]
fn a_data_directory_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("a-file");
    write(&file, "in the way");
    let dir = file.display().to_string();
    let (code, _, stderr) = run(&["server", "--data-dir", &dir, "--listen-http", "127.0.0.1:0"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("a-file"), "{stderr}");
}

#[test]
fn wrong_queries_and_garbage_on_the_ports_leave_the_server_well() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (status, body) = server.get("/api/v1/query?query=sum(up");
    assert_eq!(status, 400, "{body}");
    assert!(body.contains("bad_data") && body.contains("1:"), "{body}");
    assert_eq!(server.get("/api/v1/query?query=up&time=soon").0, 400);
    let kubeconfig = std::fs::read_to_string(folder.path().join("kubeconfig")).expect("written");
    let kube = kubeconfig.split("https://").nth(1).and_then(|rest| rest.split('"').next());
    for address in [server.http.to_string(), kube.expect("a server").to_owned()] {
        for garbage in
            [&b"\x16\x03\x01garbage\xff\xfe\x00"[..], &[0; 4096], b"GET / HTTP/9.9\r\n\r\n"]
        {
            let mut stream = TcpStream::connect(&address).expect("it listens");
            stream.write_all(garbage).expect("sent");
        }
    }
    assert_eq!(server.get("/-/healthy").0, 200);
    assert_eq!(server.get("/api/v1/query?query=1%2B1").0, 200);
    assert_eq!(server.stop(), 0);
}

const SLEEPERS: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: sleeper, namespace: default}
spec:
  replicas: 2
  selector: {matchLabels: {app: sleeper}}
  template:
    metadata: {labels: {app: sleeper}}
    spec:
      runtimeClassName: process
      terminationGracePeriodSeconds: 1
      containers:
        - {name: sleep, image: host, command: [sleep, '600']}
";

/// Pods that are ready, by name, with the times their containers were started.
fn ready_pods(server: &Server) -> Vec<(String, String)> {
    let (code, stdout, stderr) = server.cli(&["get", "pods", "-o", "json"]);
    assert_eq!(code, 0, "{stderr}");
    let list: serde_json::Value = serde_json::from_str(&stdout).expect("JSON");
    let mut pods: Vec<(String, String)> = list["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null())
        .filter_map(|pod| {
            let status = &pod["status"]["containerStatuses"][0];
            let started = status["state"]["running"]["startedAt"].as_str()?.to_owned();
            let ready = status["ready"].as_bool()?;
            ready
                .then(|| (pod["metadata"]["name"].as_str().unwrap_or_default().to_owned(), started))
        })
        .collect();
    pods.sort();
    pods
}

#[test]
fn a_killed_server_finds_its_objects_samples_and_pods_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let manifest = folder.path().join("sleepers.yaml");
    write(&manifest, SLEEPERS);
    let data = folder.path().join("data");
    let server = Server::start(&data, &["--with-agent"]);
    let (code, stdout, stderr) = server.cli(&["apply", "-f", &manifest.display().to_string()]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("deployment.apps/sleeper created"), "{stdout}");
    let before =
        wait_for("two ready pods", || Some(ready_pods(&server)).filter(|pods| pods.len() == 2));
    let sample = wait_for("a stored sample", || {
        let (_, body) = server.get("/api/v1/query?query=node_load1[1m]");
        let answer: serde_json::Value = serde_json::from_str(&body).ok()?;
        answer["data"]["result"][0]["values"][0].as_array().cloned()
    });
    server.kill();

    let server = Server::start(&data, &["--with-agent"]);
    let after =
        wait_for("the pods again", || Some(ready_pods(&server)).filter(|pods| pods.len() == 2));
    assert_eq!(before, after, "the same pods run on, none was started twice");
    let at = sample[0].as_f64().expect("a time");
    let (_, body) = server.get(&format!("/api/v1/query?query=node_load1[1m]&time={}", at + 1.0));
    assert!(body.contains(sample[1].as_str().expect("a value")), "{body}");
    let (code, _, stderr) = server.cli(&["delete", "deployment/sleeper"]);
    assert_eq!(code, 0, "{stderr}");
    wait_for("the end of the pods", || {
        let (_, stdout, _) = server.cli(&["get", "pods", "-o", "name"]);
        stdout.trim().is_empty().then_some(())
    });
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_pod_that_cannot_start_says_why_and_an_impossible_autoscaler_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let server = Server::start(&data, &["--with-agent"]);
    let manifest = folder.path().join("broken.yaml");
    write(
        &manifest,
        &SLEEPERS.replace("[sleep, '600']", "[no-such-program]").replace("sleeper", "broken"),
    );
    assert_eq!(server.cli(&["apply", "-f", &manifest.display().to_string()]).0, 0);
    wait_for("the reason", || {
        let (_, stdout, _) = server.cli(&["get", "pods", "-o", "json"]);
        stdout.contains("no-such-program").then_some(()).filter(|()| stdout.contains("\"waiting\""))
    });
    let hpa = folder.path().join("hpa.yaml");
    write(
        &hpa,
        "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: web}\nspec:\n  minReplicas: 5\n  maxReplicas: 2\n  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: broken}\n",
    );
    let (code, _, stderr) = server.cli(&["apply", "-f", &hpa.display().to_string()]);
    assert_eq!(code, 1);
    assert!(stderr.contains("maxReplicas"), "{stderr}");
    write(
        &hpa,
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\nspec: {replicaz: 1}\n",
    );
    let (code, _, stderr) = server.cli(&["apply", "-f", &hpa.display().to_string()]);
    assert_eq!(code, 1);
    assert!(stderr.contains("replicaz"), "{stderr}");
    let (code, _, stderr) = server.cli(&["get", "unicorns"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("unicorns") && stderr.contains("pods"), "{stderr}");
    assert_eq!(server.cli(&["get", "pod", "missing"]).0, 4);
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_client_without_a_server_is_told_what_to_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = swell()
        .args(["get", "pods", "--kubeconfig"])
        .arg(folder.path().join("kubeconfig"))
        .output()
        .expect("the binary runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(stderr.contains("swell server"), "{stderr}");
    let (code, _, stderr) = run(&["query", "up", "--server", "http://127.0.0.1:1"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("127.0.0.1:1") && stderr.contains("--server"), "{stderr}");
}
