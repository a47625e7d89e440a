//! What is known of a run of samples without the samples.

use crate::{ExactSum, falls, greatest, has_stale, is_stale_nan, least};

/// Figures of consecutive float samples of one series; staleness markers are not samples here.
///
/// Enough for `count`, `sum`, `avg`, `min`, `max`, `first`, `last` and `present` over time, for `rate`, `increase` and
/// `delta` with Prometheus' extrapolation, and for `resets`; not for quantiles, deviations or regressions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Aggregate {
    /// Samples; at least one.
    pub count: u64,
    /// Time of the first sample, in milliseconds.
    pub first_ms: i64,
    /// Value of the first sample.
    pub first: f64,
    /// Time of the last sample, in milliseconds.
    pub last_ms: i64,
    /// Value of the last sample.
    pub last: f64,
    /// Smallest value, NaN only where there is nothing else; the first of equal ones.
    pub min: f64,
    /// Greatest value, likewise.
    pub max: f64,
    /// Sum of the values, rounded once.
    pub sum: f64,
    /// What that rounding lost, itself rounded; 0 for whole numbers and where it is not known.
    pub sum_lost: f64,
    /// How often a value is below the one before: a counter began anew.
    pub reset_count: u64,
    /// Sum of the values right before that: `last - first` with it is what a counter rose by.
    pub before_resets: f64,
}

impl Aggregate {
    /// One sample; no staleness marker.
    #[must_use]
    pub const fn of_sample(at_ms: i64, value: f64) -> Self {
        Self {
            count: 1,
            first_ms: at_ms,
            first: value,
            last_ms: at_ms,
            last: value,
            min: value,
            max: value,
            sum: value,
            sum_lost: 0.0,
            reset_count: 0,
            before_resets: 0.0,
        }
    }

    /// A run of samples, times rising; `None` when there are none but staleness markers.
    #[must_use]
    pub fn of_run(times: &[i64], values: &[f64]) -> Option<Self> {
        if has_stale(values) {
            let samples = times.iter().zip(values).filter(|(_, value)| !is_stale_nan(**value));
            let (times, values): (Vec<i64>, Vec<f64>) = samples.unzip();
            return Self::of_run(&times, &values);
        }
        let ([first_ms, ..], [first, ..]) = (times, values) else { return None };
        let last = (times[times.len() - 1], values[values.len() - 1]);
        let mut folded = Self {
            count: values.len() as u64,
            last_ms: last.0,
            last: last.1,
            min: least(values),
            max: greatest(values),
            ..Self::of_sample(*first_ms, *first)
        };
        if falls(values) {
            for pair in values.windows(2).filter(|pair| pair[1] < pair[0]) {
                folded.reset_count += 1;
                folded.before_resets += pair[0];
            }
        }
        let mut sum = ExactSum::default();
        sum.add_all(values);
        folded.set_sum(sum);
        Some(folded)
    }

    /// Adds what is known of the samples that follow.
    pub fn join(&mut self, later: &Self) {
        let mut sum = ExactSum::default();
        self.add_to(&mut sum);
        later.add_to(&mut sum);
        self.join_all_but_sums(later);
        self.set_sum(sum);
    }

    /// Adds the sum of the values to a larger one.
    pub fn add_to(&self, sum: &mut ExactSum) {
        sum.add(self.sum);
        if self.sum_lost != 0.0 {
            sum.add(self.sum_lost);
        }
    }

    fn set_sum(&mut self, mut sum: ExactSum) {
        self.sum = sum.value();
        self.sum_lost = 0.0;
        if self.sum.is_finite() {
            sum.add(-self.sum);
            self.sum_lost = sum.value();
        }
    }

    fn join_all_but_sums(&mut self, later: &Self) {
        if later.first < self.last {
            self.reset_count += 1;
            self.before_resets += self.last;
        }
        self.reset_count += later.reset_count;
        self.before_resets += later.before_resets;
        self.count += later.count;
        (self.last_ms, self.last) = (later.last_ms, later.last);
        if later.min < self.min || self.min.is_nan() {
            self.min = later.min;
        }
        if later.max > self.max || self.max.is_nan() {
            self.max = later.max;
        }
    }
}

/// The end of the stretch that a time lies in: stretches are `resolution_ms` long, end at its multiples, and hold their
/// end but not their start, as windows of queries do.
#[must_use]
pub const fn stretch_end(at_ms: i64, resolution_ms: i64) -> i64 {
    let into = at_ms.rem_euclid(resolution_ms);
    if into == 0 { at_ms } else { at_ms.saturating_add(resolution_ms - into) }
}

