//! Changes over the windows of all steps, for series of one target: where windows lie is found once for their times.

use std::sync::Arc;

use super::coverage::Coverage;
use super::rate::Change;
use crate::eval::{Column, Grid, RangeSeries, Tally};
use crate::plan::Window;

/// Where the windows of all steps lie in a column of times, and what that says of extrapolation: the same for all
/// series of a target, which share their times.
#[derive(Debug)]
pub(super) struct Extents {
    times: Arc<[i64]>,
    steps: Vec<Extent>,
    /// Samples in all windows.
    looked_at: u64,
}

#[derive(Clone, Copy, Debug)]
struct Extent {
    /// First time in the window, and the one behind the last; fewer than two give no change.
    low: u32,
    high: u32,
    /// What the change is multiplied with, unless the counter's rise from zero cuts it short.
    factor: f64,
    /// A counter whose first value is this share of its change does not: see [`Extent::reaches_back`].
    safe_share: f64,
}

/// Smaller changes are not compared by multiplying, which would lose their last bits.
const CHANGE_MIN: f64 = 1e-250;

impl Extent {
    /// Whether the time since the counter was zero is certainly no shorter than what is extrapolated before the first
    /// sample: [`Coverage::factor`] takes the smaller. The share has a margin far above the roundings.
    #[inline]
    fn reaches_back(&self, first: f64, change: f64) -> bool {
        change >= CHANGE_MIN && first >= change * self.safe_share
    }
}

impl Extents {
    /// Of the windows over the times of a series of floats.
    pub(super) fn of(series: &RangeSeries, window: &Window, grid: &Grid, kind: Change) -> Self {
        let times = series.shared_times();
        let (mut low, mut high) = (0, 0);
        let mut looked_at = 0;
        // Where scrapes are regular, samples lie alike in the windows of all steps.
        let mut alike = None;
        let steps = (0..grid.count).map(|step| {
            let end_ms = window.time.apply(grid.at(step));
            let start_ms = end_ms.saturating_sub(window.range_ms);
            while times.get(low).is_some_and(|at| *at <= start_ms) {
                low += 1;
            }
            high = high.max(low);
            while times.get(high).is_some_and(|at| *at <= end_ms) {
                high += 1;
            }
            looked_at += (high - low) as u64;
            let (mut factor, mut safe_share) = (f64::NAN, f64::INFINITY);
            if high - low >= 2 {
                let (first, last) = (times[low], times[high - 1]);
                let place = (first - start_ms, last - first, end_ms - last, high - low);
                (factor, safe_share) = match alike {
                    Some((known, found)) if known == place => found,
                    _ => {
                        let mut coverage = Coverage::of((start_ms, end_ms), &times[low..high]);
                        let factor = coverage.factor(None, kind, window.range_ms);
                        let share = coverage.to_start_s / coverage.sampled_s * (1.0 + 1e-9);
                        alike = Some((place, (factor, share)));
                        (factor, share)
                    }
                };
            }
            let index = |at: usize| u32::try_from(at).expect("columns are below 2^32 samples");
            Extent { low: index(low), high: index(high), factor, safe_share }
        });
        let steps = steps.collect();
        Self { times: Arc::clone(times), steps, looked_at }
    }

    /// Counts the samples in the windows of a series that has these times.
    pub(super) fn count(&self, tally: &mut Tally) {
        if !tally.tells_steps() {
            tally.together(self.looked_at);
            return;
        }
        for (step, extent) in self.steps.iter().enumerate() {
            tally.at(step, u64::from(extent.high - extent.low));
        }
    }

    /// Whether a series has these times.
    pub(super) fn are_of(&self, series: &RangeSeries) -> bool {
        Arc::ptr_eq(&self.times, series.shared_times())
    }

