//! Downsampling through the real binary: configured, made, looked at, and asked when the samples are gone.
#![cfg(feature = "archive")]
#![expect(
    clippy::disallowed_methods,
    reason = "tests of the binary measure real time and are told how long"
)]

mod harness;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use harness::{Server, run};
use serde_json::Value;

const DAY_S: i64 = 86_400;
/// 2026-05-01.
const START_S: i64 = 1_777_593_600;
const STEP_S: i64 = 600;

const CONFIG: &str = "
storage: {tsdb: {retention: {time: 3d}}}
swell:
  downsample: [{resolution: 1h, retention: 10y}]
  self_metrics: false
";

/// A counter that rises by one each ten minutes.
fn days(path: &Path, from: i64, to: i64) {
    let mut out = String::new();
    for at in (from * DAY_S..to * DAY_S).step_by(600) {
        writeln!(out, "requests_total {} {}.5", at / STEP_S, START_S + at).expect("text");
    }
    out.push_str("# EOF\n");
    fs::write(path, out).expect("written");
}

fn tool(verb: &str, data: &Path, more: &[&str]) -> Value {
    let data = data.display().to_string();
    let args = [&["tsdb", verb, "--data-dir", &data, "--output", "json"], more].concat();
    let (code, stdout, stderr) = run(&args);
    assert_eq!(code, 0, "{args:?}: {stderr}");
    serde_json::from_str(stdout.lines().last().unwrap_or_default()).expect("one JSON object")
}

#[test]
fn questions_about_samples_that_are_gone_are_answered_from_aggregates() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let config = folder.path().join("swell.yaml").display().to_string();
    fs::write(&config, CONFIG).expect("written");
    for (from, to) in [(0, 10), (10, 15)] {
        let text = folder.path().join(format!("{from}.txt"));
        days(&text, from, to);
        tool("import", &data, &["--format", "openmetrics", &text.display().to_string()]);
    }
    let done = tool("compact", &data, &["--config", &config]);
    assert_eq!(done["downsampled_blocks"], 14, "the last day may change: {done}");
    assert!(done["retired_blocks"].as_u64() >= Some(10), "{done}");
    let stat = tool("stat", &data, &[]);
    assert_eq!(stat["downsampled"][0]["resolution"], "1h", "{stat}");
    assert_eq!(stat["downsampled"][0]["stretches"], 14 * 24, "{stat}");
    assert_eq!(tool("verify", &data, &[])["faults"], serde_json::json!([]));

    let server = Server::start(&data, &["--config", &config]);
    let day_5 = START_S + 5 * DAY_S;
    for (query, expected) in [
        ("count_over_time(requests_total[1d])", "144"),
        ("sum_over_time(requests_total[1h])", "4299"),
        ("max_over_time(requests_total[2d])", "719"),
        // Extrapolated to the ends of the window, as from samples.
        ("increase(requests_total[1d])", "144"),
        ("requests_total", "719"),
    ] {
        let path = format!("/api/v1/query?time={day_5}&query={query}");
        let found = server.data(&path.replace('[', "%5B").replace(']', "%5D"));
        assert_eq!(found["result"][0]["value"][1], expected, "{query}: {found}");
    }
    // Between the ends of stretches the last one that has ended is seen.
    let later = server.data(&format!("/api/v1/query?time={}&query=requests_total", day_5 + 1700));
    assert_eq!(later["result"][0]["value"][1], "719");
    assert_eq!(server.stop(), 0);
}
