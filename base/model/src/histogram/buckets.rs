//! Buckets with their bounds, and the way between spans and plain lists of (index, count).

use super::{NativeHistogram, Span};

/// One bucket with its bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// Lower bound.
    pub lower: f64,
    /// Upper bound.
    pub upper: f64,
    /// Observations.
    pub count: f64,
}

/// Indexes and counts of the buckets of one side, in rising order of index.
pub(super) fn indexed<'a>(
    spans: &'a [Span],
    counts: &'a [f64],
) -> impl Iterator<Item = (i32, f64)> + 'a {
    let mut next: i32 = 0;
    let indexes = spans.iter().flat_map(move |span| {
        let start = next.saturating_add(span.offset);
        let length = i32::try_from(span.length).unwrap_or(i32::MAX);
        next = start.saturating_add(length);
        start..next
    });
    indexes.zip(counts.iter().copied())
}

/// Spans and counts of the buckets that are not empty.
pub(super) fn packed(buckets: impl IntoIterator<Item = (i32, f64)>) -> (Vec<Span>, Vec<f64>) {
    let mut spans: Vec<Span> = Vec::new();
    let mut counts = Vec::new();
    let mut next: i32 = 0;
    for (index, count) in buckets {
        if count == 0.0 {
            continue;
        }
        match spans.last_mut() {
            Some(span) if index == next => span.length += 1,
            _ => spans.push(Span { offset: index.saturating_sub(next), length: 1 }),
        }
        counts.push(count);
        next = index.saturating_add(1);
    }
    (spans, counts)
}

/// Upper bound of exponential bucket `index`; the bucket that ends at the largest float ends there, the next is infinite.
pub(super) fn exponential_bound(index: i32, schema: i32) -> f64 {
    let per_doubling = f64::from(schema).exp2();
    let exponent = f64::from(index) / per_doubling;
    if exponent >= 1024.0 {
        return if exponent > 1024.0 { f64::INFINITY } else { f64::MAX };
    }
    let whole = exponent.floor();
    (exponent - whole).exp2() * whole.exp2()
}

impl NativeHistogram {
    /// Whether the bounds are listed instead of computed.
    #[must_use]
    pub const fn uses_custom_buckets(&self) -> bool {
        self.schema == Self::CUSTOM_SCHEMA
    }

    /// Bounds of the bucket with this index on the positive side.
    fn positive_bounds(&self, index: i32) -> (f64, f64) {
        if !self.uses_custom_buckets() {
            return (
                exponential_bound(index.saturating_sub(1), self.schema),
                exponential_bound(index, self.schema),
            );
        }
        let bound =
            |index: i32| usize::try_from(index).ok().and_then(|at| self.custom_bounds.get(at));
        let lower = if index <= 0 { None } else { bound(index - 1) };
        (
            lower.copied().unwrap_or(f64::NEG_INFINITY),
            bound(index).copied().unwrap_or(f64::INFINITY),
        )
    }

    /// Positive buckets, rising.
    pub fn positive(&self) -> impl Iterator<Item = Bucket> + '_ {
        indexed(&self.positive_spans, &self.positive_buckets).map(|(index, count)| {
            let (lower, upper) = self.positive_bounds(index);
            Bucket { lower, upper, count }
        })
    }

    /// Negative buckets, falling: the one next to zero comes first.
    pub fn negative(&self) -> impl Iterator<Item = Bucket> + '_ {
        indexed(&self.negative_spans, &self.negative_buckets).map(|(index, count)| {
            let lower = -exponential_bound(index, self.schema);
            let upper = -exponential_bound(index.saturating_sub(1), self.schema);
            Bucket { lower, upper, count }
        })
    }

    /// All buckets, rising; the zero bucket stands between the sides when it holds anything. A bucket that
    /// overlaps the zero bucket begins (or ends) where the zero bucket ends (or begins).
    #[must_use]
    pub fn buckets(&self) -> Vec<Bucket> {
        let capacity = self.negative_buckets.len() + self.positive_buckets.len() + 1;
        let mut all = Vec::with_capacity(capacity);
        all.extend(self.negative());
        all.reverse();
        let zero = self.zero_threshold;
        for bucket in &mut all {
            if bucket.upper < 0.0 && bucket.upper > -zero {
                bucket.upper = -zero;
            }
        }
        if self.zero_count > 0.0 && !self.uses_custom_buckets() {
            all.push(Bucket { lower: -zero, upper: zero, count: self.zero_count });
        }
        all.extend(self.positive().map(|bucket| {
            let overlaps = bucket.lower > 0.0 && bucket.lower < zero;
            Bucket { lower: if overlaps { zero } else { bucket.lower }, ..bucket }
        }));
        all
    }

    /// The bounds of a classic histogram of the same observations, each with how many are up to it, infinity last: of a
    /// histogram whose bounds are listed.
    pub fn up_to_bounds(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        let mut buckets = self.positive().peekable();
        let mut sum = 0.0;
        let finite = self.custom_bounds.iter().map(move |bound| {
            while let Some(bucket) = buckets.next_if(|bucket| bucket.upper <= *bound) {
                sum += bucket.count;
            }
            (*bound, sum)
        });
        finite.chain([(f64::INFINITY, self.count)])
    }

    /// The same histogram without empty buckets, spans as long as they can be.
    #[must_use]
    pub fn compacted(mut self) -> Self {
        let (spans, counts) = packed(indexed(&self.positive_spans, &self.positive_buckets));
        (self.positive_spans, self.positive_buckets) = (spans, counts);
        let (spans, counts) = packed(indexed(&self.negative_spans, &self.negative_buckets));
        (self.negative_spans, self.negative_buckets) = (spans, counts);
        self
    }

    /// Whether both hold the same data: same layout and bit-equal figures. The reset hint does not matter.
    #[must_use]
    pub fn same_data(&self, other: &Self) -> bool {
        fn side(spans: &[Span], counts: &[f64]) -> Vec<(i32, u64)> {
            indexed(spans, counts).map(|(index, count)| (index, count.to_bits())).collect()
        }
        let figures = |h: &Self| [h.count, h.sum, h.zero_count, h.zero_threshold].map(f64::to_bits);
        self.schema == other.schema
            && figures(self) == figures(other)
            && (!self.uses_custom_buckets() || self.custom_bounds == other.custom_bounds)
            && side(&self.positive_spans, &self.positive_buckets)
                == side(&other.positive_spans, &other.positive_buckets)
            && side(&self.negative_spans, &self.negative_buckets)
                == side(&other.negative_spans, &other.negative_buckets)
    }
}
