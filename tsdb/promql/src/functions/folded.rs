//! Functions of range vectors out of aggregates: where the storage gave runs of samples folded already, windows are put
//! together from these and from the samples between.

use swell_model::{Aggregate, Coarse, DurationMs, ExactSum, TimestampMs, WindowGrid};
use swell_promql_syntax::Boundary;

use super::rate::{self, Change};
use crate::eval::{Column, Grid, RangeSeries, seconds};
use crate::plan::Window;

/// A function that aggregates can answer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Folded {
    Count,
    Sum,
    Mean,
    Min,
    Max,
    First,
    Last,
    Present,
    Resets,
    TimeOfFirst,
    TimeOfLast,
    Change(Change),
}

/// The function of this name, if aggregates can answer it.
pub(super) fn folded_function(name: &str) -> Option<Folded> {
    Some(match name {
        "count_over_time" => Folded::Count,
        "sum_over_time" => Folded::Sum,
        "avg_over_time" => Folded::Mean,
        "min_over_time" => Folded::Min,
        "max_over_time" => Folded::Max,
        "first_over_time" => Folded::First,
        "last_over_time" => Folded::Last,
        "present_over_time" => Folded::Present,
        "resets" => Folded::Resets,
        "ts_of_first_over_time" => Folded::TimeOfFirst,
        "ts_of_last_over_time" => Folded::TimeOfLast,
        name => Folded::Change(rate::change_kind(name)?),
    })
}

/// What a function takes in place of samples.
pub(super) fn wanted(
    function: Option<Folded>,
    window: &Window,
    grid: &Grid,
    with_starts: bool,
) -> Coarse {
    if function.is_none() || window.boundary != Boundary::Plain || with_starts {
        return Coarse::Newest;
    }
    let is_fixed = window.time.at_ms.is_some();
    Coarse::Folded(WindowGrid {
        first_end: TimestampMs(window.time.apply(grid.start_ms)),
        step: DurationMs(grid.step_ms),
        count: if is_fixed { 1 } else { grid.count },
        range: DurationMs(window.range_ms),
    })
}

/// Aggregates and samples of a series in the order of time.
fn pieces(series: &RangeSeries) -> Vec<Aggregate> {
    let samples = series.times().iter().zip(series.floats());
    let mut samples = samples.map(|(at, value)| Aggregate::of_sample(*at, *value)).peekable();
    let mut all = Vec::with_capacity(series.floats().len() + series.aggregates().len());
    for aggregate in series.aggregates() {
        while let Some(sample) = samples.next_if(|sample| sample.last_ms < aggregate.first_ms) {
            all.push(sample);
        }
        all.push(*aggregate);
    }
    all.extend(samples);
    all
}

/// Evaluates the function at all steps; gives the number of pieces looked at. A piece counts to the window that holds
/// its last sample.
pub(super) fn evaluate(
    function: Folded,
    series: &RangeSeries,
    window: &Window,
    grid: &Grid,
    column: &mut Column,
) -> u64 {
    let pieces = pieces(series);
    let (mut low, mut high) = (0, 0);
    let mut looked_at = 0;
    for step in 0..grid.count {
        let end_ms = window.time.apply(grid.at(step));
        let start_ms = end_ms.saturating_sub(window.range_ms);
        while pieces.get(low).is_some_and(|piece| piece.last_ms <= start_ms) {
            low += 1;
        }
        high = high.max(low);
        while pieces.get(high).is_some_and(|piece| piece.last_ms <= end_ms) {
            high += 1;
        }
        let inside = &pieces[low..high];
        looked_at += inside.len() as u64;
        if let Some(value) = value_of(function, inside, (start_ms, end_ms), window.range_ms) {
            column.set_float(step, value);
        }
    }
    looked_at
}

#[expect(clippy::cast_precision_loss, reason = "no window holds 2^53 samples")]
fn value_of(
    function: Folded,
    pieces: &[Aggregate],
    bounds_ms: (i64, i64),
    range_ms: i64,
) -> Option<f64> {
    let (first, last) = (pieces.first()?, pieces.last()?);
    let count = || pieces.iter().map(|piece| piece.count).sum::<u64>();
    let sum = || {
        let mut sum = ExactSum::default();
        pieces.iter().for_each(|piece| piece.add_to(&mut sum));
        sum
    };
    let resets = || pieces.windows(2).filter(|pair| pair[1].first < pair[0].last);
    Some(match function {
        Folded::Count => count() as f64,
        Folded::Sum => sum().value(),
        Folded::Mean => sum().mean(count() as f64),
        Folded::Min => best(pieces.iter().map(|piece| piece.min), |value, best| value < best),
        Folded::Max => best(pieces.iter().map(|piece| piece.max), |value, best| value > best),
        Folded::First => first.first,
        Folded::Last => last.last,
        Folded::Present => 1.0,
        Folded::TimeOfFirst => seconds(first.first_ms),
        Folded::TimeOfLast => seconds(last.last_ms),
        Folded::Resets => {
            let inside: u64 = pieces.iter().map(|piece| piece.reset_count).sum();
            (inside + resets().count() as u64) as f64
        }
        Folded::Change(kind) => {
            let mut change = last.last - first.first;
            if kind.counter {
                let mut before: Option<f64> = None;
                for piece in pieces {
                    if let Some(before) = before.filter(|before| piece.first < *before) {
                        change += before;
                    }
                    if piece.reset_count > 0 {
                        change += piece.before_resets;
                    }
                    before = Some(piece.last);
                }
            }
            let ends = (first.first_ms, last.last_ms);
            return rate::extrapolated(
                change,
                first.first,
                kind,
                bounds_ms,
                ends,
                count(),
                range_ms,
            );
        }
    })
}

/// The first value that wins against all others; NaN only where there is nothing else.
fn best(values: impl Iterator<Item = f64>, wins: impl Fn(f64, f64) -> bool) -> f64 {
    values.fold(
        f64::NAN,
        |best, value| {
            if wins(value, best) || best.is_nan() { value } else { best }
        },
    )
}
