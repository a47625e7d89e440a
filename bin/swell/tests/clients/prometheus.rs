//! Prometheus and its tool, as Debian's package `prometheus` has them.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use serde_json::Value;
use swell_lab::tools;

use crate::harness::{Folder, Process, Server, get, texts, wait_for};

/// A server that has done some of everything: stored, queried, run pods.
fn busy_server(folder: &Folder) -> Server {
    let server = Server::start(&folder.join("data"), &["--with-agent", "--node-name", "n1"]);
    wait_for("samples of the node", || server.query("node_load1").first().cloned());
    assert_eq!(server.get("/api/v1/query?query=sum(up").0, 400);
    server.must(&["get", "nodes"]);
    server
}

#[test]
fn promtool_is_content_with_our_own_metrics() {
    let Some(promtool) = tools::program("promtool", "prometheus") else { return };
    let folder = Folder::new();
    let server = busy_server(&folder);
    let (status, metrics) = server.get("/metrics");
    assert_eq!(status, 200);
    let mut check = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool starts");
    let mut input = check.stdin.take().expect("piped");
    input.write_all(metrics.as_bytes()).expect("promtool reads");
    drop(input);
    let output = check.wait_with_output().expect("promtool ends");
    assert_eq!(texts(&output), (0, String::new(), String::new()));
    assert_eq!(server.stop(), 0);
}

#[test]
fn prometheus_scrapes_our_own_metrics() {
    let Some(prometheus) = tools::program("prometheus", "prometheus") else { return };
    let folder = Folder::new();
    let server = busy_server(&folder);
    let job = format!(
        "scrape_configs: [{{job_name: swell, scrape_interval: 1s, static_configs: [{{targets: ['{}']}}]}}]\n",
        server.http
    );
    let config = folder.file("prometheus.yml", &job);
    let mut command = Command::new(prometheus);
    command
        .args(["--config.file", &config, "--web.listen-address", "127.0.0.1:0"])
        .arg("--storage.tsdb.path")
        .arg(folder.join("prometheus"))
        .stdin(Stdio::null());
    let mut scraper = Process::spawn(&mut command);
    let address: SocketAddr = scraper.line("the address of Prometheus", |line| {
        let (_, rest) = line.split_once("address=")?;
        line.contains("Listening on").then(|| rest.split(' ').next()?.parse().ok()).flatten()
    });
    let ask = |query: &str| -> Option<Value> {
        let (status, body) = get(address, &format!("/api/v1/query?query={query}"));
        let answer: Value = serde_json::from_str(&body).ok().filter(|_| status == 200)?;
        answer["data"]["result"].get(0).cloned()
    };
    wait_for("a scrape that went well", || {
        ask("up%7Bjob%3D%22swell%22%7D").filter(|up| up["value"][1] == "1")
    });
    let count = ask("scrape_samples_scraped%7Bjob%3D%22swell%22%7D").expect("it was scraped");
    let count: u64 =
        count["value"][1].as_str().and_then(|text| text.parse().ok()).expect("a count");
    assert!(count > 100, "only {count} samples");
    assert!(ask("process_resident_memory_bytes").is_some(), "what it scraped can be asked for");
    let (_, targets) = get(address, "/api/v1/targets");
    assert!(
        targets.contains("\"health\":\"up\"") && targets.contains("\"lastError\":\"\""),
        "{targets}"
    );
    assert_eq!(scraper.stop(), 0);
    assert_eq!(server.stop(), 0);
}
