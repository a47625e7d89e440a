//! Targets, status, health and our own metrics.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::json;
use swell_env::Clock as _;
use swell_model::{DurationMs, Labels, TimestampMs};
use swell_tsdb_http::{TargetHealth, TargetReport, UnsupportedDiscovery};

use super::lab::{Lab, NOW_S, config, described};

fn report(pool: &str, health: TargetHealth, dropped: bool) -> TargetReport {
    TargetReport {
        scrape_pool: pool.to_owned(),
        discovered_labels: Labels::from_pairs([("__address__", "h:1")]),
        labels: Labels::from_pairs([("instance", "h:1"), ("job", pool)]),
        scrape_url: "http://h:1/metrics".to_owned(),
        health,
        last_error: if health == TargetHealth::Down { "refused".to_owned() } else { String::new() },
        last_scrape: (health != TargetHealth::Unknown).then_some(TimestampMs(NOW_S * 1000 + 250)),
        last_scrape_seconds: 0.25,
        scrape_interval: DurationMs::from_secs(15),
        scrape_timeout: DurationMs::from_secs(10),
        shared_series: if pool == "b" { 3 } else { 0 },
        dropped,
    }
}

#[tokio::test]
async fn targets_are_listed_by_state_and_pool() {
    let lab = Lab::new();
    let path = "/api/v1/targets";
    let empty = json!({"activeTargets": [], "droppedTargets": [], "droppedTargetCounts": {}});
    assert_eq!(lab.get(path, &[]).await.data(), empty);
    *lab.targets.reports.lock() = vec![
        report("a", TargetHealth::Up, false),
        report("b", TargetHealth::Down, false),
        report("b", TargetHealth::Unknown, false),
        report("b", TargetHealth::Unknown, true),
    ];
    let data = lab.get(path, &[]).await.data();
    assert_eq!(
        data["activeTargets"][0],
        json!({
            "discoveredLabels": {"__address__": "h:1"},
            "labels": {"instance": "h:1", "job": "a"},
            "scrapePool": "a",
            "scrapeUrl": "http://h:1/metrics",
            "globalUrl": "http://h:1/metrics",
            "lastError": "",
            "lastScrape": "2023-11-14T22:13:20.25Z",
            "lastScrapeDuration": 0.25,
            "health": "up",
            "scrapeInterval": "15s",
            "scrapeTimeout": "10s",
        })
    );
    assert_eq!(data["activeTargets"][1]["sharedSeries"], 3);
    assert_eq!(data["activeTargets"][1]["health"], "down");
    assert_eq!(data["activeTargets"][1]["lastError"], "refused");
    assert_eq!(data["activeTargets"][2]["health"], "unknown");
    assert_eq!(data["activeTargets"][2]["lastScrape"], "0001-01-01T00:00:00Z");
    let dropped = json!([{"discoveredLabels": {"__address__": "h:1"}, "scrapePool": "b"}]);
    assert_eq!(data["droppedTargets"], dropped);
    assert_eq!(data["droppedTargetCounts"], json!({"b": 1}));
    for (params, active, dropped) in [
        (&[("state", "active")][..], 3, 0),
        (&[("state", "dropped")], 0, 1),
        (&[("state", "any")], 3, 1),
        (&[("scrapePool", "a")], 1, 0),
        (&[("scrapePool", "b"), ("state", "ACTIVE")], 2, 0),
        (&[("state", "odd")], 0, 0),
    ] {
        let data = lab.get(path, params).await.data();
        let count = |key: &str| data[key].as_array().map(Vec::len);
        let counts = (count("activeTargets"), count("droppedTargets"));
        assert_eq!(counts, (Some(active), Some(dropped)), "{params:?}");
    }
    let pools = lab.get("/api/v1/scrape_pools", &[]).await.data();
    assert_eq!(pools, json!({"scrapePools": ["a", "b"]}));
    // A job without targets is one, too.
    lab.targets.pools.lock().push("idle".to_owned());
    let pools = lab.get("/api/v1/scrape_pools", &[]).await.data();
    assert_eq!(pools, json!({"scrapePools": ["a", "b", "idle"]}));
}

