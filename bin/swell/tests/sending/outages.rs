//! A receiver that fails, a sender that is killed, a configuration that changes: nothing is lost.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use swell_model::MetricMetadata;
use swell_wire::remote_write::{Message, RequestV1};

use super::receiver::{Mood, Receiver, Taken};
use super::{metric, post, value};
use crate::harness::{Folder, Server, has, push, wait_for};

/// A configuration that sends to an address in small batches.
fn config(folder: &Folder, name: &str, receiver: SocketAddr, more: &str) -> String {
    let text = format!(
        "swell: {{self_metrics: false, lifecycle_api: true}}\n\
         remote_write:\n- url: http://{receiver}/api/v1/write\n  name: far\n  \
         queue_config: {{batch_send_deadline: 100ms, max_samples_per_send: 50, min_backoff: 10ms, max_backoff: 100ms{more}}}\n  \
         metadata_config: {{send_interval: 1s}}\n  \
         write_relabel_configs: [{{source_labels: [__name__], regex: pushed, action: keep}}]\n"
    );
    folder.file(name, &text)
}

fn now_ms(server: &Server) -> i64 {
    let seconds = value(server.http, "vector(time())").expect("a time");
    format!("{:.0}", seconds * 1000.0).parse().expect("whole")
}

/// Rows of series `pushed`, one a millisecond of its own time.
fn push_rows(server: &Server, rows: std::ops::Range<i64>) {
    for at_ms in rows {
        assert_eq!(push(server.http, at_ms, 5).status, 204);
    }
}

/// Waits until the receiver has these rows of each series, each once and in order.
#[track_caller]
fn has_rows(receiver: &Receiver, rows: &std::ops::Range<i64>) {
    let expected: Vec<i64> = rows.clone().collect();
    wait_for("all rows", || {
        receiver.look(|taken| {
            let is_done = taken.points.len() == 5
                && taken.points.values().all(|times| times.len() >= expected.len());
            is_done.then_some(())
        })
    });
    receiver.look(|taken| {
        for (series, times) in &taken.points {
            assert_eq!(times, &expected, "{series}");
        }
    });
}

#[test]
fn a_receiver_that_fails_gets_everything_in_the_end() {
    let folder = Folder::new();
    let receiver = Receiver::start(Mood::HangsUp);
    let config = config(&folder, "swell.yaml", receiver.address, ", retry_on_http_429: true");
    let mut server = Server::start(&folder.join("data"), &["--config", &config]);
    let first = now_ms(&server);
    let mut next = first;
    let moods = [
        Mood::Answers("500 Internal Server Error"),
        Mood::Answers("503 Service Unavailable\r\nRetry-After: 1"),
        Mood::Answers("429 Too Many Requests"),
        Mood::HangsUp,
    ];
    for mood in moods {
        push_rows(&server, next..next + 10);
        next += 10;
        let before = receiver.look(|taken| taken.requests);
        receiver.becomes(mood);
        wait_for("some requests", || {
            receiver.look(|taken| (taken.requests > before + 2).then_some(()))
        });
    }
    assert_eq!(receiver.look(|taken| taken.points.len()), 0);
    let retried = metric(server.http, "prometheus_remote_storage_samples_retried_total{");
    assert!(retried > Some(0.0), "{retried:?}");
    server.process.line("a word on it", |line| line.contains("far").then_some(()));
    receiver.becomes(Mood::Takes);
    has_rows(&receiver, &(first..next));
    receiver.look(|taken| {
        let head = taken.heads.first().expect("a request");
        has(
            head,
            &[
                "content-encoding: snappy",
                "content-type: application/x-protobuf",
                "x-prometheus-remote-write-version: 0.1.0",
                "user-agent: swell/",
            ],
        );
        assert!(taken.heads.iter().any(|head| head.contains("retry-attempt: 2")));
    });
    let sent = metric(server.http, "prometheus_remote_storage_samples_total{");
    assert_eq!(sent, Some(200.0), "each counts once");
    assert_eq!(metric(server.http, "prometheus_remote_storage_samples_failed_total{"), Some(0.0));
    assert_eq!(server.stop(), 0);
}

