//! Swell's own health under Prometheus' names, on which its mixin and its dashboard stand, in every format.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use swell_exposition::{BodyFault, BodyFormat, Entry, HistogramOptions, visit_body};
use swell_lab::tools;

use crate::harness::{DEADLINE, Folder, Server, wait_for};
use crate::prometheus::lint;
use crate::shared;

const PROTOBUF: &str =
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
const OPENMETRICS: &str = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;q=0.3";

/// Names that the files ask for and that do not apply: Prometheus itself has them no more, and the expressions go on with
/// `or` and the names of today.
const OF_BEFORE_2_23: [&str; 2] = [
    "prometheus_remote_storage_failed_samples_total",
    "prometheus_remote_storage_succeeded_samples_total",
];

/// What stands at addresses that nobody listens on does not answer, and is counted nevertheless.
const CONFIG: &str = "
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [rules.yaml]
alerting: {alertmanagers: [{static_configs: [{targets: ['127.0.0.1:9']}]}]}
remote_write: [{name: far, url: 'http://127.0.0.1:9/api/v1/write'}]
scrape_configs:
- {job_name: own, file_sd_configs: [{files: [targets.json]}]}
- {job_name: asked, http_sd_configs: [{url: 'http://127.0.0.1:9/'}]}
";
const RULES: &str = "groups: [{name: g, rules: [{record: 'own:up', expr: 'up{job=\"own\"}'}]}]\n";

fn start(folder: &Folder) -> Server {
    folder.file("rules.yaml", RULES);
    let targets = folder.file("targets.json", "[]");
    let config = folder.file("swell.yaml", CONFIG);
    let server = Server::start(&folder.join("data"), &["--config", &config]);
    let found = format!("[{{\"targets\": [\"{}\"]}}]", server.http);
    std::fs::write(targets, found).expect("written");
    wait_for("a scrape of the server by itself", || {
        let (_, metrics) = server.get("/metrics");
        let entries =
            value(&metrics, "prometheus_target_metadata_cache_entries{scrape_job=\"own\"}");
        entries.filter(|count| *count > 50.0)
    });
    wait_for("a rule with a result", || {
        let (_, metrics) = server.get("/metrics");
        let mut lines = metrics.lines();
        lines.find_map(|line| {
            let rest = line.strip_prefix("prometheus_rule_group_last_evaluation_samples{")?;
            rest.ends_with("rules.yaml;g\"} 1").then_some(())
        })
    });
    server
}

