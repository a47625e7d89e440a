//! Sums of floats without rounding until they are read.
//!
//! A sum that rounds at each step depends on the order of its terms in the last bits: an answer would change when the
//! storage moves a series from memory to a block, and could not be put together from parts. Here a sum is a whole
//! number of units, each a power of two, and is rounded once, when read. So any order gives the same bits, and sums of
//! parts can be added and subtracted. Where every step of a rounding sum is exact the results are the same; elsewhere
//! this one is the nearest float to the true sum, which a compensated sum (as in Prometheus) nearly always gives too.

mod running;

use crate::folds;
pub use running::RunningSums;

/// A sum, exact as long as it has finite terms only.
#[derive(Clone, Debug, Default)]
pub struct ExactSum {
    /// Sum of the terms that are whole numbers of usual size.
    whole: i128,
    /// Sum of the others, in units of 2^`unit`.
    fine: i128,
    unit: i32,
    /// Sum of the terms that fit neither.
    wide: Option<Box<Wide>>,
    /// Sum of the terms that are no numbers; 0 without any.
    odd: f64,
}

/// Exponent of the smallest positive float.
const EXPONENT_MIN: i32 = -1074;
/// Whole numbers below this are summed as such.
const WHOLE_MAX: f64 = 4_611_686_018_427_387_904.0;
/// Sums stay below this, so that two of them can be added.
const TOTAL_MAX: u128 = 1 << 124;
/// Room below the first term for smaller ones.
const ROOM_BELOW: i32 = 40;
/// A mantissa shifted by so much has 117 bits at most: it can be added to any sum below [`TOTAL_MAX`].
const SHORT_SHIFT_MAX: u32 = 64;

impl ExactSum {
    /// Adds a term.
    #[inline]
    pub fn add(&mut self, term: f64) {
        if term.abs() < WHOLE_MAX {
            #[expect(clippy::cast_possible_truncation, reason = "checked to be below 2^62")]
            let whole = term as i64;
            #[expect(clippy::cast_precision_loss, reason = "a loss makes the two differ")]
            if whole as f64 == term {
                // 2^62 terms of this size would be needed to overflow.
                self.whole += i128::from(whole);
                return;
            }
        }
        self.add_fine(term);
    }

    #[inline]
    fn add_fine(&mut self, term: f64) {
        if !term.is_finite() {
            self.odd += term;
            return;
        }
        let (mantissa, exponent) = float_parts(term);
        if self.fine == 0 {
            self.unit = (exponent - ROOM_BELOW).max(EXPONENT_MIN);
        }
        // Nearly always: terms are about as large as the first.
        if let Ok(up) = u32::try_from(exponent - self.unit)
            && up <= SHORT_SHIFT_MAX
        {
            let fine = self.fine + (i128::from(mantissa) << up);
            if is_clearly_bounded(fine) {
                self.fine = fine;
                return;
            }
        }
        match shifted(mantissa, exponent - self.unit).and_then(|term| bounded(self.fine + term)) {
            Some(fine) => self.fine = fine,
            None => self.wide.get_or_insert_default().add(mantissa.into(), exponent),
        }
    }

    /// Adds all terms of a column.
    pub fn add_all(&mut self, terms: &[f64]) {
        for terms in terms.chunks(folds::SUM_LEN) {
            if let Some(whole) = folds::whole_total(terms) {
                self.whole += i128::from(whole);
            } else if let Some(parts) = folds::split_total(terms) {
                parts.into_iter().for_each(|part| self.add(part));
            } else {
                terms.iter().for_each(|term| self.add(*term));
            }
        }
    }

    /// Two floats whose sum is this one, the first of them the sum rounded once; the second is zero where terms are no
    /// numbers. `None` where two are not enough.
    #[must_use]
    pub fn in_two(&self) -> Option<[f64; 2]> {
        let rounded = self.value();
        if self.odd_result().is_some() {
            return Some([rounded, 0.0]);
        }
        if !rounded.is_finite() {
            return None;
        }
        let mut left = self.clone();
        left.add(-rounded);
        let lost = left.value();
        left.add(-lost);
        (left.value() == 0.0).then_some([rounded, lost])
    }

