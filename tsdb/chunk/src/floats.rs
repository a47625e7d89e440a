//! A column of floats. Every bit pattern comes back, NaN payloads and the sign of zero included.
//!
//! ```text
//! head   byte     codec (bits 0-2), exceptions follow (bit 3)
//!        Constant         8 bytes of the value
//!        ConstantDecimal  byte exponent, zigzag mantissa
//!        Decimal          byte exponent, [varint number of exceptions], integer head of the mantissas
//!        PseudoDecimal    the same, then integer head of the corrections
//!        Bits             integer head of the bit patterns
//! body   Decimal          integer body, exceptions
//!        PseudoDecimal    integer body of mantissas, of corrections, exceptions
//!        Bits             integer body
//! exceptions: for each, varint (distance from the last position * 2 + is the staleness marker), [8 bytes value]
//! ```
//!
//! - **Decimal**: all values but the exceptions are `mantissa / 10^exponent` exactly. An exception's mantissa
//!   repeats the one before it, so that a NaN in mid-stream costs its own bytes and no more.
//! - **`PseudoDecimal`**: sums of measured durations are decimals but for rounding; the correction is the
//!   distance in bit patterns.
//! - **Bits**: differences of bit patterns, for what is left.

use swell_model::STALE_NAN_BITS;

use crate::bytes::{Cursor, put_varint, put_zigzag, varint_len};
use crate::decimal::{EXPONENT_MAX, exact_exponent, exact_mantissa, float_of, nearest_mantissa};
use crate::error::DecodeError;
use crate::ints::{self, IntPlan};

const CONSTANT: u8 = 0;
const CONSTANT_DECIMAL: u8 = 1;
const DECIMAL: u8 = 2;
const PSEUDO_DECIMAL: u8 = 3;
const BITS: u8 = 4;
const HAS_EXCEPTIONS: u8 = 1 << 3;

/// Exponents tried for pseudo-decimals: seconds measured in milli-, micro- and nanoseconds, and between.
const PSEUDO_EXPONENTS: [u8; 7] = [9, 6, 3, 12, 8, 4, 2];
/// Values looked at to choose among [`PSEUDO_EXPONENTS`], and whether any of them helps.
const PSEUDO_TRIAL_LEN: usize = 64;
/// Once so many values are under no exponent exact, and half of all seen, the column is not decimal.
const NOT_DECIMAL_COUNT: usize = 16;

/// A column analysed and ready to be written: the cheapest of the codecs, by estimated size.
#[derive(Debug)]
pub struct FloatWriter<'v> {
    values: &'v [f64],
    form: Form,
}

#[derive(Debug)]
enum Form {
    Empty,
    Constant(f64),
    Decimal(Decimals),
    Pseudo { decimals: Decimals, corrections: Vec<i64>, correction_plan: IntPlan },
    Bits { bits: Vec<i64>, plan: IntPlan },
}

#[derive(Debug)]
struct Decimals {
    exponent: u8,
    mantissas: Vec<i64>,
    plan: IntPlan,
    /// Positions of values that are not `mantissa / 10^exponent`.
    exceptions: Vec<usize>,
    exception_bytes: usize,
}

impl<'v> FloatWriter<'v> {
    /// Looks at the values and chooses how to write them.
    #[must_use]
    pub fn new(values: &'v [f64]) -> Self {
        Self { values, form: choose(values) }
    }

    /// Bytes of the body; the head takes some ten more.
    #[must_use]
    pub fn body_bytes(&self) -> usize {
        self.form.body_bytes()
    }

