//! Forms, queues, timeouts and clients that go away.

use std::time::Duration;

use swell_model::{Batch, DurationMs, Labels, Row, SampleSink as _, TimestampMs};
use swell_tsdb_http::ApiConfig;

use super::lab::{Lab, NOW_S, config};

const RANGE: &str = "/api/v1/query_range";
/// Series of the long query: it looks whether it is still wanted between them.
const SERIES_COUNT: usize = 2000;

/// Takes a millisecond, and is handed to a thread of queries.
const SHORT: &str = "sum(many)";

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
    let lab = Lab::with(config);
    let series: Vec<_> = (0..SERIES_COUNT)
        .map(|idx| {
            let idx = idx.to_string();
            let labels = Labels::from_pairs([("__name__", "many"), ("n", &idx)]);
            lab.db.resolve(&labels).expect("good labels")
        })
        .collect();
    let rows = (0..20).map(|idx| {
        let at = TimestampMs((NOW_S - 20 + idx) * 1000);
        Row::new(at, series.clone(), vec![1.0; series.len()])
    });
    let batch = Batch::of_rows(rows.collect());
    lab.db.append(&batch).expect("stored");
    lab
}

fn roomy(concurrency_max: usize) -> Lab {
    with_many_series(ApiConfig { concurrency_max, samples_max: 50_000_000, ..config() })
}

#[tokio::test]
async fn only_forms_are_read_and_they_win_over_the_address() {
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
        let answer = lab.post_as(path, media_type, form.clone()).await;
        answer.is_error(400, "bad_data", "invalid parameter \"query\"");
        let answer = lab.post_as("/api/v1/query?query=7", media_type, form.clone()).await;
        assert_eq!(answer.data()["result"][1], "7", "{media_type}");
    }
    let large = format!("query={}", "x".repeat(5 << 20));
    let answer = lab.post_as(path, "application/x-www-form-urlencoded", large).await;
    answer.is_error(413, "bad_data", "more than 4194304 bytes");
    // Of a parameter in the address and in the form, that in the form counts.
    let both = "/api/v1/query?query=7";
    let answer = lab.post_as(both, "application/x-www-form-urlencoded", form).await;
    assert_eq!(answer.data()["result"][1], "1");
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
async fn too_many_series_or_too_much_memory_are_execution_errors() {
    let lab = Lab::with(ApiConfig { series_max: Some(1), ..config() });
    let answer = lab.get("/api/v1/query", &[("query", "sum(up)")]).await;
    answer.is_error(422, "execution", "more than 1 series");
    assert_eq!(lab.get("/api/v1/query", &[("query", "requests_total")]).await.code, 200);
    let lab = Lab::with(ApiConfig { bytes_max: Some(100_000), ..config() });
    let mut asked = long_query("20s");
    asked[0].1 = "requests_total";
    assert_eq!(lab.get(RANGE, &asked).await.code, 200);
    asked[0].1 = "up + up";
    lab.get(RANGE, &asked).await.is_error(422, "execution", "100000 bytes of memory");
}

