//! The storage as an operator meets it: looked into, copied, restored, refused, and its API for deletion.
#![expect(
    clippy::disallowed_methods,
    reason = "tests of the binary measure real time and are told how long"
)]

mod harness;

use std::fs;
use std::path::Path;

use harness::{Server, push, run, wait_for};

/// A data directory in which a server has stored something.
fn filled(data: &Path) {
    let server = Server::start(data, &["--with-agent"]);
    wait_for("a stored sample", || {
        server.get("/api/v1/query?query=node_load1").1.contains("\"value\"").then_some(())
    });
    assert_eq!(server.stop(), 0);
}

fn json(args: &[&str]) -> (i32, serde_json::Value, String) {
    let (code, stdout, stderr) = run(args);
    let line = stdout.lines().last().unwrap_or_default();
    (code, serde_json::from_str(line).unwrap_or_default(), stderr)
}

#[test]
fn a_data_directory_is_looked_into_copied_and_restored() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    filled(&data);
    let dir = data.display().to_string();
    let tool = |verb: &str| json(&["tsdb", verb, "--data-dir", &dir, "--output", "json"]);
    let (code, stat, stderr) = tool("stat");
    assert_eq!(code, 0, "{stderr}");
    let samples = stat["head"]["samples"].as_u64().expect("a number");
    assert!(samples > 0 && stat["damage"] == serde_json::json!([]), "{stat}");
    let (code, verified, _) = tool("verify");
    assert_eq!((code, verified["samples"].as_u64()), (0, Some(samples)));
    let (code, compacted, _) = tool("compact");
    assert_eq!((code, compacted["retired_blocks"].as_u64()), (0, Some(0)), "{compacted}");
    let (code, made, stderr) =
        json(&["tsdb", "snapshot", "--data-dir", &dir, "--name", "s", "--output", "json"]);
    assert_eq!(code, 0, "{stderr}");
    let snapshot = made["path"].as_str().expect("a path").to_owned();
    let restored = folder.path().join("restored").display().to_string();
    let restore = |source: &str| {
        json(&[
            "tsdb",
            "restore",
            "--snapshot",
            source,
            "--data-dir",
            &restored,
            "--output",
            "json",
        ])
    };
    let (code, _, stderr) = restore(&format!("{snapshot}-none"));
    assert_eq!(code, 1);
    assert!(stderr.contains("--snapshot"), "{stderr}");
    let (code, done, stderr) = restore(&snapshot);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(done["verified"]["samples"].as_u64(), Some(samples), "{done}");
    let (code, _, stderr) = restore(&snapshot);
    assert_eq!(code, 1);
    assert!(stderr.contains("new data directory"), "{stderr}");
    let (code, again, _) = json(&["tsdb", "verify", "--data-dir", &restored, "--output", "json"]);
    assert_eq!((code, again["samples"].as_u64()), (0, Some(samples)));
}

#[test]
fn tools_on_files_that_a_server_uses_are_refused_with_the_way_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let server = Server::start(&data, &[]);
    let (dir, out) = (data.display().to_string(), folder.path().join("out").display().to_string());
    let file = folder.path().join("samples.txt");
    fs::write(&file, "up 1 1779832800\n# EOF\n").expect("written");
    let file = file.display().to_string();
    for args in [
        &["stat"][..],
        &["verify"],
        &["compact"],
        &["snapshot", "--name", "s"],
        &["export", "--format", "openmetrics", "-o", &out],
        &["export", "--format", "parquet", "-o", &out],
        &["import", "--format", "openmetrics", &file],
    ] {
        let mut all = vec!["tsdb", args[0], "--data-dir", &dir];
        all.extend(&args[1..]);
        let (code, _, stderr) = run(&all);
        assert_eq!(code, 1, "{all:?}: {stderr}");
        let holder = format!("process {}", server.process.pid());
        for part in [holder.as_str(), "/api/v1/admin/tsdb/snapshot", "/api/v1/write"] {
            assert!(stderr.contains(part), "{all:?}: {part} in {stderr}");
        }
    }
    assert!(!Path::new(&out).exists(), "nothing was made");
    assert_eq!(server.get("/-/ready").0, 200, "the server does not mind");
    assert_eq!(server.stop(), 0);
}

