//! Sealed windows of the local database go into the archive.
//!
//! The order is what makes it safe: all files of a window are written, read back and compared with what was meant to be
//! written, and only then the list that makes them visible. Cut short anywhere, the window is not in the archive, stays
//! local, and is written again under the same names.

use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use swell_index::write_index;
use swell_model::{
    DurationMs, Labels, METRIC_NAME, Matcher, SelectError, SelectHints, SeriesSource, TimeRange,
    TimestampMs,
};

use crate::archive::Archive;
use crate::catalogue::CatalogueError;
use crate::compact::{self, MergeError, MergeReport};
use crate::layout::{self, Window};
use crate::manifest::{Manifest, Part, Segment, SeriesFile};
use crate::part::{PartWriter, WriteError, Written, hex};
use crate::plan;
use crate::store::StoreError;

/// A window could not be archived; it stays local and is tried again.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The uploads that there are are not known.
    #[error("read the lists of uploads")]
    Lists(#[from] CatalogueError),
    /// The local samples cannot be read.
    #[error("read what is to be archived")]
    Source(#[from] SelectError),
    /// Samples cannot be written as Parquet.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The store gives no answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What the store gives back is not what was written.
    #[error(
        "{location}/{object} came back with {found_bytes} bytes and another SHA-256 than the {expected_bytes} bytes written: it is written again later"
    )]
    Differs {
        /// The archive.
        location: String,
        /// The file.
        object: String,
        /// Bytes that came back.
        found_bytes: u64,
        /// Bytes written.
        expected_bytes: u64,
    },
    /// What uploads were merged into has another number of samples than their lists tell.
    #[error(
        "{location}: the uploads {} have {expected_samples} samples by their lists, and {found_samples} were read: they stay; check their Parquet files, delete the list of a damaged one",
        sources.join(", ")
    )]
    Count {
        /// The archive.
        location: String,
        /// Lists of the uploads.
        sources: Vec<String>,
        /// Samples read out of their files.
        found_samples: u64,
        /// Samples by their lists.
        expected_samples: u64,
    },
}

/// What is archived when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadConfig {
    /// How long after its end a window is archived: samples that come later than that are not in the archive.
    pub after: DurationMs,
    /// Length of windows; a day is one folder.
    pub span: DurationMs,
}

/// What one run archived, and what is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadReport {
    /// Windows archived.
    pub window_count: usize,
    /// Samples in them.
    pub sample_count: u64,
    /// Bytes of their files.
    pub size_bytes: u64,
    /// Local samples from this time on are not archived and must stay.
    pub hold_from: TimestampMs,
}

/// Archives windows of one local database.
#[derive(Debug)]
pub struct Uploader {
    archive: Arc<Archive>,
    config: UploadConfig,
    /// Windows that the last run found without samples. Some may come yet, by an import.
    empty: Vec<Window>,
}

impl Uploader {
    /// An uploader into this archive.
    #[must_use]
    pub const fn new(archive: Arc<Archive>, config: UploadConfig) -> Self {
        Self { archive, config, empty: Vec::new() }
    }

    /// Only looks what is archived already.
    ///
    /// # Errors
    /// [`CatalogueError`].
    pub fn refresh(&self) -> Result<(), CatalogueError> {
        self.archive.refresh()
    }

    /// Merges uploads that cover a day into one, and writes those of earlier formats anew.
    ///
    /// # Errors
    /// [`MergeError`] when a merge failed; what it would have replaced stays, and the others are done.
    pub fn merge(&self) -> Result<MergeReport, MergeError> {
        compact::run(&self.archive)
    }

    /// Archives every window that is due: it ended `after` ago, and no samples are added before `settled_before`.
    /// `local` is what the database has; nothing is done without.
    ///
    /// # Errors
    /// [`UploadError`] of the first window that failed; windows before it are archived.
    pub fn run(
        &mut self,
        source: &dyn SeriesSource,
        local: TimeRange,
        settled_before: TimestampMs,
        now: TimestampMs,
    ) -> Result<UploadReport, UploadError> {
        self.archive.refresh()?;
        self.empty.clear();
        let span = self.config.span;
        let sealed_before = settled_before.min(now - self.config.after);
        let mut report = UploadReport {
            window_count: 0,
            sample_count: 0,
            size_bytes: 0,
            hold_from: TimestampMs::MIN,
        };
        for window in plan::due(local, sealed_before, span, &self.done()) {
            match archive_window(&self.archive, source, &[], window, Vec::new(), &mut |_| {})? {
                Some(manifest) => {
                    report.window_count += 1;
                    report.sample_count += manifest.sample_count();
                    report.size_bytes += manifest.size_bytes();
                }
                None => self.empty.push(window),
            }
        }
        report.hold_from = plan::hold_from(local, span, &self.done());
        Ok(report)
    }

    fn done(&self) -> Vec<Window> {
        let mut done = self.archive.windows();
        done.extend_from_slice(&self.empty);
        done
    }
}

/// What an export has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExportProgress {
    /// Metrics written.
    pub metric_count: usize,
    /// Metrics to write in this window.
    pub metric_total: usize,
    /// Samples written.
    pub sample_count: u64,
    /// Bytes of the files.
    pub size_bytes: u64,
}

