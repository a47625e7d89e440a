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
