//! A column of native histograms: what their layouts share is written once, each bucket is a column of its own.
//!
//! ```text
//! varint   number of layout runs
//! each run:
//!   varint   samples
//!   zigzag   schema
//!   8 bytes  zero threshold
//!   spans    positive, negative: varint number, then zigzag offset and varint length of each
//!   varint   number of custom bounds, 8 bytes each
//! integers   counter reset hints
//! floats     counts, zero counts, sums
//! each run, each bucket, positive ones first: floats
//! ```
//! Integer and float columns stand as one piece.

use std::sync::Arc;

use swell_model::{CounterResetHint, NativeHistogram, Span};

use crate::bytes::{Cursor, put_varint, put_zigzag};
use crate::error::DecodeError;
use crate::floats::{FloatReader, FloatWriter};
use crate::ints;

/// Samples in one column: bounds what damaged bytes can ask for together with [`HISTOGRAM_BUCKETS_MAX`].
pub const HISTOGRAMS_MAX: usize = 128;

/// Buckets of one histogram, both signs together.
pub const HISTOGRAM_BUCKETS_MAX: usize = 4096;

const SPANS_MAX: usize = HISTOGRAM_BUCKETS_MAX;

/// Appends the column.
///
/// # Panics
/// With more than [`HISTOGRAMS_MAX`] samples, or more than [`HISTOGRAM_BUCKETS_MAX`] buckets, spans or bounds
/// in one, or with buckets that do not fit their spans ([`is_writable`] tells).
pub fn write_histograms(samples: &[Arc<NativeHistogram>], out: &mut Vec<u8>) {
    assert!(samples.len() <= HISTOGRAMS_MAX, "callers cut columns");
    let runs: Vec<&[Arc<NativeHistogram>]> = samples.chunk_by(|a, b| same_layout(a, b)).collect();
    put_varint(out, runs.len() as u64);
    for run in &runs {
        assert!(is_writable(&run[0]), "callers refuse histograms beyond the limits");
        put_varint(out, run.len() as u64);
        write_layout(&run[0], out);
    }
    let hints: Vec<i64> = samples.iter().map(|sample| hint_code(sample.reset_hint)).collect();
    ints::write_whole(&hints, out);
    let fields: [fn(&NativeHistogram) -> f64; 3] = [|h| h.count, |h| h.zero_count, |h| h.sum];
    for field in fields {
        let values: Vec<f64> = samples.iter().map(|sample| field(sample)).collect();
        FloatWriter::new(&values).write_whole(out);
    }
    let mut values = Vec::new();
    for run in &runs {
        for idx in 0..run[0].positive_buckets.len() {
            values.clear();
            values.extend(run.iter().map(|sample| sample.positive_buckets[idx]));
            FloatWriter::new(&values).write_whole(out);
        }
        for idx in 0..run[0].negative_buckets.len() {
            values.clear();
            values.extend(run.iter().map(|sample| sample.negative_buckets[idx]));
            FloatWriter::new(&values).write_whole(out);
        }
    }
}

/// Whether a histogram keeps its own invariants and the limits of this format.
#[must_use]
pub fn is_writable(histogram: &NativeHistogram) -> bool {
    let span_len = |spans: &[Span]| spans.iter().map(|span| span.length as usize).sum::<usize>();
    let bucket_count = histogram.positive_buckets.len() + histogram.negative_buckets.len();
    span_len(&histogram.positive_spans) == histogram.positive_buckets.len()
        && span_len(&histogram.negative_spans) == histogram.negative_buckets.len()
        && bucket_count <= HISTOGRAM_BUCKETS_MAX
        && histogram.positive_spans.len() <= SPANS_MAX
        && histogram.negative_spans.len() <= SPANS_MAX
        && histogram.custom_bounds.len() <= HISTOGRAM_BUCKETS_MAX
}

