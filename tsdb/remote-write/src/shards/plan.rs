//! How many shards are wanted: Prometheus' calculation (`storage/remote/queue_manager.go`, `calculateDesiredShards`).

/// Part that a new reading has in a rate.
const EWMA_WEIGHT: f64 = 0.2;
/// Changes of the number that are smaller than this part are not made.
const TOLERANCE: f64 = 0.3;
/// Part of what waits that is to be made up for in each second.
const CATCH_UP: f64 = 0.05;
/// With a longer delay the number is not lowered, in seconds.
const DELAY_MAX_S: f64 = 10.0;

/// A rate that forgets slowly.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ewma(Option<f64>);

impl Ewma {
    /// Takes what has happened in the last so many seconds.
    pub(crate) fn tick(&mut self, amount: f64, seconds: f64) {
        let now = amount / seconds;
        self.0 = Some(self.0.map_or(now, |before| before + EWMA_WEIGHT * (now - before)));
    }

    /// For each second.
    pub(crate) fn rate(self) -> f64 {
        self.0.unwrap_or(0.0)
    }
}

/// What the number follows from.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Load {
    /// Samples that are stored a second.
    pub(crate) stored_rate: f64,
    /// Samples that are sent a second.
    pub(crate) sent_rate: f64,
    /// Samples that are not to be sent, a second.
    pub(crate) dropped_rate: f64,
    /// Seconds that requests of all shards take together, a second.
    pub(crate) busy_rate: f64,
    /// How far the newest sample that was sent lies behind the newest stored, in seconds.
    pub(crate) delay_s: f64,
}

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Desired {
    /// By the calculation alone.
    pub(crate) exact: f64,
    /// Within limits, and as it is unless the difference is worth it.
    pub(crate) count: usize,
}

/// The number of shards that this load asks for, between `min` and `max`. Without anything sent it stays as it is.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "numbers of shards are small, and bounded before they are whole"
)]
pub(crate) fn desired(load: &Load, count: usize, (min, max): (usize, usize)) -> Desired {
    if load.sent_rate <= 0.0 {
        return Desired { exact: count as f64, count };
    }
    let kept_ratio = load.sent_rate / (load.dropped_rate + load.sent_rate);
    let to_send_rate = load.stored_rate * kept_ratio;
    let pending = load.delay_s * to_send_rate;
    let seconds_each = load.busy_rate / load.sent_rate;
    let exact = seconds_each * (to_send_rate + CATCH_UP * pending);
    let wanted = exact.ceil();
    let (lower, upper) = (count as f64 * (1.0 - TOLERANCE), count as f64 * (1.0 + TOLERANCE));
    if lower <= wanted && wanted <= upper {
        return Desired { exact, count };
    }
    let bounded = wanted.clamp(min as f64, max as f64) as usize;
    let is_behind = load.delay_s > DELAY_MAX_S;
    Desired { exact, count: if bounded < count && is_behind { count } else { bounded } }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A thousand samples a second, each taking a millisecond.
    const LOAD: Load = Load {
        stored_rate: 1000.0,
        sent_rate: 1000.0,
        dropped_rate: 0.0,
        busy_rate: 1.0,
        delay_s: 0.0,
    };

    #[track_caller]
    fn check(load: Load, count: usize, expected: usize) {
        assert_eq!(desired(&load, count, (1, 50)).count, expected);
    }

    #[test]
    fn the_number_follows_the_time_that_requests_take() {
        check(LOAD, 1, 1);
        check(Load { busy_rate: 4.2, ..LOAD }, 1, 5);
        check(Load { busy_rate: 400.0, ..LOAD }, 1, 50);
        check(Load { busy_rate: 0.01, ..LOAD }, 10, 1);
        // Less than three tenths more or less is no reason to change.
        check(Load { busy_rate: 12.0, ..LOAD }, 10, 10);
        check(Load { busy_rate: 8.0, ..LOAD }, 10, 10);
        check(Load { busy_rate: 14.0, ..LOAD }, 10, 14);
    }

    #[test]
    fn what_waits_asks_for_more_and_holds_the_number_up() {
        check(Load { delay_s: 100.0, ..LOAD }, 1, 6);
        check(Load { delay_s: 11.0, busy_rate: 0.01, ..LOAD }, 10, 10);
    }

    #[test]
    fn what_is_dropped_asks_for_nothing() {
        let half = Load { sent_rate: 500.0, dropped_rate: 500.0, busy_rate: 4.0, ..LOAD };
        check(half, 1, 4);
        check(Load { sent_rate: 0.0, ..LOAD }, 7, 7);
    }

    #[test]
    fn rates_forget_slowly() {
        let mut rate = Ewma::default();
        rate.tick(100.0, 10.0);
        assert!((rate.rate() - 10.0).abs() < 1e-9);
        rate.tick(0.0, 10.0);
        assert!((rate.rate() - 8.0).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn the_number_stays_within_its_limits(
            stored_rate in 0.0..1e7f64,
            sent_rate in 0.0..1e7f64,
            dropped_rate in 0.0..1e7f64,
            busy_rate in 0.0..1e3f64,
            delay_s in 0.0..1e6f64,
            count in 2usize..=20,
        ) {
            let load = Load { stored_rate, sent_rate, dropped_rate, busy_rate, delay_s };
            let found = desired(&load, count, (2, 20));
            prop_assert!((2..=20).contains(&found.count));
            prop_assert!(found.exact.is_finite());
        }
    }
}
