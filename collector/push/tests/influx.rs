//! The receiver of InfluxDB's line protocol over a storage in memory.

mod common;

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use common::{MemorySink, gzip};
use http_body_util::BodyExt as _;
use swell_env::ManualClock;
use swell_model::TimestampMs;
use swell_push::{InfluxReceiver, PushMetrics, influx_router};
use swell_telemetry::Registry;
use tower::ServiceExt as _;

struct Lab {
    router: axum::Router,
    sink: Arc<MemorySink>,
}

impl Lab {
    fn new(is_enabled: bool) -> Self {
        let sink = Arc::new(MemorySink::default());
        let metrics = PushMetrics::register(&Registry::new()).expect("none is there");
        let clock = Arc::new(ManualClock::new(TimestampMs(7000)));
        let receiver = InfluxReceiver::new(is_enabled, sink.clone(), clock, metrics);
        Self { router: influx_router(receiver), sink }
    }

    async fn send(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, String) {
        let mut request = Request::post(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_vec())).expect("a request");
        let response = self.router.clone().oneshot(request).await.expect("answered");
        let code = response.status().as_u16();
        let body = response.into_body().collect().await.expect("whole").to_bytes();
        (code, String::from_utf8_lossy(&body).into_owned())
    }
}

#[tokio::test]
async fn both_versions_are_taken_packed_or_not() {
    let lab = Lab::new(true);
    let lines = b"cpu,host=a idle=0.5 3\nmem used=2i";
    for (path, headers, body, expected) in [
        (
            "/write?db=t&precision=s",
            vec![],
            lines.to_vec(),
            r#"cpu_idle{db="t", host="a"} 0.5 @3000"#,
        ),
        (
            "/api/v2/write?org=o&bucket=b&precision=ms",
            vec![("authorization", "Token x")],
            lines.to_vec(),
            r#"cpu_idle{host="a"} 0.5 @3"#,
        ),
        (
            "/write?precision=ms",
            vec![("content-encoding", "gzip")],
            gzip(lines),
            r#"cpu_idle{host="a"} 0.5 @3"#,
        ),
    ] {
        let answer = lab.send(path, &headers, &body).await;
        assert_eq!(answer, (204, String::new()), "{path}");
        let taken = lab.sink.taken();
        assert_eq!(taken[0], expected, "{path}");
        assert!(taken[1].ends_with("2 @7000"), "{taken:?}");
    }
}

#[tokio::test]
async fn wrong_lines_are_told_and_the_others_stored() {
    let lab = Lab::new(true);
    let (code, text) = lab.send("/write?precision=s", &[], b"m x=1 5\nm x=abc 6\nm x=3 0").await;
    assert_eq!(code, 400);
    for part in
        ["partial write", "line 2", "no number", "2 dropped", "too old", "\"code\":\"invalid\""]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(lab.sink.taken(), ["m_x 1 @5000"]);
    for (path, headers, body, code, part) in [
        ("/write?precision=d", vec![], &b"m x=1"[..], 400, "none of ns"),
        ("/write", vec![("content-encoding", "zstd")], b"m x=1", 400, "zstd"),
        ("/write", vec![("content-encoding", "gzip")], b"m x=1", 400, "no gzip"),
        ("/write", vec![("origin", "http://evil.example")], b"m x=1", 403, "web pages"),
    ] {
        let (found, text) = lab.send(path, &headers, body).await;
        assert!(found == code && text.contains(part), "{path}: {found} {text}");
    }
    lab.sink.pause(true);
    assert_eq!(lab.send("/write", &[], b"m x=1").await.0, 503);
    let (code, text) = Lab::new(false).send("/write", &[], b"m x=1").await;
    assert!(code == 404 && text.contains("swell.influx_receiver.enabled"), "{text}");
}

#[tokio::test]
async fn clients_may_ask_whether_somebody_is_there() {
    let request = Request::get("/ping").body(Body::empty()).expect("a request");
    let response = Lab::new(true).router.oneshot(request).await.expect("answered");
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    assert!(response.headers()["x-influxdb-version"].to_str().expect("text").starts_with("1."));
}
