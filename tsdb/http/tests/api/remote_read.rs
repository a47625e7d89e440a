//! Remote read over the lab's series.

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt as _;
use swell_model::{MatchOp, Matcher, TimeRange, TimestampMs};
use swell_wire::remote_read::{crc32c, request_message};
use tower::ServiceExt as _;

use crate::lab::{Lab, NOW_S, config};

fn put(tag: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).expect("seven bits") | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).expect("seven bits"));
}

/// A request for the lab's hour with these matchers: type, name, value.
fn request(matchers: &[(u8, &str, &str)], accepted: &[u8]) -> Vec<u8> {
    let mut query = Vec::new();
    for (tag, seconds) in [(0x08, NOW_S - 3600), (0x10, NOW_S)] {
        query.push(tag);
        varint((seconds * 1000).cast_unsigned(), &mut query);
    }
    for (kind, name, value) in matchers {
        let mut matcher = vec![0x08, *kind];
        put(0x12, name.as_bytes(), &mut matcher);
        put(0x1a, value.as_bytes(), &mut matcher);
        put(0x1a, &matcher, &mut query);
    }
    let mut request = Vec::new();
    put(0x0a, &query, &mut request);
    put(0x12, accepted, &mut request);
    snap::raw::Encoder::new().compress_vec(&request).expect("packs")
}

/// Status, content type and body.
async fn read(lab: &Lab, body: Vec<u8>) -> (u16, String, Vec<u8>) {
    let request = Request::post("/api/v1/read").body(Body::from(body)).expect("a request");
    let response = lab.router.clone().oneshot(request).await.expect("answered");
    let (parts, body) = response.into_parts();
    let content_type = parts.headers["content-type"].to_str().expect("text").to_owned();
    let body = body.collect().await.expect("whole").to_bytes().to_vec();
    (parts.status.as_u16(), content_type, body)
}

/// How often a text stands in bytes.
fn count(bytes: &[u8], text: &str) -> usize {
    bytes.windows(text.len()).filter(|window| *window == text.as_bytes()).count()
}

/// Series of the lab.
const SERIES: usize = 3;

const EVERYTHING: (u8, &str, &str) = (2, "__name__", ".+");

#[tokio::test]
async fn samples_come_in_one_message_with_this_servers_labels() {
    let lab = Lab::new();
    for matchers in
        [vec![EVERYTHING], vec![EVERYTHING, (0, "cluster", "east")], vec![(0, "cluster", "east")]]
    {
        let (code, content_type, body) = read(&lab, request(&matchers, &[])).await;
        assert_eq!((code, content_type.as_str()), (200, "application/x-protobuf"));
        let message = snap::raw::Decoder::new().decompress_vec(&body).expect("snappy");
        assert_eq!(count(&message, "cluster"), SERIES, "{matchers:?}");
    }
    let (_, _, body) = read(&lab, request(&[(0, "cluster", "us")], &[])).await;
    let message = snap::raw::Decoder::new().decompress_vec(&body).expect("snappy");
    assert_eq!(message, [0x0a, 0], "one query, no series");
}

#[tokio::test]
async fn chunks_come_in_frames() {
    let lab = Lab::new();
    let (code, content_type, body) = read(&lab, request(&[EVERYTHING], &[1, 0])).await;
    assert_eq!(code, 200);
    assert_eq!(
        content_type,
        "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse"
    );
    let (mut rest, mut frames) = (&body[..], 0);
    while !rest.is_empty() {
        let (mut len, mut at) = (0_usize, 0);
        loop {
            len |= usize::from(rest[at] & 0x7f) << (7 * at);
            at += 1;
            if rest[at - 1] < 0x80 {
                break;
            }
        }
        let sum = u32::from_be_bytes(rest[at..at + 4].try_into().expect("four"));
        let message = &rest[at + 4..at + 4 + len];
        assert_eq!(crc32c(message), sum);
        assert_eq!(count(message, "__name__"), 1);
        rest = &rest[at + 4 + len..];
        frames += 1;
    }
    assert_eq!(frames, SERIES);
}

/// The messages of a packed answer, or of its frames.
fn messages(content_type: &str, body: &[u8]) -> Vec<u8> {
    if content_type == "application/x-protobuf" {
        return snap::raw::Decoder::new().decompress_vec(body).expect("snappy");
    }
    body.to_vec()
}

