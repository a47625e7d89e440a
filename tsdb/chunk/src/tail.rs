//! The open end of a column in memory: values are appended one by one, most of them as a longer run or one byte.
//!
//! Positions are rows of the target's timestamps. A series that misses a row has a gap there.
//!
//! ```text
//! tokens, each a varint whose lowest two bits are its kind, n the rest:
//!   0  run      n + 1 repeats of the last value
//!   1  delta    n is the zigzag difference between this and the last difference of mantissas
//!   2  gap      n + 1 rows without a value
//!   3  n = 0    8 bytes: a value bit for bit
//!      n = 1    the staleness marker
//!      n = 2+e  the exponent is e from here on; zigzag mantissa; the last difference is 0
//! ```
//!
//! A tail as it stands, to be gone on with after a restart ([`Tail::write`]):
//!
//! ```text
//! byte     exponent + 1, or 0 before the first decimal; + 32 when the last value follows; + 64 when the row does;
//!          + 128 when the changes do
//! varint   length of the tokens; the tokens
//! varint   repeats of the last value that are not among the tokens
//! varint   number of values
//! zigzag   mantissa, difference, unless there was no decimal yet
//! 8 bytes  the last value, unless it is the mantissa at the exponent
//! varint   rows without a value, unless there are none
//! byte     changes in a row that were no short decimals, unless there are none
//! ```

use swell_model::STALE_NAN_BITS;

use crate::bytes::{Cursor, put_varint, put_zigzag, unzigzag, zigzag};
use crate::decimal::{EXPONENT_MAX, exact_exponent, exact_mantissa, float_of};
use crate::error::DecodeError;
use crate::tokens::Tokens;

const RUN: u64 = 0;
const DELTA: u64 = 1;
const GAP: u64 = 2;
const ESCAPE: u64 = 3;

const ESCAPE_BITS: u64 = 0;
const ESCAPE_STALE: u64 = 1;
const ESCAPE_EXPONENT: u64 = 2;

/// Differences of differences below this fit beside the kind in 64 bits.
const DELTA_LIMIT: u64 = 1 << 62;

/// Bits of the first byte of a tail that is written as it stands.
const STATE_EXPONENT: u8 = 31;
const STATE_VALUE: u8 = 32;
const STATE_GAPS: u8 = 64;
const STATE_INEXACT: u8 = 128;

/// Rows that a tail may have.
pub const TAIL_ROWS_MAX: u32 = u16::MAX as u32;

/// The open end of one series. 56 bytes, and no others while it has few tokens: as long as the value stays what it was.
#[derive(Clone, Debug, Default)]
pub struct Tail {
    tokens: Tokens,
    last_bits: u64,
    mantissa: i64,
    delta: i64,
    /// Repeats of the last value that are not among the tokens yet.
    run: u16,
    /// First row after the last value.
    next_row: u16,
    count: u16,
    /// Exponent plus one; 0 before the first decimal.
    exponent_code: u8,
    /// Changes in a row that were no short decimals.
    inexact_count: u8,
}

/// After so many changes in a row that were no short decimals, only each so manyth is tried under all exponents.
const INEXACT_PATIENCE: u8 = 8;

impl Tail {
    /// Appends the value of a row after all rows so far.
    ///
    /// # Panics
    /// When the row is not after the last, or beyond [`TAIL_ROWS_MAX`].
    pub fn push(&mut self, row: u32, value: f64) {
        assert!(row < TAIL_ROWS_MAX, "a tail is sealed before it has so many rows");
        let row = u16::try_from(row).expect("checked above");
        assert!(row >= self.next_row, "rows rise");
        if row > self.next_row {
            self.end_run();
            self.put(u64::from(row - self.next_row - 1) << 2 | GAP);
        }
        let bits = value.to_bits();
        if self.count > 0 && bits == self.last_bits {
            self.run += 1;
        } else {
            self.end_run();
            self.push_change(value);
            self.last_bits = bits;
        }
        self.next_row = row + 1;
        self.count += 1;
    }

    fn end_run(&mut self) {
        if self.run > 0 {
            self.put(u64::from(self.run - 1) << 2 | RUN);
            self.run = 0;
        }
    }

    fn put(&mut self, token: u64) {
        self.tokens.put_varint(token);
    }

