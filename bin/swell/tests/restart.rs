//! What a server answers while it still reads back what was in memory.
#![expect(clippy::disallowed_methods, reason = "tests of the binary wait by the machine's clock")]

mod harness;

use std::fs::OpenOptions;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use harness::{Process, Server, get, push, run, swell, wait_for};
use serde_json::Value;

const HOURS: i64 = 10;
const MINUTE_MS: i64 = 60_000;

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(now.as_millis()).expect("fits")
}

/// Status and answer of an instant query at a time.
fn count_before(server: std::net::SocketAddr, at_ms: i64) -> (u16, Value) {
    let path =
        format!("/api/v1/query?query=count_over_time(pushed%5B{HOURS}h%5D)&time={}", at_ms / 1000);
    let (code, body) = get(server, &path);
    (code, serde_json::from_str(&body).unwrap_or_default())
}

fn value(answer: &Value) -> Option<i64> {
    answer["data"]["result"][0]["value"][1].as_str()?.parse().ok()
}

/// A named pipe in the place of a log segment: reading the log waits for it.
fn pipe(data: &Path) -> std::path::PathBuf {
    let path = data.join("tsdb/wal/99999999.wal");
    let made = Command::new("mkfifo").arg(&path).status().expect("mkfifo runs");
    assert!(made.success());
    path
}

#[test]
fn blocks_are_queried_while_the_log_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let server = Server::start(&data, &[]);
    let http = server.http;
    // Queries have whole seconds: no sample may stand on the edge of the window.
    let end_ms = now_ms() / 1000 * 1000 + 1;
    let first_ms = end_ms - HOURS * 60 * MINUTE_MS;
    for at_ms in (first_ms..end_ms).step_by(300_000) {
        assert_eq!(push(http, at_ms, 1).status, 204);
    }
    let sent = value(&count_before(http, end_ms).1).expect("stored");
    assert_eq!(sent, HOURS * 12);
    assert_eq!(server.stop(), 0);
    let dir = data.display().to_string();
    let (code, _, stderr) = run(&["tsdb", "compact", "--data-dir", &dir]);
    assert_eq!(code, 0, "{stderr}");

    let pipe = pipe(&data);
    let mut process =
        Process::spawn(
            swell()
                .args(["server", "--listen-http", &http.to_string(), "--data-dir", &dir])
                .args(["--listen-grpc", "off", "--listen-kube", "off"]),
        );
    wait_for("the port", || {
        assert!(!process.has_ended(), "{}", process.log());
        TcpStream::connect(http).ok()
    });
    let (early, answer) = wait_for("an answer", || {
        let (code, answer) = count_before(http, end_ms);
        (code == 200).then(|| {
            let count = value(&answer);
            (count.unwrap_or_else(|| panic!("no count in {answer}\n{}", process.log())), answer)
        })
    });
    assert!(early > 12 && early < sent, "{early} of {sent} are in blocks");
    let warnings = answer["warnings"].to_string();
    assert!(warnings.contains("still being read back"), "{answer}");
    // Nothing else is promised yet.
    assert_eq!(get(http, "/-/ready").0, 503);
    assert_eq!(get(http, "/api/v1/rules").0, 503);
    assert_eq!(get(http, "/api/v1/targets").0, 503);
    let refused = push(http, end_ms, 1);
    assert_eq!(refused.status, 503);
    assert!(refused.text.contains("retry-after: 1"), "{}", refused.text);
    assert!(!process.log().contains("is ready"), "{}", process.log());

    drop(OpenOptions::new().write(true).open(&pipe).expect("the server reads it"));
    process.line("that it is ready", |line| line.contains("is ready").then_some(()));
    assert_eq!(get(http, "/-/ready").0, 200);
    let (code, answer) = count_before(http, end_ms);
    assert_eq!((code, value(&answer)), (200, Some(sent)));
    assert_eq!(answer["warnings"], Value::Null, "{answer}");
    assert_eq!(push(http, end_ms, 1).status, 204);
    assert_eq!(process.stop(), 0);
}
