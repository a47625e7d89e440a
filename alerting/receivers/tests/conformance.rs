//! The conformance data: templates and signatures.

use std::path::Path;

use swell_receivers::testing::{run_signatures, run_templates};
use swell_route::testing::{CaseOutcome, Verdict};

fn check(name: &str, run: impl Fn(&str) -> Result<Vec<CaseOutcome>, String>) {
    let data =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance/alertmanager");
    if !data.exists() {
        println!("SKIPPED: {} is not there", data.display());
        assert!(
            std::env::var_os("CI").is_none_or(|ci| ci != "true"),
            "the data must be there in CI"
        );
        return;
    }
    let text = std::fs::read_to_string(data.join(name)).expect("the data is readable");
    let outcomes = run(&text).expect("the data is as its README says");
    assert!(outcomes.iter().any(|outcome| outcome.verdict == Verdict::Passed), "{name}: no case");
    let is_failed = |outcome: &&CaseOutcome| matches!(outcome.verdict, Verdict::Failed(_));
    let failed: Vec<&CaseOutcome> = outcomes.iter().filter(is_failed).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn templates_of_the_conformance_data() {
    check("templates.json", run_templates);
}

#[test]
fn signatures_of_the_conformance_data() {
    check("signatures.json", run_signatures);
}
