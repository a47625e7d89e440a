//! The shared cases of remote write, where they are at hand. All of them pass.
#![expect(
    clippy::disallowed_methods,
    reason = "CI tells by the environment that nothing may be skipped"
)]

use std::path::Path;

use swell_tsdb_http::testing::run_cases;

#[test]
fn shared_cases_of_remote_write_hold() {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance/remote-write");
    if !folder.is_dir() {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "{} is missing, and CI skips nothing",
            folder.display()
        );
        eprintln!("SKIPPED: no shared cases at {}; only our own were run", folder.display());
        return;
    }
    for (file, passed_before) in [("rw1.json", 34), ("rw2.json", 39)] {
        let text = std::fs::read_to_string(folder.join(file)).expect("the cases are text");
        let outcomes = run_cases(&text).expect("a list of cases");
        let failures: Vec<_> = outcomes.iter().filter(|case| case.failure.is_some()).collect();
        assert!(failures.is_empty(), "{file}: {failures:#?}");
        assert!(outcomes.len() >= passed_before, "{file}: only {} cases were run", outcomes.len());
    }
}
