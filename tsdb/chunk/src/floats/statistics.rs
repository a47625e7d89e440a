//! What is known of a column of floats without its body, which then need not be read.
//!
//! ```text
//! of columns that are decimal, pseudo-decimal or referring, without exceptions; of others there is nothing:
//! byte    0: nothing is known; else values never fall (1), fall once (2), fall more often (3) from one to the next
//!         (bits 0-1), bits of the sum's unit below that of the value furthest from zero (bits 2-7)
//! points  first, where the head has no more than a part of it; last; smallest and greatest, unless values never fall;
//!         the value before the fall, where there is one
//! zigzag  sum of the mantissas less half of (first + last) * number of values, rounded down
//! zigzag  unless all are whole numbers: sum of the values in its unit, less that of the mantissas divided by
//!         10^exponent, rounded down
//! ```
//! A point is the zigzag difference of its mantissa from the first one, then of a pseudo-decimal the zigzag correction. The
//! first of a referring column is its mantissa, that of a pseudo-decimal its correction alone.
//!
//! The sum is exact: what rounding to floats adds to decimals is small, and stands there. Its unit is the power of two that
//! all values are multiples of, reckoned from the last bit of the largest.

use swell_model::float_parts;

use super::reader::read_exponent;
use super::writer::{FloatWriter, Form};
use super::{CONSTANT, CONSTANT_DECIMAL, DECIMAL, PSEUDO_DECIMAL, REFERRING};
use crate::bytes::{Cursor, put_zigzag};
use crate::decimal::float_of;
use crate::error::DecodeError;

const NEVER: u8 = 1;
const ONCE: u8 = 2;
const MORE: u8 = 3;
/// Bits of a unit below the last one of the largest value.
const BITS_MAX: i32 = 50;

/// Where a value is below the one before it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Falls {
    /// Nowhere.
    Never,
    /// At one place; the value before it.
    Once(f64),
    /// At several.
    More,
}

/// Figures of a column; all values are numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FloatStatistics {
    /// First value.
    pub first: f64,
    /// Last value.
    pub last: f64,
    /// Smallest value.
    pub min: f64,
    /// Greatest value.
    pub max: f64,
    /// The sum, exactly: so many units, and the exponent of two of the unit.
    pub sum: (i128, i32),
    /// Falls.
    pub falls: Falls,
}

