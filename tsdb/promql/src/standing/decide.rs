//! Which reads are worth keeping, as a function of what is asked and when it was asked before.

use std::fmt::Write as _;

use swell_model::{Coarse, DurationMs, Figures, Matcher, SelectHints, TimestampMs};

/// What a read is told apart by, beside its time: the same rule asks the same question at each evaluation. Times count
/// from the evaluation's, so that a fixed one (`@`) or one on a grid of its own (a subquery) is another question each time,
/// and is read in full.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Question {
    matchers: String,
    /// From the first time of the range to the evaluation.
    lead_ms: i64,
    /// From the last time of the range to the evaluation.
    lag_ms: i64,
    what: What,
}

/// What is wanted of each series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum What {
    /// Its newest sample in the range.
    Newest,
    /// All samples of the range.
    Samples,
    /// Figures of the range as a whole.
    Folded(Figures),
}

impl What {
    /// What these hints want; `None` for what is not kept.
    fn of(hints: &SelectHints) -> Option<Self> {
        if hints.labels_only || hints.limit != 0 {
            return None;
        }
        if hints.newest_only {
            return Some(Self::Newest);
        }
        match hints.coarse {
            Coarse::Folded(windows, figures) => {
                let (first, last) = (hints.range.start_incl.0, hints.range.end_incl.0);
                let is_range = windows.count == 1
                    && windows.first_end.0 == last
                    && last.saturating_sub(windows.range.0).saturating_add(1) == first;
                Some(if is_range { Self::Folded(figures) } else { Self::Samples })
            }
            Coarse::Refused | Coarse::Newest => Some(Self::Samples),
        }
    }
}

/// A window is worth keeping when it is asked for at least so many times while a sample is in it: what is kept is read once
/// more than it would be.
const ASKED_MIN: i64 = 4;

impl Question {
    /// The question that a read asks, evaluated at that time; `None` where nothing is kept.
    pub(super) fn of(matchers: &[Matcher], hints: &SelectHints, at: TimestampMs) -> Option<Self> {
        let what = What::of(hints)?;
        let lead_ms = at.0.checked_sub(hints.range.start_incl.0)?;
        let lag_ms = at.0.checked_sub(hints.range.end_incl.0)?;
        let mut text = String::new();
        for matcher in matchers {
            // Writing to a string cannot fail.
            write!(text, "{matcher},").expect("strings take all text");
        }
        (lag_ms <= lead_ms).then_some(Self { matchers: text, lead_ms, lag_ms, what })
    }

    pub(super) const fn what(&self) -> What {
        self.what
    }

    /// Length of the window.
    pub(super) const fn length(&self) -> DurationMs {
        DurationMs(self.lead_ms.saturating_sub(self.lag_ms).saturating_add(1))
    }

    /// Whether to keep what is read now, since the question was asked so long ago.
    pub(super) const fn is_worth_keeping(&self, since_ms: i64) -> bool {
        since_ms > 0 && since_ms.saturating_mul(ASKED_MIN) <= self.length().0
    }
}

#[cfg(test)]
mod tests {
    use swell_model::{TimeRange, WindowGrid};

    use super::*;

    fn range(first: i64, last: i64) -> TimeRange {
        TimeRange { start_incl: TimestampMs(first), end_incl: TimestampMs(last) }
    }

    fn question(hints: &SelectHints, at: i64) -> Option<Question> {
        Question::of(&[Matcher::equal("__name__", "up")], hints, TimestampMs(at))
    }

    #[test]
    fn the_same_question_comes_again_when_the_range_goes_with_the_time() {
        let ask = |first, last, at| question(&SelectHints::range(range(first, last)), at);
        assert_eq!(ask(41, 100, 100), ask(1041, 1100, 1100));
        assert_ne!(ask(41, 100, 100), ask(41, 100, 1100), "a fixed time");
        assert_ne!(ask(41, 100, 100), ask(31, 100, 100), "a longer window");
        assert_ne!(ask(41, 100, 100), ask(41, 100, 105), "an offset");
        assert_eq!(ask(101, 100, 100), None, "nothing");
        let newest = question(&SelectHints::newest(range(41, 100)), 100);
        assert_ne!(newest, ask(41, 100, 100));
    }

    #[test]
    fn figures_are_kept_of_one_window_that_is_the_range() {
        let what = |first_end: i64, count, length, from, to| {
            let windows = WindowGrid {
                first_end: TimestampMs(first_end),
                step: DurationMs(10),
                count,
                range: DurationMs(length),
            };
            let coarse = Coarse::Folded(windows, Figures::Sums);
            What::of(&SelectHints { coarse, ..SelectHints::range(range(from, to)) })
        };
        assert_eq!(what(100, 1, 60, 41, 100), Some(What::Folded(Figures::Sums)));
        assert_eq!(what(100, 1, 60, 40, 100), Some(What::Samples));
        assert_eq!(what(100, 2, 60, 41, 110), Some(What::Samples));
        let limited = SelectHints { limit: 1, ..SelectHints::range(range(0, 1)) };
        let labels = SelectHints { labels_only: true, ..SelectHints::range(range(0, 1)) };
        assert_eq!([What::of(&limited), What::of(&labels)], [None, None]);
    }

    #[test]
    fn a_window_that_moves_on_by_much_is_not_kept() {
        let minute = question(&SelectHints::range(range(1, 60_000)), 60_000).expect("a question");
        for (since_ms, worth) in
            [(0, false), (-5, false), (1000, true), (15_000, true), (15_001, false)]
        {
            assert_eq!(minute.is_worth_keeping(since_ms), worth, "{since_ms} ms");
        }
    }
}
