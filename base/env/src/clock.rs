//! Wall clock for timestamps, monotonic clock for durations; never one for the other.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use swell_model::{DurationMs, TimestampMs};

/// A reading of the monotonic clock: only differences mean something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Monotonic(Duration);

impl Monotonic {
    /// Time passed since an earlier reading; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// The reading `span` later, for deadlines.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }
}

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Wall clock: for timestamps. May jump.
    fn now(&self) -> TimestampMs;
    /// Monotonic clock: for durations.
    fn monotonic(&self) -> Monotonic;
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// Starts the monotonic clock at zero.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the door to the machine's clock")]
    pub fn new() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the door to the machine's clock")]
    fn now(&self) -> TimestampMs {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        TimestampMs(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(self.origin.elapsed())
    }
}

/// A clock that stands still until it is moved, for tests and simulation.
#[derive(Debug)]
pub struct ManualClock {
    now_ms: AtomicI64,
    origin_ms: AtomicI64,
}

impl ManualClock {
    /// A clock that shows `start`.
    #[must_use]
    pub const fn new(start: TimestampMs) -> Self {
        Self { now_ms: AtomicI64::new(start.0), origin_ms: AtomicI64::new(start.0) }
    }

    /// Moves the clock forward.
    pub fn advance(&self, span: DurationMs) {
        self.now_ms.fetch_add(span.0, Ordering::SeqCst);
    }

    /// Sets the wall clock forward or back; the monotonic clock does not notice.
    pub fn jump(&self, span: DurationMs) {
        self.origin_ms.fetch_add(span.0, Ordering::SeqCst);
        self.now_ms.fetch_add(span.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> TimestampMs {
        TimestampMs(self.now_ms.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Monotonic {
        let passed = self.now_ms.load(Ordering::SeqCst) - self.origin_ms.load(Ordering::SeqCst);
        Monotonic(Duration::from_millis(passed.max(0).unsigned_abs()))
    }
}
