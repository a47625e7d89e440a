//! Export, import, the archive and Arrow streams, through the real binary and with readers that are not ours.

#![expect(clippy::disallowed_methods, reason = "tests of the binary measure real time")]

mod harness;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::{Server, run, wait_for};

/// 2026-05-26 22:00 UTC: the samples lie on both sides of midnight.
const START_S: i64 = 1_779_832_800;
const STEP_S: i64 = 30;
const STEPS: i64 = 480;

fn swell(args: &[&str]) -> String {
    let (code, stdout, stderr) = run(args);
    assert_eq!(code, 0, "{args:?}: {stderr}");
    stdout
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// A text as `export` writes it: sorted, times with three digits, shortest floats.
fn samples() -> String {
    let mut out = String::new();
    for (name, nr) in [("errors_total", 1_i64), ("odd_values", 2), ("requests_total", 3)] {
        for instance in ["a", "b"] {
            for step in 0..STEPS {
                let value = match nr {
                    1 => (step / 7).to_string(),
                    2 => ["+Inf", "-0", "1e-300", "0.30000000000000004", "NaN"]
                        [usize::try_from(step % 5).expect("small")]
                    .to_owned(),
                    _ => (step * 13).to_string(),
                };
                let at = START_S + step * STEP_S;
                let ms = (step * step * nr) % 997;
                writeln!(
                    out,
                    "{name}{{code=\"{nr}\",instance=\"{instance}\"}} {value} {at}.{ms:03}"
                )
                .expect("text");
            }
        }
    }
    out.push_str("# EOF\n");
    out
}

struct Lab {
    folder: tempfile::TempDir,
    samples: PathBuf,
}

impl Lab {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("samples.txt");
        fs::write(&path, samples()).expect("written");
        Self { folder, samples: path }
    }

    fn path(&self, part: &str) -> PathBuf {
        self.folder.path().join(part)
    }

    fn import(&self, format: &str, from: &Path, data_dir: &str) -> serde_json::Value {
        let data_dir = self.path(data_dir);
        let told = swell(&[
            "tsdb",
            "import",
            "--format",
            format,
            "--output",
            "json",
            "--data-dir",
            text(&data_dir),
            text(from),
        ]);
        serde_json::from_str(&told).expect("one JSON object")
    }

    fn export(&self, format: &str, data_dir: &str, out: &str) -> PathBuf {
        let (data_dir, out) = (self.path(data_dir), self.path(out));
        swell(&[
            "tsdb",
            "export",
            "--format",
            format,
            "--data-dir",
            text(&data_dir),
            "-o",
            text(&out),
        ]);
        out
    }

    fn exported_text(&self, data_dir: &str) -> String {
        let out = self.export("openmetrics", data_dir, "out.txt");
        fs::read_to_string(out).expect("written")
    }
}

#[test]
fn what_is_exported_and_imported_again_is_the_same() {
    let lab = Lab::new();
    let told = lab.import("openmetrics", &lab.samples, "one");
    assert_eq!(told["samples"], 6 * STEPS);
    assert_eq!(lab.exported_text("one"), samples());

    let parquet = lab.export("parquet", "one", "parquet");
    let days = ["date=2026-05-26", "date=2026-05-27"];
    assert!(days.iter().all(|day| parquet.join(day).is_dir()));
    assert_eq!(lab.import("parquet", &parquet, "two")["samples"], 6 * STEPS);
    assert_eq!(lab.exported_text("two"), samples());

    // Imported again on top of itself, nothing doubles.
    lab.import("parquet", &parquet, "two");
    assert_eq!(lab.exported_text("two"), samples());

    // A part, by matcher and time.
    let (data_dir, out) = (lab.path("one"), lab.path("part.txt"));
    let told = swell(&[
        "tsdb",
        "export",
        "--format",
        "openmetrics",
        "--data-dir",
        text(&data_dir),
        "--output",
        "json",
        "--match",
        "{__name__=\"requests_total\",instance=\"b\"}",
        "--from",
        "2026-05-26T23:00:00Z",
        "--to",
        "2026-05-26T23:09:59.999Z",
        "-o",
        text(&out),
    ]);
    let told: serde_json::Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(told["samples"], 20);
}

