//! Pushes of exposition text over a storage and a folder in memory.

mod common;

use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use common::{MemorySink, gzip};
use http_body_util::BodyExt as _;
use swell_env::{Dir, FaultDir, ManualClock};
use swell_model::{DurationMs, TimestampMs};
use swell_push::{PushMetrics, PushedGroups, pushed_groups_router};
use swell_telemetry::Registry;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

struct Lab {
    groups: Arc<PushedGroups>,
    sink: Arc<MemorySink>,
    clock: Arc<ManualClock>,
}

impl Lab {
    fn new(dir: Option<Arc<dyn Dir>>) -> Self {
        Self::with(dir, false)
    }

    fn with(dir: Option<Arc<dyn Dir>>, type_labels: bool) -> Self {
        let sink = Arc::new(MemorySink::default());
        let metrics = PushMetrics::register(&Registry::new()).expect("none is there");
        let clock = Arc::new(ManualClock::new(TimestampMs(7000)));
        let groups = PushedGroups::open(dir, sink.clone(), clock.clone(), metrics, type_labels);
        Self { groups: groups.expect("readable"), sink, clock }
    }

    async fn send(&self, method: &str, path: &str, body: &[u8]) -> (u16, String) {
        self.send_with(method, path, &[], body).await
    }

    async fn send_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> (u16, String) {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_vec())).expect("a request");
        let router = pushed_groups_router(self.groups.clone());
        let response = router.oneshot(request).await.expect("answered");
        let code = response.status().as_u16();
        let body = response.into_body().collect().await.expect("whole").to_bytes();
        (code, String::from_utf8_lossy(&body).into_owned())
    }

    /// What the next tick stores.
    async fn tick(&self) -> Vec<String> {
        let stop = CancellationToken::new();
        let sampling = self.groups.clone().sample(DurationMs::from_secs(3600), stop.clone());
        let sampling = tokio::spawn(sampling);
        let mut taken = loop {
            let taken = self.sink.taken();
            if !taken.is_empty() {
                break taken;
            }
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        };
        stop.cancel();
        sampling.await.expect("it ends");
        // Markers come before samples, in a batch of their own.
        taken.extend(self.sink.taken());
        taken
    }
}

