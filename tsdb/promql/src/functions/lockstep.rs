//! Standard deviations and regressions of several windows at once. Each window's figure is a chain of operations that wait
//! for one another, which a processor spends most of its time on; chains of several windows side by side fill that time. Each
//! is computed as it would be alone, so no bit differs.

use super::over_time::Variance;
use super::regression::{Regression, flat_line};
use crate::eval::{Column, Grid, RangeSeries, seconds};
use crate::plan::Window;

/// Windows side by side.
const LANES: usize = 8;

/// What is computed of each window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chained {
    Variance,
    Deviation,
    Slope,
    /// The value on the line so many seconds, by step, behind the step.
    Forecast,
}

/// The function of this name, if it is one of these.
pub(super) fn chained_function(name: &str) -> Option<Chained> {
    match name {
        "stdvar_over_time" => Some(Chained::Variance),
        "stddev_over_time" => Some(Chained::Deviation),
        "deriv" => Some(Chained::Slope),
        "predict_linear" => Some(Chained::Forecast),
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

/// Evaluates the function over plain windows of floats at all steps; gives the number of samples in all windows. `ahead_s` is
/// the forecast's argument by step.
pub(super) fn evaluate(
    function: Chained,
    series: &RangeSeries,
    (window, grid): (&Window, &Grid),
    ahead_s: &[f64],
    column: &mut Column,
) -> u64 {
    let mut slider = series.slider(window, 0);
    let mut places = Vec::with_capacity(grid.count);
    let mut looked_at = 0;
    for step in 0..grid.count {
        let view = slider.window(window.range_ms, window.time.apply(grid.at(step)));
        looked_at += view.floats.len() as u64;
        let (low, high) = (view.first_float, view.first_float + view.floats.len());
        let place = Place { step, low, high };
        match function {
            Chained::Variance | Chained::Deviation if low < high => places.push(place),
            Chained::Slope | Chained::Forecast if high - low >= 2 => match flat_line(view.floats) {
                Some(line) => set_line(function, line, step, ahead_s, column),
                None => places.push(place),
            },
            _ => {}
        }
    }
    for places in places.chunks(LANES) {
        match function {
            Chained::Variance | Chained::Deviation => {
                for (place, variance) in places.iter().zip(variances(series.floats(), places)) {
                    let is_root = function == Chained::Deviation;
                    column.set_float(place.step, if is_root { variance.sqrt() } else { variance });
                }
            }
            Chained::Slope | Chained::Forecast => {
                // Times near the samples keep the sums of a slope small.
                let origins = places.iter().map(|place| match function {
                    Chained::Forecast => grid.at(place.step),
                    _ => series.times()[place.low],
                });
                let origins: Vec<i64> = origins.collect();
                for (place, line) in places.iter().zip(lines(series, places, &origins)) {
                    set_line(function, line, place.step, ahead_s, column);
                }
            }
        }
    }
    looked_at
}

/// Samples that all windows have, at the same positions from their beginnings.
fn shared_len(places: &[Place]) -> usize {
    places.iter().map(|place| place.high - place.low).min().unwrap_or(0)
}

fn variances(floats: &[f64], places: &[Place]) -> [f64; LANES] {
    let mut chains = [Variance::default(); LANES];
    let shared = shared_len(places);
    if places.len() == LANES {
        let starts: [&[f64]; LANES] =
            std::array::from_fn(|lane| &floats[places[lane].low..places[lane].low + shared]);
        for nr in 0..shared {
            for (chain, values) in chains.iter_mut().zip(&starts) {
                chain.add(values[nr]);
            }
        }
    }
    let taken = if places.len() == LANES { shared } else { 0 };
    for (chain, place) in chains.iter_mut().zip(places) {
        floats[place.low + taken..place.high].iter().for_each(|value| chain.add(*value));
    }
    chains.map(|chain| chain.variance())
}

/// Slope and value at the origin of the line through each window's samples.
fn lines(series: &RangeSeries, places: &[Place], origins: &[i64]) -> [(f64, f64); LANES] {
    let (times, floats) = (series.times(), series.floats());
    let mut chains = [Regression::default(); LANES];
    let taken = if places.len() == LANES { shared_len(places) } else { 0 };
    for nr in 0..taken {
        for (chain, (place, origin)) in chains.iter_mut().zip(places.iter().zip(origins)) {
            chain.add(seconds(times[place.low + nr] - origin), floats[place.low + nr]);
        }
    }
    for (chain, (place, origin)) in chains.iter_mut().zip(places.iter().zip(origins)) {
        for nr in place.low + taken..place.high {
            chain.add(seconds(times[nr] - origin), floats[nr]);
        }
    }
    chains.map(|chain| chain.line())
}

fn set_line(
    function: Chained,
    (slope, at_origin): (f64, f64),
    step: usize,
    ahead_s: &[f64],
    column: &mut Column,
) {
    let is_forecast = function == Chained::Forecast;
    let value = if is_forecast { slope * ahead_s[step] + at_origin } else { slope };
    column.set_float(step, value);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use swell_model::{FloatColumn, Labels, SeriesData};
    use swell_promql_syntax::Boundary;

    use super::*;
    use crate::plan::{TimeShift, WindowSource};

    fn any_value() -> impl Strategy<Value = f64> {
        prop_oneof![
            6 => (0u32..40).prop_map(f64::from),
            4 => (0u32..100_000).prop_map(|v| f64::from(v) / 1000.0),
            1 => Just(5.0),
            1 => any::<f64>(),
        ]
    }

    proptest! {
        #[test]
        fn windows_side_by_side_are_those_one_by_one(
            gaps in prop::collection::vec(prop_oneof![4 => Just(1000i64), 1 => 1i64..9000], 1..60),
            values in prop::collection::vec(any_value(), 60),
            range_ms in 1i64..20_000,
            step_ms in 1i64..3000,
            start_ms in -2000i64..4000,
            nr in 0usize..4,
        ) {
            let name = ["stdvar_over_time", "stddev_over_time", "deriv", "predict_linear"][nr];
            let function = chained_function(name).expect("one of these");
            let window = Window {
                source: WindowSource::Matchers { matchers: Vec::new(), figures_only: false },
                range_ms,
                time: TimeShift { offset_ms: 0, at_ms: None },
                boundary: Boundary::Plain,
            };
            let grid = Grid { start_ms, step_ms, count: 30 };
            let mut at = 0;
            let times: Vec<i64> = gaps.iter().map(|gap| { at += gap; at }).collect();
            let values = &values[..times.len()];
            let floats = FloatColumn { timestamps: times.into(), values: values.into(), starts: None };
            let data = SeriesData { labels: Labels::empty(), floats, ..SeriesData::default() };
            let series = RangeSeries::from_storage(data, false);
            let ahead_s: Vec<f64> = (0..30).map(f64::from).collect();
            let mut column = Column::absent(grid.count);
            let looked_at = evaluate(function, &series, (&window, &grid), &ahead_s, &mut column);
            let mut expected_at = 0;
            let mut slider = series.slider(&window, 0);
            for (step, ahead) in ahead_s.iter().enumerate() {
                let view = slider.window(range_ms, grid.at(step));
                expected_at += view.floats.len() as u64;
                let origin = if nr == 3 { grid.at(step) } else { view.times.first().copied().unwrap_or(0) };
                let line = || {
                    let mut chain = Regression::default();
                    view.times.iter().zip(view.floats).for_each(|(at, v)| chain.add(seconds(at - origin), *v));
                    flat_line(view.floats).unwrap_or_else(|| chain.line())
                };
                let variance = || {
                    let mut chain = Variance::default();
                    view.floats.iter().for_each(|v| chain.add(*v));
                    chain.variance()
                };
                let expected = match (nr, view.floats.len()) {
                    (0, 1..) => Some(variance()),
                    (1, 1..) => Some(variance().sqrt()),
                    (2, 2..) => Some(line().0),
                    (3, 2..) => Some(line().0 * ahead + line().1),
                    _ => None,
                };
                let bits = |value: f64| if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() };
                prop_assert_eq!(column.float(step).map(bits), expected.map(bits), "step {}", step);
            }
            prop_assert_eq!(looked_at, expected_at);
        }
    }
}