    /// Appends the column's head and body.
    pub fn write(&self, head: &mut Vec<u8>, body: &mut Vec<u8>) {
        match &self.form {
            Form::Empty => {}
            Form::Constant(value) => write_constant(*value, head),
            Form::Decimal(decimals) => {
                decimals.write_head(DECIMAL, head);
                ints::encode(&decimals.plan, &decimals.mantissas, head, body);
                decimals.write_exceptions(self.values, body);
            }
            Form::Pseudo { decimals, corrections, correction_plan } => {
                decimals.write_head(PSEUDO_DECIMAL, head);
                ints::encode(&decimals.plan, &decimals.mantissas, head, body);
                ints::encode(correction_plan, corrections, head, body);
                decimals.write_exceptions(self.values, body);
            }
            Form::Bits { bits, plan } => {
                head.push(BITS);
                ints::encode(plan, bits, head, body);
            }
        }
    }
}

impl Form {
    fn body_bytes(&self) -> usize {
        match self {
            Self::Empty | Self::Constant(_) => 0,
            Self::Decimal(decimals) => decimals.body_bytes(),
            Self::Pseudo { decimals, correction_plan, .. } => {
                decimals.body_bytes() + correction_plan.body_bytes
            }
            Self::Bits { plan, .. } => plan.body_bytes,
        }
    }
}

impl Decimals {
    /// Values that have no mantissa by `mantissa_of` become exceptions; `None` when all would.
    fn new(
        values: &[f64],
        exponent: u8,
        mantissa_of: impl Fn(f64, u8) -> Option<i64>,
    ) -> Option<Self> {
        let mut last = values.iter().find_map(|value| mantissa_of(*value, exponent))?;
        let mut mantissas = Vec::with_capacity(values.len());
        let mut exceptions = Vec::new();
        let mut exception_bytes = 0;
        for (idx, value) in values.iter().enumerate() {
            match mantissa_of(*value, exponent) {
                Some(mantissa) => last = mantissa,
                None => {
                    let distance = idx - exceptions.last().copied().unwrap_or_default();
                    exception_bytes += varint_len(2 * distance as u64)
                        + if value.to_bits() == STALE_NAN_BITS { 0 } else { 8 };
                    exceptions.push(idx);
                }
            }
            mantissas.push(last);
        }
        let plan = ints::plan(&mantissas);
        Some(Self { exponent, mantissas, plan, exceptions, exception_bytes })
    }

    fn body_bytes(&self) -> usize {
        self.plan.body_bytes + self.exception_bytes
    }

    fn write_head(&self, codec: u8, head: &mut Vec<u8>) {
        let has_exceptions = !self.exceptions.is_empty();
        head.push(codec | if has_exceptions { HAS_EXCEPTIONS } else { 0 });
        head.push(self.exponent);
        if has_exceptions {
            put_varint(head, self.exceptions.len() as u64);
        }
    }

    fn write_exceptions(&self, values: &[f64], body: &mut Vec<u8>) {
        let mut last = 0;
        for idx in &self.exceptions {
            let bits = values[*idx].to_bits();
            let is_stale = bits == STALE_NAN_BITS;
            put_varint(body, 2 * (idx - last) as u64 + u64::from(is_stale));
            if !is_stale {
                body.extend_from_slice(&bits.to_le_bytes());
            }
            last = *idx;
        }
    }
}

fn choose(values: &[f64]) -> Form {
    let Some(first) = values.first() else { return Form::Empty };
    if values.iter().all(|value| value.to_bits() == first.to_bits()) {
        return Form::Constant(*first);
    }
    let mut best: Option<Form> = None;
    let mut consider = |form: Option<Form>| {
        if let Some(form) = form
            && best.as_ref().is_none_or(|best| form.body_bytes() < best.body_bytes())
        {
            best = Some(form);
        }
    };
    let widest = widest_exponent(values);
    let decimals = widest.and_then(|widest| Decimals::new(values, widest, exact_mantissa));
    let all_fit = decimals.as_ref().is_some_and(|d| 8 * d.exceptions.len() <= values.len());
    let bytes = decimals.as_ref().map_or(usize::MAX, Decimals::body_bytes);
    consider(decimals.map(Form::Decimal));
    // Short decimals at three bytes a value or less leave nothing for the other codecs to gain.
    if !all_fit || bytes > 3 * values.len() {
        if let Some(widest) = widest {
            let usual = usual_exponent(values);
            if usual != widest {
                consider(Decimals::new(values, usual, exact_mantissa).map(Form::Decimal));
            }
        }
        consider(pseudo(values));
        consider(Some(bits_of(values)));
    }
    best.expect("bit patterns are always a choice when decimals are not")
}

