//! Chunks: a run of samples of one series.

use std::sync::Arc;

use swell_model::NativeHistogram;

use super::bits::{BitReader, XorValue};
use super::bytes::Fault;
use super::histogram;

/// Samples of a chunk.
#[derive(Debug, Default)]
pub(super) struct Samples {
    pub(super) floats: Vec<(i64, f64)>,
    pub(super) histograms: Vec<(i64, Arc<NativeHistogram>)>,
}

/// What a chunk holds, as its encoding says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Xor,
    Histogram,
    FloatHistogram,
}

impl Encoding {
    pub(super) const fn of(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Xor),
            2 => Some(Self::Histogram),
            3 => Some(Self::FloatHistogram),
            _ => None,
        }
    }
}

/// Adds the samples of a chunk.
pub(super) fn decode(encoding: Encoding, data: &[u8], into: &mut Samples) -> Result<(), Fault> {
    let header = data.first_chunk::<2>().ok_or("the chunk has no header")?;
    let count = usize::from(u16::from_be_bytes(*header));
    match encoding {
        Encoding::Xor => floats(&data[2..], count, &mut into.floats),
        Encoding::Histogram | Encoding::FloatHistogram => {
            let flags = *data.get(2).ok_or("the chunk has no flags")?;
            let stream = BitReader::new(&data[3..]);
            let kind = if encoding == Encoding::Histogram {
                histogram::Counts::Integers
            } else {
                histogram::Counts::Floats
            };
            histogram::decode(kind, flags, stream, count, &mut into.histograms)
        }
    }
}

/// Widths of a difference of time differences, by the number of ones in front.
const TIME_WIDTHS: [u32; 5] = [0, 14, 17, 20, 64];

fn floats(data: &[u8], count: usize, into: &mut Vec<(i64, f64)>) -> Result<(), Fault> {
    let mut stream = BitReader::new(data);
    let mut time = 0_i64;
    let mut delta = 0_i64;
    let mut value = XorValue::default();
    for nr in 0..count {
        match nr {
            0 => {
                time = stream.varint()?;
                value = XorValue::new(stream.bits(64)?);
            }
            _ => {
                if nr == 1 {
                    delta = stream.uvarint()?.cast_signed();
                } else {
                    let width = TIME_WIDTHS[stream.ones(4)? as usize];
                    let change = if width == 0 { 0 } else { stream.signed(width)? };
                    delta = delta.wrapping_add(change);
                }
                time = time.wrapping_add(delta);
                value.next(&mut stream)?;
            }
        }
        into.push((time, value.value()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use swell_model::{CounterResetHint, Span, stale_nan};
    use swell_wire::remote_read::{Chunk, float_chunks, histogram_chunks};

    use super::*;

    fn read(chunks: impl Iterator<Item = Chunk>) -> Samples {
        let mut samples = Samples::default();
        for chunk in chunks {
            let encoding = Encoding::of(chunk.encoding).expect("a known encoding");
            decode(encoding, &chunk.data, &mut samples).expect("whole");
        }
        samples
    }

    #[test]
    fn floats_of_a_remote_read_are_chunks_of_prometheus() {
        let times: Vec<i64> = (0..500).map(|nr| 1_700_000_000_000 + nr * 15_000 + nr % 7).collect();
        let values: Vec<f64> = (0..500_i32)
            .map(|nr| if nr % 100 == 99 { stale_nan() } else { f64::from(nr % 13) * 0.1 })
            .collect();
        let found = read(float_chunks(&times, &values)).floats;
        let bits = |(at, value): (i64, f64)| (at, value.to_bits());
        let expected = times.iter().copied().zip(values.iter().copied());
        assert_eq!(
            found.into_iter().map(bits).collect::<Vec<_>>(),
            expected.map(bits).collect::<Vec<_>>()
        );
    }

    #[test]
    fn histograms_of_a_remote_read_are_chunks_of_prometheus() {
        let exponential = NativeHistogram {
            schema: 3,
            reset_hint: CounterResetHint::Unknown,
            zero_threshold: 1e-128,
            zero_count: 2.0,
            count: 12.5,
            sum: -7.25,
            positive_spans: vec![Span { offset: -3, length: 2 }, Span { offset: 40, length: 1 }],
            positive_buckets: vec![1.0, 2.5, 3.0],
            negative_spans: vec![Span { offset: 100, length: 1 }],
            negative_buckets: vec![4.0],
            ..NativeHistogram::default()
        };
        let power = NativeHistogram {
            zero_threshold: (-128_f64).exp2(),
            reset_hint: CounterResetHint::Gauge,
            ..exponential.clone()
        };
        let custom = NativeHistogram {
            schema: NativeHistogram::CUSTOM_SCHEMA,
            count: 3.0,
            sum: 1.5,
            positive_spans: vec![Span { offset: 1, length: 2 }],
            positive_buckets: vec![1.0, 2.0],
            custom_bounds: vec![-0.5, 0.0, 0.005, 2.5, 1.0 / 3.0, 1e300],
            ..NativeHistogram::default()
        };
        let samples =
            [(-5, &exponential), (1_700_000_000_000, &power), (1_700_000_000_001, &custom)];
        let found = read(histogram_chunks(samples.into_iter())).histograms;
        let found: Vec<(i64, &NativeHistogram)> =
            found.iter().map(|(at, value)| (*at, &**value)).collect();
        assert_eq!(found, samples);
    }
}
