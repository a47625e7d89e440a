//! Chunks of native histograms: one layout, then per sample the differences of each field and bucket.

use std::sync::Arc;

use swell_model::{CounterResetHint, NativeHistogram, Span, is_stale_nan, stale_nan};

use super::bits::{BitReader, XorValue};
use super::bytes::Fault;

/// How counts are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counts {
    /// As differences of differences of integers; buckets also from one to the next.
    Integers,
    /// As floats.
    Floats,
}

/// Buckets of one histogram; more is damage that its checksum did not show.
const BUCKETS_MAX: u64 = 1 << 20;

struct Layout {
    schema: i32,
    zero_threshold: f64,
    positive: Vec<Span>,
    negative: Vec<Span>,
    custom_bounds: Vec<f64>,
}

impl Layout {
    fn read(stream: &mut BitReader<'_>) -> Result<Self, Fault> {
        let zero_threshold = match stream.byte()? {
            0 => 0.0,
            255 => stream.f64()?,
            // 2 to the power of this less 244: the exponent is stored as if of a number between 0.5 and 1.
            exponent => 2.0_f64.powi(i32::from(exponent) - 244),
        };
        let schema = stream.varbit_int()?;
        let schema = i32::try_from(schema)
            .ok()
            .filter(|it| (-4..=8).contains(it) || *it == NativeHistogram::CUSTOM_SCHEMA)
            .ok_or_else(|| {
                format!("a histogram has schema {schema}, which is not between -4 and 8")
            })?;
        let positive = spans(stream)?;
        let negative = spans(stream)?;
        let mut custom_bounds = Vec::new();
        if schema == NativeHistogram::CUSTOM_SCHEMA {
            for _ in 0..count(stream.varbit_uint()?)? {
                custom_bounds.push(custom_bound(stream)?);
            }
        }
        Ok(Self { schema, zero_threshold, positive, negative, custom_bounds })
    }
}

/// Thousandths plus one, or 0 and the float itself.
#[expect(clippy::cast_precision_loss, reason = "the writer uses it for integers below 2^25 only")]
fn custom_bound(stream: &mut BitReader<'_>) -> Result<f64, Fault> {
    match stream.varbit_uint()? {
        0 => stream.f64(),
        thousandths => Ok((thousandths - 1) as f64 / 1000.0),
    }
}

fn count(count: u64) -> Result<usize, Fault> {
    usize::try_from(count)
        .ok()
        .filter(|_| count <= BUCKETS_MAX)
        .ok_or_else(|| format!("a histogram of {count} buckets or spans"))
}

fn spans(stream: &mut BitReader<'_>) -> Result<Vec<Span>, Fault> {
    let mut spans = Vec::new();
    let mut buckets = 0_u64;
    for _ in 0..count(stream.varbit_uint()?)? {
        let length = stream.varbit_uint()?;
        let offset = stream.varbit_int()?;
        buckets = buckets.saturating_add(length);
        count(buckets)?;
        let offset =
            i32::try_from(offset).map_err(|_| format!("a span has the offset {offset}"))?;
        let length = u32::try_from(length).map_err(|_| format!("a span of {length} buckets"))?;
        spans.push(Span { offset, length });
    }
    Ok(spans)
}

fn bucket_count(spans: &[Span]) -> usize {
    spans.iter().map(|span| span.length as usize).sum()
}

/// One number of a histogram, from sample to sample.
#[derive(Clone, Copy, Debug)]
enum Number {
    Integer { value: i64, delta: i64 },
    Float(XorValue),
}

impl Number {
    /// Reads it for the first time; bucket counts may be below the one before, fields of their own are not negative.
    fn first(counts: Counts, signed: bool, stream: &mut BitReader<'_>) -> Result<Self, Fault> {
        Ok(match counts {
            Counts::Integers if signed => Self::Integer { value: stream.varbit_int()?, delta: 0 },
            Counts::Integers => {
                Self::Integer { value: stream.varbit_uint()?.cast_signed(), delta: 0 }
            }
            Counts::Floats => Self::Float(XorValue::new(stream.bits(64)?)),
        })
    }