/// The smallest exponent under which every value is exact that is exact under any; `None` when too few are.
fn widest_exponent(values: &[f64]) -> Option<u8> {
    let mut widest = 0;
    let mut inexact_count = 0;
    for (idx, value) in values.iter().enumerate() {
        if exact_mantissa(*value, widest).is_some() {
            continue;
        }
        match exact_exponent(*value, widest + u8::from(widest < EXPONENT_MAX)) {
            Some(exponent) => widest = exponent,
            // A NaN is set aside and says nothing about the numbers.
            None if !value.is_finite() => {}
            None => {
                inexact_count += 1;
                if inexact_count >= NOT_DECIMAL_COUNT && 2 * inexact_count > idx {
                    return None;
                }
            }
        }
    }
    Some(widest)
}

/// The exponent that nine in ten of up to 64 values need at most: one long outlier shall not widen all.
fn usual_exponent(values: &[f64]) -> u8 {
    let step = values.len().div_ceil(64);
    let mut exponents: Vec<u8> =
        values.iter().step_by(step).filter_map(|value| exact_exponent(*value, 0)).collect();
    exponents.sort_unstable();
    exponents.get(exponents.len() * 9 / 10).copied().unwrap_or_default()
}

fn bits_of(values: &[f64]) -> Form {
    let bits: Vec<i64> = values.iter().map(|value| value.to_bits().cast_signed()).collect();
    let plan = ints::plan(&bits);
    Form::Bits { bits, plan }
}

fn pseudo(values: &[f64]) -> Option<Form> {
    let trial = &values[..values.len().min(PSEUDO_TRIAL_LEN)];
    let (bytes, exponent) = PSEUDO_EXPONENTS
        .into_iter()
        .filter_map(|exponent| Some((pseudo_at(trial, exponent)?.body_bytes(), exponent)))
        .min()?;
    if bytes < bits_of(trial).body_bytes() { pseudo_at(values, exponent) } else { None }
}

fn pseudo_at(values: &[f64], exponent: u8) -> Option<Form> {
    let decimals = Decimals::new(values, exponent, nearest_mantissa)?;
    let mut corrections: Vec<i64> = values
        .iter()
        .zip(&decimals.mantissas)
        .map(|(value, mantissa)| {
            let near = float_of(*mantissa, exponent).to_bits();
            value.to_bits().wrapping_sub(near).cast_signed()
        })
        .collect();
    decimals.exceptions.iter().for_each(|idx| corrections[*idx] = 0);
    let correction_plan = ints::plan(&corrections);
    Some(Form::Pseudo { decimals, corrections, correction_plan })
}

fn write_constant(value: f64, head: &mut Vec<u8>) {
    let exponent = exact_exponent(value, 0);
    match exponent.and_then(|exponent| Some((exponent, exact_mantissa(value, exponent)?))) {
        Some((exponent, mantissa)) => {
            head.extend([CONSTANT_DECIMAL, exponent]);
            put_zigzag(head, mantissa);
        }
        None => {
            head.push(CONSTANT);
            head.extend_from_slice(&value.to_bits().to_le_bytes());
        }
    }
}

/// Decodes columns, and keeps its buffers between them.
#[derive(Debug, Default)]
pub struct FloatReader {
    mantissas: Vec<i64>,
    corrections: Vec<i64>,
}

