//! `cargo xtask conformance autoscaling`: cases as JSON, decided by the code that scales.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use swell_decide::testing::run_cases;

/// What is run.
#[derive(Debug, Args)]
pub(crate) struct AutoscalingArgs {
    /// Files of cases, or folders with such files. Without one the shared suite runs, and where it is not at hand
    /// this repository's own cases.
    paths: Vec<PathBuf>,
}

/// Where the shared suite lies beside this repository.
const SHARED: &str = "../shared/conformance/autoscaling";
/// This repository's own cases.
const OWN: &str = "autoscaler/decide/cases";

/// Runs the suite and prints what became of it.
pub(crate) fn run(root: &Path, args: &AutoscalingArgs) -> anyhow::Result<()> {
    let (mut passed, mut failed) = (0, 0);
    for path in case_files(root, &args.paths)? {
        let name = path.display();
        let text = fs::read_to_string(&path).with_context(|| format!("read {name}"))?;
        let outcomes = run_cases(&text).with_context(|| format!("read the cases of {name}"))?;
        let mut failed_here = 0;
        for outcome in &outcomes {
            if let Some(failure) = &outcome.failure {
                println!("{name}: {} ({}): {failure}", outcome.id, outcome.kind);
                failed_here += 1;
            }
        }
        println!("{name}: {} passed, {failed_here} failed", outcomes.len() - failed_here);
        passed += outcomes.len() - failed_here;
        failed += failed_here;
    }
    println!("{passed} passed, {failed} failed");
    if failed > 0 {
        bail!("{failed} of {} failed", passed + failed);
    }
    if passed == 0 {
        bail!("no case was found");
    }
    Ok(())
}

fn case_files(root: &Path, paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let shared = root.join(SHARED);
    let default = if shared.is_dir() { vec![shared] } else { vec![root.join(OWN)] };
    let mut files = Vec::new();
    for path in if paths.is_empty() { &default } else { paths } {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let entries = fs::read_dir(path).with_context(|| format!("list {}", path.display()))?;
        let first = files.len();
        for entry in entries {
            let file = entry.with_context(|| format!("list {}", path.display()))?.path();
            if file.extension().is_some_and(|extension| extension == "json") {
                files.push(file);
            }
        }
        files[first..].sort();
    }
    Ok(files)
}
