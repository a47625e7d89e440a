//! Which windows to archive, what must stay local until then, and which uploads to merge: pure functions of what is there.

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

/// An upload as planning sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Uploaded {
    /// Of its list.
    pub(crate) name: String,
    pub(crate) window: Window,
    /// Whether its files are as this program writes them.
    pub(crate) is_current: bool,
    /// Samples of the metric that has most.
    pub(crate) metric_samples_max: u64,
}

/// Uploads that become one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Merge {
    /// What all of them cover together.
    pub(crate) window: Window,
    /// Names of their lists, oldest first.
    pub(crate) sources: Vec<String>,
}

/// Uploads to merge, oldest first: those of each stretch of `span` that they cover to its ends, when there are several, and
/// those that an earlier format wrote, whatever they cover. Uploads that reach over such a stretch, or over each other, stay
/// as they are, and so do those of which a metric might have more than `samples_max` samples together. Applied, and asked again, there are none.
pub(crate) fn merges(uploads: &[Uploaded], span: DurationMs, samples_max: u64) -> Vec<Merge> {
    let stretch = |at: TimestampMs| at.0.div_euclid(span.0);
    let mut by_stretch: std::collections::BTreeMap<i64, Vec<&Uploaded>> =
        std::collections::BTreeMap::new();
    for upload in uploads {
        let last = TimestampMs(upload.window.end.0.saturating_sub(1));
        if stretch(upload.window.start) == stretch(last) {
            by_stretch.entry(stretch(last)).or_default().push(upload);
        }
    }
    let merges = |(nr, uploads)| merges_of(nr, uploads, span, samples_max);
    by_stretch.into_iter().flat_map(merges).collect()
}

/// The merges of one stretch.
fn merges_of(
    nr: i64,
    mut uploads: Vec<&Uploaded>,
    span: DurationMs,
    samples_max: u64,
) -> Vec<Merge> {
    uploads.sort_by_key(|it| (it.window, it.name.clone()));
    let merge = |uploads: &[&Uploaded]| {
        let (first, last) = (uploads.first()?, uploads.last()?);
        let samples =
            uploads.iter().fold(0_u64, |sum, it| sum.saturating_add(it.metric_samples_max));
        if samples > samples_max {
            return None;
        }
        Some(Merge {
            window: Window { start: first.window.start, end: last.window.end },
            sources: uploads.iter().map(|it| it.name.clone()).collect(),
        })
    };
    let is_apart = uploads.windows(2).all(|pair| pair[0].window.end <= pair[1].window.start);
    let is_gapless = uploads.windows(2).all(|pair| pair[0].window.end == pair[1].window.start);
    let start = nr.saturating_mul(span.0);
    let reaches_ends = uploads.first().is_some_and(|it| it.window.start.0 == start)
        && uploads.last().is_some_and(|it| it.window.end.0 == start.saturating_add(span.0));
    if is_gapless && reaches_ends && uploads.len() > 1 {
        return merge(&uploads).into_iter().collect();
    }
    if !is_apart {
        return Vec::new();
    }
    uploads.iter().filter(|it| !it.is_current).filter_map(|it| merge(&[it])).collect()
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

    fn uploads(of: &[(i64, i64, bool)]) -> Vec<Uploaded> {
        let upload = |(start, end, is_current): &(i64, i64, bool)| {
            let (start, end, is_current) = (*start, *end, *is_current);
            Uploaded {
                name: format!("{start}-{end}"),
                window: window((start, end)),
                is_current,
                metric_samples_max: 10,
            }
        };
        of.iter().map(upload).collect()
    }

    fn check_merges(of: &[(i64, i64, bool)], expected: &[(i64, i64, &[&str])]) {
        let day = DurationMs(24 * HOUR);
        let mut there = uploads(of);
        let found = merges(&there, day, 100);
        let expected: Vec<Merge> = expected
            .iter()
            .map(|(start, end, sources)| Merge {
                window: window((*start, *end)),
                sources: sources.iter().map(|it| (*it).to_owned()).collect(),
            })
            .collect();
        assert_eq!(found, expected);
        there.reverse();
        assert_eq!(merges(&there, day, 100), expected, "in any order");
        for merge in found {
            there.retain(|it| !merge.sources.contains(&it.name));
            let name = "merged".to_owned();
            let (window, metric_samples_max) = (merge.window, 40);
            there.push(Uploaded { name, window, is_current: true, metric_samples_max });
        }
        assert_eq!(merges(&there, day, 100), [], "nothing is left to do");
    }

    #[test]
    fn uploads_of_a_whole_day_are_merged_once() {
        let quarter = |nr: i64| (nr * 6, nr * 6 + 6, true);
        let quarters: Vec<(i64, i64, bool)> = (0..7).map(quarter).collect();
        check_merges(&quarters, &[(0, 24, &["0-6", "6-12", "12-18", "18-24"])]);
        check_merges(&quarters[..3], &[]);
        check_merges(&[(0, 24, true), (24, 48, true)], &[]);
        // A window is missing in the middle: it may come yet.
        check_merges(&[(0, 6, true), (12, 24, true)], &[]);
        check_merges(&[(-24, -12, true), (-12, 0, true)], &[(-24, 0, &["-24--12", "-12-0"])]);
    }

    #[test]
    fn what_would_not_fit_into_memory_stays() {
        let there = uploads(&[(0, 12, true), (12, 24, false)]);
        assert_eq!(merges(&there, DurationMs(24 * HOUR), 20).len(), 1);
        assert_eq!(merges(&there, DurationMs(24 * HOUR), 19), []);
    }

    #[test]
    fn earlier_formats_are_written_anew_and_overlaps_stay() {
        check_merges(&[(0, 24, false), (24, 30, true)], &[(0, 24, &["0-24"])]);
        check_merges(&[(0, 6, false), (12, 18, true)], &[(0, 6, &["0-6"])]);
        check_merges(&[(0, 18, true), (12, 24, true)], &[]);
        check_merges(&[(0, 18, false), (12, 24, false)], &[]);
        // Longer than a day, or over its end.
        check_merges(&[(0, 48, true), (46, 50, true)], &[]);
    }
}
