//! `cargo xtask conformance promql`: scripts are loaded through the engine's sink and evaluated over its `select`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use swell_engine::{Config, Db};
use swell_env::{ManualClock, MemDir};
use swell_model::{SeriesSource, TimestampMs};
use swell_promql::testing::{
    FileReport, LoadedSeries, RunOptions, TestStorage, append_batch, memory_storage, run_script,
};

use super::suite::{Failure, Home, Report, run_files};

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
    /// Maps in memory.
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

const HOME: Home = Home {
    shared: "../shared/conformance/promql",
    own: Some("tsdb/promql/testdata"),
    extension: "test",
};

/// Runs the suite and prints what became of it.
pub(crate) fn run(root: &Path, args: &PromqlArgs) -> anyhow::Result<()> {
    run_files(&HOME.files(root, &args.paths)?, |_, text| {
        let report = run_text(text, args.storage, !args.plain);
        let faults = report.faults.into_iter().map(|fault| Failure { line: None, text: fault });
        let failures = report.failures.into_iter().map(|failure| Failure {
            line: Some(failure.line),
            text: format!("{}: {}", failure.query, failure.why),
        });
        let failures = faults.chain(failures).collect();
        Ok(Report { passed: report.passed, failures, ..Report::default() })
    })
}

fn run_text(text: &str, storage: Storage, strict: bool) -> FileReport {
    let options = RunOptions { strict };
    match storage {
        Storage::Engine => run_script(text, &engine_storage, options),
        Storage::Memory => run_script(text, &memory_storage, options),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn run_file(path: &Path) -> FileReport {
        let text = std::fs::read_to_string(path).expect("the script can be read");
        run_text(&text, Storage::Engine, true)
    }

    fn root() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a crate stands in a folder")
    }

    #[test]
    fn own_scripts_pass_on_the_engine() {
        let own = [root().join("tsdb/promql/testdata")];
        for path in HOME.files(root(), &own).expect("own scripts are there") {
            let report = run_file(&path);
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
        let folder = HOME.shared(root());
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
            let report = run_file(&folder.join(&name));
            let passed = report.passed;
            assert!(passed >= wanted, "{name}: {passed} instead of {wanted}: {report:?}");
        }
    }
}
