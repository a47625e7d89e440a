//! Changes of native histograms over a window.

use std::sync::Arc;

use swell_model::{CounterResetHint, NativeHistogram};

use super::coverage::Coverage;
use super::rate::{Change, known_start, warn_overlaps};
use super::resets::starts_anew;
use super::window::WindowCall;
use crate::eval::{Point, WindowView};

/// The change of a window of histograms, extrapolated to the window's ends.
pub(super) fn histogram_change(
    view: &WindowView<'_>,
    call: &mut WindowCall<'_>,
    kind: Change,
) -> Option<Point> {
    let times = view.histogram_times;
    let mut change = None;
    if view.histograms.len() > 1 {
        change = Some(histogram_difference(view, call, kind)?);
    }
    let ends = (times[0], times[times.len() - 1]);
    let mut coverage =
        Coverage::between((view.start_ms, view.end_ms), ends, view.histogram_count());
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
