//! Senders of remote write against the real binary: Debian's Prometheus, and one that counts what it was promised.
#![expect(
    clippy::disallowed_methods,
    reason = "tests wait by the machine's clock, and CI tells by the environment that nothing may be skipped"
)]

mod harness;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicI64, Ordering};

use harness::{Server, wait_for};
use serde_json::Value;
use swell_model::Labels;
use swell_wire::remote_write::{encode_labels, put_series};

/// The answer's data; the request is of HTTP/1.0, whose answers do not come in chunks.
fn ask(address: SocketAddr, path: &str, params: &[(&str, &str)]) -> Value {
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(params).finish();
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(harness::DEADLINE)).expect("a timeout");
    write!(stream, "GET {path}?{query} HTTP/1.0\r\nHost: localhost\r\n\r\n").expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("answered");
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let answer: Value =
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(answer["status"], "success", "{text}");
    answer["data"].clone()
}

/// Points by label set, values as bits.
fn matrix(address: SocketAddr, query: &str, at: &str) -> BTreeMap<String, Vec<(String, u64)>> {
    let data = ask(address, "/api/v1/query", &[("query", query), ("time", at)]);
    let point = |point: &Value| {
        let value: f64 = point[1].as_str().expect("a value").parse().expect("a number");
        // One NaN is as good as another once it was printed.
        let bits = if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() };
        (point[0].to_string(), bits)
    };
    let series = data["result"].as_array().expect("series");
    series
        .iter()
        .map(|it| {
            let points = it["values"].as_array().expect("floats only");
            (it["metric"].to_string(), points.iter().map(point).collect())
        })
        .collect()
}

/// Debian's Prometheus; none when it is not installed, which is a failure where nothing may be skipped.
fn prometheus(folder: &Path, port: u16, write_to: SocketAddr) -> Option<Child> {
    let config = folder.join("prometheus.yml");
    let text = format!(
        "global: {{scrape_interval: 1s}}\n\
         scrape_configs: [{{job_name: prometheus, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]\n\
         remote_write:\n  - url: http://{write_to}/api/v1/write\n    \
         queue_config: {{batch_send_deadline: 200ms, max_samples_per_send: 300, max_shards: 1}}\n    \
         metadata_config: {{send_interval: 1s}}\n"
    );
    std::fs::write(&config, text).expect("written");
    let started = Command::new("prometheus")
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("prometheus").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    match started {
        Ok(child) => Some(child),
        Err(error) => {
            let in_ci = std::env::var("CI").as_deref() == Ok("true");
            assert!(!in_ci, "prometheus cannot be run ({error}), and CI skips nothing");
            eprintln!("SKIPPED: prometheus cannot be run ({error}): apt-get install prometheus");
            None
        }
    }
}

/// Ends with its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // One that is gone already is fine.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn what_prometheus_sends_is_answered_as_prometheus_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&folder.path().join("data"), &[]);
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let own = free.local_addr().expect("an address");
    drop(free);
    let Some(child) = prometheus(folder.path(), own.port(), server.http) else { return };
    let _running = Running(child);
    let up = r#"up{job="prometheus"}"#;
    let rows = format!("count_over_time({up}[1h])");
    wait_for("eight scrapes", || {
        let data = ask(server.http, "/api/v1/query", &[("query", &rows)]);
        let count: f64 = data["result"][0]["value"][1].as_str()?.parse().ok()?;
        (count >= 8.0).then_some(())
    });
    // What came with the last scrapes may still be under way.
    let newest = format!("timestamp({up}) - 3");
    let data = ask(server.http, "/api/v1/query", &[("query", &newest)]);
    let at = data["result"][0]["value"][1].as_str().expect("a time").to_owned();
    let everything = r#"{job="prometheus"}[1h]"#;
    let (sent, stored) = (matrix(own, everything, &at), matrix(server.http, everything, &at));
    assert!(sent.len() > 300, "only {} series", sent.len());
    assert_eq!(sent.keys().collect::<Vec<_>>(), stored.keys().collect::<Vec<_>>());
    for (series, points) in &sent {
        assert_eq!(stored.get(series), Some(points), "{series}");
    }
    let metadata = wait_for("metadata", || {
        let params = [("metric", "prometheus_http_requests_total")];
        let data = ask(server.http, "/api/v1/metadata", &params);
        data.get("prometheus_http_requests_total").cloned()
    });
    assert_eq!(metadata[0]["type"], "counter");
}

const SERIES_COUNT: usize = 20;

fn request(at_ms: i64) -> Vec<u8> {
    let mut out = Vec::new();
    for nr in 0..SERIES_COUNT {
        let nr = nr.to_string();
        let labels = Labels::from_pairs([("__name__", "pushed"), ("nr", nr.as_str())]);
        put_series(&encode_labels(&labels), &[(at_ms, 0.5)], &mut out);
    }
    snap::raw::Encoder::new().compress_vec(&out).expect("packs")
}

/// Pushes a row each millisecond of its own time, from that time on, until the server is gone. Gives the time of
/// the last row that was acknowledged; `progress` shows it.
fn push_until_gone(server: SocketAddr, from_ms: i64, progress: &AtomicI64) -> i64 {
    let stream = TcpStream::connect(server).expect("it listens");
    let mut answers = BufReader::new(stream.try_clone().expect("shared"));
    let mut stream = stream;
    let mut at_ms = from_ms;
    loop {
        let body = request(at_ms);
        let head = format!(
            "POST /api/v1/write HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let mut status = String::new();
        let sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
        if sent.is_err() || answers.read_line(&mut status).is_err() || status.is_empty() {
            return progress.load(Ordering::SeqCst);
        }
        assert!(status.starts_with("HTTP/1.1 204"), "{status}");
        progress.store(at_ms, Ordering::SeqCst);
        at_ms += 1;
        let mut line = String::new();
        while answers.read_line(&mut line).is_ok_and(|len| len > 2) {
            line.clear();
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_to_a_kill() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut next_ms = None;
    let mut promised: Vec<(i64, i64)> = Vec::new();
    for round in 0..6 {
        let server = Server::start(folder.path(), &[]);
        let http = server.http;
        let data = ask(http, "/api/v1/query", &[("query", "time() * 1000")]);
        let now_ms: f64 = data["result"][1].as_str().expect("a time").parse().expect("a number");
        let from_ms =
            *next_ms.get_or_insert_with(|| format!("{now_ms:.0}").parse().expect("whole"));
        for (first, last) in &promised {
            let at = format!("{}.{:03}", last / 1000, last % 1000);
            let window = format!("pushed[{}ms]", last - first + 1);
            let there = matrix(http, &window, &at);
            assert_eq!(there.len(), SERIES_COUNT, "round {round}");
            for (series, points) in there {
                let count = usize::try_from(last - first + 1).expect("positive");
                assert_eq!(points.len(), count, "round {round}, {series}");
            }
        }
        let progress = AtomicI64::new(from_ms - 1);
        std::thread::scope(|scope| {
            let pusher = scope.spawn(|| push_until_gone(http, from_ms, &progress));
            wait_for("thirty acknowledged requests", || {
                (progress.load(Ordering::SeqCst) >= from_ms + 30).then_some(())
            });
            server.kill();
            let last_ms = pusher.join().expect("the pusher ends");
            promised.push((from_ms, last_ms));
            // The request without an answer may be there or not.
            next_ms = Some(last_ms + 2);
        });
    }
}
