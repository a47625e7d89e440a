//! Range vectors: series with their raw samples, looked at through a window that slides from step to step.

use std::sync::Arc;

use swell_model::{
    Aggregate, Coarse, CounterResetHint, HistogramColumn, HistogramRun, Labels, NativeHistogram,
    SelectError, SelectHints, SeriesData, TimeRange, TimestampMs, has_stale, is_stale_nan,
};
use swell_promql_syntax::{Boundary, Span};

use super::column::histogram_weight;
use super::selector::looked_at;
use super::{Evaluator, Grid, PointRef};
use crate::error::EvalError;
use crate::plan::{Window, WindowSource};

/// A series with the samples of all windows; no staleness markers among them.
#[derive(Debug)]
pub(crate) struct RangeSeries {
    pub(crate) labels: Labels,
    pub(crate) drop_name: bool,
    /// Whether it comes from storage.
    pub(crate) is_selected: bool,
    times: Arc<[i64]>,
    floats: Arc<[f64]>,
    starts: Option<Arc<[i64]>>,
    histogram_times: Vec<i64>,
    histograms: Vec<Arc<NativeHistogram>>,
    histogram_starts: Option<Vec<i64>>,
    /// What all histograms before each weigh, and at last all of them; empty where there are none.
    histogram_weights: Vec<u64>,
    /// Where some histograms are the last ones of runs.
    runs: Option<Runs>,
    /// In place of floats, apart from them.
    aggregates: Vec<Aggregate>,
}

/// Of each histogram of a series how many it is the last of, and their sum.
#[derive(Debug)]
struct Runs {
    counts: Vec<u64>,
    sums: Vec<Arc<NativeHistogram>>,
}

/// The samples of one series in the window of one step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WindowView<'a> {
    /// Start of the window, which does not belong to it.
    pub(crate) start_ms: i64,
    /// End of the window, which belongs to it.
    pub(crate) end_ms: i64,
    pub(crate) times: &'a [i64],
    pub(crate) floats: &'a [f64],
    /// Start times, 0 where a sample has none.
    pub(crate) starts: Option<&'a [i64]>,
    pub(crate) histogram_times: &'a [i64],
    pub(crate) histograms: &'a [Arc<NativeHistogram>],
    pub(crate) histogram_starts: Option<&'a [i64]>,
    /// Samples in the window, histograms as many as their size, also those that others stand for.
    pub(crate) looked_at: u64,
    /// Where some histograms are the last ones of runs: of each how many it is the last of, and their sum.
    runs: Option<(&'a [u64], &'a [Arc<NativeHistogram>])>,
    /// Index of the first float in the series' column, for figures precomputed over it.
    pub(crate) first_float: usize,
}

/// A rising bound in a rising column of times.
#[derive(Clone, Copy, Debug, Default)]
struct Bound(usize);

impl Bound {
    /// Moves to the first time after `limit`.
    fn advance(&mut self, times: &[i64], limit: i64) -> usize {
        while times.get(self.0).is_some_and(|time| *time <= limit) {
            self.0 += 1;
        }
        self.0
    }
}

/// Slides over one series; steps must rise.
#[derive(Debug)]
pub(crate) struct Slider<'a> {
    series: &'a RangeSeries,
    before_ms: i64,
    after_ms: i64,
    low: Bound,
    high: Bound,
    histogram_low: Bound,
    histogram_high: Bound,
}

impl<'a> Slider<'a> {
    /// The window that ends at `end_ms` and starts `range_ms` before.
    pub(crate) fn window(&mut self, range_ms: i64, end_ms: i64) -> WindowView<'a> {
        let start_ms = end_ms.saturating_sub(range_ms);
        let low_limit = start_ms.saturating_sub(self.before_ms);
        let high_limit = end_ms.saturating_add(self.after_ms);
        let series = self.series;
        let low = self.low.advance(&series.times, low_limit);
        let high = self.high.advance(&series.times, high_limit).max(low);
        let histogram_low = self.histogram_low.advance(&series.histogram_times, low_limit);
        let histogram_high =
            self.histogram_high.advance(&series.histogram_times, high_limit).max(histogram_low);
        let weight_before =
            |histogram: usize| series.histogram_weights.get(histogram).copied().unwrap_or(0);
        let weighed = weight_before(histogram_high) - weight_before(histogram_low);
        WindowView {
            start_ms,
            end_ms,
            times: &series.times[low..high],
            floats: &series.floats[low..high],
            starts: series.starts.as_deref().map(|starts| &starts[low..high]),
            histogram_times: &series.histogram_times[histogram_low..histogram_high],
            histograms: &series.histograms[histogram_low..histogram_high],
            histogram_starts: series
                .histogram_starts
                .as_deref()
                .map(|starts| &starts[histogram_low..histogram_high]),
            looked_at: (high - low) as u64 + weighed,
            runs: series.runs.as_ref().map(|runs| {
                let window = histogram_low..histogram_high;
                (&runs.counts[window.clone()], &runs.sums[window])
            }),
            first_float: low,
        }
    }
}

