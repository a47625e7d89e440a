//! `rate`, `increase`, `delta` with extrapolation to the window's ends, and `irate`, `idelta`.

use std::sync::Arc;

use swell_model::{CounterResetHint, NativeHistogram};
use swell_promql_syntax::Boundary;

use super::resets::{starts_anew, starts_overlap};
use super::smoothing;
use super::window::WindowCall;
use crate::eval::{Column, Grid, Point, RangeSeries, WindowView, seconds};
use crate::plan::Window;

/// What a change over a window is taken as.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    /// Falling values are resets.
    pub(super) counter: bool,
    /// Per second instead of per window.
    pub(super) per_second: bool,
}

pub(super) fn rate(view: &WindowView<'_>, call: &mut WindowCall<'_>) -> Option<Point> {
    change(view, call, Change { counter: true, per_second: true })
}

pub(super) fn increase(view: &WindowView<'_>, call: &mut WindowCall<'_>) -> Option<Point> {
    change(view, call, Change { counter: true, per_second: false })
}

pub(super) fn delta(view: &WindowView<'_>, call: &mut WindowCall<'_>) -> Option<Point> {
    change(view, call, Change { counter: false, per_second: false })
}

fn change(view: &WindowView<'_>, call: &mut WindowCall<'_>, kind: Change) -> Option<Point> {
    match (view.floats.is_empty(), view.histograms.is_empty()) {
        (false, false) => {
            call.warn_mixed();
            None
        }
        (true, true) => None,
        (false, true) if call.boundary == Boundary::Plain => float_change(view, call, kind),
        (true, false) if call.boundary == Boundary::Plain => histogram_change(view, call, kind),
        (false, true) => smoothing::float_change(view, call, kind),
        (true, false) => smoothing::histogram_change(view, call, kind),
    }
}

/// Times of the samples in a window that extrapolation looks at, in seconds.
struct Coverage {
    sampled_s: f64,
    to_start_s: f64,
    to_end_s: f64,
    between_s: f64,
}

impl Coverage {
    /// Of the times that lie in a window, which does not hold its start.
    #[inline]
    fn of(bounds_ms: (i64, i64), times: &[i64]) -> Self {
        let ends = (times[0], times[times.len() - 1]);
        Self::between(bounds_ms, ends, times.len() as u64)
    }

    /// Of that many times, the first and last of which are given.
    #[inline]
    fn between((start_ms, end_ms): (i64, i64), (first, last): (i64, i64), count: u64) -> Self {
        let sampled_s = seconds(last - first);
        #[expect(clippy::cast_precision_loss, reason = "no window holds 2^53 samples")]
        let gaps = (count - 1) as f64;
        Self {
            sampled_s,
            to_start_s: seconds(first - start_ms),
            to_end_s: seconds(end_ms - last),
            between_s: if gaps > 0.0 { sampled_s / gaps } else { 0.0 },
        }
    }

    /// The first sample's start time stands for a sample of zero at that time.
    fn begin_at(&mut self, start_ms: i64, last_ms: i64) {
        self.to_start_s = 0.0;
        self.sampled_s = seconds(last_ms - start_ms);
    }

    /// How much the change must be multiplied to stand for the whole window.
    ///
    /// A window's end that is nearer than 110 % of the distance between samples is taken as covered, else the series
    /// is taken to begin or end half a distance away. A counter cannot have begun before it was zero:
    /// `to_zero` is the part of the sampled time in which it rose from zero to its first value.
    #[inline]
    fn factor(&mut self, to_zero: Option<f64>, kind: Change, range_ms: i64) -> f64 {
        let threshold = self.between_s * 1.1;
        if self.to_start_s >= threshold && self.to_start_s > 0.0 {
            self.to_start_s = self.between_s / 2.0;
        }
        if let Some(share) = to_zero {
            self.to_start_s = self.to_start_s.min(self.sampled_s * share);
        }
        if self.to_end_s >= threshold {
            self.to_end_s = self.between_s / 2.0;
        }
        let mut factor = 1.0;
        if self.sampled_s != 0.0 {
            factor = (self.sampled_s + self.to_start_s + self.to_end_s) / self.sampled_s;
        }
        if kind.per_second { factor / seconds(range_ms) } else { factor }
    }
}

/// The start time of the first sample, when it lies inside the window and before the sample.
fn known_start(view: &WindowView<'_>, starts: Option<&[i64]>, times: &[i64]) -> Option<i64> {
    let start = *starts?.first()?;
    (start != 0 && start > view.start_ms && start < times[0]).then_some(start)
}

