//! Which windows to archive, and what must stay local until then: pure functions of what is there.

use swell_model::{DurationMs, TimeRange, TimestampMs};

use crate::layout::Window;

/// Stretches of local data that are to be archived now, oldest first: those that end at or before `sealed_before`
/// and are not `done`, cut at multiples of `span`. Applied, and asked again, there are none.
pub(crate) fn due(
    local: TimeRange,
    sealed_before: TimestampMs,
    span: DurationMs,
    done: &[Window],
) -> Vec<Window> {
    windows(local, span)
        .take_while(|window| window.end <= sealed_before)
        .flat_map(|window| missing(window, done))
        .collect()
}

/// First time of the local data that is not archived: from there on it must stay. What comes after the local data is
/// never archived yet.
pub(crate) fn hold_from(local: TimeRange, span: DurationMs, done: &[Window]) -> TimestampMs {
    windows(local, span)
        .find_map(|window| missing(window, done).first().map(|gap| gap.start))
        .unwrap_or(local.end_incl)
        .min(local.end_incl)
}

fn windows(local: TimeRange, span: DurationMs) -> impl Iterator<Item = Window> {
    let first = local.start_incl.0.div_euclid(span.0).saturating_mul(span.0);
    std::iter::successors(Some(first), move |start| start.checked_add(span.0))
        .take_while(move |start| *start <= local.end_incl.0)
        .map(move |start| Window {
            start: TimestampMs(start),
            end: TimestampMs(start.saturating_add(span.0)),
        })
}

/// The stretches of a window that none of `done` covers.
fn missing(window: Window, done: &[Window]) -> Vec<Window> {
    let mut covering: Vec<&Window> =
        done.iter().filter(|it| it.start < window.end && window.start < it.end).collect();
    covering.sort();
    let mut gaps = Vec::new();
    let mut from = window.start;
    for it in covering {
        if from < it.start {
            gaps.push(Window { start: from, end: it.start });
        }
        from = from.max(it.end);
    }
    if from < window.end {
        gaps.push(Window { start: from, end: window.end });
    }
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn window((start, end): (i64, i64)) -> Window {
        Window { start: TimestampMs(start * HOUR), end: TimestampMs(end * HOUR) }
    }

    fn check(
        local: (i64, i64),
        sealed_before: i64,
        span: i64,
        done: &[(i64, i64)],
        expected: &[(i64, i64)],
        hold_hours: Option<i64>,
    ) {
        let range = TimeRange {
            start_incl: TimestampMs(local.0 * HOUR + 1),
            end_incl: TimestampMs(local.1 * HOUR - 1),
        };
        let sealed_before = TimestampMs(sealed_before * HOUR);
        let span = DurationMs(span * HOUR);
        let mut done: Vec<Window> = done.iter().copied().map(window).collect();
        let expected: Vec<Window> = expected.iter().copied().map(window).collect();
        assert_eq!(due(range, sealed_before, span, &done), expected);
        done.reverse();
        assert_eq!(due(range, sealed_before, span, &done), expected, "in any order");
        let hold = hold_hours.map_or(range.end_incl, |hours| TimestampMs(hours * HOUR));
        assert_eq!(hold_from(range, span, &done), hold);
        done.extend(expected);
        assert_eq!(due(range, sealed_before, span, &done), [], "nothing is left to do");
    }

    #[test]
    fn sealed_windows_are_due_once() {
        check((25, 80), 72, 24, &[], &[(24, 48), (48, 72)], Some(24));
        check((25, 80), 71, 24, &[], &[(24, 48)], Some(24));
        check((25, 80), 72, 24, &[(24, 48)], &[(48, 72)], Some(48));
        check((25, 60), 72, 24, &[(24, 48), (48, 72)], &[], None);
        check((25, 60), 0, 24, &[], &[], Some(24));
    }

    #[test]
    fn another_length_of_windows_archives_only_what_is_missing() {
        check((0, 30), 48, 24, &[(0, 2), (4, 6)], &[(2, 4), (6, 24), (24, 48)], Some(2));
        check((0, 24), 48, 2, &[(0, 24)], &[], None);
    }

    #[test]
    fn times_before_the_epoch_are_cut_alike() {
        check((-30, -1), 0, 24, &[], &[(-48, -24), (-24, 0)], Some(-48));
    }
}
