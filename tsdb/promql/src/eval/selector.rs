//! Instant vectors from storage: per step the newest sample inside the lookback.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use swell_model::{
    Coarse, CounterResetHint, NativeHistogram, SelectHints, SeriesData, Thinned, TimeRange,
    TimestampMs, is_stale_nan,
};
use swell_promql_syntax::{Boundary, Span};

use super::column::histogram_weight;
use super::{Column, Evaluator, Grid, Held, Series, concat, sort_by_labels};
use crate::error::EvalError;
use crate::functions::smoothing;
use crate::plan::{Selector, TimeShift};

/// What of the chosen sample becomes the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SampleTime {
    /// Its value.
    Value,
    /// Its time, in seconds.
    Timestamp,
    /// Its start time, in seconds; 0 when it has none.
    Start,
}

impl Evaluator<'_> {
    /// Times of the samples that the steps of a grid may find when they look back.
    pub(crate) fn looked_back(&self, selector: &Selector, grid: &Grid) -> TimeRange {
        looked_back(selector, grid, self.params.lookback.0)
    }

    /// Evaluates an instant vector selector.
    pub(crate) fn selector(
        &mut self,
        selector: &Selector,
        span: Span,
        grid: &Grid,
        what: SampleTime,
    ) -> Result<Vec<Series>, EvalError> {
        let lookback = self.params.lookback.0;
        let range = instant_reach(selector, grid, lookback);
        let mut hints = SelectHints { coarse: Coarse::Newest, ..SelectHints::range(range) };
        hints.newest_only = selector.boundary != Boundary::Smoothed && grid.count == 1;
        let parts = self.selected_parts(&selector.matchers, hints, selector.figures_only)?;
        let series_count = AtomicUsize::new(0);
        let parts = self.in_lanes(parts, |part, lane| {
            let mut result: Vec<Series> = Vec::new();
            for one in part {
                let one = one?;
                lane.budget.check_cancelled()?;
                lane.select()?;
                lane.read(one.floats.values.len() + one.histograms.values.len());
                let count = series_count.fetch_add(1, Ordering::Relaxed) + 1;
                lane.budget.check_columns(count, grid.count)?;
                // Times are those of samples, between which nothing is interpolated.
                let smoothed = selector.boundary == Boundary::Smoothed && what == SampleTime::Value;
                let column = if smoothed {
                    smoothing::instant(
                        &mut lane.annotations,
                        &one,
                        &selector.time,
                        span,
                        (grid, lookback),
                    )
                } else {
                    let mut column = Column::absent(grid.count);
                    newest(&one, &selector.time, grid, lookback, what, &mut column);
                    column
                };
                if !column.is_empty() {
                    let series = Series { labels: one.labels, drop_name: false, column };
                    let held = Held::series(&series);
                    lane.tally.column(&series.column, held.samples as u64);
                    lane.hold(held)?;
                    result.push(series);
                }
            }
            Ok(Some(result))
        })?;
        let mut result = parts.map(concat).unwrap_or_default();
        sort_by_labels(&mut result);
        Ok(result)
    }
}

fn looked_back(selector: &Selector, grid: &Grid, lookback_ms: i64) -> TimeRange {
    let (first, last) = looked_at(&selector.time, grid);
    let start = first.saturating_sub(lookback_ms).saturating_add(1);
    TimeRange { start_incl: TimestampMs(start), end_incl: TimestampMs(last) }
}

/// Times of the samples that an instant vector selector reads.
pub(crate) fn instant_reach(selector: &Selector, grid: &Grid, lookback_ms: i64) -> TimeRange {
    let mut range = looked_back(selector, grid, lookback_ms);
    if selector.boundary == Boundary::Smoothed {
        range.end_incl = TimestampMs(range.end_incl.0.saturating_add(lookback_ms));
    }
    range
}

/// What raw samples weigh against the budget.
pub(super) fn raw_weight(data: &SeriesData) -> usize {
    let histograms = data.histograms.values.iter().map(|value| histogram_weight(value));
    let runs = data.histogram_runs.iter();
    let runs = runs.map(|run| histogram_weight(&run.last) + histogram_weight(&run.sum));
    // An aggregate holds what ten samples take.
    data.floats.values.len()
        + 10 * data.aggregates.len()
        + histograms.sum::<usize>()
        + runs.sum::<usize>()
}

