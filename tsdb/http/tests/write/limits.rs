//! What is refused before it is looked at, or is too much.

use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use swell_engine::Config;
use swell_env::MemDir;
use swell_tsdb_http::{Readiness, RemoteWrite, RemoteWriteConfig, write_router};
use tower::ServiceExt as _;

use crate::lab::{Lab, NOW_MS, labels, packed, storage};

#[tokio::test]
async fn a_receiver_that_is_off_says_how_to_switch_it_on() {
    let config = RemoteWriteConfig { is_enabled: false, ..RemoteWriteConfig::standard() };
    let lab = Lab::with(config, storage(), Arc::new(MemDir::new()));
    let answer = lab.push_series(&[(&labels("m", 0), &[(NOW_MS, 1.0)])]).await;
    assert_eq!(answer.code, 404);
    assert!(answer.text.contains("--web.enable-remote-write-receiver"), "{}", answer.text);
    assert_eq!(lab.stored("m"), []);
}

#[tokio::test]
async fn pages_in_browsers_cannot_write() {
    let lab = Lab::new();
    let body = packed(b"");
    let request = Request::post("/api/v1/write").header("origin", "http://127.0.0.1:9090");
    let answer = lab.answer(request.body(Body::from(body)).expect("a request")).await;
    assert_eq!(answer.code, 403);
    let request = Request::options("/api/v1/write").header("origin", "http://a.example");
    let answer = lab.answer(request.body(Body::empty()).expect("a request")).await;
    assert_eq!(answer.code, 405);
    assert!(!answer.headers.contains_key("access-control-allow-origin"));
}

#[tokio::test]
async fn a_server_that_is_not_ready_takes_nothing() {
    let lab = Lab::new();
    let registry = swell_telemetry::self_metrics().expect("a new registry");
    let receiver = RemoteWrite::new(
        RemoteWriteConfig::standard(),
        lab.db.clone(),
        lab.clock.clone(),
        Readiness::default(),
        &registry,
    );
    let router = write_router(receiver.expect("metrics registered once"));
    let request = Request::post("/api/v1/write").body(Body::from(packed(b""))).expect("a request");
    let response = router.oneshot(request).await.expect("routers do not fail");
    assert_eq!(response.status(), 503);
}

#[tokio::test]
async fn bodies_beyond_the_limit_are_refused_packed_and_unpacked() {
    let lab = Lab::new();
    let answer = lab.push(vec![0; (32 << 20) + 1]).await;
    assert_eq!(answer.code, 413, "{}", answer.text);
    assert!(answer.text.contains("send smaller requests"), "{}", answer.text);
    let answer = lab.push(packed(&vec![0; (32 << 20) + 1])).await;
    assert_eq!(answer.code, 413, "{}", answer.text);
    let answer = lab.push(vec![0xff, 0xff, 0xff, 0xff, 0x0f, 0]).await;
    assert_eq!(answer.code, 413, "{}", answer.text);
    let answer = lab.push(vec![0x80, 0x80, 0x80, 0x08, 0]).await;
    assert_eq!(answer.code, 400, "{}", answer.text);
    assert!(answer.text.contains("cannot hold"), "{}", answer.text);
}

#[tokio::test]
async fn small_entries_in_great_number_are_too_many() {
    let lab = Lab::new();
    let mut series = swell_wire::remote_write::encode_labels(&labels("m", 0)).into_vec();
    // Samples of no bytes: value 0 at time 0.
    series.extend([2 << 3 | 2, 0].repeat(1 << 21));
    let mut request = vec![1 << 3 | 2];
    let mut len = series.len();
    while len >= 0x80 {
        request.push(u8::try_from(len & 0x7f).expect("seven bits") | 0x80);
        len >>= 7;
    }
    request.push(u8::try_from(len).expect("seven bits"));
    request.extend(series);
    let answer = lab.push(packed(&request)).await;
    assert_eq!(answer.code, 413, "{}", answer.text);
    assert!(answer.text.contains("entries"), "{}", answer.text);
    assert_eq!(lab.db.status().head.series_count, 0, "no series is made of what is refused");
}

#[tokio::test]
async fn a_malformed_request_leaves_no_trace() {
    let lab = Lab::new();
    let mut request = crate::lab::request(&[(&labels("m", 0), &[(NOW_MS, 1.0)])]);
    request.extend([1 << 3 | 2, 200]);
    let answer = lab.push(packed(&request)).await;
    assert_eq!(answer.code, 400, "{}", answer.text);
    let told = "the body is no such message: byte ";
    assert!(answer.text.starts_with(told), "{}", answer.text);
    assert_eq!(answer.text.matches("byte ").count(), 1, "{}", answer.text);
    assert_eq!(lab.stored("m"), []);
    assert_eq!(lab.db.status().head.series_count, 0);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_not_stored() {
    let lab = Lab::new();
    let whole = packed(&crate::lab::request(&[(&labels("m", 0), &[(NOW_MS, 1.0)])]));
    let half = axum::body::Bytes::copy_from_slice(&whole[..whole.len() / 2]);
    let cut = std::io::Error::other("the sender went away");
    let frames: [Result<_, std::io::Error>; 2] = [Ok(half), Err(cut)];
    let answer = lab.push(Body::from_stream(futures::stream::iter(frames))).await;
    assert_eq!(answer.code, 400, "{}", answer.text);
    assert!(answer.text.contains("the sender went away"), "{}", answer.text);
    assert_eq!(lab.stored("m"), []);
}

#[tokio::test]
async fn what_comes_in_pieces_is_put_together() {
    let lab = Lab::new();
    let whole = packed(&crate::lab::request(&[(&labels("m", 0), &[(NOW_MS, 1.0)])]));
    let pieces: Vec<Result<_, std::io::Error>> =
        whole.chunks(3).map(|piece| Ok(axum::body::Bytes::copy_from_slice(piece))).collect();
    let answer = lab.push(Body::from_stream(futures::stream::iter(pieces))).await;
    assert_eq!(answer.code, 204, "{}", answer.text);
    assert_eq!(lab.stored("m"), [(NOW_MS, 1.0)]);
}

#[tokio::test]
async fn new_series_above_the_limit_are_shed_and_known_ones_go_on() {
    let config = Config { head_series_max: 2, ..storage() };
    let lab = Lab::with(RemoteWriteConfig::standard(), config, Arc::new(MemDir::new()));
    let all: Vec<_> = (0..4).map(|nr| labels("m", nr)).collect();
    let first = [(NOW_MS, 1.0)];
    let series: Vec<_> = all.iter().map(|labels| (labels, &first[..])).collect();
    let answer = lab.push_series(&series).await;
    assert_eq!(answer.code, 400, "{}", answer.text);
    for part in ["2 entries refused, the others are stored", "limit on series", r#"nr="2""#] {
        assert!(answer.text.contains(part), "{part} in {}", answer.text);
    }
    assert_eq!(lab.stored("m").len(), 2);
    let second = [(NOW_MS + 1000, 2.0)];
    assert_eq!(lab.push_series(&[(&all[0], &second), (&all[1], &second)]).await.code, 204);
    assert_eq!(lab.stored("m").len(), 4);
    assert!(lab.metric("swell_remote_write_refused_total", "series_limit") >= 2.0);
}
