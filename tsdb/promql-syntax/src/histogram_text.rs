//! Native histograms as text.

use swell_model::{Bucket, NativeHistogram};

use crate::literal::format_float_short;

/// Prints a histogram as Prometheus does, without its empty buckets: `{count:4, sum:5, [-1,-0.5):1, (1,2]:3}`.
#[must_use]
pub fn histogram_text(histogram: &NativeHistogram) -> String {
    let mut text = format!(
        "{{count:{}, sum:{}",
        format_float_short(histogram.count),
        format_float_short(histogram.sum)
    );
    let negative: Vec<_> = histogram.negative().map(|bucket| ('[', bucket, ')')).collect();
    let zero = Bucket {
        lower: -histogram.zero_threshold,
        upper: histogram.zero_threshold,
        count: histogram.zero_count,
    };
    // The first bucket of listed bounds has no lower one, and takes that in.
    let open = |bucket: &Bucket| if bucket.lower == f64::NEG_INFINITY { '[' } else { '(' };
    let positive = histogram.positive().map(|bucket| (open(&bucket), bucket, ']'));
    let all = negative.into_iter().rev().chain([('[', zero, ']')]).chain(positive);
    for (open, bucket, close) in all.filter(|(_, bucket, _)| bucket.count != 0.0) {
        text.push_str(&format!(
            ", {open}{},{}{close}:{}",
            format_float_short(bucket.lower),
            format_float_short(bucket.upper),
            format_float_short(bucket.count)
        ));
    }
    text.push('}');
    text
}

#[cfg(test)]
mod tests {
    use swell_model::Span;

    use super::*;

    #[test]
    fn histograms_are_written_as_by_prometheus() {
        let histogram = NativeHistogram {
            zero_threshold: 0.001,
            zero_count: 2.0,
            count: 1_000_010.0,
            sum: -3.5,
            positive_spans: vec![Span { offset: 0, length: 3 }],
            positive_buckets: vec![1.0, 0.0, 2.5],
            negative_spans: vec![Span { offset: 0, length: 2 }],
            negative_buckets: vec![3.0, 1.0],
            ..NativeHistogram::default()
        };
        assert_eq!(
            histogram_text(&histogram),
            "{count:1.00001e+06, sum:-3.5, [-2,-1):1, [-1,-0.5):3, [-0.001,0.001]:2, (0.5,1]:1, (2,4]:2.5}"
        );
        let custom = NativeHistogram {
            schema: NativeHistogram::CUSTOM_SCHEMA,
            count: 3.0,
            sum: f64::NAN,
            positive_spans: vec![Span { offset: 0, length: 2 }],
            positive_buckets: vec![1.0, 2.0],
            custom_bounds: vec![5.0],
            ..NativeHistogram::default()
        };
        assert_eq!(histogram_text(&custom), "{count:3, sum:NaN, [-Inf,5]:1, (5,+Inf]:2}");
    }
}
