//! Queries that take too long, whose client goes away, or whose answer nobody reads.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Folder, Server, get, push, wait_for};

/// How soon a query must have stopped (T20). A machine with much else to do gets a few tries.
const SOON: Duration = Duration::from_secs(1);
const TRIES: usize = 5;
/// What may be in use after a query more than before it: buffers that are kept, and what the server does meanwhile.
const SLACK_BYTES: u64 = 64 << 20;
const SERIES_COUNT: usize = 200;

struct Lab {
    server: Server,
    /// When the samples are.
    at_s: i64,
    _folder: Folder,
}

impl Lab {
    fn start() -> Self {
        let folder = Folder::new();
        let text = "swell: {query: {max_concurrency: 1, max_samples: 50000000}}\n";
        let config = folder.file("swell.yaml", text);
        let server = Server::start(&folder.join("data"), &["--config", &config]);
        let (_, body) = server.get("/api/v1/query?query=time()");
        let answer: Value = serde_json::from_str(&body).expect("JSON");
        let now = answer["data"]["result"][0].as_f64().expect("a time");
        // Not a moment ahead: a query that comes at once sees the samples.
        let at_s: i64 = format!("{:.0}", now.floor()).parse().expect("a time in this age");
        assert_eq!(push(server.http, at_s * 1000, SERIES_COUNT).status, 204);
        Self { server, at_s, _folder: folder }
    }

    /// Eleven thousand steps, each with a window of its own for each series: minutes of work.
    fn long_query(&self, timeout: &str) -> String {
        let (start, end) = (self.at_s, self.at_s + 109);
        let inner = "quantile_over_time(0.5,pushed[5m])".to_owned();
        let query =
            (0..200).fold(inner, |text, _| format!("{text}%2Bquantile_over_time(0.5,pushed[5m])"));
        format!(
            "/api/v1/query_range?query={query}&start={start}&end={end}&step=0.01&timeout={timeout}"
        )
    }

    fn running(&self) -> u64 {
        let (_, text) = self.server.get("/metrics");
        let value = text.lines().find_map(|line| line.strip_prefix("swell_query_running "));
        value.expect("the metric").parse().expect("a whole number")
    }

    /// Waits until so many queries are under way; gives how long that took.
    fn until_running(&self, count: u64) -> Duration {
        let began = Instant::now();
        wait_for("that many queries under way", || (self.running() == count).then_some(()));
        began.elapsed()
    }

    /// Resident memory of the server.
    fn memory_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.server.process.pid());
        let text = std::fs::read_to_string(path).expect("it runs");
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
        let kib = line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number");
        kib << 10
    }

    fn is_usable(&self) {
        let (code, body) = self.server.get("/api/v1/query?query=count(pushed)");
        assert!(code == 200 && body.contains(&format!("\"{SERIES_COUNT}\"")), "{code}: {body}");
    }
}

/// Sends a request, and reads nothing.
fn asked(server: SocketAddr, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server).expect("it listens");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
    stream
}

/// Checks that queries that were stopped keep no memory, and that others are answered.
fn check_memory_comes_back(lab: &Lab, attempt: impl Fn() -> Duration) {
    let before = lab.memory_bytes();
    for _ in 0..TRIES {
        attempt();
    }
    let after = lab.memory_bytes();
    assert!(after < before + SLACK_BYTES, "{before} bytes, and {after} after {TRIES} more");
    lab.is_usable();
}

/// One of the tries is as fast as it must be; what each took is told.
fn check_soon(what: &str, mut attempt: impl FnMut() -> Duration) {
    let mut took = Vec::new();
    while took.len() < TRIES {
        took.push(attempt());
        if took.last() < Some(&SOON) {
            return;
        }
    }
    panic!("{what} took {took:?}");
}

#[test]
fn a_query_is_stopped_soon_after_its_deadline_and_gives_its_memory_back() {
    let lab = Lab::start();
    let timeout = Duration::from_millis(500);
    let path = lab.long_query("500ms");
    let attempt = || {
        let began = Instant::now();
        let (code, body) = get(lab.server.http, &path);
        assert_eq!(code, 503, "{body}");
        assert!(body.contains(r#""errorType":"timeout""#) && body.contains("timed out"), "{body}");
        lab.until_running(0);
        began.elapsed().saturating_sub(timeout)
    };
    check_soon("the end after the deadline", attempt);
    check_memory_comes_back(&lab, attempt);
    assert_eq!(lab.server.stop(), 0);
}

#[test]
fn a_query_is_stopped_soon_after_its_client_is_gone_and_gives_its_memory_back() {
    let lab = Lab::start();
    let path = lab.long_query("100s");
    let attempt = || {
        let stream = asked(lab.server.http, &path);
        lab.until_running(1);
        drop(stream);
        lab.until_running(0)
    };
    check_soon("the end after the disconnection", attempt);
    check_memory_comes_back(&lab, attempt);
    assert_eq!(lab.server.stop(), 0);
}

#[test]
fn a_client_that_does_not_read_its_answer_holds_up_nobody_and_is_cut() {
    /// The connection is cut when nothing of it was read for a minute.
    const CUT_AFTER: Duration = Duration::from_secs(60);
    let lab = Lab::start();
    // Two million points, of which no more than the buffers of the kernel are taken.
    let (start, end) = (lab.at_s, lab.at_s + 299);
    let path = format!("/api/v1/query_range?query=pushed&start={start}&end={end}&step=0.03");
    let whole = get(lab.server.http, &path).1.len();
    assert!(whole > 20 << 20, "{whole} bytes");
    let before = lab.memory_bytes();
    let began = Instant::now();
    let mut streams: Vec<TcpStream> = (0..3).map(|_| asked(lab.server.http, &path)).collect();
    // All were evaluated, one after another, and none keeps the turn of others.
    for stream in &streams {
        stream.set_read_timeout(Some(CUT_AFTER)).expect("a timeout");
        assert_eq!(stream.peek(&mut [0]).expect("the answer begins"), 1);
    }
    lab.until_running(0);
    let all_began = Instant::now();
    let held = lab.memory_bytes();
    while began.elapsed() < CUT_AFTER / 2 {
        lab.is_usable();
        std::thread::park_timeout(Duration::from_secs(5));
    }
    let ports: Vec<u16> =
        streams.iter().map(|stream| stream.local_addr().expect("connected").port()).collect();
    let cut_at = loop {
        if server_ends_held(&ports) == 0 {
            break began.elapsed();
        }
        assert!(
            all_began.elapsed() < 2 * CUT_AFTER,
            "nobody was cut: {}",
            lab.server.process.log()
        );
        std::thread::park_timeout(Duration::from_millis(500));
    };
    assert!(cut_at >= CUT_AFTER, "a pause is no offence: cut after {cut_at:?}");
    let after = lab.memory_bytes();
    assert!(
        after < before + SLACK_BYTES,
        "{before} bytes before, {held} while nobody read, {after} after"
    );
    for stream in &mut streams {
        let mut read = Vec::new();
        // However it ends, it does not end with the answer.
        drop(stream.read_to_end(&mut read));
        assert!(read.len() < whole, "{} of {whole} bytes", read.len());
    }
    lab.is_usable();
    assert_eq!(lab.server.stop(), 0);
}

/// How many connections from these ports their other end still holds: a socket that was closed belongs to no process.
fn server_ends_held(ports: &[u16]) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("the kernel tells");
    let held = table.lines().skip(1).filter(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let port = fields[2].rsplit(':').next().and_then(|port| u16::from_str_radix(port, 16).ok());
        port.is_some_and(|port| ports.contains(&port)) && fields[9] != "0"
    });
    held.count()
}
