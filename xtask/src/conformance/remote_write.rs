//! `cargo xtask conformance remote-write`: requests of senders, through the receiver and into the storage.

use std::path::{Path, PathBuf};

use clap::Args;
use swell_tsdb_http::testing::run_cases;

use super::suite::{Failure, Home, Report, run_files};

/// What is run.
#[derive(Debug, Args)]
pub(crate) struct RemoteWriteArgs {
    /// Files of cases (JSON), or folders with such. Without one the shared suite runs.
    paths: Vec<PathBuf>,
}

const HOME: Home =
    Home { shared: "../shared/conformance/remote-write", own: None, extension: "json" };

/// Runs the suite and prints what became of it.
pub(crate) fn run(root: &Path, args: &RemoteWriteArgs) -> anyhow::Result<()> {
    run_files(&HOME.files(root, &args.paths)?, |_, text| {
        let mut report = Report::default();
        for outcome in run_cases(text).map_err(anyhow::Error::msg)? {
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
