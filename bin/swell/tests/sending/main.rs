//! The real binary sends by remote write: to Debian's Prometheus, to another Swell, to VictoriaMetrics, and to a receiver that
//! fails as it is told. And it lets others take samples over, and reads from them.
#![expect(
    clippy::disallowed_methods,
    reason = "tests of the binary measure real time, and CI tells by the environment that nothing may be skipped"
)]

#[path = "../harness/mod.rs"]
mod harness;

mod federation;
mod outages;
mod peers;
mod reading;
mod receiver;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use harness::get;
use serde_json::Value;
use swell_wire::remote_write::Message;

/// A text as it stands in a query of a URL.
fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// `data` of a good answer of the Prometheus API, or of one like it.
#[track_caller]
fn data(address: SocketAddr, path: &str) -> Value {
    let (status, body) = get(address, path);
    assert_eq!(status, 200, "{path}: {body}");
    let mut answer: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(answer["status"], "success", "{path}: {body}");
    answer["data"].take()
}

/// What a query gives: points or histograms as text by label set, some labels left out.
#[track_caller]
fn matrix(
    address: SocketAddr,
    query: &str,
    at: &str,
    without: &[&str],
) -> BTreeMap<String, Vec<String>> {
    let path = format!("/api/v1/query?query={}&time={at}", encoded(query));
    let data = data(address, &path);
    let series = data["result"].as_array().expect("series");
    series
        .iter()
        .map(|it| {
            let mut labels = it["metric"].clone();
            if let Some(labels) = labels.as_object_mut() {
                without.iter().for_each(|name| drop(labels.remove(*name)));
            }
            let points =
                ["values", "histograms"].into_iter().filter_map(|kind| it[kind].as_array());
            (labels.to_string(), points.flatten().map(Value::to_string).collect())
        })
        .collect()
}

/// Pushes a message.
fn post(server: SocketAddr, message: Message, unpacked: &[u8]) {
    let body = snap::raw::Encoder::new().compress_vec(unpacked).expect("packs");
    let mut stream = TcpStream::connect(server).expect("it listens");
    write!(
        stream,
        "POST /api/v1/write HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/x-protobuf;proto={}\r\n\
         Content-Encoding: snappy\r\nContent-Length: {}\r\n\r\n",
        message.name(),
        body.len()
    )
    .and_then(|()| stream.write_all(&body))
    .expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
}

/// The value of an instant query with one series.
fn value(address: SocketAddr, query: &str) -> Option<f64> {
    let data = data(address, &format!("/api/v1/query?query={}", encoded(query)));
    data["result"][0]["value"][1].as_str()?.parse().ok()
}

/// The value of a line of `/metrics` that begins so.
fn metric(address: SocketAddr, start: &str) -> Option<f64> {
    let (_, text) = get(address, "/metrics");
    let line = text.lines().find(|line| line.starts_with(start))?;
    line.rsplit(' ').next()?.parse().ok()
}