impl FloatStatistics {
    /// Reads what is known of a column of `count` values; `kinds` and `numbers` stand at its head, `from` where
    /// [`FloatWriter::write_statistics`] wrote, if it did. `None` where nothing is known.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are not what was written.
    pub fn read(
        mut kinds: Cursor<'_>,
        mut numbers: Cursor<'_>,
        from: Option<Cursor<'_>>,
        count: usize,
    ) -> Result<Option<Self>, DecodeError> {
        let kind = kinds.u8()?;
        let exponent = match kind {
            CONSTANT => return Ok(Self::of_constant(f64::from_bits(numbers.u64()?), count)),
            CONSTANT_DECIMAL => {
                let exponent = read_exponent(&mut kinds)?;
                return Ok(Self::of_constant(float_of(numbers.zigzag()?, exponent), count));
            }
            DECIMAL | REFERRING | PSEUDO_DECIMAL => read_exponent(&mut kinds)?,
            _ => return Ok(None),
        };
        let Some(mut from) = from else { return Ok(None) };
        let flags = from.u8()?;
        if flags == 0 {
            return Ok(None);
        }
        let first_number = numbers.zigzag()?;
        let is_pseudo = kind == PSEUDO_DECIMAL;
        let first = if kind == REFERRING { from.zigzag()? } else { first_number };
        let correction = |from: &mut Cursor<'_>| if is_pseudo { from.zigzag() } else { Ok(0) };
        let value = |mantissa: i64, correction: i64| {
            let bits = float_of(mantissa, exponent).to_bits();
            f64::from_bits(bits.wrapping_add(correction.cast_unsigned()))
        };
        let first_value = value(first, correction(&mut from)?);
        let point = |from: &mut Cursor<'_>| -> Result<(i64, f64), DecodeError> {
            let mantissa = first.wrapping_add(from.zigzag()?);
            Ok((mantissa, value(mantissa, correction(from)?)))
        };
        let (last, last_value) = point(&mut from)?;
        let (mut min, mut max, mut falls) = (first_value, last_value, Falls::Never);
        if flags & 3 != NEVER {
            (min, max) = (point(&mut from)?.1, point(&mut from)?.1);
            falls = if flags & 3 == ONCE { Falls::Once(point(&mut from)?.1) } else { Falls::More };
        }
        let mantissas = guess(first, last, count) + i128::from(from.zigzag()?);
        let sum = if exponent == 0 && !is_pseudo {
            (mantissas, 0)
        } else {
            let unit = unit_of(min, max, i32::from(flags >> 2));
            let near = unit.and_then(|unit| divided(mantissas, exponent, unit));
            let (Some(unit), Some(near)) = (unit, near) else {
                return Err(from.fault("figures of a column are none that are written"));
            };
            (near + i128::from(from.zigzag()?), unit)
        };
        Ok(Some(Self { first: first_value, last: last_value, min, max, sum, falls }))
    }

    /// Moves past what is known of a column whose head `kinds` stands at.
    ///
    /// # Errors
    /// [`DecodeError`] when it ends early.
    pub fn skip(mut kinds: Cursor<'_>, from: &mut Cursor<'_>) -> Result<(), DecodeError> {
        let kind = kinds.u8()?;
        if !matches!(kind, DECIMAL | REFERRING | PSEUDO_DECIMAL) {
            return Ok(());
        }
        let exponent = read_exponent(&mut kinds)?;
        let flags = from.u8()?;
        if flags == 0 {
            return Ok(());
        }
        let points = match flags & 3 {
            NEVER => 1,
            ONCE => 4,
            _ => 3,
        };
        let is_pseudo = kind == PSEUDO_DECIMAL;
        let numbers = match kind {
            PSEUDO_DECIMAL => 2 * points + 1,
            REFERRING => points + 1,
            _ => points,
        };
        let sums = if exponent == 0 && !is_pseudo { 1 } else { 2 };
        (0..numbers + sums).try_for_each(|_| from.varint().map(drop))
    }

    fn of_constant(value: f64, count: usize) -> Option<Self> {
        if !value.is_finite() {
            return None;
        }
        let (mantissa, unit) = if value == 0.0 { (0, 0) } else { float_parts(value) };
        let sum = (i128::from(mantissa) * i128::try_from(count).ok()?, unit);
        let falls = Falls::Never;
        Some(Self { first: value, last: value, min: value, max: value, sum, falls })
    }
}

/// The sum of mantissas that rise evenly, rounded down.
fn guess(first: i64, last: i64, count: usize) -> i128 {
    let count = i128::try_from(count).expect("columns are short");
    ((i128::from(first) + i128::from(last)) * count).div_euclid(2)
}

/// Exponent of a unit that many bits below the last one of the larger of two values.
fn unit_of(min: f64, max: f64, bits: i32) -> Option<i32> {
    let largest = if -min > max { -min } else { max };
    let exponent = i32::try_from(largest.to_bits() >> 52 & 0x7ff).expect("eleven bits");
    (largest.is_finite() && exponent > 0).then_some(exponent - 1075 - bits)
}

/// `mantissas / 10^exponent` in units of 2^`unit`, rounded down; `None` where that takes too many bits.
fn divided(mantissas: i128, exponent: u8, unit: i32) -> Option<i128> {
    let power = 10_i128.checked_pow(u32::from(exponent))?;
    let shift = u32::try_from(-unit).ok()?;
    (mantissas.unsigned_abs().leading_zeros() > shift + 1)
        .then(|| (mantissas << shift).div_euclid(power))
}

/// A column that something is known of.
struct Known<'a> {
    values: &'a [f64],
    mantissas: &'a [i64],
    corrections: Option<&'a [i64]>,
    exponent: u8,
    is_referring: bool,
}

impl FloatWriter<'_> {
    /// Appends what is known of the column without its body, for [`FloatStatistics::read`].
    pub fn write_statistics(&self, out: &mut Vec<u8>) {
        let (decimals, corrections) = match &self.form {
            Form::Decimal(decimals) | Form::Referring { decimals, .. } => (decimals, None),
            Form::Pseudo { decimals, corrections, .. } => (decimals, Some(&corrections[..])),
            Form::Empty | Form::Constant(_) | Form::Bits { .. } => return,
        };
        if !decimals.exceptions.is_empty() {
            return;
        }
        let known = Known {
            values: self.values,
            mantissas: &decimals.mantissas,
            corrections,
            exponent: decimals.exponent,
            is_referring: matches!(self.form, Form::Referring { .. }),
        };
        let start = out.len();
        if known.write(out).is_none() {
            out.truncate(start);
            out.push(0);
        }
    }
}