fn warn_overlaps(call: &mut WindowCall<'_>, starts: Option<&[i64]>, times: &[i64]) {
    let Some(starts) = starts else { return };
    let overlaps =
        (1..times.len()).any(|idx| starts_overlap(starts[idx - 1], times[idx - 1], starts[idx]));
    if overlaps {
        let text = format!("start timestamps overlap for metric name {:?}", call.metric_name);
        call.annotations.warn(call.span, text);
    }
}

fn float_change(view: &WindowView<'_>, call: &mut WindowCall<'_>, kind: Change) -> Option<Point> {
    let (first, last) = (view.floats[0], view.floats[view.floats.len() - 1]);
    let mut change = last - first;
    if kind.counter {
        warn_overlaps(call, view.starts, view.times);
        let from = call.resets.partition_point(|idx| *idx <= view.first_float);
        for reset in &call.resets[from..] {
            let Some(before) = view.floats.get(reset - view.first_float - 1) else { break };
            if reset - view.first_float >= view.floats.len() {
                break;
            }
            change += before;
        }
    }
    let mut coverage = Coverage::of((view.start_ms, view.end_ms), view.times);
    let mut to_zero = None;
    match known_start(view, view.starts, view.times).filter(|_| kind.counter) {
        Some(start) => {
            coverage.begin_at(start, view.times[view.times.len() - 1]);
            change += first;
        }
        None if view.floats.len() < 2 => return None,
        None => {
            if kind.counter && change > 0.0 && first >= 0.0 {
                to_zero = Some(first / change);
            }
        }
    }
    Some(Point::Float(change * coverage.factor(to_zero, kind, call.range_ms)))
}

/// The change of a window of floats, extrapolated to the window's ends. The floats are known by the first one, the times
/// of the first and last, and their number; `None` when it is one.
pub(super) fn extrapolated(
    change: f64,
    first: f64,
    kind: Change,
    bounds_ms: (i64, i64),
    ends_ms: (i64, i64),
    count: u64,
    range_ms: i64,
) -> Option<f64> {
    if count < 2 {
        return None;
    }
    let to_zero = (kind.counter && change > 0.0 && first >= 0.0).then(|| first / change);
    let mut coverage = Coverage::between(bounds_ms, ends_ms, count);
    Some(change * coverage.factor(to_zero, kind, range_ms))
}

/// The kind of change that a function of this name takes.
pub(super) fn change_kind(name: &str) -> Option<Change> {
    match name {
        "rate" => Some(Change { counter: true, per_second: true }),
        "increase" => Some(Change { counter: true, per_second: false }),
        "delta" => Some(Change { counter: false, per_second: false }),
        _ => None,
    }
}

/// Where the windows of all steps lie in a column of times, and what that says of extrapolation: the same for all
/// series of a target, which share their times.
#[derive(Debug)]
pub(super) struct Extents {
    times: Arc<[i64]>,
    steps: Vec<Extent>,
    /// Samples in all windows.
    pub(super) looked_at: u64,
}

#[derive(Clone, Copy, Debug)]
struct Extent {
    /// First time in the window, and the one behind the last; fewer than two give no change.
    low: u32,
    high: u32,
    /// What the change is multiplied with, unless the counter's rise from zero cuts it short.
    factor: f64,
    /// A counter whose first value is this share of its change does not: see [`Extent::reaches_back`].
    safe_share: f64,
}

/// Smaller changes are not compared by multiplying, which would lose their last bits.
const CHANGE_MIN: f64 = 1e-250;

impl Extent {
    /// Whether the time since the counter was zero is certainly no shorter than what is extrapolated before the first
    /// sample: [`Coverage::factor`] takes the smaller. The share has a margin far above the roundings.
    #[inline]
    fn reaches_back(&self, first: f64, change: f64) -> bool {
        change >= CHANGE_MIN && first >= change * self.safe_share
    }
}

