//! The rule files of the conformance data: accepted or refused as they should be.

use std::fs;
use std::path::Path;

use serde_json::Value;
use swell_rules::{CheckOptions, parse_rule_file_with};

#[test]
fn rule_files_are_accepted_and_refused() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance/rules");
    if !data.exists() {
        println!("SKIPPED: {} is not there", data.display());
        assert!(
            std::env::var_os("CI").is_none_or(|ci| ci != "true"),
            "the data must be there in CI"
        );
        return;
    }
    let (mut passed, mut failures) = (0, Vec::new());
    for list in ["own.json", "upstream.json"] {
        let text = fs::read_to_string(data.join(list)).expect("the list is readable");
        let cases: Vec<Value> = serde_json::from_str(&text).expect("the list is JSON");
        for case in cases.iter().filter(|case| case["kind"] == "rule-file") {
            let file = case["file"].as_str().expect("each case has a file");
            let text = fs::read_to_string(data.join(file)).expect("the file is readable");
            let options = CheckOptions {
                legacy_names: case["legacy_names"] == true,
                ignore_unknown_fields: case["ignore_unknown_fields"] == true,
            };
            let result = parse_rule_file_with(&text, options);
            if result.is_ok() == (case["expect"] == "pass") {
                passed += 1;
            } else {
                failures.push(format!("{}: {:?}", case["id"], result.err()));
            }
        }
    }
    println!("rules, rule files: {passed} passed, {} failed", failures.len());
    assert!(failures.is_empty(), "{failures:#?}");
}
