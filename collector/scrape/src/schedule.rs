//! When a target is scraped: on a grid that all restarts share, shifted by the target's own offset.

use swell_model::{DurationMs, TimestampMs};

/// A scrape that begins at most this late has the planned time as its timestamp: even steps compress better.
const TOLERANCE: DurationMs = DurationMs(2);
/// The tolerance is at most this part of the interval.
const TOLERANCE_PART: i64 = 100;

/// The first planned time after `now`, and at least one interval after `last`.
pub(crate) fn next(
    now: TimestampMs,
    interval: DurationMs,
    spread: u64,
    last: Option<TimestampMs>,
) -> TimestampMs {
    let interval_ms = interval.0.max(1);
    let offset = i64::try_from(spread % interval_ms.unsigned_abs()).unwrap_or(0);
    let since_tick = (now.0 - offset).rem_euclid(interval_ms);
    let next = TimestampMs(now.0 - since_tick + interval_ms);
    // A timer may fire a little early: the tick that was just served is then still ahead.
    if last == Some(next) { next + interval } else { next }
}

/// The timestamp of a scrape that was planned for `planned` and begins now.
pub(crate) fn timestamp(
    now: TimestampMs,
    planned: TimestampMs,
    interval: DurationMs,
) -> TimestampMs {
    let tolerance = TOLERANCE.0.min(interval.0 / TOLERANCE_PART);
    if now.since(planned).0.abs() <= tolerance { planned } else { now }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_tick_is_served_once() {
        let interval = DurationMs(1000);
        assert_eq!(next(TimestampMs(5000), interval, 250, None), TimestampMs(5250));
        assert_eq!(next(TimestampMs(5250), interval, 250, None), TimestampMs(6250));
        let early = next(TimestampMs(5249), interval, 250, Some(TimestampMs(5250)));
        assert_eq!(early, TimestampMs(6250));
    }

    #[test]
    fn small_delays_do_not_show() {
        let interval = DurationMs(1000);
        for (now, expected) in [(5252, 5250), (5253, 5253), (5249, 5250)] {
            let at = timestamp(TimestampMs(now), TimestampMs(5250), interval);
            assert_eq!(at, TimestampMs(expected));
        }
        let short = timestamp(TimestampMs(5251), TimestampMs(5250), DurationMs(50));
        assert_eq!(short, TimestampMs(5251));
    }

    proptest! {
        #[test]
        fn ticks_are_on_the_grid_and_near(now in 0..4_000_000_000_000_i64, interval in 1..3_600_000_i64, spread in any::<u64>()) {
            let tick = next(TimestampMs(now), DurationMs(interval), spread, None);
            prop_assert!(tick.0 > now && tick.0 <= now + interval);
            let after = next(tick, DurationMs(interval), spread, Some(tick));
            prop_assert_eq!(after.0, tick.0 + interval);
        }
    }
}
