//! Aggregates of stretches of time as columns: what a block of a resolution holds of each series in place of samples.
//!
//! The column of times has the ends of the stretches, the column of values the last value of each, and behind that stand
//! [`COLUMN_COUNT`] columns more, in the order of [`columns`].

use std::sync::Arc;

use swell_chunk::FloatReader;
use swell_model::{Aggregate, stretch_end};

use super::ReadBlockError;
use super::columns::FrameCache;
use super::group::FloatColumns;
use super::reader::Loaded;

/// Columns behind the values.
pub(super) const COLUMN_COUNT: usize = 9;

/// Ends of stretches, last values, and the other columns.
pub(super) struct AggregateColumns {
    pub(super) ends: Arc<[i64]>,
    pub(super) last: Vec<f64>,
    pub(super) others: [Vec<f64>; COLUMN_COUNT],
}

/// The columns of aggregates, each of another stretch of that length.
#[expect(clippy::cast_precision_loss, reason = "stretches are shorter than 2^53 ms")]
pub(super) fn columns(aggregates: &[Aggregate], resolution_ms: i64) -> AggregateColumns {
    let end = |it: &Aggregate| stretch_end(it.last_ms, resolution_ms);
    let column = |value: &dyn Fn(&Aggregate) -> f64| aggregates.iter().map(value).collect();
    AggregateColumns {
        ends: aggregates.iter().map(end).collect(),
        last: column(&|it| it.last),
        others: [
            column(&|it| (end(it) - it.last_ms) as f64),
            column(&|it| (end(it) - it.first_ms) as f64),
            column(&|it| it.count as f64),
            column(&|it| it.first),
            column(&|it| it.min),
            column(&|it| it.max),
            column(&|it| it.sum),
            column(&|it| it.reset_count as f64),
            column(&|it| it.before_resets),
        ],
    }
}

/// How much of an aggregate is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// The time and value of the last sample; the rest is as if there was no other.
    Last,
    All,
}

impl Loaded {
    /// Aggregates at the positions `[from, to)` of a series; `ends` are those of its stretches there.
    pub(crate) fn aggregates(
        &self,
        series: &FloatColumns,
        (from, to): (usize, usize),
        ends: &[i64],
        depth: Depth,
        frames: &mut FrameCache,
        reader: &mut FloatReader,
    ) -> Result<Vec<Aggregate>, ReadBlockError> {
        let mut read = |columns: &FloatColumns| {
            let mut values = Vec::with_capacity(to - from);
            self.floats(columns, (from, to), frames, reader, &mut values)?;
            Ok::<_, ReadBlockError>(values)
        };
        let mut other = |idx: usize| match series.aggregate(idx) {
            Some(columns) => read(&columns),
            None => Err(self.not_aggregated()),
        };
        let before_end = other(0)?;
        let column_count = if depth == Depth::All { COLUMN_COUNT } else { 1 };
        let others: Vec<Vec<f64>> = (1..column_count).map(other).collect::<Result<_, _>>()?;
        let last = read(series)?;
        let all = ends.iter().zip(before_end).zip(&last).enumerate();
        let all = all.map(|(idx, ((end_ms, before_end), last))| {
            let last = Aggregate::of_sample(end_ms.saturating_sub(whole(before_end)), *last);
            let [first_at, count, first, min, max, sum, reset_count, before_resets] = &others[..]
            else {
                return last;
            };
            Aggregate {
                count: whole(count[idx]).unsigned_abs(),
                first_ms: end_ms.saturating_sub(whole(first_at[idx])),
                first: first[idx],
                min: min[idx],
                max: max[idx],
                sum: sum[idx],
                reset_count: whole(reset_count[idx]).unsigned_abs(),
                before_resets: before_resets[idx],
                ..last
            }
        });
        Ok(all.collect())
    }
}

#[expect(clippy::cast_possible_truncation, reason = "written from integers; saturates")]
pub(super) fn whole(value: f64) -> i64 {
    value as i64
}
