//! Sums that keep what rounding loses.

/// A running sum with Neumaier's compensation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct KahanSum {
    sum: f64,
    lost: f64,
}

impl KahanSum {
    /// A sum that starts at `value`.
    #[must_use]
    pub const fn new(value: f64) -> Self {
        Self { sum: value, lost: 0.0 }
    }

    /// Adds a term.
    #[inline]
    pub fn add(&mut self, term: f64) {
        let total = self.sum + term;
        if total.is_infinite() {
            self.lost = 0.0;
        } else if self.sum.abs() >= term.abs() {
            self.lost += (self.sum - total) + term;
        } else {
            self.lost += (term - total) + self.sum;
        }
        self.sum = total;
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: Self) {
        self.add(other.sum);
        self.lost += other.lost;
    }

    /// Multiplies by a factor.
    pub fn scale(&mut self, factor: f64) {
        self.sum *= factor;
        self.lost *= factor;
    }

    /// The sum without its compensation: infinite once the terms have left the range of floats.
    #[must_use]
    pub const fn raw(&self) -> f64 {
        self.sum
    }

    /// What rounding has lost so far.
    #[must_use]
    pub const fn lost(&self) -> f64 {
        self.lost
    }

    /// The sum.
    #[inline]
    #[must_use]
    pub fn total(&self) -> f64 {
        if self.sum.is_infinite() { self.sum } else { self.sum + self.lost }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_terms_survive_large_ones() {
        let mut sum = KahanSum::default();
        for term in [1.0, 1e100, 1.0, -1e100] {
            sum.add(term);
        }
        assert!((sum.total() - 2.0).abs() < f64::EPSILON);
        sum.add(f64::INFINITY);
        assert!(sum.total().is_infinite());
    }
}