/// The value on the line of this series.
fn value(metrics: &str, series: &str) -> Option<f64> {
    let line = metrics.lines().find(|line| line.starts_with(&format!("{series} ")))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// Names of metrics in a text in which queries stand.
fn asked_for(text: &str) -> BTreeSet<&str> {
    let words = text.split(|it: char| !it.is_ascii_alphanumeric() && it != '_' && it != ':');
    let prefixes = ["prometheus_", "process_", "go_", "net_conntrack_"];
    words.filter(|word| prefixes.iter().any(|prefix| word.starts_with(prefix))).collect()
}

/// Content type and body of `/metrics` for a reader that accepts this.
fn scrape(server: &Server, accept: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(server.http).expect("it listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    write!(stream, "GET /metrics HTTP/1.0\r\nHost: localhost\r\nAccept: {accept}\r\n\r\n")
        .expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("answered");
    let end = answer.windows(4).position(|it| it == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let content_type = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-type").then(|| value.to_owned())
    });
    (content_type.expect("a type"), answer[end + 4..].to_vec())
}

/// Names of all samples of a body.
fn names((content_type, body): &(String, Vec<u8>)) -> BTreeSet<String> {
    let format = BodyFormat::from_content_type(content_type).expect("a format that we read");
    let mut names = BTreeSet::new();
    let told = visit_body::<BodyFault>(body, format, &HistogramOptions::default(), &mut |entry| {
        if let Entry::Sample(sample) = &entry {
            let labels = sample.series.to_labels().expect("no label twice");
            names.insert(labels.metric_name().expect("a name").to_owned());
        }
        Ok(())
    });
    told.unwrap_or_else(|fault| panic!("{content_type}: {fault}"));
    names
}

#[test]
fn every_name_that_the_mixin_and_the_dashboard_ask_for_is_there() {
    let Some(data) = shared::folder("data") else { return };
    let read = |file: &str| std::fs::read_to_string(data.join(file)).expect("it can be read");
    let mixin = read("mixins/prometheus-alerts.yaml");
    let dashboard = read("grafana/prometheus-overview.json");
    let asked: BTreeSet<&str> = &asked_for(&mixin) | &asked_for(&dashboard);
    assert!(asked.len() > 35, "{asked:?}");

    let folder = Folder::new();
    let server = start(&folder);
    let (_, metrics) = server.get("/metrics");
    let there: BTreeSet<&str> = metrics
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect();
    let missing: Vec<&&str> = asked.difference(&there).collect();
    assert_eq!(missing, OF_BEFORE_2_23.iter().collect::<Vec<_>>());

    let at_least = |series: &str, least: f64| {
        let found = value(&metrics, series);
        assert!(found.is_some_and(|found| found >= least), "{series}: {found:?}");
    };
    at_least("prometheus_ready", 1.0);
    at_least("prometheus_config_last_reload_successful", 1.0);
    at_least("prometheus_notifications_alertmanagers_discovered", 1.0);
    at_least("prometheus_tsdb_head_samples_appended_total{type=\"float\"}", 100.0);
    at_least("prometheus_tsdb_head_series", 50.0);
    at_least("prometheus_tsdb_head_series_created_total", 50.0);
    at_least("prometheus_target_scrape_pool_targets{scrape_job=\"own\"}", 1.0);
    at_least("prometheus_target_sync_length_seconds_count{scrape_job=\"own\"}", 1.0);
    at_least("prometheus_http_requests_total{code=\"200\",handler=\"/metrics\"}", 2.0);
    at_least("prometheus_sd_discovered_targets{config=\"own\",name=\"scrape\"}", 1.0);

    // They are stored as well, where the mixin's rules find them by the job's name.
    wait_for("a stored sample of the server's own", || {
        let query = "prometheus_tsdb_head_series{job=\"swell\"}";
        (!server.query(query).is_empty()).then_some(())
    });
    assert_eq!(server.stop(), 0);
}

#[test]
fn our_own_metrics_are_the_same_in_every_format() {
    let folder = Folder::new();
    let server = start(&folder);
    let before = scrape(&server, "text/plain");
    let open = scrape(&server, OPENMETRICS);
    let packed = scrape(&server, &format!("{PROTOBUF},{OPENMETRICS}"));
    let after = scrape(&server, "*/*");
    assert_eq!(before.0, "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(open.0, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(open.1.ends_with(b"\n# EOF\n"));
    assert!(packed.0.starts_with("application/vnd.google.protobuf"), "{}", packed.0);
    assert_eq!(after.0, before.0);
    // What is counted for the first time meanwhile may be in the later ones alone.
    let (first, last) = (names(&before), names(&after));
    assert!(first.len() > 150, "{}", first.len());
    for body in [&open, &packed] {
        let found = names(body);
        let (lost, invented) = (first.difference(&found), found.difference(&last));
        let differences: Vec<&String> = lost.chain(invented).collect();
        assert!(differences.is_empty(), "{}: {differences:?}", body.0);
    }
    assert_eq!(server.stop(), 0);
}

#[test]
fn promtool_reads_the_metrics_of_a_server_with_rules_and_jobs() {
    let Some(promtool) = tools::program("promtool", "prometheus") else { return };
    let folder = Folder::new();
    let server = start(&folder);
    let (_, metrics) = server.get("/metrics");
    let (_, told, faults) = lint(promtool, &metrics);
    assert_eq!(told, "");
    // Of names that are Prometheus' own it may think what it likes.
    let ours: Vec<&str> = faults.lines().filter(|it| !it.starts_with("prometheus_")).collect();
    assert!(ours.is_empty(), "{ours:?}");
    assert_eq!(server.stop(), 0);
}