/// Reduces histograms to count and sum. What their buckets tell about counter resets becomes an explicit hint.
pub(super) fn keep_figures(data: &mut SeriesData) {
    for run in &mut data.histogram_runs {
        let NativeHistogram { schema, reset_hint, count, sum, .. } = *run.sum;
        let figures = NativeHistogram { schema, reset_hint, count, sum, ..Default::default() };
        run.sum = Arc::new(figures);
    }
    let mut before: Option<Arc<NativeHistogram>> = None;
    let runs = data.histogram_runs.iter_mut().map(|run| &mut run.last);
    for value in runs.chain(&mut data.histograms.values) {
        let reset_hint = match (value.reset_hint, &before) {
            (CounterResetHint::Unknown, Some(before)) if value.is_reset_from(before) => {
                CounterResetHint::Reset
            }
            (CounterResetHint::Unknown, Some(_)) => CounterResetHint::NotReset,
            (hint, _) => hint,
        };
        let figures = NativeHistogram {
            schema: value.schema,
            reset_hint,
            count: value.count,
            sum: value.sum,
            ..NativeHistogram::default()
        };
        let full = std::mem::replace(value, Arc::new(figures));
        before = (!is_stale_nan(full.sum)).then_some(full);
    }
}

/// The first and last time that the steps of a grid look at.
pub(crate) fn looked_at(time: &TimeShift, grid: &Grid) -> (i64, i64) {
    (time.apply(grid.start_ms), time.apply(grid.last()))
}

/// Walks through a rising column of times: how many are at or before a rising bound.
struct Cursor<'a> {
    times: &'a [i64],
    passed: usize,
}

impl Cursor<'_> {
    /// Index of the newest time at or before `at`, if it is after `after`.
    fn newest(&mut self, at: i64, after: i64) -> Option<usize> {
        while self.times.get(self.passed).is_some_and(|time| *time <= at) {
            self.passed += 1;
        }
        let idx = self.passed.checked_sub(1)?;
        (self.times[idx] > after).then_some(idx)
    }
}

/// How far back a step looks: where only the newest sample of each stretch is left, one stretch further.
fn thinned_lookback(lookback: i64, thinned: Thinned, at: i64) -> i64 {
    let is_there = at <= thinned.until.0.saturating_add(thinned.spacing.0);
    if is_there { lookback.saturating_add(thinned.spacing.0) } else { lookback }
}

/// Fills a column, which has nothing in it, with the newest sample that each step finds.
pub(super) fn newest(
    data: &SeriesData,
    time: &TimeShift,
    grid: &Grid,
    lookback: i64,
    what: SampleTime,
    column: &mut Column,
) {
    let mut floats = Cursor { times: &data.floats.timestamps, passed: 0 };
    let mut histograms = Cursor { times: &data.histograms.timestamps, passed: 0 };
    for step in 0..grid.count {
        let at = time.apply(grid.at(step));
        let lookback =
            data.thinned.map_or(lookback, |thinned| thinned_lookback(lookback, thinned, at));
        let after = at.saturating_sub(lookback);
        let float = floats.newest(at, after);
        let histogram = histograms.newest(at, after);
        let histogram_wins = match (float, histogram) {
            (Some(float), Some(histogram)) => {
                data.histograms.timestamps[histogram] > data.floats.timestamps[float]
            }
            (None, Some(_)) => true,
            (_, None) => false,
        };
        if let (true, Some(idx)) = (histogram_wins, histogram) {
            let value = &data.histograms.values[idx];
            if is_stale_nan(value.sum) {
                continue;
            }
            match what {
                SampleTime::Value => {
                    column.set_histogram(step, Arc::<NativeHistogram>::clone(value))
                }
                SampleTime::Timestamp => {
                    column.set_float(step, seconds(data.histograms.timestamps[idx]));
                }
                SampleTime::Start => {
                    let starts = data.histograms.starts.as_deref();
                    column.set_float(step, starts.map_or(0.0, |starts| seconds(starts[idx])));
                }
            }
        } else if let Some(idx) = float {
            let value = data.floats.values[idx];
            if is_stale_nan(value) {
                continue;
            }
            column.set_float(
                step,
                match what {
                    SampleTime::Value => value,
                    SampleTime::Timestamp => seconds(data.floats.timestamps[idx]),
                    SampleTime::Start => {
                        let starts = data.floats.starts.as_deref();
                        starts.map_or(0.0, |starts| seconds(starts[idx]))
                    }
                },
            );
        }
    }
}

/// Milliseconds as PromQL shows times.
pub(crate) fn seconds(millis: i64) -> f64 {
    TimestampMs(millis).as_seconds()
}