#[tokio::test]
async fn a_pool_tells_its_configuration_and_what_relabelling_does() {
    let lab = Lab::new();
    lab.targets.pools.lock().push("a".to_owned());
    let path = "/api/v1/scrape_pools/config";
    let config = lab.get(path, &[("scrapePool", "a")]).await.data();
    assert_eq!(config, json!({"yaml": "job_name: a\n"}));
    lab.get(path, &[("scrapePool", "b")]).await.is_error(404, "not_found", "\"b\"");
    lab.get(path, &[]).await.is_error(400, "bad_data", "scrapePool");
    let path = "/api/v1/targets/relabel_steps";
    let labels = ("labels", r#"{"__address__":"h:1"}"#);
    let steps = lab.get(path, &[("scrapePool", "a"), labels]).await.data();
    assert_eq!(
        steps,
        json!({"steps": [
            {"rule": {"action": "drop"}, "output": {"__address__": "h:1"}, "keep": true},
            {"rule": {"action": "drop"}, "output": {}, "keep": false},
        ]})
    );
    lab.get(path, &[("scrapePool", "b"), labels]).await.is_error(404, "not_found", "\"b\"");
    for odd in ["", "[]", r#"{"a":1}"#] {
        let answer = lab.get(path, &[("scrapePool", "a"), ("labels", odd)]).await;
        answer.is_error(400, "bad_data", "labels");
    }
}

#[tokio::test]
async fn own_metrics_are_shown_as_json() {
    let lab = Lab::new();
    let path = "/api/v1/status/self_metrics";
    let all = lab.get(path, &[]).await.data();
    assert!(all.as_array().is_some_and(|all| all.len() > 10), "{all}");
    let one = lab.get(path, &[("metric_name_pattern", "swell_build_.*")]).await.data();
    assert_eq!(one[0]["name"], "swell_build_info");
    assert_eq!(one[0]["type"], "GAUGE");
    assert_eq!(one[0]["metric"][0]["gauge"]["value"], 1.0);
    assert_eq!(lab.get(path, &[("metric_name_pattern", "build")]).await.data(), json!([]));
    lab.get(path, &[("metric_name_pattern", "(")]).await.is_error(400, "bad_data", "pattern");
}

#[tokio::test]
async fn discoveries_that_are_missing_are_told() {
    let lab = Lab::new();
    lab.targets.unsupported.lock().push(UnsupportedDiscovery {
        scrape_pool: "pods".to_owned(),
        discovery: "kubernetes_sd_configs".to_owned(),
    });
    let data = lab.get("/api/v1/targets", &[]).await.data();
    let told = json!([{"scrapePool": "pods", "discovery": "kubernetes_sd_configs"}]);
    assert_eq!(data["unsupportedDiscovery"], told);
}

#[tokio::test]
async fn the_server_tells_about_itself() {
    let lab = Lab::new();
    let build = lab.get("/api/v1/status/buildinfo", &[]).await.data();
    assert!(build["version"].as_str().is_some_and(|version| version.starts_with("3.")), "{build}");
    let version = lab.get("/version", &[]).await;
    assert_eq!((version.code, version.json()), (200, build));
    assert_eq!(version.headers["content-type"], "application/json");
    let config = lab.get("/api/v1/status/config", &[]).await.data();
    assert_eq!(config, json!({"yaml": "global: {}\n"}));
    let flags = lab.get("/api/v1/status/flags", &[]).await.data();
    assert_eq!(flags, json!({"query.timeout": "20s"}));
    let runtime = lab.get("/api/v1/status/runtimeinfo", &[]).await.data();
    assert_eq!(runtime["serverTime"], "2023-11-14T22:13:20Z");
    assert_eq!(runtime["storageRetention"], "15d");
    assert_eq!(runtime["corruptionCount"], 0);
    assert_eq!(runtime["hostname"], "lab");
    let replay = lab.get("/api/v1/status/walreplay", &[]).await.data();
    assert_eq!(replay["current"], replay["max"]);
}

#[tokio::test]
async fn the_storage_tells_its_cardinality() {
    let lab = Lab::new();
    let path = "/api/v1/status/tsdb";
    let data = lab.get(path, &[]).await.data();
    assert_eq!(data["headStats"]["numSeries"], 3);
    assert_eq!(data["headStats"]["minTime"], (NOW_S - 60) * 1000);
    assert_eq!(data["headStats"]["maxTime"], NOW_S * 1000);
    assert_eq!(data["seriesCountByMetricName"][0], json!({"name": "up", "value": 2}));
    let cut = lab.get(path, &[("limit", "1")]).await.data();
    for list in [
        "seriesCountByMetricName",
        "labelValueCountByLabelName",
        "memoryInBytesByLabelName",
        "seriesCountByLabelValuePair",
    ] {
        assert_eq!(cut[list].as_array().map(Vec::len), Some(1), "{list}");
    }
    for limit in ["0", "10001", "x", "-1"] {
        lab.get(path, &[("limit", limit)]).await.is_error(400, "bad_data", "\"limit\"");
    }
}

#[tokio::test]
async fn blocks_are_listed_in_the_form_of_prometheus() {
    let lab = Lab::new();
    let path = "/api/v1/status/tsdb/blocks";
    assert_eq!(lab.get(path, &[]).await.data(), json!({"blocks": []}));
    // The window that holds everything is over for long, and is written.
    lab.clock.advance(DurationMs::from_secs(6 * 3600));
    let labels = Labels::from_pairs([("__name__", "up"), ("job", "a"), ("instance", "x")]);
    lab.store(&labels, [(NOW_S + 6 * 3600, 1.0)]);
    lab.db.maintain(lab.clock.now()).expect("written");
    let blocks = lab.get(path, &[]).await.data()["blocks"].take();
    let block = &blocks[0];
    assert_eq!(block["minTime"], (NOW_S - 60) * 1000, "{blocks}");
    assert_eq!(block["maxTime"], NOW_S * 1000 + 1);
    let stats = &block["stats"];
    assert_eq!((&stats["numSeries"], &stats["numSamples"]), (&json!(3), &json!(15)));
    assert_eq!(block["compaction"], json!({"level": 1, "sources": [block["ulid"]]}));
    assert_eq!(block["ulid"].as_str().map(str::len), Some(26));
    assert_eq!(block["version"], 1);
}

#[tokio::test]
async fn readiness_tells_starting_from_stopping() {
    let lab = Lab::starting(config());
    assert_eq!(lab.get("/-/healthy", &[]).await.code, 200);
    let starting = lab.get("/-/ready", &[]).await;
    assert_eq!((starting.code, starting.text.as_str()), (503, "Service Unavailable"));
    assert_eq!(starting.headers["x-prometheus-stopping"], "false");
    lab.readiness.ready();
    let ready = lab.get("/-/ready", &[]).await;
    assert_eq!((ready.code, ready.text.as_str()), (200, "Prometheus Server is Ready.\n"));
    lab.readiness.stopping();
    let stopping = lab.get("/-/ready", &[]).await;
    assert_eq!(stopping.code, 503);
    assert_eq!(stopping.headers["x-prometheus-stopping"], "true");
    assert_eq!(lab.get("/-/healthy", &[]).await.code, 200);
}

#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "CI tells by the environment that nothing may be skipped"
)]
async fn own_metrics_satisfy_promtool() {
    let lab = Lab::new();
    lab.get("/api/v1/query", &[("query", "up")]).await.data();
    lab.get("/api/v1/query", &[("query", "up * on(x) up")]).await.is_error(422, "execution", "");
    let answer = lab.get("/metrics", &[]).await;
    assert_eq!(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    assert!(answer.text.contains("swell_query_duration_seconds_count 2"), "{}", answer.text);
    assert!(answer.text.contains("swell_query_failures_total{reason=\"execution\"} 1"));
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut promtool = match promtool {
        Ok(promtool) => promtool,
        Err(error) => {
            let in_ci = std::env::var("CI").as_deref() == Ok("true");
            assert!(!in_ci, "promtool cannot be run ({error}), and CI skips nothing");
            eprintln!("skipped: promtool is not installed");
            return;
        }
    };
    let mut input = promtool.stdin.take().expect("piped");
    input.write_all(answer.text.as_bytes()).expect("promtool reads");
    drop(input);
    let output = promtool.wait_with_output().expect("promtool ends");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.is_empty(), "{told}");
}

