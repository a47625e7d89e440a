//! Newest samples for others, over `/federate`, native histograms among them.

use swell_lab::tools;

use super::peers::{now_ms, push_row, start_prometheus};
use super::{matrix, value};
use crate::harness::{Folder, Server, wait_for};

/// A job that takes over all that was pushed.
fn job(from: &Server, more: &str) -> String {
    format!(
        "scrape_configs:\n- {{job_name: federate, scrape_interval: 1s, honor_labels: true, metrics_path: /federate, \
         params: {{'match[]': ['{{job=\"pushed\"}}']}}, static_configs: [{{targets: ['{}']}}]{more}}}\n",
        from.http
    )
}

/// A server with a row of a counter and histograms of each form.
fn server_with_histograms(folder: &Folder) -> (Server, String) {
    let config = folder.file("near.yaml", "swell: {self_metrics: false}\n");
    let server = Server::start(&folder.join("near"), &["--config", &config]);
    let now = now_ms(&server);
    push_row(&server, (now - 5000, now), 3, true);
    (server, (now / 1000 + 1).to_string())
}

#[test]
fn another_swell_takes_native_histograms_over() {
    let folder = Folder::new();
    let (near, at) = server_with_histograms(&folder);
    let far_config = format!(
        "swell: {{self_metrics: false}}\n{}",
        job(&near, ", scrape_native_histograms: true")
    );
    let far_config = folder.file("far.yaml", &far_config);
    let far = Server::start(&folder.join("far"), &["--config", &far_config]);
    wait_for("the histograms", || value(far.http, "histogram_count(rich_float)"));
    let all = r#"{__name__=~"rich_(total|whole|float)"}[1h]"#;
    let (ours, theirs) = (matrix(near.http, all, &at, &[]), matrix(far.http, all, &at, &[]));
    assert_eq!(ours.len(), 3);
    assert_eq!(ours, theirs);
    // One with bounds of its own is a classic one there.
    let bucket = r#"rich_custom_bucket{le="2.5"}"#;
    assert_eq!(value(far.http, bucket), value(near.http, "histogram_count(rich_custom)"));
    assert_eq!(far.stop(), 0);
    assert_eq!(near.stop(), 0);
}

#[test]
fn debians_prometheus_takes_native_histograms_over() {
    let Some(program) = tools::program("prometheus", "prometheus") else { return };
    let folder = Folder::new();
    let (near, _) = server_with_histograms(&folder);
    let (peer, far) = start_prometheus(&program, &folder, &job(&near, ""));
    for query in [
        "rich_total",
        "histogram_count(rich_whole)",
        "histogram_sum(rich_whole)",
        "histogram_fraction(0.5, 2, rich_whole)",
        "histogram_count(rich_float)",
        "histogram_fraction(-1, 0.5, rich_float)",
    ] {
        let ours = value(near.http, query).expect("an answer");
        let theirs = wait_for("the same there", || value(far, query));
        assert!((ours - theirs).abs() < 1e-9, "{query}: {ours} and {theirs}");
    }
    assert_eq!(value(far, r#"rich_custom_bucket{le="2.5"}"#), Some(9.0));
    assert_eq!(peer.stop(), 0);
    assert_eq!(near.stop(), 0);
}
