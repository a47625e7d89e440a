//! Buckets of native histograms with the rule that says which of their bounds belong to them.

use swell_model::NativeHistogram;

/// The lower bound does not belong to the bucket, the upper one does.
const OPEN_LEFT: u8 = 0;
/// The upper bound does not belong to the bucket, the lower one does.
const OPEN_RIGHT: u8 = 1;
/// Both bounds belong to the bucket.
const CLOSED: u8 = 3;

/// One bucket as the API shows it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// 0 open left, 1 open right, 2 open both, 3 closed both.
    pub boundaries: u8,
    /// Lower bound.
    pub lower: f64,
    /// Upper bound.
    pub upper: f64,
    /// Observations.
    pub count: f64,
}

/// Buckets that are not empty, rising (Prometheus `util/jsonutil`).
pub fn buckets(histogram: &NativeHistogram) -> impl Iterator<Item = Bucket> {
    let custom = histogram.uses_custom_buckets();
    histogram.buckets().into_iter().filter(|bucket| bucket.count != 0.0).map(move |bucket| {
        let boundaries = if custom {
            if bucket.lower == f64::NEG_INFINITY { CLOSED } else { OPEN_LEFT }
        } else if bucket.lower < 0.0 {
            if bucket.upper > 0.0 { CLOSED } else { OPEN_RIGHT }
        } else {
            OPEN_LEFT
        };
        Bucket { boundaries, lower: bucket.lower, upper: bucket.upper, count: bucket.count }
    })
}

#[cfg(test)]
mod tests {
    use swell_model::Span;

    use super::*;

    #[test]
    fn bounds_belong_to_buckets_as_prometheus_says() {
        let histogram = NativeHistogram {
            zero_threshold: 0.001,
            zero_count: 2.0,
            positive_spans: vec![Span { offset: 0, length: 2 }],
            positive_buckets: vec![1.0, 0.0],
            negative_spans: vec![Span { offset: 0, length: 1 }],
            negative_buckets: vec![3.0],
            ..NativeHistogram::default()
        };
        let shown: Vec<_> = buckets(&histogram)
            .map(|bucket| (bucket.boundaries, bucket.lower, bucket.upper))
            .collect();
        assert_eq!(shown, [(1, -1.0, -0.5), (3, -0.001, 0.001), (0, 0.5, 1.0)]);
    }

    #[test]
    fn the_first_custom_bucket_is_closed() {
        let histogram = NativeHistogram {
            schema: NativeHistogram::CUSTOM_SCHEMA,
            positive_spans: vec![Span { offset: 0, length: 2 }],
            positive_buckets: vec![1.0, 2.0],
            custom_bounds: vec![5.0],
            ..NativeHistogram::default()
        };
        let rules: Vec<u8> = buckets(&histogram).map(|bucket| bucket.boundaries).collect();
        assert_eq!(rules, [3, 0]);
    }
}