#[test]
fn a_running_server_takes_in_what_is_imported() {
    let lab = Lab::new();
    let data = lab.path("data");
    let import = |server: &Server, data: &Path| {
        let address = format!("http://{}", server.http);
        let what = ["tsdb", "import", "--format", "openmetrics", "--output", "json"];
        let into = ["--server", &address, "--data-dir", text(data), text(&lab.samples)];
        run(&[&what[..], &into[..]].concat())
    };
    let counts = |server: &Server| -> Vec<String> {
        let found = query(server, "count_over_time(requests_total[5h])", START_S + STEPS * STEP_S);
        let found = found["data"]["result"].as_array().expect("a vector").clone();
        let count = |it: &serde_json::Value| it["value"][1].as_str().map(str::to_owned);
        found.iter().filter_map(count).collect()
    };
    let kept = ["--retention-time", "10y"];
    let server = Server::start(&data, &[&kept[..], &["--enable-admin-api"]].concat());
    assert_eq!(counts(&server), Vec::<String>::new());
    for _ in 0..2 {
        // Imported again on top of itself, nothing doubles.
        let (code, stdout, stderr) = import(&server, &data);
        assert_eq!(code, 0, "{stderr}");
        let told: serde_json::Value = serde_json::from_str(&stdout).expect("one JSON object");
        assert_eq!(told["samples"], 6 * STEPS);
        assert_eq!(told["left_out"], 0);
        assert_eq!(told["blocks"], 2, "one for each day");
        assert_eq!(counts(&server), vec![STEPS.to_string(); 2]);
    }
    let left = fs::read_dir(data.join("tsdb/incoming")).expect("a folder").count();
    assert_eq!(left, 0, "folders go with their import");
    let (code, _, stderr) = import(&server, &lab.path("other"));
    assert_eq!(code, 1);
    assert!(stderr.contains("--data-dir names the directory"), "{stderr}");
    assert_eq!(server.stop(), 0);

    let server = Server::start(&data, &kept);
    assert_eq!(counts(&server), vec![STEPS.to_string(); 2], "after a restart");
    let (code, _, stderr) = import(&server, &data);
    assert_eq!(code, 1);
    assert!(stderr.contains("admin APIs disabled"), "{stderr}");
    assert_eq!(server.stop(), 0);
}

#[test]
fn blocks_of_prometheus_are_imported() {
    if Command::new("promtool").arg("--version").output().is_err() {
        assert!(
            std::env::var_os("CI").is_none_or(|ci| ci != "true"),
            "promtool must be there in CI: Debian's package prometheus has it"
        );
        eprintln!("skipped: there is no promtool; Debian's package prometheus has it");
        return;
    }
    let lab = Lab::new();
    let blocks = lab.path("blocks");
    let made = Command::new("promtool")
        .args(["tsdb", "create-blocks-from", "openmetrics"])
        .args([&lab.samples, &blocks])
        .output()
        .expect("promtool runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    assert_eq!(lab.import("prometheus", &blocks, "data")["samples"], 6 * STEPS);
    assert_eq!(lab.exported_text("data"), samples());
}

#[test]
fn what_cannot_be_imported_is_named_with_its_place() {
    let lab = Lab::new();
    let data_dir = lab.path("data");
    let write = |name: &str, content: &[u8]| {
        let path = lab.path(name);
        fs::write(&path, content).expect("written");
        path
    };
    let broken = write("broken.txt", b"up 1 1.5\nup one 2\n# EOF\n");
    let timeless = write("timeless.txt", b"up 1\n# EOF\n");
    let parquet = write("broken.parquet", b"PAR1 not really");
    for (format, path, parts) in [
        ("openmetrics", &broken, &["broken.txt", "2"][..]),
        ("openmetrics", &timeless, &["timeless.txt", "without a time"]),
        ("parquet", &parquet, &["broken.parquet", "byte"]),
        ("parquet", &lab.path("nowhere"), &["nowhere"]),
        ("prometheus", &lab.path("nowhere"), &["nowhere"]),
        ("prometheus", &lab.folder.path().to_owned(), &["meta.json"]),
    ] {
        let (code, _, stderr) =
            run(&["tsdb", "import", "--format", format, "--data-dir", text(&data_dir), text(path)]);
        assert_eq!(code, 1, "{format} {}: {stderr}", path.display());
        for part in parts {
            assert!(stderr.contains(part), "{part} in {stderr}");
        }
        assert!(!data_dir.exists(), "nothing was made");
    }
}

fn archive_config(lab: &Lab, folder: &Path) -> PathBuf {
    let config = lab.path("swell.yaml");
    let yaml = format!("swell:\n  archive:\n    url: file://{}\n    after: 1h\n", folder.display());
    fs::write(&config, yaml).expect("written");
    config
}

fn query(server: &Server, query: &str, at_s: i64) -> serde_json::Value {
    let (status, body) = server.get(&format!("/api/v1/query?query={query}&time={at_s}"));
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).expect("JSON")
}

