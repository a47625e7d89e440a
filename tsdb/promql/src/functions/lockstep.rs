//! Deviations of several windows at once. Each window's figure is a chain of operations that wait for one another, which a
//! processor spends most of its time on; chains of several windows side by side fill that time. Each is computed as it would be
//! alone, so no bit differs.

use crate::error::EvalError;
use crate::eval::{Column, Grid, RangeSeries, Tally};
use crate::params::Budget;
use crate::plan::Window;

/// Windows side by side.
const LANES: usize = 8;

/// What is computed of each window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chained {
    Variance,
    Deviation,
}

/// The function of this name, if it is one of these.
pub(super) fn chained_function(name: &str) -> Option<Chained> {
    match name {
        "stdvar_over_time" => Some(Chained::Variance),
        "stddev_over_time" => Some(Chained::Deviation),
        _ => None,
    }
}

/// A window with samples: its step, and the positions of its samples.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    step: usize,
    low: usize,
    high: usize,
}

/// Evaluates the function over plain windows of floats at all steps, and counts the samples in them.
///
/// # Errors
/// [`EvalError::Cancelled`], which is looked for at each few windows.
pub(super) fn evaluate(
    function: Chained,
    series: &RangeSeries,
    window: &Window,
    grid: &Grid,
    column: &mut Column,
    budget: &Budget,
    tally: &mut Tally,
) -> Result<(), EvalError> {
    let mut slider = series.slider(window, 0);
    let mut places = Vec::with_capacity(grid.count);
    for step in 0..grid.count {
        budget.check_cancelled()?;
        let view = slider.window(window.range_ms, window.time.apply(grid.at(step)));
        tally.at(step, view.looked_at);
        let (low, high) = (view.first_float, view.first_float + view.floats.len());
        if low < high {
            places.push(Place { step, low, high });
        }
    }
    compute(function, series.floats(), &places, column, budget)
}

fn compute(
    function: Chained,
    floats: &[f64],
    places: &[Place],
    column: &mut Column,
    budget: &Budget,
) -> Result<(), EvalError> {
    for places in places.chunks(LANES) {
        budget.check_cancelled()?;
        for (place, variance) in places.iter().zip(variances(floats, places)) {
            let is_root = function == Chained::Deviation;
            column.set_float(place.step, if is_root { variance.sqrt() } else { variance });
        }
    }
    Ok(())
}

/// Samples that all windows have, at the same positions from their beginnings.
fn shared_len(places: &[Place]) -> usize {
    places.iter().map(|place| place.high - place.low).min().unwrap_or(0)
}

/// Compensated sums side by side, each as [`swell_model::KahanSum`] adds.
#[derive(Clone, Copy, Default)]
struct Sums {
    sum: [f64; LANES],
    lost: [f64; LANES],
}

impl Sums {
    #[inline]
    fn add_to(&mut self, lane: usize, term: f64) {
        let (sum, lost) = (self.sum[lane], self.lost[lane]);
        let total = sum + term;
        let is_larger = sum.abs() >= term.abs();
        let (large, small) = if is_larger { (sum, term) } else { (term, sum) };
        let kept = lost + ((large - total) + small);
        self.lost[lane] = if total.is_infinite() { 0.0 } else { kept };
        self.sum[lane] = total;
    }

    #[inline]
    fn value(&self, lane: usize) -> f64 {
        self.sum[lane] + self.lost[lane]
    }
}

/// Calls `all` with each position that all windows have, then `one` with each other position and its lane.
#[inline]
fn walk<S>(
    places: &[Place],
    state: &mut S,
    mut all: impl FnMut(&mut S, usize),
    mut one: impl FnMut(&mut S, usize, usize),
) {
    let shared = if places.len() == LANES { shared_len(places) } else { 0 };
    (0..shared).for_each(|nr| all(state, nr));
    for (lane, place) in places.iter().enumerate() {
        (shared..place.high - place.low).for_each(|nr| one(state, lane, nr));
    }
}

