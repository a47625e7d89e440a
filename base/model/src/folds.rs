//! Passes over columns of floats, written so that a processor does several values at a time. None of them rounds, so the
//! lanes they are done in change no bit.

use crate::is_stale_nan;

/// Values done at once.
const LANES: usize = 8;
/// Values whose partial sums fit the bits there are.
pub(crate) const SUM_LEN: usize = 1024;

/// Adding this to a whole number below 2^51 puts it into the lowest bits of the sum, in two's complement.
const TO_WHOLE: f64 = 6_755_399_441_055_744.0;
/// Whole numbers below this are added up as such.
const WHOLE_MAX: f64 = 1_125_899_906_842_624.0;

/// Sum of at most [`SUM_LEN`] whole numbers below 2^50; `None` where there are others.
#[inline]
pub(crate) fn whole_total(values: &[f64]) -> Option<i64> {
    debug_assert!(values.len() <= SUM_LEN, "partial sums fit");
    let lane = |total: &mut i64, fits: &mut bool, value: f64| {
        let moved = value + TO_WHOLE;
        *fits &= (moved - TO_WHOLE == value) & (value.abs() < WHOLE_MAX);
        let whole = moved.to_bits().wrapping_sub(TO_WHOLE.to_bits()).cast_signed();
        *total = total.wrapping_add(whole);
    };
    let (mut totals, mut fit) = ([0_i64; LANES], [true; LANES]);
    let chunks = values.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (nr, value) in chunk.iter().enumerate() {
            lane(&mut totals[nr], &mut fit[nr], *value);
        }
    }
    for value in rest {
        lane(&mut totals[0], &mut fit[0], *value);
    }
    let fits = fit.iter().all(|fits| *fits);
    fits.then(|| totals.into_iter().fold(0, i64::wrapping_add))
}

/// Exponents, of the largest value in a column and of the smallest beside zero, may be this far apart.
const SPREAD_MAX: i32 = 11;
/// Exponents with room for what the sums are made of.
const EXPONENTS: std::ops::Range<i32> = -950..950;

/// Two floats whose sum is that of at most [`SUM_LEN`] values: each value is cut in two at a power of two below the
/// largest, and neither the upper nor the lower parts need more bits in all than a float has. `None` where values are
/// too far apart, too large or small, or no numbers.
#[inline]
pub(crate) fn split_total(values: &[f64]) -> Option<[f64; 2]> {
    debug_assert!(values.len() <= SUM_LEN, "partial sums fit");
    let (mut largest, mut smallest) = ([0.0_f64; LANES], [f64::INFINITY; LANES]);
    let mut are_numbers = [true; LANES];
    let mut bounds = |nr: usize, value: f64| {
        let size = value.abs();
        are_numbers[nr] &= size < f64::INFINITY;
        largest[nr] = if size > largest[nr] { size } else { largest[nr] };
        let is_smaller = (size < smallest[nr]) & (size > 0.0);
        smallest[nr] = if is_smaller { size } else { smallest[nr] };
    };
    let chunks = values.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        chunk.iter().enumerate().for_each(|(nr, value)| bounds(nr, *value));
    }
    rest.iter().for_each(|value| bounds(0, *value));
    let largest = largest.into_iter().fold(0.0, f64::max);
    let smallest = smallest.into_iter().fold(f64::INFINITY, f64::min);
    if !are_numbers.iter().all(|is_number| *is_number) {
        return None;
    }
    if largest == 0.0 {
        return Some([0.0; 2]);
    }
    let (top, bottom) = (exponent_of(largest), exponent_of(smallest));
    if !EXPONENTS.contains(&top) || top - bottom > SPREAD_MAX {
        return None;
    }
    // Adding it rounds a value to a multiple of 2^(top - 20).
    let cut = 3.0 * power_of_two(top + 31);
    let (mut upper, mut lower) = ([0.0_f64; LANES], [0.0_f64; LANES]);
    let mut add = |nr: usize, value: f64| {
        let part = (value + cut) - cut;
        upper[nr] += part;
        lower[nr] += value - part;
    };
    let chunks = values.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        chunk.iter().enumerate().for_each(|(nr, value)| add(nr, *value));
    }
    rest.iter().for_each(|value| add(0, *value));
    Some([upper.iter().sum(), lower.iter().sum()])
}

/// Of a number that is not zero; all below the normal ones have that of the smallest.
fn exponent_of(size: f64) -> i32 {
    i32::try_from(size.to_bits() >> 52 & 0x7ff).expect("eleven bits") - 1023
}

fn power_of_two(exponent: i32) -> f64 {
    let biased = u64::try_from(exponent + 1023).expect("inside the range of exponents");
    f64::from_bits(biased << 52)
}

