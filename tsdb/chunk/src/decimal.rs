//! Floats as `mantissa / 10^exponent`. A quotient of two integers below 2^53 and 10^22 is rounded once, so a
//! value that was read from decimal text of up to 15 digits comes back bit for bit.

/// Largest exponent of a column.
pub(crate) const EXPONENT_MAX: u8 = 18;

/// Powers of ten that a float holds exactly.
const POWERS: [f64; EXPONENT_MAX as usize + 1] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18,
];

/// Integers up to here convert to floats without loss.
const MANTISSA_MAX: f64 = 9_007_199_254_740_992.0;

/// The float of a mantissa, `mantissa / 10^exponent`.
///
/// # Panics
/// When `exponent` is above 18.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    reason = "mantissas are below 2^53 unless the bytes are damaged"
)]
#[inline]
pub fn float_of(mantissa: i64, exponent: u8) -> f64 {
    // Most columns are whole numbers, and dividing is what takes long.
    if exponent == 0 { mantissa as f64 } else { mantissa as f64 / POWERS[usize::from(exponent)] }
}

/// The nearest mantissa, whether or not it gives the value back exactly; `None` when it is too large, or the
/// value no number.
#[expect(clippy::cast_possible_truncation, reason = "checked against MANTISSA_MAX before")]
#[inline]
pub(crate) fn nearest_mantissa(value: f64, exponent: u8) -> Option<i64> {
    let scaled = value * POWERS[usize::from(exponent)];
    if scaled.abs() < MANTISSA_MAX { Some((scaled + 0.5f64.copysign(scaled)) as i64) } else { None }
}

/// The mantissa that gives the value back bit for bit, if there is one.
///
/// # Panics
/// When `exponent` is above 18.
#[must_use]
#[inline]
pub fn exact_mantissa(value: f64, exponent: u8) -> Option<i64> {
    if exponent == 0 {
        return whole_number(value);
    }
    nearest_mantissa(value, exponent)
        .filter(|mantissa| float_of(*mantissa, exponent).to_bits() == value.to_bits())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "checked against MANTISSA_MAX before, and by the way back after"
)]
#[inline]
fn whole_number(value: f64) -> Option<i64> {
    let number = value as i64;
    let is_exact = value.abs() < MANTISSA_MAX && (number as f64).to_bits() == value.to_bits();
    is_exact.then_some(number)
}

/// The smallest exponent from `from` on, and up to 18, under which the value is exact.
#[must_use]
pub fn exact_exponent(value: f64, from: u8) -> Option<u8> {
    (from..=EXPONENT_MAX).find(|exponent| exact_mantissa(value, *exponent).is_some())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(value: f64, expected: Option<(i64, u8)>) {
        let found = exact_exponent(value, 0)
            .map(|e| (exact_mantissa(value, e).expect("the exponent is exact"), e));
        assert_eq!(found, expected, "{value}");
    }

    #[test]
    fn decimals_are_found_at_their_smallest_exponent() {
        check(0.0, Some((0, 0)));
        check(-3.0, Some((-3, 0)));
        check(0.1, Some((1, 1)));
        check(-12.5, Some((-125, 1)));
        check(1_234.567_891, Some((1_234_567_891, 6)));
        check(1e-9, Some((1, 9)));
        check(4_503_599_627_370_496.0, Some((4_503_599_627_370_496, 0)));
        check(-9_007_199_254_740_991.0, Some((-9_007_199_254_740_991, 0)));
        check(9_007_199_254_740_992.0, None);
    }

    #[test]
    fn what_is_no_short_decimal_is_left_alone() {
        for value in [-0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, 5e-324, 0.1 + 0.2] {
            check(value, None);
        }
    }

    proptest! {
        #[test]
        fn any_short_decimal_text_is_exact(digits in -999_999_999_999_999i64..=999_999_999_999_999, exponent in 0u8..=15) {
            let value: f64 = format!("{digits}e-{exponent}").parse().expect("a number");
            if digits != 0 {
                prop_assert!(exact_mantissa(value, exponent).is_some());
            }
        }
    }
}
