//! From values to the smallest of the codecs.

use swell_model::STALE_NAN_BITS;

use super::{BITS, CONSTANT, CONSTANT_DECIMAL, DECIMAL, HAS_EXCEPTIONS, PSEUDO_DECIMAL, REFERRING};
use crate::bytes::{put_varint, put_zigzag, varint_len};
use crate::decimal::{EXPONENT_MAX, exact_exponent, exact_mantissa, float_of, nearest_mantissa};
use crate::ints::{self, IntPlan};

/// Exponents tried for pseudo-decimals: seconds measured in milli-, micro- and nanoseconds, and between.
const PSEUDO_EXPONENTS: [u8; 7] = [9, 6, 3, 12, 8, 4, 2];
/// Values looked at to choose among [`PSEUDO_EXPONENTS`], and whether any of them helps.
const PSEUDO_TRIAL_LEN: usize = 64;
/// An exponent under which corrections take at most one in so many bytes is taken.
const PSEUDO_FITS: usize = 4;
/// Once so many values are under no exponent exact, and half of all seen, the column is not decimal.
const NOT_DECIMAL_COUNT: usize = 16;
/// Values looked at to tell whether a reference helps.
const REFERENCE_TRIAL_LEN: usize = 128;
/// A reference must save an eighth of the bytes: reading it costs the reading of another column.
const REFERENCE_GAIN: usize = 8;

/// The parts a column is written to; each is appended to.
#[derive(Clone, Debug, Default)]
pub struct FloatParts {
    /// Codec, exponent, kinds of integers: few distinct bytes.
    pub kinds: Vec<u8>,
    /// First values, first differences, scales.
    pub numbers: Vec<u8>,
    /// Packed values.
    pub body: Vec<u8>,
    /// Positions, and where they are not the staleness marker values, of what is set aside.
    pub exceptions: Vec<u8>,
}

impl FloatParts {
    /// Empties all parts.
    pub fn clear(&mut self) {
        [&mut self.kinds, &mut self.numbers, &mut self.body, &mut self.exceptions]
            .into_iter()
            .for_each(Vec::clear);
    }
}

/// A column analysed and ready to be written: the cheapest of the codecs, by estimated size.
#[derive(Debug)]
pub struct FloatWriter<'v> {
    pub(super) values: &'v [f64],
    pub(super) form: Form,
}

#[derive(Debug)]
pub(super) enum Form {
    Empty,
    Constant(f64),
    Decimal(Decimals),
    Referring { decimals: Decimals, differences: Vec<i64>, plan: IntPlan },
    Pseudo { decimals: Decimals, corrections: Vec<i64>, correction_plan: IntPlan },
    Bits { bits: Vec<i64>, plan: IntPlan },
}

#[derive(Debug)]
pub(super) struct Decimals {
    pub(super) exponent: u8,
    pub(super) mantissas: Vec<i64>,
    plan: IntPlan,
    /// Positions of values that are not `mantissa / 10^exponent`.
    pub(super) exceptions: Vec<usize>,
    exception_bytes: usize,
}

impl<'v> FloatWriter<'v> {
    /// Looks at the values and chooses how to write them.
    #[must_use]
    pub fn new(values: &'v [f64]) -> Self {
        Self { values, form: choose(values) }
    }

    /// Bytes of body and exceptions; the head takes some ten more.
    #[must_use]
    pub fn body_bytes(&self) -> usize {
        self.form.body_bytes()
    }

    /// Mantissas that another column may refer to: those of a decimal that is not constant.
    #[must_use]
    pub fn mantissas(&self) -> Option<&[i64]> {
        match &self.form {
            Form::Decimal(decimals) | Form::Referring { decimals, .. } => Some(&decimals.mantissas),
            _ => None,
        }
    }

    /// The same, by value.
    #[must_use]
    pub fn into_mantissas(self) -> Option<Vec<i64>> {
        match self.form {
            Form::Decimal(decimals) | Form::Referring { decimals, .. } => Some(decimals.mantissas),
            _ => None,
        }
    }

    /// Of columns with these mantissas the one that referring to saves the most bytes, judged by the start of each and by
    /// how many bits differ; `None` when it is not worth it or the columns cannot refer to each other. Of equal ones the
    /// first counts.
    pub fn best_reference<'r, R>(
        &self,
        references: impl IntoIterator<Item = (&'r [i64], R)>,
    ) -> Option<R> {
        let Form::Decimal(decimals) = &self.form else { return None };
        if decimals.plan.body_bytes == 0 {
            return None;
        }
        let trial = &decimals.mantissas[..decimals.mantissas.len().min(REFERENCE_TRIAL_LEN)];
        let is_comparable = |reference: &(&[i64], R)| reference.0.len() == decimals.mantissas.len();
        let alone = ints::residual_bits(trial.iter().copied());
        let mut best = (alone - alone / REFERENCE_GAIN as u64, None);
        for (reference, of) in references.into_iter().filter(is_comparable) {
            let differences =
                trial.iter().zip(reference).map(|(own, other)| own.wrapping_sub(*other));
            let bits = ints::residual_bits(differences);
            if bits < best.0 {
                best = (bits, Some(of));
            }
        }
        best.1
    }

