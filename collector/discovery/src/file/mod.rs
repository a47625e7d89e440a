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
        // A file that cannot be used keeps what the source before this one told of it.
        let mut files = Files::inherited(&output.told());
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
    /// Files of which others told, by the label that names them.
    fn inherited(told: &[TargetGroup]) -> Self {
        let mut files = Self::default();
        for group in told {
            if let Some(path) = group.labels.get(files::FILE_LABEL) {
                files.groups.entry(path.into()).or_default().push(group.clone());
            }
        }
        files
    }

    /// Reads the files when one of them changed, or in any case; what a file gave before stays when it
    /// cannot be used now. Tells whether files were read, and which failed.
    fn look(mut self, patterns: &[PathBuf], in_any_case: bool) -> (Self, bool, Vec<FileError>) {
        let mut found = files::files(patterns);
        if !in_any_case && found.stamps == self.stamps {
            return (self, false, Vec::new());
        }
        let mut groups = BTreeMap::new();
        for (path, before) in &self.groups {
            if found.is_unsure_of(path) {
                groups.insert(path.clone(), before.clone());
            }
        }
        let mut failures = std::mem::take(&mut found.failures);
        let stamps = found.stamps;
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_cannot_be_used_keeps_what_was_told_of_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let (good, bad) = (dir.path().join("good.yml"), dir.path().join("bad.yml"));
        fs::write(&good, "- targets: ['g:1']\n").expect("written");
        fs::write(&bad, "- targets: ['b:1']\n").expect("written");
        let patterns = [dir.path().join("*.yml")];
        let (first, _, failures) = Files::default().look(&patterns, true);
        assert!(failures.is_empty());
        let told: Vec<TargetGroup> = first.groups.values().flatten().cloned().collect();
        assert_eq!(told.len(), 2);

        fs::write(&bad, "- targets: [").expect("written");
        let (anew, read, failures) = Files::inherited(&told).look(&patterns, true);
        assert!(read && failures.len() == 1);
        assert_eq!(anew.groups, first.groups);

        // One that is gone is gone, also when it was inherited.
        fs::remove_file(&bad).expect("removed");
        let (anew, _, failures) = Files::inherited(&told).look(&patterns, true);
        assert!(failures.is_empty());
        assert_eq!(anew.groups.keys().collect::<Vec<_>>(), [&good]);
    }
}