#[test]
fn what_a_receiver_refuses_is_counted_and_left_behind() {
    let folder = Folder::new();
    let receiver = Receiver::start(Mood::Answers("400 Bad Request"));
    let config = config(&folder, "swell.yaml", receiver.address, "");
    let server = Server::start(&folder.join("data"), &["--config", &config]);
    let first = now_ms(&server);
    push_rows(&server, first..first + 10);
    let failed = || metric(server.http, "prometheus_remote_storage_samples_failed_total{");
    wait_for("the refusals", || (failed() == Some(50.0)).then_some(()));
    // Without retry_on_http_429 that is a refusal too.
    receiver.becomes(Mood::Answers("429 Too Many Requests"));
    push_rows(&server, first + 10..first + 20);
    wait_for("more refusals", || (failed() == Some(100.0)).then_some(()));
    receiver.becomes(Mood::Takes);
    push_rows(&server, first + 20..first + 30);
    has_rows(&receiver, &(first + 20..first + 30));
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_start_goes_on_where_the_last_one_ended() {
    let folder = Folder::new();
    let receiver = Receiver::start(Mood::Takes);
    let config = config(&folder, "swell.yaml", receiver.address, "");
    let data_dir = folder.join("data");
    let without = folder.file("none.yaml", "swell: {self_metrics: false}\n");
    let server = Server::start(&data_dir, &["--config", &without]);
    let first = now_ms(&server);
    push_rows(&server, first..first + 5);
    assert_eq!(server.stop(), 0);
    // A new queue begins with what is stored from then on.
    let server = Server::start(&data_dir, &["--config", &config]);
    push_rows(&server, first + 5..first + 20);
    assert_eq!(server.stop(), 0);
    // Stopping has sent what was there, though no batch was full.
    has_rows(&receiver, &(first + 5..first + 20));
    receiver.becomes(Mood::HangsUp);
    let server = Server::start(&data_dir, &["--config", &config]);
    push_rows(&server, first + 20..first + 30);
    assert_eq!(server.stop(), 0);
    receiver.becomes(Mood::Takes);
    let server = Server::start(&data_dir, &["--config", &config]);
    has_rows(&receiver, &(first + 5..first + 30));
    assert_eq!(server.stop(), 0);
}

#[test]
fn queues_change_without_a_loss() {
    let folder = Folder::new();
    let (one, two) = (Receiver::start(Mood::Takes), Receiver::start(Mood::Takes));
    let file = config(&folder, "swell.yaml", one.address, "");
    let server = Server::start(&folder.join("data"), &["--config", &file]);
    let first = now_ms(&server);
    std::thread::scope(|scope| {
        let pusher = scope.spawn(|| push_rows(&server, first..first + 300));
        for (nr, more) in
            [", min_shards: 4", ", min_shards: 2, capacity: 60", ""].iter().enumerate()
        {
            wait_for("some rows", || {
                let enough = i64::try_from(nr).expect("few") * 60 + 30;
                let is_there =
                    |times: &Vec<i64>| times.last().is_some_and(|at| *at >= first + enough);
                one.look(|taken| taken.points.values().any(is_there).then_some(()))
            });
            config(&folder, "swell.yaml", one.address, more);
            let (status, body) = server.post("/-/reload");
            assert_eq!(status, 200, "{body}");
        }
        pusher.join().expect("all is taken");
    });
    has_rows(&one, &(first..first + 300));
    // The queue of this name goes on with another receiver.
    config(&folder, "swell.yaml", two.address, "");
    assert_eq!(server.post("/-/reload").0, 200);
    push_rows(&server, first + 300..first + 310);
    has_rows(&two, &(first + 300..first + 310));
    // One that is gone and comes back begins anew.
    folder.file("swell.yaml", "swell: {self_metrics: false, lifecycle_api: true}\n");
    assert_eq!(server.post("/-/reload").0, 200);
    push_rows(&server, first + 310..first + 320);
    config(&folder, "swell.yaml", one.address, "");
    assert_eq!(server.post("/-/reload").0, 200);
    push_rows(&server, first + 320..first + 325);
    wait_for("the last rows", || {
        one.look(|taken| {
            taken.points.values().all(|times| times.last() == Some(&(first + 324))).then_some(())
        })
    });
    one.look(|taken| {
        let expected: Vec<i64> = (first..first + 300).chain(first + 320..first + 325).collect();
        assert!(taken.points.values().all(|times| *times == expected));
    });
    // A reload that is refused changes nothing.
    let broken = "remote_write: [{url: 'http://127.0.0.1:1/', sigv4: {region: eu}}]\n";
    folder.file("swell.yaml", broken);
    let (status, body) = server.post("/-/reload");
    assert_ne!(status, 200);
    has(&body, &["remote_write[0]: sigv4 is not there"]);
    push_rows(&server, first + 325..first + 330);
    wait_for("rows after a refusal", || {
        one.look(|taken| {
            taken.points.values().all(|times| times.last() == Some(&(first + 329))).then_some(())
        })
    });
    assert_eq!(server.stop(), 0);
}

#[test]
fn metadata_is_told_from_time_to_time() {
    let folder = Folder::new();
    let receiver = Receiver::start(Mood::Takes);
    let text = format!(
        "remote_write: [{{url: 'http://{}/', metadata_config: {{send_interval: 1s, max_samples_per_send: 7}}}}]\n",
        receiver.address
    );
    let config = folder.file("swell.yaml", &text);
    let server = Server::start(&folder.join("data"), &["--config", &config]);
    let names: Vec<String> = (10..30).map(|nr| format!("family_{nr}")).collect();
    let mut request = RequestV1::default();
    let metadata = MetricMetadata { help: "What it is.".to_owned(), ..MetricMetadata::default() };
    names.iter().for_each(|name| request.put_metadata(name, &metadata));
    post(server.http, Message::V1, &request.finish());
    wait_for("what was told", || {
        let is_told = |taken: &Taken| names.iter().all(|name| taken.families.contains(name));
        receiver.look(|taken| is_told(taken).then_some(()))
    });
    let told = receiver.look(|taken| taken.families.len());
    wait_for("the same again", || {
        receiver.look(|taken| (taken.families.len() >= told + 20).then_some(()))
    });
    assert!(metric(server.http, "prometheus_remote_storage_metadata_total{") >= Some(40.0));
    assert_eq!(server.stop(), 0);
}

/// Pushes one row after the other until told, whatever becomes of the server; gives what was acknowledged.
fn push_through(address: &Mutex<SocketAddr>, next_ms: &AtomicI64, stop: &AtomicBool) -> Vec<i64> {
    let mut acknowledged = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let to = *address.lock().expect("not poisoned");
        let at_ms = next_ms.fetch_add(1, Ordering::SeqCst);
        let pushed = std::panic::catch_unwind(|| push(to, at_ms, 5).status);
        if matches!(pushed, Ok(204)) {
            acknowledged.push(at_ms);
        } else {
            std::thread::park_timeout(std::time::Duration::from_millis(20));
        }
    }
    acknowledged
}

