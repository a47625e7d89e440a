//! `anchored` and `smoothed`: windows whose ends are not extrapolated but taken from samples around them.
//!
//! Anchored, the newest sample at or before the window's start stands for the start. Smoothed, the values at both
//! ends are interpolated between the samples around them. The window handed in reaches beyond its ends by the lookback.

use std::sync::Arc;

use swell_model::{
    CounterResetHint, IncompatibleSchema, METRIC_NAME, NativeHistogram, SeriesData, is_stale_nan,
};
use swell_promql_syntax::{Boundary, Span};

use super::histogram_change::{Combine, combined, is_gauge, warn_not_counter, warn_not_gauge};
use super::rate::Change;
use super::window::{WindowCall, warn_mixed_schemas};
use crate::annotations::Annotations;
use crate::eval::{Column, Grid, Point, WindowView, seconds};
use crate::plan::TimeShift;

/// Where the samples that stand for a window begin and end.
struct Ends {
    first: usize,
    last: usize,
}

/// The samples that bound a window; `None` when none is after its start.
fn bounding(view: &WindowView<'_>, times: &[i64], smoothed: bool) -> Option<Ends> {
    let newest = times.len().checked_sub(1)?;
    let first = times[..newest].partition_point(|at| *at <= view.start_ms).saturating_sub(1);
    let last =
        if smoothed { times[..newest].partition_point(|at| *at < view.end_ms) } else { newest };
    (times[last] > view.start_ms).then_some(Ends { first, last })
}

/// The same; `None` also when all are after its end, so that there is nothing to measure.
fn ends(view: &WindowView<'_>, times: &[i64], smoothed: bool) -> Option<Ends> {
    bounding(view, times, smoothed).filter(|ends| !smoothed || times[ends.first] <= view.end_ms)
}

/// The value between two samples on a straight line; a counter that fell is taken to rise from zero.
fn interpolated(before: (i64, f64), after: (i64, f64), at: i64, counter: bool) -> f64 {
    let from = if counter && after.1 < before.1 { 0.0 } else { before.1 };
    from + (after.1 - from) * share(before.0, after.0, at)
}

/// How much of the time between two samples has passed.
fn share(before: i64, after: i64, at: i64) -> f64 {
    seconds(at - before) / seconds(after - before)
}

/// The floats at a window's start and end.
fn floats_at_ends(view: &WindowView<'_>, ends: &Ends, smoothed: bool, counter: bool) -> (f64, f64) {
    let Ends { first, last } = *ends;
    let sample = |idx: usize| (view.times[idx], view.floats[idx]);
    let left = if smoothed && view.times[first] < view.start_ms {
        interpolated(sample(first), sample(first + 1), view.start_ms, counter)
    } else {
        view.floats[first]
    };
    let right = if smoothed && last > 0 && view.times[last] > view.end_ms {
        interpolated(sample(last - 1), sample(last), view.end_ms, counter)
    } else {
        view.floats[last]
    };
    (left, right)
}

/// The floats of an anchored or smoothed window with their times: those inside, and one at each end. Nothing when no sample
/// is after its start.
pub(crate) fn extended(view: &WindowView<'_>, boundary: Boundary) -> Vec<(i64, f64)> {
    let smoothed = boundary == Boundary::Smoothed;
    let Some(ends) = bounding(view, view.times, smoothed) else { return Vec::new() };
    let (left, right) = floats_at_ends(view, &ends, smoothed, false);
    let inside = (ends.first..=ends.last)
        .map(|idx| (view.times[idx], view.floats[idx]))
        .filter(|(at, _)| *at > view.start_ms && *at < view.end_ms);
    let mut result = vec![(view.start_ms, left)];
    result.extend(inside);
    result.push((view.end_ms, right));
    result
}

/// Change of a float over an anchored or smoothed window.
pub(super) fn float_change(
    view: &WindowView<'_>,
    call: &mut WindowCall<'_>,
    kind: Change,
) -> Option<Point> {
    let smoothed = call.boundary == Boundary::Smoothed;
    let bounds = ends(view, view.times, smoothed)?;
    let (left, right) = floats_at_ends(view, &bounds, smoothed, kind.counter);
    let Ends { mut first, last } = bounds;
    let mut change = right - left;
    if kind.counter {
        // Samples on or outside the ends are accounted for by the values at the ends.
        if view.times[first] <= view.start_ms {
            first += 1;
        }
        let end = if view.times[last] >= view.end_ms { last } else { last + 1 };
        let mut before = left;
        for value in view.floats.get(first..end).unwrap_or_default().iter().chain([&right]) {
            if *value < before {
                change += before;
            }
            before = *value;
        }
    }
    Some(Point::Float(if kind.per_second { change / seconds(call.range_ms) } else { change }))
}

