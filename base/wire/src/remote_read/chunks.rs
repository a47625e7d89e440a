//! Chunks as Prometheus stores them (`tsdb/docs/format/chunks.md`): floats in XOR encoding, histograms with float counts.

use swell_model::{CounterResetHint, NativeHistogram, Span, is_stale_nan};

use super::bits::{BitWriter, fits};
use crate::protobuf::{put_varint, zigzag};

/// Samples of one chunk of floats, as Prometheus cuts them.
const CHUNK_SAMPLES: usize = 120;

/// Encodings, as messages name them.
const XOR: u8 = 1;
const FLOAT_HISTOGRAM: u8 = 3;

/// A chunk with what a message says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Time of its first sample, in milliseconds.
    pub first_ms: i64,
    /// Time of its last sample.
    pub last_ms: i64,
    /// 1 for floats, 3 for histograms.
    pub encoding: u8,
    /// Its bytes.
    pub data: Vec<u8>,
}

/// Floats of one series as chunks; times rise.
pub fn float_chunks<'a>(
    timestamps: &'a [i64],
    values: &'a [f64],
) -> impl Iterator<Item = Chunk> + 'a {
    let chunks = timestamps.chunks(CHUNK_SAMPLES).zip(values.chunks(CHUNK_SAMPLES));
    chunks.map(|(timestamps, values)| Chunk {
        first_ms: timestamps[0],
        last_ms: timestamps[timestamps.len() - 1],
        encoding: XOR,
        data: xor(timestamps, values),
    })
}

/// The head of every chunk: how many samples it has.
fn head(count: usize) -> Vec<u8> {
    u16::try_from(count).expect("chunks are short").to_be_bytes().to_vec()
}

fn xor(timestamps: &[i64], values: &[f64]) -> Vec<u8> {
    let mut bytes = head(timestamps.len());
    put_varint(zigzag(timestamps[0]), &mut bytes);
    let mut bits = BitWriter::default();
    bits.float(values[0]);
    let (mut delta, mut window) = (0_i64, None);
    for idx in 1..timestamps.len() {
        let step = timestamps[idx].wrapping_sub(timestamps[idx - 1]);
        if idx == 1 {
            // The first step is a varint of bytes, though not at the border of one.
            let mut varint = Vec::new();
            put_varint(step.cast_unsigned(), &mut varint);
            varint.into_iter().for_each(|byte| bits.bits(u64::from(byte), 8));
        } else {
            put_delta(&mut bits, step.wrapping_sub(delta));
        }
        delta = step;
        put_xor(&mut bits, values[idx - 1], values[idx], &mut window);
    }
    bytes.extend(bits.into_bytes());
    bytes
}

/// How much a step differs from the one before.
fn put_delta(bits: &mut BitWriter, difference: i64) {
    if difference == 0 {
        return bits.bits(0, 1);
    }
    for (prefix, size) in [(0b10, 14), (0b110, 17), (0b1110, 20)] {
        if fits(difference, size) {
            bits.bits(prefix, prefix.count_ones() + 1);
            return bits.bits(difference.cast_unsigned(), size);
        }
    }
    bits.bits(0b1111, 4);
    bits.bits(difference.cast_unsigned(), 64);
}

/// Zeros before and behind the bits that differ.
#[derive(Clone, Copy)]
struct Window {
    leading: u32,
    trailing: u32,
}

fn put_xor(bits: &mut BitWriter, before: f64, value: f64, window: &mut Option<Window>) {
    let differing = before.to_bits() ^ value.to_bits();
    if differing == 0 {
        return bits.bits(0, 1);
    }
    bits.bits(1, 1);
    // Five bits hold no more.
    let leading = differing.leading_zeros().min(31);
    let trailing = differing.trailing_zeros();
    if let Some(Window { leading: wide_leading, trailing: wide_trailing }) = *window
        && leading >= wide_leading
        && trailing >= wide_trailing
    {
        bits.bits(0, 1);
        return bits.bits(differing >> wide_trailing, 64 - wide_leading - wide_trailing);
    }
    *window = Some(Window { leading, trailing });
    let size = 64 - leading - trailing;
    bits.bits(1, 1);
    bits.bits(u64::from(leading), 5);
    // Of 64 the lowest six bits are 0, and no bits at all are never written.
    bits.bits(u64::from(size), 6);
    bits.bits(differing >> trailing, size);
}