#[test]
fn what_a_running_server_has_is_exported_by_way_of_a_snapshot() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (data, out) = (path("data"), path("out.txt"));
    let export = |server: &Server, data: &str| {
        let address = format!("http://{}", server.http);
        let args = ["--server", &address, "--format", "openmetrics", "--match", "pushed"];
        run(&[&["tsdb", "export", "--data-dir", data, "-o", &out][..], &args].concat())
    };
    let server = Server::start(Path::new(&data), &["--enable-admin-api"]);
    let now_ms = server.query("timestamp(vector(1))*1000")[0]["value"][1].clone();
    let now_ms: f64 = now_ms.as_str().expect("a number").parse().expect("a number");
    let first_ms: i64 = format!("{now_ms:.0}").parse().expect("whole");
    for nr in 0..7 {
        assert_eq!(push(server.http, first_ms + nr, 20).status, 204);
    }
    let (code, stdout, stderr) = export(&server, &data);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("140 samples"), "{stdout}");
    let text = fs::read_to_string(&out).expect("written");
    assert_eq!(text.lines().filter(|line| line.starts_with("pushed")).count(), 140);
    let left = fs::read_dir(Path::new(&data).join("tsdb/snapshots")).expect("a folder").count();
    assert_eq!(left, 0, "the snapshot was for the export alone");
    assert_eq!(server.get("/-/healthy").0, 200);
    let (code, _, stderr) = export(&server, &path("other"));
    assert_eq!(code, 1);
    assert!(stderr.contains("names the directory of that server"), "{stderr}");
    assert_eq!(server.stop(), 0);
    let server = Server::start(Path::new(&data), &[]);
    let (code, _, stderr) = export(&server, &data);
    assert_eq!(code, 1);
    assert!(stderr.contains("admin APIs disabled"), "{stderr}");
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_damaged_snapshot_is_not_restored() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    filled(&data);
    let dir = data.display().to_string();
    let (code, _, stderr) = run(&["tsdb", "snapshot", "--data-dir", &dir, "--name", "s"]);
    assert_eq!(code, 0, "{stderr}");
    let snapshot = data.join("tsdb/snapshots/s");
    let segment = fs::read_dir(snapshot.join("wal")).expect("a log").next().expect("a segment");
    let segment = segment.expect("readable").path();
    let mut bytes = fs::read(&segment).expect("readable");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&segment, bytes).expect("written");
    let restored = folder.path().join("restored");
    let (code, _, stderr) = run(&[
        "tsdb",
        "restore",
        "--snapshot",
        &snapshot.display().to_string(),
        "--data-dir",
        &restored.display().to_string(),
    ]);
    assert_eq!(code, 1);
    assert!(stderr.contains("damaged"), "{stderr}");
    assert!(!restored.join("tsdb").exists() && !restored.join("tsdb.restoring").exists());
}

#[test]
fn a_data_directory_of_a_newer_version_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    filled(&data);
    let segment = fs::read_dir(data.join("tsdb/wal")).expect("a log").next().expect("a segment");
    let segment = segment.expect("readable").path();
    let mut bytes = fs::read(&segment).expect("readable");
    bytes[8..12].copy_from_slice(&99_u32.to_le_bytes());
    let checksum = crc32fast::hash(&bytes[..20]);
    bytes[20..24].copy_from_slice(&checksum.to_le_bytes());
    fs::write(&segment, &bytes).expect("written");
    let dir = data.display().to_string();
    for args in [
        &["server", "--data-dir", &dir, "--listen-http", "127.0.0.1:0", "--listen-kube", "off"][..],
        &["tsdb", "verify", "--data-dir", &dir],
    ] {
        let (code, _, stderr) = run(args);
        assert_eq!(code, 1, "{args:?}");
        assert!(stderr.contains("version 99") && stderr.contains(".wal"), "{stderr}");
    }
    assert_eq!(fs::read(&segment).expect("readable"), bytes);
}

