//! Native histograms: as they come, or made of classic buckets.

use std::sync::Arc;

use swell_model::{CounterResetHint, NativeHistogram, Span};

use super::classic::{count, either, float_of};
use super::messages::{BucketSpan, Histogram};
use super::{Lines, ProtobufFault, failed, write_exemplar};
use crate::document::BodyFault;
use crate::entry::{Entry, Exemplar, HistogramSample};
use crate::series::SeriesText;

/// Whether it is meant to be one: an empty span marks one without observations.
pub(super) const fn is_native(histogram: &Histogram) -> bool {
    !histogram.positive_spans.is_empty()
        || !histogram.negative_spans.is_empty()
        || histogram.zero_threshold > 0.0
        || histogram.zero_count > 0
}

/// A histogram with exponential buckets.
pub(super) fn exponential<E: From<BodyFault>>(
    histogram: &Histogram,
    is_gauge: bool,
    lines: &mut Lines<'_>,
    visit: &mut impl FnMut(Entry<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let is_float = histogram.sample_count_float > 0.0 || histogram.zero_count_float > 0.0;
    let counts = |floats: &[f64], deltas: &[i64]| {
        if is_float { floats.to_vec() } else { absolute(deltas) }
    };
    let value = NativeHistogram {
        schema: histogram.schema,
        reset_hint: hint(is_gauge),
        zero_threshold: histogram.zero_threshold,
        zero_count: if is_float {
            histogram.zero_count_float
        } else {
            float_of(histogram.zero_count)
        },
        count: if is_float {
            histogram.sample_count_float
        } else {
            float_of(histogram.sample_count)
        },
        sum: histogram.sample_sum,
        positive_spans: spans(&histogram.positive_spans),
        positive_buckets: counts(&histogram.positive_counts, &histogram.positive_deltas),
        negative_spans: spans(&histogram.negative_spans),
        negative_buckets: counts(&histogram.negative_counts, &histogram.negative_deltas),
        custom_bounds: Vec::new(),
    };
    tell(histogram, value, !is_float, lines, visit)
}

/// A histogram whose bounds are those of the classic buckets.
pub(super) fn custom<E: From<BodyFault>>(
    histogram: &Histogram,
    is_gauge: bool,
    lines: &mut Lines<'_>,
    visit: &mut impl FnMut(Entry<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let total = count(histogram);
    let finite = histogram.buckets.iter().filter(|bucket| bucket.upper_bound != f64::INFINITY);
    let (mut custom_bounds, mut buckets, mut below) = (Vec::new(), Vec::new(), 0.0);
    for bucket in finite {
        let cumulative = either(bucket.cumulative_count_float, bucket.cumulative_count);
        custom_bounds.push(bucket.upper_bound);
        buckets.push(cumulative - below);
        below = cumulative;
    }
    buckets.push(total - below);
    let length = u32::try_from(buckets.len()).unwrap_or(u32::MAX);
    let value = NativeHistogram {
        schema: NativeHistogram::CUSTOM_SCHEMA,
        reset_hint: hint(is_gauge),
        count: total,
        sum: histogram.sample_sum,
        positive_spans: vec![Span { offset: 0, length }],
        positive_buckets: buckets,
        custom_bounds,
        ..NativeHistogram::default()
    };
    tell(histogram, value, false, lines, visit)
}

fn tell<E: From<BodyFault>>(
    histogram: &Histogram,
    value: NativeHistogram,
    counts_agree: bool,
    lines: &mut Lines<'_>,
    visit: &mut impl FnMut(Entry<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let value = value.checked(counts_agree).map_err(|source| {
        failed::<E>(ProtobufFault::Histogram { family: lines.head.name.clone(), source })
    })?;
    lines.write_series("", None);
    let of_buckets = histogram.buckets.iter().filter_map(|bucket| bucket.exemplar.as_ref());
    let own = histogram.exemplars.iter();
    // Of a native histogram only exemplars with a time count; those of its classic buckets stand in where it has none.
    let found: Vec<_> = if histogram.exemplars.is_empty() {
        of_buckets.filter(|exemplar| exemplar.timestamp.is_some()).collect()
    } else {
        own.filter(|exemplar| exemplar.timestamp.is_some()).collect()
    };
    let mut texts = vec![String::new(); found.len()];
    let figures: Vec<_> =
        found.iter().zip(&mut texts).map(|(one, text)| write_exemplar(text, one)).collect();
    let exemplars = texts
        .iter()
        .zip(figures)
        .map(|(text, (value, timestamp))| Exemplar::new(text, value, timestamp))
        .collect();
    visit(Entry::Histogram(HistogramSample {
        series: SeriesText::new(&lines.series, None),
        value: Arc::new(value.compacted()),
        timestamp: lines.timestamp,
        start: lines.start,
        exemplars,
    }))
}

const fn hint(is_gauge: bool) -> CounterResetHint {
    if is_gauge { CounterResetHint::Gauge } else { CounterResetHint::Unknown }
}

fn spans(spans: &[BucketSpan]) -> Vec<Span> {
    spans.iter().map(|span| Span { offset: span.offset, length: span.length }).collect()
}

/// Counts of buckets that are given as differences.
#[expect(clippy::cast_precision_loss, reason = "as for counts")]
fn absolute(deltas: &[i64]) -> Vec<f64> {
    let mut count = 0_i64;
    let counts = deltas.iter().map(|delta| {
        count = count.wrapping_add(*delta);
        count as f64
    });
    counts.collect()
}
