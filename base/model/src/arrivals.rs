//! What came to the series of a selection since they were read before: for readers that ask the same again and again, and
//! keep what they read.

use crate::{FloatColumn, Labels, SeriesRef};

/// What a source notes of a selection that a reader keeps, so that it can tell the next time what came since. It is empty
/// for a reader that keeps nothing yet, and means nothing to another source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tracked {
    /// The set of series that the source had.
    pub version: u64,
    /// The series of the selection, in the source's order.
    pub series: Vec<TrackedSeries>,
}

/// A series, and what its source knows its state by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrackedSeries {
    /// Which one.
    pub series: SeriesRef,
    /// The source's own business.
    pub state: [u64; 3],
}

/// What a reader has to do to have what the source has. Series go by their places in [`Tracked::series`].
#[derive(Clone, Debug, Default)]
pub struct Arrivals {
    /// Where series came or went: the place that each had before, `None` for a new one.
    pub moved: Option<Vec<Option<u32>>>,
    /// Labels of the new ones.
    pub labels: Vec<(u32, Labels)>,
    /// Series of which what was kept does not count: all of their samples from the time on that was asked for, with
    /// staleness markers; those that have none are named, too.
    pub anew: Vec<(u32, FloatColumn)>,
    /// Place, time and value of samples of other series, each later than all that are kept of its series.
    pub samples: Vec<(u32, i64, f64)>,
    /// Whether samples may have start timestamps, which `samples` leave out.
    pub has_starts: bool,
}
