//! What time it is for the limit on samples from the future.

use std::time::Duration;

use swell_env::{Clock, Monotonic};
use swell_model::{DurationMs, TimestampMs};

/// The wall clock at one moment, and when that was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeline {
    wall: TimestampMs,
    at: Monotonic,
}

impl Timeline {
    pub(crate) fn new(clock: &dyn Clock) -> Self {
        Self { wall: clock.now(), at: clock.monotonic() }
    }

    /// The wall clock, or what it would show had it not been set back since: samples of senders whose clocks are right
    /// are then not from the future.
    pub(crate) fn latest(&self, clock: &dyn Clock) -> TimestampMs {
        clock.now().max(self.wall + millis(clock.monotonic().since(self.at)))
    }
}

fn millis(span: Duration) -> DurationMs {
    DurationMs(i64::try_from(span.as_millis()).unwrap_or(i64::MAX))
}
