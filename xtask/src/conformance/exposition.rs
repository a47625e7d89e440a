//! `cargo xtask conformance exposition`: bodies of scrapes, read by the code that scrapes.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use swell_exposition::testing::run_cases;

use super::suite::{Failure, Home, Report, run_files};

/// What is run.
#[derive(Debug, Args)]
pub(crate) struct ExpositionArgs {
    /// Indexes of cases (JSON), or folders with such; the bodies lie beside them. Without one the shared suite runs.
    paths: Vec<PathBuf>,
}

const HOME: Home =
    Home { shared: "../shared/conformance/exposition", own: None, extension: "json" };

/// Runs the suite and prints what became of it.
pub(crate) fn run(root: &Path, args: &ExpositionArgs) -> anyhow::Result<()> {
    run_files(&HOME.files(root, &args.paths)?, |path, text| {
        let folder = path.parent().unwrap_or(Path::new("."));
        let body = |file: &str| {
            fs::read(folder.join(file)).map_err(|error| format!("read {file}: {error}"))
        };
        let mut report = Report::default();
        for outcome in run_cases(text, body).map_err(anyhow::Error::msg)? {
            match outcome.failure {
                None => report.passed += 1,
                Some(why) => report
                    .failures
                    .push(Failure { line: None, text: format!("{}: {why}", outcome.id) }),
            }
        }
        Ok(report)
    })
}
