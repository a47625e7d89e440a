//! Targets that take their time.

use std::fmt::Write as _;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::harness::{Folder, Server, has, run, wait_for};

const SLOW_COUNT: usize = 1000;
const GOOD_COUNT: usize = 5;
/// Between two bytes of a slow answer.
const DRIP: Duration = Duration::from_millis(100);

/// A server of a test, ended when it is dropped.
struct Answering {
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Answering {
    fn start(work: impl FnOnce(TcpListener, &AtomicBool) + Send + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a listener");
        let address = listener.local_addr().expect("bound");
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let thread = std::thread::spawn(move || work(listener, &over));
        Self { address, is_over, thread: Some(thread) }
    }

    /// Answers each connection at once.
    fn at_once() -> Self {
        Self::start(|listener, is_over| {
            while !is_over.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((stream, _)) => answer(stream),
                    Err(_) => std::thread::park_timeout(Duration::from_millis(5)),
                }
            }
        })
    }

    /// Gives every connection one byte of a good answer at a time, and never the last one.
    fn by_drops() -> Self {
        Self::start(|listener, is_over| {
            let text = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n".iter().copied();
            let text: Vec<u8> = text.chain(std::iter::repeat_n(b'#', 10_000)).collect();
            let mut open: Vec<(TcpStream, usize)> = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true).expect("a connection");
                    open.push((stream, 0));
                }
                open.retain_mut(|(stream, sent)| match stream.write(&text[*sent..=*sent]) {
                    Ok(count) => {
                        *sent = (*sent + count).min(text.len() - 1);
                        true
                    }
                    Err(error) => error.kind() == ErrorKind::WouldBlock,
                });
                std::thread::park_timeout(DRIP);
            }
        })
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            thread.join().expect("it does not panic");
        }
    }
}

fn answer(mut stream: TcpStream) {
    stream.set_nonblocking(false).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(1))).expect("a timeout");
    // The head of a request comes in one piece.
    if stream.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close";
        // A client that has gone needs no answer.
        drop(write!(stream, "{head}\r\nContent-Length: 7\r\n\r\ngood 1\n"));
    }
}

fn config(slow: SocketAddr, good: SocketAddr) -> String {
    let mut text = "swell: {self_metrics: false}\nscrape_configs:\n".to_owned();
    for (job, address, count, interval, timeout) in
        [("good", good, GOOD_COUNT, "1s", "900ms"), ("slow", slow, SLOW_COUNT, "4s", "2s")]
    {
        writeln!(
            text,
            "- job_name: {job}\n  scrape_interval: {interval}\n  scrape_timeout: {timeout}"
        )
        .and_then(|()| writeln!(text, "  static_configs:"))
        .expect("strings take all text");
        for nr in 0..count {
            let labels = format!("{{instance: '{nr}', __metrics_path__: /{nr}}}");
            writeln!(text, "  - {{targets: ['{address}'], labels: {labels}}}")
                .expect("strings take all text");
        }
    }
    text
}

#[test]
fn a_thousand_targets_that_give_a_byte_at_a_time_delay_no_other() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("a limit");
    let (slow, good) = (Answering::by_drops(), Answering::at_once());
    let folder = Folder::new();
    let config = folder.file("swell.yaml", &config(slow.address, good.address));
    let server = Server::start(&folder.join("data"), &["--config", &config]);
    let number = |query: &str| -> Option<f64> {
        let found = server.query(query);
        found.first()?["value"][1].as_str()?.parse().ok()
    };
    wait_for("all slow targets to be down", || {
        let down = number("count(up{job=\"slow\"} == 0)")?;
        (down >= SLOW_COUNT as f64).then_some(())
    });
    // A while in which all of them are under way.
    std::thread::park_timeout(Duration::from_secs(12));
    let seen = |query: &str| number(query).unwrap_or_else(|| panic!("{query} has no answer"));
    // Half of what there should be: a machine that has much else to do leaves some out, and whoever waits for slow targets
    // gets to the good ones once in two seconds at best.
    let up = seen("min(count_over_time((up{job=\"good\"} == 1)[10s:1s]))");
    assert!(up > 5.0, "a good target was up in {up} of 10 seconds");
    let scraped = seen("min(count_over_time(up{job=\"good\"}[10s]))");
    assert!(scraped > 5.0, "a good target was scraped {scraped} times in 10 seconds");
    let ended = seen("max(max_over_time(scrape_duration_seconds{job=\"slow\"}[10s]))");
    assert!((1.9..4.0).contains(&ended), "a slow scrape took {ended} s of 2");
    assert_eq!(seen("count(up{job=\"slow\"} == 0)"), 1000.0, "none of them is up");
    assert_eq!(server.stop(), 0);
}

#[test]
fn targets_out_of_reach_are_named_with_their_address() {
    let good = Answering::at_once();
    let port = good.address.port();
    let folder = Folder::new();
    let config = |allowed: &str| {
        format!(
            "swell: {{self_metrics: false, scrape: {{allowed_addresses: [{allowed}]}}}}\nscrape_configs:\n- job_name: good\n  scrape_interval: 1s\n  static_configs:\n  - {{targets: ['{}', 'localhost:{port}', '127.0.0.2:{port}', '[::1]:{port}']}}\n",
            good.address
        )
    };
    let file = folder.file("swell.yaml", &config("127.0.0.1/32"));
    let server = Server::start(&folder.join("data"), &["--config", &file]);
    let targets = wait_for("a scrape of each target", || {
        let targets = server.data("/api/v1/targets?state=active")["activeTargets"].clone();
        let targets = targets.as_array()?.clone();
        (targets.len() == 4 && targets.iter().all(|it| it["health"] != "unknown"))
            .then_some(targets)
    });
    for target in &targets {
        let (instance, error) = (target["labels"]["instance"].to_string(), &target["lastError"]);
        if instance.contains("127.0.0.2") || instance.contains("[::1]") {
            has(error.as_str().expect("told"), &["not among the addresses that may be connected"]);
        } else {
            assert_eq!((&target["health"], error), (&"up".into(), &"".into()), "{target}");
        }
    }
    assert_eq!(server.stop(), 0);
    // A list that is none, or leaves nobody, is told.
    for (allowed, fault) in [("10.0.0.0/40", "neither an address nor a network"), ("", "empty")] {
        let file = folder.file("wrong.yaml", &config(allowed));
        let (code, _, stderr) = run(&["check", "config", &file]);
        assert_eq!(code, 1, "{stderr}");
        has(&stderr, &["swell.scrape.allowed_addresses", fault]);
    }
}
