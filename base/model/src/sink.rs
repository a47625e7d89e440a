//! The way in: batches of samples that are appended as a whole or not at all.

use std::sync::Arc;

use crate::{Labels, NativeHistogram, SeriesRef, TimestampMs};

/// Samples of one target at one instant, by column. `series` and `values` have the same length.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// The instant all the samples share.
    pub timestamp: TimestampMs,
    /// Series, as given by [`SampleSink::resolve`]; each at most once.
    pub series: Vec<SeriesRef>,
    /// Value of the series at the same index; may be the staleness marker.
    pub values: Vec<f64>,
}

/// One native histogram sample.
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramSample {
    /// Series, as given by [`SampleSink::resolve`].
    pub series: SeriesRef,
    /// When.
    pub timestamp: TimestampMs,
    /// What.
    pub value: Arc<NativeHistogram>,
}

/// Samples that become visible, and durable, together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Float samples, a row per target and instant.
    pub rows: Vec<Row>,
    /// Native histogram samples.
    pub histograms: Vec<HistogramSample>,
}

impl Batch {
    /// Number of samples.
    #[must_use]
    pub fn sample_count(&self) -> usize {
        self.rows.iter().map(|row| row.series.len()).sum::<usize>() + self.histograms.len()
    }
}

/// Kind of a metric family, from `# TYPE`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MetricKind {
    /// Only rises, but for resets.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Classic or native histogram.
    Histogram,
    /// A histogram whose buckets go up and down.
    GaugeHistogram,
    /// Quantiles computed by the client.
    Summary,
    /// A constant 1 with facts in labels.
    Info,
    /// One series per state, 0 or 1.
    StateSet,
    /// Not said.
    #[default]
    Unknown,
}

/// What `# HELP`, `# TYPE` and `# UNIT` say of a metric family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetricMetadata {
    /// Kind of metric.
    pub kind: MetricKind,
    /// One sentence.
    pub help: String,
    /// Base unit, or empty.
    pub unit: String,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AppendReport {
    /// Samples stored.
    pub stored: usize,
    /// Samples dropped since a newer or equal time with another value was stored before.
    pub out_of_order: usize,
    /// Samples dropped as exact repeats.
    pub duplicates: usize,
    /// Samples dropped for being older than the storage accepts.
    pub too_old: usize,
    /// Samples dropped for being further ahead of the clock than the storage accepts.
    pub too_new: usize,
}

/// Why a batch or a series was refused; nothing of it was stored.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The series is not known (any more): resolve its labels again and retry.
    #[error("series {0:?} is not known: resolve its labels again")]
    UnknownSeries(SeriesRef),
    /// The labels break a rule or a limit: the sender must change them.
    #[error("series {series} is refused: {reason}")]
    Refused {
        /// The offending label set, as text.
        series: String,
        /// Rule or limit, with its figure.
        reason: String,
    },
    /// The storage accepts no writes until it is reopened (disk full, IO error).
    #[error("the storage takes no writes until it is reopened: {reason}")]
    ReadOnly {
        /// First failure that led to this.
        reason: String,
    },
}

/// Takes samples. Implemented by the storage engine, and by wrappers that announce new samples.
pub trait SampleSink: Send + Sync {
    /// Finds or creates the series with these labels.
    ///
    /// # Errors
    /// [`AppendError::Refused`] when labels break a limit, [`AppendError::ReadOnly`] after a failed write.
    fn resolve(&self, labels: &Labels) -> Result<SeriesRef, AppendError>;

    /// Appends a batch: visible and logged as a whole, or refused as a whole. Samples that come too
    /// late are dropped one by one and counted in the report.
    ///
    /// # Errors
    /// [`AppendError::UnknownSeries`] when a reference went stale, [`AppendError::ReadOnly`] after a failed write.
    fn append(&self, batch: &Batch) -> Result<AppendReport, AppendError>;

    /// Remembers what a metric family is; best effort, not logged.
    fn describe(&self, metric_name: &str, metadata: &MetricMetadata);
}
