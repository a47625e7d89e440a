//! What is shown, and that it is read again as it was meant.

use std::path::Path;
use std::process::Command;

use super::*;
use crate::config::Config;

/// Each value with the keys that lead to it.
fn flat(prefix: &str, node: &Node, lines: &mut Vec<String>) {
    match node {
        Node::Map(fields) if !fields.is_empty() => {
            for (key, value) in fields {
                flat(&format!("{prefix}.{key}"), value, lines);
            }
        }
        Node::List(values) if !values.is_empty() => {
            for (nr, value) in values.iter().enumerate() {
                flat(&format!("{prefix}[{nr}]"), value, lines);
            }
        }
        Node::Text(text) => lines.push(format!("{prefix} {text}")),
        Node::Flag(flag) => lines.push(format!("{prefix} {flag}")),
        Node::Number(number) => lines.push(format!("{prefix} {number}")),
        other => lines.push(format!("{prefix} {other:?}")),
    }
}

fn parse(text: &str) -> Config {
    Config::parse(text, Path::new("."), Path::new("swell.yaml")).expect("valid")
}

/// What is shown of a configuration, below a prefix.
fn shown(text: &str, prefix: &str) -> Vec<String> {
    let shown: Node = serde_saphyr::from_str(&parse(text).shown_yaml).expect("YAML");
    let mut lines = Vec::new();
    flat("", &shown, &mut lines);
    lines.iter().filter_map(|line| line.strip_prefix(prefix)).map(str::to_owned).collect()
}

#[test]
fn nothing_is_shown_as_the_defaults() {
    for text in ["", "global: {}\n"] {
        assert_eq!(
            shown(text, ".global"),
            [
                ".scrape_interval 1m",
                ".scrape_timeout 10s",
                ".evaluation_interval 1m",
                ".metric_name_validation_scheme utf8",
                ".scrape_native_histograms false",
            ]
        );
    }
}

#[test]
fn a_job_has_the_keys_of_upstream_in_its_order() {
    let text = "scrape_configs:\n- static_configs: [{targets: ['h:1']}]\n  job_name: a\n  \
                relabel_configs: [{regex: x, action: labeldrop}]\n";
    assert_eq!(
        shown(text, ".scrape_configs[0]"),
        [
            ".job_name a",
            ".honor_timestamps true",
            ".track_timestamps_staleness false",
            ".scrape_interval 1m",
            ".scrape_timeout 10s",
            ".scrape_protocols[0] OpenMetricsText1.0.0",
            ".scrape_protocols[1] OpenMetricsText0.0.1",
            ".scrape_protocols[2] PrometheusText1.0.0",
            ".scrape_protocols[3] PrometheusText0.0.4",
            ".scrape_native_histograms false",
            ".always_scrape_classic_histograms false",
            ".convert_classic_histograms_to_nhcb false",
            ".metrics_path /metrics",
            ".scheme http",
            ".enable_compression true",
            ".metric_name_validation_scheme utf8",
            ".metric_name_escaping_scheme allow-utf-8",
            ".extra_scrape_metrics false",
            ".follow_redirects true",
            ".enable_http2 true",
            ".relabel_configs[0].separator ;",
            ".relabel_configs[0].regex x",
            ".relabel_configs[0].replacement $1",
            ".relabel_configs[0].action labeldrop",
            ".static_configs[0].targets[0] h:1",
        ]
    );
}

#[test]
fn jobs_show_what_they_take_over() {
    let text = "global: {scrape_interval: 90s, sample_limit: 10, metric_name_validation_scheme: legacy, \
                scrape_native_histograms: true}\nscrape_configs:\n- {job_name: a, scrape_timeout: 0s}\n\
                - {job_name: b, scrape_interval: 5s, sample_limit: 0, honor_timestamps: null, \
                scrape_classic_histograms: true, scrape_native_histograms: false}\n";
    let first = shown(text, ".scrape_configs[0]");
    for line in [
        ".scrape_interval 1m30s",
        ".scrape_timeout 10s",
        ".scrape_protocols[0] PrometheusProto",
        ".scrape_native_histograms true",
        ".sample_limit 10",
        ".metric_name_escaping_scheme underscores",
    ] {
        assert!(first.iter().any(|it| it == line), "{line}: {first:?}");
    }
    let second = shown(text, ".scrape_configs[1]");
    for line in [
        ".scrape_timeout 5s",
        ".scrape_protocols[0] OpenMetricsText1.0.0",
        // It is no limit here, unlike for the others.
        ".sample_limit 0",
        ".honor_timestamps false",
        ".always_scrape_classic_histograms true",
    ] {
        assert!(second.iter().any(|it| it == line), "{line}: {second:?}");
    }
    // An empty text is none of its own.
    let text = "global: {metric_name_validation_scheme: legacy}\n\
                scrape_configs: [{job_name: a, metric_name_validation_scheme: ''}]\n";
    assert!(parse(text).jobs[0].names.classic_only);
    let shown = shown(text, ".scrape_configs[0]");
    assert!(shown.contains(&".metric_name_validation_scheme legacy".to_owned()), "{shown:?}");
}