/// Sender and receiver are killed in turns while rows come in.
#[test]
fn kills_of_sender_and_receiver_lose_nothing() {
    let folder = Folder::new();
    let (near_dir, far_dir) = (folder.join("near"), folder.join("far"));
    let quiet = folder.file("far.yaml", "swell: {self_metrics: false}\n");
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound");
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let start_far = |dir: &Path| Server::start_again(dir, [free, any, any], &["--config", &quiet]);
    let far = start_far(&far_dir);
    let file = config(&folder, "near.yaml", far.http, ", min_shards: 3");
    let near = Server::start(&near_dir, &["--config", &file]);
    let first = now_ms(&near);
    let (address, next_ms) = (Mutex::new(near.http), AtomicI64::new(first));
    let stop = AtomicBool::new(false);
    let (near, far, acknowledged) = std::thread::scope(|scope| {
        let (mut near, mut far) = (near, far);
        let pusher = scope.spawn(|| push_through(&address, &next_ms, &stop));
        for round in 0..6 {
            let reached = next_ms.load(Ordering::SeqCst);
            wait_for("more rows", || (next_ms.load(Ordering::SeqCst) > reached + 60).then_some(()));
            if round % 2 == 0 {
                near.kill();
                near = Server::start(&near_dir, &["--config", &file]);
                *address.lock().expect("not poisoned") = near.http;
            } else {
                far.kill();
                far = start_far(&far_dir);
            }
        }
        stop.store(true, Ordering::SeqCst);
        (near, far, pusher.join().expect("it ends"))
    });
    assert!(acknowledged.len() > 100, "{} rows", acknowledged.len());
    let count = |server: &Server| value(server.http, "sum(count_over_time(pushed[1h]))");
    let stored = count(&near).expect("there are some");
    wait_for("all rows at the receiver", || (count(&far) == Some(stored)).then_some(()));
    let at = format!("{}", now_ms(&near) / 1000 + 60);
    let (ours, theirs) = (
        super::matrix(near.http, "pushed[1h]", &at, &[]),
        super::matrix(far.http, "pushed[1h]", &at, &[]),
    );
    assert_eq!(ours, theirs);
    assert_eq!(ours.len(), 5);
    let points = ours.values().next().expect("a series").len();
    assert!(points >= acknowledged.len(), "{points} of {}", acknowledged.len());
    assert_eq!(near.stop(), 0);
    assert_eq!(far.stop(), 0);
}