impl Extents {
    /// Of the windows over the times of a series of floats.
    pub(super) fn of(series: &RangeSeries, window: &Window, grid: &Grid, kind: Change) -> Self {
        let times = series.shared_times();
        let (mut low, mut high) = (0, 0);
        let mut looked_at = 0;
        let steps = (0..grid.count).map(|step| {
            let end_ms = window.time.apply(grid.at(step));
            let start_ms = end_ms.saturating_sub(window.range_ms);
            while times.get(low).is_some_and(|at| *at <= start_ms) {
                low += 1;
            }
            high = high.max(low);
            while times.get(high).is_some_and(|at| *at <= end_ms) {
                high += 1;
            }
            looked_at += (high - low) as u64;
            let (mut factor, mut safe_share) = (f64::NAN, f64::INFINITY);
            if high - low >= 2 {
                let mut coverage = Coverage::of((start_ms, end_ms), &times[low..high]);
                factor = coverage.factor(None, kind, window.range_ms);
                safe_share = coverage.to_start_s / coverage.sampled_s * (1.0 + 1e-9);
            }
            let index = |at: usize| u32::try_from(at).expect("columns are below 2^32 samples");
            Extent { low: index(low), high: index(high), factor, safe_share }
        });
        let steps = steps.collect();
        Self { times: Arc::clone(times), steps, looked_at }
    }

    /// Whether a series has these times.
    pub(super) fn are_of(&self, series: &RangeSeries) -> bool {
        Arc::ptr_eq(&self.times, series.shared_times())
    }

    /// What [`float_change`] gives at all steps, for a series of floats without start times.
    pub(super) fn changes(
        &self,
        series: &RangeSeries,
        resets: &[usize],
        (window, grid): (&Window, &Grid),
        kind: Change,
        column: &mut Column,
    ) {
        let floats = series.floats();
        let mut passed = 0;
        for ((step, extent), value) in self.steps.iter().enumerate().zip(column.floats_mut()) {
            let (low, high) = (extent.low as usize, extent.high as usize);
            if high - low < 2 {
                continue;
            }
            let (first, last) = (floats[low], floats[high - 1]);
            let mut change = last - first;
            while resets.get(passed).is_some_and(|reset| *reset <= low) {
                passed += 1;
            }
            for reset in resets[passed..].iter().take_while(|reset| **reset < high) {
                change += floats[reset - 1];
            }
            let counts_from_zero = kind.counter && change > 0.0 && first >= 0.0;
            let mut factor = extent.factor;
            if counts_from_zero && !extent.reaches_back(first, change) {
                let end_ms = window.time.apply(grid.at(step));
                let ends = (end_ms.saturating_sub(window.range_ms), end_ms);
                let mut coverage = Coverage::of(ends, &self.times[low..high]);
                factor = coverage.factor(Some(first / change), kind, window.range_ms);
            }
            *value = change * factor;
        }
    }
}

fn histogram_change(
    view: &WindowView<'_>,
    call: &mut WindowCall<'_>,
    kind: Change,
) -> Option<Point> {
    let times = view.histogram_times;
    let mut change = None;
    if view.histograms.len() > 1 {
        change = Some(histogram_difference(view, call, kind)?);
    }
    let mut coverage = Coverage::of((view.start_ms, view.end_ms), times);
    let mut to_zero = None;
    match known_start(view, view.histogram_starts, times).filter(|_| kind.counter) {
        Some(start) => {
            coverage.begin_at(start, times[times.len() - 1]);
            let first = &view.histograms[0];
            change = Some(match change {
                None => NativeHistogram::clone(first),
                Some(change) => combined(&change, first, Combine::Add, call)?,
            });
        }
        None => {
            let change = change.as_ref()?;
            let first = &view.histograms[0];
            if kind.counter && change.count > 0.0 && first.count >= 0.0 {
                to_zero = Some(first.count / change.count);
            }
        }
    }
    let factor = coverage.factor(to_zero, kind, call.range_ms);
    Some(Point::Histogram(Arc::new(change?.scaled(factor))))
}

/// Which way histograms are combined.
#[derive(Clone, Copy, Debug)]
pub(super) enum Combine {
    Add,
    Subtract,
}

/// Combines two histograms, says what happened on the way; `None` when they do not fit.
pub(super) fn combined(
    one: &NativeHistogram,
    two: &NativeHistogram,
    how: Combine,
    call: &mut WindowCall<'_>,
) -> Option<NativeHistogram> {
    let (result, operation) = match how {
        Combine::Add => (one.added(two), "addition"),
        Combine::Subtract => (one.subtracted(two), "subtraction"),
    };
    let Ok((result, notes)) = result else {
        call.warn_mixed_schemas();
        return None;
    };
    if notes.bounds_reconciled {
        let text = format!("mismatched custom buckets were reconciled during {operation}");
        call.annotations.info(call.span, text);
    }
    Some(result)
}

pub(super) fn warn_not_counter(call: &mut WindowCall<'_>) {
    let text = format!("this native histogram metric is not a counter: {:?}", call.metric_name);
    call.annotations.warn(call.span, text);
}