#[tokio::test]
async fn what_runs_can_be_asked_for() {
    let lab = roomy(4);
    let params = long_query("20s");
    let long = lab.get(RANGE, &params);
    tokio::pin!(long);
    let look = async {
        lab.until("the long query", |lab| lab.metric("swell_query_running") == 1.0).await;
        loop {
            let listed = lab.get("/api/swell/v1/queries", &[]).await.data()["queries"].take();
            if let Some(query) = listed.get(0) {
                return query.clone();
            }
            tokio::task::yield_now().await;
        }
    };
    let seen = tokio::select! {
        _ = &mut long => panic!("the long query ended"),
        seen = look => seen,
    };
    assert_eq!((&seen["query"], &seen["origin"]), (&params[0].1.into(), &"api".into()));
    assert_eq!(seen["startedAt"], "2023-11-14T22:13:20Z");
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
    let timeout = DurationMs(50);
    let lab = with_many_series(ApiConfig { timeout, samples_max: 50_000_000, ..config() });
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
        let waiting = lab.get("/api/v1/query", &[("query", SHORT), ("timeout", "50ms")]).await;
        waiting.is_error(503, "timeout", "timed out");
        let planned = lab.get("/api/swell/v1/explain", &[("query", "1"), ("timeout", "50ms")]);
        planned.await.is_error(503, "timeout", "timed out");
        // What needs no evaluation does not wait, nor what takes less than waiting.
        assert_eq!(lab.get("/api/v1/format_query", &[("query", "1")]).await.code, 200);
        for (path, query) in [("query", "sum(up)"), ("labels", ""), ("label/n/values", "")] {
            let path = format!("/api/v1/{path}");
            assert_eq!(lab.get(&path, &[("query", query)]).await.code, 200, "{path}");
        }
        assert_eq!(lab.metric("swell_query_at_hand_total"), 1.0);
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
    let next = lab.get("/api/v1/query", &[("query", SHORT)]);
    let next = tokio::time::timeout(Duration::from_secs(20), next).await.expect("the slot is free");
    assert_eq!(next.code, 200);
}

#[tokio::test]
async fn ten_thousand_queries_at_once_are_answered_or_refused_at_once() {
    const ASKED: usize = 10_000;
    let lab = roomy(2);
    let requests: tokio::task::JoinSet<_> = (0..ASKED)
        .map(|_| {
            let router = lab.router.clone();
            async move {
                let request = axum::http::Request::get("/api/v1/query?query=sum(many)");
                let request = request.body(axum::body::Body::empty()).expect("a request");
                tower::ServiceExt::oneshot(router, request).await.expect("routers do not fail")
            }
        })
        .collect();
    let answers = requests.join_all().await;
    let refused = answers.iter().filter(|answer| answer.status() == 503);
    let refused: Vec<_> = refused.collect();
    let good = answers.iter().filter(|answer| answer.status() == 200).count();
    assert_eq!(good + refused.len(), ASKED, "nothing else happens");
    assert!(good > 0, "some have their turn");
    assert!(refused.iter().all(|answer| answer.headers()["retry-after"] == "1"));
    lab.until("the end of the work", |lab| lab.metric("swell_query_running") == 0.0).await;
    assert_eq!(lab.get("/api/v1/query", &[("query", "1")]).await.code, 200);
}

#[tokio::test]
async fn as_many_wait_as_may_and_the_next_is_refused_at_once() {
    let lab = roomy(1);
    let params = long_query("20s");
    let long = lab.get(RANGE, &params);
    tokio::pin!(long);
    let others = async {
        lab.until("the long query", |lab| lab.metric("swell_query_running") == 1.0).await;
        let mut waiting = tokio::task::JoinSet::new();
        let mut refused = None;
        // Sixteen may wait for each that may run.
        for asked in 0.. {
            let request = axum::http::Request::get("/api/v1/query?query=sum(many)")
                .body(axum::body::Body::empty())
                .expect("a request");
            waiting.spawn(tower::ServiceExt::oneshot(lab.router.clone(), request));
            tokio::task::yield_now().await;
            if let Some(answer) = waiting.try_join_next() {
                let answer = answer.expect("no panic").expect("routers do not fail");
                refused = Some((asked, answer.status()));
                break;
            }
        }
        let (asked, status) = refused.expect("the queue has an end");
        assert_eq!(status, 503);
        assert!((16..64).contains(&asked), "{asked}");
        let answer = lab.get("/api/v1/query", &[("query", SHORT)]).await;
        answer.is_error(503, "unavailable", "16 queries wait for their turn already");
        assert_eq!(answer.headers["retry-after"], "1");
        assert_eq!(lab.get("/-/healthy", &[]).await.code, 200, "who asks for health does not wait");
    };
    tokio::select! {
        answer = &mut long => panic!("it should still run: {}", answer.text),
        () = others => {}
    }
}

