//! Many more queries at once than can be answered.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::Value;

use crate::harness::{Folder, Server, get, get_from, push, wait_for};

const SERIES_COUNT: usize = 200;
/// Clients that ask one query after another, without a pause.
const CLIENT_COUNT: usize = 100;
/// What is stored beside them.
const BATCH_COUNT: i64 = 40;

/// A window that slides in steps of a second over the last ten minutes of each series.
const HEAVY: &str = "/api/v1/query?query=max(max_over_time((pushed%2B0)[10m:1s]))";

#[test]
fn a_storm_of_queries_is_answered_or_sent_away_and_samples_and_health_go_on() {
    let folder = Folder::new();
    let config = folder.file("swell.yaml", "swell: {query: {max_concurrency: 2}}\n");
    let server = Server::start(&folder.join("data"), &["--config", &config]);
    let (_, body) = server.get("/api/v1/query?query=time()");
    let answer: Value = serde_json::from_str(&body).expect("JSON");
    let now = answer["data"]["result"][0].as_f64().expect("a time");
    let first_ms: i64 = format!("{:.0}", now * 1000.0).parse().expect("a time in this age");
    assert_eq!(push(server.http, first_ms, SERIES_COUNT).status, 204);

    let (is_over, answered, refused) =
        (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let client = |http: SocketAddr| {
        while !is_over.load(Ordering::Relaxed) {
            let (status, body) = get(http, HEAVY);
            match status {
                200 => answered.fetch_add(1, Ordering::Relaxed),
                503 => refused.fetch_add(1, Ordering::Relaxed),
                _ => panic!("{status}: {body}"),
            };
        }
    };
    std::thread::scope(|scope| {
        let http = server.http;
        for _ in 0..CLIENT_COUNT {
            scope.spawn(|| client(server.http));
        }
        wait_for("a refusal", || (refused.load(Ordering::Relaxed) > 0).then_some(()));
        // Another client has its turn all the while.
        for _ in 0..10 {
            let (status, body) = get_from([127, 0, 0, 2].into(), http, "/api/v1/query?query=1");
            assert_eq!(status, 200, "{body}");
        }
        for nr in 1..BATCH_COUNT {
            assert_eq!(push(http, first_ms + nr, SERIES_COUNT).status, 204, "batch {nr}");
            assert_eq!(server.get("/-/healthy").0, 200);
            assert_eq!(server.get("/-/ready").0, 200);
        }
        wait_for("an answer", || (answered.load(Ordering::Relaxed) > 0).then_some(()));
        is_over.store(true, Ordering::Relaxed);
    });
    let count = server.query("sum(count_over_time(pushed[1h]))");
    let expected = SERIES_COUNT * usize::try_from(BATCH_COUNT).expect("few");
    assert_eq!(count[0]["value"][1], expected.to_string(), "every sample is there");
    assert_eq!(server.stop(), 0);
}
