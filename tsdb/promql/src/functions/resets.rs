//! Counter resets: where a counter began anew. Told by a value that fell, by a histogram, or by a start time.

use swell_model::is_change;
use swell_promql_syntax::Boundary;

use super::window::WindowCall;
use crate::eval::{Point, PointRef, RangeSeries, WindowView};

/// Whether a sample's start time says that the counter began anew since the sample before.
///
/// A start time equal to the time of the sample before marks a delta, unless that sample's own start is unknown
/// (none, its own time, or after it): then it is a cumulative series of unknown start.
pub(super) fn starts_anew(start_before: i64, time_before: i64, start: i64, time: i64) -> bool {
    if start == 0 || start >= time || start < time_before {
        return false;
    }
    if start > time_before {
        return true;
    }
    start_before != 0 && start_before < time_before
}

/// Whether the time a sample covers overlaps the sample before without continuing it.
pub(super) fn starts_overlap(start_before: i64, time_before: i64, start: i64) -> bool {
    start != 0 && start < time_before && start != start_before
}

/// Adds the indexes of floats before which the counter began anew.
pub(super) fn counter_resets(series: &RangeSeries, resets: &mut Vec<usize>) {
    let floats = series.floats();
    // Most counters never fall: that is found out without branches.
    let falls = |pair: &[f64]| pair[1] < pair[0];
    if floats.windows(2).fold(false, |any, pair| any | falls(pair)) {
        resets.extend((1..floats.len()).filter(|idx| falls(&floats[idx - 1..=*idx])));
    }
    if let Some((times, starts)) = series.starts() {
        let by_start = (1..floats.len()).filter(|idx| {
            floats[*idx] >= floats[idx - 1]
                && starts_anew(starts[idx - 1], times[idx - 1], starts[*idx], times[*idx])
        });
        resets.extend(by_start);
        resets.sort_unstable();
    }
}

/// A sample on the way through a window.
struct Step<'a> {
    time: i64,
    start: i64,
    point: PointRef<'a>,
}

/// Floats and histograms of a window in the order of time. An anchored window begins with the newest sample at or
/// before its start, of either kind; without a sample after the start there is nothing.
fn in_order<'a>(view: &WindowView<'a>, boundary: Boundary) -> Option<Vec<Step<'a>>> {
    let start = |starts: Option<&[i64]>, idx: usize| starts.map_or(0, |starts| starts[idx]);
    let mut steps: Vec<Step<'a>> = (0..view.floats.len())
        .map(|idx| Step {
            time: view.times[idx],
            start: start(view.starts, idx),
            point: PointRef::Float(view.floats[idx]),
        })
        .chain((0..view.histograms.len()).map(|idx| Step {
            time: view.histogram_times[idx],
            start: start(view.histogram_starts, idx),
            point: PointRef::Histogram(&view.histograms[idx]),
        }))
        .collect();
    steps.sort_by_key(|step| step.time);
    if boundary == Boundary::Anchored {
        let after = steps.partition_point(|step| step.time <= view.start_ms);
        if after == steps.len() {
            return None;
        }
        steps.drain(..after.saturating_sub(1));
    }
    Some(steps)
}

/// Number of neighbours for which `differs` holds; a change of kind always counts.
fn count_between(
    view: &WindowView<'_>,
    boundary: Boundary,
    differs: impl Fn(&Step<'_>, &Step<'_>) -> bool,
) -> Option<Point> {
    let steps = in_order(view, boundary)?;
    let count = steps
        .windows(2)
        .filter(|pair| {
            let kinds = (&pair[0].point, &pair[1].point);
            matches!(
                kinds,
                (PointRef::Float(_), PointRef::Histogram(_))
                    | (PointRef::Histogram(_), PointRef::Float(_))
            ) || differs(&pair[0], &pair[1])
        })
        .count();
    #[expect(clippy::cast_precision_loss, reason = "no window holds 2^53 samples")]
    Some(Point::Float(count as f64))
}

pub(super) fn resets(view: &WindowView<'_>, call: &mut WindowCall<'_>) -> Option<Point> {
    if view.histograms.is_empty() && call.boundary == Boundary::Plain && view.starts.is_none() {
        let count = view.floats.windows(2).filter(|pair| pair[1] < pair[0]).count();
        #[expect(clippy::cast_precision_loss, reason = "no window holds 2^53 samples")]
        return Some(Point::Float(count as f64));
    }
    count_between(view, call.boundary, |before, now| {
        let fell = match (&before.point, &now.point) {
            (PointRef::Float(before), PointRef::Float(now)) => now < before,
            (PointRef::Histogram(before), PointRef::Histogram(now)) => now.is_reset_from(before),
            _ => true,
        };
        fell || starts_anew(before.start, before.time, now.start, now.time)
    })
}

pub(super) fn changes(view: &WindowView<'_>, call: &mut WindowCall<'_>) -> Option<Point> {
    if view.histograms.is_empty() && call.boundary == Boundary::Plain {
        let count = view.floats.windows(2).filter(|pair| is_change(pair[0], pair[1])).count();
        #[expect(clippy::cast_precision_loss, reason = "no window holds 2^53 samples")]
        return Some(Point::Float(count as f64));
    }
    count_between(view, call.boundary, |before, now| match (&before.point, &now.point) {
        (PointRef::Float(before), PointRef::Float(now)) => is_change(*before, *now),
        (PointRef::Histogram(before), PointRef::Histogram(now)) => !now.same_data(before),
        _ => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_times_tell_deltas_from_unknown_starts() {
        for (start_before, time_before, start, time, expected) in [
            (0, 10, 0, 20, false),
            (5, 10, 5, 20, false),
            (5, 10, 12, 20, true),
            (5, 10, 10, 20, true),
            (0, 10, 10, 20, false),
            (10, 10, 10, 20, false),
            (15, 10, 10, 20, false),
            (5, 10, 20, 20, false),
        ] {
            assert_eq!(
                starts_anew(start_before, time_before, start, time),
                expected,
                "{start_before} {time_before} {start} {time}"
            );
        }
    }
}
