//! The receiver of OTLP over a storage in memory: what is answered to what, over HTTP and gRPC.

mod common;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use common::{MemorySink, gzip};
use http_body_util::BodyExt as _;
use prost::Message as _;
use swell_env::SystemClock;
use swell_otlp::message::{ExportRequest, ExportResponse};
use swell_otlp::{Deltas, Encoding, Settings, read};
use swell_push::{OtlpConfig, OtlpReceiver, PushMetrics, otlp_router};
use swell_telemetry::Registry;
use tower::ServiceExt as _;

const HTTP: &str = "/api/v1/otlp/v1/metrics";
const GRPC: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

struct Lab {
    router: Router,
    sink: Arc<MemorySink>,
}

impl Lab {
    fn new(is_enabled: bool, deltas: Deltas) -> Self {
        let sink = Arc::new(MemorySink::default());
        let metrics = PushMetrics::register(&Registry::new()).expect("none is there");
        let config = OtlpConfig { is_enabled, deltas };
        let clock = Arc::new(SystemClock::new());
        let receiver = OtlpReceiver::new(config, Settings::default(), sink.clone(), clock, metrics);
        Self { router: otlp_router(receiver), sink }
    }

    fn samples(&self) -> Vec<String> {
        self.sink.taken()
    }

    async fn post(
        &self,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> (StatusCode, HeaderMap, String) {
        let mut request = Request::post(HTTP);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body)).expect("a request");
        let response = self.router.clone().oneshot(request).await.expect("answered");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("whole").to_bytes();
        (parts.status, parts.headers, String::from_utf8_lossy(&body).into_owned())
    }

    async fn json(&self, body: &str) -> (StatusCode, String) {
        let (code, _, text) = self.post(&[("content-type", "application/json")], body.into()).await;
        (code, text)
    }

    /// A call over gRPC: its status, and the message of a good one.
    async fn call(&self, message: &[u8], is_gzip: bool) -> (i32, String, Option<ExportResponse>) {
        let packed = if is_gzip { gzip(message) } else { message.to_vec() };
        let mut frame = vec![u8::from(is_gzip)];
        frame.extend_from_slice(&u32::try_from(packed.len()).expect("small").to_be_bytes());
        frame.extend_from_slice(&packed);
        let mut request = Request::post(GRPC).header("content-type", "application/grpc");
        if is_gzip {
            request = request.header("grpc-encoding", "gzip");
        }
        let request = request.body(Body::from(frame)).expect("a request");
        let response = self.router.clone().oneshot(request).await.expect("answered");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("whole");
        let told = body.trailers().cloned().unwrap_or(parts.headers);
        let text = |name: &str| {
            told.get(name).map_or("", |value| value.to_str().expect("text")).to_owned()
        };
        let status = text("grpc-status").parse().expect("a status");
        let bytes = body.to_bytes();
        let message = bytes.get(5..).map(|it| ExportResponse::decode(it).expect("a message"));
        (status, text("grpc-message"), message)
    }
}

fn body(points: &str, kind: &str) -> String {
    format!(
        r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"name":"m","{kind}":{{{points}}}}}]}}]}}]}}"#
    )
}

const GOOD: &str = r#""dataPoints":[{"timeUnixNano":"1000000","asInt":"3"}]"#;
const DELTA: &str = r#""aggregationTemporality":1,"isMonotonic":true,"dataPoints":[{"timeUnixNano":"1000000","asInt":"3"}]"#;

fn protobuf(json: &str) -> Vec<u8> {
    let request: ExportRequest = read(json.as_bytes(), Encoding::Json).expect("good");
    request.encode_to_vec()
}

#[tokio::test]
async fn both_encodings_packed_or_not_are_taken_and_answered_without_a_body() {
    let lab = Lab::new(true, Deltas::Refused);
    let json = body(GOOD, "gauge");
    let (protobuf, json) = (protobuf(&json), json.into_bytes());
    for (content_type, content) in
        [("application/x-protobuf", protobuf), ("application/json", json)]
    {
        for (encoding, sent) in [("", content.clone()), ("gzip", gzip(&content))] {
            let headers = [("content-type", content_type), ("content-encoding", encoding)];
            let (code, _, text) = lab.post(&headers, sent).await;
            assert_eq!((code, text.as_str()), (StatusCode::OK, ""), "{content_type} {encoding}");
            assert_eq!(lab.samples(), ["m 3 @1"]);
        }
    }
    assert_eq!(lab.sink.described(), ["m"], "what is known is not logged again");
}