impl<'a> WindowView<'a> {
    pub(crate) fn is_empty(&self) -> bool {
        self.floats.is_empty() && self.histograms.is_empty()
    }

    /// Histograms that were sampled in the window, also those that others stand for.
    pub(crate) fn histogram_count(&self) -> u64 {
        self.runs.map_or(self.histograms.len() as u64, |(counts, _)| counts.iter().sum())
    }

    /// What all histograms that were sampled in the window add up to, in parts.
    pub(crate) fn histogram_sums(&self) -> &'a [Arc<NativeHistogram>] {
        self.runs.map_or(self.histograms, |(_, sums)| sums)
    }

    /// How many histograms each of these parts is the sum of.
    pub(crate) fn histogram_counts(&self) -> impl Iterator<Item = u64> {
        let counts = self.runs.map(|(counts, _)| counts);
        (0..self.histograms.len()).map(move |idx| counts.map_or(1, |counts| counts[idx]))
    }

    /// What the samples weigh against the budget.
    pub(crate) fn weight(&self) -> usize {
        self.floats.len()
            + self.histograms.iter().map(|value| histogram_weight(value)).sum::<usize>()
    }
}

impl RangeSeries {
    /// A cursor over the windows of rising steps.
    pub(crate) fn slider(&self, window: &Window, lookback_ms: i64) -> Slider<'_> {
        let (before_ms, after_ms) = reach(window.boundary, lookback_ms);
        Slider {
            series: self,
            before_ms,
            after_ms,
            low: Bound::default(),
            high: Bound::default(),
            histogram_low: Bound::default(),
            histogram_high: Bound::default(),
        }
    }

    /// The window of a single step.
    pub(crate) fn window(&self, window: &Window, step_ms: i64, lookback_ms: i64) -> WindowView<'_> {
        self.slider(window, lookback_ms).window(window.range_ms, window.time.apply(step_ms))
    }

    /// Times of all floats, shared between series of one target.
    pub(crate) const fn shared_times(&self) -> &Arc<[i64]> {
        &self.times
    }

    /// Times of all floats.
    pub(crate) fn times(&self) -> &[i64] {
        &self.times
    }

    /// All floats.
    pub(crate) fn floats(&self) -> &[f64] {
        &self.floats
    }

    /// Runs of floats that were given as aggregates; never beside histograms.
    pub(crate) fn aggregates(&self) -> &[Aggregate] {
        &self.aggregates
    }

    /// Whether there are floats only, without start times.
    pub(crate) fn is_plain(&self) -> bool {
        self.histograms.is_empty() && self.starts.is_none()
    }

    /// Times and start times of all floats, if any has a start time.
    pub(crate) fn starts(&self) -> Option<(&[i64], &[i64])> {
        self.starts.as_deref().map(|starts| (&*self.times, starts))
    }

    pub(crate) fn from_storage(data: SeriesData, with_starts: bool) -> Self {
        let floats_stale = has_stale(&data.floats.values);
        let starts = data.floats.starts.filter(|_| with_starts);
        let (times, floats, starts) = if floats_stale {
            let kept: Vec<usize> = (0..data.floats.values.len())
                .filter(|idx| !is_stale_nan(data.floats.values[*idx]))
                .collect();
            (
                kept.iter().map(|idx| data.floats.timestamps[*idx]).collect(),
                kept.iter().map(|idx| data.floats.values[*idx]).collect(),
                starts.map(|starts| kept.iter().map(|idx| starts[*idx]).collect()),
            )
        } else {
            (data.floats.timestamps, data.floats.values, starts)
        };
        let mut histograms = data.histograms;
        if !with_starts {
            histograms.starts = None;
        }
        if histograms.values.iter().any(|value| is_stale_nan(value.sum)) {
            let kept: Vec<usize> = (0..histograms.values.len())
                .filter(|idx| !is_stale_nan(histograms.values[*idx].sum))
                .collect();
            histograms = HistogramColumn {
                timestamps: kept.iter().map(|idx| histograms.timestamps[*idx]).collect(),
                values: kept.iter().map(|idx| Arc::clone(&histograms.values[*idx])).collect(),
                starts: histograms
                    .starts
                    .map(|starts| kept.iter().map(|idx| starts[*idx]).collect()),
            };
        }
        let runs = in_front(data.histogram_runs, &mut histograms);
        Self {
            labels: data.labels,
            drop_name: false,
            is_selected: true,
            times,
            floats,
            starts,
            histogram_times: histograms.timestamps,
            histogram_weights: weights_before(&histograms.values, runs.as_ref()),
            histograms: histograms.values,
            histogram_starts: histograms.starts,
            runs,
            aggregates: data.aggregates,
        }
    }

    fn from_steps(series: super::Series, grid: &Grid) -> Self {
        let mut times = Vec::new();
        let mut floats = Vec::new();
        let mut histogram_times = Vec::new();
        let mut histograms = Vec::new();
        for step in 0..series.column.len() {
            match series.column.get(step) {
                Some(PointRef::Float(value)) => {
                    times.push(grid.at(step));
                    floats.push(value);
                }
                Some(PointRef::Histogram(value)) => {
                    histogram_times.push(grid.at(step));
                    histograms.push(without_hint(value));
                }
                None => {}
            }
        }
        Self {
            labels: series.labels,
            drop_name: series.drop_name,
            is_selected: false,
            times: times.into(),
            floats: floats.into(),
            starts: None,
            histogram_times,
            histogram_weights: weights_before(&histograms, None),
            histograms,
            histogram_starts: None,
            runs: None,
            aggregates: Vec::new(),
        }
    }

    /// What the samples weigh against the budget.
    pub(crate) fn weight(&self) -> usize {
        let sums = self.runs.as_ref().map_or(&[][..], |runs| &runs.sums);
        let histograms = self.histograms.iter().chain(sums);
        self.floats.len()
            + self.aggregates.len()
            + histograms.map(|value| histogram_weight(value)).sum::<usize>()
    }
}

