//! What answers lacked, and for how long that is told.
//!
//! A query asks for its warnings after its reads, and the store may answer others in between. So an omission is kept for as long
//! as a query may take, and told to everyone who asks about its times: some are warned without need, nobody is left unwarned.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use swell_env::Monotonic;
use swell_model::{TimeRange, TimestampMs};

/// Omissions kept apart; with more, the oldest two become one over both.
const KEPT_MAX: usize = 64;

#[derive(Debug)]
struct Omission {
    at: Monotonic,
    range: TimeRange,
    why: String,
}

/// Omissions of the last while.
#[derive(Debug)]
pub(crate) struct Omissions {
    told: Duration,
    /// Oldest first.
    kept: Vec<Omission>,
}

impl Omissions {
    pub(crate) const fn new(told: Duration) -> Self {
        Self { told, kept: Vec::new() }
    }

    pub(crate) fn note(&mut self, range: TimeRange, why: String, now: Monotonic) {
        let told = self.told;
        // The same again counts from now on.
        self.kept.retain(|it| now.since(it.at) <= told && !(it.range == range && it.why == why));
        self.kept.push(Omission { at: now, range, why });
        if self.kept.len() > KEPT_MAX {
            let oldest = self.kept.remove(0);
            self.kept[0].range = union(oldest.range, self.kept[0].range);
        }
    }

    /// One sentence for each cause of omissions in the range.
    pub(crate) fn warnings(&self, range: TimeRange, now: Monotonic) -> Vec<String> {
        let mut by_cause: BTreeMap<&str, TimeRange> = BTreeMap::new();
        for it in self.kept.iter().filter(|it| now.since(it.at) <= self.told) {
            let common = TimeRange {
                start_incl: it.range.start_incl.max(range.start_incl),
                end_incl: it.range.end_incl.min(range.end_incl),
            };
            if common.start_incl <= common.end_incl {
                let all = by_cause.entry(&it.why).or_insert(common);
                *all = union(*all, common);
            }
        }
        let sentence = |(why, range): (&str, TimeRange)| {
            let (from, to) = (shown(range.start_incl), shown(range.end_incl));
            format!("archived samples from {from} to {to} may be missing: {why}")
        };
        by_cause.into_iter().map(sentence).collect()
    }
}

fn union(one: TimeRange, other: TimeRange) -> TimeRange {
    TimeRange {
        start_incl: one.start_incl.min(other.start_incl),
        end_incl: one.end_incl.max(other.end_incl),
    }
}

/// Times that no calendar has are ends of an open range.
fn shown(at: TimestampMs) -> String {
    Timestamp::from_millisecond(at.0).map_or_else(|_| "an open end".to_owned(), |at| at.to_string())
}

#[cfg(test)]
mod tests {
    use swell_env::{Clock as _, ManualClock};

    use super::*;

    fn at(secs: u64) -> Monotonic {
        ManualClock::new(TimestampMs(0)).monotonic().after(Duration::from_secs(secs))
    }

    const fn range(from: i64, to: i64) -> TimeRange {
        TimeRange { start_incl: TimestampMs(from * 1000), end_incl: TimestampMs(to * 1000) }
    }

    #[test]
    fn an_omission_is_told_with_its_times_and_cause_until_its_time_is_over() {
        let mut omissions = Omissions::new(Duration::from_secs(100));
        omissions.note(range(0, 10), "slow".to_owned(), at(5));
        omissions.note(range(20, 30), "slow".to_owned(), at(50));
        let told = "archived samples from 1970-01-01T00:00:02Z to 1970-01-01T00:00:30Z may be missing: slow";
        for _ in 0..2 {
            assert_eq!(omissions.warnings(range(2, 99), at(105)), [told]);
        }
        assert!(omissions.warnings(range(11, 19), at(60)).is_empty(), "other times");
        let later = omissions.warnings(range(2, 99), at(106));
        assert!(later.len() == 1 && later[0].contains("from 1970-01-01T00:00:20Z"), "{later:?}");
        assert!(omissions.warnings(range(2, 99), at(151)).is_empty());
        omissions.note(TimeRange::ALL, "gone".to_owned(), at(151));
        assert!(omissions.warnings(TimeRange::ALL, at(151))[0].contains("from an open end to"));
    }

    #[test]
    fn many_omissions_are_bounded_and_none_is_lost() {
        let mut omissions = Omissions::new(Duration::from_secs(1));
        for nr in 0..1000 {
            omissions.note(range(nr * 10, nr * 10 + 1), format!("cause {nr}"), at(0));
        }
        assert!(omissions.kept.len() <= KEPT_MAX);
        for nr in 0..1000 {
            assert!(!omissions.warnings(range(nr * 10, nr * 10), at(1)).is_empty(), "{nr}");
        }
    }
}
