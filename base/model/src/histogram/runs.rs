//! What is known of runs of native histograms without the histograms themselves.

use std::sync::Arc;

use super::{CounterResetHint, HistogramSum, NativeHistogram};
use crate::{is_stale_nan, stretch_end};

/// Consecutive native histograms of one series and one layout; staleness markers are not samples here.
///
/// A run holds no counter reset but one right before its first histogram, which the hint of its last one tells. The
/// first histogram of a stretch of time is a run of its own. So what is left of a stretch has the ends that `rate`,
/// `increase`, `delta` and `resets` look at, all that a counter lost, and what `sum`, `avg` and `count` over time add up.
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramRun {
    /// Time of the last histogram, in milliseconds.
    pub last_ms: i64,
    /// The last histogram.
    pub last: Arc<NativeHistogram>,
    /// Histograms; at least one.
    pub count: u64,
    /// The sum of all of them; of a single one itself.
    pub sum: Arc<NativeHistogram>,
}

impl HistogramRun {
    /// One histogram; no staleness marker.
    #[must_use]
    pub fn of_sample(at_ms: i64, value: &Arc<NativeHistogram>) -> Self {
        Self { last_ms: at_ms, last: Arc::clone(value), count: 1, sum: Arc::clone(value) }
    }
}

/// Cuts a column, times rising, into the runs that are kept of it. Sums have at most `buckets_max` buckets.
#[must_use]
pub fn histogram_runs(
    times: &[i64],
    values: &[Arc<NativeHistogram>],
    resolution_ms: i64,
    buckets_max: usize,
) -> Vec<HistogramRun> {
    let mut runs = Vec::new();
    let mut open: Option<Open<'_>> = None;
    let samples = times.iter().zip(values).filter(|(_, value)| !is_stale_nan(value.sum));
    for (at_ms, value) in samples {
        let end_ms = stretch_end(*at_ms, resolution_ms);
        let begun = match open.take() {
            None => Open::alone(*at_ms, end_ms, value),
            Some(run) if run.end_ms != end_ms => {
                runs.push(run.closed());
                Open::alone(*at_ms, end_ms, value)
            }
            Some(mut run) => match run.takes(value, buckets_max) {
                Taken::Joined => {
                    run.last_ms = *at_ms;
                    run
                }
                Taken::Not { is_reset } => {
                    let before = Arc::clone(run.last);
                    runs.push(run.closed());
                    Open::after(*at_ms, end_ms, value, &before, is_reset)
                }
            },
        };
        open = Some(begun);
    }
    runs.extend(open.map(Open::closed));
    runs
}

/// A run that more histograms may join.
struct Open<'a> {
    end_ms: i64,
    last_ms: i64,
    last: &'a Arc<NativeHistogram>,
    count: u64,
    sum: HistogramSum,
    /// What the last histogram will say about the run before.
    hint: CounterResetHint,
    /// Whether it is the first one of its stretch, which no other joins.
    is_alone: bool,
}

enum Taken {
    Joined,
    Not { is_reset: bool },
}

impl<'a> Open<'a> {
    /// The first histogram of a stretch: what it says is about the one before, which is the last of its stretch.
    fn alone(at_ms: i64, end_ms: i64, value: &'a Arc<NativeHistogram>) -> Self {
        let (sum, hint) = (HistogramSum::new(value), value.reset_hint);
        Self { end_ms, last_ms: at_ms, last: value, count: 1, sum, hint, is_alone: true }
    }

    /// The first one of a run inside a stretch.
    fn after(
        at_ms: i64,
        end_ms: i64,
        value: &'a Arc<NativeHistogram>,
        before: &NativeHistogram,
        is_reset: bool,
    ) -> Self {
        let hint = match value.reset_hint {
            CounterResetHint::Gauge => CounterResetHint::Gauge,
            _ if is_reset || value.is_reset_from(before) => CounterResetHint::Reset,
            hint => hint,
        };
        Self { hint, is_alone: false, ..Self::alone(at_ms, end_ms, value) }
    }

    fn takes(&mut self, value: &'a Arc<NativeHistogram>, buckets_max: usize) -> Taken {
        let is_gauge = value.reset_hint == CounterResetHint::Gauge;
        let is_reset = !is_gauge && value.is_reset_from(self.last);
        let fits = self.is_like(value)
            && self.sum.bucket_count() + bucket_count(value) <= buckets_max
            && self.sum.has_room_for(value);
        if self.is_alone || is_reset || !fits || self.sum.add(value).is_err() {
            return Taken::Not { is_reset };
        }
        self.count += 1;
        self.last = value;
        let (known, found) = (self.hint, value.reset_hint);
        if found == CounterResetHint::Unknown && known == CounterResetHint::NotReset {
            self.hint = found;
        }
        Taken::Joined
    }

    /// Whether a histogram has the layout of the run, so that adding it loses nothing, and is of its kind.
    fn is_like(&self, value: &NativeHistogram) -> bool {
        let last = self.last;
        let is_gauge = |it: &NativeHistogram| it.reset_hint == CounterResetHint::Gauge;
        last.schema == value.schema
            && last.zero_threshold.to_bits() == value.zero_threshold.to_bits()
            && last.custom_bounds == value.custom_bounds
            && is_gauge(last) == is_gauge(value)
    }

    fn closed(self) -> HistogramRun {
        let last = if self.last.reset_hint == self.hint {
            Arc::clone(self.last)
        } else {
            let last = NativeHistogram::clone(self.last);
            Arc::new(NativeHistogram { reset_hint: self.hint, ..last })
        };
        let sum = if self.count == 1 { Arc::clone(&last) } else { Arc::new(self.sum.total()) };
        HistogramRun { last_ms: self.last_ms, last, count: self.count, sum }
    }
}

