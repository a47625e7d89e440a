//! Runs test scripts: the shared ones where they are at hand, this crate's own always. How many evals pass per file
//! is written down in `ratchet.toml` and may not fall.

#![expect(
    clippy::disallowed_methods,
    reason = "CI tells by the environment that nothing may be skipped"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use swell_promql::testing::{FileReport, RunOptions, memory_storage, run_script};

fn scripts(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the folder can be listed");
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("the entry can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "test"))
        .collect();
    files.sort();
    files
}

fn run(path: &Path) -> (String, FileReport) {
    let text = std::fs::read_to_string(path).expect("the script is text");
    let name = path.file_name().and_then(|name| name.to_str()).expect("a plain name").to_owned();
    (name, run_script(&text, &memory_storage, RunOptions { strict: true }))
}

fn shown(name: &str, report: &FileReport) -> String {
    let failures = report
        .failures
        .iter()
        .map(|failure| format!("{name}:{}: {}: {}", failure.line, failure.query, failure.why));
    let faults = report.faults.iter().map(|fault| format!("{name}: {fault}"));
    failures.chain(faults).collect::<Vec<_>>().join("\n")
}

#[test]
fn own_scripts_pass() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let files = scripts(&folder);
    assert!(!files.is_empty(), "no scripts in {}", folder.display());
    for path in files {
        let (name, report) = run(&path);
        assert!(
            report.failures.is_empty() && report.faults.is_empty(),
            "{}",
            shown(&name, &report)
        );
        assert!(report.passed > 0, "{name} evaluates nothing");
    }
}

#[test]
fn shared_scripts_pass_as_often_as_before() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = manifest.join("../../../shared/conformance/promql");
    if !folder.is_dir() {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "{} is missing, and CI skips nothing",
            folder.display()
        );
        eprintln!("skipped: {} is not here; own scripts ran", folder.display());
        return;
    }
    let ratchet =
        std::fs::read_to_string(manifest.join("tests/ratchet.toml")).expect("the ratchet");
    let before: BTreeMap<String, usize> = toml::from_str(&ratchet).expect("names and counts");
    let mut fallen = Vec::new();
    for path in scripts(&folder) {
        let (name, report) = run(&path);
        let wanted = before.get(&name).copied().unwrap_or(0);
        if report.passed < wanted {
            let failures = shown(&name, &report);
            fallen.push(format!("{name}: {} instead of {wanted} pass\n{failures}", report.passed));
        }
        println!("{name}: {} passed, {} failed", report.passed, report.failures.len());
    }
    assert!(fallen.is_empty(), "{}", fallen.join("\n"));
}