/// Reads a column of `count` histograms.
///
/// # Errors
/// [`DecodeError`] when the bytes are not what [`write_histograms`] writes for that many samples.
pub fn read_histograms(
    bytes: &[u8],
    count: usize,
) -> Result<Vec<Arc<NativeHistogram>>, DecodeError> {
    let mut cursor = Cursor::new(bytes);
    if count > HISTOGRAMS_MAX {
        return Err(cursor.fault("a column has more histograms than any written"));
    }
    let run_count = cursor.count(count)?;
    let mut samples: Vec<NativeHistogram> = Vec::with_capacity(count);
    let mut run_lens = Vec::with_capacity(run_count);
    for _ in 0..run_count {
        let run_len = cursor.count(count - samples.len())?;
        let layout = read_layout(&mut cursor)?;
        samples.resize(samples.len() + run_len, layout);
        run_lens.push(run_len);
    }
    if samples.len() != count {
        return Err(cursor.fault("layout runs do not cover the column"));
    }
    let mut hints = vec![0; count];
    ints::read_whole(&mut cursor, &mut hints)?;
    for (sample, code) in samples.iter_mut().zip(&hints) {
        sample.reset_hint =
            hint_of(*code).ok_or_else(|| cursor.fault("a reset hint is unknown"))?;
    }
    let mut reader = FloatReader::new();
    let mut values = vec![0.0; count];
    let fields: [fn(&mut NativeHistogram) -> &mut f64; 3] =
        [|h| &mut h.count, |h| &mut h.zero_count, |h| &mut h.sum];
    for field in fields {
        reader.read_whole(&mut cursor, &mut values)?;
        samples.iter_mut().zip(&values).for_each(|(sample, value)| *field(sample) = *value);
    }
    let mut rest = &mut samples[..];
    for run_len in run_lens {
        let (run, after) = std::mem::take(&mut rest).split_at_mut(run_len);
        rest = after;
        let Some(first) = run.first() else { continue };
        let (positive_count, negative_count) =
            (first.positive_buckets.len(), first.negative_buckets.len());
        for idx in 0..positive_count {
            reader.read_whole(&mut cursor, &mut values[..run_len])?;
            run.iter_mut().zip(&values).for_each(|(s, value)| s.positive_buckets[idx] = *value);
        }
        for idx in 0..negative_count {
            reader.read_whole(&mut cursor, &mut values[..run_len])?;
            run.iter_mut().zip(&values).for_each(|(s, value)| s.negative_buckets[idx] = *value);
        }
    }
    cursor.finish()?;
    Ok(samples.into_iter().map(Arc::new).collect())
}

fn same_layout(a: &NativeHistogram, b: &NativeHistogram) -> bool {
    let same_bits = |a: &[f64], b: &[f64]| {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
    };
    a.schema == b.schema
        && a.zero_threshold.to_bits() == b.zero_threshold.to_bits()
        && a.positive_spans == b.positive_spans
        && a.negative_spans == b.negative_spans
        && same_bits(&a.custom_bounds, &b.custom_bounds)
}

fn write_layout(histogram: &NativeHistogram, out: &mut Vec<u8>) {
    put_zigzag(out, i64::from(histogram.schema));
    out.extend_from_slice(&histogram.zero_threshold.to_le_bytes());
    for spans in [&histogram.positive_spans, &histogram.negative_spans] {
        put_varint(out, spans.len() as u64);
        for span in spans {
            put_zigzag(out, i64::from(span.offset));
            put_varint(out, u64::from(span.length));
        }
    }
    put_varint(out, histogram.custom_bounds.len() as u64);
    for bound in &histogram.custom_bounds {
        out.extend_from_slice(&bound.to_le_bytes());
    }
}

/// A histogram of the written layout whose counts are all zero.
fn read_layout(cursor: &mut Cursor<'_>) -> Result<NativeHistogram, DecodeError> {
    let narrow = |cursor: &Cursor<'_>, value: i64| {
        i32::try_from(value).map_err(|_| cursor.fault("a schema or offset has more than 32 bits"))
    };
    let schema = cursor.zigzag()?;
    let schema = narrow(cursor, schema)?;
    let zero_threshold = f64::from_bits(cursor.u64()?);
    let mut buckets_left = HISTOGRAM_BUCKETS_MAX;
    let mut sides = [(Vec::new(), 0), (Vec::new(), 0)];
    for (spans, bucket_count) in &mut sides {
        // A span takes at least two bytes.
        let span_count = cursor.count(SPANS_MAX.min(cursor.remaining() / 2))?;
        for _ in 0..span_count {
            let offset = cursor.zigzag()?;
            let offset = narrow(cursor, offset)?;
            let length = cursor.count(buckets_left)?;
            buckets_left -= length;
            *bucket_count += length;
            let length = u32::try_from(length).expect("below the bucket limit");
            spans.push(Span { offset, length });
        }
    }
    let bound_count = cursor.count(HISTOGRAM_BUCKETS_MAX.min(cursor.remaining() / 8))?;
    let custom_bounds = (0..bound_count)
        .map(|_| Ok(f64::from_bits(cursor.u64()?)))
        .collect::<Result<Vec<f64>, DecodeError>>()?;
    let [(positive_spans, positive_count), (negative_spans, negative_count)] = sides;
    Ok(NativeHistogram {
        schema,
        zero_threshold,
        positive_spans,
        positive_buckets: vec![0.0; positive_count],
        negative_spans,
        negative_buckets: vec![0.0; negative_count],
        custom_bounds,
        ..NativeHistogram::default()
    })
}

