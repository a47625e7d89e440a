//! The values of a log row, each against the *base* of its series: the first value of the series in the record that
//! defines it in its segment. What a record holds can so be read with the definitions alone, whatever became of the
//! records in between.
//!
//! ```text
//! half a byte for each value (low half first), then the bytes of all values:
//!   0      the base                              no bytes
//!   1-7    mantissa at the base's exponent       so many bytes: zigzag difference from the base's mantissa
//!   8      mantissa at an exponent of its own    byte exponent, varint zigzag difference from the base's mantissa there
//!   9-14   bits                                  3-8 low bytes of the bits, exclusive-or the base's
//!   15     the staleness marker                  no bytes
//! ```
//! Differences and bits stand lowest byte first. A base that is no decimal has mantissa 0 at every exponent.

use swell_chunk::{
    Cursor, DecodeError, exact_exponent, exact_mantissa, float_of, put_varint, put_zigzag,
};
use swell_model::STALE_NAN_BITS;

use super::record::LocalId;

const CODE_EXPONENT: u8 = 8;
const CODE_BITS: u8 = 9;
/// Bytes that the first of the codes for bits has.
const BITS_MIN_BYTES: u8 = 3;
const CODE_STALE: u8 = 15;

/// Exponent of a base that is no decimal.
const NO_DECIMAL: u8 = u8::MAX;
/// Exponent of a base that is not known yet: its value is 0.
const UNSET: u8 = u8::MAX - 1;
/// Marks a base of a checkpoint that is written bit for bit.
const AS_BITS: u8 = 32;
/// Largest exponent of a decimal.
const EXPONENT_MAX: u8 = 18;

/// Bases by number of the series in its segment.
#[derive(Debug, Default)]
pub(crate) struct Bases {
    bits: Vec<u64>,
    exponents: Vec<u8>,
    /// The record at hand defines series: only these take a base.
    has_unset: bool,
}

#[derive(Clone, Copy)]
struct Base {
    bits: u64,
    exponent: u8,
}

impl Base {
    fn mantissa_at(self, exponent: u8) -> i64 {
        if self.exponent == NO_DECIMAL {
            return 0;
        }
        exact_mantissa(f64::from_bits(self.bits), exponent).unwrap_or(0)
    }
}

impl Bases {
    /// Forgets all of them: a segment starts.
    pub(crate) fn clear(&mut self) {
        self.bits.clear();
        self.exponents.clear();
    }

    /// Heap bytes in use.
    pub(crate) const fn heap_bytes(&self) -> usize {
        self.bits.capacity() * size_of::<u64>() + self.exponents.capacity()
    }

    /// Makes room for the series `[first, first + count)`, defined in the record at hand.
    pub(crate) fn define(&mut self, first: LocalId, count: usize) {
        self.has_unset = count > 0;
        let first = first as usize;
        if self.bits.len() < first + count {
            self.bits.resize(first + count, 0);
            self.exponents.resize(first + count, UNSET);
        }
        self.exponents[first..first + count].fill(UNSET);
        self.bits[first..first + count].fill(0);
    }

    /// Appends the base of a series, for [`Bases::read`].
    ///
    /// ```text
    /// byte    exponent 0-18: a decimal follows, zigzag mantissa; + 32: 8 bytes follow; 255 is no decimal
    /// ```
    pub(super) fn put(&self, id: LocalId, out: &mut Vec<u8>) {
        let base = self.get(id);
        let mantissa = (base.exponent <= EXPONENT_MAX)
            .then(|| exact_mantissa(f64::from_bits(base.bits), base.exponent))
            .flatten()
            .filter(|mantissa| float_of(*mantissa, base.exponent).to_bits() == base.bits);
        match mantissa {
            Some(mantissa) => {
                out.push(base.exponent);
                put_zigzag(out, mantissa);
            }
            None => {
                out.push(base.exponent | AS_BITS);
                out.extend_from_slice(&base.bits.to_le_bytes());
            }
        }
    }