/// Histograms of one series as chunks, a sample each: two samples may share a chunk only where their buckets line up and
/// no counter was reset between.
pub fn histogram_chunks<'a>(
    samples: impl Iterator<Item = (i64, &'a NativeHistogram)>,
) -> impl Iterator<Item = Chunk> {
    samples.map(|(at_ms, value)| Chunk {
        first_ms: at_ms,
        last_ms: at_ms,
        encoding: FLOAT_HISTOGRAM,
        data: histogram(at_ms, value),
    })
}

fn histogram(at_ms: i64, value: &NativeHistogram) -> Vec<u8> {
    let stale;
    let value = if is_stale_nan(value.sum) {
        // As upstream: the marker has no buckets.
        stale = NativeHistogram { sum: value.sum, ..NativeHistogram::default() };
        &stale
    } else {
        value
    };
    let mut bytes = head(1);
    bytes.push(match value.reset_hint {
        CounterResetHint::Unknown => 0,
        CounterResetHint::NotReset => 0b0100_0000,
        CounterResetHint::Reset => 0b1000_0000,
        CounterResetHint::Gauge => 0b1100_0000,
    });
    let mut bits = BitWriter::default();
    put_threshold(&mut bits, value.zero_threshold);
    bits.varbit(i64::from(value.schema));
    put_spans(&mut bits, &value.positive_spans);
    put_spans(&mut bits, &value.negative_spans);
    if value.uses_custom_buckets() {
        bits.varbit_unsigned(value.custom_bounds.len() as u64);
        value.custom_bounds.iter().for_each(|bound| put_bound(&mut bits, *bound));
    }
    bits.varbit(at_ms);
    for figure in [value.count, value.zero_count, value.sum] {
        bits.float(figure);
    }
    for count in value.positive_buckets.iter().chain(&value.negative_buckets) {
        bits.float(*count);
    }
    bytes.extend(bits.into_bytes());
    bytes
}

/// Powers of two in one byte, others as they are.
fn put_threshold(bits: &mut BitWriter, threshold: f64) {
    if threshold == 0.0 {
        return bits.bits(0, 8);
    }
    let raw = threshold.to_bits();
    let is_power = raw & ((1 << 52) - 1) == 0 && threshold > 0.0;
    // The power of which a half is the mantissa.
    let exponent = i64::try_from(raw >> 52).expect("twelve bits") - 1022;
    if is_power && (-242..=11).contains(&exponent) {
        return bits.bits((exponent + 243).cast_unsigned(), 8);
    }
    bits.bits(255, 8);
    bits.float(threshold);
}

fn put_spans(bits: &mut BitWriter, spans: &[Span]) {
    bits.varbit_unsigned(spans.len() as u64);
    for span in spans {
        bits.varbit_unsigned(u64::from(span.length));
        bits.varbit(i64::from(span.offset));
    }
}