    fn push_change(&mut self, value: f64) {
        if let Some(exponent) = self.exponent_code.checked_sub(1)
            && let Some(mantissa) = exact_mantissa(value, exponent)
        {
            let delta = mantissa - self.mantissa;
            let change = zigzag(delta - self.delta);
            assert!(change < DELTA_LIMIT, "mantissas are below 2^53");
            self.put(change << 2 | DELTA);
            (self.mantissa, self.delta) = (mantissa, delta);
            self.inexact_count = 0;
            return;
        }
        let bits = value.to_bits();
        let decimal = if self.tries_exponents() { self.decimal(value) } else { None };
        self.inexact_count = if decimal.is_some() { 0 } else { self.inexact_count.wrapping_add(1) };
        match decimal {
            Some((exponent, mantissa)) => {
                let n = ESCAPE_EXPONENT + u64::from(exponent);
                self.put(n << 2 | ESCAPE);
                self.put(zigzag(mantissa));
                (self.mantissa, self.delta) = (mantissa, 0);
                self.exponent_code = exponent + 1;
            }
            None if bits == STALE_NAN_BITS => {
                self.put(ESCAPE_STALE << 2 | ESCAPE);
            }
            None => {
                self.put(ESCAPE_BITS << 2 | ESCAPE);
                self.tokens.extend(&bits.to_le_bytes());
            }
        }
    }

    const fn tries_exponents(&self) -> bool {
        self.inexact_count < INEXACT_PATIENCE || self.inexact_count.is_multiple_of(INEXACT_PATIENCE)
    }

    /// A value's exponent and mantissa. An exponent that grows stays: the values before needed no more than this one.
    fn decimal(&self, value: f64) -> Option<(u8, i64)> {
        let exponent = exact_exponent(value, self.exponent_code.min(EXPONENT_MAX))
            .or_else(|| exact_exponent(value, 0))?;
        Some((exponent, exact_mantissa(value, exponent)?))
    }

    /// Number of values.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.count as u32
    }

    /// The last value, meaningful once there is one.
    #[must_use]
    pub const fn last_value(&self) -> f64 {
        f64::from_bits(self.last_bits)
    }

    /// Appends a copy of the tokens for [`TailColumn::read`].
    pub fn copy_tokens(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.tokens.as_slice());
        if self.run > 0 {
            put_varint(out, u64::from(self.run - 1) << 2 | RUN);
        }
    }

    /// First row after the last value.
    #[must_use]
    pub const fn next_row(&self) -> u32 {
        self.next_row as u32
    }

    /// Appends the tail as it stands, for [`Tail::read`].
    pub fn write(&self, out: &mut Vec<u8>) {
        let decimal = self.exponent_code.checked_sub(1);
        let decimal = decimal.map(|exponent| float_of(self.mantissa, exponent).to_bits());
        let has_value = decimal.unwrap_or(0) != self.last_bits;
        let (has_gaps, is_inexact) = (self.next_row != self.count, self.inexact_count > 0);
        let with = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        let flags = with(has_value, STATE_VALUE)
            | with(has_gaps, STATE_GAPS)
            | with(is_inexact, STATE_INEXACT);
        out.push(self.exponent_code | flags);
        put_varint(out, self.tokens.len() as u64);
        out.extend_from_slice(self.tokens.as_slice());
        put_varint(out, u64::from(self.run));
        put_varint(out, u64::from(self.count));
        if self.exponent_code > 0 {
            put_zigzag(out, self.mantissa);
            put_zigzag(out, self.delta);
        }
        if has_value {
            out.extend_from_slice(&self.last_bits.to_le_bytes());
        }
        if has_gaps {
            put_varint(out, u64::from(self.next_row - self.count));
        }
        if is_inexact {
            out.push(self.inexact_count);
        }
    }

    /// Reads what [`Tail::write`] gave.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are no tail. Tokens are judged when they are read.
    pub fn read(cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let flags = cursor.u8()?;
        let exponent_code = flags & STATE_EXPONENT;
        if exponent_code > EXPONENT_MAX + 1 {
            return Err(cursor.fault("an exponent is larger than any written"));
        }
        let len = cursor.count(cursor.remaining())?;
        let tokens = Tokens::of(cursor.take(len)?);
        let (run, count) = (read_rows(cursor)?, read_rows(cursor)?);
        let mut tail = Self { tokens, run, count, exponent_code, ..Self::default() };
        if let Some(exponent) = exponent_code.checked_sub(1) {
            (tail.mantissa, tail.delta) = (cursor.zigzag()?, cursor.zigzag()?);
            if tail.mantissa.unsigned_abs() >= 1 << 53 || tail.delta.unsigned_abs() >= 1 << 54 {
                return Err(cursor.fault("a mantissa is larger than any written"));
            }
            tail.last_bits = float_of(tail.mantissa, exponent).to_bits();
        }
        if flags & STATE_VALUE != 0 {
            tail.last_bits = cursor.u64()?;
        }
        let gaps = if flags & STATE_GAPS == 0 { 0 } else { read_rows(cursor)? };
        let next_row = count.checked_add(gaps);
        tail.next_row = next_row.ok_or_else(|| cursor.fault("a tail has too many rows"))?;
        if flags & STATE_INEXACT != 0 {
            tail.inexact_count = cursor.u8()?;
        }
        if tail.run > count {
            return Err(cursor.fault("a tail repeats more values than it has"));
        }
        Ok(tail)
    }

    /// Bytes of the tokens so far.
    #[must_use]
    pub const fn token_bytes(&self) -> usize {
        self.tokens.len()
    }

    /// Heap bytes in use.
    #[must_use]
    pub const fn heap_bytes(&self) -> usize {
        self.tokens.heap_bytes()
    }

    /// Starts again at row 0 without values; [`Tail::last_value`] stays known.
    pub fn clear(&mut self) {
        *self = Self { last_bits: self.last_bits, ..Self::default() };
    }
}

