//! From bytes to values.

use swell_model::STALE_NAN_BITS;

use super::{BITS, CONSTANT, CONSTANT_DECIMAL, DECIMAL, HAS_EXCEPTIONS, PSEUDO_DECIMAL, REFERRING};
use crate::bytes::Cursor;
use crate::decimal::{EXPONENT_MAX, float_of};
use crate::error::DecodeError;
use crate::ints;

/// Where the parts of a column are read from.
#[derive(Clone, Debug)]
pub struct FloatCursors<'a> {
    /// See [`super::FloatParts::kinds`].
    pub kinds: Cursor<'a>,
    /// See [`super::FloatParts::numbers`].
    pub numbers: Cursor<'a>,
    /// See [`super::FloatParts::body`].
    pub body: Cursor<'a>,
    /// See [`super::FloatParts::exceptions`].
    pub exceptions: Cursor<'a>,
}

/// What a column's head says of its other parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FloatHead {
    /// There is a body.
    pub has_body: bool,
    /// There are exceptions.
    pub has_exceptions: bool,
    /// The column cannot be read without the mantissas of the one it refers to.
    pub is_referring: bool,
}

impl FloatHead {
    /// Reads and moves past the head of a column of `count` values.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are no head.
    pub fn skip(
        kinds: &mut Cursor<'_>,
        numbers: &mut Cursor<'_>,
        count: usize,
    ) -> Result<Self, DecodeError> {
        let mut head = Self { has_body: false, has_exceptions: false, is_referring: false };
        if count == 0 {
            return Ok(head);
        }
        let kind = kinds.u8()?;
        let codec = kind & !HAS_EXCEPTIONS;
        head.has_exceptions = kind & HAS_EXCEPTIONS != 0;
        head.is_referring = codec == REFERRING;
        let int_columns = match codec {
            CONSTANT if !head.has_exceptions => {
                numbers.u64()?;
                0
            }
            CONSTANT_DECIMAL if !head.has_exceptions => {
                read_exponent(kinds)?;
                numbers.zigzag()?;
                0
            }
            BITS if !head.has_exceptions => 1,
            DECIMAL | REFERRING | PSEUDO_DECIMAL => {
                read_exponent(kinds)?;
                if head.has_exceptions {
                    numbers.count(count)?;
                }
                if codec == PSEUDO_DECIMAL { 2 } else { 1 }
            }
            _ => return Err(kinds.fault(UNKNOWN_CODEC)),
        };
        for _ in 0..int_columns {
            head.has_body |= ints::skip_head(kinds, numbers, count)?;
        }
        Ok(head)
    }
}

const UNKNOWN_CODEC: &str = "the codec of a float column is unknown";

/// Decodes columns, and keeps its buffers between them.
#[derive(Debug, Default)]
pub struct FloatReader {
    mantissas: Vec<i64>,
    corrections: Vec<i64>,
    has_mantissas: bool,
}

impl FloatReader {
    /// A reader without buffers yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Decodes as many values as `out` has room for: as many as were written. A column that refers to another one
    /// needs that one's mantissas as `reference`.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are not what [`super::FloatWriter`] writes for that many values; `out` then
    /// holds nothing of meaning.
    pub fn read(
        &mut self,
        from: &mut FloatCursors<'_>,
        reference: Option<&[i64]>,
        out: &mut [f64],
    ) -> Result<(), DecodeError> {
        let exception_count = self.read_values(from, reference, out)?;
        read_exceptions(exception_count, &mut from.exceptions, out)
    }

    /// Decodes no more than the mantissas of a column of `count` values, for [`FloatReader::mantissas`].
    ///
    /// # Errors
    /// As [`FloatReader::read`], and when the column has no mantissas.
    pub fn read_mantissas(
        &mut self,
        from: &mut FloatCursors<'_>,
        reference: Option<&[i64]>,
        count: usize,
    ) -> Result<(), DecodeError> {
        self.has_mantissas = false;
        let kind = from.kinds.u8()?;
        if !matches!(kind & !HAS_EXCEPTIONS, DECIMAL | REFERRING) {
            return Err(from.kinds.fault("a column that is referred to has no mantissas"));
        }
        let (_, exception_count) = self.read_decimals(kind, from, reference, count)?;
        for _ in 0..exception_count {
            skip_exception(&mut from.exceptions)?;
        }
        self.has_mantissas = true;
        Ok(())
    }

    /// Decodes a column that stands as one piece, as [`super::FloatWriter::write_whole`] writes it.
    ///
    /// # Errors
    /// As [`FloatReader::read`].
    pub fn read_whole(
        &mut self,
        cursor: &mut Cursor<'_>,
        out: &mut [f64],
    ) -> Result<(), DecodeError> {
        let kinds = cursor.clone();
        let mut numbers = kinds.clone();
        numbers.take(kinds_len(&kinds, out.len())?)?;
        let mut body = numbers.clone();
        FloatHead::skip(&mut kinds.clone(), &mut body, out.len())?;
        let exceptions = body.clone();
        let mut from = FloatCursors { kinds, numbers, body, exceptions };
        let exception_count = self.read_values(&mut from, None, out)?;
        read_exceptions(exception_count, &mut from.body, out)?;
        *cursor = from.body;
        Ok(())
    }

    /// Mantissas of the column that was read last, for columns that refer to it; `None` when it has none.
    #[must_use]
    pub fn mantissas(&self) -> Option<&[i64]> {
        self.has_mantissas.then_some(&self.mantissas)
    }

