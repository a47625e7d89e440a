//! `cargo xtask conformance promql`: scripts are loaded through the engine's sink and evaluated over its `select`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use swell_engine::{Config, Db};
use swell_env::{ManualClock, MemDir};
use swell_model::{SeriesSource, TimestampMs};
use swell_promql::testing::{
    FileReport, LoadedSeries, RunOptions, TestStorage, append_batch, memory_storage, run_script,
};

/// What is run, and on what.
#[derive(Debug, Args)]
pub(crate) struct PromqlArgs {
    /// Scripts, or folders with scripts. Without one the shared suite runs, and where it is not at hand this
    /// repository's own scripts.
    paths: Vec<PathBuf>,
    /// Where series are loaded to.
    #[arg(long, value_enum, default_value_t = Storage::Engine)]
    storage: Storage,
    /// Evaluate each query once, instead of also pinned to its time and as part of a range query.
    #[arg(long)]
    plain: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Storage {
    /// The storage engine on a directory in memory.
    Engine,
    /// Maps in memory, which also keep start timestamps.
    Memory,
}

/// The engine as a script's storage.
struct EngineStorage(Db);

impl TestStorage for EngineStorage {
    fn append(&self, series: &[LoadedSeries]) -> Result<(), String> {
        append_batch(&self.0, series)
    }

    fn source(&self) -> &dyn SeriesSource {
        &self.0
    }
}

/// Scripts count from 1970 and reach some years: the clock stands after all of it.
const NOW: TimestampMs = TimestampMs(4_102_444_800_000);

fn engine_storage() -> Result<Box<dyn TestStorage>, String> {
    let dir = Arc::new(MemDir::new());
    let clock = Arc::new(ManualClock::new(NOW));
    let registry = swell_telemetry::Registry::new();
    let db = Db::open(dir, Config::standard(), clock, &registry)
        .map_err(|error| swell_telemetry::chain(&error).to_string())?;
    Ok(Box::new(EngineStorage(db)))
}

/// Runs the suite and prints what became of it.
pub(crate) fn run(root: &Path, args: &PromqlArgs) -> anyhow::Result<()> {
    let (mut passed, mut failed) = (0, 0);
    for path in scripts(root, &args.paths)? {
        let report = run_file(&path, args.storage, !args.plain)?;
        let name = path.display();
        for fault in &report.faults {
            println!("{name}: {fault}");
        }
        for failure in &report.failures {
            println!("{name}:{}: {}: {}", failure.line, failure.query, failure.why);
        }
        println!("{name}: {} passed, {} failed", report.passed, report.failures.len());
        passed += report.passed;
        failed += report.failures.len() + report.faults.len();
    }
    println!("{passed} passed, {failed} failed");
    if failed > 0 {
        bail!("{failed} of {} failed", passed + failed);
    }
    Ok(())
}

fn run_file(path: &Path, storage: Storage, strict: bool) -> anyhow::Result<FileReport> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let options = RunOptions { strict };
    Ok(match storage {
        Storage::Engine => run_script(&text, &engine_storage, options),
        Storage::Memory => run_script(&text, &memory_storage, options),
    })
}

/// The shared suite, where it is at hand.
fn shared(root: &Path) -> PathBuf {
    root.join("../shared/conformance/promql")
}

/// The scripts to run, sorted.
fn scripts(root: &Path, paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut paths = paths.to_vec();
    if paths.is_empty() {
        let shared = shared(root);
        if shared.is_dir() {
            paths.push(shared);
        } else {
            println!("{} is not here: own scripts run instead", shared.display());
            paths.push(root.join("tsdb/promql/testdata"));
        }
    }
    let mut scripts = Vec::new();
    for path in paths {
        if !path.is_dir() {
            scripts.push(path);
            continue;
        }
        let entries =
            std::fs::read_dir(&path).with_context(|| format!("list {}", path.display()))?;
        for entry in entries {
            let file = entry.with_context(|| format!("list {}", path.display()))?.path();
            if file.extension().is_some_and(|extension| extension == "test") {
                scripts.push(file);
            }
        }
    }
    if scripts.is_empty() {
        bail!("no .test files to run");
    }
    scripts.sort();
    Ok(scripts)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn root() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a crate stands in a folder")
    }

    #[test]
    fn own_scripts_pass_on_the_engine() {
        let own = [root().join("tsdb/promql/testdata")];
        for path in scripts(root(), &own).expect("own scripts are there") {
            let report = run_file(&path, Storage::Engine, true).expect("the script can be read");
            assert!(report.passed > 0, "{} evaluates nothing", path.display());
            assert!(report.failures.is_empty() && report.faults.is_empty(), "{report:?}");
        }
    }

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "CI tells by the environment that nothing may be skipped"
    )]
    fn shared_scripts_pass_on_the_engine_as_often_as_before() {
        let folder = shared(root());
        if !folder.is_dir() {
            assert!(
                std::env::var("CI").as_deref() != Ok("true"),
                "{} is missing, and CI skips nothing",
                folder.display()
            );
            eprintln!("skipped: {} is not here; own scripts ran", folder.display());
            return;
        }
        let ratchet = root().join("xtask/conformance-promql.ratchet.toml");
        let ratchet = std::fs::read_to_string(ratchet).expect("the ratchet");
        let before: BTreeMap<String, usize> = toml::from_str(&ratchet).expect("names and counts");
        for (name, wanted) in before {
            let report = run_file(&folder.join(&name), Storage::Engine, true);
            let report = report.expect("the script can be read");
            let passed = report.passed;
            assert!(passed >= wanted, "{name}: {passed} instead of {wanted}: {report:?}");
        }
    }
}