/// As [`super::over_time::Variance`] takes it.
fn variances(floats: &[f64], places: &[Place]) -> [f64; LANES] {
    let mut lows = [0; LANES];
    lows.iter_mut().zip(places).for_each(|(low, place)| *low = place.low);
    #[inline]
    fn add((mean, squares): &mut (Sums, Sums), lane: usize, value: f64, count: f64) {
        let delta = value - mean.value(lane);
        mean.add_to(lane, delta / count);
        squares.add_to(lane, delta * (value - mean.value(lane)));
    }
    #[expect(clippy::cast_precision_loss, reason = "no window holds 2^53 samples")]
    let count_at = |nr: usize| (nr + 1) as f64;
    let mut state = (Sums::default(), Sums::default());
    let all = |state: &mut (Sums, Sums), nr: usize| {
        let values: [f64; LANES] = std::array::from_fn(|lane| floats[lows[lane] + nr]);
        let count = count_at(nr);
        (0..LANES).for_each(|lane| add(state, lane, values[lane], count));
    };
    let one = |state: &mut (Sums, Sums), lane: usize, nr: usize| {
        add(state, lane, floats[lows[lane] + nr], count_at(nr));
    };
    walk(places, &mut state, all, one);
    let mut found = [f64::NAN; LANES];
    for (lane, place) in places.iter().enumerate() {
        found[lane] = state.1.value(lane) / count_at(place.high - place.low - 1);
    }
    found
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use proptest::prelude::*;
    use swell_model::{FloatColumn, Labels, SeriesData};
    use swell_promql_syntax::Boundary;

    use super::*;
    use crate::functions::Variance;
    use crate::plan::{TimeShift, WindowSource};

    fn any_value() -> impl Strategy<Value = f64> {
        prop_oneof![
            6 => (0u32..40).prop_map(f64::from),
            4 => (0u32..100_000).prop_map(|v| f64::from(v) / 1000.0),
            1 => Just(5.0),
            1 => any::<f64>(),
        ]
    }

    fn window_of(range_ms: i64) -> Window {
        Window {
            source: WindowSource::Matchers { matchers: Vec::new(), figures_only: false },
            range_ms,
            time: TimeShift { offset_ms: 0, at_ms: None },
            boundary: Boundary::Plain,
        }
    }

    fn series_of(floats: FloatColumn) -> RangeSeries {
        let data = SeriesData { labels: Labels::empty(), floats, ..SeriesData::default() };
        RangeSeries::from_storage(data, false)
    }

    #[test]
    fn a_cancelled_query_stops_inside_a_series() {
        let timestamps: Vec<i64> = (0..100).collect();
        let values = vec![1.0; timestamps.len()];
        let floats =
            FloatColumn { timestamps: timestamps.into(), values: values.into(), starts: None };
        let (series, window) = (series_of(floats), window_of(50));
        let grid = Grid { start_ms: 0, step_ms: 1, count: 100 };
        let places: Vec<Place> = (1..100).map(|step| Place { step, low: 0, high: step }).collect();
        let mut column = Column::absent(grid.count);
        let budget = Budget::default();
        budget.cancelled.store(true, Ordering::Relaxed);
        let mut tally = Tally::default();
        let found =
            evaluate(Chained::Variance, &series, &window, &grid, &mut column, &budget, &mut tally);
        assert!(matches!(found, Err(EvalError::Cancelled)), "while windows are looked for");
        let found = compute(Chained::Variance, series.floats(), &places, &mut column, &budget);
        assert!(matches!(found, Err(EvalError::Cancelled)), "while they are computed");
        assert!(!column.has_floats());
    }

    proptest! {
        #[test]
        fn windows_side_by_side_are_those_one_by_one(
            gaps in prop::collection::vec(prop_oneof![4 => Just(1000i64), 1 => 1i64..9000], 1..60),
            values in prop::collection::vec(any_value(), 60),
            range_ms in 1i64..20_000,
            step_ms in 1i64..3000,
            start_ms in -2000i64..4000,
            is_root in any::<bool>(),
        ) {
            let name = if is_root { "stddev_over_time" } else { "stdvar_over_time" };
            let function = chained_function(name).expect("one of these");
            let window = window_of(range_ms);
            let grid = Grid { start_ms, step_ms, count: 30 };
            let mut at = 0;
            let times: Vec<i64> = gaps.iter().map(|gap| { at += gap; at }).collect();
            let values = &values[..times.len()];
            let floats =
                FloatColumn { timestamps: times.into(), values: values.into(), starts: None };
            let series = series_of(floats);
            let mut column = Column::absent(grid.count);
            let budget = Budget::default();
            let mut tally = Tally::by_step(grid.count);
            evaluate(function, &series, &window, &grid, &mut column, &budget, &mut tally)
                .expect("not cancelled");
            let mut expected_at = tally.emptied();
            let mut slider = series.slider(&window, 0);
            for step in 0..grid.count {
                let view = slider.window(range_ms, grid.at(step));
                expected_at.at(step, view.floats.len() as u64);
                let mut chain = Variance::default();
                view.floats.iter().for_each(|value| chain.add(*value));
                let variance = chain.variance();
                let expected = if is_root { variance.sqrt() } else { variance };
                let expected = (!view.floats.is_empty()).then_some(expected);
                let bits = |value: f64| {
                    if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() }
                };
                prop_assert_eq!(column.float(step).map(bits), expected.map(bits), "step {}", step);
            }
            prop_assert_eq!(tally, expected_at);
        }
    }
}
