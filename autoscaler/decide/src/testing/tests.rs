use std::fs;
use std::path::{Path, PathBuf};

use super::{CaseOutcome, run_cases};

fn json_files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .expect("the folder is readable")
        .map(|entry| entry.expect("the folder is readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    files
}

fn check_file(path: &Path) -> usize {
    let text = fs::read_to_string(path).expect("the file is readable");
    let outcomes = run_cases(&text).expect("the file holds cases");
    let failures: Vec<&CaseOutcome> =
        outcomes.iter().filter(|outcome| outcome.failure.is_some()).collect();
    assert!(failures.is_empty(), "{}: {failures:#?}", path.display());
    outcomes.len()
}

#[test]
fn own_cases_hold() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let count: usize = json_files(&folder).iter().map(|path| check_file(path)).sum();
    assert!(count >= 18, "only {count} cases were found");
}

#[test]
fn shared_cases_of_the_pod_autoscaler_hold() {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance/autoscaling");
    if !folder.is_dir() {
        assert!(
            std::env::var_os("CI").is_none_or(|ci| ci != "true"),
            "the shared cases are missing at {}",
            folder.display()
        );
        eprintln!("SKIPPED: no shared cases at {}; only our own were run", folder.display());
        return;
    }
    let files: Vec<PathBuf> = json_files(&folder)
        .into_iter()
        .filter(|path| {
            path.file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| name.starts_with("hpa_"))
        })
        .collect();
    assert!(files.len() >= 6, "only {} files of cases were found", files.len());
    for file in files {
        assert!(check_file(&file) > 0, "{} holds no case", file.display());
    }
}

#[test]
fn a_wrong_expectation_fails() {
    let case = r#"{"schema":"autoscaling-cases/1","cases":[{"id":"x","kind":"hpa.clamp",
        "input":{"current":5,"desired":7,"min":3,"max":8},"expect":{"replicas":6}}]}"#;
    let outcomes = run_cases(case).expect("a file of cases");
    assert_eq!(outcomes[0].failure.as_deref(), Some("replicas: expected 6, got 7"));
    let unknown = case.replace("hpa.clamp", "hpa.dream");
    assert!(run_cases(&unknown).expect("a file of cases")[0].failure.is_some());
    assert!(run_cases("{}").is_err());
    assert!(run_cases("not json").is_err());
}
