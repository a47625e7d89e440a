//! Disks that fill up, files that change, and a process that may open no more files.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::TcpStream;
use std::path::Path;

use serde_json::Value;

use crate::harness::{Folder, Server, SmallDisk, ask, has, push, run, wait_for};

const SERIES_COUNT: usize = 50;

/// Now by the server's clock.
fn now_ms(server: &Server) -> i64 {
    let (_, body) = server.get("/api/v1/query?query=timestamp(vector(1))*1000");
    let answer: Value = serde_json::from_str(&body).expect("JSON");
    let shown = answer["data"]["result"][0]["value"][1].as_str().expect("a number");
    whole(shown.parse().expect("a number"))
}

/// The nearest whole number.
fn whole(number: f64) -> i64 {
    format!("{number:.0}").parse().expect("a time in this age")
}

/// Pushed samples by their time.
fn pushed(server: &Server) -> BTreeMap<i64, usize> {
    let (code, body) = server.get("/api/v1/query?query=pushed[1h]");
    assert_eq!(code, 200, "{body}");
    let answer: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(answer["warnings"], Value::Null, "{body}");
    let mut counts = BTreeMap::new();
    for series in answer["data"]["result"].as_array().expect("a matrix") {
        for sample in series["values"].as_array().expect("samples") {
            let at_ms = whole(sample[0].as_f64().expect("a time") * 1000.0);
            *counts.entry(at_ms).or_default() += 1;
        }
    }
    counts
}

#[test]
fn a_server_on_a_full_disk_refuses_samples_answers_and_goes_on_once_there_is_room() {
    let folder = Folder::new();
    let Some(disk) = SmallDisk::mount(&folder.join("disk"), 64) else { return };
    let data = disk.path().join("data");
    let server = Server::start(&data, &[]);
    wait_for("space kept back", || data.join("tsdb/reserve").exists().then_some(()));
    let mut at_ms = now_ms(&server);
    let mut acknowledged = BTreeMap::new();
    let mut send = |server: &Server| {
        at_ms += 1;
        let answer = push(server.http, at_ms, SERIES_COUNT);
        if answer.status == 204 {
            acknowledged.insert(at_ms, SERIES_COUNT);
        }
        answer
    };
    assert_eq!(send(&server).status, 204);

    let filler = disk.fill();
    // What is left of the last page still takes some.
    let refusal = wait_for("a refusal", || Some(send(&server)).filter(|it| it.status != 204));
    assert_eq!(refusal.status, 503, "{}", refusal.text);
    has(&refusal.text, &["retry-after: 5", "No space left"]);
    let (code, status) = server.get("/api/v1/status/tsdb");
    assert_eq!(code, 200);
    has(&status, &["No space left"]);
    assert!(!pushed(&server).is_empty(), "queries are answered");
    let metrics = server.get("/metrics").1;
    has(&metrics, &["swell_tsdb_read_only 1"]);
    assert_eq!(server.get("/-/ready").0, 200);

    std::fs::remove_file(filler).expect("removed");
    wait_for("samples to be taken again", || (send(&server).status == 204).then_some(()));
    assert_eq!(send(&server).status, 204);
    assert_eq!(pushed(&server), acknowledged, "what was acknowledged, and nothing of what was not");
    server.kill();
    let server = Server::start(&data, &[]);
    assert_eq!(pushed(&server), acknowledged, "after a kill too");
    assert_eq!(server.stop(), 0);
    let shown = data.display().to_string();
    let (code, _, stderr) = run(&["tsdb", "verify", "--data-dir", &shown]);
    assert_eq!(code, 0, "{stderr}");
}

#[test]
fn a_server_out_of_descriptors_turns_connections_away_and_loses_nothing() {
    let folder = Folder::new();
    let data = folder.join("data");
    let server = Server::start_under("ulimit -Sn 100; ulimit -Hn 200", &data, &["--with-agent"]);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.process.pid()));
    let limits = limits.expect("it runs");
    let open_files = limits.lines().find(|line| line.starts_with("Max open files"));
    let words: Vec<&str> = open_files.expect("a limit").split_whitespace().collect();
    assert_eq!(words[3..5], ["200", "200"], "raised to what is allowed");
    let mut at_ms = now_ms(&server);
    assert_eq!(push(server.http, at_ms, SERIES_COUNT).status, 204);

    // More connections than it may open; those it cannot take wait in the kernel.
    let held: Vec<TcpStream> =
        (0..250).map(|_| TcpStream::connect(server.http).expect("the kernel takes it")).collect();
    wait_for("a refusal in the log", || {
        server.process.log().contains("cannot accept a connection").then_some(())
    });
    drop(held);
    wait_for("an answer", || (server.get("/-/healthy").0 == 200).then_some(()));
    wait_for("samples to be taken", || {
        at_ms += 1;
        (push(server.http, at_ms, SERIES_COUNT).status == 204).then_some(())
    });
    assert_eq!(pushed(&server).last_key_value(), Some((&at_ms, &SERIES_COUNT)));
    assert_eq!(pushed(&server).values().max(), Some(&SERIES_COUNT));
    assert_eq!(server.stop(), 0);
}

