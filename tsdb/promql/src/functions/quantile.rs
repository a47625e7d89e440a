//! Quantiles of values, of classic and of native histograms, and the shares of observations between bounds.

use std::cmp::Ordering;

use swell_model::{Bucket, NativeHistogram};
use swell_promql_syntax::{Span, format_float_short};

use crate::annotations::Annotations;

/// Warns of a quantile outside 0…1.
pub(crate) fn warn_if_no_quantile(annotations: &mut Annotations, span: Span, wanted: f64) {
    if !(0.0..=1.0).contains(&wanted) {
        let text =
            format!("quantile value should be between 0 and 1, got {}", format_float_short(wanted));
        annotations.warn(span, text);
    }
}

/// What a quantile outside 0…1 gives.
fn out_of_range(wanted: f64) -> Option<f64> {
    if wanted.is_nan() {
        Some(f64::NAN)
    } else if wanted < 0.0 {
        Some(f64::NEG_INFINITY)
    } else if wanted > 1.0 {
        Some(f64::INFINITY)
    } else {
        None
    }
}

/// NaN before all numbers, then by value, of the two zeros the negative one first: the order of equal values never
/// shows.
pub(super) fn order(a: &f64, b: &f64) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (false, false) => a.total_cmp(b),
        (a, b) => b.cmp(&a),
    }
}

/// Index of the value at or below a quantile from 0 to 1 of so many sorted values, and the share that the next one has.
fn rank_of(wanted: f64, count: usize) -> (usize, f64) {
    #[expect(clippy::cast_precision_loss, reason = "no vector holds 2^53 values")]
    let rank = wanted * (count - 1) as f64;
    let below = rank.floor().max(0.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and the number of values"
    )]
    let idx = below as usize;
    (idx, rank - below)
}

/// The quantile of values, between two of them their weighted mean. Moves the values about.
pub(crate) fn quantile_of(wanted: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() {
        return f64::NAN;
    }
    if let Some(value) = out_of_range(wanted) {
        return value;
    }
    let (idx, share) = rank_of(wanted, values.len());
    let (_, below, above) = values.select_nth_unstable_by(idx, order);
    let above = above.iter().copied().min_by(order).unwrap_or(*below);
    *below * (1.0 - share) + above * share
}

/// As [`quantile_of`], of values in [`order`].
pub(super) fn quantile_of_sorted(wanted: f64, sorted: &[f64]) -> f64 {
    if sorted.is_empty() {
        return f64::NAN;
    }
    if let Some(value) = out_of_range(wanted) {
        return value;
    }
    let (idx, share) = rank_of(wanted, sorted.len());
    let above = sorted.get(idx + 1).unwrap_or(&sorted[idx]);
    sorted[idx] * (1.0 - share) + above * share
}

/// A bucket of a classic histogram: observations up to a bound, those of lower buckets included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ClassicBucket {
    pub(crate) upper: f64,
    pub(crate) count: f64,
}

/// What had to be changed in counts that should rise and did not.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Forced {
    pub(crate) bucket_min: f64,
    pub(crate) bucket_max: f64,
    pub(crate) difference_max: f64,
}

/// Relative differences of counts up to this are rounding, not data.
const SMALL_DELTA: f64 = 1e-12;

/// Sorts buckets by bound and joins those of equal bounds.
fn coalesce(buckets: &mut Vec<ClassicBucket>) {
    buckets.sort_by(|a, b| a.upper.partial_cmp(&b.upper).unwrap_or(Ordering::Equal));
    buckets.dedup_by(|next, kept| {
        let same = next.upper == kept.upper;
        if same {
            kept.count += next.count;
        }
        same
    });
}

/// Makes counts rise: a count below the one before becomes it.
fn force_monotonic(buckets: &mut [ClassicBucket]) -> Option<Forced> {
    let mut forced: Option<Forced> = None;
    let mut before = buckets.first()?.count;
    for bucket in &mut buckets[1..] {
        if bucket.count == before {
            continue;
        }
        if nearly_equal(before, bucket.count) {
            bucket.count = before;
        } else if bucket.count < before {
            let difference = before - bucket.count;
            let all = forced.get_or_insert(Forced {
                bucket_min: bucket.upper,
                bucket_max: bucket.upper,
                difference_max: difference,
            });
            all.bucket_min = all.bucket_min.min(bucket.upper);
            all.bucket_max = all.bucket_max.max(bucket.upper);
            all.difference_max = all.difference_max.max(difference);
            bucket.count = before;
        } else {
            before = bucket.count;
        }
    }
    forced
}

fn nearly_equal(a: f64, b: f64) -> bool {
    let (difference, size) = ((a - b).abs(), a.abs() + b.abs());
    if a == 0.0 || b == 0.0 || size < f64::MIN_POSITIVE {
        return difference < SMALL_DELTA * f64::MIN_POSITIVE;
    }
    difference / size.min(f64::MAX) < SMALL_DELTA
}