impl Known<'_> {
    /// `None` where it cannot be written.
    fn write(&self, out: &mut Vec<u8>) -> Option<()> {
        let (values, mantissas) = (self.values, self.mantissas);
        let falls_to = |idx: &usize| values[*idx] < values[idx - 1];
        let mut falls = (1..values.len()).filter(falls_to);
        let (fall, is_single) = (falls.next(), falls.next().is_none());
        let place = |wins: fn(f64, f64) -> bool| {
            let pick =
                |best: usize, idx: usize| if wins(values[idx], values[best]) { idx } else { best };
            (0..values.len()).reduce(pick)
        };
        let (min, max) = (place(|a, b| a < b)?, place(|a, b| a > b)?);
        let total: i128 = mantissas.iter().map(|mantissa| i128::from(*mantissa)).sum();
        let (first, last) = (*mantissas.first()?, *mantissas.last()?);
        let is_whole = self.exponent == 0 && self.corrections.is_none();
        let mut bits = 0;
        let mut rounded = None;
        if !is_whole {
            let top = unit_of(values[min], values[max], 0)?;
            let nonzero = || values.iter().filter(|value| **value != 0.0);
            let lowest = nonzero().map(|value| {
                let (mantissa, exponent) = float_parts(*value);
                exponent + mantissa.trailing_zeros().cast_signed()
            });
            bits = (top - lowest.min()?).max(0);
            if bits > BITS_MAX {
                return None;
            }
            let unit = top - bits;
            let sum: i128 = nonzero()
                .map(|value| {
                    let (mantissa, exponent) = float_parts(*value);
                    let mantissa = i128::from(mantissa);
                    let shift = exponent - unit;
                    if shift < 0 { mantissa >> -shift } else { mantissa << shift }
                })
                .sum();
            let near = divided(total, self.exponent, unit)?;
            rounded = Some(i64::try_from(sum - near).ok()?);
        }
        let kind = match fall {
            None => NEVER,
            Some(_) if is_single => ONCE,
            Some(_) => MORE,
        };
        out.push(kind | u8::try_from(bits).ok()? << 2);
        let correction = |idx: usize, out: &mut Vec<u8>| {
            if let Some(corrections) = self.corrections {
                put_zigzag(out, corrections[idx]);
            }
        };
        if self.is_referring {
            put_zigzag(out, first);
        }
        correction(0, out);
        let point = |idx: usize, out: &mut Vec<u8>| {
            put_zigzag(out, mantissas[idx].wrapping_sub(first));
            correction(idx, out);
        };
        point(values.len() - 1, out);
        if let Some(fall) = fall {
            point(min, out);
            point(max, out);
            if is_single {
                point(fall - 1, out);
            }
        }
        put_zigzag(out, i64::try_from(total - guess(first, last, values.len())).ok()?);
        if let Some(rounded) = rounded {
            put_zigzag(out, rounded);
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use swell_model::{ExactSum, greatest, least};

    use super::*;
    use crate::floats::{FloatHead, FloatParts};

    /// What is read of a column, and the bytes it took.
    fn known(writer: &FloatWriter<'_>, count: usize) -> (Option<FloatStatistics>, usize) {
        let mut parts = FloatParts::default();
        writer.write(&mut parts);
        let mut bytes = Vec::new();
        writer.write_statistics(&mut bytes);
        let (kinds, numbers) = (Cursor::new(&parts.kinds), Cursor::new(&parts.numbers));
        FloatHead::skip(&mut kinds.clone(), &mut numbers.clone(), count).expect("a head");
        let mut skipped = Cursor::new(&bytes);
        FloatStatistics::skip(kinds.clone(), &mut skipped).expect("skips");
        assert_eq!(skipped.remaining(), 0, "all is skipped");
        let from = (!bytes.is_empty()).then(|| Cursor::new(&bytes));
        (FloatStatistics::read(kinds, numbers, from, count).expect("reads"), bytes.len())
    }

    fn check(values: &[f64], found: &FloatStatistics) {
        let bits = |found: f64, expected: f64| assert_eq!(found.to_bits(), expected.to_bits());
        bits(found.first, values[0]);
        bits(found.last, values[values.len() - 1]);
        bits(found.min, least(values));
        bits(found.max, greatest(values));
        let mut expected = ExactSum::default();
        expected.add_all(values);
        let sum = ExactSum::of_units(found.sum.0, found.sum.1);
        assert_eq!(sum.in_two(), expected.in_two());
        let falls: Vec<f64> =
            values.windows(2).filter(|pair| pair[1] < pair[0]).map(|pair| pair[0]).collect();
        match (found.falls, &falls[..]) {
            (Falls::Never, []) | (Falls::More, [_, _, ..]) => {}
            (Falls::Once(before), [only]) => assert_eq!(before.to_bits(), only.to_bits()),
            other => panic!("{other:?}"),
        }
    }

    fn decimals(exponent: u8, mantissas: &[i64]) -> Vec<f64> {
        mantissas.iter().map(|mantissa| float_of(*mantissa, exponent)).collect()
    }

    #[test]
    fn usual_columns_are_known_in_few_bytes() {
        let rising = |step: i64| (0..2048).map(|idx| idx * step + idx % 7).collect::<Vec<i64>>();
        let noise: Vec<i64> = (0..2048).map(|idx| idx * 7_919 % 1_013).collect();
        for (values, bytes_max) in [
            (decimals(0, &rising(1000)), 8),
            (decimals(3, &rising(1000)), 10),
            (decimals(0, &noise), 9),
            (decimals(2, &noise), 11),
            ((0..2048).map(|idx| f64::from(idx) * 0.1 + 0.3).collect(), 12),
            (vec![0.1; 2048], 0),
            (vec![-0.0; 3], 0),
        ] {
            let (found, bytes) = known(&FloatWriter::new(&values), values.len());
            check(&values, &found.expect("is known"));
            assert!(bytes <= bytes_max, "{bytes} bytes for {:?}", &values[..3]);
        }
    }

    #[test]
    fn of_odd_columns_nothing_is_known() {
        for values in
            [&[f64::NAN; 3][..], &[1.0, f64::NAN, 2.0], &[1e300, 1e-300], &[f64::INFINITY; 2]]
        {
            assert_eq!(known(&FloatWriter::new(values), values.len()).0, None, "{values:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_known_is_so(
            mantissas in prop::collection::vec(prop_oneof![
                4 => -1000i64..1000,
                1 => -1_000_000_000_000i64..1_000_000_000_000,
            ], 1..300),
            exponent in 0u8..12,
            is_counter in any::<bool>(),
            refers in any::<bool>(),
            noise in 0u64..3,
        ) {
            let mut mantissas = mantissas;
            let has_outliers = mantissas.iter().any(|mantissa| mantissa.abs() > 1000);
            if is_counter {
                let mut total = 0;
                mantissas.iter_mut().for_each(|m| { total += m.abs(); *m = total; });
            }
            let values: Vec<f64> = decimals(exponent, &mantissas)
                .into_iter()
                .map(|value| if value == 0.0 { value } else { f64::from_bits(value.to_bits() + noise) })
                .collect();
            let mut writer = FloatWriter::new(&values);
            if refers && let Some(own) = writer.mantissas().map(<[i64]>::to_vec) {
                let other: Vec<i64> = own.iter().map(|m| m - m.rem_euclid(3)).collect();
                writer.refer_to(&other);
            }
            if let (Some(found), _) = known(&writer, values.len()) {
                check(&values, &found);
            } else {
                // Where few values stand out, another codec may be smaller, of which nothing is known.
                let may_be_unknown = noise > 0 || exponent > 0 || has_outliers;
                prop_assert!(may_be_unknown, "whole numbers of like size are always known");
            }
        }

        #[test]
        fn damaged_figures_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..40), kind in 0u8..6, exponent in 0u8..19, first in any::<u8>()) {
            let kinds = [kind, exponent, 0, 0];
            let numbers = [first; 12];
            let from = Some(Cursor::new(&bytes));
            let _read = FloatStatistics::read(Cursor::new(&kinds), Cursor::new(&numbers), from, 300);
            let _skipped = FloatStatistics::skip(Cursor::new(&kinds), &mut Cursor::new(&bytes));
        }
    }
}
