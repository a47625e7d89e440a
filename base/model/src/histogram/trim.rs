//! Removing observations above or below a value (`</` and `>/`). Inside the bucket that holds the value, the share
//! that stays is interpolated: linearly for custom buckets and the zero bucket, else exponentially. The sum is
//! estimated anew from the middles of what stays. Rules: Prometheus `TrimBuckets`.

use super::{Bucket, NativeHistogram};

/// Which observations stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Those at or below the value.
    Below,
    /// Those at or above the value.
    Above,
}

/// Count that stays of a bucket, and its representative value.
struct Kept {
    count: f64,
    middle: f64,
}

impl NativeHistogram {
    /// A histogram with the observations on one side of `value` only.
    #[must_use]
    pub fn trimmed(&self, value: f64, keep: Keep) -> Self {
        let mut result = self.clone();
        let mut count = 0.0;
        let mut sum = 0.0;
        let linear = self.uses_custom_buckets();
        let mut trim_side = |buckets: Vec<Bucket>, counts: &mut [f64], positive: bool| {
            let mut populated = false;
            let mut changed = false;
            for (bucket, stored) in buckets.into_iter().zip(counts) {
                if bucket.count == 0.0 {
                    continue;
                }
                populated = true;
                let kept = trim_bucket(&bucket, value, keep, positive, linear);
                count += kept.count;
                if kept.count != 0.0 {
                    sum += kept.middle * kept.count;
                }
                changed |= kept.count.to_bits() != stored.to_bits();
                *stored = kept.count;
            }
            (populated, changed)
        };
        let (has_positive, positive_changed) =
            trim_side(self.positive().collect(), &mut result.positive_buckets, true);
        let (has_negative, negative_changed) =
            trim_side(self.negative().collect(), &mut result.negative_buckets, false);
        let mut changed = positive_changed || negative_changed;
        if self.zero_count > 0.0 {
            let kept = self.trim_zero(value, keep, has_negative, has_positive);
            changed |= kept.count.to_bits() != self.zero_count.to_bits();
            result.zero_count = kept.count;
            count += kept.count;
            sum += kept.middle * kept.count;
        }
        if !changed {
            return result;
        }
        result.count = count;
        result.sum = sum;
        result.compacted()
    }

    fn trim_zero(&self, value: f64, keep: Keep, has_negative: bool, has_positive: bool) -> Kept {
        let lower = if has_positive && !has_negative { 0.0 } else { -self.zero_threshold };
        let upper = if has_negative && !has_positive { 0.0 } else { self.zero_threshold };
        let all = Kept { count: self.zero_count, middle: f64::midpoint(lower, upper) };
        let none = Kept { count: 0.0, middle: 0.0 };
        let (below, above) = match keep {
            Keep::Below => (none, all),
            Keep::Above => (all, none),
        };
        if value <= lower {
            return below;
        }
        if value >= upper {
            return above;
        }
        let (share, middle) = match keep {
            Keep::Below => (value - lower, f64::midpoint(lower, value)),
            Keep::Above => (upper - value, f64::midpoint(value, upper)),
        };
        Kept { count: self.zero_count * share / (upper - lower), middle }
    }
}

fn trim_bucket(bucket: &Bucket, value: f64, keep: Keep, positive: bool, linear: bool) -> Kept {
    let all = || Kept {
        count: bucket.count,
        middle: middle(bucket.lower, bucket.upper, positive, linear),
    };
    let none = Kept { count: 0.0, middle: 0.0 };
    let (whole_kept, whole_dropped) = match keep {
        Keep::Below => (bucket.upper <= value, bucket.lower >= value),
        Keep::Above => (bucket.lower >= value, bucket.upper <= value),
    };
    if whole_kept {
        return all();
    }
    if whole_dropped {
        return none;
    }
    if bucket.lower.is_infinite() {
        return trim_open_below(bucket, value, keep);
    }
    if bucket.upper.is_infinite() {
        // Where the observations lie is not known: above the value they all may, below none must.
        return match keep {
            Keep::Below => none,
            Keep::Above => Kept { count: bucket.count, middle: value },
        };
    }
    let share_below = if linear {
        (value - bucket.lower) / (bucket.upper - bucket.lower)
    } else {
        let [low, high, at] = [bucket.lower, bucket.upper, value].map(|bound| bound.abs().log2());
        if positive { (at - low) / (high - low) } else { 1.0 - (at - high) / (low - high) }
    };
    let below = bucket.count * share_below;
    match keep {
        Keep::Below => Kept { count: below, middle: middle(bucket.lower, value, positive, linear) },
        Keep::Above => Kept {
            count: bucket.count - below,
            middle: middle(value, bucket.upper, positive, linear),
        },
    }
}

/// The lowest custom bucket, whose lower bound is -Inf: with a positive upper bound it is taken to begin at 0.
fn trim_open_below(bucket: &Bucket, value: f64, keep: Keep) -> Kept {
    let finite = bucket.upper.is_finite();
    match keep {
        Keep::Below if value > 0.0 && bucket.upper > 0.0 && finite => {
            Kept { count: bucket.count * value / bucket.upper, middle: value / 2.0 }
        }
        Keep::Below if bucket.upper <= 0.0 => Kept { count: bucket.count, middle: value },
        Keep::Above if value >= 0.0 && finite => Kept {
            count: bucket.count * (1.0 - value / bucket.upper),
            middle: f64::midpoint(value, bucket.upper),
        },
        _ => Kept { count: 0.0, middle: 0.0 },
    }
}

/// The value that stands for the observations between two bounds.
fn middle(lower: f64, upper: f64, positive: bool, linear: bool) -> f64 {
    if lower.is_infinite() {
        return match (upper.is_infinite(), upper > 0.0) {
            (true, _) => 0.0,
            (false, true) => upper / 2.0,
            (false, false) => upper,
        };
    }
    if upper.is_infinite() {
        return lower;
    }
    if linear {
        return f64::midpoint(lower, upper);
    }
    let size = (lower * upper).abs().sqrt();
    if positive { size } else { -size }
}
