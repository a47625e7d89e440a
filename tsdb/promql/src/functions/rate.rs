//! `rate`, `increase`, `delta` with extrapolation to the window's ends, and `irate`, `idelta`.

use std::sync::Arc;

use swell_model::{CounterResetHint, NativeHistogram};
use swell_promql_syntax::Boundary;

use super::coverage::Coverage;
use super::histogram_change::{
    Combine, combined, histogram_change, is_gauge, warn_not_counter, warn_not_gauge,
};
use super::resets::{starts_anew, starts_overlap};
use super::smoothing;
use super::window::WindowCall;
use crate::eval::{Point, WindowView, seconds};

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

/// The start time of the first sample, when it lies inside the window and before the sample.
pub(super) fn known_start(
    view: &WindowView<'_>,
    starts: Option<&[i64]>,
    times: &[i64],
) -> Option<i64> {
    let start = *starts?.first()?;
    (start != 0 && start > view.start_ms && start < times[0]).then_some(start)
}

pub(super) fn warn_overlaps(call: &mut WindowCall<'_>, starts: Option<&[i64]>, times: &[i64]) {
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
