//! Receivers that users have: what they answer is what we answer.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};

use serde_json::Value;
use swell_lab::tools;
use swell_model::{
    CounterResetHint, Exemplar, Labels, MetricKind, MetricMetadata, NativeHistogram, Span,
    TimestampMs,
};
use swell_wire::remote_write::{Message, RequestV2, Sample, SentHistogram, SeriesContent};

use super::{data, encoded, matrix, post, value};
use crate::harness::{Folder, Process, Server, get, push, wait_for};

fn free_port() -> u16 {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    free.local_addr().expect("bound").port()
}

/// Debian's Prometheus as a receiver, and where it listens.
pub(crate) fn start_prometheus(
    program: &std::path::Path,
    folder: &Folder,
    config: &str,
) -> (Process, SocketAddr) {
    let config = folder.file("prometheus.yml", config);
    let mut command = Command::new(program);
    command
        .args(["--config.file", &config, "--web.listen-address", "127.0.0.1:0"])
        .args(["--web.enable-remote-write-receiver", "--enable-feature=native-histograms"])
        .arg("--storage.tsdb.path")
        .arg(folder.join("prometheus"))
        .stdin(Stdio::null());
    let mut process = Process::spawn(&mut command);
    let address = process.line("the address of Prometheus", |line| {
        let (_, rest) = line.split_once("address=")?;
        line.contains("Listening on").then(|| rest.split(' ').next()?.parse().ok()).flatten()
    });
    wait_for("Prometheus", || (get(address, "/-/ready").0 == 200).then_some(()));
    (process, address)
}

fn histogram(is_whole: bool, factor: f64) -> NativeHistogram {
    let part = if is_whole { 0.0 } else { 0.5 };
    NativeHistogram {
        schema: 1,
        reset_hint: CounterResetHint::Unknown,
        zero_threshold: 0.001,
        zero_count: factor + part,
        count: 7.0 * factor + part,
        sum: 12.25 * factor,
        positive_spans: vec![Span { offset: -1, length: 2 }, Span { offset: 1, length: 1 }],
        positive_buckets: vec![factor, 3.0 * factor, factor],
        negative_spans: vec![Span { offset: 0, length: 1 }],
        negative_buckets: vec![factor],
        ..NativeHistogram::default()
    }
}

fn custom(factor: f64) -> NativeHistogram {
    NativeHistogram {
        schema: NativeHistogram::CUSTOM_SCHEMA,
        count: 3.0 * factor,
        sum: 1.5 * factor,
        positive_spans: vec![Span { offset: 0, length: 2 }],
        positive_buckets: vec![factor, 2.0 * factor],
        custom_bounds: vec![0.5, 2.5],
        ..NativeHistogram::default()
    }
}

pub(crate) fn now_ms(server: &Server) -> i64 {
    let seconds = value(server.http, "vector(time())").expect("a time");
    format!("{:.0}", seconds * 1000.0).parse().expect("whole")
}

/// Pushes a row of a counter with a start, histograms of each form, and exemplars.
pub(crate) fn push_row(server: &Server, (start_ms, at_ms): (i64, i64), nr: u32, with_custom: bool) {
    let factor = f64::from(nr);
    let labels = |name: &str| Labels::from_pairs([("__name__", name), ("job", "pushed")]);
    let all = ["rich_total", "rich_whole", "rich_float", "rich_custom"].map(labels);
    let [total, whole, float, with_bounds] = &all;
    let metadata = MetricMetadata {
        kind: MetricKind::Counter,
        help: "What is counted.".to_owned(),
        unit: String::new(),
    };
    let exemplar = Exemplar {
        labels: Labels::from_pairs([("trace_id", format!("t{nr}"))]),
        value: factor,
        timestamp: TimestampMs(at_ms),
    };
    let values = [histogram(true, factor), histogram(false, factor), custom(factor)];
    let mut request = RequestV2::default();
    let samples = [Sample { timestamp_ms: at_ms, value: factor, start_ms }];
    let content = SeriesContent { samples: &samples, histograms: &[], exemplars: &[&exemplar] };
    request.put_series(total, &content, Some(&metadata));
    for (labels, value) in [whole, float, with_bounds].into_iter().zip(&values) {
        if labels == with_bounds && !with_custom {
            continue;
        }
        let histograms = [SentHistogram { timestamp_ms: at_ms, start_ms: 0, value }];
        let content = SeriesContent { histograms: &histograms, ..SeriesContent::default() };
        request.put_series(labels, &content, None);
    }
    post(server.http, Message::V2, &request.finish());
}