impl FloatReader {
    /// A reader without buffers yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Decodes as many values as `out` has room for: as many as were written.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are not what [`FloatWriter`] writes for that many values; `out` then
    /// holds nothing of meaning.
    pub fn read(
        &mut self,
        head: &mut Cursor<'_>,
        body: &mut Cursor<'_>,
        out: &mut [f64],
    ) -> Result<(), DecodeError> {
        if out.is_empty() {
            return Ok(());
        }
        let kind = head.u8()?;
        let has_exceptions = kind & HAS_EXCEPTIONS != 0;
        match kind & !HAS_EXCEPTIONS {
            CONSTANT if !has_exceptions => out.fill(f64::from_bits(head.u64()?)),
            CONSTANT_DECIMAL if !has_exceptions => {
                let exponent = read_exponent(head)?;
                out.fill(float_of(head.zigzag()?, exponent));
            }
            BITS if !has_exceptions => {
                self.mantissas.resize(out.len(), 0);
                ints::decode(head, body, &mut self.mantissas)?;
                for (value, bits) in out.iter_mut().zip(&self.mantissas) {
                    *value = f64::from_bits(bits.cast_unsigned());
                }
            }
            codec @ (DECIMAL | PSEUDO_DECIMAL) => {
                let exponent = read_exponent(head)?;
                let exception_count = if has_exceptions { head.count(out.len())? } else { 0 };
                self.mantissas.resize(out.len(), 0);
                ints::decode(head, body, &mut self.mantissas)?;
                scale(&self.mantissas, exponent, out);
                if codec == PSEUDO_DECIMAL {
                    self.corrections.resize(out.len(), 0);
                    ints::decode(head, body, &mut self.corrections)?;
                    for (value, correction) in out.iter_mut().zip(&self.corrections) {
                        let bits = value.to_bits().wrapping_add(correction.cast_unsigned());
                        *value = f64::from_bits(bits);
                    }
                }
                read_exceptions(exception_count, body, out)?;
            }
            _ => return Err(head.fault("the codec of a float column is unknown")),
        }
        Ok(())
    }
}