/// Folds a column into one aggregate for each stretch that has samples.
#[must_use]
pub fn by_stretch(times: &[i64], values: &[f64], resolution_ms: i64) -> Vec<Aggregate> {
    let mut all = Vec::new();
    let mut from = 0;
    while from < times.len() {
        let end_ms = stretch_end(times[from], resolution_ms);
        let to = from + times[from..].partition_point(|at| *at <= end_ms);
        all.extend(Aggregate::of_run(&times[from..to], &values[from..to]));
        from = to;
    }
    all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::stale_nan;

    fn any_value() -> impl Strategy<Value = f64> {
        prop_oneof![
            6 => (-1000i32..1000).prop_map(f64::from),
            4 => (-100_000i32..100_000).prop_map(|v| f64::from(v) / 100.0),
            1 => Just(f64::NAN),
            1 => Just(f64::INFINITY),
            1 => Just(f64::NEG_INFINITY),
            1 => Just(-0.0),
            1 => Just(0.0),
            2 => Just(stale_nan()),
        ]
    }

    /// Sums aside, which are rounded: what one pass over the samples says.
    fn folded(times: &[i64], values: &[f64]) -> Option<Aggregate> {
        let kept: Vec<(i64, f64)> = times
            .iter()
            .copied()
            .zip(values.iter().copied())
            .filter(|(_, value)| !is_stale_nan(*value))
            .collect();
        let (first, last) = (*kept.first()?, *kept.last()?);
        let resets: Vec<f64> =
            kept.windows(2).filter(|w| w[1].1 < w[0].1).map(|w| w[0].1).collect();
        let mut sum = ExactSum::default();
        let (mut min, mut max) = (f64::NAN, f64::NAN);
        for (_, value) in &kept {
            sum.add(*value);
            min = if *value < min || min.is_nan() { *value } else { min };
            max = if *value > max || max.is_nan() { *value } else { max };
        }
        let rounded = sum.value();
        sum.add(-rounded);
        Some(Aggregate {
            count: kept.len() as u64,
            first_ms: first.0,
            first: first.1,
            last_ms: last.0,
            last: last.1,
            min,
            max,
            sum: rounded,
            sum_lost: if rounded.is_finite() { sum.value() } else { 0.0 },
            reset_count: resets.len() as u64,
            before_resets: resets.iter().sum(),
        })
    }

    fn bits(aggregate: Option<Aggregate>) -> Option<(Vec<i64>, Vec<u64>)> {
        // Of NaN only that it is one: which of several is met last depends on the parts.
        let bits = |value: f64| if value.is_nan() { f64::NAN } else { value }.to_bits();
        aggregate.map(|it| {
            let numbers = [it.count, it.reset_count].map(u64::cast_signed);
            let floats = [it.first, it.last, it.min, it.max, it.sum, it.sum_lost];
            ([&numbers[..], &[it.first_ms, it.last_ms]].concat(), floats.map(bits).to_vec())
        })
    }

    fn check_resets(one: Option<Aggregate>, other: Option<Aggregate>) -> bool {
        match (one, other) {
            (Some(one), Some(other)) => {
                let (one, other) = (one.before_resets, other.before_resets);
                let close = (one - other).abs() <= 1e-9 * one.abs().max(1.0);
                close || one == other || (one.is_nan() && other.is_nan())
            }
            (one, other) => one.is_none() && other.is_none(),
        }
    }

    proptest! {
        #[test]
        fn parts_joined_are_the_whole(
            values in prop::collection::vec(any_value(), 0..60),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
        ) {
            let times: Vec<i64> = (0i64..).map(|idx| idx * 15_000).take(values.len()).collect();
            let expected = folded(&times, &values);
            let whole = Aggregate::of_run(&times, &values);
            prop_assert_eq!(bits(whole), bits(expected));
            prop_assert!(check_resets(whole, expected));
            let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(values.len() + 1)).collect();
            ends.extend([0, values.len()]);
            ends.sort_unstable();
            let parts = ends.windows(2);
            let parts = parts.filter_map(|w| Aggregate::of_run(&times[w[0]..w[1]], &values[w[0]..w[1]]));
            let joined = parts.reduce(|mut sooner, later| {
                sooner.join(&later);
                sooner
            });
            prop_assert_eq!(bits(joined), bits(expected));
            prop_assert!(check_resets(joined, expected));
        }

        #[test]
        fn stretches_hold_their_end_and_not_their_start(at_ms in -1_000_000_000i64..1_000_000_000, resolution_ms in 1i64..10_000_000) {
            let end_ms = stretch_end(at_ms, resolution_ms);
            prop_assert_eq!(end_ms.rem_euclid(resolution_ms), 0);
            prop_assert!(end_ms - resolution_ms < at_ms && at_ms <= end_ms);
        }
    }

    #[test]
    fn a_column_is_cut_at_the_ends_of_stretches() {
        let times = [-5, 0, 1, 10, 11, 35];
        let values = [1.0, 2.0, 3.0, 1.0, stale_nan(), 5.0];
        let found: Vec<_> = by_stretch(&times, &values, 10)
            .iter()
            .map(|it| (it.first_ms, it.last_ms, it.count, it.sum, it.reset_count, it.before_resets))
            .collect();
        assert_eq!(
            found,
            [(-5, 0, 2, 3.0, 0, 0.0), (1, 10, 2, 4.0, 1, 3.0), (35, 35, 1, 5.0, 0, 0.0)]
        );
    }
}
