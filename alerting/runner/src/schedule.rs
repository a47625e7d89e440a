//! When a group is evaluated: its interval, shifted by a stable phase, so that restarts keep it and groups spread.

use swell_model::{DurationMs, TimestampMs};

/// The evaluation times of one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    interval_ms: i64,
    phase_ms: i64,
}

impl Schedule {
    /// The schedule of a group; `interval` is more than zero.
    pub(crate) fn new(file: &str, group: &str, interval: DurationMs) -> Self {
        let interval_ms = interval.0.max(1);
        let hash = fnv1a(file.bytes().chain([b';']).chain(group.bytes()));
        let phase = hash % interval_ms.unsigned_abs();
        Self { interval_ms, phase_ms: i64::try_from(phase).unwrap_or(0) }
    }

    /// The latest evaluation time that is not after `now`.
    pub(crate) fn slot(&self, now: TimestampMs) -> TimestampMs {
        TimestampMs(now.0 - (now.0 - self.phase_ms).rem_euclid(self.interval_ms))
    }

    /// The evaluation time after a slot.
    pub(crate) fn next(&self, slot: TimestampMs) -> TimestampMs {
        slot + DurationMs(self.interval_ms)
    }

    /// When to evaluate, given when that was to be: a time that is two steps away comes from a clock that was ahead, or was
    /// set back since, and is not waited for.
    pub(crate) fn due_at(&self, next: TimestampMs, now: TimestampMs) -> TimestampMs {
        if next.since(now).0 > 2 * self.interval_ms { self.next(self.slot(now)) } else { next }
    }

    /// How many evaluation times lie between two slots.
    pub(crate) fn missed(&self, last: TimestampMs, slot: TimestampMs) -> u64 {
        let steps = slot.since(last).0 / self.interval_ms;
        u64::try_from(steps - 1).unwrap_or(0)
    }
}

fn fnv1a(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_keep_their_phase() {
        let schedule = Schedule::new("f.yml", "g", DurationMs(10_000));
        let slot = schedule.slot(TimestampMs(1_700_000_123_456));
        assert!(slot.0 <= 1_700_000_123_456 && slot.0 > 1_700_000_113_456);
        assert_eq!(schedule.slot(slot), slot);
        assert_eq!(schedule.slot(slot + DurationMs(9_999)), slot);
        assert_eq!(schedule.slot(schedule.next(slot)), schedule.next(slot));
        assert_eq!(schedule, Schedule::new("f.yml", "g", DurationMs(10_000)));
        assert_eq!(schedule.missed(slot, schedule.next(slot)), 0);
        assert_eq!(schedule.missed(slot, slot + DurationMs(30_000)), 2);
    }

    #[test]
    fn a_clock_that_was_set_back_is_not_waited_for() {
        let schedule = Schedule::new("f.yml", "g", DurationMs(10_000));
        let now = TimestampMs(1_700_000_123_456);
        let next = schedule.next(schedule.slot(now));
        assert_eq!(schedule.due_at(next, now), next);
        assert_eq!(schedule.due_at(next, now - DurationMs(200)), next, "a small step");
        for ahead_ms in [60_000, 3_600_000, 10 * 365 * 86_400_000] {
            let due = schedule.due_at(next + DurationMs(ahead_ms), now);
            assert_eq!(due, next, "{ahead_ms} ms");
        }
    }

    #[test]
    fn groups_spread_over_the_interval() {
        let phases: std::collections::BTreeSet<i64> = (0..50)
            .map(|idx| Schedule::new("f.yml", &format!("g{idx}"), DurationMs(60_000)).phase_ms)
            .collect();
        assert!(phases.len() > 40, "{phases:?}");
    }
}
