//! How much comes and goes, as far as the number of shards follows from it.

use std::time::Duration;

use crate::shards::{Ewma, Load};

/// From one reading to the next.
const INTERVAL_SECONDS: f64 = 10.0;

/// Rates, and what came since the last reading.
#[derive(Debug, Default)]
pub(super) struct Rates {
    stored: Ewma,
    sent: Ewma,
    dropped: Ewma,
    busy: Ewma,
    stored_before: u64,
    sent_count: u64,
    dropped_count: u64,
    busy_for: Duration,
}

impl Rates {
    /// Nothing was sent yet; so many samples were stored before.
    pub(super) fn new(stored_before: u64) -> Self {
        Self { stored_before, ..Self::default() }
    }

    pub(super) const fn sent(&mut self, count: u64) {
        self.sent_count += count;
    }

    pub(super) const fn dropped(&mut self, count: u64) {
        self.dropped_count += count;
    }

    pub(super) fn busy(&mut self, took: Duration) {
        self.busy_for += took;
    }

    /// A reading, [`INTERVAL_SECONDS`] after the one before: so many samples are stored in all, and the newest sent lies so far
    /// behind the newest stored.
    #[expect(clippy::cast_precision_loss, reason = "counts of ten seconds")]
    pub(super) fn read(&mut self, stored: u64, delay_s: f64) -> Load {
        self.stored.tick(stored.saturating_sub(self.stored_before) as f64, INTERVAL_SECONDS);
        self.sent.tick(self.sent_count as f64, INTERVAL_SECONDS);
        self.dropped.tick(self.dropped_count as f64, INTERVAL_SECONDS);
        self.busy.tick(self.busy_for.as_secs_f64(), INTERVAL_SECONDS);
        (self.stored_before, self.sent_count, self.dropped_count) = (stored, 0, 0);
        self.busy_for = Duration::ZERO;
        Load {
            stored_rate: self.stored.rate(),
            sent_rate: self.sent.rate(),
            dropped_rate: self.dropped.rate(),
            busy_rate: self.busy.rate(),
            delay_s,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_has_what_came_since_the_one_before() {
        let mut rates = Rates::new(1000);
        rates.sent(50);
        rates.dropped(10);
        rates.busy(Duration::from_secs(5));
        let load = rates.read(1100, 2.0);
        assert_eq!((load.stored_rate, load.sent_rate, load.dropped_rate), (10.0, 5.0, 1.0));
        assert_eq!((load.busy_rate, load.delay_s), (0.5, 2.0));
        let load = rates.read(1100, 0.0);
        assert!(load.stored_rate < 10.0 && load.sent_rate < 5.0, "{load:?}");
    }
}