/// Puts the last histograms of runs in front of a column.
fn in_front(runs: Vec<HistogramRun>, histograms: &mut HistogramColumn) -> Option<Runs> {
    if runs.is_empty() {
        return None;
    }
    let singles = std::iter::repeat_n(1, histograms.values.len());
    let counts = runs.iter().map(|run| run.count).chain(singles).collect();
    let sums = runs.iter().map(|run| &run.sum).chain(&histograms.values).cloned().collect();
    if let Some(starts) = &mut histograms.starts {
        starts.splice(0..0, std::iter::repeat_n(0, runs.len()));
    }
    histograms.timestamps.splice(0..0, runs.iter().map(|run| run.last_ms));
    histograms.values.splice(0..0, runs.into_iter().map(|run| run.last));
    Some(Runs { counts, sums })
}

/// What all histograms before each weigh, and at last all of them; nothing where there are none. A run weighs as if all its
/// histograms were like its last.
fn weights_before(histograms: &[Arc<NativeHistogram>], runs: Option<&Runs>) -> Vec<u64> {
    if histograms.is_empty() {
        return Vec::new();
    }
    let mut weight = 0;
    let mut before = Vec::with_capacity(histograms.len() + 1);
    before.push(weight);
    before.extend(histograms.iter().enumerate().map(|(idx, value)| {
        let count = runs.map_or(1, |runs| runs.counts[idx]);
        weight += count * histogram_weight(value) as u64;
        weight
    }));
    before
}

/// Steps pick samples at will: what a sample says about the one before it in storage does not hold for them.
fn without_hint(histogram: &Arc<NativeHistogram>) -> Arc<NativeHistogram> {
    match histogram.reset_hint {
        CounterResetHint::Unknown | CounterResetHint::Gauge => Arc::clone(histogram),
        CounterResetHint::Reset | CounterResetHint::NotReset => Arc::new(NativeHistogram {
            reset_hint: CounterResetHint::Unknown,
            ..NativeHistogram::clone(histogram)
        }),
    }
}

