//! `file_sd_configs`: target groups from files, followed as they change.

mod files;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use swell_telemetry::chain;
use tokio::time::Instant;
use tracing::warn;

use crate::config::FileConfig;
use crate::discovery::Output;
use crate::group::TargetGroup;
use crate::metrics::DiscoveryMetrics;

use files::{FileError, Stamp};

/// Files are looked at this often; they are read when they changed.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// Follows the files of one entry.
pub(crate) struct FileSource {
    config: FileConfig,
    metrics: DiscoveryMetrics,
}

/// Files as they were last read.
#[derive(Default)]
struct Files {
    stamps: BTreeMap<PathBuf, Stamp>,
    groups: BTreeMap<PathBuf, Vec<TargetGroup>>,
}

impl FileSource {
    pub(crate) fn new(config: FileConfig, metrics: &DiscoveryMetrics) -> Self {
        Self { config, metrics: metrics.clone() }
    }

    pub(crate) async fn run(self, output: Output) {
        let mut files = Files::default();
        let mut read_at: Option<Instant> = None;
        loop {
            let due =
                read_at.is_none_or(|read_at| read_at.elapsed() >= self.config.refresh.to_std());
            let patterns = self.config.patterns.clone();
            let began = Instant::now();
            let looked = tokio::task::spawn_blocking(move || files.look(&patterns, due)).await;
            let (after, read, failures) = match looked {
                Ok(looked) => looked,
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            };
            files = after;
            if read {
                read_at = Some(began);
                output.asked(began.elapsed());
                output.tell(files.groups.values().flatten().cloned().collect());
            }
            for failure in failures {
                self.metrics.file_read_errors_total.inc();
                output.failed();
                let error = chain(&failure);
                warn!(
                    job = output.job(),
                    error, "a target file was not used: its last targets stay"
                );
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }
}

impl Files {
    /// Reads the files when one of them changed, or in any case; what a file gave before stays when it
    /// cannot be used now. Tells whether files were read, and which failed.
    fn look(mut self, patterns: &[PathBuf], in_any_case: bool) -> (Self, bool, Vec<FileError>) {
        let stamps = files::files(patterns);
        if !in_any_case && stamps == self.stamps {
            return (self, false, Vec::new());
        }
        let mut failures = Vec::new();
        let mut groups = BTreeMap::new();
        for path in stamps.keys() {
            match files::read(path) {
                Ok(read) => {
                    groups.insert(path.clone(), read);
                }
                Err(failure) => {
                    failures.push(failure);
                    if let Some(before) = self.groups.remove(path as &Path) {
                        groups.insert(path.clone(), before);
                    }
                }
            }
        }
        (Self { stamps, groups }, true, failures)
    }
}