    /// Adds that many units of 2^`unit`.
    pub fn add_units(&mut self, units: i128, unit: i32) {
        // Two floats hold all that the sum of a column takes, as a rule, and need no other unit here.
        let one = Self::of_units(units, unit);
        match one.in_two() {
            Some(two) => two.into_iter().for_each(|part| self.add(part)),
            None => self.merge(&one),
        }
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: &Self) {
        self.odd += other.odd;
        self.whole += other.whole;
        if other.fine != 0 {
            if self.fine == 0 {
                self.unit = other.unit;
            }
            let fits = (self.unit == other.unit).then(|| bounded(self.fine + other.fine)).flatten();
            match fits {
                Some(fine) => self.fine = fine,
                None => self.wide.get_or_insert_default().add(other.fine, other.unit),
            }
        }
        if let Some(other) = &other.wide {
            self.wide.get_or_insert_default().merge(other);
        }
    }

    /// The finite terms' sum as a number of units and the exponent of the unit: exact, or with enough bits that
    /// rounding to a float gives what rounding the sum would.
    fn total(&self) -> (i128, i32) {
        if self.wide.is_none() {
            if self.fine == 0 {
                return (self.whole, 0);
            }
            let whole = if self.whole == 0 { Some(0) } else { shifted(self.whole, -self.unit) };
            if let Some(total) = whole.and_then(|whole| bounded(whole + self.fine)) {
                return (total, self.unit);
            }
        }
        let mut all = self.wide.as_deref().cloned().unwrap_or_default();
        all.add(self.whole, 0);
        all.add(self.fine, self.unit);
        all.total()
    }

    /// A sum of that many units of 2^`unit`.
    #[must_use]
    pub const fn of_units(units: i128, unit: i32) -> Self {
        Self { whole: 0, fine: units, unit, wide: None, odd: 0.0 }
    }

    /// The sum of the terms that are no numbers, if there are such terms.
    fn odd_result(&self) -> Option<f64> {
        match self.odd {
            0.0 => None,
            // Which of several NaN is met first depends on the order.
            odd if odd.is_nan() => Some(f64::NAN),
            odd => Some(odd),
        }
    }

    /// The sum, rounded once. Infinite beyond the range of floats.
    #[must_use]
    pub fn value(&self) -> f64 {
        if let Some(odd) = self.odd_result() {
            return odd;
        }
        let (total, unit) = self.total();
        #[expect(clippy::cast_precision_loss, reason = "this is the rounding")]
        scaled(total as f64, unit)
    }

    /// The sum divided by the number of its terms; finite when all terms are.
    #[must_use]
    pub fn mean(&self, count: f64) -> f64 {
        if let Some(odd) = self.odd_result() {
            return odd;
        }
        let (total, unit) = self.total();
        #[expect(clippy::cast_precision_loss, reason = "what the rounding loses comes after")]
        let rounded = total as f64;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            reason = "totals are below 2^125, so their roundings come back"
        )]
        let lost = (total - rounded as i128) as f64;
        scaled(rounded / count + lost / count, unit)
    }
}

/// A number, which may not be zero or odd, as `(mantissa, exponent)`: it is `mantissa * 2^exponent`.
#[must_use]
#[inline]
pub fn float_parts(value: f64) -> (i64, i32) {
    let bits = value.to_bits();
    let fraction = (bits & ((1 << 52) - 1)).cast_signed();
    let exponent = i32::try_from(bits >> 52 & 0x7ff).expect("eleven bits");
    let (mantissa, exponent) = match exponent {
        0 => (fraction, EXPONENT_MIN),
        exponent => (fraction | 1 << 52, exponent - 1075),
    };
    (if value < 0.0 { -mantissa } else { mantissa }, exponent)
}