#[tokio::test]
async fn what_the_sender_must_change_is_told() {
    let lab = Lab::new(true, Deltas::Refused);
    let json = ("content-type", "application/json");
    let bomb = gzip(&vec![b' '; 33 << 20]);
    for (headers, content, code, part) in [
        (vec![], vec![], 400, "unsupported content type"),
        (vec![("content-type", "text/plain")], vec![], 400, "unsupported content type: text/plain"),
        (vec![json, ("content-encoding", "zstd")], vec![], 400, "unsupported compression: zstd"),
        (vec![json], b"{".to_vec(), 400, "no ExportMetricsServiceRequest"),
        (
            vec![("content-type", "application/x-protobuf")],
            vec![0x0a],
            400,
            "no ExportMetricsServiceRequest",
        ),
        (vec![json, ("content-encoding", "gzip")], b"{}".to_vec(), 400, "no gzip"),
        (vec![json, ("content-encoding", "gzip")], bomb, 413, "unpacks to more than"),
        (vec![json], vec![b' '; (32 << 20) + 1], 413, "larger than"),
        (vec![json, ("origin", "http://evil.example")], b"{}".to_vec(), 403, "web pages"),
    ] {
        let (found, _, text) = lab.post(&headers, content).await;
        assert_eq!(found.as_u16(), code, "{headers:?}: {text}");
        assert!(text.contains(part), "{headers:?}: {text}");
    }
    assert!(lab.samples().is_empty());
    let (code, text) = Lab::new(false, Deltas::Refused).json("{}").await;
    assert_eq!(code, StatusCode::NOT_FOUND);
    assert!(text.contains("--web.enable-otlp-receiver"), "{text}");
}

#[tokio::test]
async fn what_is_not_stored_is_counted_and_the_rest_is_stored() {
    let lab = Lab::new(true, Deltas::Refused);
    let points = r#""dataPoints":[{"timeUnixNano":"0","asInt":1},{"timeUnixNano":"2000000","asInt":2},
        {"timeUnixNano":"2000000","asInt":3,"attributes":[{"key":"refused","value":{"boolValue":true}}]}]"#;
    let (code, text) = lab.json(&body(points, "gauge")).await;
    assert_eq!(code, StatusCode::BAD_REQUEST);
    for part in [
        "2 points or samples refused",
        "too old sample (1 of them), such as m at 0",
        "for this test",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(lab.samples(), ["m 2 @2"]);
    let (code, text) = lab.json(&body(DELTA, "sum")).await;
    assert!(code == StatusCode::BAD_REQUEST && text.contains("otlp-deltatocumulative"), "{text}");
}

#[tokio::test]
async fn deltas_are_summed_up_once_whatever_the_storage_does() {
    let lab = Lab::new(true, Deltas::SummedUp);
    let send = |at: &str| body(&DELTA.replace("1000000", at), "sum");
    assert_eq!(lab.json(&send("1000000")).await.0, StatusCode::OK);
    lab.sink.pause(true);
    let headers = [("content-type", "application/json")];
    let (code, headers, text) = lab.post(&headers, send("2000000").into_bytes()).await;
    assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE, "{text}");
    assert!(headers.contains_key("retry-after") && text.contains("the disk is full"), "{text}");
    lab.sink.pause(false);
    for expected in [StatusCode::OK, StatusCode::BAD_REQUEST] {
        assert_eq!(lab.json(&send("2000000")).await.0, expected);
    }
    assert_eq!(lab.samples(), ["m_total 3 @1", "m_total 6 @2"]);
}

#[tokio::test]
async fn no_sum_is_kept_of_a_series_that_the_storage_refuses() {
    let lab = Lab::new(true, Deltas::SummedUp);
    let attributes = r#""attributes":[{"key":"refused","value":{"boolValue":true}}],"asInt""#;
    let point = DELTA.replace(r#""asInt""#, attributes);
    for _ in 0..2 {
        let (code, text) = lab.json(&body(&point, "sum")).await;
        // Were there a sum, the second time the point would not be newer than the last one in it.
        assert!(code == StatusCode::BAD_REQUEST && text.contains("for this test"), "{text}");
        assert!(text.starts_with("1 points") && !text.contains("not newer"), "{text}");
    }
}

#[tokio::test]
async fn grpc_answers_as_the_standard_says() {
    let lab = Lab::new(true, Deltas::Refused);
    let good = protobuf(&body(GOOD, "gauge"));
    for is_gzip in [false, true] {
        let (status, text, message) = lab.call(&good, is_gzip).await;
        assert_eq!((status, message), (0, Some(ExportResponse::default())), "{text}");
        assert_eq!(lab.samples(), ["m 3 @1"]);
    }
    let (status, _, message) = lab.call(&protobuf(&body(DELTA, "sum")), false).await;
    let partial = message.expect("a message").partial_success.expect("not all of it");
    assert_eq!((status, partial.rejected_data_points), (0, 1));
    assert!(partial.error_message.contains("delta"), "{partial:?}");

    let invalid = 3;
    assert_eq!(lab.call(&[0x0a], false).await.0, invalid);
    lab.sink.pause(true);
    let unavailable = 14;
    assert_eq!(lab.call(&good, false).await.0, unavailable);
    let unimplemented = 12;
    assert_eq!(Lab::new(false, Deltas::Refused).call(&good, false).await.0, unimplemented);
    let (code, text) = {
        let request = Request::post(GRPC).body(Body::empty()).expect("a request");
        let response = lab.router.clone().oneshot(request).await.expect("answered");
        let code = response.status();
        (code, response.into_body().collect().await.expect("whole").to_bytes())
    };
    assert_eq!(code, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{text:?}");
}
