//! `cargo xtask conformance autoscaling`: cases as JSON, decided by the code that scales.

use std::path::{Path, PathBuf};

use clap::Args;
use swell_decide::testing::run_cases;

use super::suite::{Failure, Home, Report, run_files};

/// What is run.
#[derive(Debug, Args)]
pub(crate) struct AutoscalingArgs {
    /// Files of cases, or folders with such files. Without one the shared suite runs, and where it is not at hand
    /// this repository's own cases.
    paths: Vec<PathBuf>,
}

const HOME: Home = Home {
    shared: "../shared/conformance/autoscaling",
    own: Some("autoscaler/decide/cases"),
    extension: "json",
};

/// Runs the suite and prints what became of it.
pub(crate) fn run(root: &Path, args: &AutoscalingArgs) -> anyhow::Result<()> {
    run_files(&HOME.files(root, &args.paths)?, |_, text| {
        let mut report = Report::default();
        for outcome in run_cases(text)? {
            match outcome.failure {
                None => report.passed += 1,
                Some(why) => report.failures.push(Failure {
                    line: None,
                    text: format!("{} ({}): {why}", outcome.id, outcome.kind),
                }),
            }
        }
        Ok(report)
    })
}