/// `number * 2^shift` where that is whole and not too large.
fn shifted<N: Into<i128>>(number: N, shift: i32) -> Option<i128> {
    let number = number.into();
    if shift < 0 {
        let gone = u32::try_from(-shift).ok().filter(|gone| *gone <= number.trailing_zeros())?;
        return Some(number >> gone);
    }
    let shift = u32::try_from(shift).ok()?;
    (number.unsigned_abs().leading_zeros() >= shift + 4).then(|| number << shift)
}

/// Whether a total is below [`TOTAL_MAX`] by its upper half alone; `false` for some that just are.
const fn is_clearly_bounded(total: i128) -> bool {
    let upper = (total >> 64) as i64;
    upper.unsigned_abs() < 1 << 60
}

fn bounded(total: i128) -> Option<i128> {
    (total.unsigned_abs() < TOTAL_MAX).then_some(total)
}

/// `value * 2^exponent`, rounded once at most.
fn scaled(value: f64, exponent: i32) -> f64 {
    const STEP: i32 = 1000;
    let power = |exponent: i32| {
        let biased = u64::try_from(exponent + 1023).expect("above the smallest exponent");
        f64::from_bits(biased << 52)
    };
    if value == 0.0 {
        0.0
    } else if exponent < -STEP {
        // What comes out below the normal floats is a multiple of the smallest one, so nothing is rounded twice.
        value * power(-STEP) * power(exponent + STEP)
    } else if exponent > STEP {
        value * power(STEP) * power(exponent - STEP)
    } else {
        value * power(exponent)
    }
}

/// 64-bit digits of the wide form: all floats, and 2^60 of the largest.
const DIGITS: usize = 35;

/// A whole number of the smallest float, in two's complement, lowest digit first.
#[derive(Clone, Debug)]
struct Wide([u64; DIGITS]);

impl Default for Wide {
    fn default() -> Self {
        Self([0; DIGITS])
    }
}

impl Wide {
    /// Adds `number * 2^exponent`.
    fn add(&mut self, number: i128, exponent: i32) {
        let position = usize::try_from(exponent - EXPONENT_MIN).expect("no smaller unit is used");
        let (digit, bit) = (position / 64, position % 64);
        let magnitude = number.unsigned_abs();
        let low = magnitude << bit;
        let high = if bit == 0 { 0 } else { magnitude >> (128 - bit) };
        #[expect(clippy::cast_possible_truncation, reason = "taken apart into digits")]
        let digits = [low as u64, (low >> 64) as u64, high as u64];
        let mut carry = 0_u128;
        let mut borrow = false;
        for (place, digit) in
            self.0[digit..].iter_mut().zip(digits.into_iter().chain(std::iter::repeat(0)))
        {
            if number < 0 {
                let (first, under) = place.overflowing_sub(digit);
                let (second, under_again) = first.overflowing_sub(u64::from(borrow));
                (*place, borrow) = (second, under || under_again);
            } else {
                let sum = u128::from(*place) + u128::from(digit) + carry;
                #[expect(clippy::cast_possible_truncation, reason = "the rest is carried")]
                {
                    *place = sum as u64;
                }
                carry = sum >> 64;
            }
        }
    }

    fn merge(&mut self, other: &Self) {
        let mut carry = 0_u128;
        for (place, digit) in self.0.iter_mut().zip(other.0) {
            let sum = u128::from(*place) + u128::from(digit) + carry;
            #[expect(clippy::cast_possible_truncation, reason = "the rest is carried")]
            {
                *place = sum as u64;
            }
            carry = sum >> 64;
        }
    }