/// Quantile of a classic histogram, linear inside a bucket, and what had to be forced for it.
pub(crate) fn classic_quantile(
    wanted: f64,
    buckets: &mut Vec<ClassicBucket>,
) -> (f64, Option<Forced>) {
    if let Some(value) = out_of_range(wanted) {
        return (value, None);
    }
    coalesce(buckets);
    if buckets.last().is_none_or(|bucket| bucket.upper != f64::INFINITY) {
        return (f64::NAN, None);
    }
    let forced = force_monotonic(buckets);
    let Some((highest, finite)) = buckets.split_last() else { return (f64::NAN, forced) };
    if finite.is_empty() || highest.count == 0.0 {
        return (f64::NAN, forced);
    }
    let mut rank = wanted * highest.count;
    // A count that is no number is not enough, as in Prometheus.
    let is_less =
        |bucket: &ClassicBucket| bucket.count.partial_cmp(&rank).is_none_or(Ordering::is_lt);
    let idx = finite.partition_point(is_less);
    let Some(bucket) = finite.get(idx) else {
        return (finite[finite.len() - 1].upper, forced);
    };
    if idx == 0 && bucket.upper <= 0.0 {
        return (bucket.upper, forced);
    }
    let (mut lower, mut count) = (0.0, bucket.count);
    if idx > 0 {
        lower = finite[idx - 1].upper;
        count -= finite[idx - 1].count;
        rank -= finite[idx - 1].count;
    }
    (lower + (bucket.upper - lower) * (rank / count), forced)
}

/// Share of a classic histogram's observations between two bounds.
pub(crate) fn classic_fraction(lower: f64, upper: f64, buckets: &mut Vec<ClassicBucket>) -> f64 {
    coalesce(buckets);
    let Some(highest) = buckets.last().filter(|bucket| bucket.upper == f64::INFINITY) else {
        return f64::NAN;
    };
    let total = highest.count;
    let mut below = if buckets[0].upper > 0.0 { 0.0 } else { f64::NEG_INFINITY };
    let mut counted = 0.0;
    let parts = buckets.iter().map(|bucket| {
        let part = Part {
            bucket: Bucket { lower: below, upper: bucket.upper, count: bucket.count - counted },
            linear: true,
        };
        below = bucket.upper;
        counted = bucket.count;
        part
    });
    fraction(lower, upper, total, total, parts)
}

/// A bucket and how observations lie in it.
struct Part {
    bucket: Bucket,
    linear: bool,
}

impl Part {
    /// Observations up to a value inside the bucket.
    fn rank(&self, value: f64) -> f64 {
        let Bucket { lower, upper, count } = self.bucket;
        if self.linear {
            // Where in an open bucket the observations lie is not known: all lie at its end.
            return if lower == f64::NEG_INFINITY {
                count
            } else {
                count * (value - lower) / (upper - lower)
            };
        }
        let [low, high, at] = [lower, upper, value].map(|bound| bound.abs().log2());
        let share =
            if value > 0.0 { (at - low) / (high - low) } else { 1.0 - (at - high) / (low - high) };
        count * share
    }
}

fn fraction(
    lower: f64,
    upper: f64,
    total: f64,
    counted: f64,
    parts: impl Iterator<Item = Part>,
) -> f64 {
    if total == 0.0 || lower.is_nan() || upper.is_nan() || total.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let mut ranks = [None, None];
    let mut before = 0.0;
    for part in parts {
        for (rank, bound) in ranks.iter_mut().zip([lower, upper]) {
            if rank.is_some() {
                continue;
            }
            if part.bucket.lower >= bound {
                *rank = Some(before);
            } else if part.bucket.upper > bound {
                let open = part.linear && part.bucket.lower == f64::NEG_INFINITY;
                *rank = Some(if open { part.bucket.count } else { before + part.rank(bound) });
            }
        }
        if ranks.iter().all(Option::is_some) {
            break;
        }
        before += part.bucket.count;
    }
    let [low, high] = ranks.map(|rank| rank.map_or(counted, |rank| rank.min(counted)));
    (high - low) / total
}

/// A bucket around zero of a histogram with one side only begins or ends at zero.
fn one_sided(histogram: &NativeHistogram, mut bucket: Bucket) -> Bucket {
    match (histogram.negative_buckets.is_empty(), histogram.positive_buckets.is_empty()) {
        (true, false) => bucket.lower = 0.0,
        (false, true) => bucket.upper = 0.0,
        _ => {}
    }
    bucket
}