const MUCH: &str = "
global:
  external_labels: {cluster: eu}
  rule_query_offset: 1m
  label_limit: 30
storage: {tsdb: {retention: {time: 30d}, out_of_order_time_window: 0s}}
alerting:
  alert_relabel_configs: [{regex: replica, action: labeldrop}]
  alertmanagers:
  - {path_prefix: /am, static_configs: [{targets: ['localhost:9093']}]}
scrape_configs:
- job_name: app
  params: {a: [b, c]}
  authorization: {credentials_file: token}
  tls_config: {server_name: x}
  metric_relabel_configs:
  - {source_labels: [a, b], target_label: c, replacement: null}
  - {source_labels: [a], target_label: c, modulus: 8, action: hashmod}
  dns_sd_configs: [{names: [a.example]}, {names: [b.example], type: A, port: 80}]
  http_sd_configs: [{url: 'http://sd/'}]
  file_sd_configs: [{files: ['none/*.json']}]
  consul_sd_configs: [{services: [web]}]
- job_name: docker
  scrape_interval: 10s
  docker_sd_configs: [{host: 'unix:///var/run/docker.sock'}]
remote_write:
- url: http://a/write
  queue_config: {max_shards: 5}
  write_relabel_configs: [{source_labels: [x], regex: z, action: drop}]
- {url: 'http://b/write', metadata_config: {send: false}}
remote_read:
- {url: 'http://c/read', required_matchers: {a: b}, filter_external_labels: false}
";

#[test]
fn what_is_shown_is_read_again_as_it_was_meant() {
    let swell = "swell: {wal_sync: always, admin_api: false, collection_interval: 250ms}\n\
                 otlp: {promote_resource_attributes: [b, a]}\n";
    let all = format!("{MUCH}{swell}");
    for text in ["", MUCH, all.as_str()] {
        let config = parse(text);
        let again = parse(&config.shown_yaml);
        assert_eq!(format!("{again:#?}"), format!("{config:#?}"));
    }
    let given = shown(swell, ".swell");
    let expected = [".wal_sync always", ".admin_api false", ".collection_interval 250ms"];
    assert_eq!(given, expected, "as it is given");
}

/// A tree without these keys.
fn without(node: Node, keys: &[&str]) -> Node {
    match node {
        Node::Map(fields) => {
            let kept = fields.into_iter().filter(|(key, _)| !keys.contains(&key.as_str()));
            Node::Map(kept.map(|(key, value)| (key, without(value, keys))).collect())
        }
        Node::List(values) => {
            Node::List(values.into_iter().map(|value| without(value, keys)).collect())
        }
        other => other,
    }
}

#[test]
fn promtool_accepts_what_is_shown() {
    /// What promtool 2 does not know yet.
    const NEWER: [&str; 17] = [
        "scrape_protocols",
        "track_timestamps_staleness",
        "enable_compression",
        "scrape_native_histograms",
        "always_scrape_classic_histograms",
        "convert_classic_histograms_to_nhcb",
        "metric_name_validation_scheme",
        "metric_name_escaping_scheme",
        "extra_scrape_metrics",
        "otlp",
        "chunked_read_limit",
        "protobuf_message",
        "match_first_network",
        "label_limit",
        "retention",
        "rule_query_offset",
        // Debian's is built without it.
        "consul_sd_configs",
    ];
    let Some(promtool) = swell_lab::tools::program("promtool", "prometheus") else { return };
    let version = Command::new(&promtool).arg("--version").output().expect("promtool runs");
    // Some tell it on one side, some on the other.
    let version = [version.stdout, version.stderr].concat();
    let is_old = String::from_utf8_lossy(&version).contains("version 2.");
    let shown: Node = serde_saphyr::from_str(&parse(MUCH).shown_yaml).expect("YAML");
    let shown = without(shown, &["swell"]);
    let shown = if is_old { without(shown, &NEWER) } else { shown };
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("prometheus.yml");
    std::fs::write(&file, serde_saphyr::to_string(&shown).expect("YAML")).expect("written");
    std::fs::write(folder.path().join("token"), "x").expect("written");
    let checked = Command::new(promtool).args(["check", "config"]).arg(&file).output();
    let checked = checked.expect("promtool runs");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}