    fn next(&mut self, stream: &mut BitReader<'_>) -> Result<(), Fault> {
        match self {
            Self::Integer { value, delta } => {
                *delta = delta.wrapping_add(stream.varbit_int()?);
                *value = value.wrapping_add(*delta);
                Ok(())
            }
            Self::Float(value) => value.next(stream),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "as Prometheus converts its integer histograms")]
    fn value(self) -> f64 {
        match self {
            Self::Integer { value, .. } => value as f64,
            Self::Float(value) => value.value(),
        }
    }
}

/// Counts of buckets; integers are differences to the bucket before.
#[expect(clippy::cast_precision_loss, reason = "as Prometheus converts its integer histograms")]
fn absolute(buckets: &[Number]) -> Vec<f64> {
    let mut sum = 0_i64;
    let mut count = |number: &Number| match number {
        Number::Integer { value, .. } => {
            sum = sum.wrapping_add(*value);
            sum as f64
        }
        Number::Float(value) => value.value(),
    };
    buckets.iter().map(&mut count).collect()
}

/// Adds the histograms of a chunk.
pub(super) fn decode(
    counts: Counts,
    flags: u8,
    mut stream: BitReader<'_>,
    sample_count: usize,
    into: &mut Vec<(i64, Arc<NativeHistogram>)>,
) -> Result<(), Fault> {
    if sample_count == 0 {
        return Ok(());
    }
    let stream = &mut stream;
    let layout = Layout::read(stream)?;
    let mut time = stream.varbit_int()?;
    let mut time_delta = 0_i64;
    let mut count = Number::first(counts, false, stream)?;
    let mut zero_count = Number::first(counts, false, stream)?;
    let mut sum = XorValue::new(stream.bits(64)?);
    let mut read_first = |spans: &[Span]| {
        (0..bucket_count(spans))
            .map(|_| Number::first(counts, true, stream))
            .collect::<Result<Vec<Number>, Fault>>()
    };
    let mut positive = read_first(&layout.positive)?;
    let mut negative = read_first(&layout.negative)?;
    for nr in 0..sample_count {
        if nr > 0 {
            time_delta = time_delta.wrapping_add(stream.varbit_int()?);
            time = time.wrapping_add(time_delta);
            count.next(stream)?;
            zero_count.next(stream)?;
            sum.next(stream)?;
            // A staleness marker has no buckets.
            if !is_stale_nan(sum.value()) {
                for number in positive.iter_mut().chain(&mut negative) {
                    number.next(stream)?;
                }
            }
        }
        let histogram = if is_stale_nan(sum.value()) {
            NativeHistogram { sum: stale_nan(), ..NativeHistogram::default() }
        } else {
            NativeHistogram {
                schema: layout.schema,
                reset_hint: reset_hint(flags, nr),
                zero_threshold: layout.zero_threshold,
                zero_count: zero_count.value(),
                count: count.value(),
                sum: sum.value(),
                positive_spans: layout.positive.clone(),
                positive_buckets: absolute(&positive),
                negative_spans: layout.negative.clone(),
                negative_buckets: absolute(&negative),
                custom_bounds: layout.custom_bounds.clone(),
            }
        };
        into.push((time, Arc::new(histogram)));
    }
    Ok(())
}

/// What the chunk's flags tell of its `nr`th sample; as Prometheus reads them.
const fn reset_hint(flags: u8, nr: usize) -> CounterResetHint {
    match (flags & 0b1100_0000, nr) {
        (0b1100_0000, _) => CounterResetHint::Gauge,
        (_, 1..) => CounterResetHint::NotReset,
        _ => CounterResetHint::Unknown,
    }
}
