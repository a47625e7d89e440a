//! OpenTelemetry's own SDK as a sender, as `otel-sdk.sh` installs it.

use std::path::PathBuf;
use std::process::Command;

use swell_lab::tools;

use crate::harness::{Folder, Server, texts};

/// Python with the SDK and Prometheus' client; without them the test is [skipped](tools::skip).
pub(crate) fn python() -> Option<PathBuf> {
    let folder = std::env::var_os("SWELL_OTEL_SDK").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/otel-sdk")),
        PathBuf::from,
    );
    let python = folder.join("bin/python");
    if python.exists() {
        return Some(python);
    }
    tools::skip(
        "no OpenTelemetry SDK and Prometheus client: run bash bin/swell/tests/clients/otel-sdk.sh",
    );
    None
}

/// Exports twice; what the sender says of it, and its log.
fn send(python: &PathBuf, server: &Server, how: [&str; 2], service: &str) -> (String, String) {
    let [protocol, temporality] = how;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/otel_sender.py");
    let address = server.http.to_string();
    let output = Command::new(python)
        .args([script, protocol, &address, temporality, service])
        .output()
        .expect("python starts");
    let (code, told, log) = texts(&output);
    assert_eq!(code, 0, "{log}");
    (told.trim().to_owned(), log)
}

/// The value of the only series that a query gives.
#[track_caller]
fn value(server: &Server, query: &str) -> f64 {
    let series = server.query(query);
    assert_eq!(series.len(), 1, "{query}: {series:?}");
    series[0]["value"][1].as_str().and_then(|it| it.parse().ok()).expect("a value")
}

#[test]
fn what_the_sdk_measures_is_stored_over_http_and_grpc() {
    let Some(python) = python() else { return };
    let folder = Folder::new();
    let config = folder
        .file("swell.yaml", "otlp: {promote_resource_attributes: [deployment.environment]}\n");
    let server = Server::start(&folder.join("data"), &["--config", &config]);
    for protocol in ["http", "grpc"] {
        let service = format!("shop-{protocol}");
        let (told, log) = send(&python, &server, [protocol, "cumulative"], &service);
        assert_eq!(told, "taken", "{protocol}: {log}\n{}", server.process.log());
        let of = format!(r#"job="web/{service}",instance="i-1""#);
        for (query, expected) in [
            (
                format!(
                    r#"app_orders_total{{{of},payment_kind="card",deployment_environment="test"}}"#
                ),
                6.0,
            ),
            (format!("app_queue{{{of}}}"), -2.0),
            (format!("app_load_ratio{{{of}}}"), 0.25),
            (format!(r#"app_duration_seconds_bucket{{{of},le="0.1"}}"#), 0.0),
            (format!(r#"app_duration_seconds_bucket{{{of},le="1"}}"#), 2.0),
            (format!("app_duration_seconds_sum{{{of}}}"), 1.0),
            (format!("histogram_count(app_size_bytes{{{of}}})"), 2.0),
            (format!("histogram_sum(app_size_bytes{{{of}}})"), 2000.0),
            (format!(r#"target_info{{{of},telemetry_sdk_language="python"}}"#), 1.0),
        ] {
            assert_eq!(value(&server, &query), expected, "{query}");
        }
    }
    let metadata = server.data("/api/v1/metadata?metric=app_orders_total");
    assert_eq!(metadata["app_orders_total"][0]["help"], "Orders taken");
    assert_eq!(metadata["app_orders_total"][0]["type"], "counter");
    let features = server.data("/api/v1/features");
    assert_eq!(features["api"]["otlp_write_receiver"], true);
    assert_eq!(server.stop(), 0);
}

#[test]
fn deltas_are_taken_only_when_told_so_and_summed_up() {
    let Some(python) = python() else { return };
    let folder = Folder::new();
    let server = Server::start(&folder.join("plain"), &[]);
    let (told, log) = send(&python, &server, ["http", "delta"], "shop");
    assert_eq!(told, "not taken", "{log}");
    assert!(log.contains("400"), "the sender is told that it must change something: {log}");
    let told = server.process.log();
    assert!(told.contains("otlp-deltatocumulative"), "our log names the way out: {told}");
    assert!(server.query("app_orders_total").is_empty());
    assert_eq!(value(&server, "app_load_ratio"), 0.25, "what has no temporality is stored");
    assert_eq!(server.stop(), 0);

    let server =
        Server::start(&folder.join("summing"), &["--enable-feature=otlp-deltatocumulative"]);
    let (told, log) = send(&python, &server, ["http", "delta"], "shop");
    assert_eq!(told, "taken", "{log}");
    assert_eq!(value(&server, "app_orders_total"), 6.0);
    assert_eq!(value(&server, "app_duration_seconds_count"), 2.0);
    assert_eq!(value(&server, "histogram_count(app_size_bytes)"), 2.0);
    assert_eq!(server.data("/api/v1/features")["otlp_receiver"]["delta_conversion"], true);
    assert_eq!(server.stop(), 0);
}