const fn hint_code(hint: CounterResetHint) -> i64 {
    match hint {
        CounterResetHint::Unknown => 0,
        CounterResetHint::Reset => 1,
        CounterResetHint::NotReset => 2,
        CounterResetHint::Gauge => 3,
    }
}

const fn hint_of(code: i64) -> Option<CounterResetHint> {
    Some(match code {
        0 => CounterResetHint::Unknown,
        1 => CounterResetHint::Reset,
        2 => CounterResetHint::NotReset,
        3 => CounterResetHint::Gauge,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use swell_model::stale_nan;

    use super::*;

    fn check(samples: &[Arc<NativeHistogram>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_histograms(samples, &mut bytes);
        let back = read_histograms(&bytes, samples.len()).expect("decodes");
        // NaN differs from itself, so the comparison is by text, which prints every bit that matters here.
        assert_eq!(format!("{back:?}"), format!("{samples:?}"));
        for (a, b) in back.iter().zip(samples) {
            assert_eq!(a.sum.to_bits(), b.sum.to_bits());
        }
        bytes
    }

    fn growing(step: f64) -> Arc<NativeHistogram> {
        Arc::new(NativeHistogram {
            schema: 3,
            zero_threshold: 1e-128,
            zero_count: step,
            count: 10.0 * step,
            sum: 12.5 * step,
            positive_spans: vec![Span { offset: -2, length: 3 }, Span { offset: 1, length: 1 }],
            positive_buckets: vec![step, 2.0 * step, 3.0, 3.0 * step],
            negative_spans: vec![Span { offset: 0, length: 1 }],
            negative_buckets: vec![step],
            ..NativeHistogram::default()
        })
    }

    #[test]
    fn steady_histograms_take_about_a_byte_a_bucket_or_less() {
        let samples: Vec<_> = (1..=120u32).map(|step| growing(f64::from(step))).collect();
        let bytes = check(&samples);
        assert!(bytes.len() < 250, "{} bytes", bytes.len());
        check(&[]);
    }

    #[test]
    fn layouts_may_change_and_custom_bounds_are_kept() {
        let stale = Arc::new(NativeHistogram { sum: stale_nan(), ..NativeHistogram::default() });
        let custom = Arc::new(NativeHistogram {
            schema: NativeHistogram::CUSTOM_SCHEMA,
            reset_hint: CounterResetHint::Gauge,
            positive_spans: vec![Span { offset: 0, length: 2 }],
            positive_buckets: vec![0.5, -1.0],
            custom_bounds: vec![0.1, 2.5],
            ..NativeHistogram::default()
        });
        check(&[growing(1.0), Arc::clone(&custom), custom, stale, growing(2.0)]);
    }

    #[test]
    fn histograms_beyond_the_limits_are_told_apart() {
        let mut broken = (*growing(1.0)).clone();
        broken.positive_buckets.pop();
        assert!(!is_writable(&broken));
        let wide = NativeHistogram {
            positive_spans: vec![Span { offset: 0, length: 5000 }],
            positive_buckets: vec![0.0; 5000],
            ..NativeHistogram::default()
        };
        assert!(!is_writable(&wide));
        assert!(is_writable(&growing(1.0)));
    }

    proptest! {
        #[test]
        fn any_histograms_come_back(
            steps in prop::collection::vec((0u8..3, -10i32..10, 0u32..6, any::<i32>()), 0..40)
        ) {
            let samples: Vec<_> = steps.iter().map(|(schema, offset, length, value)| {
                Arc::new(NativeHistogram {
                    schema: i32::from(*schema),
                    count: f64::from(*value),
                    sum: f64::from(*value) / 7.0,
                    positive_spans: vec![Span { offset: *offset, length: *length }],
                    positive_buckets: (0..*length).map(|i| f64::from(*value) + f64::from(i)).collect(),
                    ..NativeHistogram::default()
                })
            }).collect();
            check(&samples);
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), count in 0usize..200) {
            if let Ok(samples) = read_histograms(&bytes, count) {
                prop_assert_eq!(samples.len(), count);
            }
        }

        #[test]
        fn damaged_columns_never_panic(at in any::<prop::sample::Index>(), mask in 1u8..) {
            let samples: Vec<_> = (1..=20u32).map(|step| growing(f64::from(step))).collect();
            let mut bytes = Vec::new();
            write_histograms(&samples, &mut bytes);
            let at = at.index(bytes.len());
            bytes[at] ^= mask;
            if let Ok(samples) = read_histograms(&bytes, 20) {
                prop_assert_eq!(samples.len(), 20);
            }
        }
    }
}
