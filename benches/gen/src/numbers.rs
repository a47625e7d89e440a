//! Reproducible numbers and the few distributions that series are drawn from.

/// A small generator of reproducible numbers (SplitMix64).
#[derive(Clone, Debug)]
pub struct Numbers(pub u64);

impl Numbers {
    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A whole number in `[0, bound)`.
    pub fn below(&mut self, bound: u32) -> u32 {
        let wide = (self.next_u64() >> 32) * u64::from(bound);
        u32::try_from(wide >> 32).expect("below a 32-bit bound")
    }

    /// A float in `[0, 1)`.
    pub fn unit(&mut self) -> f64 {
        f64::from(self.below(1 << 30)) / f64::from(1 << 30)
    }

    /// Mean 0, deviation 1: twelve uniform numbers added.
    pub fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }

    /// How many of rare independent events happen, `mean` on average; a whole number.
    pub fn events(&mut self, mean: f64) -> f64 {
        if mean <= 0.0 {
            return 0.0;
        }
        if mean > 30.0 {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0);
        }
        let limit = (-mean).exp();
        let mut product = self.unit();
        let mut count = 0.0;
        while product > limit {
            product *= self.unit();
            count += 1.0;
        }
        count
    }

    /// How many of `count` trials succeed, each with that chance; a whole number.
    pub fn successes(&mut self, count: f64, chance: f64) -> f64 {
        if count < 20.0 {
            let mut hits = 0.0;
            let mut tried = 0.0;
            while tried < count {
                tried += 1.0;
                if self.unit() < chance {
                    hits += 1.0;
                }
            }
            return hits;
        }
        let mean = count * chance;
        if mean < 15.0 {
            return self.events(mean).min(count);
        }
        let deviation = (mean * (1.0 - chance)).sqrt();
        (mean + deviation * self.normal()).round().clamp(0.0, count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_mean(expected: f64, mut draw: impl FnMut(&mut Numbers) -> f64) {
        let mut numbers = Numbers(7);
        let mean = (0..20_000).map(|_| draw(&mut numbers)).sum::<f64>() / 20_000.0;
        assert!((mean - expected).abs() < 0.05 * expected + 0.02, "{mean} for {expected}");
    }

    #[test]
    fn distributions_have_their_means() {
        for mean in [0.3, 4.0, 200.0] {
            check_mean(mean, |numbers| numbers.events(mean));
        }
        check_mean(3.0, |numbers| numbers.successes(10.0, 0.3));
        check_mean(5.0, |numbers| numbers.successes(500.0, 0.01));
        check_mean(250.0, |numbers| numbers.successes(500.0, 0.5));
        check_mean(0.0, Numbers::normal);
    }
}
