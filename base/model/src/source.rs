//! The way out: series selected by matchers, as columns.

use std::sync::Arc;

use crate::{Labels, METRIC_NAME, Matcher, NativeHistogram, TimeRange};

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
    /// Of each series only the newest sample in the range is looked at, float or histogram: older ones may be left
    /// out.
    pub newest_only: bool,
}

impl SelectHints {
    /// All samples of a window.
    #[must_use]
    pub const fn range(range: TimeRange) -> Self {
        Self { range, labels_only: false, limit: 0, newest_only: false }
    }

    /// The newest sample of each series in a window.
    #[must_use]
    pub const fn newest(range: TimeRange) -> Self {
        Self { newest_only: true, ..Self::range(range) }
    }
}

/// Which labels tell groups of series apart.
#[derive(Clone, Copy, Debug)]
pub struct Grouping<'a> {
    /// Label names, sorted, each once.
    pub names: &'a [String],
    /// Whether all labels count but these and the metric's name, instead of these alone.
    pub without: bool,
}

impl Grouping<'_> {
    /// Whether a label tells groups apart.
    #[must_use]
    pub fn keeps(&self, name: &str) -> bool {
        let listed = self.names.binary_search_by(|one| one.as_str().cmp(name)).is_ok();
        if self.without { name != METRIC_NAME && !listed } else { listed }
    }
}

/// The newest float of each series, by group.
#[derive(Clone, Debug)]
pub struct GroupedNewest {
    /// Labels of the groups, in any order, each once; a group may have no sample.
    pub groups: Arc<[Labels]>,
    /// Index of the group, and value, of each series whose newest sample in the range is no staleness marker; in any
    /// order.
    pub samples: Vec<(u32, f64)>,
    /// Series with samples in the range, those that end in a staleness marker included.
    pub series_count: usize,
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

    /// What [`SelectHints::newest`] selects, already grouped, where the source has that at hand; `None` where it does
    /// not, or where a newest sample is a histogram: then [`SeriesSource::select`] has the answer.
    ///
    /// # Errors
    /// [`SelectError`] when stored data cannot be read.
    fn newest_grouped(
        &self,
        _matchers: &[Matcher],
        _range: TimeRange,
        _grouping: Grouping<'_>,
    ) -> Result<Option<GroupedNewest>, SelectError> {
        Ok(None)
    }

    /// Why answers about these times may be incomplete, as sentences for the reader; asked after they were read.
    fn warnings(&self, _range: TimeRange) -> Vec<String> {
        Vec::new()
    }

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
