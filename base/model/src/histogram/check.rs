//! The rules that a native histogram from outside must keep (Prometheus `model/histogram`, `Validate`).

use super::{NativeHistogram, Span};

/// Finest exponential schema that is stored; finer ones are brought down to it.
const SCHEMA_MAX: i32 = 8;
const SCHEMA_MIN: i32 = -4;
/// Finest exponential schema that is read.
const READ_SCHEMA_MAX: i32 = 52;
/// Bucket indices beyond this are of no float.
const BUCKET_INDEX_MAX: i64 = 1 << 30;

/// Which rule a histogram breaks.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum InvalidHistogram {
    /// Neither exponential nor custom.
    #[error("schema {0} is not known: exponential ones are -4 to 52, custom bounds -53")]
    Schema(i32),
    /// A span behind the first goes back.
    #[error("span {idx} has the negative offset {offset}")]
    NegativeOffset {
        /// Which span.
        idx: usize,
        /// Its offset.
        offset: i32,
    },
    /// Spans and buckets disagree.
    #[error("spans have {spans} buckets, the histogram has {buckets}")]
    Spans {
        /// Buckets that the spans name.
        spans: u64,
        /// Buckets that are there.
        buckets: usize,
    },
    /// A bucket lies outside of what floats reach.
    #[error("bucket index {0} is out of range")]
    BucketIndex(i64),
    /// A bucket with fewer than no observations.
    #[error("a bucket has the negative count {0}")]
    NegativeBucket(f64),
    /// Buckets and count disagree.
    #[error("buckets hold {buckets} observations, the count says {count}")]
    Count {
        /// Sum over the buckets.
        buckets: f64,
        /// What the histogram says.
        count: f64,
    },
    /// Custom bounds do not rise.
    #[error("custom bound {current} does not rise above {previous}")]
    BoundsNotRising {
        /// The bound before.
        previous: f64,
        /// The bound.
        current: f64,
    },
    /// The last bucket's bound is implied.
    #[error("the bound +Inf must not be given")]
    InfiniteBound,
    /// Custom buckets with something that only exponential ones have.
    #[error("custom buckets have no {0}")]
    NotCustom(&'static str),
    /// Exponential buckets with bounds.
    #[error("exponential buckets have no custom bounds")]
    NotExponential,
    /// More buckets than bounds.
    #[error("{buckets} custom buckets need more than {bounds} bounds")]
    TooFewBounds {
        /// Buckets up to the last one named.
        buckets: u64,
        /// Bounds.
        bounds: usize,
    },
}

impl NativeHistogram {
    /// The histogram, checked and at a schema that is stored. `counts_agree`: its buckets must hold what its count
    /// says, as those of integer histograms do.
    ///
    /// # Errors
    /// [`InvalidHistogram`]: the rule that it breaks.
    pub fn checked(self, counts_agree: bool) -> Result<Self, InvalidHistogram> {
        let is_custom = self.uses_custom_buckets();
        if !is_custom && !(SCHEMA_MIN..=READ_SCHEMA_MAX).contains(&self.schema) {
            return Err(InvalidHistogram::Schema(self.schema));
        }
        let (positive, negative) = (&self.positive_buckets, &self.negative_buckets);
        if is_custom {
            check_bounds(&self.custom_bounds)?;
            let faults = [
                (self.zero_count != 0.0, "zero bucket"),
                (self.zero_threshold != 0.0, "zero threshold"),
                (!self.negative_spans.is_empty(), "negative spans"),
                (!negative.is_empty(), "negative buckets"),
            ];
            if let Some((_, what)) = faults.into_iter().find(|(found, _)| *found) {
                return Err(InvalidHistogram::NotCustom(what));
            }
        } else if !self.custom_bounds.is_empty() {
            return Err(InvalidHistogram::NotExponential);
        }
        let reach = check_spans(&self.positive_spans, positive.len(), is_custom)?;
        check_spans(&self.negative_spans, negative.len(), is_custom)?;
        if is_custom && reach > self.custom_bounds.len() as u64 + 1 {
            let bounds = self.custom_bounds.len();
            return Err(InvalidHistogram::TooFewBounds { buckets: reach, bounds });
        }
        let all =
            || positive.iter().chain(negative).chain(std::iter::once(&self.zero_count)).copied();
        if let Some(count) = all().find(|count| *count < 0.0) {
            return Err(InvalidHistogram::NegativeBucket(count));
        }
        if counts_agree {
            // Observations of NaN are counted, and are in no bucket.
            let (buckets, count) = (all().sum::<f64>(), self.count);
            let agrees = if self.sum.is_nan() { buckets <= count } else { buckets == count };
            if !agrees {
                return Err(InvalidHistogram::Count { buckets, count });
            }
        }
        Ok(brought_down(self))
    }
}

/// The histogram at a schema that is stored; all but its buckets stays as it is.
fn brought_down(value: NativeHistogram) -> NativeHistogram {
    /// Indices have 32 bits, so they are not moved by all of a difference at once.
    const STEP: i32 = 16;
    let (sum, reset_hint) = (value.sum, value.reset_hint);
    let mut value = value;
    while value.schema > SCHEMA_MAX {
        value = value.at_schema(SCHEMA_MAX.max(value.schema - STEP));
    }
    NativeHistogram { sum, reset_hint, ..value }
}

fn check_bounds(bounds: &[f64]) -> Result<(), InvalidHistogram> {
    let mut previous = f64::NEG_INFINITY;
    for current in bounds.iter().copied() {
        // A NaN does not rise either.
        if current.partial_cmp(&previous) != Some(std::cmp::Ordering::Greater) {
            return Err(InvalidHistogram::BoundsNotRising { previous, current });
        }
        previous = current;
    }
    if previous == f64::INFINITY { Err(InvalidHistogram::InfiniteBound) } else { Ok(()) }
}

/// Gives the number of buckets from index 0 to the last one named.
fn check_spans(
    spans: &[Span],
    bucket_count: usize,
    is_custom: bool,
) -> Result<u64, InvalidHistogram> {
    let (mut named, mut index) = (0_u64, 0_i64);
    for (idx, span) in spans.iter().enumerate() {
        if span.offset < 0 && (idx > 0 || is_custom) {
            return Err(InvalidHistogram::NegativeOffset { idx, offset: span.offset });
        }
        named += u64::from(span.length);
        let ends = [i64::from(span.offset), i64::from(span.length)];
        for step in ends {
            index += step;
            if index.abs() > BUCKET_INDEX_MAX {
                return Err(InvalidHistogram::BucketIndex(index));
            }
        }
    }
    if named != bucket_count as u64 {
        return Err(InvalidHistogram::Spans { spans: named, buckets: bucket_count });
    }
    Ok(index.unsigned_abs())
}