#[tokio::test]
async fn a_group_is_sampled_as_it_was_pushed_until_it_is_deleted() {
    let dir: Arc<dyn Dir> = Arc::new(FaultDir::new());
    let lab = Lab::new(Some(dir.clone()));
    let path = "/metrics/job/backup/instance/db%2F1";
    let text = b"# TYPE took gauge\ntook{step=\"a\"} 3\ntook{step=\"b\"} 4\n";
    assert_eq!(lab.send("PUT", path, text).await, (200, String::new()));
    let own = r#"instance="db/1", job="backup""#;
    assert_eq!(
        lab.sink.taken(),
        [
            format!(r#"took{{{own}, step="a"}} 3 @7000"#),
            format!(r#"took{{{own}, step="b"}} 4 @7000"#),
            format!("push_time_seconds{{{own}}} 7 @7000"),
            format!("push_failure_time_seconds{{{own}}} 0 @7000"),
        ]
    );
    lab.clock.advance(DurationMs(1000));
    let headers = [("content-encoding", "gzip")];
    let more = gzip(b"# TYPE left gauge\nleft 9\n");
    assert_eq!(lab.send_with("POST", path, &headers, &more).await.0, 200);
    assert!(lab.sink.taken().contains(&format!(r#"took{{{own}, step="a"}} 3 @8000"#)));

    // After a restart it goes on.
    let lab = Lab::new(Some(dir.clone()));
    let mut ticked = lab.tick().await;
    ticked.sort();
    let mut expected = [
        format!("left{{{own}}} 9 @7000"),
        format!(r#"took{{{own}, step="a"}} 3 @7000"#),
        format!(r#"took{{{own}, step="b"}} 4 @7000"#),
        format!("push_time_seconds{{{own}}} 8 @7000"),
        format!("push_failure_time_seconds{{{own}}} 0 @7000"),
    ];
    expected.sort();
    assert_eq!(ticked, expected);
    assert_eq!(lab.send("PUT", path, b"").await.0, 200);
    let ended = lab.sink.taken();
    assert_eq!(ended.iter().filter(|line| line.contains("stale")).count(), 3, "{ended:?}");
    assert_eq!(lab.send("DELETE", path, b"").await.0, 202);
    let ended = lab.sink.taken();
    assert!(ended.len() == 2 && ended.iter().all(|line| line.contains("stale")), "{ended:?}");
    assert_eq!(lab.send("DELETE", path, b"").await.0, 202, "again is as good");
    assert!(dir.list("").expect("listed").is_empty());
}

#[tokio::test]
async fn types_become_labels_where_that_is_switched_on() {
    let lab = Lab::with(Some(Arc::new(FaultDir::new())), true);
    let text = b"# TYPE done_total counter\ndone_total 3\nalone 4\n";
    assert_eq!(lab.send("PUT", "/metrics/job/a", text).await.0, 200);
    let own = [
        r#"push_time_seconds{__type__="gauge", job="a"} 7 @7000"#,
        r#"push_failure_time_seconds{__type__="gauge", job="a"} 0 @7000"#,
    ];
    let done = r#"done_total{__type__="counter", job="a"}"#;
    let first: [&str; 4] =
        [r#"alone{job="a"} 4 @7000"#, &format!("{done} 3 @7000"), own[0], own[1]];
    assert_eq!(lab.sink.taken(), first);
    lab.clock.advance(DurationMs(1000));
    assert!(lab.tick().await.contains(&format!("{done} 3 @8000")));
    assert_eq!(lab.send("DELETE", "/metrics/job/a", b"").await.0, 202);
    let ended = lab.sink.taken();
    assert!(ended.iter().any(|line| line.starts_with(done) && line.contains("stale")), "{ended:?}");
}

#[tokio::test]
async fn what_cannot_be_kept_is_told_and_remembered() {
    let lab = Lab::new(Some(Arc::new(FaultDir::new())));
    for (path, body, part) in [
        ("/metrics/job/a", &b"m 1 1700000000000\n"[..], "must not have timestamps"),
        ("/metrics/job/a", b"m{\n", "parsing error"),
        ("/metrics/job/a/b", b"m 1\n", "has no value"),
        ("/metrics/jobs/a", b"m 1\n", "must start with"),
    ] {
        let (code, text) = lab.send("PUT", path, body).await;
        assert!(code == 400 && text.contains(part), "{path}: {code} {text}");
    }
    let taken = lab.sink.taken();
    assert!(
        taken.contains(&r#"push_failure_time_seconds{job="a"} 7 @7000"#.to_owned()),
        "{taken:?}"
    );
    let headers = [("origin", "http://evil.example")];
    assert_eq!(lab.send_with("POST", "/metrics/job/a", &headers, b"m 1\n").await.0, 403);
    let (code, text) = Lab::new(None).send("PUT", "/metrics/job/a", b"m 1\n").await;
    assert!(code == 404 && text.contains("swell.pushgateway.enabled"), "{text}");
}

#[tokio::test]
async fn labels_that_the_storage_would_not_take_are_refused_and_make_no_group() {
    let dir: Arc<dyn Dir> = Arc::new(FaultDir::new());
    let lab = Lab::new(Some(dir.clone()));
    let path = format!("/metrics/job/{}", "j".repeat(30_000));
    let (code, text) = lab.send("PUT", &path, b"m 1\n").await;
    assert!(code == 400 && text.contains("\"job\" has 30000 bytes, more than 4096"), "{text}");
    assert!(lab.sink.taken().is_empty() && dir.list("").expect("listed").is_empty());
    assert_eq!(lab.send("DELETE", &path, b"").await.0, 202);
    let value = "v".repeat(4096);
    let path = (0..8).fold("/metrics/job/j".to_owned(), |path, n| format!("{path}/l{n}/{value}"));
    let body: String = (0..5000).map(|n| format!("m{n} 1\n")).collect();
    let (code, text) = lab.send("PUT", &path, body.as_bytes()).await;
    assert!(code == 413 && text.contains("shorter labels"), "{code} {text}");
}

#[tokio::test]
async fn a_full_disk_refuses_the_push_and_keeps_the_one_before() {
    let dir = FaultDir::new();
    let lab = Lab::new(Some(Arc::new(dir.clone())));
    assert_eq!(lab.send("PUT", "/metrics/job/a", b"m 1\n").await.0, 200);
    lab.sink.taken();
    dir.fill(true);
    let (code, text) = lab.send("PUT", "/metrics/job/a", b"m 2\n").await;
    assert!(code == 503 && text.contains("cannot be kept now"), "{code} {text}");
    dir.fill(false);
    assert!(lab.sink.taken().is_empty());
    assert!(lab.tick().await.contains(&r#"m{job="a"} 1 @7000"#.to_owned()));
    assert_eq!(lab.send("PUT", "/metrics/job/a", b"m 2\n").await.0, 200);
}

#[tokio::test]
async fn series_end_also_when_the_storage_is_full_as_they_do() {
    let lab = Lab::new(Some(Arc::new(FaultDir::new())));
    assert_eq!(lab.send("PUT", "/metrics/job/a", b"m 1\nback 1\nleft 1\n").await.0, 200);
    assert_eq!(lab.send("PUT", "/metrics/job/b", b"n 1\n").await.0, 200);
    lab.sink.taken();
    lab.sink.pause(true);
    lab.clock.advance(DurationMs(1000));
    assert_eq!(lab.send("PUT", "/metrics/job/a", b"left 1\n").await.0, 200);
    assert_eq!(lab.send("PUT", "/metrics/job/a", b"left 1\nback 2\n").await.0, 200);
    assert_eq!(lab.send("DELETE", "/metrics/job/b", b"").await.0, 202);
    assert!(lab.sink.taken().is_empty());
    lab.sink.pause(false);
    lab.clock.advance(DurationMs(1000));
    let is_end = |line: &&String| line.contains("stale");
    let ticked = lab.tick().await;
    let mut ends: Vec<&String> = ticked.iter().filter(is_end).collect();
    ends.sort();
    assert_eq!(
        ends,
        [
            r#"m{job="a"} stale @9000"#,
            r#"n{job="b"} stale @9000"#,
            r#"push_failure_time_seconds{job="b"} stale @9000"#,
            r#"push_time_seconds{job="b"} stale @9000"#,
        ]
    );
    assert!(ticked.contains(&r#"back{job="a"} 2 @9000"#.to_owned()), "{ticked:?}");
    lab.clock.advance(DurationMs(1000));
    assert_eq!(lab.tick().await.iter().filter(is_end).count(), 0, "once is enough");
}
