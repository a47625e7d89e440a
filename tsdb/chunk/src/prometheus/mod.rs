//! Chunks as Prometheus has them (`tsdb/chunkenc`), read: in its blocks, and in answers of remote read.

mod bits;
mod histogram;

use std::sync::Arc;

use swell_model::NativeHistogram;

use bits::{BitReader, XorValue};

/// Why bytes cannot be read: what is wrong with them.
pub type Fault = String;

/// Samples of chunks, within a bound.
#[derive(Debug, Default)]
pub struct Samples {
    /// Times in milliseconds and values.
    pub floats: Vec<(i64, f64)>,
    /// The same of native histograms.
    pub histograms: Vec<(i64, Arc<NativeHistogram>)>,
    /// Numbers that there is room for: a float is one, a histogram one more for each bucket, bound and span.
    room: usize,
    is_full: bool,
}

impl Samples {
    /// Room for so many numbers.
    #[must_use]
    pub fn within(numbers_max: usize) -> Self {
        Self { room: numbers_max, ..Self::default() }
    }

    /// Numbers that there is room for still.
    #[must_use]
    pub const fn room(&self) -> usize {
        self.room
    }

    /// Whether samples were refused since there was no room for them.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.is_full
    }

    fn take_room(&mut self, numbers: usize) -> Result<(), Fault> {
        let Some(room) = self.room.checked_sub(numbers) else {
            self.is_full = true;
            return Err("more samples than are taken at once".to_owned());
        };
        self.room = room;
        Ok(())
    }
}

/// What a chunk holds, as its encoding says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Floats.
    Xor,
    /// Histograms whose counts are integers.
    Histogram,
    /// Histograms whose counts are floats.
    FloatHistogram,
}

impl Encoding {
    /// By its number; `None` for one that is not known.
    #[must_use]
    pub const fn of(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Xor),
            2 => Some(Self::Histogram),
            3 => Some(Self::FloatHistogram),
            _ => None,
        }
    }
}

/// Adds the samples of a chunk.
///
/// # Errors
/// [`Fault`] when the bytes are none, or there is no room for its samples; some of them may have been added.
pub fn decode(encoding: Encoding, data: &[u8], into: &mut Samples) -> Result<(), Fault> {
    let header = data.first_chunk::<2>().ok_or("the chunk has no header")?;
    let count = usize::from(u16::from_be_bytes(*header));
    match encoding {
        Encoding::Xor => {
            into.take_room(count)?;
            floats(&data[2..], count, &mut into.floats)
        }
        Encoding::Histogram | Encoding::FloatHistogram => {
            let flags = *data.get(2).ok_or("the chunk has no flags")?;
            let stream = BitReader::new(&data[3..]);
            let kind = if encoding == Encoding::Histogram {
                histogram::Counts::Integers
            } else {
                histogram::Counts::Floats
            };
            histogram::decode(kind, flags, stream, count, into)
        }
    }
}

/// An integer of seven bits a byte, lowest first.
///
/// # Errors
/// [`Fault`] when it has more than ten bytes, or `next` fails.
pub fn uvarint(mut next: impl FnMut() -> Result<u8, Fault>) -> Result<u64, Fault> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = next()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err("an integer has more than ten bytes".to_owned())
}

/// A signed integer in zigzag.
#[must_use]
pub const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
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
        let mut samples = Samples::within(usize::MAX);
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
    fn samples_beyond_the_bound_are_refused() {
        let chunk = float_chunks(&[1, 2, 3], &[0.0; 3]).next().expect("a chunk");
        let mut samples = Samples::within(5);
        decode(Encoding::Xor, &chunk.data, &mut samples).expect("room for three");
        assert_eq!(samples.room(), 2);
        let full = decode(Encoding::Xor, &chunk.data, &mut samples).expect_err("room for two");
        assert!(full.contains("more samples") && samples.is_full(), "{full}");
        assert_eq!(samples.floats.len(), 3);
        let wide = NativeHistogram {
            positive_spans: vec![Span { offset: 0, length: 100 }],
            positive_buckets: vec![1.0; 100],
            count: 100.0,
            ..NativeHistogram::default()
        };
        let chunk = histogram_chunks([(1, &wide)].into_iter()).next().expect("a chunk");
        let decoded =
            |room| decode(Encoding::FloatHistogram, &chunk.data, &mut Samples::within(room));
        assert!(decoded(102).is_ok() && decoded(101).is_err());
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
