//! `cargo xtask conformance alertmanager`: matchers, routing, time intervals, configurations, templates and signatures of notifications.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;
use swell_receivers::testing::{run_signatures, run_templates};
use swell_route::testing::{
    CaseOutcome, Verdict, run_configs, run_intervals, run_matchers, run_routing,
};

use super::suite::{Failure, Home, Report, run_files};

/// What is run.
#[derive(Debug, Args)]
pub(crate) struct AlertmanagerArgs {
    /// Files of cases, told apart by their names, or folders with such. Without one the shared suite runs.
    paths: Vec<PathBuf>,
}

const HOME: Home =
    Home { shared: "../shared/conformance/alertmanager", own: None, extension: "json" };

/// Runs the suite and prints what became of it.
pub(crate) fn run(root: &Path, args: &AlertmanagerArgs) -> anyhow::Result<()> {
    run_files(&HOME.files(root, &args.paths)?, |path, text| {
        let outcomes = run_file(path, text)?;
        let mut report = Report::default();
        for CaseOutcome { id, verdict } in outcomes {
            match verdict {
                Verdict::Passed => report.passed += 1,
                Verdict::NotCovered => report.not_covered += 1,
                Verdict::Failed(why) => {
                    report.failures.push(Failure { line: None, text: format!("{id}: {why}") });
                }
            }
        }
        Ok(report)
    })
}

fn run_file(path: &Path, text: &str) -> anyhow::Result<Vec<CaseOutcome>> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let read = |file: &str| {
        fs::read_to_string(folder.join(file)).map_err(|error| format!("read {file}: {error}"))
    };
    let outcomes = match path.file_name().and_then(|name| name.to_str()) {
        Some("matchers.json") => run_matchers(text),
        Some("routing.json") => run_routing(text),
        Some("configs.json") => run_configs(text, read),
        Some("templates.json") => run_templates(text),
        Some("signatures.json") => run_signatures(text),
        Some("time_intervals.json") => run_intervals(text),
        _ => bail!("no cases are known by this name"),
    };
    outcomes.map_err(anyhow::Error::msg)
}
