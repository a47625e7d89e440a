//! The conformance data: matchers, routing, time intervals and configurations.

use std::fs;
use std::path::{Path, PathBuf};

use swell_route::testing::{
    CaseOutcome, Verdict, run_configs, run_intervals, run_matchers, run_routing,
};

/// The data, or a line that says it is not there (a failure in CI).
fn data() -> Option<PathBuf> {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance/alertmanager");
    if path.exists() {
        return Some(path);
    }
    println!("SKIPPED: {} is not there", path.display());
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "the data must be there in CI");
    None
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn check(name: &str, run: impl Fn(&str, &Path) -> Result<Vec<CaseOutcome>, String>) {
    let Some(data) = data() else { return };
    let text = read(&data.join(name)).expect("the data is readable");
    let outcomes = run(&text, &data).expect("the data is as its README says");
    assert!(outcomes.iter().any(|outcome| outcome.verdict == Verdict::Passed), "{name}: no case");
    let is_failed = |outcome: &&CaseOutcome| matches!(outcome.verdict, Verdict::Failed(_));
    let failed: Vec<&CaseOutcome> = outcomes.iter().filter(is_failed).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn matchers() {
    check("matchers.json", |text, _| run_matchers(text));
}

#[test]
fn routing() {
    check("routing.json", |text, _| run_routing(text));
}

#[test]
fn time_intervals() {
    check("time_intervals.json", |text, _| run_intervals(text));
}

#[test]
fn configurations() {
    check("configs.json", |text, data| run_configs(text, |file| read(&data.join(file))));
}