#[tokio::test]
async fn own_metrics_come_as_openmetrics_where_that_is_liked_best() {
    let lab = Lab::new();
    lab.get("/api/v1/query", &[("query", "up")]).await.data();
    let request = axum::http::Request::get("/metrics")
        .header("accept", "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;q=0.3")
        .body(axum::body::Body::empty())
        .expect("a request");
    let answer = lab.answer(request).await;
    assert_eq!(
        answer.headers["content-type"],
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    for line in [
        "# TYPE swell_query_samples counter",
        "# TYPE prometheus_engine_query_duration_seconds summary",
        "prometheus_engine_query_duration_seconds_count{slice=\"inner_eval\"} 1",
        "prometheus_engine_query_duration_seconds_count{slice=\"queue_time\"} 1",
    ] {
        assert!(answer.text.lines().any(|it| it == line), "{line} in\n{}", answer.text);
    }
    assert!(answer.text.ends_with("\n# EOF\n"));
}

#[tokio::test]
async fn queries_are_counted_under_prometheus_names() {
    let lab = Lab::starting(config());
    assert!(lab.metric("prometheus_ready") < 1.0);
    lab.readiness.ready();
    assert!(lab.metric("prometheus_ready") > 0.0);
    let most = lab.metric("prometheus_engine_queries_concurrent_max");
    assert!((most - 4.0).abs() < 0.1, "{most}");
    lab.get("/api/v1/query", &[("query", "up * on(x) up")]).await.is_error(422, "execution", "");
    assert!(lab.metric("prometheus_engine_queries").abs() < 0.1, "none runs or waits any more");
    let (path, pattern) = ("/api/v1/status/self_metrics", "prometheus_engine_query_duration.*");
    let shown = lab.get(path, &[("metric_name_pattern", pattern)]).await.data();
    assert_eq!(shown[0]["type"], "SUMMARY");
    assert_eq!(shown[0]["metric"][0]["summary"]["sampleCount"], "1", "failed ones count");
    assert_eq!(shown[0]["metric"][0]["summary"]["quantile"][1]["quantile"], 0.9);
    let texts = lab.get("/metrics", &[]).await.text;
    assert!(texts.contains("\nprometheus_tsdb_head_series 3\n"), "{texts}");
    assert!(texts.contains("\nprometheus_engine_query_samples_total 0\n"), "{texts}");
}

#[tokio::test]
async fn targets_tell_what_their_metrics_are() {
    let lab = Lab::new();
    let path = "/api/v1/targets/metadata";
    assert_eq!(lab.get(path, &[]).await.data(), json!([]));
    *lab.targets.described.lock() = vec![
        described("b", &[("requests_total", "Other requests.")]),
        described("a", &[("queue_\"length", "Of \\ it.\n"), ("requests_total", "Requests.")]),
    ];
    let entry = |job: &str, metric: &str, help: &str| json!({"target": {"job": job}, "metric": metric, "type": "counter", "help": help, "unit": ""});
    let (queue, requests, other) = (
        entry("a", "queue_\"length", "Of \\ it.\n"),
        entry("a", "requests_total", "Requests."),
        entry("b", "requests_total", "Other requests."),
    );
    let all = json!([queue, requests, other]);
    assert_eq!(lab.get(path, &[]).await.data(), all);
    assert_eq!(lab.get(path, &[("limit", "-1"), ("metric", "")]).await.data(), all);
    // As upstream, the limit is looked at between targets.
    assert_eq!(lab.get(path, &[("limit", "1")]).await.data(), json!([queue, requests]));
    assert_eq!(lab.get(path, &[("limit", "0")]).await.data(), json!([]));
    let nameless = |job: &str, help: &str| json!({"target": {"job": job}, "type": "counter", "help": help, "unit": ""});
    let metric = ("metric", "requests_total");
    let named = lab.get(path, &[metric]).await.data();
    assert_eq!(named, json!([nameless("a", "Requests."), nameless("b", "Other requests.")]));
    let one = lab.get(path, &[metric, ("match_target", "{job=\"b\"}")]).await.data();
    assert_eq!(one, json!([nameless("b", "Other requests.")]));
    assert_eq!(
        lab.get(path, &[metric, ("limit", "1")]).await.data()[0],
        nameless("a", "Requests.")
    );
    let any = lab.get(path, &[("match_target", "{job=~\".*\"}")]).await.data();
    assert_eq!(any, all);
    let nothing = lab.get(path, &[("match_target", "{job=\"c\"}")]).await.data();
    assert_eq!(nothing, json!([]));
    lab.get(path, &[("match_target", "{")]).await.is_error(400, "bad_data", "match_target");
    lab.get(path, &[("limit", "x")]).await.is_error(400, "bad_data", "\"limit\"");
}

#[tokio::test]
async fn features_are_those_of_the_switches() {
    let lab = Lab::new();
    let data = lab.get("/api/v1/features", &[]).await.data();
    assert_eq!(data["promql_functions"]["rate"], json!(true));
    assert_eq!(data["promql_functions"]["mad_over_time"], json!(false), "experimental");
    assert_eq!(data["promql_operators"]["limitk"], json!(false), "experimental");
    assert_eq!(data["api"]["lifecycle"], json!(true));
    let with = swell_promql::Features::all();
    assert_eq!(data["promql"]["per_step_stats"], json!(false));
    let config = swell_tsdb_http::ApiConfig { features: with, per_step_stats: true, ..config() };
    let lab = Lab::with(config);
    let data = lab.get("/api/v1/features", &[]).await.data();
    assert_eq!(data["promql"]["per_step_stats"], json!(true));
    assert_eq!(data["promql_functions"]["mad_over_time"], json!(true));
    assert_eq!(data["promql"]["anchored"], json!(true));
    let query = [("query", "mad_over_time(up[5m])"), ("time", &*NOW_S.to_string())];
    assert_eq!(lab.get("/api/v1/query", &query).await.code, 200);
    let plain = Lab::new().get("/api/v1/query", &query).await;
    let told = "1:1: parse error: function \"mad_over_time\" is not enabled";
    plain.is_error(400, "bad_data", told);
}
