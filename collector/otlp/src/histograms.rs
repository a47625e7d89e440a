//! Distributions as native histograms.

use std::sync::Arc;

use swell_model::{InvalidHistogram, NativeHistogram, Span, stale_nan};

use crate::message::{Buckets, ExponentialPoint, HistogramPoint, NO_RECORDED_VALUE};

/// Buckets, or bounds, of one histogram: what the storage takes.
const BUCKETS_MAX: usize = 4096;

/// Coarsest scale that a native histogram has.
const SCALE_MIN: i32 = -4;

/// Empty buckets between two full ones that are written out: a new span costs as much.
const GAP_FILLED_MAX: i64 = 2;

/// Half the width of the zero bucket where the sender does not say.
const ZERO_THRESHOLD: f64 = 1e-128;

/// Why a distribution is no native histogram.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum Unfit {
    #[error("scale {0} is below -4, the coarsest that native histograms have")]
    Scale(i32),
    #[error("more than {BUCKETS_MAX} buckets")]
    TooManyBuckets,
    #[error("{buckets} buckets for {bounds} bounds: there must be one more")]
    Bounds { buckets: usize, bounds: usize },
    #[error(transparent)]
    Invalid(#[from] InvalidHistogram),
}

/// Spans and counts of dense buckets, the first of which has the index `first`.
fn spans(counts: &[u64], first: i64) -> Result<(Vec<Span>, Vec<f64>), Unfit> {
    let (mut spans, mut buckets): (Vec<Span>, Vec<f64>) = (Vec::new(), Vec::new());
    // Where the last span ends.
    let mut next = 0_i64;
    for (idx, count) in (first..).zip(counts) {
        if *count == 0 {
            continue;
        }
        let gap = idx - next;
        match spans.last_mut() {
            Some(span) if gap <= GAP_FILLED_MAX => {
                for _ in 0..=gap {
                    span.length += 1;
                }
                buckets.extend((0..gap).map(|_| 0.0));
            }
            _ => {
                let offset = i32::try_from(gap).map_err(|_| InvalidHistogram::BucketIndex(idx))?;
                spans.push(Span { offset, length: 1 });
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "histograms are kept as floats")]
        buckets.push(*count as f64);
        next = idx + 1;
    }
    Ok((spans, buckets))
}

fn fit(value: NativeHistogram) -> Result<Arc<NativeHistogram>, Unfit> {
    let value = value.checked(true)?;
    let buckets = value.positive_buckets.len() + value.negative_buckets.len();
    if buckets > BUCKETS_MAX || value.custom_bounds.len() > BUCKETS_MAX {
        return Err(Unfit::TooManyBuckets);
    }
    Ok(Arc::new(value))
}

/// What says that a series has ended.
fn stale(schema: i32) -> Arc<NativeHistogram> {
    Arc::new(NativeHistogram { schema, sum: stale_nan(), ..NativeHistogram::default() })
}

/// A distribution with computed bounds.
#[expect(clippy::cast_precision_loss, reason = "histograms are kept as floats")]
pub(crate) fn exponential(point: &ExponentialPoint) -> Result<Arc<NativeHistogram>, Unfit> {
    if point.flags & NO_RECORDED_VALUE != 0 {
        return Ok(stale(0));
    }
    if point.scale < SCALE_MIN {
        return Err(Unfit::Scale(point.scale));
    }
    // Bucket 0 begins at 1 here, and ends there in a native histogram.
    let side = |buckets: &Option<Buckets>| match buckets {
        Some(buckets) => spans(&buckets.bucket_counts, i64::from(buckets.offset) + 1),
        None => Ok((Vec::new(), Vec::new())),
    };
    let (positive_spans, positive_buckets) = side(&point.positive)?;
    let (negative_spans, negative_buckets) = side(&point.negative)?;
    fit(NativeHistogram {
        schema: point.scale,
        zero_threshold: if point.zero_threshold > 0.0 {
            point.zero_threshold
        } else {
            ZERO_THRESHOLD
        },
        zero_count: point.zero_count as f64,
        count: point.count as f64,
        sum: point.sum.unwrap_or(0.0),
        positive_spans,
        positive_buckets,
        negative_spans,
        negative_buckets,
        ..NativeHistogram::default()
    })
}