    /// Decodes all but the exceptions; gives their number.
    fn read_values(
        &mut self,
        from: &mut FloatCursors<'_>,
        reference: Option<&[i64]>,
        out: &mut [f64],
    ) -> Result<usize, DecodeError> {
        self.has_mantissas = false;
        if out.is_empty() {
            return Ok(0);
        }
        let FloatCursors { kinds, numbers, body, .. } = from;
        let kind = kinds.u8()?;
        let has_exceptions = kind & HAS_EXCEPTIONS != 0;
        let mut exception_count = 0;
        match kind & !HAS_EXCEPTIONS {
            CONSTANT if !has_exceptions => out.fill(f64::from_bits(numbers.u64()?)),
            CONSTANT_DECIMAL if !has_exceptions => {
                let exponent = read_exponent(kinds)?;
                out.fill(float_of(numbers.zigzag()?, exponent));
            }
            BITS if !has_exceptions => {
                self.mantissas.resize(out.len(), 0);
                ints::decode(kinds, numbers, body, &mut self.mantissas)?;
                for (value, bits) in out.iter_mut().zip(&self.mantissas) {
                    *value = f64::from_bits(bits.cast_unsigned());
                }
            }
            codec @ (DECIMAL | REFERRING | PSEUDO_DECIMAL) => {
                let exponent;
                (exponent, exception_count) =
                    self.read_decimals(kind, from, reference, out.len())?;
                self.has_mantissas = codec != PSEUDO_DECIMAL;
                scale(&self.mantissas, exponent, out);
                if codec == PSEUDO_DECIMAL {
                    let FloatCursors { kinds, numbers, body, .. } = from;
                    self.corrections.resize(out.len(), 0);
                    ints::decode(kinds, numbers, body, &mut self.corrections)?;
                    for (value, correction) in out.iter_mut().zip(&self.corrections) {
                        let bits = value.to_bits().wrapping_add(correction.cast_unsigned());
                        *value = f64::from_bits(bits);
                    }
                }
            }
            _ => return Err(kinds.fault(UNKNOWN_CODEC)),
        }
        Ok(exception_count)
    }

    /// Decodes mantissas behind the byte of their codec; gives the exponent and the number of exceptions.
    fn read_decimals(
        &mut self,
        kind: u8,
        from: &mut FloatCursors<'_>,
        reference: Option<&[i64]>,
        count: usize,
    ) -> Result<(u8, usize), DecodeError> {
        let FloatCursors { kinds, numbers, body, .. } = from;
        let exponent = read_exponent(kinds)?;
        let has_exceptions = kind & HAS_EXCEPTIONS != 0;
        let exception_count = if has_exceptions { numbers.count(count)? } else { 0 };
        self.mantissas.resize(count, 0);
        ints::decode(kinds, numbers, body, &mut self.mantissas)?;
        if kind & !HAS_EXCEPTIONS == REFERRING {
            let reference = reference.filter(|reference| reference.len() == count);
            let reference = reference
                .ok_or_else(|| kinds.fault("the column that this one refers to is not there"))?;
            for (mantissa, other) in self.mantissas.iter_mut().zip(reference) {
                *mantissa = mantissa.wrapping_add(*other);
            }
        }
        Ok((exponent, exception_count))
    }
}

/// Bytes of the kinds of a column, by its first one.
fn kinds_len(kinds: &Cursor<'_>, count: usize) -> Result<usize, DecodeError> {
    if count == 0 {
        return Ok(0);
    }
    Ok(match kinds.clone().u8()? & !HAS_EXCEPTIONS {
        CONSTANT => 1,
        CONSTANT_DECIMAL | BITS => 2,
        DECIMAL | REFERRING => 3,
        PSEUDO_DECIMAL => 4,
        _ => return Err(kinds.fault(UNKNOWN_CODEC)),
    })
}

pub(super) fn read_exponent(head: &mut Cursor<'_>) -> Result<u8, DecodeError> {
    let exponent = head.u8()?;
    if exponent > EXPONENT_MAX {
        return Err(head.fault("an exponent is larger than any written"));
    }
    Ok(exponent)
}

fn scale(mantissas: &[i64], exponent: u8, out: &mut [f64]) {
    if exponent == 0 {
        for (value, mantissa) in out.iter_mut().zip(mantissas) {
            *value = float_of(*mantissa, 0);
        }
    } else {
        for (value, mantissa) in out.iter_mut().zip(mantissas) {
            *value = float_of(*mantissa, exponent);
        }
    }
}

fn skip_exception(from: &mut Cursor<'_>) -> Result<(), DecodeError> {
    if from.varint()? & 1 == 0 {
        from.u64()?;
    }
    Ok(())
}

fn read_exceptions(
    count: usize,
    from: &mut Cursor<'_>,
    out: &mut [f64],
) -> Result<(), DecodeError> {
    let mut position: u64 = 0;
    for _ in 0..count {
        let distance = from.varint()?;
        position = position.saturating_add(distance >> 1);
        let bits = if distance & 1 == 1 { STALE_NAN_BITS } else { from.u64()? };
        let value = usize::try_from(position)
            .ok()
            .and_then(|position| out.get_mut(position))
            .ok_or_else(|| from.fault("an exception lies outside its column"))?;
        *value = f64::from_bits(bits);
    }
    Ok(())
}
