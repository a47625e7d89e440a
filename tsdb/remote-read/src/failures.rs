//! Who did not answer, and for how long that is told.
//!
//! A query asks for its warnings after its reads, and others may be read in between. So a failure is kept for as long as a
//! query may take, and told to everyone who asks about its times: some are warned without need, nobody is left unwarned.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use swell_env::Monotonic;
use swell_model::TimeRange;

/// Failures that are kept; the oldest of more are forgotten.
const KEPT_MAX: usize = 256;

#[derive(Debug)]
struct Failure {
    at: Monotonic,
    range: TimeRange,
    text: String,
}

/// Failures of the last while, oldest first.
#[derive(Debug)]
pub(crate) struct Failures {
    told: Duration,
    kept: VecDeque<Failure>,
}

impl Failures {
    pub(crate) const fn new(told: Duration) -> Self {
        Self { told, kept: VecDeque::new() }
    }

    pub(crate) fn note(&mut self, range: TimeRange, text: String, now: Monotonic) {
        let told = self.told;
        // The same again counts from now on.
        self.kept.retain(|it| now.since(it.at) <= told && !(it.range == range && it.text == text));
        if self.kept.len() == KEPT_MAX {
            self.kept.pop_front();
        }
        self.kept.push_back(Failure { at: now, range, text });
    }

    /// Each text of failures in the range, once.
    pub(crate) fn warnings(&self, range: TimeRange, now: Monotonic) -> Vec<String> {
        let meets = |it: &&Failure| {
            it.range.start_incl <= range.end_incl && range.start_incl <= it.range.end_incl
        };
        let recent = self.kept.iter().filter(|it| now.since(it.at) <= self.told);
        let texts: BTreeSet<&str> = recent.filter(meets).map(|it| it.text.as_str()).collect();
        texts.into_iter().map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use swell_env::{Clock as _, ManualClock};
    use swell_model::TimestampMs;

    use super::*;

    fn at(secs: u64) -> Monotonic {
        ManualClock::new(TimestampMs(0)).monotonic().after(Duration::from_secs(secs))
    }

    const fn range(from: i64, to: i64) -> TimeRange {
        TimeRange { start_incl: TimestampMs(from), end_incl: TimestampMs(to) }
    }

    #[test]
    fn a_failure_is_told_for_its_times_until_its_time_is_over() {
        let mut failures = Failures::new(Duration::from_secs(100));
        failures.note(range(0, 10), "far: gone".to_owned(), at(0));
        failures.note(range(5, 20), "far: gone".to_owned(), at(1));
        failures.note(range(5, 20), "other: slow".to_owned(), at(2));
        assert_eq!(failures.warnings(range(8, 9), at(50)), ["far: gone", "other: slow"]);
        assert_eq!(failures.warnings(range(0, 4), at(50)), ["far: gone"]);
        assert!(failures.warnings(range(21, 30), at(50)).is_empty());
        assert!(failures.warnings(range(0, 4), at(101)).is_empty());
        assert_eq!(failures.warnings(range(8, 9), at(101)).len(), 2);
    }

    #[test]
    fn many_failures_are_bounded() {
        let mut failures = Failures::new(Duration::from_secs(100));
        for nr in 0..1000 {
            failures.note(range(nr, nr), format!("far: {nr}"), at(0));
            failures.note(range(0, 0), "far: gone".to_owned(), at(0));
        }
        assert_eq!(failures.kept.len(), KEPT_MAX);
        assert_eq!(failures.warnings(range(999, 999), at(0)), ["far: 999"]);
    }
}
