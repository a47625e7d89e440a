//! Small uploads become one of a day, and uploads of an earlier format are written anew.
//!
//! The order is that of an upload, turned around at its end: the new files are written, read back and compared, then the new
//! list, which names those that it replaces, and only then the old ones go, files first and lists last. Cut short before
//! the new list is there, nothing has changed; after it, readers see the new upload alone, and what is left of the old ones
//! is removed by the next run. Who still knows an old list only, since a listing lagged, misses a file, lists again, and finds
//! the new one.

use std::sync::Arc;

use swell_model::{
    DurationMs, Matcher, SelectError, SelectHints, SeriesIter, SeriesSource, TimeRange,
};

use crate::archive::{Archive, ReadLimits, select_error};
use crate::manifest::Manifest;
use crate::plan::{self, Merge};
use crate::store::StoreError;
use crate::upload::{UploadError, archive_window};

/// Stretches that uploads are merged into: a day is one folder.
const DAY: DurationMs = DurationMs(86_400_000);

/// Samples of one metric that a merge may have, since they are in memory together: some 400 MiB. Uploads with more are
/// large already, and stay.
const METRIC_SAMPLES_MAX: u64 = 16 << 20;

/// What one run merged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MergeReport {
    /// Uploads that were merged, or written anew.
    pub source_count: usize,
    /// Uploads made of them.
    pub merged_count: usize,
    /// Bytes of the files before.
    pub bytes_before: u64,
    /// Bytes of the files after.
    pub bytes_after: u64,
}

/// Merges that failed; the others of the run are done.
#[derive(Debug, thiserror::Error)]
#[error("{failed_count} of the merges of the archive failed, the first of them")]
pub struct MergeError {
    /// What was merged all the same.
    pub report: MergeReport,
    /// Merges, and removals of what is replaced, that failed.
    pub failed_count: usize,
    /// The first failure.
    #[source]
    pub first: Box<UploadError>,
}

/// Reads the lists, and merges what there is to merge. One damaged upload does not keep the others from it.
pub(crate) fn run(archive: &Archive) -> Result<MergeReport, MergeError> {
    let mut report = MergeReport::default();
    let mut failures: Vec<UploadError> = Vec::new();
    if let Err(error) = archive.refresh() {
        failures.push(error.into());
        return ended(report, failures);
    }
    for (name, manifest) in archive.replaced() {
        if let Err(error) = remove(archive, &name, &manifest) {
            failures.push(error.into());
        }
    }
    for planned in plan::merges(&archive.planned(), DAY, METRIC_SAMPLES_MAX) {
        let Err(error) = merge(archive, &planned, &mut report) else { continue };
        failures.push(error);
        // A store that is down fails all of them. One that answers is not left alone, as it is after a failed read.
        if archive.refresh().is_err() {
            break;
        }
    }
    ended(report, failures)
}

fn ended(report: MergeReport, failures: Vec<UploadError>) -> Result<MergeReport, MergeError> {
    let failed_count = failures.len();
    match failures.into_iter().next() {
        Some(first) => Err(MergeError { report, failed_count, first: Box::new(first) }),
        None => Ok(report),
    }
}

fn merge(archive: &Archive, planned: &Merge, report: &mut MergeReport) -> Result<(), UploadError> {
    let Merge { window, sources } = planned;
    let before = archive.named(sources);
    let source = Uploads { archive, uploads: &before };
    let merged = archive_window(archive, &source, &[], *window, sources.clone(), &mut |_| {})?;
    let Some(merged) = merged else { return Ok(()) };
    let bytes = |manifests: &[Arc<Manifest>]| -> u64 {
        manifests.iter().map(|manifest| manifest.size_bytes()).sum()
    };
    report.source_count += sources.len();
    report.merged_count += 1;
    report.bytes_before += bytes(&before);
    report.bytes_after += merged.size_bytes();
    for (name, manifest) in sources.iter().zip(&before) {
        remove(archive, name, manifest)?;
    }
    Ok(())
}

/// Removes an upload that is replaced. What is gone already is fine.
fn remove(archive: &Archive, name: &str, manifest: &Manifest) -> Result<(), StoreError> {
    for path in manifest.paths().chain([name]) {
        match archive.store().delete(path) {
            Err(error) if !error.is_not_found() => return Err(error),
            _ => {}
        }
    }
    archive.forget(name);
    Ok(())
}

/// Certain uploads of an archive as a source.
struct Uploads<'a> {
    archive: &'a Archive,
    uploads: &'a [Arc<Manifest>],
}

impl SeriesSource for Uploads<'_> {
    fn select<'a>(
        &'a self,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<SeriesIter<'a>, SelectError> {
        let limits = ReadLimits::NONE;
        let found =
            self.archive.read_of(self.uploads, matchers, hints.range, hints.labels_only, limits);
        let series = found.map_err(|error| select_error(&error))?;
        Ok(Box::new(series.into_iter().map(Ok)))
    }

    fn label_names(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<String>, SelectError> {
        Ok(self.archive.names_of(self.uploads, matchers, range))
    }

    /// Names of metrics are all that is asked for.
    fn label_values(
        &self,
        _name: &str,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<String>, SelectError> {
        Ok(self.archive.metrics_of(self.uploads, matchers, range).into_iter().collect())
    }
}
