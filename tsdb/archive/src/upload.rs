//! Sealed windows of the local database go into the archive.
//!
//! The order is what makes it safe: all files of a window are written, read back and compared with what was meant to be
//! written, and only then the list that makes them visible. Cut short anywhere, the window is not in the archive, stays
//! local, and is written again under the same names.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use swell_model::{
    DurationMs, METRIC_NAME, Matcher, SelectError, SelectHints, SeriesSource, TimeRange,
    TimestampMs,
};

use crate::archive::Archive;
use crate::catalogue::CatalogueError;
use crate::layout::Window;
use crate::manifest::{Manifest, Part};
use crate::part::{MetricWriter, WriteError, Written, hex};
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
    /// Windows found without samples: not looked at again until a restart.
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
        let span = self.config.span;
        let sealed_before = settled_before.min(now - self.config.after);
        let mut report = UploadReport {
            window_count: 0,
            sample_count: 0,
            size_bytes: 0,
            hold_from: TimestampMs::MIN,
        };
        for window in plan::due(local, sealed_before, span, &self.done()) {
            match archive_window(&self.archive, source, &[], window, &mut |_| {})? {
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
    let manifest = archive_window(archive, source, matchers, window, progress)?;
    Ok(manifest.map(|manifest| ExportProgress {
        metric_count: manifest.metrics().len(),
        metric_total: manifest.metrics().len(),
        sample_count: manifest.sample_count(),
        size_bytes: manifest.size_bytes(),
    }))
}

fn archive_window(
    archive: &Archive,
    source: &dyn SeriesSource,
    matchers: &[Matcher],
    window: Window,
    progress: &mut dyn FnMut(ExportProgress),
) -> Result<Option<Manifest>, UploadError> {
    let mut parts: Vec<Part> = Vec::new();
    let mut metrics = source.label_values(METRIC_NAME, matchers, window.range())?;
    // Series without a name have no value to be listed by.
    metrics.push(String::new());
    let mut done = ExportProgress { metric_total: metrics.len(), ..ExportProgress::default() };
    for metric in metrics {
        let mut put = |written: Vec<Written>| -> Result<(), UploadError> {
            for Written { part, bytes } in written {
                archive.store().put(&part.path, bytes)?;
                done.size_bytes += part.size_bytes;
                parts.push(part);
            }
            Ok(())
        };
        let mut wanted = matchers.to_vec();
        wanted.push(Matcher::equal(METRIC_NAME, metric.as_str()));
        let mut writer = MetricWriter::new(window, &metric);
        for series in source.select(&wanted, &SelectHints::range(window.range()))? {
            let series = series?;
            done.sample_count +=
                (series.floats.timestamps.len() + series.histograms.timestamps.len()) as u64;
            put(writer.add(series)?)?;
        }
        put(writer.finish()?)?;
        done.metric_count += 1;
        progress(done);
    }
    if parts.is_empty() {
        return Ok(None);
    }
    for part in &parts {
        verify(archive, part)?;
    }
    let manifest = Manifest::new(window, parts);
    let (name, content) = manifest.encode();
    archive.store().put(&name, content.clone())?;
    let found = archive.store().get_patiently(&name)?;
    if found != content {
        return Err(differs(archive, &name, &found, content.len() as u64));
    }
    archive.add(name, manifest.clone());
    Ok(Some(manifest))
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
