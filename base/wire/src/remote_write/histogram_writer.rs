//! Native histograms as a sender writes them: `prometheus.Histogram` and `io.prometheus.write.v2.Histogram`, whose fields
//! are the same but for the start timestamp.

use swell_model::{CounterResetHint, NativeHistogram, Span};

use crate::protobuf::{bytes_tag, fixed64_tag, put_bytes, put_varint, varint_tag, zigzag};

/// Fields 16 and 17 have tags of two bytes, which end so.
const HIGH_TAG_END: u8 = 0x01;
/// Bytes of field 16.
const CUSTOM_BOUNDS: u8 = 0x82;
/// Varint of field 17.
const START: u8 = 0x88;

/// Largest count that a float holds together with all below.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// Which of the two forms counts take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counts {
    /// Floats.
    Float,
    /// Integers where all of them are whole and the buckets hold what the count says, as receivers ask of that form.
    WholeIfWhole,
}

/// Appends the fields of a histogram with its time and its start, in milliseconds; the start 0 is none.
pub(crate) fn put_histogram(
    (at_ms, start_ms): (i64, i64),
    value: &NativeHistogram,
    counts: Counts,
    out: &mut Vec<u8>,
) {
    let is_whole = counts == Counts::WholeIfWhole && is_whole(value);
    let put_count = |whole_field: u8, float_field: u8, count: f64, out: &mut Vec<u8>| {
        if is_whole {
            out.push(varint_tag(whole_field));
            put_varint(whole(count), out);
        } else {
            put_float(fixed64_tag(float_field), count, out);
        }
    };
    put_count(1, 2, value.count, out);
    put_float(fixed64_tag(3), value.sum, out);
    out.push(varint_tag(4));
    put_varint(zigzag(i64::from(value.schema)), out);
    put_float(fixed64_tag(5), value.zero_threshold, out);
    put_count(6, 7, value.zero_count, out);
    put_side(8, is_whole, &value.negative_spans, &value.negative_buckets, out);
    put_side(11, is_whole, &value.positive_spans, &value.positive_buckets, out);
    out.push(varint_tag(14));
    out.push(match value.reset_hint {
        CounterResetHint::Unknown => 0,
        CounterResetHint::Reset => 1,
        CounterResetHint::NotReset => 2,
        CounterResetHint::Gauge => 3,
    });
    out.push(varint_tag(15));
    put_varint(at_ms.cast_unsigned(), out);
    if !value.custom_bounds.is_empty() {
        out.push(CUSTOM_BOUNDS);
        put_bytes(HIGH_TAG_END, &packed(&value.custom_bounds), out);
    }
    if start_ms != 0 {
        out.extend_from_slice(&[START, HIGH_TAG_END]);
        put_varint(start_ms.cast_unsigned(), out);
    }
}

/// Whether the histogram is one of the integer form.
fn is_whole(value: &NativeHistogram) -> bool {
    let buckets = value.positive_buckets.iter().chain(&value.negative_buckets);
    let mut all = buckets.chain([&value.zero_count, &value.count]);
    if !all.all(|count| (0.0..=WHOLE_MAX).contains(count) && count.trunc() == *count) {
        return false;
    }
    let buckets = value.positive_buckets.iter().chain(&value.negative_buckets);
    let inside = value.zero_count + buckets.sum::<f64>();
    // Observations of NaN are counted, and are in no bucket.
    if value.sum.is_nan() { inside <= value.count } else { inside == value.count }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, in range")]
const fn whole(count: f64) -> u64 {
    count as u64
}

/// Spans, and behind them in the field's number the counts: as differences, or as floats one field further.
fn put_side(spans_field: u8, is_whole: bool, spans: &[Span], counts: &[f64], out: &mut Vec<u8>) {
    let mut span_message = Vec::new();
    for span in spans {
        span_message.clear();
        span_message.push(varint_tag(1));
        put_varint(zigzag(i64::from(span.offset)), &mut span_message);
        span_message.push(varint_tag(2));
        put_varint(u64::from(span.length), &mut span_message);
        put_bytes(bytes_tag(spans_field), &span_message, out);
    }
    if counts.is_empty() {
        return;
    }
    if !is_whole {
        return put_bytes(bytes_tag(spans_field + 2), &packed(counts), out);
    }
    let (mut deltas, mut before) = (Vec::with_capacity(counts.len() * 2), 0);
    for count in counts {
        let count = whole(*count).cast_signed();
        put_varint(zigzag(count - before), &mut deltas);
        before = count;
    }
    put_bytes(bytes_tag(spans_field + 1), &deltas, out);
}

fn put_float(tag: u8, value: f64, out: &mut Vec<u8>) {
    out.push(tag);
    out.extend_from_slice(&value.to_bits().to_le_bytes());
}

fn packed(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_bits().to_le_bytes()).collect()
}