fn read_exponent(head: &mut Cursor<'_>) -> Result<u8, DecodeError> {
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

fn read_exceptions(
    count: usize,
    body: &mut Cursor<'_>,
    out: &mut [f64],
) -> Result<(), DecodeError> {
    let mut position: u64 = 0;
    for _ in 0..count {
        let distance = body.varint()?;
        position = position.saturating_add(distance >> 1);
        let bits = if distance & 1 == 1 { STALE_NAN_BITS } else { body.u64()? };
        let value = usize::try_from(position)
            .ok()
            .and_then(|position| out.get_mut(position))
            .ok_or_else(|| body.fault("an exception lies outside its column"))?;
        *value = f64::from_bits(bits);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use swell_model::stale_nan;

    use super::*;

    fn check(values: &[f64], max_bytes: usize) {
        let (mut head, mut body) = (Vec::new(), Vec::new());
        let writer = FloatWriter::new(values);
        writer.write(&mut head, &mut body);
        assert_eq!(body.len(), writer.body_bytes(), "the estimate is exact");
        let bytes = head.len() + body.len();
        assert!(bytes <= max_bytes, "{bytes} > {max_bytes} bytes, kind {:?}", head.first());
        let mut back = vec![1.5; values.len()];
        let (mut head, mut body) = (Cursor::new(&head), Cursor::new(&body));
        FloatReader::new().read(&mut head, &mut body, &mut back).expect("decodes");
        let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&back), bits(values));
        assert!(head.finish().is_ok() && body.finish().is_ok());
    }

    #[test]
    fn constants_are_heads_only() {
        check(&[], 0);
        check(&[1.0; 1000], 3);
        check(&[0.25; 1000], 4);
        check(&[f64::NAN; 1000], 9);
        check(&[-0.0; 10], 9);
        check(&[stale_nan(); 10], 9);
    }

    #[test]
    fn a_staleness_marker_does_not_spoil_a_counter() {
        let counter: Vec<f64> = (0..480).map(|i| 1_000_000.0 + f64::from(i) * 7.0).collect();
        check(&counter, 24);
        let mut broken = counter;
        broken[200] = stale_nan();
        check(&broken, 44);
        broken[100] = f64::INFINITY;
        broken[479] = -0.0;
        check(&broken, 90);
    }

    #[test]
    fn a_column_that_starts_without_numbers_is_decimal_after() {
        let mut quantile = vec![f64::NAN; 100];
        quantile.extend((0..400).map(|i| f64::from(i % 7) / 1000.0));
        check(&quantile, 100 * 9 + 400);
    }

    #[test]
    fn percentages_and_bytes_pack_small() {
        let load: Vec<f64> = (0..512).map(|i| f64::from((i * 37) % 400) / 100.0).collect();
        check(&load, 512 * 9 / 8 + 40);
        let memory: Vec<f64> =
            (0..512).map(|i| f64::from(8_000_000 + (i * 37) % 64) * 4096.0).collect();
        check(&memory, 512 * 6 / 8 + 40);
    }

    #[test]
    fn sums_of_durations_are_pseudo_decimals() {
        let mut sum = 0.0;
        let sums: Vec<f64> = (0..512)
            .map(|i| {
                sum += f64::from(1_000 + (i * 7919) % 512) / 1e6;
                sum
            })
            .collect();
        check(&sums, 512 * 3);
    }

    #[test]
    fn noise_costs_little_more_than_itself() {
        let noise: Vec<f64> = (0..512u64)
            .map(|i| {
                f64::from_bits(0x3fe0_0000_0000_0000 | i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 12)
            })
            .collect();
        check(&noise, 512 * 8 + 32);
    }

    #[test]
    fn wrong_heads_are_refused() {
        for head in [&[][..], &[7], &[CONSTANT | HAS_EXCEPTIONS, 0], &[DECIMAL, 99], &[0x80]] {
            let mut out = [0.0; 4];
            let (mut head, mut body) = (Cursor::new(head), Cursor::new(&[]));
            assert!(FloatReader::new().read(&mut head, &mut body, &mut out).is_err());
        }
    }

    fn any_value() -> impl Strategy<Value = f64> {
        prop_oneof![
            4 => (-100_000i32..100_000, 0i32..4).prop_map(|(m, e)| f64::from(m) / 10f64.powi(e)),
            2 => (0i32..3).prop_map(f64::from),
            1 => any::<u64>().prop_map(f64::from_bits),
            1 => Just(stale_nan()),
            1 => prop::sample::select(vec![f64::INFINITY, f64::NEG_INFINITY, -0.0, f64::MIN_POSITIVE, 5e-324]),
        ]
    }

    proptest! {
        #[test]
        fn any_values_come_back(values in prop::collection::vec(any_value(), 0..400)) {
            check(&values, usize::MAX);
        }

        #[test]
        fn any_bits_come_back(values in prop::collection::vec(any::<u64>(), 0..300)) {
            check(&values.into_iter().map(f64::from_bits).collect::<Vec<_>>(), usize::MAX);
        }

        #[test]
        fn garbage_never_panics(
            head in prop::collection::vec(any::<u8>(), 0..30),
            body in prop::collection::vec(any::<u8>(), 0..400),
            count in 0usize..300,
        ) {
            let mut out = vec![0.0; count];
            let mut head = Cursor::new(&head);
            if FloatReader::new().read(&mut head, &mut Cursor::new(&body), &mut out).is_ok() {
                prop_assert!(out.is_empty() || head.offset() > 0);
            }
        }

        #[test]
        fn damaged_columns_never_panic(
            values in prop::collection::vec(any_value(), 1..200),
            at in any::<prop::sample::Index>(),
            mask in 1u8..,
        ) {
            let (mut head, mut body) = (Vec::new(), Vec::new());
            FloatWriter::new(&values).write(&mut head, &mut body);
            let at = at.index(head.len() + body.len());
            if at < head.len() { head[at] ^= mask } else { body[at - head.len()] ^= mask }
            let mut out = vec![0.0; values.len()];
            let mut head = Cursor::new(&head);
            if FloatReader::new().read(&mut head, &mut Cursor::new(&body), &mut out).is_ok() {
                prop_assert!(out.is_empty() || head.offset() > 0);
            }
        }
    }
}