/// In which steps of an interpolation different custom bounds were reduced to the shared ones.
#[derive(Clone, Copy, Default)]
struct Reconciled {
    subtraction: bool,
    addition: bool,
}

impl Reconciled {
    fn note(self, annotations: &mut Annotations, span: Span) {
        for (done, operation) in [(self.subtraction, "subtraction"), (self.addition, "addition")] {
            if done {
                let text = format!("mismatched custom buckets were reconciled during {operation}");
                annotations.info(span, text);
            }
        }
    }
}

/// The histogram between two samples.
fn histogram_between(
    before: (i64, &NativeHistogram),
    after: (i64, &NativeHistogram),
    at: i64,
    counter: bool,
) -> Result<(NativeHistogram, Reconciled), IncompatibleSchema> {
    if at == before.0 {
        return Ok((before.1.clone(), Reconciled::default()));
    }
    if at == after.0 {
        return Ok((after.1.clone(), Reconciled::default()));
    }
    if before.1.uses_custom_buckets() != after.1.uses_custom_buckets() {
        return Err(IncompatibleSchema);
    }
    let share = share(before.0, after.0, at);
    if counter && after.1.is_reset_from(before.1) {
        return Ok((after.1.scaled(share), Reconciled::default()));
    }
    let (difference, subtraction) = after.1.subtracted(before.1)?;
    let (sum, addition) = difference.scaled(share).added(before.1)?;
    let reconciled = Reconciled {
        subtraction: subtraction.bounds_reconciled,
        addition: addition.bounds_reconciled,
    };
    Ok((sum, reconciled))
}

fn end_histogram(
    view: &WindowView<'_>,
    call: &mut WindowCall<'_>,
    pair: (usize, usize),
    at: i64,
    counter: bool,
) -> Option<NativeHistogram> {
    let sample = |idx: usize| (view.histogram_times[idx], view.histograms[idx].as_ref());
    match histogram_between(sample(pair.0), sample(pair.1), at, counter) {
        Ok((value, reconciled)) => {
            reconciled.note(call.annotations, call.span);
            Some(value)
        }
        Err(IncompatibleSchema) => {
            call.warn_mixed_schemas();
            None
        }
    }
}

/// Change of a histogram over an anchored or smoothed window.
pub(super) fn histogram_change(
    view: &WindowView<'_>,
    call: &mut WindowCall<'_>,
    kind: Change,
) -> Option<Point> {
    let smoothed = call.boundary == Boundary::Smoothed;
    let times = view.histogram_times;
    let Ends { first, last } = ends(view, times, smoothed)?;
    let all = view.histograms;
    let custom = all[first].uses_custom_buckets();
    if all[first..=last].iter().any(|value| value.uses_custom_buckets() != custom) {
        call.warn_mixed_schemas();
        return None;
    }
    if kind.counter && all[first..=last].iter().any(|value| is_gauge(value)) {
        warn_not_counter(call);
    }
    let left = if smoothed && times[first] < view.start_ms {
        end_histogram(view, call, (first, first + 1), view.start_ms, kind.counter)?
    } else {
        NativeHistogram::clone(&all[first])
    };
    let right = if smoothed && last > 0 && times[last] > view.end_ms {
        end_histogram(view, call, (last - 1, last), view.end_ms, kind.counter)?
    } else {
        NativeHistogram::clone(&all[last])
    };
    if !kind.counter && (!is_gauge(&left) || !is_gauge(&right)) {
        warn_not_gauge(call);
    }
    let mut change = combined(&right, &left, Combine::Subtract, call)?;
    if kind.counter {
        for lost in lost_in_resets(view, &Ends { first, last }, &left, &right, smoothed) {
            change = combined(&change, lost, Combine::Add, call)?;
        }
    }
    if kind.per_second {
        change = change.divided(seconds(call.range_ms));
    }
    change.reset_hint = CounterResetHint::Gauge;
    Some(Point::Histogram(Arc::new(change)))
}