    /// See [`ExactSum::total`]: the highest digits, the lowest bit set when anything below is.
    fn total(&self) -> (i128, i32) {
        let negative = self.0[DIGITS - 1] >> 63 == 1;
        let mut magnitude = self.clone();
        if negative {
            magnitude.0.iter_mut().for_each(|digit| *digit = !*digit);
            let mut one = Self::default();
            one.0[0] = 1;
            magnitude.merge(&one);
        }
        let digits = &magnitude.0;
        let Some(top) = digits.iter().rposition(|digit| *digit != 0) else { return (0, 0) };
        let digit = |back: usize| top.checked_sub(back).map_or(0, |idx| digits[idx]);
        let zeros = digits[top].leading_zeros();
        let mut highest = (u128::from(digit(0)) << 64 | u128::from(digit(1))) << zeros;
        if zeros > 0 {
            highest |= u128::from(digit(2) >> (64 - zeros));
        }
        let is_more = highest & 0xf != 0
            || digit(2) << zeros != 0
            || digits[..top.saturating_sub(2)].iter().any(|digit| *digit != 0);
        let units = (highest >> 4).cast_signed() | i128::from(is_more);
        let place = i32::try_from(64 * top).expect("few digits") - 60;
        let exponent = place - zeros.cast_signed() + EXPONENT_MIN;
        (if negative { -units } else { units }, exponent)
    }
}