pub(super) fn warn_not_gauge(call: &mut WindowCall<'_>) {
    let text = format!("this native histogram metric is not a gauge: {:?}", call.metric_name);
    call.annotations.warn(call.span, text);
}

pub(super) fn is_gauge(histogram: &NativeHistogram) -> bool {
    histogram.reset_hint == CounterResetHint::Gauge
}

/// Whether a counter reset lies between two neighbours.
fn is_reset(view: &WindowView<'_>, idx: usize, before: &NativeHistogram) -> bool {
    let times = view.histogram_times;
    let by_start = view.histogram_starts.is_some_and(|starts| {
        starts_anew(starts[idx - 1], times[idx - 1], starts[idx], times[idx])
    });
    by_start || view.histograms[idx].is_reset_from(before)
}

/// Last minus first, resets made good; two histograms at least.
fn histogram_difference(
    view: &WindowView<'_>,
    call: &mut WindowCall<'_>,
    kind: Change,
) -> Option<NativeHistogram> {
    let all = view.histograms;
    let (first, last) = (&all[0], &all[all.len() - 1]);
    if kind.counter && all.iter().any(|value| is_gauge(value)) {
        warn_not_counter(call);
    }
    // What lies before a reset right after the first sample does not matter, nor does its layout.
    let forgotten;
    let mut base: &NativeHistogram = first;
    if kind.counter && is_reset(view, 1, first) {
        forgotten = NativeHistogram {
            schema: all[1].schema,
            custom_bounds: all[1].custom_bounds.clone(),
            ..NativeHistogram::default()
        };
        base = &forgotten;
    }
    let custom = base.uses_custom_buckets();
    let inner = if kind.counter { &all[1..] } else { &all[all.len() - 1..] };
    if inner.iter().any(|value| value.uses_custom_buckets() != custom) {
        call.warn_mixed_schemas();
        return None;
    }
    let mut schema = last.schema.min(base.schema);
    if kind.counter {
        schema = inner.iter().map(|value| value.schema).fold(schema, i32::min);
    }
    let mut change = combined(&last.at_schema(schema), base, Combine::Subtract, call)?;
    if kind.counter {
        warn_overlaps(call, view.histogram_starts, view.histogram_times);
        let mut before = base;
        for (idx, now) in all.iter().enumerate().skip(1) {
            if is_reset(view, idx, before) {
                change = combined(&change, before, Combine::Add, call)?;
            }
            before = now;
        }
    } else if !is_gauge(first) || !is_gauge(last) {
        warn_not_gauge(call);
    }
    change.reset_hint = CounterResetHint::Gauge;
    Some(change)
}

pub(super) fn irate(view: &WindowView<'_>, call: &mut WindowCall<'_>) -> Option<Point> {
    last_change(view, call, true)
}

pub(super) fn idelta(view: &WindowView<'_>, call: &mut WindowCall<'_>) -> Option<Point> {
    last_change(view, call, false)
}

/// One of the last two samples of a window.
#[derive(Clone, Copy)]
struct Recent<'a> {
    time: i64,
    start: i64,
    float: f64,
    histogram: Option<&'a Arc<NativeHistogram>>,
}

/// The last two samples of either kind, older first.
fn last_two<'a>(view: &WindowView<'a>) -> Option<[Recent<'a>; 2]> {
    let start = |starts: Option<&[i64]>, idx: usize| starts.map_or(0, |starts| starts[idx]);
    let mut recent: Vec<Recent<'a>> = (view.floats.len().saturating_sub(2)..view.floats.len())
        .map(|idx| Recent {
            time: view.times[idx],
            start: start(view.starts, idx),
            float: view.floats[idx],
            histogram: None,
        })
        .chain((view.histograms.len().saturating_sub(2)..view.histograms.len()).map(|idx| Recent {
            time: view.histogram_times[idx],
            start: start(view.histogram_starts, idx),
            float: 0.0,
            histogram: Some(&view.histograms[idx]),
        }))
        .collect();
    recent.sort_by_key(|sample| sample.time);
    let last = recent.pop()?;
    Some([recent.pop()?, last])
}