/// 2026-05-26 00:00 UTC.
const FIRST_DAY_S: i64 = 1_779_753_600;
const DAY_S: i64 = 86_400;

/// A data directory with two days in blocks.
fn two_days(folder: &Folder, data: &Path) {
    let mut text = String::new();
    for nr in 0..20 {
        for step in 0..2 * DAY_S / 60 {
            let value = (step * 7919 + nr) % 10_007;
            let at = FIRST_DAY_S + step * 60;
            writeln!(text, "load{{nr=\"{nr}\"}} {value} {at}").expect("text");
        }
    }
    text.push_str("# EOF\n");
    let file = folder.file("samples.txt", &text);
    let shown = data.display().to_string();
    let args = ["tsdb", "import", "--format", "openmetrics", "--data-dir", &shown, &file];
    let (code, _, stderr) = run(&args);
    assert_eq!(code, 0, "{stderr}");
}

/// The answer to `count(load)` at noon of a day.
fn at_noon(server: &Server, day: i64) -> (u16, Value) {
    let at = FIRST_DAY_S + day * DAY_S + DAY_S / 2;
    let (code, body) = server.get(&format!("/api/v1/query?query=count(load)&time={at}"));
    (code, serde_json::from_str(&body).expect("JSON"))
}

fn flip(path: &Path, place: impl Fn(usize) -> usize) {
    let mut bytes = std::fs::read(path).expect("readable");
    let at = place(bytes.len());
    bytes[at] ^= 1;
    std::fs::write(path, bytes).expect("written");
}

#[test]
fn queries_over_damage_name_the_file_and_others_are_answered() {
    let folder = Folder::new();
    let data = folder.join("data");
    two_days(&folder, &data);
    let block = data.join("tsdb/blocks/00000001.blk");
    let rule = |day: i64| {
        let at = FIRST_DAY_S + day * DAY_S + DAY_S / 2;
        format!("      - {{alert: Day{day}, expr: 'count(load @ {at}) > 0'}}\n")
    };
    let rules =
        format!("groups:\n  - name: days\n    interval: 1s\n    rules:\n{}{}", rule(0), rule(1));
    let rules = folder.file("rules.yaml", &rules);
    let config = folder.file("swell.yaml", &format!("rule_files: ['{rules}']\n"));
    let keep = ["--retention-time", "3650d", "--config", &config];
    let count = |answer: &Value| answer["data"]["result"][0]["value"][1].clone();

    // Damage that is met while samples are read.
    flip(&block, |len| len / 3);
    let server = Server::start(&data, &keep);
    let (code, answer) = at_noon(&server, 0);
    assert_eq!((code, &answer["status"]), (200, &Value::from("success")), "{answer}");
    let told = answer["warnings"][0].as_str().expect("a warning");
    has(told, &["blocks/00000001.blk at byte", "checksum", "samples from 2026-05-2"]);
    assert_ne!(count(&answer), Value::from("20"), "what is damaged is left out");
    // Who acts on an answer gets none: the rule that needs that day says so, the other goes on.
    let evaluated = |name: &str| {
        wait_for("an evaluation", || {
            let groups = server.data("/api/v1/rules");
            let rules = groups["groups"][0]["rules"].as_array()?.clone();
            let rule = rules.into_iter().find(|rule| rule["name"] == name)?;
            (rule["health"] != "unknown").then_some(rule)
        })
    };
    let rule = evaluated("Day0");
    assert_eq!((&rule["health"], &rule["state"]), (&"err".into(), &"inactive".into()), "{rule}");
    has(rule["lastError"].as_str().expect("told"), &["blocks/00000001.blk", "byte"]);
    let rule = evaluated("Day1");
    assert_eq!((&rule["health"], &rule["state"]), (&"ok".into(), &"firing".into()), "{rule}");
    let (code, answer) = at_noon(&server, 1);
    assert_eq!((code, count(&answer)), (200, Value::from("20")), "{answer}");
    assert_eq!(answer["warnings"], Value::Null, "the damage is not in its range");
    let (_, answer) = server.get(&format!("/api/v1/labels?start={FIRST_DAY_S}"));
    has(&answer, &["warnings", "data may be missing: blocks/00000001.blk"]);
    assert_eq!(server.stop(), 0);

    // Damage that is met at start: nobody knows which times are missing.
    flip(&block, |len| len - 30);
    let server = Server::start(&data, &keep);
    for (day, expected) in [(0, Value::Null), (1, Value::from("20"))] {
        let (code, answer) = at_noon(&server, day);
        assert_eq!((code, count(&answer)), (200, expected), "{answer}");
        let warnings = answer["warnings"].as_array().expect("warned");
        let told = warnings[0].as_str().expect("a sentence");
        has(told, &["data may be missing: blocks/00000001.blk", "set aside"]);
    }
    has(&server.process.log(), &["00000001.blk"]);
    assert_eq!(server.stop(), 0);
}