/// The smallest value, the first of equal ones; NaN only where there is nothing else.
#[must_use]
pub fn least(values: &[f64]) -> f64 {
    best(values, f64::INFINITY, |value, best| value < best)
}

/// The greatest value, the first of equal ones; NaN only where there is nothing else.
#[must_use]
pub fn greatest(values: &[f64]) -> f64 {
    best(values, f64::NEG_INFINITY, |value, best| value > best)
}

/// `worst` loses against all but itself and NaN.
#[inline]
fn best(values: &[f64], worst: f64, wins: impl Fn(f64, f64) -> bool) -> f64 {
    let mut lanes = [worst; LANES];
    let chunks = values.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (best, value) in lanes.iter_mut().zip(chunk) {
            *best = if wins(*value, *best) { *value } else { *best };
        }
    }
    let lanes = lanes.iter().chain(rest);
    let found = lanes.fold(worst, |best, value| if wins(*value, best) { *value } else { best });
    // Either it is there, in which of two forms for zero the first tells, or there is nothing but NaN.
    values.iter().find(|value| **value == found).copied().unwrap_or(f64::NAN)
}

/// Whether a value is below the one before it.
#[must_use]
pub fn falls(values: &[f64]) -> bool {
    values.windows(2).fold(false, |any, pair| any | (pair[1] < pair[0]))
}

/// Whether a value is another one than the one before it. Both zeros are one value, and all that are no numbers are.
#[must_use]
pub fn is_change(before: f64, now: f64) -> bool {
    now != before && !(now.is_nan() && before.is_nan())
}

/// Whether a value changes from one to the next.
#[must_use]
pub fn changes(values: &[f64]) -> bool {
    values.windows(2).fold(false, |any, pair| any | is_change(pair[0], pair[1]))
}

/// Whether there are staleness markers.
#[must_use]
pub fn has_stale(values: &[f64]) -> bool {
    let has_nan = values.iter().fold(false, |any, value| any | value.is_nan());
    has_nan && values.iter().any(|value| is_stale_nan(*value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::stale_nan;

    fn any_value() -> impl Strategy<Value = f64> {
        prop_oneof![
            6 => (-1000i32..1000).prop_map(f64::from),
            4 => (-100_000i32..100_000).prop_map(|v| f64::from(v) / 100.0),
            1 => any::<f64>(),
            1 => Just(f64::INFINITY),
            1 => Just(f64::NEG_INFINITY),
            2 => Just(-0.0),
            2 => Just(0.0),
            1 => Just(stale_nan()),
        ]
    }

    fn scan(values: &[f64], wins: impl Fn(f64, f64) -> bool) -> f64 {
        let pick = |best: f64, value: &f64| {
            if wins(*value, best) || best.is_nan() { *value } else { best }
        };
        values.iter().fold(f64::NAN, pick)
    }

    fn bits(value: f64) -> u64 {
        if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() }
    }

    proptest! {
        #[test]
        fn lanes_find_what_a_scan_finds(values in prop::collection::vec(any_value(), 0..60)) {
            prop_assert_eq!(bits(least(&values)), bits(scan(&values, |a, b| a < b)));
            prop_assert_eq!(bits(greatest(&values)), bits(scan(&values, |a, b| a > b)));
            prop_assert_eq!(falls(&values), values.windows(2).any(|pair| pair[1] < pair[0]));
            prop_assert_eq!(has_stale(&values), values.iter().any(|value| is_stale_nan(*value)));
        }

        #[test]
        fn whole_numbers_are_added_up(values in prop::collection::vec(-(1_i64 << 50) + 1..1 << 50, 0..60)) {
            #[expect(clippy::cast_precision_loss, reason = "below 2^50")]
            let floats: Vec<f64> = values.iter().map(|value| *value as f64).collect();
            prop_assert_eq!(whole_total(&floats), Some(values.iter().sum()));
        }
    }

    #[test]
    fn what_does_not_fit_is_told() {
        for odd in [0.5, 1e16, f64::NAN, f64::INFINITY, -1_125_899_906_842_624.0] {
            assert_eq!(whole_total(&[1.0, odd, 2.0]), None, "{odd}");
        }
        assert_eq!(whole_total(&[-0.0, 3.0]), Some(3));
        for odd in [f64::NAN, f64::INFINITY, 1e-300, 1e300, 5000.0] {
            assert_eq!(split_total(&[0.7, odd, 0.3]), None, "{odd}");
        }
        assert_eq!(split_total(&[0.0, -0.0]), Some([0.0; 2]));
        assert_eq!(split_total(&[0.5, 0.25, 0.0]), Some([0.75, 0.0]));
    }
}