    /// Reads the base of the next series.
    pub(super) fn read(&mut self, cursor: &mut Cursor<'_>) -> Result<(), DecodeError> {
        let code = cursor.u8()?;
        let (bits, exponent) = match code {
            0..=EXPONENT_MAX => (float_of(cursor.zigzag()?, code).to_bits(), code),
            NO_DECIMAL => (cursor.u64()?, NO_DECIMAL),
            code if code & !AS_BITS <= EXPONENT_MAX => (cursor.u64()?, code & !AS_BITS),
            _ => return Err(cursor.fault("an exponent is larger than any written")),
        };
        self.bits.push(bits);
        self.exponents.push(exponent);
        Ok(())
    }

    fn get(&self, id: LocalId) -> Base {
        let id = id as usize;
        match self.exponents.get(id) {
            Some(&UNSET) | None => Base { bits: 0, exponent: 0 },
            Some(exponent) => Base { bits: self.bits[id], exponent: *exponent },
        }
    }

    /// The first value in the record that defines the series is its base.
    fn offer(&mut self, id: LocalId, bits: u64) {
        if self.has_unset
            && let Some(exponent) = self.exponents.get_mut(id as usize)
            && *exponent == UNSET
        {
            *exponent = exact_exponent(f64::from_bits(bits), 0).unwrap_or(NO_DECIMAL);
            self.bits[id as usize] = bits;
        }
    }

    /// Series of the record at hand that have no value in it keep the base 0.
    pub(crate) fn settle(&mut self, first: LocalId, count: usize) {
        self.has_unset = false;
        for exponent in self.exponents.iter_mut().skip(first as usize).take(count) {
            if *exponent == UNSET {
                *exponent = 0;
            }
        }
    }
}

/// Appends the values of a row.
pub(crate) fn put_values(ids: &[LocalId], values: &[f64], bases: &mut Bases, out: &mut Vec<u8>) {
    let codes_at = out.len();
    out.resize(codes_at + values.len().div_ceil(2), 0);
    for (idx, (id, value)) in ids.iter().zip(values).enumerate() {
        let code = put_value(*value, bases.get(*id), out);
        out[codes_at + idx / 2] |= code << (idx % 2 * 4);
        bases.offer(*id, value.to_bits());
    }
}

/// Appends the bytes of a value and gives its code.
fn put_value(value: f64, base: Base, out: &mut Vec<u8>) -> u8 {
    let bits = value.to_bits();
    if bits == base.bits {
        return 0;
    }
    if bits == STALE_NAN_BITS {
        return CODE_STALE;
    }
    if base.exponent <= EXPONENT_MAX
        && let Some(mantissa) = exact_mantissa(value, base.exponent)
    {
        let difference = zigzag(mantissa - base.mantissa_at(base.exponent));
        let len = bytes_of(difference);
        out.extend_from_slice(&difference.to_le_bytes()[..usize::from(len)]);
        return len;
    }
    let xor = bits ^ base.bits;
    let xor_len = bytes_of(xor).max(BITS_MIN_BYTES);
    if let Some(exponent) = exact_exponent(value, 0)
        && let Some(mantissa) = exact_mantissa(value, exponent)
    {
        let difference = zigzag(mantissa - base.mantissa_at(exponent));
        if swell_chunk::varint_len(difference) < usize::from(xor_len) {
            out.push(exponent);
            put_varint(out, difference);
            return CODE_EXPONENT;
        }
    }
    out.extend_from_slice(&xor.to_le_bytes()[..usize::from(xor_len)]);
    CODE_BITS + xor_len - BITS_MIN_BYTES
}

/// Reads the values of a row. Those of series whose definition is lost come out as anything.
pub(crate) fn read_values(
    cursor: &mut Cursor<'_>,
    ids: &[LocalId],
    bases: &mut Bases,
) -> Result<Vec<f64>, DecodeError> {
    let codes = cursor.take(ids.len().div_ceil(2))?;
    let mut values = Vec::with_capacity(ids.len());
    for (idx, id) in ids.iter().enumerate() {
        let code = codes[idx / 2] >> (idx % 2 * 4) & 15;
        let value = read_value(cursor, code, bases.get(*id))?;
        bases.offer(*id, value.to_bits());
        values.push(value);
    }
    Ok(values)
}

