//! Chunks of native histograms: one layout, then per sample the differences of each field and bucket.

use std::sync::Arc;

use swell_model::{CounterResetHint, NativeHistogram, Span, is_stale_nan, stale_nan};

use super::bits::{BitReader, XorValue};
use super::{Fault, Samples};

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
    into: &mut Samples,
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
        // A bucket takes a bit at least and much more in memory.
        let floats = positive.len() + negative.len() + layout.custom_bounds.len();
        into.take_room(1 + floats + layout.positive.len() + layout.negative.len())?;
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
        into.histograms.push((time, Arc::new(histogram)));
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes bits as Prometheus' chunks have them.
    #[derive(Default)]
    struct Bits(Vec<bool>);

    impl Bits {
        fn put(&mut self, value: u64, count: u32) -> &mut Self {
            self.0.extend((0..count).rev().map(|bit| value >> bit & 1 == 1));
            self
        }

        /// A small signed integer: three, six or nine bits behind their prefix.
        fn int(&mut self, value: i64) -> &mut Self {
            let bits = value.cast_unsigned();
            match value {
                0 => self.put(0, 1),
                -3..=4 => self.put(0b10, 2).put(bits, 3),
                -31..=32 => self.put(0b110, 3).put(bits, 6),
                _ => self.put(0b1110, 4).put(bits, 9),
            }
        }

        fn uint(&mut self, value: u64) -> &mut Self {
            match value {
                0 => self.put(0, 1),
                1..=7 => self.put(0b10, 2).put(value, 3),
                8..=63 => self.put(0b110, 3).put(value, 6),
                _ => self.put(0b1110, 4).put(value, 9),
            }
        }

        /// A float that differs from the one before in all 64 bits that may differ.
        fn xor(&mut self, before: f64, now: f64) -> &mut Self {
            if before.to_bits() == now.to_bits() {
                return self.put(0, 1);
            }
            self.put(0b11, 2).put(0, 5).put(0, 6).put(before.to_bits() ^ now.to_bits(), 64)
        }

        fn bytes(&self) -> Vec<u8> {
            let byte = |bits: &[bool]| {
                bits.iter()
                    .enumerate()
                    .fold(0_u8, |byte, (at, bit)| byte | u8::from(*bit) << (7 - at))
            };
            self.0.chunks(8).map(byte).collect()
        }
    }

    fn read(counts: Counts, flags: u8, bits: &Bits, samples: usize) -> Vec<(i64, NativeHistogram)> {
        let bytes = bits.bytes();
        let mut found = Samples::within(usize::MAX);
        decode(counts, flags, BitReader::new(&bytes), samples, &mut found).expect("whole");
        let found = found.histograms;
        for cut in 0..bytes.len() - 1 {
            let mut some = Samples::within(usize::MAX);
            let outcome = decode(counts, flags, BitReader::new(&bytes[..cut]), samples, &mut some);
            assert!(outcome.is_err(), "cut after {cut} bytes");
        }
        found.into_iter().map(|(at, it)| (at, NativeHistogram::clone(&it))).collect()
    }

    #[test]
    fn integer_histograms_are_sums_of_differences() {
        let mut bits = Bits::default();
        // Zero threshold 2^-128, schema 1, spans (0, 2), (1, 1) and (-2, 1).
        bits.put(116, 8).int(1);
        bits.uint(2).uint(2).int(0).uint(1).int(1);
        bits.uint(1).uint(1).int(-2);
        // First sample: time 100, count 10, zero count 1, sum 2.5, buckets 3, 2, 1 and 3 as differences.
        bits.int(100).uint(10).uint(1).put(2.5_f64.to_bits(), 64);
        bits.int(3).int(-1).int(-1).int(3);
        // Second: 15 later, five more, buckets 5, 3, 2 and 4.
        bits.int(15).int(5).int(0).xor(2.5, 4.0);
        bits.int(2).int(-1).int(0).int(1);
        // Third: a staleness marker, counts as if nothing changed.
        bits.int(0).int(0).int(0).xor(4.0, stale_nan());
        let found = read(Counts::Integers, 0b0100_0000, &bits, 3);
        let first = NativeHistogram {
            schema: 1,
            reset_hint: CounterResetHint::Unknown,
            zero_threshold: 2.0_f64.powi(-128),
            zero_count: 1.0,
            count: 10.0,
            sum: 2.5,
            positive_spans: vec![Span { offset: 0, length: 2 }, Span { offset: 1, length: 1 }],
            positive_buckets: vec![3.0, 2.0, 1.0],
            negative_spans: vec![Span { offset: -2, length: 1 }],
            negative_buckets: vec![3.0],
            custom_bounds: Vec::new(),
        };
        let second = NativeHistogram {
            reset_hint: CounterResetHint::NotReset,
            count: 15.0,
            sum: 4.0,
            positive_buckets: vec![5.0, 3.0, 2.0],
            negative_buckets: vec![4.0],
            ..first.clone()
        };
        assert_eq!(found[0], (100, first));
        assert_eq!(found[1], (115, second));
        assert_eq!(found[2].0, 130);
        assert!(is_stale_nan(found[2].1.sum) && found[2].1.positive_buckets.is_empty());
    }

    #[test]
    fn float_histograms_with_bounds_of_their_own_are_read() {
        let mut bits = Bits::default();
        // Zero threshold 0, schema -53, one span of two buckets, none below zero, bounds 0.5 and -1.
        bits.put(0, 8).put(0b1110, 4).put((-53_i64).cast_unsigned(), 9);
        bits.uint(1).uint(2).int(0).uint(0);
        bits.uint(2).uint(501).uint(0).put((-1.0_f64).to_bits(), 64);
        bits.int(7);
        for value in [4.0_f64, 0.0, 9.5, 1.5, 2.5] {
            bits.put(value.to_bits(), 64);
        }
        bits.int(-3).xor(4.0, 5.0).xor(0.0, 0.0).xor(9.5, 9.5).xor(1.5, 2.5).xor(2.5, 2.5);
        let found = read(Counts::Floats, 0b1100_0000, &bits, 2);
        assert_eq!((found[0].0, found[1].0), (7, 4));
        let (first, second) = (&found[0].1, &found[1].1);
        assert_eq!(first.custom_bounds, [0.5, -1.0]);
        assert_eq!((first.count, first.sum), (4.0, 9.5));
        assert_eq!(first.positive_buckets, [1.5, 2.5]);
        assert_eq!(first.reset_hint, CounterResetHint::Gauge);
        assert_eq!((second.count, second.positive_buckets.as_slice()), (5.0, &[2.5, 2.5][..]));
    }
}