/// Writes one window of the series that satisfy the matchers into an archive; gives its counts, `None` without samples.
///
/// # Errors
/// [`UploadError`]; nothing of the window is visible then.
pub fn export_window(
    archive: &Archive,
    source: &dyn SeriesSource,
    matchers: &[Matcher],
    window: Window,
    progress: &mut dyn FnMut(ExportProgress),
) -> Result<Option<ExportProgress>, UploadError> {
    let manifest = archive_window(archive, source, matchers, window, Vec::new(), progress)?;
    Ok(manifest.map(|manifest| ExportProgress {
        metric_count: manifest.metrics().len(),
        metric_total: manifest.metrics().len(),
        sample_count: manifest.sample_count(),
        size_bytes: manifest.size_bytes(),
    }))
}

/// Writes a window: all files first, each read back and compared, then the list, which names those that it replaces.
pub(crate) fn archive_window(
    archive: &Archive,
    source: &dyn SeriesSource,
    matchers: &[Matcher],
    window: Window,
    replaces: Vec<String>,
    progress: &mut dyn FnMut(ExportProgress),
) -> Result<Option<Manifest>, UploadError> {
    let mut parts: Vec<Part> = Vec::new();
    let mut all_labels: Vec<Labels> = Vec::new();
    let mut metrics = source.label_values(METRIC_NAME, matchers, window.range())?;
    // Series without a name have no value to be listed by.
    metrics.push(String::new());
    let mut done = ExportProgress { metric_total: metrics.len(), ..ExportProgress::default() };
    let mut writer = PartWriter::new(window, source.label_names(matchers, window.range())?);
    let mut put = |written: Vec<Written>, size_bytes: &mut u64| -> Result<(), UploadError> {
        for Written { part, bytes } in written {
            archive.store().put(&part.path, bytes)?;
            *size_bytes += part.size_bytes;
            parts.push(part);
        }
        Ok(())
    };
    for metric in metrics {
        let mut wanted = matchers.to_vec();
        wanted.push(Matcher::equal(METRIC_NAME, metric.as_str()));
        for series in source.select(&wanted, &SelectHints::range(window.range()))? {
            let series = series?;
            let sample_count = series.floats.timestamps.len() + series.histograms.timestamps.len();
            if sample_count == 0 {
                continue;
            }
            done.sample_count += sample_count as u64;
            all_labels.push(series.labels.clone());
            put(writer.add(series)?, &mut done.size_bytes)?;
        }
        done.metric_count += 1;
        progress(done);
    }
    put(writer.finish()?, &mut done.size_bytes)?;
    compare_counts(archive, &parts, &replaces)?;
    if parts.is_empty() {
        return Ok(None);
    }
    for part in &parts {
        verify(archive, part)?;
    }
    let series = put_series(archive, window, all_labels)?;
    let manifest = Manifest::new(window, parts, series, replaces);
    let (name, content) = manifest.encode();
    put_and_compare(archive, &name, &content)?;
    archive.add(name, manifest.clone());
    Ok(Some(manifest))
}

/// Compares the samples of new files with those of the uploads that they are to replace: the list comes only after.
fn compare_counts(
    archive: &Archive,
    parts: &[Part],
    replaces: &[String],
) -> Result<(), UploadError> {
    if replaces.is_empty() {
        return Ok(());
    }
    let expected_samples = archive.named(replaces).iter().map(|it| it.sample_count()).sum();
    let groups = parts.iter().flat_map(|part| &part.row_groups);
    let found_samples = groups.map(|group| group.sample_count).sum();
    if found_samples == expected_samples {
        return Ok(());
    }
    Err(UploadError::Count {
        location: archive.store().location().to_owned(),
        sources: replaces.to_vec(),
        found_samples,
        expected_samples,
    })
}

/// Writes the index of the series.
fn put_series(
    archive: &Archive,
    window: Window,
    mut labels: Vec<Labels>,
) -> Result<SeriesFile, UploadError> {
    labels.sort_unstable();
    labels.dedup();
    let mut index = Vec::new();
    write_index(&labels, &mut index);
    let content = Bytes::from(index);
    let path = layout::series(window, &hex(&Sha256::digest(&content)));
    put_and_compare(archive, &path, &content)?;
    Ok(SeriesFile { path, bytes: Segment::of(&content, 0) })
}

fn put_and_compare(archive: &Archive, name: &str, content: &Bytes) -> Result<(), UploadError> {
    archive.store().put(name, content.clone())?;
    let found = archive.store().get_patiently(name)?;
    if found == content {
        Ok(())
    } else {
        Err(differs(archive, name, &found, content.len() as u64))
    }
}

/// Reads a file back and compares it with what was written.
fn verify(archive: &Archive, part: &Part) -> Result<(), UploadError> {
    let found = archive.store().get_patiently(&part.path)?;
    let same = found.len() as u64 == part.size_bytes && hex(&Sha256::digest(&found)) == part.sha256;
    if same { Ok(()) } else { Err(differs(archive, &part.path, &found, part.size_bytes)) }
}

fn differs(archive: &Archive, object: &str, found: &[u8], expected_bytes: u64) -> UploadError {
    UploadError::Differs {
        location: archive.store().location().to_owned(),
        object: object.to_owned(),
        found_bytes: found.len() as u64,
        expected_bytes,
    }
}