fn read_value(cursor: &mut Cursor<'_>, code: u8, base: Base) -> Result<f64, DecodeError> {
    Ok(match code {
        0 => f64::from_bits(base.bits),
        CODE_STALE => f64::from_bits(STALE_NAN_BITS),
        CODE_EXPONENT => {
            let exponent = cursor.u8()?;
            if exponent > EXPONENT_MAX {
                return Err(cursor.fault("an exponent is larger than any written"));
            }
            let difference = cursor.zigzag()?;
            float_of(base.mantissa_at(exponent).wrapping_add(difference), exponent)
        }
        len if len < CODE_EXPONENT => {
            let difference = unzigzag(little_endian(cursor.take(usize::from(len))?));
            // A base that is no decimal has none of these; where the definition is lost it may seem to be so.
            let exponent = if base.exponent > EXPONENT_MAX { 0 } else { base.exponent };
            float_of(base.mantissa_at(exponent).wrapping_add(difference), exponent)
        }
        code => {
            let len = usize::from(code - CODE_BITS + BITS_MIN_BYTES);
            f64::from_bits(base.bits ^ little_endian(cursor.take(len)?))
        }
    })
}

fn little_endian(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(word)
}

/// Bytes down to the last that is not zero, at least one.
fn bytes_of(word: u64) -> u8 {
    let bits = u64::BITS - word.leading_zeros();
    u8::try_from(bits.div_ceil(8).max(1)).expect("at most 8")
}

pub(super) const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

pub(super) const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use swell_model::stale_nan;

    use super::*;

    /// Writes rows of series 0.. one after the other, and reads them back; gives the bytes of each row.
    fn check(rows: &[Vec<f64>]) -> Vec<usize> {
        let (mut writing, mut reading) = (Bases::default(), Bases::default());
        let mut lens = Vec::new();
        for (nr, row) in rows.iter().enumerate() {
            let count = row.len();
            let ids: Vec<LocalId> = (0..u32::try_from(count).expect("few")).collect();
            if nr == 0 {
                writing.define(0, count);
                reading.define(0, count);
            }
            let mut out = Vec::new();
            put_values(&ids, row, &mut writing, &mut out);
            let mut cursor = Cursor::new(&out);
            let back = read_values(&mut cursor, &ids, &mut reading).expect("decodes");
            cursor.finish().expect("nothing is left");
            assert!(back.iter().map(|v| v.to_bits()).eq(row.iter().map(|v| v.to_bits())));
            writing.settle(0, count);
            reading.settle(0, count);
            lens.push(out.len());
        }
        lens
    }

    #[test]
    fn what_did_not_change_takes_half_a_byte() {
        assert_eq!(check(&[vec![5.5; 10], vec![5.5; 10]])[1], 5);
        assert_eq!(check(&[vec![1e9, 0.0], vec![1e9 + 90.0, 1.0]])[1], 1 + 1 + 1);
        assert_eq!(check(&[vec![1.0, 2.0], vec![stale_nan(), stale_nan()]])[1], 1);
        assert_eq!(check(&[vec![3.0], vec![3.25]])[1], 1 + 1 + 1);
        assert!(check(&[vec![0.1 + 0.2], vec![0.7 + 0.1]])[1] <= 1 + 8);
    }

    fn any_value() -> impl Strategy<Value = f64> {
        prop_oneof![
            4 => (-100_000i64..100_000, 0i32..6).prop_map(|(m, e)| m as f64 / 10f64.powi(e)),
            2 => Just(7.0),
            1 => any::<u64>().prop_map(f64::from_bits),
            1 => Just(stale_nan()),
            1 => Just(-0.0),
            1 => (0u64..1 << 53).prop_map(|v| v as f64),
        ]
    }

    proptest! {
        #[test]
        fn any_rows_come_back(rows in (1usize..8).prop_flat_map(|n| prop::collection::vec(prop::collection::vec(any_value(), n), 1..6))) {
            check(&rows);
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..100), count in 0u32..40) {
            let ids: Vec<LocalId> = (0..count).collect();
            let mut bases = Bases::default();
            bases.define(3, 10);
            if let Ok(values) = read_values(&mut Cursor::new(&bytes), &ids, &mut bases) {
                prop_assert_eq!(values.len(), ids.len());
            }
        }
    }
}