fn bucket_count(value: &NativeHistogram) -> usize {
    value.positive_buckets.len() + value.negative_buckets.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Span, stale_nan};

    fn histogram(buckets: &[f64], hint: CounterResetHint) -> Arc<NativeHistogram> {
        let count: f64 = buckets.iter().sum();
        Arc::new(NativeHistogram {
            schema: 1,
            reset_hint: hint,
            count,
            sum: count * 2.0,
            positive_spans: vec![Span {
                offset: 0,
                length: u32::try_from(buckets.len()).expect("few"),
            }],
            positive_buckets: buckets.to_vec(),
            ..NativeHistogram::default()
        })
    }

    fn counters(buckets: &[[f64; 2]]) -> Vec<Arc<NativeHistogram>> {
        buckets.iter().map(|it| histogram(it, CounterResetHint::Unknown)).collect()
    }

    /// Time, count, hint and buckets of a run, and those of its sum.
    type Shown = (i64, u64, CounterResetHint, Vec<f64>, Vec<f64>);

    fn shown(runs: &[HistogramRun]) -> Vec<Shown> {
        let one = |run: &HistogramRun| {
            let (last, sum) = (&run.last, &run.sum);
            let (last_buckets, sums) =
                (last.positive_buckets.clone(), sum.positive_buckets.clone());
            (run.last_ms, run.count, last.reset_hint, last_buckets, sums)
        };
        runs.iter().map(one).collect()
    }

    #[test]
    fn the_first_the_last_and_those_before_resets_are_kept() {
        use CounterResetHint::{Reset, Unknown};
        let values = counters(&[
            [1.0, 1.0],
            [2.0, 1.0],
            [3.0, 4.0],
            // Begins anew, and has more at once than it lost.
            [0.0, 5.0],
            [9.0, 9.0],
            [10.0, 9.0],
        ]);
        let times = [10, 20, 30, 40, 50, 60];
        let runs = histogram_runs(&times, &values, 50, 100);
        assert_eq!(
            shown(&runs),
            [
                (10, 1, Unknown, vec![1.0, 1.0], vec![1.0, 1.0]),
                (30, 2, Unknown, vec![3.0, 4.0], vec![5.0, 5.0]),
                (50, 2, Reset, vec![9.0, 9.0], vec![9.0, 14.0]),
                (60, 1, Unknown, vec![10.0, 9.0], vec![10.0, 9.0]),
            ]
        );
    }

    #[test]
    fn runs_end_where_the_layout_changes_and_hold_no_markers() {
        let mut values = counters(&[[1.0, 1.0]; 6]);
        let stale = NativeHistogram { sum: stale_nan(), ..NativeHistogram::default() };
        values[2] = Arc::new(stale);
        let coarser = NativeHistogram { schema: 0, ..NativeHistogram::clone(&values[0]) };
        values[4] = Arc::new(coarser.clone());
        values[5] = Arc::new(coarser);
        let runs = histogram_runs(&[1, 2, 3, 4, 5, 6], &values, 100, 100);
        let found: Vec<_> = runs.iter().map(|run| (run.last_ms, run.count)).collect();
        assert_eq!(found, [(1, 1), (4, 2), (6, 2)]);
        // Nor do sums grow beyond the limit.
        let runs = histogram_runs(&[1, 2, 4], &counters(&[[1.0, 1.0]; 3]), 100, 3);
        assert_eq!(runs.len(), 3);
        let far = histogram(&[f64::MAX, 0.0], CounterResetHint::Gauge);
        let runs = histogram_runs(&[1, 2, 4], &[far.clone(), far.clone(), far], 100, 100);
        assert!(runs.iter().all(|run| run.sum.count.is_finite()), "{runs:?}");
    }

    proptest! {
        #[test]
        fn what_a_counter_rose_by_and_sums_stay(
            steps in prop::collection::vec((0u8..12, 0u8..5), 1..80),
            resolution_ms in 1i64..40,
        ) {
            let mut buckets = [0.0, 0.0];
            let mut values = Vec::new();
            for (choice, more) in &steps {
                if *choice == 0 {
                    buckets = [0.0, 0.0];
                }
                buckets[usize::from(choice % 2)] += f64::from(*more);
                values.push(buckets);
            }
            let times: Vec<i64> = (1i64..).take(values.len()).collect();
            let values = counters(&values);
            let runs = histogram_runs(&times, &values, resolution_ms, 100);
            let rose = |values: &[Arc<NativeHistogram>]| {
                let lost = values.windows(2).filter(|pair| pair[1].is_reset_from(&pair[0]));
                let lost: f64 = lost.map(|pair| pair[0].count).sum();
                values[values.len() - 1].count - values[0].count + lost
            };
            let kept: Vec<_> = runs.iter().map(|run| Arc::clone(&run.last)).collect();
            prop_assert_eq!(rose(&kept), rose(&values));
            prop_assert_eq!(runs.iter().map(|run| run.count).sum::<u64>(), values.len() as u64);
            let total: f64 = runs.iter().map(|run| run.sum.count).sum();
            prop_assert_eq!(total, values.iter().map(|value| value.count).sum::<f64>());
            for run in &runs {
                let end_ms = stretch_end(run.last_ms, resolution_ms);
                let first_ms = run.last_ms - i64::try_from(run.count).expect("few") + 1;
                prop_assert_eq!(stretch_end(first_ms, resolution_ms), end_ms);
            }
        }
    }
}
