//! The protobuf format of an exposition, written: `io.prometheus.client.MetricFamily`, each behind its length.

use swell_model::{NativeHistogram, Span};

use crate::protobuf::{bytes_tag, fixed64_tag, put_bytes, put_varint, varint_tag, zigzag};

/// Kind of a family, by its number in the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FamilyKind {
    /// Of floats that only rise.
    Counter = 0,
    /// Of floats that go up and down.
    Gauge = 1,
    /// Of summaries.
    Summary = 2,
    /// Of floats whose kind is not told.
    Untyped = 3,
    /// Of histograms that only rise, classic or native.
    Histogram = 4,
    /// Of histograms that go up and down.
    GaugeHistogram = 5,
}

/// A value of a metric.
#[derive(Clone, Copy, Debug)]
pub enum FamilyValue<'a> {
    /// A float: of a counter, of a gauge, or of what is not told.
    Float(f64),
    /// Quantiles, each with its value, beside the count and the sum of all that was observed.
    Summary {
        /// Observations.
        count: u64,
        /// Their sum.
        sum: f64,
        /// Quantiles with their values.
        quantiles: &'a [(f64, f64)],
    },
    /// Buckets by their upper bounds, each of which counts all below its bound.
    Classic {
        /// Observations.
        count: u64,
        /// Their sum.
        sum: f64,
        /// Bounds with their counts.
        buckets: &'a [(f64, u64)],
    },
    /// A histogram, as floats: with exponential buckets as a native one, with bounds of its own as a classic one.
    Histogram(&'a NativeHistogram),
}

/// A family under construction.
#[derive(Debug)]
pub struct FamilyMessage {
    kind: FamilyKind,
    message: Vec<u8>,
    metric: Vec<u8>,
    part: Vec<u8>,
}

impl FamilyMessage {
    /// A family without metrics.
    #[must_use]
    pub fn new(name: &str, kind: FamilyKind) -> Self {
        let mut message = Vec::new();
        put_bytes(bytes_tag(1), name.as_bytes(), &mut message);
        message.push(varint_tag(3));
        message.push(kind as u8);
        Self { kind, message, metric: Vec::new(), part: Vec::new() }
    }

    /// Says what the family is about.
    pub fn put_help(&mut self, help: &str) {
        put_bytes(bytes_tag(2), help.as_bytes(), &mut self.message);
    }

    /// Appends a metric with its labels, of which none is its name, and the time of its value if it has one.
    pub fn put_metric<'p>(
        &mut self,
        pairs: impl IntoIterator<Item = (&'p str, &'p str)>,
        value: FamilyValue<'_>,
        at_ms: Option<i64>,
    ) {
        let Self { kind, message, metric, part } = self;
        metric.clear();
        for (name, text) in pairs {
            part.clear();
            put_bytes(bytes_tag(1), name.as_bytes(), part);
            put_bytes(bytes_tag(2), text.as_bytes(), part);
            put_bytes(bytes_tag(1), part, metric);
        }
        part.clear();
        let tag = match value {
            FamilyValue::Float(value) => {
                put_float(1, value, part);
                match kind {
                    FamilyKind::Gauge => bytes_tag(2),
                    FamilyKind::Counter => bytes_tag(3),
                    _ => bytes_tag(5),
                }
            }
            FamilyValue::Summary { count, sum, quantiles } => {
                put_whole(count, part);
                put_float(2, sum, part);
                for (quantile, value) in quantiles {
                    let mut message = Vec::new();
                    put_float(1, *quantile, &mut message);
                    put_float(2, *value, &mut message);
                    put_bytes(bytes_tag(3), &message, part);
                }
                bytes_tag(4)
            }
            FamilyValue::Classic { count, sum, buckets } => {
                put_whole(count, part);
                put_float(2, sum, part);
                for (bound, count) in buckets {
                    let mut bucket = Vec::new();
                    put_whole(*count, &mut bucket);
                    put_float(2, *bound, &mut bucket);
                    put_bytes(bytes_tag(3), &bucket, part);
                }
                bytes_tag(7)
            }
            FamilyValue::Histogram(value) => {
                put_float(2, value.sum, part);
                if value.uses_custom_buckets() {
                    put_classic(value, part);
                } else {
                    put_float(4, value.count, part);
                    put_exponential(value, part);
                }
                bytes_tag(7)
            }
        };
        put_bytes(tag, part, metric);
        if let Some(at_ms) = at_ms {
            metric.push(varint_tag(6));
            put_varint(at_ms.cast_unsigned(), metric);
        }
        put_bytes(bytes_tag(4), metric, message);
    }

    /// Appends the family behind its length.
    pub fn finish(self, out: &mut Vec<u8>) {
        put_varint(self.message.len() as u64, out);
        out.extend_from_slice(&self.message);
    }
}

/// A count in field 1.
fn put_whole(count: u64, out: &mut Vec<u8>) {
    out.push(varint_tag(1));
    put_varint(count, out);
}

/// Count and buckets, each of which counts all below its bound.
fn put_classic(value: &NativeHistogram, out: &mut Vec<u8>) {
    put_count(value.count, out);
    for (bound, count) in value.up_to_bounds() {
        let mut bucket = Vec::new();
        put_count(count, &mut bucket);
        put_float(2, bound, &mut bucket);
        put_bytes(bytes_tag(3), &bucket, out);
    }
}

/// A count of a classic histogram, in field 1 where it is whole, since older readers know no others, and in field 4 where it
/// is not.
#[expect(clippy::cast_possible_truncation, reason = "it is whole, and small enough")]
fn put_count(count: f64, out: &mut Vec<u8>) {
    /// Above, floats are not exact.
    const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
    if count.fract() == 0.0 && (0.0..=WHOLE_MAX).contains(&count) {
        put_whole(count as u64, out);
    } else {
        put_float(4, count, out);
    }
}

fn put_exponential(value: &NativeHistogram, out: &mut Vec<u8>) {
    out.push(varint_tag(5));
    put_varint(zigzag(i64::from(value.schema)), out);
    put_float(6, value.zero_threshold, out);
    put_float(8, value.zero_count, out);
    put_side(9, 11, &value.negative_spans, &value.negative_buckets, out);
    put_side(12, 14, &value.positive_spans, &value.positive_buckets, out);
    // Without a span and a threshold it would be read as a classic one without buckets.
    if value.positive_spans.is_empty() && value.negative_spans.is_empty() {
        put_side(12, 14, &[Span { offset: 0, length: 0 }], &[], out);
    }
}

fn put_side(spans_field: u8, counts_field: u8, spans: &[Span], counts: &[f64], out: &mut Vec<u8>) {
    for span in spans {
        let mut message = vec![varint_tag(1)];
        put_varint(zigzag(i64::from(span.offset)), &mut message);
        message.push(varint_tag(2));
        put_varint(u64::from(span.length), &mut message);
        put_bytes(bytes_tag(spans_field), &message, out);
    }
    for count in counts {
        put_float(counts_field, *count, out);
    }
}

fn put_float(field: u8, value: f64, out: &mut Vec<u8>) {
    out.push(fixed64_tag(field));
    out.extend_from_slice(&value.to_bits().to_le_bytes());
}