/// Whole thousandths by their number, others as they are.
fn put_bound(bits: &mut BitWriter, bound: f64) {
    /// What upstream writes as a number of thousandths at most.
    const THOUSANDTHS_MAX: f64 = 33_554_430.0;
    let thousandths = (bound * 1000.0).round();
    let in_range = (0.0..=THOUSANDTHS_MAX).contains(&(bound * 1000.0));
    if in_range && thousandths / 1000.0 == bound {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range")]
        return bits.varbit_unsigned(thousandths as u64 + 1);
    }
    bits.bits(0, 1);
    bits.float(bound);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads what a chunk of floats says, by the format's page.
    struct BitReader<'a> {
        bytes: &'a [u8],
        at: usize,
    }

    impl BitReader<'_> {
        fn bits(&mut self, count: usize) -> u64 {
            (0..count).fold(0, |value, _| {
                let bit = self.bytes[self.at / 8] >> (7 - self.at % 8) & 1;
                self.at += 1;
                value << 1 | u64::from(bit)
            })
        }

        fn varint(&mut self) -> u64 {
            let mut value = 0;
            for shift in (0..).step_by(7) {
                let byte = self.bits(8);
                value |= (byte & 0x7f) << shift;
                if byte < 0x80 {
                    break;
                }
            }
            value
        }

        fn signed(&mut self, size: usize) -> i64 {
            let value = self.bits(size).cast_signed();
            if size < 64 && value > 1 << (size - 1) { value - (1 << size) } else { value }
        }

        fn ones(&mut self, max: usize) -> usize {
            let mut count = 0;
            while count < max && self.bits(1) == 1 {
                count += 1;
            }
            count
        }
    }

    fn read(chunk: &Chunk) -> Vec<(i64, u64)> {
        let count = usize::from(u16::from_be_bytes([chunk.data[0], chunk.data[1]]));
        let mut reader = BitReader { bytes: &chunk.data[2..], at: 0 };
        let zigzag = reader.varint();
        let mut at = (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed();
        let mut value = reader.bits(64);
        let mut samples = vec![(at, value)];
        let (mut step, mut leading, mut size) = (0_i64, 0, 0);
        for idx in 1..count {
            if idx == 1 {
                step = reader.varint().cast_signed();
            } else {
                let size = [0, 14, 17, 20, 64][reader.ones(4)];
                step = step.wrapping_add(if size == 0 { 0 } else { reader.signed(size) });
            }
            at = at.wrapping_add(step);
            if reader.bits(1) == 1 {
                if reader.bits(1) == 1 {
                    leading = usize::try_from(reader.bits(5)).expect("small");
                    size = usize::try_from(reader.bits(6)).expect("small");
                    size = if size == 0 { 64 } else { size };
                }
                value ^= reader.bits(size) << (64 - leading - size);
            }
            samples.push((at, value));
        }
        samples
    }

    proptest! {
        #[test]
        fn floats_are_read_as_they_were_written(
            start in -1_000_000_000_000i64..2_000_000_000_000,
            steps in prop::collection::vec((prop_oneof![Just(15_000), 1i64..40_000, 1i64..1_000_000_000_000], prop_oneof![
                any::<f64>(), (0i32..9).prop_map(f64::from)]), 1..300),
        ) {
            let mut at = start;
            let (mut times, mut values) = (Vec::new(), Vec::new());
            for (step, value) in steps {
                at += step;
                times.push(at);
                values.push(value);
            }
            let chunks: Vec<Chunk> = float_chunks(&times, &values).collect();
            let found: Vec<(i64, u64)> = chunks.iter().flat_map(read).collect();
            let expected: Vec<(i64, u64)> =
                times.iter().copied().zip(values.iter().map(|value| value.to_bits())).collect();
            prop_assert_eq!(found, expected);
            prop_assert!(chunks.iter().all(|chunk| chunk.first_ms <= chunk.last_ms));
        }
    }

    #[test]
    fn numbers_have_the_bits_of_the_format() {
        let written = |write: &dyn Fn(&mut BitWriter)| {
            let mut bits = BitWriter::default();
            write(&mut bits);
            bits.into_bytes()
        };
        assert_eq!(written(&|bits| bits.varbit(0)), [0]);
        // 10 and three bits: 1, and -3 as 101.
        assert_eq!(written(&|bits| bits.varbit(1)), [0b1000_1000]);
        assert_eq!(written(&|bits| bits.varbit(-3)), [0b1010_1000]);
        assert_eq!(written(&|bits| bits.varbit_unsigned(9)), [0b1100_0100, 0b1000_0000]);
        assert_eq!(written(&|bits| put_threshold(bits, 0.0)), [0]);
        // 2^-128 is half of 2^-127.
        assert_eq!(written(&|bits| put_threshold(bits, (-128_f64).exp2())), [116]);
        assert_eq!(written(&|bits| put_threshold(bits, 1e-128))[0], 255);
    }

    #[test]
    fn a_histogram_is_as_long_as_its_parts() {
        let value = NativeHistogram {
            schema: NativeHistogram::CUSTOM_SCHEMA,
            count: 3.0,
            sum: 1.5,
            positive_spans: vec![Span { offset: 0, length: 2 }],
            positive_buckets: vec![1.0, 2.0],
            custom_bounds: vec![0.5, 1e300],
            ..NativeHistogram::default()
        };
        let [chunk] = &histogram_chunks([(7, &value)].into_iter()).collect::<Vec<_>>()[..] else {
            panic!("one sample, one chunk")
        };
        assert_eq!((chunk.first_ms, chunk.last_ms, chunk.encoding), (7, 7, 3));
        // Threshold 8, schema 10, one span 5 + 5 + 1 and none 1, two bounds 5 + (5 + 12) + (1 + 64), time 9, 5 floats 320.
        let bits = 8 + 10 + 11 + 1 + 5 + 17 + 65 + 9 + 320_usize;
        assert_eq!(chunk.data.len(), 3 + bits.div_ceil(8));
    }
}