#[test]
fn sealed_days_are_archived_and_queries_reach_them() {
    let lab = Lab::new();
    lab.import("openmetrics", &lab.samples, "data");
    let folder = lab.path("archive");
    let config = archive_config(&lab, &folder);
    let server = Server::start(&lab.path("data"), &["--config", text(&config)]);
    // The second day may still get samples: the storage is settled up to its newest block.
    wait_for("the first day in the archive", || {
        let lists = fs::read_dir(folder.join("_swell/uploads")).ok()?;
        (lists.count() == 1).then_some(())
    });
    assert_eq!(server.stop(), 0);

    // Another server with an empty directory knows only the archive.
    let server = Server::start(&lab.path("empty"), &["--config", text(&config)]);
    let end_s = START_S + STEPS * STEP_S;
    let found = wait_for("the archive's lists to be read", || {
        let found = query(&server, "count_over_time(requests_total[5h])", end_s);
        (!found["data"]["result"].as_array()?.is_empty()).then_some(found)
    });
    let counts: Vec<&str> = found["data"]["result"]
        .as_array()
        .expect("a vector")
        .iter()
        .filter_map(|it| it["value"][1].as_str())
        .collect();
    assert_eq!(counts, [(STEPS / 2).to_string().as_str(); 2], "half of them before midnight");
    assert!(found.get("warnings").is_none(), "{found}");
    let (_, names) = server.get("/api/v1/label/__name__/values");
    assert!(names.contains("odd_values") && names.contains("errors_total"), "{names}");

    assert_eq!(server.stop(), 0);

    // A file that goes missing is told, not passed over. What was read before is in the memory of that server only.
    let day = folder.join("date=2026-05-26");
    fs::remove_dir_all(&day).expect("removed");
    let server = Server::start(&lab.path("empty"), &["--config", text(&config)]);
    let path = format!("/api/v1/query?query=count_over_time(errors_total[5h])&time={end_s}");
    let body = wait_for("the failure to be told", || {
        let (status, body) = server.get(&path);
        (status == 500).then_some(body)
    });
    assert!(body.contains("date=2026-05-26/part-"), "{body}");
    assert_eq!(server.stop(), 0);
}

#[test]
fn readers_that_are_not_ours_agree() {
    let folder = std::env::var_os("SWELL_PYTHON_TOOLS").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/python-tools")),
        PathBuf::from,
    );
    let python = folder.join("bin/python");
    if !python.exists() {
        assert!(
            std::env::var_os("CI").is_none_or(|ci| ci != "true"),
            "the Python tools must be there in CI: bash tsdb/archive/tests/python-tools.sh"
        );
        eprintln!("skipped: run bash tsdb/archive/tests/python-tools.sh first");
        return;
    }
    let lab = Lab::new();
    lab.import("openmetrics", &lab.samples, "data");
    let parquet = lab.export("parquet", "data", "parquet");
    let arrow = lab.export("arrow", "data", "all.arrows");
    let server = Server::start(&lab.path("data"), &[]);
    let (status, body) = server.get("/api/swell/v1/arrow");
    assert_eq!(status, 400, "{body}");
    let address = format!("http://{}", server.http);
    let queried = lab.path("query.arrows");
    let query = |more: &[&str]| {
        let head = ["query", "requests_total", "--output", "arrow", "--server", &address];
        run(&[&head, more].concat())
    };
    let (code, _, told) = query(&["--range", "1y", "--file", text(&queried)]);
    assert_eq!(code, 0, "{told}");
    // What is refused says so, and leaves no file behind.
    let missing = lab.path("none.arrows");
    for (more, expected) in [
        (&["--file", text(&missing)][..], "--range"),
        (&["--range", "1h", "--step", "1m", "--file", text(&missing)], "--step"),
    ] {
        let (code, _, told) = query(more);
        assert!(code == 2 && told.contains(expected), "{code}: {told}");
    }
    let (code, _, told) = run(&[
        "query",
        "sum(requests_total)",
        "--output",
        "arrow",
        "--range",
        "1h",
        "--server",
        &address,
        "--file",
        text(&missing),
    ]);
    assert!(code == 1 && told.contains("match[]"), "{code}: {told}");
    assert!(!missing.exists() && !lab.path("none.arrows.part").exists());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/readers.py");
    let output = Command::new(python)
        .arg(script)
        .arg(&address)
        .args([
            text(&parquet),
            text(&arrow),
            text(&queried),
            &START_S.to_string(),
            &STEPS.to_string(),
            &STEP_S.to_string(),
        ])
        .output()
        .expect("Python runs");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("all readers agree"), "{told}");
}