/// How far before and after the window samples are wanted.
fn reach(boundary: Boundary, lookback_ms: i64) -> (i64, i64) {
    match boundary {
        Boundary::Plain => (0, 0),
        Boundary::Anchored => (lookback_ms, 0),
        Boundary::Smoothed => (lookback_ms, lookback_ms),
    }
}

/// Series of a range vector, one after another.
pub(crate) type RangeSeriesIter<'a> =
    Box<dyn Iterator<Item = Result<RangeSeries, SelectError>> + Send + 'a>;

/// The times of the samples that any step's window reaches.
pub(crate) fn reached(window: &Window, grid: &Grid, lookback_ms: i64) -> TimeRange {
    let (before_ms, after_ms) = reach(window.boundary, lookback_ms);
    let (first, last) = looked_at(&window.time, grid);
    let low = first.saturating_sub(window.range_ms).saturating_sub(before_ms);
    TimeRange {
        start_incl: TimestampMs(low.saturating_add(1)),
        end_incl: TimestampMs(last.saturating_add(after_ms)),
    }
}

impl<'a> Evaluator<'a> {
    /// The series of a range vector in parts, each series with all samples that any step's window reaches, or with what
    /// may stand for them. What a subquery gives is held from then on, each series until it is [`Evaluator::release`]d by its weight.
    /// How many samples a subquery looked at comes beside: windows over what it gives count by themselves.
    pub(crate) fn range_series(
        &mut self,
        window: &Window,
        span: Span,
        grid: &Grid,
        coarse: Coarse,
    ) -> Result<(Vec<RangeSeriesIter<'a>>, u64), EvalError> {
        let range = reached(window, grid, self.params.lookback.0);
        match &window.source {
            WindowSource::Matchers { matchers, figures_only } => {
                let with_starts = self.params.features.start_timestamps;
                let parts = self.selected_parts(
                    matchers,
                    SelectHints { coarse, ..SelectHints::range(range) },
                    *figures_only,
                )?;
                let taken = move |read: Result<SeriesData, SelectError>| {
                    read.map(|data| RangeSeries::from_storage(data, with_starts))
                };
                let parts = parts
                    .into_iter()
                    .map(|part| -> RangeSeriesIter<'a> { Box::new(part.map(taken)) })
                    .collect();
                Ok((parts, 0))
            }
            WindowSource::Subquery { node, step_ms } => {
                let low = range.start_incl.0.saturating_sub(1);
                let steps = subquery_grid(low, range.end_incl.0, *step_ms);
                if steps.count == 0 {
                    let none: RangeSeriesIter<'a> = Box::new(std::iter::empty());
                    return Ok((vec![none], 0));
                }
                if steps.count > self.budget.samples_max {
                    return Err(EvalError::TooManySamples { samples_max: self.budget.samples_max });
                }
                let (super::Value::Vector(inner), inside) = self.eval_apart(node, &steps)? else {
                    return Err(EvalError::query(span, "only instant vectors have a range"));
                };
                let series = inner.into_iter();
                let series = series.map(move |one| Ok(RangeSeries::from_steps(one, &steps)));
                let series: RangeSeriesIter<'a> = Box::new(series);
                Ok((vec![series], inside.total()))
            }
        }
    }
}

/// The multiples of `step_ms` after `low` and up to `high`.
pub(crate) fn subquery_grid(low: i64, high: i64, step_ms: i64) -> Grid {
    let start_ms = low.div_euclid(step_ms).saturating_add(1).saturating_mul(step_ms);
    let count = if start_ms > high {
        0
    } else {
        usize::try_from(high.saturating_sub(start_ms) / step_ms).unwrap_or(usize::MAX - 1) + 1
    };
    Grid { start_ms, step_ms, count }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subquery_steps_are_multiples_after_the_start() {
        for (low, high, step, first, count) in [
            (0, 100, 10, 10, 10),
            (-5, 5, 10, 0, 1),
            (-10, 5, 10, 0, 1),
            (-11, 5, 10, -10, 2),
            (1, 9, 10, 10, 0),
        ] {
            let grid = subquery_grid(low, high, step);
            assert_eq!((grid.start_ms, grid.count), (first, count), "({low}, {high}] by {step}");
        }
    }
}