/// Number and exponent without the factors of two in the number.
fn reduced(mantissa: i64, exponent: i32) -> (i64, i32) {
    let zeros = mantissa.trailing_zeros();
    (mantissa >> zeros, exponent + zeros.cast_signed())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sum_of(terms: &[f64]) -> ExactSum {
        let mut sum = ExactSum::default();
        terms.iter().for_each(|term| sum.add(*term));
        sum
    }

    /// Through the wide form alone.
    fn reference(terms: &[f64]) -> f64 {
        let mut wide = Wide::default();
        for term in terms {
            let (mantissa, exponent) = float_parts(*term);
            wide.add(mantissa.into(), exponent);
        }
        let (total, unit) = wide.total();
        #[expect(clippy::cast_precision_loss, reason = "this is the rounding")]
        scaled(total as f64, unit)
    }

    #[test]
    fn nothing_is_lost_between_large_terms() {
        for (terms, expected) in [
            (&[][..], 0.0),
            (&[-0.0], 0.0),
            (&[1.0, 1e100, 1.0, -1e100], 2.0),
            (&[1e-300, 1e300, -1e300], 1e-300),
            (&[5e-324, 5e-324], 1e-323),
            (&[0.1, 0.2, 0.3, -0.6], 2.775_557_561_562_891_4e-17),
            (&[f64::MAX, f64::MAX, -f64::MAX], f64::MAX),
            (&[f64::MAX, f64::MAX], f64::INFINITY),
            (&[f64::INFINITY, 1.0], f64::INFINITY),
            (&[9_007_199_254_740_993.0, 1.0], 9_007_199_254_740_992.0),
        ] {
            assert_eq!(sum_of(terms).value(), expected, "{terms:?}");
        }
        assert!(sum_of(&[f64::INFINITY, f64::NEG_INFINITY]).value().is_nan());
        assert!(sum_of(&[f64::NAN, 1.0]).value().is_nan());
    }

    #[test]
    fn means_do_not_overflow() {
        assert_eq!(sum_of(&[f64::MAX; 4]).mean(4.0), f64::MAX);
        assert_eq!(sum_of(&[1.0, 2.0, 6.0]).mean(3.0), 3.0);
        assert_eq!(sum_of(&[0.25, 0.5]).mean(2.0), 0.375);
        assert_eq!(sum_of(&[-f64::MAX, f64::MAX]).mean(2.0), 0.0);
        assert_eq!(sum_of(&[f64::NEG_INFINITY, 1.0]).mean(2.0), f64::NEG_INFINITY);
    }

    #[test]
    fn a_sum_in_two_floats_is_the_sum() {
        for terms in [&[0.1, 0.2, 0.3][..], &[1e17, 1.0, 1.0], &[], &[f64::INFINITY, 1.0]] {
            let [rounded, lost] = sum_of(terms).in_two().expect("two are enough");
            assert_eq!(rounded, sum_of(terms).value(), "{terms:?}");
            assert_eq!(sum_of(&[rounded, lost]).value(), rounded, "{terms:?}");
        }
        assert_eq!(sum_of(&[1e300, 1.0, 1e-300]).in_two(), None);
        assert_eq!(sum_of(&[f64::MAX, f64::MAX]).in_two(), None);
    }

    fn any_term() -> impl Strategy<Value = f64> {
        prop_oneof![
            (-1000i32..1000).prop_map(f64::from),
            (-100_000i32..100_000).prop_map(|v| f64::from(v) / 100.0),
            any::<f64>().prop_filter("finite", |v| v.is_finite()),
            (any::<i64>(), -80..80i32).prop_map(|(m, e)| {
                #[expect(clippy::cast_precision_loss, reason = "any number will do")]
                let mantissa = m as f64;
                mantissa * 2f64.powi(e)
            }),
        ]
    }

    proptest! {
        #[test]
        fn any_order_and_any_parts_give_the_same_bits(
            terms in prop::collection::vec(any_term(), 0..40),
            cut in any::<prop::sample::Index>(),
            seed in any::<u64>(),
        ) {
            let expected = reference(&terms);
            prop_assert_eq!(sum_of(&terms).value().to_bits(), expected.to_bits());
            let mut shuffled = terms.clone();
            let mut state = seed;
            for idx in (1..shuffled.len()).rev() {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let other = usize::try_from(state >> 33).expect("31 bits") % (idx + 1);
                shuffled.swap(idx, other);
            }
            let count = f64::from(u32::try_from(terms.len()).expect("few"));
            prop_assert_eq!(sum_of(&shuffled).value().to_bits(), expected.to_bits());
            prop_assert_eq!(
                sum_of(&shuffled).mean(count).to_bits(),
                sum_of(&terms).mean(count).to_bits()
            );
            let mut column = ExactSum::default();
            column.add_all(&terms);
            prop_assert_eq!(column.value().to_bits(), expected.to_bits());
            prop_assert_eq!(column.mean(count).to_bits(), sum_of(&terms).mean(count).to_bits());
            if let Some(two) = column.in_two() {
                prop_assert_eq!(two[0].to_bits(), expected.to_bits());
                prop_assert_eq!(sum_of(&two).mean(count).to_bits(), column.mean(count).to_bits());
            }
            let (one, other) = terms.split_at(cut.index(terms.len() + 1));
            let mut joined = sum_of(one);
            joined.merge(&sum_of(other));
            prop_assert_eq!(joined.value().to_bits(), expected.to_bits());
        }

        #[test]
        fn columns_of_fractions_are_added_up_exactly(
            mantissas in prop::collection::vec(any::<i64>(), 0..2500),
            exponent in -1100i32..900,
            spread in 0i32..14,
        ) {
            #[expect(clippy::cast_precision_loss, reason = "any number will do")]
            let terms: Vec<f64> = mantissas
                .iter()
                .map(|mantissa| {
                    let down = i32::try_from(mantissa.rem_euclid(7)).expect("small") * spread / 6;
                    *mantissa as f64 * 2f64.powi(exponent - down)
                })
                .collect();
            let mut column = ExactSum::default();
            column.add_all(&terms);
            prop_assert_eq!(column.value().to_bits(), sum_of(&terms).value().to_bits());
        }

        #[test]
        fn stretches_of_running_sums_are_sums(
            terms in prop::collection::vec(any_term(), 0..60),
            ends in prop::collection::vec(any::<prop::sample::Index>(), 2),
        ) {
            let ends = [ends[0].index(terms.len() + 1), ends[1].index(terms.len() + 1)];
            let (first, end) = (ends[0].min(ends[1]), ends[0].max(ends[1]));
            if let Some(running) = RunningSums::of(&terms) {
                let (got, expected) = (running.stretch(first, end), sum_of(&terms[first..end]));
                prop_assert_eq!(got.value().to_bits(), expected.value().to_bits());
                prop_assert_eq!(got.mean(7.0).to_bits(), expected.mean(7.0).to_bits());
            }
        }

        #[test]
        fn a_sum_that_needs_no_rounding_is_the_usual_one(terms in prop::collection::vec(-1_000_000i32..1_000_000, 0..200)) {
            let terms: Vec<f64> = terms.into_iter().map(|v| f64::from(v) / 64.0).collect();
            prop_assert_eq!(sum_of(&terms).value(), terms.iter().sum::<f64>());
        }
    }
}
