//! Forms, queues, timeouts and clients that go away.

use std::time::Duration;

use swell_model::{Batch, DurationMs, Labels, Row, SampleSink as _, TimestampMs};
use swell_tsdb_http::ApiConfig;

use super::lab::{Lab, NOW_S, config};

const RANGE: &str = "/api/v1/query_range";
/// Series of the long query: it looks whether it is still wanted between them.
const SERIES_COUNT: usize = 2000;

/// Eleven thousand steps over each of [`SERIES_COUNT`] series: runs longer than any test waits for it.
fn long_query(timeout: &'static str) -> [(&'static str, &'static str); 5] {
    [
        ("query", "quantile_over_time(0.5, many[5m])"),
        ("start", "1700000000"),
        ("end", "1700000110"),
        ("step", "0.01"),
        ("timeout", timeout),
    ]
}

fn with_many_series(config: ApiConfig) -> Lab {
    let lab = Lab::with(ApiConfig { samples_max: 50_000_000, ..config });
    let series: Vec<_> = (0..SERIES_COUNT)
        .map(|idx| {
            let idx = idx.to_string();
            let labels = Labels::from_pairs([("__name__", "many"), ("n", &idx)]);
            lab.db.resolve(&labels).expect("good labels")
        })
        .collect();
    let rows = (0..20).map(|idx| Row {
        timestamp: TimestampMs((NOW_S - 20 + idx) * 1000),
        values: vec![1.0; series.len()],
        series: series.clone(),
    });
    let batch = Batch { rows: rows.collect(), histograms: Vec::new() };
    lab.db.append(&batch).expect("stored");
    lab
}

fn roomy(concurrency_max: usize) -> Lab {
    with_many_series(ApiConfig { concurrency_max, ..config() })
}

#[tokio::test]
async fn only_forms_are_read() {
    let lab = Lab::new();
    let path = "/api/v1/query";
    let form = "query=1".to_owned();
    for media_type in [
        "application/x-www-form-urlencoded",
        "application/x-www-form-urlencoded; charset=utf-8",
        "",
    ] {
        assert_eq!(lab.post_as(path, media_type, form.clone()).await.code, 200, "{media_type}");
    }
    for media_type in ["application/json", "text/plain"] {
        let answer = lab.post_as(path, media_type, "{}".to_owned()).await;
        answer.is_error(415, "bad_data", media_type);
    }
    let large = format!("query={}", "x".repeat(5 << 20));
    let answer = lab.post_as(path, "application/x-www-form-urlencoded", large).await;
    answer.is_error(413, "bad_data", "more than 4194304 bytes");
    // Of a parameter in the address and in the form, the first counts.
    let both = "/api/v1/query?query=7";
    let answer = lab.post_as(both, "application/x-www-form-urlencoded", form).await;
    assert_eq!(answer.data()["result"][1], "7");
    assert_eq!(lab.post("/api/v1/label/job/values", &[]).await.code, 405);
    assert_eq!(lab.get("/api/v1/nothing", &[]).await.code, 404);
}

#[tokio::test]
async fn too_many_samples_are_an_execution_error() {
    let mut config = config();
    config.samples_max = 3;
    let lab = Lab::with(config);
    let answer = lab.get("/api/v1/query", &[("query", "up[1h]")]).await;
    answer.is_error(422, "execution", "too many samples");
    // As many steps as fit in no memory: refused before any is allocated.
    let lab = Lab::new();
    for query in ["vector(1)[10y:1ms]", "max_over_time(vector(1)[10y:1ms])"] {
        let answer = lab.get("/api/v1/query", &[("query", query)]).await;
        answer.is_error(422, "execution", "too many samples");
    }
}

#[tokio::test]
async fn a_query_is_stopped_when_its_time_is_up() {
    let lab = roomy(4);
    let answer = lab.get(RANGE, &long_query("50ms")).await;
    answer.is_error(503, "timeout", "timed out");
    lab.until("the end of the work", |lab| lab.metric("swell_query_running") == 0.0).await;
    assert_eq!(lab.metric("swell_query_failures_total"), 1.0);
    let still = lab.get("/api/v1/query", &[("query", "1")]).await;
    assert_eq!(still.data()["result"][1], "1");
}

#[tokio::test]
async fn a_timeout_asked_for_is_capped() {
    let lab = with_many_series(ApiConfig { timeout: DurationMs(50), ..config() });
    let answer = lab.get(RANGE, &long_query("1h")).await;
    answer.is_error(503, "timeout", "timed out");
}

#[tokio::test]
async fn queries_wait_for_their_turn() {
    let lab = roomy(1);
    let params = long_query("20s");
    let long = lab.get(RANGE, &params);
    tokio::pin!(long);
    let others = async {
        lab.until("the long query", |lab| lab.metric("swell_query_running") == 1.0).await;
        let waiting = lab.get("/api/v1/query", &[("query", "1"), ("timeout", "50ms")]).await;
        waiting.is_error(503, "timeout", "timed out");
        // What needs no evaluation does not wait.
        assert_eq!(lab.get("/api/v1/format_query", &[("query", "1")]).await.code, 200);
    };
    tokio::select! {
        answer = &mut long => panic!("it should still run: {}", answer.text),
        () = others => {}
    }
}

#[tokio::test]
async fn work_stops_when_the_client_goes() {
    let lab = roomy(1);
    {
        let params = long_query("20s");
        let request = lab.get(RANGE, &params);
        let begun = lab.until("the query", |lab| lab.metric("swell_query_running") == 1.0);
        tokio::select! {
            answer = request => panic!("it should still run: {}", answer.text),
            () = begun => {}
        }
    }
    lab.until("the end of the work", |lab| lab.metric("swell_query_running") == 0.0).await;
    let next = lab.get("/api/v1/query", &[("query", "1")]);
    let next = tokio::time::timeout(Duration::from_secs(20), next).await.expect("the slot is free");
    assert_eq!(next.code, 200);
}