#[tokio::test]
async fn who_asks_for_labels_only_gets_no_samples() {
    // No samples are counted where none are sent.
    let lab = Lab::with(swell_tsdb_http::ApiConfig { remote_read_samples_max: 1, ..config() });
    let range = TimeRange {
        start_incl: TimestampMs((NOW_S - 3600) * 1000),
        end_incl: TimestampMs(NOW_S * 1000),
    };
    let everything = Matcher::new("__name__", MatchOp::Regex, ".+").expect("valid");
    let asked = |labels_only: bool, accepted: u8| {
        let message = request_message(range, std::slice::from_ref(&everything), labels_only);
        // Its last field names the forms that are accepted: chunks first.
        let mut message = message[..message.len() - 4].to_vec();
        put(0x12, &[accepted], &mut message);
        snap::raw::Encoder::new().compress_vec(&message).expect("packs")
    };
    for accepted in [0, 1] {
        let (code, content_type, body) = read(&lab, asked(true, accepted)).await;
        assert_eq!(code, 200, "{}", String::from_utf8_lossy(&body));
        let labels = messages(&content_type, &body);
        assert_eq!((count(&labels, "__name__"), count(&labels, "cluster")), (SERIES, SERIES));
        let (code, _, body) = read(&lab, asked(false, accepted)).await;
        if accepted == 0 {
            assert_eq!(code, 400, "{}", String::from_utf8_lossy(&body));
        } else {
            assert!(body.len() > labels.len() + SERIES * 20, "chunks take bytes");
        }
    }
}

#[tokio::test]
async fn samples_are_those_of_the_hinted_times() {
    let lab = Lab::new();
    let hinted = |seconds: i64| {
        let at_ms = ((NOW_S - seconds) * 1000).cast_unsigned();
        let mut hints = Vec::new();
        for tag in [0x18, 0x20] {
            hints.push(tag);
            varint(at_ms, &mut hints);
        }
        let mut query = Vec::new();
        for (tag, seconds) in [(0x08, NOW_S - 3600), (0x10, NOW_S)] {
            query.push(tag);
            varint((seconds * 1000).cast_unsigned(), &mut query);
        }
        put(0x22, &hints, &mut query);
        let mut request = Vec::new();
        put(0x0a, &query, &mut request);
        snap::raw::Encoder::new().compress_vec(&request).expect("packs")
    };
    let (code, content_type, body) = read(&lab, hinted(15)).await;
    assert_eq!(code, 200, "{}", String::from_utf8_lossy(&body));
    let message = messages(&content_type, &body);
    let times = |seconds: i64| {
        let mut at = vec![0x10];
        varint(((NOW_S - seconds) * 1000).cast_unsigned(), &mut at);
        message.windows(at.len()).filter(|window| *window == at).count()
    };
    assert_eq!((times(0), times(15), times(30)), (0, SERIES, 0));
}

#[tokio::test]
async fn limits_and_faults_are_told() {
    let lab = Lab::with(swell_tsdb_http::ApiConfig { remote_read_samples_max: 1, ..config() });
    for (body, code, part) in [
        (request(&[EVERYTHING], &[]), 400, "exceeded sample limit (1)"),
        (request(&[(2, "a", "(")], &[]), 400, "regex"),
        (request(&[(7, "a", "b")], &[]), 400, "unknown type 7"),
        (request(&[EVERYTHING], &[9]), 400, "response types"),
        (request(&[(2, "a", &"(".repeat((64 << 10) + 1))], &[]), 400, "65536 bytes of regular"),
        (request(&vec![(0, "a", "b"); 1025], &[]), 400, "more than 1024 matchers"),
        (b"no snappy".to_vec(), 400, "snappy"),
        (vec![0; (1 << 20) + 1], 413, "larger than"),
    ] {
        let (found, _, text) = read(&lab, body).await;
        let text = String::from_utf8_lossy(&text);
        assert!(found == code && text.contains(part), "{found} {text}: {part}");
    }
    // The limit is one of samples; chunks are bounded by their bytes.
    assert_eq!(read(&lab, request(&[EVERYTHING], &[1])).await.0, 200);
    assert_eq!(lab.get("/api/v1/read", &[]).await.code, 405);
}

#[tokio::test]
async fn an_answer_holds_its_turn_until_it_is_sent() {
    let timeout = swell_model::DurationMs(500);
    let lab = Lab::with(swell_tsdb_http::ApiConfig { remote_reads_max: 1, timeout, ..config() });
    for accepted in [&[][..], &[1]] {
        let body = Body::from(request(&[EVERYTHING], accepted));
        let request_one = Request::post("/api/v1/read").body(body).expect("a request");
        let response = lab.router.clone().oneshot(request_one).await.expect("answered");
        assert_eq!(response.status(), 200);
        let (code, _, text) = read(&lab, request(&[EVERYTHING], &[])).await;
        assert_eq!(code, 503, "{}", String::from_utf8_lossy(&text));
        let length = response.headers().get("content-length").cloned();
        let body = response.into_body().collect().await.expect("whole").to_bytes();
        if accepted.is_empty() {
            assert_eq!(length.expect("a length"), body.len().to_string().as_str());
        }
        assert_eq!(read(&lab, request(&[EVERYTHING], &[])).await.0, 200);
    }
}