/// A distribution with listed bounds, as native histogram with custom bounds.
#[expect(clippy::cast_precision_loss, reason = "histograms are kept as floats")]
pub(crate) fn custom(point: &HistogramPoint) -> Result<Arc<NativeHistogram>, Unfit> {
    if point.flags & NO_RECORDED_VALUE != 0 {
        return Ok(stale(NativeHistogram::CUSTOM_SCHEMA));
    }
    let (buckets, bounds) = (point.bucket_counts.len(), point.explicit_bounds.len());
    // Without buckets all is known to lie in one.
    let all = [point.count];
    let (counts, bounds) = match (buckets, bounds) {
        (0, _) => (&all[..], &[][..]),
        _ if buckets == bounds + 1 => (&*point.bucket_counts, &*point.explicit_bounds),
        _ => return Err(Unfit::Bounds { buckets, bounds }),
    };
    let (positive_spans, positive_buckets) = spans(counts, 0)?;
    fit(NativeHistogram {
        schema: NativeHistogram::CUSTOM_SCHEMA,
        count: point.count as f64,
        sum: point.sum.unwrap_or(0.0),
        positive_spans,
        positive_buckets,
        custom_bounds: bounds.to_vec(),
        ..NativeHistogram::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(scale: i32, offset: i32, counts: &[u64]) -> ExponentialPoint {
        let positive = Some(Buckets { offset, bucket_counts: counts.to_vec() });
        let count = counts.iter().sum::<u64>() + 2;
        ExponentialPoint {
            scale,
            positive,
            count,
            zero_count: 2,
            sum: Some(9.0),
            ..Default::default()
        }
    }

    fn uppers(value: &NativeHistogram) -> Vec<(f64, f64)> {
        value.positive().filter(|it| it.count > 0.0).map(|it| (it.upper, it.count)).collect()
    }

    #[test]
    fn buckets_keep_their_bounds() {
        // At scale 0 the bucket of index 0 is (1, 2].
        let value = exponential(&point(0, 0, &[1, 0, 3])).expect("fits");
        assert_eq!(uppers(&value), [(2.0, 1.0), (8.0, 3.0)]);
        assert_eq!((value.count, value.zero_count, value.sum), (6.0, 2.0, 9.0));
        let value = exponential(&point(0, -3, &[1, 0, 0, 0, 0, 2])).expect("fits");
        assert_eq!(uppers(&value), [(0.25, 1.0), (8.0, 2.0)]);
        assert_eq!(value.positive_spans.len(), 2, "a gap of four is no part of a span");
    }

    #[test]
    fn fine_scales_are_brought_down_and_coarse_ones_refused() {
        let value = exponential(&point(20, 1 << 20, &[5])).expect("fits");
        assert_eq!((value.schema, uppers(&value).len()), (8, 1));
        assert!(uppers(&value)[0].0 > 2.0, "the bucket begins at 2");
        assert_eq!(exponential(&point(-5, 0, &[1])), Err(Unfit::Scale(-5)));
        let far = exponential(&point(0, i32::MAX, &[1])).expect_err("no float is there");
        assert!(matches!(far, Unfit::Invalid(_)), "{far}");
        let wide: Vec<u64> = vec![1; BUCKETS_MAX + 1];
        assert_eq!(exponential(&point(8, 0, &wide)), Err(Unfit::TooManyBuckets));
    }

    #[test]
    fn listed_bounds_stay() {
        let point = HistogramPoint {
            count: 6,
            sum: Some(3.5),
            bucket_counts: vec![0, 2, 4],
            explicit_bounds: vec![0.5, 1.0],
            ..HistogramPoint::default()
        };
        let value = custom(&point).expect("fits");
        assert_eq!(uppers(&value), [(1.0, 2.0), (f64::INFINITY, 4.0)]);
        let none = HistogramPoint { count: 6, ..HistogramPoint::default() };
        assert_eq!(uppers(&custom(&none).expect("fits")), [(f64::INFINITY, 6.0)]);
        let odd = HistogramPoint { bucket_counts: vec![1, 2, 3, 4], ..point };
        assert_eq!(custom(&odd), Err(Unfit::Bounds { buckets: 4, bounds: 2 }));
    }
}
