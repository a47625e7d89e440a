//! The way out: series selected by matchers, as columns.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::{
    Aggregate, Arrivals, DurationMs, HistogramRun, Labels, METRIC_NAME, Matcher, NativeHistogram,
    TimeRange, TimestampMs, Tracked,
};

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
    /// Runs of float samples that are given in place of the samples, in the order of time, apart from each other and from
    /// the floats. Empty unless [`Coarse::Folded`] was asked for, and where there are histograms.
    pub aggregates: Vec<Aggregate>,
    /// Runs of histograms that stand for histograms that are gone, in the order of time, older than those that are there.
    /// Empty unless [`Coarse::Folded`] was asked for: others get the newest one of each stretch as a histogram.
    pub histogram_runs: Vec<HistogramRun>,
    /// Where floats or histograms stand for those that are gone.
    pub thinned: Option<Thinned>,
}

/// Samples up to a time are the newest ones of stretches, the others are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thinned {
    /// End of the last such stretch.
    pub until: TimestampMs,
    /// Length of the longest of them.
    pub spacing: DurationMs,
}

/// Windows that samples are folded over: `(end - range, end]` for each of several ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WindowGrid {
    /// End of the first window.
    pub first_end: TimestampMs,
    /// From one end to the next; above 0.
    pub step: DurationMs,
    /// Number of windows.
    pub count: usize,
    /// Length of each.
    pub range: DurationMs,
}

impl WindowGrid {
    /// Whether no time lies in two windows.
    #[must_use]
    pub const fn are_apart(&self) -> bool {
        self.count <= 1 || self.step.0 >= self.range.0
    }

    /// Whether all windows begin and end at multiples of `resolution`.
    #[must_use]
    pub fn is_aligned(&self, resolution: DurationMs) -> bool {
        let fits = |at_ms: i64| at_ms.rem_euclid(resolution.0) == 0;
        fits(self.first_end.0) && fits(self.range.0) && (self.count <= 1 || fits(self.step.0))
    }
}

impl WindowGrid {
    /// Whether a window begins or ends between samples at these two times, so that it holds one of them only.
    #[must_use]
    pub fn cuts(&self, first: TimestampMs, last: TimestampMs) -> bool {
        let cut_from = |edge: i64| {
            // Both a start and an end lie behind the sample at their own time.
            let steps = first.0.saturating_sub(edge).max(0);
            let step = self.step.0.max(1);
            let idx = steps / step + i64::from(steps % step > 0);
            usize::try_from(idx).is_ok_and(|idx| idx < self.count)
                && edge.saturating_add(idx.saturating_mul(step)) < last.0
        };
        let end = self.first_end.0;
        cut_from(end) || cut_from(end.saturating_sub(self.range.0))
    }
}

/// Which figures of aggregates a reader looks at; the others may be those of the first sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Figures {
    /// Count, and the first and last sample with their times.
    Ends,
    /// Count and sum.
    Sums,
    /// The smallest and the greatest value.
    Extremes,
    /// As [`Figures::Ends`], and where values fall. What was lost there is added up in the order of time, which fractions
    /// depend on: at most one fall lies inside a run of samples that are still there.
    Falls,
    /// As [`Figures::Ends`], and where values change: each run is of one value. Aggregates of stretches do not tell that,
    /// so where samples are gone it is read as [`Coarse::Newest`].
    Changes,
}

/// What may stand for float samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Coarse {
    /// Nothing: samples as they came, or none.
    #[default]
    Refused,
    /// Where samples are gone, the newest of each stretch that is known; then also those of the last stretch before the
    /// range.
    Newest,
    /// Aggregates of runs that each window holds as a whole or not at all; where samples are gone, of runs that may
    /// reach over a window's end: they count to the window that holds their last sample.
    Folded(WindowGrid, Figures),
}

impl Coarse {
    /// Whether aggregates of stretches say all that is looked at.
    #[must_use]
    pub const fn takes_stretches(&self) -> bool {
        match self {
            Self::Refused | Self::Newest | Self::Folded(_, Figures::Changes) => false,
            Self::Folded(_, Figures::Ends | Figures::Sums | Figures::Extremes | Figures::Falls) => {
                true
            }
        }
    }
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
    /// What is taken in place of float samples.
    pub coarse: Coarse,
    /// Stored bytes that are damaged are left out, and [`SeriesSource::warnings`] names them afterwards; otherwise
    /// reading them is an error. Only for readers that show the warnings.
    pub passes_over_damage: bool,
}

