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
    /// Start timestamp of the sample at the same index, in milliseconds, 0 where it has none; empty when no sample of
    /// the row has one.
    pub starts: Vec<i64>,
}

impl Row {
    /// A row without start timestamps.
    #[must_use]
    pub const fn new(timestamp: TimestampMs, series: Vec<SeriesRef>, values: Vec<f64>) -> Self {
        Self { timestamp, series, values, starts: Vec::new() }
    }

    /// Start timestamp of the sample at an index, 0 for none.
    #[must_use]
    pub fn start_ms(&self, idx: usize) -> i64 {
        self.starts.get(idx).copied().unwrap_or(0)
    }
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
    /// Start timestamp in milliseconds, 0 for none.
    pub start_ms: i64,
}

/// A single observation that a series is made of, with the labels of its trace.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// Labels of its own, such as `trace_id`.
    pub labels: Labels,
    /// What was observed.
    pub value: f64,
    /// When.
    pub timestamp: TimestampMs,
}

/// An exemplar on its way in.
#[derive(Clone, Debug, PartialEq)]
pub struct ExemplarSample {
    /// Series it belongs to, as given by [`SampleSink::resolve`].
    pub series: SeriesRef,
    /// What.
    pub exemplar: Exemplar,
}

/// What a metric family is, on its way in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MetricDescription {
    /// Name of the family.
    pub metric_name: String,
    /// What is said of it.
    pub metadata: MetricMetadata,
}

/// Samples that become visible, and durable, together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Float samples, a row per target and instant.
    pub rows: Vec<Row>,
    /// Native histogram samples.
    pub histograms: Vec<HistogramSample>,
    /// Exemplars; of each series at most the newest are kept for long.
    pub exemplars: Vec<ExemplarSample>,
    /// What metric families are; replaces what was known of them.
    pub descriptions: Vec<MetricDescription>,
    /// Whether nothing of the batch is stored when one of its samples would be dropped for another reason than being
    /// a repeat, or another value for the time of a late one. The report then counts what would have been dropped.
    pub is_whole: bool,
    /// Whether samples that are not newer than the newest of their series are dropped also where late ones are taken, as
    /// markers of staleness are that would end what somebody else goes on with.
    pub in_order_only: bool,
}

impl Batch {
    /// A batch of rows alone.
    #[must_use]
    pub fn of_rows(rows: Vec<Row>) -> Self {
        Self { rows, ..Self::default() }
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sample_count() == 0 && self.exemplars.is_empty() && self.descriptions.is_empty()
    }

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

impl MetricKind {
    /// As `OpenMetrics` has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::GaugeHistogram => "gaugehistogram",
            Self::Summary => "summary",
            Self::Info => "info",
            Self::StateSet => "stateset",
            Self::Unknown => "unknown",
        }
    }
}

/// What `# HELP`, `# TYPE` and `# UNIT` say of a metric family.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct MetricMetadata {
    /// Kind of metric.
    pub kind: MetricKind,
    /// One sentence.
    pub help: String,
    /// Base unit, or empty.
    pub unit: String,
}

/// Why a sample was not stored, or not as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// A newer sample was stored before, and the sample is older than the out-of-order window.
    OutOfOrder,
    /// Another value was stored for the same time before; the first one stays.
    Conflict,
    /// It is older than what the storage accepts at all.
    TooOld,
    /// It is further ahead of the clock than the storage accepts.
    TooNew,
}

impl std::fmt::Display for DropReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::OutOfOrder => "out of order",
            Self::Conflict => "another value is stored for the same time",
            Self::TooOld => "too old",
            Self::TooNew => "too far in the future",
        })
    }
}

/// The first sample of a batch that was dropped, as an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DroppedSample {
    /// Its series.
    pub series: SeriesRef,
    /// Its time.
    pub timestamp: TimestampMs,
    /// Why.
    pub reason: DropReason,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AppendReport {
    /// Samples stored.
    pub stored: usize,
    /// Of these, native histograms.
    pub histograms_stored: usize,
    /// Of the samples stored, those that came after a newer one of their series.
    pub stored_late: usize,
    /// Samples dropped since a newer one was stored before and they are older than the out-of-order window.
    pub out_of_order: usize,
    /// Samples dropped since another value was stored for the same time.
    pub conflicts: usize,
    /// Samples dropped as exact repeats; no fault of the sender's.
    pub duplicates: usize,
    /// Samples dropped for being older than the storage accepts.
    pub too_old: usize,
    /// Samples dropped for being further ahead of the clock than the storage accepts.
    pub too_new: usize,
    /// How many of the dropped samples are histograms.
    pub histograms_dropped: usize,
    /// Exemplars stored.
    pub exemplars_stored: usize,
    /// Exemplars dropped for being older than the newest one of their series, or too far in the future.
    pub exemplars_dropped: usize,
    /// The first sample that was dropped and is no repeat.
    pub example: Option<DroppedSample>,
    /// Whether nothing of the batch was stored: it was to be stored as a whole, and not all of it could be.
    pub is_rolled_back: bool,
}

impl AppendReport {
    /// Samples dropped that the sender should hear of.
    #[must_use]
    pub const fn dropped(&self) -> usize {
        self.out_of_order + self.conflicts + self.too_old + self.too_new
    }

    /// Counts a dropped sample.
    pub fn drop_sample(&mut self, series: SeriesRef, timestamp: TimestampMs, reason: DropReason) {
        *match reason {
            DropReason::OutOfOrder => &mut self.out_of_order,
            DropReason::Conflict => &mut self.conflicts,
            DropReason::TooOld => &mut self.too_old,
            DropReason::TooNew => &mut self.too_new,
        } += 1;
        self.example.get_or_insert(DroppedSample { series, timestamp, reason });
    }
}

/// Why a batch or a series was refused; nothing of it was stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
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
    /// A limit on the number of series is reached: this one is new and is shed, those that are there go on.
    #[error("series {series} is shed: {reason}")]
    TooManySeries {
        /// The offending label set, as text.
        series: String,
        /// The limit with its figure, and what uses it up.
        reason: String,
    },
    /// The storage takes no writes for now (disk full, no file may be opened): it takes them again by itself once the
    /// cause is gone, and nothing of this one was stored.
    #[error("the storage takes no writes for now: {reason}")]
    Paused {
        /// First failure that led to this.
        reason: String,
    },
    /// The storage accepts no writes until it is reopened (IO error, failed sync).
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
    /// [`AppendError::Refused`] when labels break a limit, [`AppendError::TooManySeries`] when there is no room for one
    /// more, [`AppendError::Paused`] or [`AppendError::ReadOnly`] after a failed write.
    fn resolve(&self, labels: &Labels) -> Result<SeriesRef, AppendError>;

    /// Appends a batch: visible and logged as a whole, or refused as a whole. Samples that come too
    /// late are dropped one by one and counted in the report. Exemplars and descriptions are logged with it.
    ///
    /// # Errors
    /// [`AppendError::UnknownSeries`] when a reference went stale, [`AppendError::Paused`] or
    /// [`AppendError::ReadOnly`] after a failed write.
    fn append(&self, batch: &Batch) -> Result<AppendReport, AppendError>;
}