#[test]
fn debians_prometheus_answers_as_we_do() {
    let Some(program) = tools::program("prometheus", "prometheus") else { return };
    let folder = Folder::new();
    let (peer, far) = start_prometheus(&program, &folder, "global: {}\n");
    let sending = format!(
        "global: {{scrape_interval: 1s, external_labels: {{cluster: eu}}}}\n\
         swell: {{self_metrics: false, lifecycle_api: true}}\n\
         remote_write:\n- url: http://{far}/api/v1/write\n  send_native_histograms: true\n  \
         queue_config: {{batch_send_deadline: 200ms, max_samples_per_send: 300, min_shards: 2}}\n"
    );
    let scraping = format!(
        "scrape_configs: [{{job_name: prometheus, static_configs: [{{targets: ['{far}']}}]}}]\n"
    );
    let config = folder.file("swell.yaml", &format!("{sending}{scraping}"));
    let near = Server::start(&folder.join("data"), &["--config", &config]);
    let now = now_ms(&near);
    for nr in 1..=5 {
        push_row(&near, (now - 5000, now + i64::from(nr)), nr, false);
    }
    let up = r#"up{job="prometheus"}"#;
    let count = format!("count_over_time({up}[1h])");
    wait_for("eight scrapes", || value(far, &count).filter(|count| *count >= 8.0));
    // What came with the last scrapes may still be under way.
    let at = value(far, &format!("timestamp({up}) - 3")).expect("a time").to_string();
    let everything = r#"{job="prometheus"}[1h]"#;
    let ours = matrix(near.http, everything, &at, &[]);
    assert!(ours.len() > 300, "only {} series", ours.len());
    let theirs = matrix(far, everything, &at, &["cluster"]);
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
    for (series, points) in &ours {
        assert_eq!(theirs.get(series), Some(points), "{series}");
    }
    assert_eq!(matrix(far, r#"up{cluster="eu"}[1h]"#, &at, &[]).len(), 1);
    // Quantiles differ: this version interpolates in another way. Fractions between bounds of buckets do not.
    for query in [
        "histogram_count(rich_whole)",
        "histogram_sum(rich_whole)",
        "histogram_fraction(0.5, 2, rich_whole)",
        "histogram_count(rich_float)",
        "histogram_fraction(-1, 0.5, rich_float)",
        "rich_total",
    ] {
        let ours = value(near.http, query).expect("an answer");
        let theirs = wait_for("the same there", || value(far, query));
        assert!((ours - theirs).abs() < 1e-9, "{query}: {ours} and {theirs}");
    }
    // A series that ends is gone there at once, not five minutes later.
    folder.file("swell.yaml", &sending);
    assert_eq!(near.post("/-/reload").0, 200);
    wait_for("the end of the series", || value(far, up).is_none().then_some(()));
    assert_eq!(near.stop(), 0);
    assert_eq!(peer.stop(), 0);
}

#[test]
fn another_swell_gets_everything_by_2_0() {
    let folder = Folder::new();
    let far_config = folder.file(
        "far.yaml",
        "swell: {self_metrics: false, remote_write_receiver: {enabled: true, zero_at_start: true}}\n",
    );
    let far = Server::start(&folder.join("far"), &["--config", &far_config]);
    let config = folder.file(
        "near.yaml",
        &format!(
            "swell: {{self_metrics: false}}\n\
             remote_write:\n- url: http://{}/api/v1/write\n  send_exemplars: true\n  \
             protobuf_message: io.prometheus.write.v2.Request\n  \
             queue_config: {{batch_send_deadline: 100ms, max_samples_per_send: 7}}\n",
            far.http
        ),
    );
    let near = Server::start(&folder.join("near"), &["--config", &config]);
    let now = now_ms(&near);
    for nr in 1..=20 {
        push_row(&near, (now - 5000, now + i64::from(nr) * 10), nr, true);
    }
    let count = "count_over_time(rich_custom[1h])";
    wait_for("all rows", || value(far.http, count).filter(|count| *count >= 20.0));
    wait_for("all counts", || {
        value(far.http, "count_over_time(rich_total[1h])").filter(|count| *count >= 21.0)
    });
    let at = (now / 1000 + 60).to_string();
    let histograms = r#"{__name__=~"rich_(whole|float|custom)"}[1h]"#;
    let (ours, theirs) =
        (matrix(near.http, histograms, &at, &[]), matrix(far.http, histograms, &at, &[]));
    assert_eq!(ours.len(), 3);
    assert_eq!(ours, theirs);
    // The start of the counter came along: this receiver puts a zero there.
    let (ours, theirs) = (
        matrix(near.http, "rich_total[1h]", &at, &[]),
        matrix(far.http, "rich_total[1h]", &at, &[]),
    );
    let (series, points) = ours.first_key_value().expect("a series");
    let found = &theirs[series];
    assert!(found.ends_with(points), "{found:?}");
    assert!(found[0].ends_with("\"0\"]"), "{found:?}");
    let exemplars = |server: &Server| -> BTreeSet<String> {
        let (start, end) = (now / 1000 - 60, now / 1000 + 60);
        let query = encoded("rich_total");
        let path = format!("/api/v1/query_exemplars?query={query}&start={start}&end={end}");
        let data = data(server.http, &path);
        let all = data[0]["exemplars"].as_array().expect("exemplars");
        all.iter().map(Value::to_string).collect()
    };
    assert_eq!(exemplars(&near).len(), 20);
    assert_eq!(exemplars(&near), exemplars(&far));
    let described = |server: &Server| data(server.http, "/api/v1/metadata?metric=rich_total");
    assert_eq!(described(&far)["rich_total"][0]["help"], "What is counted.");
    assert_eq!(described(&near), described(&far));
    assert_eq!(near.stop(), 0);
    assert_eq!(far.stop(), 0);
}

#[test]
fn victoria_metrics_has_every_sample() {
    let Some(program) = tools::program("victoria-metrics", "victoria-metrics") else { return };
    let folder = Folder::new();
    let far = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut command = Command::new(program);
    command
        .arg(format!("-httpListenAddr={far}"))
        .arg(format!("-storageDataPath={}", folder.join("victoria").display()))
        .stdin(Stdio::null());
    let peer = Process::spawn(&mut command);
    wait_for("VictoriaMetrics", || {
        TcpStream::connect(far).ok().filter(|_| get(far, "/health").0 == 200)
    });
    let config = folder.file(
        "swell.yaml",
        &format!(
            "swell: {{self_metrics: false}}\n\
             remote_write:\n- url: http://{far}/api/v1/write\n  \
             queue_config: {{batch_send_deadline: 100ms}}\n"
        ),
    );
    let near = Server::start(&folder.join("data"), &["--config", &config]);
    let now = now_ms(&near);
    for nr in 0..40 {
        assert_eq!(push(near.http, now + nr, 5).status, 204);
    }
    let expected: Vec<i64> = (now..now + 40).collect();
    wait_for("all samples", || {
        let (status, text) = get(far, "/api/v1/export?match[]=pushed");
        let series: Vec<Value> =
            text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let is_whole = |it: &Value| it["timestamps"] == Value::from(expected.clone());
        (status == 200 && series.len() == 5 && series.iter().all(is_whole)).then_some(())
    });
    assert_eq!(near.stop(), 0);
    drop(peer);
}
