//! Sums of all beginnings of a column, whose differences are the sums of its stretches.

use super::{ExactSum, WHOLE_MAX, float_parts, reduced, shifted};

/// Running sums of a column: the sum of any stretch is the difference of two of them.
#[derive(Debug)]
pub struct RunningSums {
    /// Sum of the values before each position, in units of 2^`unit`.
    totals: Vec<i128>,
    unit: i32,
}

impl RunningSums {
    /// Adds up a column; `None` when a value is not finite, or when very large and very small values would need more bits than there are.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut totals = Vec::with_capacity(values.len() + 1);
        totals.push(0);
        let mut total = 0;
        for value in values {
            if value.abs() >= WHOLE_MAX || value.is_nan() {
                return Self::of_fine(values, totals);
            }
            #[expect(clippy::cast_possible_truncation, reason = "checked to be below 2^62")]
            let whole = *value as i64;
            #[expect(clippy::cast_precision_loss, reason = "a loss makes the two differ")]
            if whole as f64 != *value {
                return Self::of_fine(values, totals);
            }
            total += i128::from(whole);
            totals.push(total);
        }
        Some(Self { totals, unit: 0 })
    }

    fn of_fine(values: &[f64], mut totals: Vec<i128>) -> Option<Self> {
        let mut unit = i32::MAX;
        let mut largest: f64 = 0.0;
        for value in values.iter().filter(|value| **value != 0.0) {
            let (mantissa, exponent) = float_parts(*value);
            unit = unit.min(reduced(mantissa, exponent).1);
            largest = largest.max(value.abs());
            if !value.is_finite() {
                return None;
            }
        }
        let bits = float_parts(largest).1 + 53 - unit;
        let count_bits = usize::BITS - values.len().leading_zeros();
        if bits + count_bits.cast_signed() > 124 {
            return None;
        }
        totals.truncate(1);
        let mut total = 0;
        for value in values {
            if *value != 0.0 {
                let (mantissa, exponent) = float_parts(*value);
                total += shifted(mantissa, exponent - unit)?;
            }
            totals.push(total);
        }
        Some(Self { totals, unit })
    }

    /// The sum of the values in a stretch, `end` excluded.
    ///
    /// # Panics
    /// When the stretch goes beyond the column.
    #[must_use]
    pub fn stretch(&self, first: usize, end: usize) -> ExactSum {
        ExactSum::of_units(self.totals[end] - self.totals[first], self.unit)
    }
}