/// The file that the first warning of an answer names.
fn named(answer: &Value) -> String {
    let told = answer["warnings"][0].as_str().expect("a warning");
    let rest = told.strip_prefix("data may be missing: ").expect("it names the file");
    rest.split(' ').next().expect("a name").to_owned()
}

#[test]
fn acknowledged_damage_is_listed_and_warned_of_no_more_and_rules_go_on() {
    const ACKNOWLEDGE: &str = "/api/swell/v1/damage/acknowledge";
    let folder = Folder::new();
    let data = folder.join("data");
    two_days(&folder, &data);
    let at = FIRST_DAY_S + DAY_S / 2;
    let rules = format!(
        "groups:\n  - name: days\n    interval: 1s\n    rules:\n      - {{alert: Day, expr: 'count(load @ {at}) > 0'}}\n"
    );
    let rules = folder.file("rules.yaml", &rules);
    let config = folder.file("swell.yaml", &format!("rule_files: ['{rules}']\n"));
    let keep = ["--retention-time", "3650d", "--config", &config];
    let block = data.join("tsdb/blocks/00000001.blk");
    flip(&block, |len| len - 30);

    let server = Server::start(&data, &keep);
    let file = named(&at_noon(&server, 0).1);
    assert_eq!(file, "blocks/00000001.blk");
    let health = |wanted: &str| {
        wait_for("an evaluation", || {
            let rule = server.data("/api/v1/rules")["groups"][0]["rules"][0].clone();
            (rule["health"] == wanted).then_some(rule)
        })
    };
    has(&health("err").to_string(), &["blocks/00000001.blk"]);
    for (path, code, what) in [
        (ACKNOWLEDGE.to_owned(), 400, "all=true"),
        (format!("{ACKNOWLEDGE}?file=blocks/00000009.blk"), 404, "no damage is known there"),
    ] {
        let (found, body) = ask(server.http, "POST", &path);
        assert_eq!(found, code, "{body}");
        has(&body, &[what]);
    }
    assert!(at_noon(&server, 0).1["warnings"].is_array(), "nothing was acknowledged");
    let (code, body) = ask(server.http, "POST", &format!("{ACKNOWLEDGE}?file={file}"));
    assert_eq!(code, 200, "{body}");
    has(&body, &["blocks/00000001.blk", "set aside"]);
    let quiet = |server: &Server| {
        let (code, answer) = at_noon(server, 0);
        assert_eq!((code, &answer["warnings"]), (200, &Value::Null), "{answer}");
        let listed = server.data("/api/swell/v1/damage");
        assert!(listed[0]["acknowledgedMs"].is_i64(), "{listed}");
        assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
        has(&server.get("/metrics").1, &["swell_tsdb_damaged_parts 0\n"]);
    };
    quiet(&server);
    assert_eq!(health("ok")["state"], "inactive", "its samples are lost, which is known");
    drop(server);

    // Killed and started anew: the block is named otherwise now.
    let server = Server::start(&data, &keep);
    quiet(&server);
    assert_eq!(server.stop(), 0);

    // What is met later is told, and acknowledged without a server.
    flip(&data.join("tsdb/blocks/00000002.blk"), |len| len / 3);
    let server = Server::start(&data, &keep);
    assert_eq!(named(&at_noon(&server, 1).1), "blocks/00000002.blk");
    assert_eq!(server.stop(), 0);
    let shown = data.display().to_string();
    let (code, stdout, stderr) = run(&["tsdb", "acknowledge", "--all", "--data-dir", &shown]);
    assert_eq!(code, 0, "{stderr}");
    has(&stdout, &["blocks/00000002.blk at byte", "1 acknowledged"]);
    let (code, _, stderr) = run(&["tsdb", "verify", "--data-dir", &shown]);
    assert_eq!(code, 1, "what is damaged stays so");
    has(&stderr, &["blocks/00000001.blk", "blocks/00000002.blk", "acknowledged at"]);
    let server = Server::start(&data, &keep);
    let (code, answer) = at_noon(&server, 1);
    assert_eq!((code, &answer["warnings"]), (200, &Value::Null), "{answer}");
    assert_eq!(server.stop(), 0);
}
