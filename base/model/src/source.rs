//! The way out: series selected by matchers, as columns.

use std::sync::Arc;

use crate::{Labels, Matcher, NativeHistogram, TimeRange};

/// Float samples of one series: columns of equal length, times rising strictly.
#[derive(Clone, Debug, Default)]
pub struct FloatColumn {
    /// Milliseconds since the epoch, rising; may be shared between series of one target.
    pub timestamps: Arc<[i64]>,
    /// Values; staleness markers included.
    pub values: Arc<[f64]>,
    /// Start timestamps (milliseconds, 0 = none), if any sample has one.
    pub starts: Option<Arc<[i64]>>,
}

/// Native histogram samples of one series: columns of equal length, times rising strictly.
#[derive(Clone, Debug, Default)]
pub struct HistogramColumn {
    /// Milliseconds since the epoch, rising.
    pub timestamps: Vec<i64>,
    /// Values.
    pub values: Vec<Arc<NativeHistogram>>,
    /// Start timestamps (milliseconds, 0 = none), if any sample has one.
    pub starts: Option<Vec<i64>>,
}

/// One selected series inside the window asked for.
#[derive(Clone, Debug, Default)]
pub struct SeriesData {
    /// Full label set.
    pub labels: Labels,
    /// Float samples.
    pub floats: FloatColumn,
    /// Histogram samples.
    pub histograms: HistogramColumn,
}

/// What the reader will do with the samples; the storage may use it to read less, never to answer otherwise.
#[derive(Clone, Copy, Debug)]
pub struct SelectHints {
    /// Samples outside are not needed; both ends belong.
    pub range: TimeRange,
    /// Only the label sets are needed: columns may be left empty.
    pub labels_only: bool,
    /// At most this many series are needed (0 = all).
    pub limit: usize,
}

impl SelectHints {
    /// All samples of a window.
    #[must_use]
    pub const fn range(range: TimeRange) -> Self {
        Self { range, labels_only: false, limit: 0 }
    }
}

/// A read that failed; what was damaged is named, and never returned as data.
#[derive(Debug, thiserror::Error)]
pub enum SelectError {
    /// Stored bytes could not be read or fail their checksum.
    #[error("stored data cannot be read: {what}")]
    Storage {
        /// File, offset and fault.
        what: String,
    },
    /// A limit was passed or the reader went away.
    #[error("the read was stopped: {why}")]
    Stopped {
        /// Which limit, or "cancelled".
        why: String,
    },
}

/// Selected series, in any order, each label set once.
pub type SeriesIter<'a> = Box<dyn Iterator<Item = Result<SeriesData, SelectError>> + Send + 'a>;

/// Sorted names or values.
pub type LabelsIter = Vec<String>;

/// Gives series. Implemented by the storage engine and by in-memory test storages.
pub trait SeriesSource: Send + Sync {
    /// Series that satisfy all matchers and have samples in `hints.range`.
    ///
    /// # Errors
    /// [`SelectError`] when stored data cannot be read; also from the iterator's items.
    fn select<'a>(
        &'a self,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<SeriesIter<'a>, SelectError>;

    /// Label names of the series that satisfy all matchers (all series when there are none), sorted.
    ///
    /// # Errors
    /// [`SelectError`] when stored data cannot be read.
    fn label_names(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<LabelsIter, SelectError>;

    /// Values of `name` among the series that satisfy all matchers, sorted.
    ///
    /// # Errors
    /// [`SelectError`] when stored data cannot be read.
    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<LabelsIter, SelectError>;
}
