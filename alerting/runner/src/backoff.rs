//! Waits between attempts: exponential with jitter, from a seed.

use std::time::Duration;

const FIRST_MS: u64 = 500;
const CAP_MS: u64 = 60_000;

/// The waits of one notification.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    base_ms: u64,
    seed: u64,
}

impl Backoff {
    /// From the first wait on.
    pub(crate) const fn new(seed: u64) -> Self {
        Self { base_ms: FIRST_MS, seed }
    }

    /// The next wait: half a second to begin with, half as long again each time up to a minute, ±50 %.
    pub(crate) fn next_wait(&mut self) -> Duration {
        let base = self.base_ms;
        self.base_ms = (base * 3 / 2).min(CAP_MS);
        let jitter = self.random() % (base + 1);
        Duration::from_millis(base / 2 + jitter)
    }

    /// SplitMix64.
    pub(crate) const fn random(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_within_their_jitter_up_to_a_minute() {
        let mut backoff = Backoff::new(7);
        let mut base = 500_u64;
        for _ in 0..20 {
            let wait = u64::try_from(backoff.next_wait().as_millis()).expect("a short wait");
            assert!((base / 2..=base + base / 2).contains(&wait), "{wait} around {base}");
            base = (base * 3 / 2).min(60_000);
        }
        assert_ne!(Backoff::new(1).next_wait(), Backoff::new(2).next_wait());
        assert_eq!(Backoff::new(1).next_wait(), Backoff::new(1).next_wait());
    }
}