#[test]
fn deletion_is_off_unless_the_flag_is_given() {
    use std::io::{Read as _, Write as _};
    let post = |server: &Server, path: &str| -> String {
        let mut stream = std::net::TcpStream::connect(server.http).expect("it listens");
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            server.http
        )
        .expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("answered");
        text
    };
    let folder = tempfile::tempdir().expect("a folder");
    let path = "/api/v1/admin/tsdb/delete_series?match[]=up";
    let server = Server::start(folder.path(), &[]);
    let answer = post(&server, path);
    assert!(answer.contains(" 500 ") && answer.contains("admin APIs disabled"), "{answer}");
    assert_eq!(server.stop(), 0);
    let flags = ["--web.enable-admin-api", "--storage.tsdb.retention.time", "20d"];
    let server = Server::start(folder.path(), &flags);
    let answer = post(&server, path);
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    let (_, shown) = server.get("/api/v1/status/flags");
    assert!(shown.contains("\"storage.tsdb.retention.time\":\"20d\""), "{shown}");
    assert!(shown.contains("\"web.enable-admin-api\":\"true\""), "{shown}");
    assert_eq!(server.stop(), 0);
    let (code, _, stderr) = run(&["server", "--retention-size", "big"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("10GiB"), "{stderr}");
}

/// Times and values of all samples of a metric, as the API tells them.
fn samples(server: &Server, metric: &str) -> std::collections::BTreeMap<String, String> {
    let (_, body) = server.get(&format!("/api/v1/query?query={metric}[1h]"));
    let answer: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(answer["status"], "success", "{body}");
    let series = answer["data"]["result"].as_array().expect("a matrix");
    let values = series.iter().flat_map(|one| one["values"].as_array().expect("samples"));
    let text = |value: &serde_json::Value| value.to_string();
    let mut found = std::collections::BTreeMap::new();
    for sample in values {
        let before = found.insert(text(&sample[0]), text(&sample[1]));
        assert_eq!(before, None, "a time twice");
    }
    found
}

/// Cycles of the loop below: a few each time; `SWELL_KILL_CYCLES=200 cargo test -p swell --test storage killed`
/// for the figure in benches/README.md.
const KILL_CYCLES: usize = 12;

#[test]
fn a_server_killed_again_and_again_loses_no_sample_that_it_has_shown() {
    let cycles = std::env::var("SWELL_KILL_CYCLES")
        .map_or(KILL_CYCLES, |text| text.parse().expect("a number of cycles"));
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("swell.yaml");
    fs::write(&file, "swell: {collection_interval: 100ms}\n").expect("written");
    let config = file.display().to_string();
    let data = folder.path().join("data");
    let mut shown = std::collections::BTreeMap::new();
    for cycle in 0..cycles {
        let server = Server::start(&data, &["--with-agent", "--config", &config]);
        let found = samples(&server, "node_load1");
        for (at, value) in &shown {
            assert_eq!(found.get(at), Some(value), "cycle {cycle}: lost or changed at {at}");
        }
        // Killed while it writes, a little later in each cycle.
        let wanted = found.len() + 1 + cycle % 4;
        shown = wait_for("new samples", || {
            Some(samples(&server, "node_load1")).filter(|now| now.len() >= wanted)
        });
        server.kill();
    }
    let dir = data.display().to_string();
    let (code, verified, stderr) =
        json(&["tsdb", "verify", "--data-dir", &dir, "--output", "json"]);
    assert_eq!(code, 0, "{verified} {stderr}");
    eprintln!("{cycles} kills, {} samples of one series shown, none lost", shown.len());
}
