//! Exact quotients: what Kubernetes computes in floating point, without its rounding.

use std::cmp::Ordering;

const PPM: i128 = 1_000_000;

/// How far a metric may lie from its target without a change, in millionths of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tolerance {
    /// Above the target.
    pub up_ppm: i64,
    /// Below the target.
    pub down_ppm: i64,
}

impl Tolerance {
    /// Kubernetes' default: a tenth either way.
    pub const DEFAULT: Self = Self { up_ppm: 100_000, down_ppm: 100_000 };
}

impl Default for Tolerance {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// `num / den` with `den > 0`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fraction {
    num: i128,
    den: i128,
}

impl Fraction {
    /// # Panics
    /// When `den` is not positive: callers refuse such targets first.
    pub(crate) fn new(num: i128, den: i128) -> Self {
        assert!(den > 0, "a quotient needs a positive divisor");
        Self { num, den }
    }

    pub(crate) fn cmp_one(self) -> Ordering {
        self.num.cmp(&self.den)
    }

    pub(crate) fn is_above_one(self) -> bool {
        self.cmp_one().is_gt()
    }

    pub(crate) fn is_below_one(self) -> bool {
        self.cmp_one().is_lt()
    }

    /// `1 − down ≤ self ≤ 1 + up`.
    pub(crate) fn is_inside(self, tolerance: Tolerance) -> bool {
        let scaled = self.num * PPM;
        self.den * (PPM - i128::from(tolerance.down_ppm)) <= scaled
            && scaled <= self.den * (PPM + i128::from(tolerance.up_ppm))
    }

    /// `⌈self · count⌉`, saturated to the range of a replica count.
    pub(crate) fn times_ceil(self, count: i64) -> i32 {
        saturate(div_ceil(self.num * i128::from(count), self.den))
    }

    /// In millionths, rounded toward zero.
    pub(crate) fn ppm(self) -> i64 {
        let ppm = self.num * PPM / self.den;
        i64::try_from(ppm).unwrap_or(if ppm < 0 { i64::MIN } else { i64::MAX })
    }

    /// `self · count` with two decimals, rounded away from a whole number that it exceeds: what is shown asks for
    /// as many replicas as what was computed.
    pub(crate) fn times_text(self, count: i64) -> String {
        let hundredths = div_ceil(self.num * i128::from(count) * 100, self.den);
        let sign = if hundredths < 0 { "-" } else { "" };
        let shown = hundredths.unsigned_abs();
        format!("{sign}{}.{:02}", shown / 100, shown % 100)
    }
}

pub(crate) fn div_ceil(num: i128, den: i128) -> i128 {
    num.div_euclid(den) + i128::from(num.rem_euclid(den) != 0)
}

pub(crate) fn saturate(value: i128) -> i32 {
    i32::try_from(value).unwrap_or(if value < 0 { i32::MIN } else { i32::MAX })
}

/// The sum of `values`, saturated.
pub(crate) fn sum(values: impl IntoIterator<Item = i64>) -> i64 {
    values.into_iter().fold(0, i64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tolerance_is_exact_at_both_ends() {
        for (num, den, inside) in
            [(55, 50, true), (551, 500, false), (45, 50, true), (449, 500, false), (1, 1, true)]
        {
            assert_eq!(
                Fraction::new(num, den).is_inside(Tolerance::DEFAULT),
                inside,
                "{num}/{den}"
            );
        }
    }

    #[test]
    fn products_round_up_and_saturate() {
        assert_eq!(Fraction::new(104, 50).times_ceil(5), 11);
        assert_eq!(Fraction::new(11, 10).times_ceil(10), 11, "floating point would say 12");
        assert_eq!(Fraction::new(i128::from(i64::MAX), 1).times_ceil(3), i32::MAX);
        assert_eq!(Fraction::new(104, 50).times_text(5), "10.40");
        assert_eq!(Fraction::new(10_001, 10_000).times_text(10), "10.01");
        assert_eq!(Fraction::new(-3, 2).times_text(1), "-1.50");
    }
}