fn read_rows(cursor: &mut Cursor<'_>) -> Result<u16, DecodeError> {
    let rows = cursor.varint_u32()?;
    u16::try_from(rows).map_err(|_| cursor.fault("a tail has too many rows"))
}

/// What a tail decodes to: the values, and the rows they stand in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TailColumn {
    /// Values in rising order of their rows.
    pub values: Vec<f64>,
    /// Runs of rows that have a value, as first row and length; they rise and do not touch.
    pub runs: Vec<(u32, u32)>,
}

impl TailColumn {
    /// Decodes what [`Tail::copy_tokens`] gave.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are no tokens, or go beyond `row_count` rows.
    pub fn read(&mut self, tokens: &[u8], row_count: u32) -> Result<(), DecodeError> {
        self.values.clear();
        self.runs.clear();
        let mut cursor = Cursor::new(tokens);
        let mut last = 0.0;
        let (mut mantissa, mut delta): (i64, i64) = (0, 0);
        let mut exponent = None;
        let mut row: u32 = 0;
        while cursor.remaining() > 0 {
            let token = cursor.varint()?;
            let n = token >> 2;
            let step = match token & 3 {
                RUN | GAP => u32::try_from(n + 1).ok(),
                _ => Some(1),
            };
            let step = step.filter(|step| *step <= row_count - row);
            let step = step.ok_or_else(|| cursor.fault("a tail has more rows than its target"))?;
            match token & 3 {
                GAP => {}
                RUN if self.values.is_empty() => {
                    return Err(cursor.fault("a tail starts with a repeat"));
                }
                RUN => {}
                DELTA => {
                    let exponent =
                        exponent.ok_or_else(|| cursor.fault("a difference has no exponent"))?;
                    delta = delta.wrapping_add(unzigzag(n));
                    mantissa = mantissa.wrapping_add(delta);
                    last = float_of(mantissa, exponent);
                }
                _ if n == ESCAPE_BITS => last = f64::from_bits(cursor.u64()?),
                _ if n == ESCAPE_STALE => last = f64::from_bits(STALE_NAN_BITS),
                _ => {
                    let code = u8::try_from(n - ESCAPE_EXPONENT).ok();
                    let code = code.filter(|code| *code <= EXPONENT_MAX);
                    let code =
                        code.ok_or_else(|| cursor.fault("an exponent is larger than any written"))?;
                    exponent = Some(code);
                    mantissa = cursor.zigzag()?;
                    delta = 0;
                    last = float_of(mantissa, code);
                }
            }
            if token & 3 != GAP {
                self.values.resize(self.values.len() + step as usize, last);
                match self.runs.last_mut() {
                    Some((first, len)) if *first + *len == row => *len += step,
                    _ => self.runs.push((row, step)),
                }
            }
            row += step;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use swell_model::stale_nan;

    use super::*;

    fn check(rows: &[Option<f64>], max_bytes: usize) {
        let mut tail = Tail::default();
        for (row, value) in rows.iter().enumerate() {
            if let Some(value) = value {
                tail.push(u32::try_from(row).expect("short"), *value);
                assert_eq!(tail.last_value().to_bits(), value.to_bits());
            }
        }
        let mut tokens = Vec::new();
        tail.copy_tokens(&mut tokens);
        assert!(tokens.len() <= max_bytes, "{} > {max_bytes} bytes", tokens.len());
        let mut column = TailColumn::default();
        column.read(&tokens, u32::try_from(rows.len()).expect("short")).expect("decodes");
        let mut back = vec![None; rows.len()];
        let mut values = column.values.iter();
        for (first, len) in &column.runs {
            for row in *first..first + len {
                back[row as usize] = values.next().map(|v| v.to_bits());
            }
        }
        let expected: Vec<Option<u64>> = rows.iter().map(|v| v.map(f64::to_bits)).collect();
        assert_eq!(back, expected);
        assert_eq!(tail.count() as usize, column.values.len());
        assert!(column.runs.windows(2).all(|pair| pair[0].0 + pair[0].1 < pair[1].0));
    }

    #[test]
    fn tokens_are_few() {
        check(&[], 0);
        check(&[Some(1.0); 250], 4);
        check(&(0..250).map(|i| Some(f64::from(i) * 3.0)).collect::<Vec<_>>(), 254);
        let mut gone = vec![Some(7.0); 20];
        gone.extend([Some(stale_nan()), None, None, None, Some(7.0)]);
        check(&gone, 9);
        assert_eq!(std::mem::size_of::<Tail>(), 56);
    }

    #[test]
    fn buffers_are_nearly_full_and_seldom_copied() {
        let mut tail = Tail::default();
        let (mut copied, mut capacity) = (0, 0);
        for row in 0..400 {
            tail.push(row, f64::from(row * row % 1000));
            if tail.heap_bytes() != capacity {
                (copied, capacity) = (copied + capacity, tail.heap_bytes());
                assert!(capacity % 16 == 8, "what the allocator gives in any case");
            }
            let len = tail.tokens.len();
            assert!(
                capacity <= len + len / 5 + crate::tokens::BUFFER_MIN_BYTES,
                "{capacity} bytes for {len}"
            );
        }
        assert!(copied < 8 * tail.tokens.len(), "{copied} bytes copied for {}", tail.tokens.len());
    }

    #[test]
    fn tokens_beyond_the_rows_are_refused() {
        let mut tail = Tail::default();
        (0..10).for_each(|row| tail.push(row, 1.0));
        let mut tokens = Vec::new();
        tail.copy_tokens(&mut tokens);
        assert!(TailColumn::default().read(&tokens, 9).is_err());
    }

    fn any_row() -> impl Strategy<Value = Option<f64>> {
        prop_oneof![
            1 => Just(None),
            4 => (-100_000i32..100_000, 0i32..4).prop_map(|(m, e)| Some(f64::from(m) / 10f64.powi(e))),
            4 => Just(Some(1.0)),
            1 => any::<u64>().prop_map(|bits| Some(f64::from_bits(bits))),
            1 => Just(Some(stale_nan())),
            1 => Just(Some(-0.0)),
        ]
    }

    fn is_same(a: &Tail, b: &Tail) -> bool {
        let state = |tail: &Tail| {
            let Tail { tokens, last_bits, mantissa, delta, .. } = tail.clone();
            let rows = (tail.run, tail.next_row, tail.count);
            let tokens = tokens.as_slice().to_vec();
            (tokens, last_bits, mantissa, delta, rows, tail.exponent_code, tail.inexact_count)
        };
        state(a) == state(b)
    }

    proptest! {
        #[test]
        fn a_tail_is_written_as_it_stands(rows in prop::collection::vec(any_row(), 0..60), clear_at in 0usize..60) {
            let mut tail = Tail::default();
            let mut bytes = Vec::new();
            let mut next = 0;
            for (nr, value) in rows.into_iter().enumerate() {
                if nr == clear_at {
                    tail.clear();
                    next = 0;
                }
                if let Some(value) = value {
                    tail.push(next, value);
                }
                next += 1;
                bytes.clear();
                tail.write(&mut bytes);
                let mut cursor = Cursor::new(&bytes);
                let back = Tail::read(&mut cursor).expect("decodes");
                cursor.finish().expect("nothing is left");
                prop_assert!(is_same(&tail, &back), "{:?} {:?}", tail, back);
                for len in 0..bytes.len() {
                    prop_assert!(Tail::read(&mut Cursor::new(&bytes[..len])).is_err());
                }
            }
        }

        #[test]
        fn garbage_is_a_tail_that_can_be_gone_on_with_or_none(bytes in prop::collection::vec(any::<u8>(), 0..80), value in any::<f64>()) {
            if let Ok(mut tail) = Tail::read(&mut Cursor::new(&bytes))
                && tail.next_row() < TAIL_ROWS_MAX
            {
                tail.push(tail.next_row(), value);
                tail.push(tail.next_row(), 0.5);
            }
        }

        #[test]
        fn any_rows_come_back(rows in prop::collection::vec(any_row(), 0..300)) {
            check(&rows, usize::MAX);
        }

        #[test]
        fn garbage_never_panics_nor_exceeds_the_rows(tokens in prop::collection::vec(any::<u8>(), 0..200), rows in 0u32..300) {
            let mut column = TailColumn::default();
            if column.read(&tokens, rows).is_ok() {
                prop_assert!(column.values.len() <= rows as usize);
            }
        }
    }
}
