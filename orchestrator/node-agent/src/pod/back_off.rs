//! How long a container that keeps ending waits before it is started again: the kubelet's rule.

use swell_model::{DurationMs, TimestampMs};

/// First and longest pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackOffLimits {
    /// Pause before the second restart; the first comes at once.
    pub initial: DurationMs,
    /// Pauses double up to this one. A run of twice this length clears the record.
    pub max: DurationMs,
}

impl BackOffLimits {
    /// 10 s, doubling to 5 min, cleared after 10 min.
    pub const KUBELET: Self =
        Self { initial: DurationMs::from_secs(10), max: DurationMs::from_secs(300) };
}

/// The record of one container; empty until its first restart (`flowcontrol.Backoff` of client-go).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackOff {
    entry: Option<Entry>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    pause: DurationMs,
    updated_at: TimestampMs,
}

impl BackOff {
    /// How long a container that ended at `finished_at` still has to wait. A clock that was set back does
    /// not make it wait longer than one pause.
    #[must_use]
    pub fn remaining(
        &self,
        finished_at: TimestampMs,
        now: TimestampMs,
        limits: BackOffLimits,
    ) -> DurationMs {
        match self.entry.filter(|entry| !entry.is_cleared(finished_at, limits)) {
            Some(entry) => {
                let left = entry.pause - now.since(finished_at);
                left.clamp(DurationMs::ZERO, entry.pause)
            }
            None => DurationMs::ZERO,
        }
    }

    /// The record after a restart at `now` of a container that had ended at `finished_at`.
    #[must_use]
    pub fn restarted(
        self,
        finished_at: TimestampMs,
        now: TimestampMs,
        limits: BackOffLimits,
    ) -> Self {
        let pause = match self.entry.filter(|entry| !entry.is_cleared(finished_at, limits)) {
            Some(entry) => DurationMs(entry.pause.0.saturating_mul(2)).min(limits.max),
            None => limits.initial,
        };
        Self { entry: Some(Entry { pause, updated_at: now }) }
    }

    /// The pause now in force, for messages.
    #[must_use]
    pub fn pause(&self) -> DurationMs {
        self.entry.map_or(DurationMs::ZERO, |entry| entry.pause)
    }

    /// As a label of the container, so that the record outlives the agent.
    #[must_use]
    pub fn to_label(&self) -> String {
        match self.entry {
            Some(entry) => format!("{}@{}", entry.pause.0, entry.updated_at.0),
            None => String::new(),
        }
    }

    /// Reads [`BackOff::to_label`]; anything else is an empty record.
    #[must_use]
    pub fn from_label(text: &str) -> Self {
        let entry = text.split_once('@').and_then(|(pause, updated_at)| {
            Some(Entry {
                pause: DurationMs(pause.parse().ok()?),
                updated_at: TimestampMs(updated_at.parse().ok()?),
            })
        });
        Self { entry }
    }
}

impl Entry {
    fn is_cleared(&self, finished_at: TimestampMs, limits: BackOffLimits) -> bool {
        finished_at.since(self.updated_at).0 > limits.max.0.saturating_mul(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: BackOffLimits = BackOffLimits::KUBELET;

    #[test]
    fn pauses_are_none_then_ten_seconds_doubling_to_five_minutes() {
        let mut back_off = BackOff::default();
        let mut now = TimestampMs(1_000_000);
        let mut pauses = Vec::new();
        for _ in 0..8 {
            // It runs for a second and ends.
            let finished_at = now + DurationMs::from_secs(1);
            let pause = back_off.remaining(finished_at, finished_at, LIMITS);
            pauses.push(pause.0 / 1000);
            now = finished_at + pause;
            assert_eq!(back_off.remaining(finished_at, now, LIMITS), DurationMs::ZERO);
            back_off = back_off.restarted(finished_at, now, LIMITS);
        }
        assert_eq!(pauses, [0, 10, 20, 40, 80, 160, 300, 300]);
    }

    #[test]
    fn a_run_of_more_than_ten_minutes_clears_the_record() {
        let started_at = TimestampMs(0);
        let back_off = BackOff::default()
            .restarted(started_at, started_at, LIMITS)
            .restarted(started_at, started_at, LIMITS);
        assert_eq!(back_off.pause(), DurationMs::from_secs(20));
        for (ran_s, expected_s) in [(599, 20), (600, 20), (601, 0)] {
            let finished_at = started_at + DurationMs::from_secs(ran_s);
            assert_eq!(
                back_off.remaining(finished_at, finished_at, LIMITS),
                DurationMs::from_secs(expected_s),
                "after {ran_s} s"
            );
        }
        let finished_at = started_at + DurationMs::from_secs(601);
        assert_eq!(back_off.restarted(finished_at, finished_at, LIMITS).pause(), LIMITS.initial);
    }

    #[test]
    fn a_clock_set_back_costs_one_pause_at_most() {
        let back_off = BackOff::default().restarted(TimestampMs(0), TimestampMs(0), LIMITS);
        let finished_at = TimestampMs(100_000);
        assert_eq!(
            back_off.remaining(finished_at, TimestampMs(-5_000_000), LIMITS),
            LIMITS.initial
        );
    }

    #[test]
    fn the_record_survives_as_a_label() {
        let back_off = BackOff::default().restarted(TimestampMs(5), TimestampMs(77), LIMITS);
        assert_eq!(BackOff::from_label(&back_off.to_label()), back_off);
        for text in ["", "x", "1@", "@2", "a@b"] {
            assert_eq!(BackOff::from_label(text), BackOff::default());
        }
    }
}
