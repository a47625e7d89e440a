//! Instant vectors from storage: per step the newest sample inside the lookback.

use std::sync::Arc;

use swell_model::{
    Coarse, CounterResetHint, Matcher, NativeHistogram, SelectHints, SeriesData, Thinned,
    TimeRange, TimestampMs, is_stale_nan,
};
use swell_promql_syntax::{Boundary, Span};

use super::column::histogram_weight;
use super::{Column, Evaluator, Grid, Series};
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
    /// Selects series with all samples in a time range and hands them over one by one, so that the raw samples of
    /// one series at a time are in memory. What the query names more than once is kept, against the budget.
    pub(crate) fn each_selected(
        &mut self,
        matchers: &[Matcher],
        hints: SelectHints,
        figures_only: bool,
        mut visit: impl FnMut(&mut Self, SeriesData) -> Result<(), EvalError>,
    ) -> Result<(), EvalError> {
        let key = self.shared.key(matchers, &hints, figures_only);
        if let Some(series) = key.as_ref().and_then(|key| self.shared.get(key)) {
            return series.into_iter().try_for_each(|series| visit(self, series));
        }
        // What is kept may serve a reader that looks at more.
        let hints = if key.is_some() {
            SelectHints { coarse: hints.coarse, ..SelectHints::range(hints.range) }
        } else {
            hints
        };
        let source = self.source;
        let mut kept = Vec::new();
        for series in source.select(matchers, &hints)? {
            self.budget.check_cancelled()?;
            let mut series = series?;
            if figures_only {
                keep_figures(&mut series);
            }
            self.stats.series_selected += 1;
            if key.is_some() {
                self.hold(raw_weight(&series))?;
                kept.push(series.clone());
            }
            visit(self, series)?;
        }
        if let Some(key) = key {
            self.shared.put(key, kept);
        }
        Ok(())
    }

    /// Times of the samples that the steps of a grid may find when they look back.
    pub(crate) fn looked_back(&self, selector: &Selector, grid: &Grid) -> TimeRange {
        let (first, last) = looked_at(&selector.time, grid);
        let start = first.saturating_sub(self.params.lookback.0).saturating_add(1);
        TimeRange { start_incl: TimestampMs(start), end_incl: TimestampMs(last) }
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
        let range = self.looked_back(selector, grid);
        let mut hints = SelectHints { coarse: Coarse::Newest, ..SelectHints::range(range) };
        if selector.boundary == Boundary::Smoothed {
            let end = hints.range.end_incl.0.saturating_add(lookback);
            hints.range.end_incl = TimestampMs(end);
        } else {
            hints.newest_only = grid.count == 1;
        }
        let mut result: Vec<Series> = Vec::new();
        self.each_selected(&selector.matchers, hints, selector.figures_only, |ev, one| {
            ev.check_columns(result.len() + 1, grid.count)?;
            let column = if selector.boundary == Boundary::Smoothed {
                smoothing::instant(ev, &one, &selector.time, span, grid)
            } else {
                newest(&one, &selector.time, grid, lookback, what)
            };
            if !column.is_empty() {
                let weight = column.weight();
                ev.stats.samples_total += weight as u64;
                ev.hold(weight)?;
                result.push(Series { labels: one.labels, drop_name: false, column });
            }
            Ok(())
        })?;
        result.sort_by(|one, two| one.labels.cmp(&two.labels));
        Ok(result)
    }
}

/// What raw samples weigh against the budget.
fn raw_weight(data: &SeriesData) -> usize {
    let histograms = data.histograms.values.iter().map(|value| histogram_weight(value));
    data.floats.values.len() + histograms.sum::<usize>()
}

/// Reduces histograms to count and sum. What their buckets tell about counter resets becomes an explicit hint.
fn keep_figures(data: &mut SeriesData) {
    let mut before: Option<Arc<NativeHistogram>> = None;
    for value in &mut data.histograms.values {
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

fn newest(
    data: &SeriesData,
    time: &TimeShift,
    grid: &Grid,
    lookback: i64,
    what: SampleTime,
) -> Column {
    let mut column = Column::absent(grid.count);
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
    column
}

/// Milliseconds as PromQL shows times.
pub(crate) fn seconds(millis: i64) -> f64 {
    TimestampMs(millis).as_seconds()
}