impl SelectHints {
    /// All samples of a window.
    #[must_use]
    pub const fn range(range: TimeRange) -> Self {
        Self {
            range,
            labels_only: false,
            limit: 0,
            newest_only: false,
            coarse: Coarse::Refused,
            passes_over_damage: false,
        }
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

/// Into how many parts a read may be cut, so that they are read side by side.
#[derive(Clone, Copy, Debug)]
pub struct Split {
    /// Parts at most.
    pub parts_max: usize,
    /// Series that a part should have at least: fewer are not worth a thread.
    pub series_min: usize,
}

impl Split {
    /// All in one part.
    pub const WHOLE: Self = Self { parts_max: 1, series_min: 1 };

    /// How many series each part has, all parts but the last the same number. There are no more parts than the series
    /// are worth, so that the last one is not a rest that keeps a thread for nothing.
    #[must_use]
    pub fn part_len(self, series_count: usize) -> usize {
        let worth = series_count / self.series_min.max(1);
        series_count.div_ceil(worth.clamp(1, self.parts_max.max(1))).max(1)
    }
}

/// Series of a selection, each with the group it is in instead of its labels.
pub struct SelectedGroups<'a> {
    /// Labels of the groups, in any order, each once; a group may have no series.
    pub groups: Arc<[Labels]>,
    /// The series, cut into parts.
    pub parts: Vec<GroupedIter<'a>>,
}

impl fmt::Debug for SelectedGroups<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (groups, parts) = (self.groups.len(), self.parts.len());
        f.debug_struct("SelectedGroups").field("groups", &groups).field("parts", &parts).finish()
    }
}

/// Index of the group, and samples with labels left empty, of series in any order.
pub type GroupedIter<'a> =
    Box<dyn Iterator<Item = Result<(u32, SeriesData), SelectError>> + Send + 'a>;

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

/// What somebody would like to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// Series with their samples.
    Samples,
    /// Names of labels.
    Names,
    /// Values of a label.
    Values(&'a str),
}

/// What a read looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AtHand {
    /// Series, names or values that it gives, at most.
    pub found: usize,
    /// Labels of series, names and values that have to be looked at to find them, about.
    pub looked_at: usize,
}

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

    /// What [`SeriesSource::select`] gives, grouped, where the source can tell the groups without building each series'
    /// labels; `None` where it cannot.
    ///
    /// # Errors
    /// [`SelectError`] when stored data cannot be read; also from the iterators' items.
    fn select_grouped<'a>(
        &'a self,
        _matchers: &[Matcher],
        _hints: &SelectHints,
        _grouping: Grouping<'_>,
        _split: Split,
    ) -> Result<Option<SelectedGroups<'a>>, SelectError> {
        Ok(None)
    }

    /// What [`SeriesSource::select`] gives, cut into parts: one behind the other they are the same series in the same
    /// order.
    ///
    /// # Errors
    /// As [`SeriesSource::select`].
    fn select_parts<'a>(
        &'a self,
        matchers: &[Matcher],
        hints: &SelectHints,
        _split: Split,
    ) -> Result<Vec<SeriesIter<'a>>, SelectError> {
        Ok(vec![self.select(matchers, hints)?])
    }

    /// What a read would look at, where all of it is in memory, has no histograms, and even finding it takes little: such a
    /// read may be done where nobody may wait long. `None` where that is not so, or not known.
    fn at_hand(
        &self,
        _wanted: Wanted<'_>,
        _matchers: &[Matcher],
        _range: TimeRange,
    ) -> Option<AtHand> {
        None
    }

    /// What came to a selection's series since `tracked` was brought up to date, which this does; with nothing in it, all
    /// samples from `from` on, those after the time of asking included. `from` may not be earlier than it was. `None`, and
    /// nothing tracked any more, where the source cannot tell, where there is more than floats in memory, and where more
    /// than `samples_max` would have to be read: then [`SeriesSource::select`] has the answer.
    ///
    /// # Errors
    /// [`SelectError`] when stored data cannot be read.
    fn arrivals(
        &self,
        _matchers: &[Matcher],
        _from: TimestampMs,
        _samples_max: usize,
        tracked: &mut Tracked,
    ) -> Result<Option<Arrivals>, SelectError> {
        *tracked = Tracked::default();
        Ok(None)
    }

    /// The same series, for one reader who may go: reads that wait for others end when the flag is set, with
    /// [`SelectError::Stopped`]. `None` where nobody is waited for.
    fn until_cancelled(&self, _cancelled: &Arc<AtomicBool>) -> Option<Arc<dyn SeriesSource>> {
        None
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn runs_that_are_not_cut_lie_in_a_window_or_not(
            first_end in -50i64..50,
            step in 1i64..20,
            count in 0usize..6,
            range in 1i64..30,
            first in -80i64..160,
            len in 0i64..12,
        ) {
            let grid = WindowGrid {
                first_end: TimestampMs(first_end),
                step: DurationMs(step),
                count,
                range: DurationMs(range),
            };
            let last = first + len;
            let ends = (0..).map(|idx| first_end + idx * step).take(count);
            let parts = ends.filter(|end| {
                let holds = |at: i64| *end - range < at && at <= *end;
                holds(first) != holds(last) || (!holds(first) && (first..last).any(holds))
            });
            prop_assert_eq!(grid.cuts(TimestampMs(first), TimestampMs(last)), parts.count() > 0);
        }
    }
}
