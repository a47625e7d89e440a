//! Histograms as values: scaling, sums and differences of two, counter resets.

use super::sum::{CombineNotes, HistogramSum, IncompatibleSchema};
use super::{CounterResetHint, NativeHistogram};

impl NativeHistogram {
    /// All figures multiplied. A negative factor makes a gauge of it.
    #[must_use]
    pub fn scaled(&self, factor: f64) -> Self {
        let mut result = self.clone();
        result.for_each_figure(|figure| *figure *= factor);
        if factor < 0.0 {
            result.reset_hint = CounterResetHint::Gauge;
        }
        result
    }

    /// All figures divided. Division by zero leaves no buckets; a negative divisor makes a gauge of it.
    #[must_use]
    pub fn divided(&self, divisor: f64) -> Self {
        let mut result = self.clone();
        result.for_each_figure(|figure| *figure /= divisor);
        if divisor == 0.0 {
            result.positive_spans.clear();
            result.positive_buckets.clear();
            result.negative_spans.clear();
            result.negative_buckets.clear();
        } else if divisor < 0.0 {
            result.reset_hint = CounterResetHint::Gauge;
        }
        result
    }

    fn for_each_figure(&mut self, change: impl Fn(&mut f64)) {
        for figure in [&mut self.count, &mut self.sum, &mut self.zero_count] {
            change(figure);
        }
        for figure in self.positive_buckets.iter_mut().chain(&mut self.negative_buckets) {
            change(figure);
        }
    }

    /// The sum of two histograms, at the layout both can be brought to.
    ///
    /// # Errors
    /// [`IncompatibleSchema`] when one has custom buckets and the other not.
    pub fn added(&self, other: &Self) -> Result<(Self, CombineNotes), IncompatibleSchema> {
        let mut sum = HistogramSum::new(self);
        let notes = sum.add(other)?;
        Ok((sum.total(), notes))
    }

    /// The difference of two histograms, at the layout both can be brought to. The reset hint follows the rules of
    /// addition: where the difference is a value of its own, the caller makes a gauge of it.
    ///
    /// # Errors
    /// [`IncompatibleSchema`] when one has custom buckets and the other not.
    pub fn subtracted(&self, other: &Self) -> Result<(Self, CombineNotes), IncompatibleSchema> {
        let mut sum = HistogramSum::new(self);
        let notes = sum.subtract(other)?;
        Ok((sum.total(), notes))
    }

    /// Whether a counter reset lies between `previous` and this histogram: told by the hint, or by a count that
    /// fell, a populated bucket that is gone, a finer schema or a narrower zero bucket.
    #[must_use]
    pub fn is_reset_from(&self, previous: &Self) -> bool {
        match self.reset_hint {
            CounterResetHint::Reset => true,
            CounterResetHint::NotReset => false,
            CounterResetHint::Unknown | CounterResetHint::Gauge => self.has_reset_since(previous),
        }
    }

    /// Whether the figures, whatever the hint says, show a reset since `previous`.
    fn has_reset_since(&self, previous: &Self) -> bool {
        if self.count < previous.count {
            return true;
        }
        if self.uses_custom_buckets() && !previous.uses_custom_buckets() {
            return true;
        }
        if self.schema > previous.schema || self.zero_threshold < previous.zero_threshold {
            return true;
        }
        let same_layout = self.schema == previous.schema
            && self.zero_threshold.to_bits() == previous.zero_threshold.to_bits()
            && self.custom_bounds == previous.custom_bounds
            && self.positive_spans == previous.positive_spans
            && self.negative_spans == previous.negative_spans;
        if same_layout {
            let fell = |now: &[f64], before: &[f64]| now.iter().zip(before).any(|(a, b)| a < b);
            return self.zero_count < previous.zero_count
                || fell(&self.positive_buckets, &previous.positive_buckets)
                || fell(&self.negative_buckets, &previous.negative_buckets);
        }
        if self.uses_custom_buckets() != previous.uses_custom_buckets() {
            return true;
        }
        let mut earlier = HistogramSum::new(previous);
        let mut later = HistogramSum::new(self);
        !earlier.match_layout(&mut later) || later.any_count_below(&earlier)
    }

    /// The hint a storage reads this histogram back with, given the histogram stored before it in the same series (none
    /// at the beginning, or when a float came between).
    ///
    /// A storage knows that a counter was not reset since the sample before. That it was reset, or that the layout
    /// changed, Prometheus' storage does not tell either (its issue 15346): readers find resets themselves.
    #[must_use]
    pub fn hint_after(&self, previous: Option<&Self>) -> CounterResetHint {
        use CounterResetHint::{Gauge, NotReset, Reset, Unknown};
        if self.reset_hint == Gauge {
            return Gauge;
        }
        let Some(previous) = previous.filter(|previous| previous.reset_hint != Gauge) else {
            return Unknown;
        };
        let same_layout = self.schema == previous.schema
            && self.zero_threshold.to_bits() == previous.zero_threshold.to_bits();
        if self.reset_hint == Reset || !same_layout || self.has_reset_since(previous) {
            return Unknown;
        }
        NotReset
    }

    /// The same histogram at a coarser exponential schema, without empty buckets. The reset hint is forgotten when
    /// the schema changes.
    #[must_use]
    pub fn at_schema(&self, schema: i32) -> Self {
        if schema >= self.schema || self.uses_custom_buckets() {
            return self.clone();
        }
        let mut sum = HistogramSum::new(self);
        sum.reduce_schema(schema);
        Self { reset_hint: CounterResetHint::Unknown, ..sum.total() }
    }
}
