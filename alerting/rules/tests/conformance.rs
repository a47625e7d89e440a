//! The rule files of the conformance data: accepted or refused as they should be.

use std::fs;
use std::path::Path;

use swell_rules::testing::{CaseKind, cases};

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
        let cases = cases(&text).expect("the list is as its README says");
        for case in cases.iter().filter(|case| case.kind == CaseKind::RuleFile) {
            let text = fs::read_to_string(data.join(&case.file)).expect("the file is readable");
            match case.check_rule_file(&text) {
                None => passed += 1,
                Some(why) => failures.push(format!("{}: {why}", case.id)),
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
    assert!(passed > 0, "no case");
}
