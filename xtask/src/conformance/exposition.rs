//! `cargo xtask conformance exposition`: bodies of scrapes, read by the code that scrapes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use swell_exposition::testing::run_cases;

/// What is run.
#[derive(Debug, Args)]
pub(crate) struct ExpositionArgs {
    /// Indexes of cases (JSON), or folders with such; the bodies lie beside them. Without one the shared suite runs.
    paths: Vec<PathBuf>,
}

/// Where the shared suite lies beside this repository.
const SHARED: &str = "../shared/conformance/exposition";

/// Runs the suite and prints what became of it.
pub(crate) fn run(root: &Path, args: &ExpositionArgs) -> anyhow::Result<()> {
    let (mut passed, mut failed) = (0, 0);
    for path in indexes(root, &args.paths)? {
        let name = path.display();
        let text = fs::read_to_string(&path).with_context(|| format!("read {name}"))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let body = |file: &str| {
            fs::read(folder.join(file)).map_err(|error| format!("read {file}: {error}"))
        };
        let outcomes = run_cases(&text, body)
            .map_err(|error| anyhow::anyhow!(error))
            .with_context(|| format!("read the cases of {name}"))?;
        let mut failed_here = 0;
        for outcome in &outcomes {
            if let Some(failure) = &outcome.failure {
                println!("{name}: {}: {failure}", outcome.id);
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

fn indexes(root: &Path, paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let default = [root.join(SHARED)];
    let mut files = Vec::new();
    for path in if paths.is_empty() { &default[..] } else { paths } {
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
