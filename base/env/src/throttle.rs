//! Lets something through at most once an interval, and counts the rest: for lines of a log that anybody outside
//! could otherwise fill.

use std::time::Duration;

use parking_lot::Mutex;

use crate::Monotonic;

/// See the module. Shared by reference.
#[derive(Debug)]
pub struct Throttle {
    interval: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    passed_at: Option<Monotonic>,
    held_back_count: u64,
}

impl Throttle {
    /// Lets the first one through.
    #[must_use]
    pub fn new(interval: Duration) -> Self {
        Self { interval, state: Mutex::default() }
    }

    /// One more comes. When it may pass: how many were held back since the last that did.
    pub fn pass(&self, now: Monotonic) -> Option<u64> {
        let mut state = self.state.lock();
        if state.passed_at.is_some_and(|passed_at| now.since(passed_at) < self.interval) {
            state.held_back_count += 1;
            return None;
        }
        state.passed_at = Some(now);
        Some(std::mem::take(&mut state.held_back_count))
    }
}

#[cfg(test)]
mod tests {
    use swell_model::{DurationMs, TimestampMs};

    use super::*;
    use crate::{Clock as _, ManualClock};

    #[test]
    fn one_passes_in_each_interval_and_tells_of_the_others() {
        let clock = ManualClock::new(TimestampMs(0));
        let throttle = Throttle::new(Duration::from_secs(10));
        let mut passed = Vec::new();
        for _ in 0..25 {
            passed.extend(throttle.pass(clock.monotonic()));
            clock.advance(DurationMs(1000));
        }
        assert_eq!(passed, [0, 9, 9]);
    }
}
