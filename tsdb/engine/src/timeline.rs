//! What time it may be: the wall clock may jump, and nobody tells whether it was right before or is right after. Until
//! that is known both times count, whichever refuses less.

use std::time::Duration;

use parking_lot::Mutex;
use swell_env::{Clock, Monotonic};
use swell_model::{Batch, DurationMs, TimestampMs};

/// A jump is believed once nobody has sent samples of the time before it for so long.
const BELIEVED_AFTER: Duration = Duration::from_secs(600);
/// Clocks that are so close show one time.
const CLOSE: DurationMs = DurationMs(1000);

/// The wall clock, and what it would show had it gone on as it did when it was last believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) wall: TimestampMs,
    pub(crate) held: TimestampMs,
}

impl Times {
    pub(crate) fn earliest(self) -> TimestampMs {
        self.wall.min(self.held)
    }

    pub(crate) fn latest(self) -> TimestampMs {
        self.wall.max(self.held)
    }

    fn are_apart(self) -> bool {
        self.latest().since(self.earliest()) > CLOSE
    }

    /// Whether a sample is one of the held time that would not be one of the wall clock's. Samples are taken up to
    /// `ahead` before the time, and up to `behind` after it.
    fn only_held_explains(self, at: TimestampMs, ahead: DurationMs, behind: DurationMs) -> bool {
        let is_of = |time: TimestampMs, behind| (time - behind..=time + ahead).contains(&at);
        is_of(self.held, behind.max(ahead)) && !is_of(self.wall, ahead)
    }
}

/// Follows the wall clock over its jumps.
#[derive(Debug)]
pub(crate) struct Timeline(Mutex<Held>);

#[derive(Debug)]
struct Held {
    /// The wall clock when it was last believed, and when that was.
    wall: TimestampMs,
    at: Monotonic,
    /// Since when the two are apart, and nobody sends samples of the held time.
    unused_since: Option<Monotonic>,
}

impl Timeline {
    pub(crate) fn new(clock: &dyn Clock) -> Self {
        let (wall, at) = (clock.now(), clock.monotonic());
        Self(Mutex::new(Held { wall, at, unused_since: None }))
    }

    pub(crate) fn times(&self, clock: &dyn Clock) -> Times {
        let held = self.0.lock();
        Times { wall: clock.now(), held: held.wall + millis(clock.monotonic().since(held.at)) }
    }

    /// Learns from a batch which of the times is the senders': a wall clock that jumped is believed once none speaks for
    /// the time before.
    pub(crate) fn learn(
        &self,
        clock: &dyn Clock,
        times: Times,
        batch: &Batch,
        (ahead, behind): (DurationMs, DurationMs),
    ) {
        let mut held = self.0.lock();
        if !times.are_apart() {
            held.unused_since = None;
            return;
        }
        let rows = batch.rows.iter().map(|row| row.timestamp);
        let mut sent = rows.chain(batch.histograms.iter().map(|sample| sample.timestamp));
        let now = clock.monotonic();
        if sent.any(|at| times.only_held_explains(at, ahead, behind)) {
            held.unused_since = Some(now);
        }
        let since = *held.unused_since.get_or_insert(now);
        if now.since(since) >= BELIEVED_AFTER {
            let jump_ms = times.wall.since(times.held).0;
            tracing::warn!(jump_ms, "the clock was set, and is believed from now on");
            *held = Held { wall: times.wall, at: now, unused_since: None };
        }
    }
}

fn millis(span: Duration) -> DurationMs {
    DurationMs(i64::try_from(span.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use swell_env::ManualClock;
    use swell_model::{Row, SeriesRef};

    use super::*;

    const MINUTE: DurationMs = DurationMs(60_000);
    const DAY: DurationMs = DurationMs(86_400_000);
    const TAKEN: (DurationMs, DurationMs) = (DurationMs(600_000), DurationMs(3_600_000));

    /// Sends a sample a minute of the times that `sent` makes of the right ones, and gives after how many minutes a jump
    /// by `span` is believed.
    fn believed_after(span: DurationMs, sent: impl Fn(TimestampMs) -> TimestampMs) -> Option<i64> {
        let clock = ManualClock::new(TimestampMs(10_000 * DAY.0));
        let timeline = Timeline::new(&clock);
        clock.jump(span);
        for minute in 0..60 {
            let times = timeline.times(&clock);
            if !times.are_apart() {
                return Some(minute);
            }
            assert_eq!(times.latest().since(times.earliest()).0, span.0.abs());
            let row = Row::new(sent(times.held), vec![SeriesRef(0)], vec![1.0]);
            timeline.learn(&clock, times, &Batch::of_rows(vec![row]), TAKEN);
            clock.advance(MINUTE);
        }
        None
    }

    #[test]
    fn a_jump_is_believed_once_nobody_speaks_for_the_time_before() {
        for days in [-3650, -1, 1, 3650] {
            let jump = DurationMs(days * DAY.0);
            assert_eq!(believed_after(jump, |held| held + jump), Some(11), "{days} days");
            assert_eq!(believed_after(jump, |held| held), None, "{days} days");
            assert_eq!(believed_after(jump, |held| held - DAY - DAY), Some(11), "old: {days} days");
        }
        assert_eq!(believed_after(DurationMs(900), |held| held), Some(0), "too little to tell");
    }

    #[test]
    fn a_clock_that_is_set_right_soon_was_never_believed() {
        let start = TimestampMs(10_000 * DAY.0);
        let clock = ManualClock::new(start);
        let timeline = Timeline::new(&clock);
        for _ in 0..30 {
            clock.jump(DAY);
            clock.advance(MINUTE);
            let times = timeline.times(&clock);
            timeline.learn(&clock, times, &Batch::default(), TAKEN);
            clock.jump(DurationMs(-DAY.0));
            clock.advance(MINUTE);
            let times = timeline.times(&clock);
            assert_eq!(times.wall, times.held);
            timeline.learn(&clock, times, &Batch::default(), TAKEN);
        }
    }
}