    /// What `rate::float_change` gives at all steps, for a series of floats without start times.
    pub(super) fn changes(
        &self,
        series: &RangeSeries,
        resets: &[usize],
        (window, grid): (&Window, &Grid),
        kind: Change,
        column: &mut Column,
    ) {
        let floats = series.floats();
        let mut passed = 0;
        for ((step, extent), value) in self.steps.iter().enumerate().zip(column.floats_mut()) {
            let (low, high) = (extent.low as usize, extent.high as usize);
            if high - low < 2 {
                continue;
            }
            let (first, last) = (floats[low], floats[high - 1]);
            let mut change = last - first;
            while resets.get(passed).is_some_and(|reset| *reset <= low) {
                passed += 1;
            }
            for reset in resets[passed..].iter().take_while(|reset| **reset < high) {
                change += floats[reset - 1];
            }
            let counts_from_zero = kind.counter && change > 0.0 && first >= 0.0;
            let mut factor = extent.factor;
            if counts_from_zero && !extent.reaches_back(first, change) {
                let end_ms = window.time.apply(grid.at(step));
                let ends = (end_ms.saturating_sub(window.range_ms), end_ms);
                let mut coverage = Coverage::of(ends, &self.times[low..high]);
                factor = coverage.factor(Some(first / change), kind, window.range_ms);
            }
            *value = change * factor;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use swell_model::{FloatColumn, Labels, SeriesData};
    use swell_promql_syntax::Boundary;

    use super::super::rate::change_kind;
    use super::super::resets::counter_resets;
    use super::*;
    use crate::plan::{TimeShift, WindowSource};

    fn series(samples: &[(i64, f64)]) -> RangeSeries {
        let floats = FloatColumn {
            timestamps: samples.iter().map(|(at, _)| *at).collect(),
            values: samples.iter().map(|(_, value)| *value).collect(),
            starts: None,
        };
        let data = SeriesData { labels: Labels::empty(), floats, ..SeriesData::default() };
        RangeSeries::from_storage(data, false)
    }

    /// Window by window, as `rate` is described.
    fn one_by_one(
        series: &RangeSeries,
        window: &Window,
        grid: &Grid,
        kind: Change,
    ) -> Vec<Option<u64>> {
        let mut slider = series.slider(window, 0);
        let windows = (0..grid.count).map(|step| slider.window(window.range_ms, grid.at(step)));
        windows
            .map(|view| {
                let (first, last) = (view.floats.first()?, view.floats.last()?);
                if view.floats.len() < 2 {
                    return None;
                }
                let falls = view.floats.windows(2).filter(|pair| kind.counter && pair[1] < pair[0]);
                let change = falls.fold(last - first, |change, pair| change + pair[0]);
                let to_zero =
                    (kind.counter && change > 0.0 && *first >= 0.0).then(|| first / change);
                let mut coverage = Coverage::of((view.start_ms, view.end_ms), view.times);
                Some((change * coverage.factor(to_zero, kind, window.range_ms)).to_bits())
            })
            .collect()
    }

    fn any_value() -> impl Strategy<Value = f64> {
        prop_oneof![
            6 => (0u32..40).prop_map(f64::from),
            4 => (0u32..100_000).prop_map(|v| f64::from(v) / 1000.0),
            1 => Just(0.0),
            1 => (-300i32..300).prop_map(|e| 10f64.powi(e)),
            1 => any::<f64>().prop_filter("no marker", |v| !v.is_nan()),
        ]
    }

    proptest! {
        #[test]
        fn shared_extents_change_no_bit(
            gaps in prop::collection::vec(prop_oneof![4 => Just(1000i64), 1 => 1i64..9000], 1..40),
            values in prop::collection::vec(prop::collection::vec(any_value(), 40), 1..4),
            range_ms in 1i64..9000,
            step_ms in prop_oneof![1 => Just(1000i64), 1 => 1i64..3000],
            start_ms in -2000i64..4000,
            nr in 0usize..3,
        ) {
            let kind = ["rate", "increase", "delta"].map(change_kind)[nr].expect("changes");
            let window = Window {
                source: WindowSource::Matchers { matchers: Vec::new(), figures_only: false },
                range_ms,
                time: TimeShift { offset_ms: 0, at_ms: None },
                boundary: Boundary::Plain,
            };
            let grid = Grid { start_ms, step_ms, count: 20 };
            let mut at = 0;
            let times: Vec<i64> = gaps.iter().map(|gap| { at += gap; at }).collect();
            for values in &values {
                let samples: Vec<(i64, f64)> =
                    times.iter().copied().zip(values.iter().copied()).collect();
                let series = series(&samples);
                let mut resets = Vec::new();
                if kind.counter {
                    counter_resets(&series, &mut resets);
                }
                let extents = Extents::of(&series, &window, &grid, kind);
                let mut column = Column::absent(grid.count);
                extents.changes(&series, &resets, (&window, &grid), kind, &mut column);
                let got: Vec<Option<u64>> =
                    (0..grid.count).map(|step| column.float(step).map(f64::to_bits)).collect();
                prop_assert_eq!(got, one_by_one(&series, &window, &grid, kind));
            }
        }
    }
}
