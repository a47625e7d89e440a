//! Native histograms of a request.

use swell_model::{CounterResetHint, InvalidHistogram, NativeHistogram, Span};

use crate::protobuf::{Cursor, Value, WireError, each_field, low_u32, repeated, unzigzag};

/// A histogram that is not read yet.
#[derive(Clone, Copy, Debug)]
pub struct HistogramMessage<'a> {
    pub(super) cursor: Cursor<'a>,
}

/// A histogram with its times.
#[derive(Clone, Debug, PartialEq)]
pub struct WireHistogram {
    /// When, in milliseconds.
    pub timestamp_ms: i64,
    /// Since when it counts, in milliseconds; 0 for unknown, and always in 1.0.
    pub start_ms: i64,
    /// What; its sum may be the staleness marker.
    pub value: NativeHistogram,
}

/// Why a histogram was not read.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum ReadHistogramError {
    /// The request is malformed.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The histogram breaks a rule; the rest of the request may be good.
    #[error("invalid histogram: {0}")]
    Invalid(#[from] InvalidHistogram),
}

/// One side, as it is on the wire.
#[derive(Debug, Default)]
struct Side {
    spans: Vec<Span>,
    deltas: Vec<i64>,
    counts: Vec<f64>,
}

#[derive(Debug, Default)]
struct Raw {
    count_int: Option<u64>,
    count_float: f64,
    sum: f64,
    schema: i32,
    zero_threshold: f64,
    zero_count_int: u64,
    zero_count_float: f64,
    negative: Side,
    positive: Side,
    reset_hint: CounterResetHint,
    timestamp_ms: i64,
    custom_bounds: Vec<f64>,
    start_ms: i64,
}

impl HistogramMessage<'_> {
    /// Reads and checks it.
    ///
    /// # Errors
    /// [`ReadHistogramError`]: malformed, or against a rule.
    pub fn read(&self) -> Result<WireHistogram, ReadHistogramError> {
        let raw = Raw::read(self.cursor)?;
        Ok(raw.checked()?)
    }

    /// Buckets, bounds and spans that it names: what reading it takes memory for. They are counted without being read.
    ///
    /// # Errors
    /// [`WireError`] when a field is malformed.
    pub fn numbers(&self) -> Result<usize, WireError> {
        let mut count = 0;
        each_field(self.cursor, |number, value, _| {
            count += match (number, value) {
                // The last byte of a varint is below 0x80.
                (9 | 12, Value::Bytes(packed)) => {
                    packed.bytes().iter().filter(|byte| **byte < 0x80).count()
                }
                (10 | 13 | 16, Value::Bytes(packed)) => packed.len() / size_of::<f64>(),
                (8..=13 | 16, _) => 1,
                _ => 0,
            };
            Ok(())
        })?;
        Ok(count)
    }
}

impl Raw {
    fn read(cursor: Cursor<'_>) -> Result<Self, WireError> {
        // Without a count it is an integer histogram of nothing; the last member of a group counts.
        let mut raw = Self { count_int: Some(0), ..Self::default() };
        each_field(cursor, |number, value, at| {
            match number {
                1 => raw.count_int = Some(value.number(at)?),
                2 => {
                    raw.count_int = None;
                    raw.count_float = value.float(at)?;
                }
                3 => raw.sum = value.float(at)?,
                4 => raw.schema = sint32(value.number(at)?),
                5 => raw.zero_threshold = value.float(at)?,
                6 => raw.zero_count_int = value.number(at)?,
                7 => raw.zero_count_float = value.float(at)?,
                8 => raw.negative.spans.push(span(value.stretch(at)?)?),
                9 => deltas(value, at, &mut raw.negative.deltas)?,
                10 => doubles(value, at, &mut raw.negative.counts)?,
                11 => raw.positive.spans.push(span(value.stretch(at)?)?),
                12 => deltas(value, at, &mut raw.positive.deltas)?,
                13 => doubles(value, at, &mut raw.positive.counts)?,
                14 => raw.reset_hint = reset_hint(value.number(at)?),
                15 => raw.timestamp_ms = value.signed(at)?,
                16 => doubles(value, at, &mut raw.custom_bounds)?,
                17 => raw.start_ms = value.signed(at)?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(raw)
    }

    fn checked(self) -> Result<WireHistogram, InvalidHistogram> {
        let is_int = self.count_int.is_some();
        let value = NativeHistogram {
            schema: self.schema,
            reset_hint: self.reset_hint,
            zero_threshold: self.zero_threshold,
            zero_count: if is_int { float_of(self.zero_count_int) } else { self.zero_count_float },
            count: self.count_int.map_or(self.count_float, float_of),
            sum: self.sum,
            positive_buckets: self.positive.counted(is_int),
            positive_spans: self.positive.spans,
            negative_buckets: self.negative.counted(is_int),
            negative_spans: self.negative.spans,
            custom_bounds: self.custom_bounds,
        };
        let value = value.checked(is_int)?;
        Ok(WireHistogram { timestamp_ms: self.timestamp_ms, start_ms: self.start_ms, value })
    }
}

impl Side {
    /// Absolute counts.
    fn counted(&self, is_int: bool) -> Vec<f64> {
        if !is_int {
            return self.counts.clone();
        }
        let mut count = 0_i64;
        let absolute = self.deltas.iter().map(|delta| {
            count = count.wrapping_add(*delta);
            count
        });
        absolute.map(signed_float_of).collect()
    }
}

/// Counts beyond 2^53 lose their last digits, as they do in float histograms everywhere.
#[expect(clippy::cast_precision_loss, reason = "stated above")]
const fn float_of(count: u64) -> f64 {
    count as f64
}

#[expect(clippy::cast_precision_loss, reason = "as for unsigned counts")]
const fn signed_float_of(count: i64) -> f64 {
    count as f64
}

fn sint32(value: u64) -> i32 {
    let value = low_u32(value);
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

fn span(cursor: Cursor<'_>) -> Result<Span, WireError> {
    let mut span = Span { offset: 0, length: 0 };
    each_field(cursor, |number, value, at| {
        match number {
            1 => span.offset = sint32(value.number(at)?),
            2 => span.length = value.u32(at)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(span)
}

fn deltas<'a>(value: Value<'a>, at: &Cursor<'a>, out: &mut Vec<i64>) -> Result<(), WireError> {
    let single = |value: Value<'a>| value.number(at).map(unzigzag);
    repeated(value, at, out, |packed| packed.varint().map(unzigzag), single)
}

fn doubles<'a>(value: Value<'a>, at: &Cursor<'a>, out: &mut Vec<f64>) -> Result<(), WireError> {
    let single = |value: Value<'a>| value.float(at);
    repeated(value, at, out, |packed| packed.fixed64().map(f64::from_bits), single)
}

const fn reset_hint(number: u64) -> CounterResetHint {
    match number {
        1 => CounterResetHint::Reset,
        2 => CounterResetHint::NotReset,
        3 => CounterResetHint::Gauge,
        _ => CounterResetHint::Unknown,
    }
}