/// Quantile of a native histogram. Inside a bucket it is exponential, in the zero bucket and in custom ones linear.
pub(crate) fn native_quantile(
    wanted: f64,
    histogram: &NativeHistogram,
    annotations: &mut Annotations,
    metric_name: &str,
    span: Span,
) -> f64 {
    if let Some(value) = out_of_range(wanted) {
        return value;
    }
    if histogram.count == 0.0 {
        return f64::NAN;
    }
    let custom = histogram.uses_custom_buckets();
    // NaN observations count but are in no bucket, hence the walk from below when the sum tells of them.
    let forward = histogram.sum.is_nan() || wanted < 0.5;
    let mut buckets = histogram.buckets();
    let mut rank = wanted * histogram.count;
    if !forward {
        buckets.reverse();
        rank = (1.0 - wanted) * histogram.count;
    }
    let mut count = 0.0;
    let mut bucket = Bucket { lower: 0.0, upper: 0.0, count: 0.0 };
    let mut rest = buckets.iter();
    for next in rest.by_ref() {
        bucket = *next;
        if bucket.count == 0.0 {
            continue;
        }
        count += bucket.count;
        if count >= rank {
            break;
        }
    }
    if custom {
        if bucket.lower == f64::NEG_INFINITY {
            if bucket.upper <= 0.0 {
                return bucket.upper;
            }
            bucket.lower = 0.0;
        } else if bucket.upper == f64::INFINITY {
            return bucket.lower;
        }
    } else if bucket.lower < 0.0 && bucket.upper > 0.0 {
        bucket = one_sided(histogram, bucket);
    }
    count = count.min(histogram.count);
    if count < rank {
        if histogram.sum.is_nan() {
            let text = named(
                "input to histogram_quantile has NaN observations, result is NaN",
                metric_name,
            );
            annotations.info(span, text);
            return f64::NAN;
        }
        return bucket.upper;
    }
    rank = if forward { rank - (count - bucket.count) } else { count - rank };
    if histogram.sum.is_nan() {
        let all = count + rest.map(|bucket| bucket.count).sum::<f64>();
        if all < histogram.count {
            let text = named(
                "input to histogram_quantile has NaN observations, result is skewed higher",
                metric_name,
            );
            annotations.info(span, text);
        }
    }
    let share = rank / bucket.count;
    if custom || (bucket.lower <= 0.0 && bucket.upper >= 0.0) {
        return bucket.lower + (bucket.upper - bucket.lower) * share;
    }
    let (low, high) = (bucket.lower.abs().log2(), bucket.upper.abs().log2());
    if bucket.lower > 0.0 {
        (low + (high - low) * share).exp2()
    } else {
        -(high + (low - high) * (1.0 - share)).exp2()
    }
}

/// Share of a native histogram's observations between two bounds.
pub(crate) fn native_fraction(
    lower: f64,
    upper: f64,
    histogram: &NativeHistogram,
    annotations: &mut Annotations,
    metric_name: &str,
    span: Span,
) -> f64 {
    if histogram.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let custom = histogram.uses_custom_buckets();
    let buckets = histogram.buckets();
    let mut counted = histogram.count;
    if histogram.sum.is_nan() {
        counted = buckets.iter().map(|bucket| bucket.count).sum();
        if counted < histogram.count {
            let text = named(
                "input to histogram_fraction has NaN observations, which are excluded from all fractions",
                metric_name,
            );
            annotations.info(span, text);
        }
    }
    let parts = buckets.into_iter().map(|bucket| {
        let zero = bucket.lower <= 0.0 && bucket.upper >= 0.0;
        let bucket = if zero { one_sided(histogram, bucket) } else { bucket };
        Part { bucket, linear: custom || zero }
    });
    fraction(lower, upper, histogram.count, counted, parts)
}

/// A remark with the metric's name, where it has one.
pub(crate) fn named(text: &str, metric_name: &str) -> String {
    if metric_name.is_empty() {
        text.to_owned()
    } else {
        format!("{text} for metric name {metric_name:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classic_quantiles_interpolate_and_force_order() {
        let bucket = |(upper, count): (f64, f64)| ClassicBucket { upper, count };
        let mut buckets: Vec<_> =
            [(1.0, 10.0), (0.5, 5.0), (f64::INFINITY, 20.0), (2.0, 8.0)].map(bucket).into();
        let (value, forced) = classic_quantile(0.25, &mut buckets);
        assert_eq!(value, 0.5);
        let forced = forced.expect("the bucket up to 2 holds less than the one up to 1");
        assert_eq!((forced.bucket_min, forced.difference_max), (2.0, 2.0));
        assert!(classic_quantile(0.5, &mut vec![bucket((1.0, 1.0))]).0.is_nan());
    }

    #[test]
    fn quantiles_of_values_weigh_neighbours() {
        assert_eq!(quantile_of(0.5, &mut [3.0, 1.0]), 2.0);
        assert_eq!(quantile_of(1.0, &mut [3.0, f64::NAN, 1.0]), 3.0);
        assert!(quantile_of(0.0, &mut [3.0, f64::NAN]).is_nan());
        assert_eq!(quantile_of(2.0, &mut [3.0]), f64::INFINITY);
    }
}