    /// Refers to a column with these mantissas from now on, if that is smaller; gives whether it is.
    pub fn refer_to(&mut self, reference: &[i64]) -> bool {
        let Form::Decimal(decimals) = &mut self.form else { return false };
        if reference.len() != decimals.mantissas.len() {
            return false;
        }
        let differences = differences(&decimals.mantissas, reference);
        let plan = ints::plan(&differences);
        let alone = decimals.plan.body_bytes;
        if plan.body_bytes + alone / REFERENCE_GAIN >= alone {
            return false;
        }
        let form = std::mem::replace(&mut self.form, Form::Empty);
        if let Form::Decimal(decimals) = form {
            self.form = Form::Referring { decimals, differences, plan };
        }
        true
    }

    /// Appends the column to its parts.
    pub fn write(&self, out: &mut FloatParts) {
        let FloatParts { kinds, numbers, body, exceptions } = out;
        match &self.form {
            Form::Empty => {}
            Form::Constant(value) => write_constant(*value, kinds, numbers),
            Form::Decimal(decimals) => {
                decimals.write_head(DECIMAL, kinds, numbers);
                ints::encode(&decimals.plan, &decimals.mantissas, kinds, numbers, body);
                decimals.write_exceptions(self.values, exceptions);
            }
            Form::Referring { decimals, differences, plan } => {
                decimals.write_head(REFERRING, kinds, numbers);
                ints::encode(plan, differences, kinds, numbers, body);
                decimals.write_exceptions(self.values, exceptions);
            }
            Form::Pseudo { decimals, corrections, correction_plan } => {
                decimals.write_head(PSEUDO_DECIMAL, kinds, numbers);
                ints::encode(&decimals.plan, &decimals.mantissas, kinds, numbers, body);
                ints::encode(correction_plan, corrections, kinds, numbers, body);
                decimals.write_exceptions(self.values, exceptions);
            }
            Form::Bits { bits, plan } => {
                kinds.push(BITS);
                ints::encode(plan, bits, kinds, numbers, body);
            }
        }
    }

    /// Appends the column as one piece.
    pub fn write_whole(&self, out: &mut Vec<u8>) {
        let mut parts = FloatParts::default();
        self.write(&mut parts);
        for part in [&parts.kinds, &parts.numbers, &parts.body, &parts.exceptions] {
            out.extend_from_slice(part);
        }
    }
}

fn differences(mantissas: &[i64], reference: &[i64]) -> Vec<i64> {
    mantissas.iter().zip(reference).map(|(mantissa, other)| mantissa.wrapping_sub(*other)).collect()
}

impl Form {
    fn body_bytes(&self) -> usize {
        match self {
            Self::Empty | Self::Constant(_) => 0,
            Self::Decimal(decimals) => decimals.body_bytes(),
            Self::Referring { decimals, plan, .. } => plan.body_bytes + decimals.exception_bytes,
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

    fn write_head(&self, codec: u8, kinds: &mut Vec<u8>, numbers: &mut Vec<u8>) {
        let has_exceptions = !self.exceptions.is_empty();
        kinds.push(codec | if has_exceptions { HAS_EXCEPTIONS } else { 0 });
        kinds.push(self.exponent);
        if has_exceptions {
            put_varint(numbers, self.exceptions.len() as u64);
        }
    }

    fn write_exceptions(&self, values: &[f64], out: &mut Vec<u8>) {
        let mut last = 0;
        for idx in &self.exceptions {
            let bits = values[*idx].to_bits();
            let is_stale = bits == STALE_NAN_BITS;
            put_varint(out, 2 * (idx - last) as u64 + u64::from(is_stale));
            if !is_stale {
                out.extend_from_slice(&bits.to_le_bytes());
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
    let mut best: Option<(usize, u8)> = None;
    for exponent in PSEUDO_EXPONENTS {
        let Some(form) = pseudo_at(trial, exponent) else { continue };
        let found = (form.body_bytes(), exponent);
        best = best.into_iter().chain([found]).min();
        // Where corrections are that small, values are decimals of this length, and others save nothing.
        if let Form::Pseudo { decimals, correction_plan, .. } = &form
            && correction_plan.body_bytes * PSEUDO_FITS <= decimals.plan.body_bytes
        {
            break;
        }
    }
    let (bytes, exponent) = best?;
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

fn write_constant(value: f64, kinds: &mut Vec<u8>, numbers: &mut Vec<u8>) {
    let exponent = exact_exponent(value, 0);
    match exponent.and_then(|exponent| Some((exponent, exact_mantissa(value, exponent)?))) {
        Some((exponent, mantissa)) => {
            kinds.extend([CONSTANT_DECIMAL, exponent]);
            put_zigzag(numbers, mantissa);
        }
        None => {
            kinds.push(CONSTANT);
            numbers.extend_from_slice(&value.to_bits().to_le_bytes());
        }
    }
}
