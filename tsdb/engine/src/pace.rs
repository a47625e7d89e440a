//! Keeps background work at its share of the machine: after so much work, so long a pause.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use swell_env::Monotonic;

/// What merging, rewriting and downsampling of blocks may take. Flushing the head is not held back: it follows
/// from what comes in, and waiting would cost memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackgroundShare {
    /// Of one core, 1 to 100.
    pub cpu_percent: u32,
    /// Bytes read and written a second.
    pub bytes_per_second: u64,
}

/// Shorter pauses are put off.
const PAUSE_MIN: Duration = Duration::from_millis(10);
/// Longer pauses are made in pieces, so that other upkeep finds its turn.
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// What is owed in pauses: a bucket for time and one for bytes, both drained by pausing.
#[derive(Debug)]
pub(crate) struct Pacer {
    share: Option<BackgroundShare>,
    time_owed: Duration,
    bytes_owed: Duration,
    /// Work since then is not counted yet.
    seen: Monotonic,
}

impl Pacer {
    /// Starts counting; without a share nothing is held back.
    pub(crate) fn new(share: Option<BackgroundShare>, now: Monotonic) -> Self {
        Self { share, time_owed: Duration::ZERO, bytes_owed: Duration::ZERO, seen: now }
    }

    /// Work begins: the time since the last was rest, and pays for what was owed.
    pub(crate) fn begins(&mut self, now: Monotonic) {
        self.paused(now.since(self.seen), now);
    }

    /// Counts the work since the last call; gives the pause that is due.
    pub(crate) fn worked(&mut self, now: Monotonic, bytes: u64) -> Option<Duration> {
        self.count(now, bytes);
        self.owes()
    }

    /// Counts the work since the last call.
    pub(crate) fn count(&mut self, now: Monotonic, bytes: u64) {
        let Some(share) = self.share else { return };
        let worked = now.since(self.seen);
        self.seen = now;
        let percent = share.cpu_percent.clamp(1, 100);
        self.time_owed += worked * (100 - percent) / percent;
        let micros = u128::from(bytes) * 1_000_000 / u128::from(share.bytes_per_second.max(1));
        let moved = Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX));
        self.bytes_owed = (self.bytes_owed + moved).saturating_sub(worked);
    }

    /// A pause is over, at `now`.
    pub(crate) fn paused(&mut self, pause: Duration, now: Monotonic) {
        self.time_owed = self.time_owed.saturating_sub(pause);
        self.bytes_owed = self.bytes_owed.saturating_sub(pause);
        self.seen = now;
    }

    /// Whether more is owed.
    pub(crate) fn owes(&self) -> Option<Duration> {
        let owed = self.time_owed.max(self.bytes_owed);
        (owed >= PAUSE_MIN).then_some(owed.min(PAUSE_MAX))
    }
}

/// Where background work pauses, and is told to end.
#[derive(Debug, Default)]
pub(crate) struct Rest {
    is_over: Mutex<bool>,
    changed: Condvar,
}

impl Rest {
    /// Waits so long; `false` at once when background work is to end.
    pub(crate) fn pause(&self, span: Duration) -> bool {
        let mut is_over = self.is_over.lock();
        if !*is_over {
            self.changed.wait_for(&mut is_over, span);
        }
        !*is_over
    }

    /// Whether background work is to end.
    pub(crate) fn is_over(&self) -> bool {
        *self.is_over.lock()
    }

    /// Ends background work at its next look.
    pub(crate) fn end(&self) {
        *self.is_over.lock() = true;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use swell_env::{Clock as _, ManualClock};
    use swell_model::{DurationMs, TimestampMs};

    use super::*;

    /// Works and pauses by a clock that is moved; gives the share of time worked, and bytes a second.
    fn run(share: BackgroundShare, work_ms: i64, bytes: u64) -> (f64, f64) {
        let clock = ManualClock::new(TimestampMs(0));
        let mut pacer = Pacer::new(Some(share), clock.monotonic());
        let mut worked = 0;
        for _ in 0..1000 {
            clock.advance(DurationMs(work_ms));
            worked += work_ms;
            let mut due = pacer.worked(clock.monotonic(), bytes);
            while let Some(pause) = due {
                clock.advance(DurationMs(i64::try_from(pause.as_millis()).expect("short")));
                pacer.paused(pause, clock.monotonic());
                due = pacer.owes();
            }
        }
        let passed = clock.now().as_seconds();
        (DurationMs(worked).as_seconds() / passed, bytes as f64 * 1000.0 / passed)
    }

    #[test]
    fn work_keeps_to_its_share_of_time_and_bytes() {
        let share = BackgroundShare { cpu_percent: 25, bytes_per_second: 1_000_000 };
        let (time, _) = run(share, 3, 0);
        assert!((0.24..0.27).contains(&time), "{time}");
        let (_, bytes) = run(share, 1, 50_000);
        assert!((950_000.0..1_050_000.0).contains(&bytes), "{bytes}");
        let whole = BackgroundShare { cpu_percent: 100, bytes_per_second: u64::MAX };
        let (time, _) = run(whole, 3, 1 << 20);
        assert!(time > 0.999, "{time}");
    }

    #[test]
    fn time_without_work_is_rest() {
        let clock = ManualClock::new(TimestampMs(0));
        let share = BackgroundShare { cpu_percent: 25, bytes_per_second: 1_000_000 };
        let mut pacer = Pacer::new(Some(share), clock.monotonic());
        for _ in 0..3 {
            clock.advance(DurationMs(7_200_000));
            pacer.begins(clock.monotonic());
            assert_eq!(pacer.owes(), None, "what the last work owed is paid");
            clock.advance(DurationMs(20));
            assert_eq!(pacer.worked(clock.monotonic(), 0), Some(Duration::from_millis(60)));
        }
    }

    #[test]
    fn without_a_share_nothing_is_held_back_and_the_end_ends_pauses() {
        let clock = ManualClock::new(TimestampMs(0));
        let mut pacer = Pacer::new(None, clock.monotonic());
        clock.advance(DurationMs(100_000));
        assert_eq!(pacer.worked(clock.monotonic(), u64::MAX), None);
        let rest = Rest::default();
        assert!(rest.pause(Duration::from_millis(1)));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| rest.pause(Duration::from_secs(600)));
            rest.end();
            assert!(!waiting.join().expect("no panic"), "the end came before the time was up");
        });
        assert!(!rest.pause(Duration::from_secs(600)) && rest.is_over());
    }
}