/// The histograms before each reset inside the window. A reset that the interpolation at an end has bridged is
/// accounted for already.
fn lost_in_resets<'a>(
    view: &'a WindowView<'_>,
    ends: &Ends,
    left: &'a NativeHistogram,
    right: &NativeHistogram,
    smoothed: bool,
) -> Vec<&'a NativeHistogram> {
    let all = view.histograms;
    let mut before: &NativeHistogram = left;
    let mut next = ends.first + 1;
    let bridged = smoothed
        && ends.first < ends.last
        && view.histogram_times[ends.first] < view.start_ms
        && all[ends.first + 1].is_reset_from(&all[ends.first]);
    if bridged {
        before = &all[ends.first + 1];
        next += 1;
    }
    let mut lost = Vec::new();
    if next > ends.last {
        return lost;
    }
    for value in &all[next..ends.last] {
        if value.is_reset_from(before) {
            lost.push(before);
        }
        before = value;
    }
    if right.is_reset_from(before) {
        lost.push(before);
    }
    lost
}

/// Values of a smoothed instant vector: interpolated between the samples around each step, the last sample carried
/// on for the lookback.
pub(crate) fn instant(
    annotations: &mut Annotations,
    data: &SeriesData,
    time: &TimeShift,
    span: Span,
    (grid, lookback): (&Grid, i64),
) -> Column {
    let mut column = Column::absent(grid.count);
    let name = data.labels.get(METRIC_NAME).unwrap_or("");
    let float_times: Vec<i64> = kept(&data.floats.timestamps, |idx| data.floats.values[idx]);
    let floats: Vec<f64> =
        data.floats.values.iter().copied().filter(|value| !is_stale_nan(*value)).collect();
    let times = kept(&data.histograms.timestamps, |idx| data.histograms.values[idx].sum);
    let histograms: Vec<&Arc<NativeHistogram>> =
        data.histograms.values.iter().filter(|value| !is_stale_nan(value.sum)).collect();
    for step in 0..grid.count {
        let at = time.apply(grid.at(step));
        let near = |times: &[i64]| {
            let low = times.partition_point(|time| *time <= at.saturating_sub(lookback));
            let high = times.partition_point(|time| *time <= at.saturating_add(lookback));
            low..high
        };
        let (near_floats, near_histograms) = (near(&float_times), near(&times));
        if !near_floats.is_empty() && !near_histograms.is_empty() {
            let text =
                format!("encountered a mix of histograms and floats for metric name {name:?}");
            annotations.warn(span, text);
            continue;
        }
        if let Some((before, after)) = around(&float_times, near_floats, at) {
            let sample = |idx: usize| (float_times[idx], floats[idx]);
            let value = match after {
                Some(after) if float_times[before] < at => {
                    interpolated(sample(before), sample(after), at, false)
                }
                _ => floats[before],
            };
            column.set_float(step, value);
        } else if let Some((before, after)) = around(&times, near_histograms, at) {
            let sample = |idx: usize| (times[idx], histograms[idx].as_ref());
            let value = match after {
                Some(after) => {
                    let counter = !is_gauge(histograms[before]) || !is_gauge(histograms[after]);
                    histogram_between(sample(before), sample(after), at, counter)
                }
                None => {
                    Ok((carried_on(histograms[before], times[before] < at), Reconciled::default()))
                }
            };
            match value {
                Ok((value, reconciled)) => {
                    reconciled.note(annotations, span);
                    column.set_histogram(step, Arc::new(value));
                }
                Err(IncompatibleSchema) => warn_mixed_schemas(annotations, span, name),
            }
        }
    }
    column
}

/// A histogram that stands for later times says nothing of what was before it.
fn carried_on(histogram: &NativeHistogram, is_later: bool) -> NativeHistogram {
    let mut carried = histogram.clone();
    if is_later {
        carried.reset_hint = CounterResetHint::Unknown;
    }
    carried
}

fn kept(times: &[i64], value: impl Fn(usize) -> f64) -> Vec<i64> {
    times
        .iter()
        .enumerate()
        .filter(|(idx, _)| !is_stale_nan(value(*idx)))
        .map(|(_, at)| *at)
        .collect()
}

/// The newest sample at or before a time, and the one after it.
fn around(times: &[i64], near: std::ops::Range<usize>, at: i64) -> Option<(usize, Option<usize>)> {
    let after = times.partition_point(|time| *time <= at);
    if after <= near.start {
        return None;
    }
    Some((after - 1, (after < near.end).then_some(after)))
}