/// A query as a client at an address sends it.
fn query_from(address: &str, query: &str) -> axum::http::Request<axum::body::Body> {
    let address = format!("{address}:4711").parse().expect("an address");
    axum::http::Request::get(format!("/api/v1/query?query={query}"))
        .extension(swell_http::Peer { address, certificate: None })
        .body(axum::body::Body::empty())
        .expect("a request")
}

#[tokio::test]
async fn a_client_with_thousands_of_queries_holds_no_other_one_up() {
    const STORM: usize = 3000;
    let lab = roomy(1);
    let mut storm = tokio::task::JoinSet::new();
    for _ in 0..STORM {
        let request = query_from("10.0.0.1", SHORT);
        storm.spawn(tower::ServiceExt::oneshot(lab.router.clone(), request));
    }
    // Both while the storm begins and while it goes on.
    for _ in 0..20 {
        tokio::task::yield_now().await;
        let request = query_from("10.0.0.2", SHORT);
        let answer = tower::ServiceExt::oneshot(lab.router.clone(), request).await;
        assert_eq!(answer.expect("routers do not fail").status(), 200);
    }
    let answers = storm.join_all().await;
    let statuses = answers.into_iter().map(|answer| answer.expect("routers do not fail").status());
    let refused = statuses.filter(|status| *status == 503).count();
    assert!(refused > 0 && refused < STORM, "{refused} of {STORM} were refused");
    lab.until("the end of the work", |lab| lab.metric("swell_query_running") == 0.0).await;
}

#[tokio::test]
async fn queries_made_to_hurt_are_refused_from_their_text() {
    let lab = roomy(2);
    let nested = format!("{}1{}", "(".repeat(100_000), ")".repeat(100_000));
    let chain = format!("1{}", " + 1".repeat(50_000));
    let negated = format!("{}1", "-".repeat(100_000));
    let calls = format!("{}many{}", "abs(".repeat(20_000), ")".repeat(20_000));
    let windows = format!("many{}", "[5m:1s]".repeat(10_000));
    for (query, part) in [
        (nested.as_str(), "nested too deep"),
        (&chain, "nested too deep"),
        (&negated, "nested too deep"),
        (&calls, "nested too deep"),
        (&windows, "parse error"),
        (r#"many{n=~"((a{1000}){1000}){1000}"}"#, "invalid repeat count: `{1000}`"),
        (r#"many{n=~"(\\pL{1000}){1}(\\pL{1000}){1}"}"#, "expression too large"),
        (r#"many{n=~"(("}"#, "missing closing ): `((`"),
    ] {
        for path in ["/api/v1/query", "/api/v1/query_range"] {
            let range = [("query", query), ("start", "0"), ("end", "100"), ("step", "1")];
            lab.post(path, &range).await.is_error(400, "bad_data", part);
        }
    }
    // Each of two thousand with each of two thousand: no such operation.
    for query in ["many * on () many", "many * on () group_left () many"] {
        let answer = lab.get("/api/v1/query", &[("query", query)]).await;
        answer.is_error(422, "execution", "duplicate series");
    }
    let lab = with_many_series(ApiConfig { samples_max: 10_000, ..config() });
    for query in [
        r#"{__name__=~".+"}[100y]"#,
        r#"count_over_time({__name__=~".+"}[1h:1ms])"#,
        "max_over_time(sum_over_time(many[1h:1ms])[100y:1ms])",
        "many[5m]",
    ] {
        let answer = lab.get("/api/v1/query", &[("query", query)]).await;
        answer.is_error(422, "execution", "too many samples");
    }
    // Linear in the text, whatever the pattern.
    let pattern = r#"count(many{n=~"(([0-9]+)+)+x?"})"#;
    let answer = lab.get("/api/v1/query", &[("query", pattern)]).await;
    assert_eq!(answer.data()["result"][0]["value"][1], SERIES_COUNT.to_string());
}
