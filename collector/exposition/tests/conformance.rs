//! The shared cases, where they are at hand. All pass.

use std::path::Path;

use swell_exposition::testing::run_cases;

#[test]
fn shared_cases_hold() {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance/exposition");
    if !folder.is_dir() {
        assert!(
            std::env::var_os("CI").is_none_or(|ci| ci != "true"),
            "the shared cases are missing at {}",
            folder.display()
        );
        eprintln!("SKIPPED: no shared cases at {}; only our own were run", folder.display());
        return;
    }
    for (index, passed_before) in [("cases.json", 105), ("om-upstream.json", 141)] {
        let text = std::fs::read_to_string(folder.join(index)).expect("the index is text");
        let outcomes = run_cases(&text, |file| {
            std::fs::read(folder.join(file)).map_err(|error| format!("read {file}: {error}"))
        })
        .expect("an index of cases");
        let failures: Vec<_> =
            outcomes.iter().filter(|outcome| outcome.failure.is_some()).collect();
        assert!(failures.is_empty(), "{index}: {failures:#?}");
        assert!(outcomes.len() >= passed_before, "{index}: only {} cases were run", outcomes.len());
    }
}