/// Change between the last two samples; of a counter per second.
fn last_change(view: &WindowView<'_>, call: &mut WindowCall<'_>, counter: bool) -> Option<Point> {
    let [before, now] = last_two(view)?;
    let elapsed_ms = now.time - before.time;
    if elapsed_ms == 0 {
        return None;
    }
    let anew = starts_anew(before.start, before.time, now.start, now.time);
    match (before.histogram, now.histogram) {
        (None, None) => {
            let reset = counter && (now.float < before.float || anew);
            let change = if reset { now.float } else { now.float - before.float };
            Some(Point::Float(if counter { change / seconds(elapsed_ms) } else { change }))
        }
        (Some(old), Some(new)) => {
            if counter && (is_gauge(old) || is_gauge(new)) {
                warn_not_counter(call);
            }
            if !counter && (!is_gauge(old) || !is_gauge(new)) {
                warn_not_gauge(call);
            }
            let reset = counter && (anew || new.is_reset_from(old));
            let mut change = if reset {
                NativeHistogram::clone(new)
            } else {
                combined(new, old, Combine::Subtract, call)?
            };
            change.reset_hint = CounterResetHint::Gauge;
            if counter {
                change = change.divided(seconds(elapsed_ms));
            }
            Some(Point::Histogram(Arc::new(change)))
        }
        _ => {
            call.warn_mixed();
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use swell_model::{FloatColumn, Labels, SeriesData};

    use super::super::resets::counter_resets;
    use super::*;
    use crate::plan::{TimeShift, WindowSource};

    fn series(samples: &[(i64, f64)]) -> RangeSeries {
        let floats = FloatColumn {
            timestamps: samples.iter().map(|(at, _)| *at).collect(),
            values: samples.iter().map(|(_, value)| *value).collect(),
            starts: None,
        };
        let data = SeriesData { labels: Labels::empty(), floats, ..SeriesData::default() };
        RangeSeries::from_storage(data, false)
    }

    /// Window by window, as `rate` is described.
    fn one_by_one(
        series: &RangeSeries,
        window: &Window,
        grid: &Grid,
        kind: Change,
    ) -> Vec<Option<u64>> {
        let mut slider = series.slider(window, 0);
        let windows = (0..grid.count).map(|step| slider.window(window.range_ms, grid.at(step)));
        windows
            .map(|view| {
                let (first, last) = (view.floats.first()?, view.floats.last()?);
                if view.floats.len() < 2 {
                    return None;
                }
                let falls = view.floats.windows(2).filter(|pair| kind.counter && pair[1] < pair[0]);
                let change = falls.fold(last - first, |change, pair| change + pair[0]);
                let to_zero =
                    (kind.counter && change > 0.0 && *first >= 0.0).then(|| first / change);
                let mut coverage = Coverage::of((view.start_ms, view.end_ms), view.times);
                Some((change * coverage.factor(to_zero, kind, window.range_ms)).to_bits())
            })
            .collect()
    }

    fn any_value() -> impl Strategy<Value = f64> {
        prop_oneof![
            6 => (0u32..40).prop_map(f64::from),
            4 => (0u32..100_000).prop_map(|v| f64::from(v) / 1000.0),
            1 => Just(0.0),
            1 => (-300i32..300).prop_map(|e| 10f64.powi(e)),
            1 => any::<f64>().prop_filter("no marker", |v| !v.is_nan()),
        ]
    }

    proptest! {
        #[test]
        fn shared_extents_change_no_bit(
            gaps in prop::collection::vec(prop_oneof![4 => Just(1000i64), 1 => 1i64..9000], 1..40),
            values in prop::collection::vec(prop::collection::vec(any_value(), 40), 1..4),
            range_ms in 1i64..9000,
            step_ms in 1i64..3000,
            start_ms in -2000i64..4000,
            nr in 0usize..3,
        ) {
            let kind = ["rate", "increase", "delta"].map(change_kind)[nr].expect("changes");
            let window = Window {
                source: WindowSource::Matchers { matchers: Vec::new(), figures_only: false },
                range_ms,
                time: TimeShift { offset_ms: 0, at_ms: None },
                boundary: Boundary::Plain,
            };
            let grid = Grid { start_ms, step_ms, count: 20 };
            let mut at = 0;
            let times: Vec<i64> = gaps.iter().map(|gap| { at += gap; at }).collect();
            for values in &values {
                let samples: Vec<(i64, f64)> =
                    times.iter().copied().zip(values.iter().copied()).collect();
                let series = series(&samples);
                let mut resets = Vec::new();
                if kind.counter {
                    counter_resets(&series, &mut resets);
                }
                let extents = Extents::of(&series, &window, &grid, kind);
                let mut column = Column::absent(grid.count);
                extents.changes(&series, &resets, (&window, &grid), kind, &mut column);
                let got: Vec<Option<u64>> =
                    (0..grid.count).map(|step| column.float(step).map(f64::to_bits)).collect();
                prop_assert_eq!(got, one_by_one(&series, &window, &grid, kind));
            }
        }
    }
}
