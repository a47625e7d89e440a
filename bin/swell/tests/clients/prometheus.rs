//! Prometheus and its tool, as Debian's package `prometheus` has them.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
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

/// Exit status, output and complaints of promtool about metrics.
pub(crate) fn lint(promtool: PathBuf, metrics: &str) -> (i32, String, String) {
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
    texts(&check.wait_with_output().expect("promtool ends"))
}

#[test]
fn promtool_is_content_with_our_own_metrics() {
    let Some(promtool) = tools::program("promtool", "prometheus") else { return };
    let folder = Folder::new();
    let server = busy_server(&folder);
    let (status, metrics) = server.get("/metrics");
    assert_eq!(status, 200);
    let told = lint(promtool, &metrics);
    assert_eq!(told, (0, String::new(), String::new()));
    assert_eq!(server.stop(), 0);
}

/// A Prometheus with this configuration, and where it listens.
fn start_prometheus(program: PathBuf, folder: &Folder, config: &str) -> (Process, SocketAddr) {
    let config = folder.file("prometheus.yml", config);
    let mut command = Command::new(program);
    command
        .args(["--config.file", &config, "--web.listen-address", "127.0.0.1:0"])
        .arg("--storage.tsdb.path")
        .arg(folder.join("prometheus"))
        .stdin(Stdio::null());
    let mut process = Process::spawn(&mut command);
    let address = process.line("the address of Prometheus", |line| {
        let (_, rest) = line.split_once("address=")?;
        line.contains("Listening on").then(|| rest.split(' ').next()?.parse().ok()).flatten()
    });
    (process, address)
}

/// A real sender of all three formats: whatever it is asked in, it tells the same series.
#[test]
fn a_scrape_says_the_same_in_every_format() {
    let Some(prometheus) = tools::program("prometheus", "prometheus") else { return };
    let folder = Folder::new();
    let (target, address) = start_prometheus(prometheus, &folder, "global: {}\n");
    let protocols = ["PrometheusProto", "OpenMetricsText1.0.0", "PrometheusText0.0.4"];
    let jobs: String = protocols
        .iter()
        .map(|protocol| {
            format!(
                "- {{job_name: {protocol}, scrape_interval: 1s, scrape_protocols: [{protocol}], static_configs: [{{targets: ['{address}']}}]}}\n"
            )
        })
        .collect();
    let config = folder.file("swell.yaml", &format!("scrape_configs:\n{jobs}"));
    let server = Server::start(&folder.join("data"), &["--config", &config]);
    let series = |protocol: &str| -> BTreeSet<String> {
        let (_, body) = server.get(&format!(
            "/api/v1/series?match[]=%7Bjob%3D%22{protocol}%22%2C__name__%3D~%22prometheus_.%2B%22%7D"
        ));
        let answer: Value = serde_json::from_str(&body).expect("JSON");
        let list = answer["data"].as_array().expect("a list").iter();
        list.map(|labels| {
            let mut labels = labels.clone();
            labels["job"].take();
            labels.to_string()
        })
        .collect()
    };
    wait_for("scrapes in each format", || {
        let (one, more) = (series(protocols[0]), &protocols[1..]);
        (one.len() > 100 && more.iter().all(|other| series(other) == one)).then_some(())
    });
    let help = server.data("/api/v1/metadata?metric=prometheus_build_info");
    assert_eq!(help["prometheus_build_info"][0]["type"], "gauge");
    assert_eq!(server.stop(), 0);
    assert_eq!(target.stop(), 0);
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
    let (scraper, address) = start_prometheus(prometheus, &folder, &job);
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

/// What Prometheus has not itself it reads from here, and knows as much as we do.
#[test]
fn prometheus_reads_our_samples() {
    let Some(prometheus) = tools::program("prometheus", "prometheus") else { return };
    let folder = Folder::new();
    let config = folder.file("swell.yaml", "global: {external_labels: {cluster: eu}}\n");
    let server = Server::start(&folder.join("data"), &["--config", &config]);
    let now_ms = || -> i64 {
        let (_, body) = server.get("/api/v1/query?query=time()*1000");
        let answer: Value = serde_json::from_str(&body).expect("JSON");
        let text = answer["data"]["result"][1].as_str().expect("a value");
        text.split('.').next().and_then(|text| text.parse().ok()).expect("a time")
    };
    let read = format!(
        "remote_read: [{{url: 'http://{}/api/v1/read', read_recent: true}}]\n",
        server.http
    );
    let (reader, address) = start_prometheus(prometheus, &folder, &read);
    // Histograms of queries are there from the first query on, and a rate needs two samples before the time below.
    wait_for("four samples of our queries", || {
        let count = "count_over_time(swell_query_duration_seconds_count[1m])";
        let count: f64 = server.query(count).first()?["value"][1].as_str()?.parse().ok()?;
        (count >= 4.0).then_some(())
    });
    // Rows that are still written are in neither answer.
    let at = (now_ms() - 2000) / 1000;
    let ask = |address: SocketAddr, query: &str| -> BTreeSet<String> {
        let path = format!("/api/v1/query?time={at}&query={query}");
        let (status, body) = get(address, &path);
        assert_eq!(status, 200, "{query}: {body}");
        let answer: Value = serde_json::from_str(&body).expect("JSON");
        let series = answer["data"]["result"].as_array().expect("series").iter();
        series
            .map(|series| {
                let mut series = series.clone();
                // Whoever reads from afar sees whose samples they are.
                if address != server.http {
                    let labels = series["metric"].as_object_mut().expect("labels");
                    assert_eq!(labels.remove("cluster"), Some(Value::from("eu")), "{query}");
                }
                series.to_string()
            })
            .collect()
    };
    for query in [
        "%7Bjob%3D%22swell%22%7D%5B1m%5D",
        "rate(swell_query_duration_seconds_bucket%5B1m%5D)",
        "%7Bjob%3D%22swell%22%2C__name__%3D~%22process_.*%22%7D",
    ] {
        let (ours, theirs) = (ask(server.http, query), ask(address, query));
        assert!(ours.len() > 2, "{query}: {ours:?}");
        assert_eq!(ours, theirs, "{query}");
    }
    let cluster = "up%7Bcluster%3D%22eu%22%7D";
    assert_eq!(ask(address, cluster), ask(server.http, "up"), "our own label selects all of ours");
    assert_eq!(reader.stop(), 0);
    assert_eq!(server.stop(), 0);
}
