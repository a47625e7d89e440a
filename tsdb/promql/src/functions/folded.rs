//! Functions of range vectors out of aggregates: where the storage gave runs of samples folded already, windows are put
//! together from these and from the samples between.

use std::collections::VecDeque;

use swell_model::{
    Aggregate, Coarse, DurationMs, ExactSum, Figures, RunningSums, TimestampMs, WindowGrid,
    is_change,
};
use swell_promql_syntax::Boundary;

use super::rate::{self, Change};
use crate::eval::{Column, Grid, RangeSeries, Tally, seconds};
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
    Changes,
    TimeOfFirst,
    TimeOfLast,
    Change(Change),
}

impl Folded {
    const fn figures(self) -> Figures {
        match self {
            Self::Sum | Self::Mean => Figures::Sums,
            Self::Min | Self::Max => Figures::Extremes,
            Self::Resets | Self::Change(Change { counter: true, .. }) => Figures::Falls,
            Self::Changes => Figures::Changes,
            Self::Count
            | Self::First
            | Self::Last
            | Self::Present
            | Self::TimeOfFirst
            | Self::TimeOfLast
            | Self::Change(_) => Figures::Ends,
        }
    }
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
        "changes" => Folded::Changes,
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
    let Some(function) = function.filter(|_| window.boundary == Boundary::Plain && !with_starts)
    else {
        return Coarse::Newest;
    };
    let is_fixed = window.time.at_ms.is_some();
    let windows = WindowGrid {
        first_end: TimestampMs(window.time.apply(grid.start_ms)),
        step: DurationMs(grid.step_ms),
        count: if is_fixed { 1 } else { grid.count },
        range: DurationMs(window.range_ms),
    };
    Coarse::Folded(windows, function.figures())
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

/// Evaluates the function at all steps, and counts the samples in their windows. A piece counts to the window that holds
/// its last sample. Windows slide, and no function goes through a window's pieces again at each step unless it must.
pub(super) fn evaluate(
    function: Folded,
    series: &RangeSeries,
    window: &Window,
    grid: &Grid,
    column: &mut Column,
    tally: &mut Tally,
) {
    if let (1, [whole], []) = (grid.count, series.aggregates(), series.floats()) {
        return evaluate_single(function, whole, window, grid, column, tally);
    }
    let pieces = pieces(series);
    let mut ahead = Ahead::of(function, &pieces);
    let (mut low, mut high) = (0, 0);
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
        if low == high {
            continue;
        }
        tally.at(step, ahead.count((low, high)));
        let (first, last) = (&pieces[low], &pieces[high - 1]);
        let value = match function {
            Folded::First => Some(first.first),
            Folded::Last => Some(last.last),
            Folded::Present => Some(1.0),
            Folded::TimeOfFirst => Some(seconds(first.first_ms)),
            Folded::TimeOfLast => Some(seconds(last.last_ms)),
            Folded::Change(kind) => {
                let change = ahead.change(last.last - first.first, (low, high));
                rate::extrapolated(
                    change,
                    first.first,
                    kind,
                    (start_ms, end_ms),
                    (first.first_ms, last.last_ms),
                    ahead.count((low, high)),
                    window.range_ms,
                )
            }
            _ => Some(ahead.value(function, &pieces, (low, high))),
        };
        if let Some(value) = value {
            column.set_float(step, value);
        }
    }
}

/// The same for one piece and one window, which most rules ask for: nothing has to be laid out.
fn evaluate_single(
    function: Folded,
    whole: &Aggregate,
    window: &Window,
    grid: &Grid,
    column: &mut Column,
    tally: &mut Tally,
) {
    let end_ms = window.time.apply(grid.at(0));
    let start_ms = end_ms.saturating_sub(window.range_ms);
    if whole.last_ms <= start_ms || whole.last_ms > end_ms {
        return;
    }
    tally.at(0, whole.count);
    let sum = || {
        let mut sum = ExactSum::default();
        whole.add_to(&mut sum);
        sum
    };
    let best = |value: f64| if value.is_nan() { f64::NAN } else { value };
    #[expect(clippy::cast_precision_loss, reason = "no window holds 2^53 samples")]
    let number = |count: u64| count as f64;
    let value = match function {
        Folded::Count => Some(number(whole.count)),
        Folded::Sum => Some(sum().value()),
        Folded::Mean => Some(sum().mean(number(whole.count))),
        Folded::Min => Some(best(whole.min)),
        Folded::Max => Some(best(whole.max)),
        Folded::First => Some(whole.first),
        Folded::Last => Some(whole.last),
        Folded::Present => Some(1.0),
        Folded::Resets => Some(number(whole.reset_count)),
        // A run is of one value.
        Folded::Changes => Some(0.0),
        Folded::TimeOfFirst => Some(seconds(whole.first_ms)),
        Folded::TimeOfLast => Some(seconds(whole.last_ms)),
        Folded::Change(kind) => {
            let mut change = whole.last - whole.first;
            if kind.counter && whole.reset_count > 0 {
                change += whole.before_resets;
            }
            let (bounds, ends) = ((start_ms, end_ms), (whole.first_ms, whole.last_ms));
            rate::extrapolated(
                change,
                whole.first,
                kind,
                bounds,
                ends,
                whole.count,
                window.range_ms,
            )
        }
    };
    if let Some(value) = value {
        column.set_float(0, value);
    }
}

/// What is folded over all pieces ahead of the windows.
#[derive(Default)]
struct Ahead {
    /// Samples before each piece.
    counts: Vec<u64>,
    /// Of sums and what they lost, two terms for each piece.
    sums: Option<RunningSums>,
    /// Pieces that may be the greatest or smallest of a window, in the order of time; no later one wins against them.
    best: VecDeque<usize>,
    /// Pieces that were offered to `best`.
    offered: usize,
    /// What a counter lost: piece, whether right before it instead of inside, and the value.
    resets: Vec<(usize, bool, f64)>,
    /// Resets that are before all windows to come.
    passed: usize,
    /// Number of resets, or changes, inside pieces before each, and of those right before pieces up to each.
    turn_counts: Vec<(u64, u64)>,
}

impl Ahead {
    fn of(function: Folded, pieces: &[Aggregate]) -> Self {
        let mut ahead = Self::default();
        let mut total = 0;
        ahead.counts.push(0);
        ahead.counts.extend(pieces.iter().map(|piece| {
            total += piece.count;
            total
        }));
        let borders = |turns: fn(f64, f64) -> bool| {
            let is_turn = move |pair: &[Aggregate]| turns(pair[0].last, pair[1].first);
            std::iter::once(false).chain(pieces.windows(2).map(is_turn))
        };
        let falls: fn(f64, f64) -> bool = |before, now| now < before;
        match function {
            Folded::Sum | Folded::Mean => {
                let terms = pieces.iter().flat_map(|piece| [piece.sum, piece.sum_lost]);
                ahead.sums = RunningSums::of(&terms.collect::<Vec<f64>>());
            }
            Folded::Change(Change { counter: true, .. }) => {
                for (idx, (piece, fell)) in pieces.iter().zip(borders(falls)).enumerate() {
                    if fell {
                        ahead.resets.push((idx, true, pieces[idx - 1].last));
                    }
                    if piece.reset_count > 0 {
                        ahead.resets.push((idx, false, piece.before_resets));
                    }
                }
            }
            Folded::Resets | Folded::Changes => {
                let is_resets = matches!(function, Folded::Resets);
                let turns: fn(f64, f64) -> bool = if is_resets { falls } else { is_change };
                let (mut inside, mut between) = (0, 0);
                for (piece, is_turn) in pieces.iter().zip(borders(turns)) {
                    between += u64::from(is_turn);
                    ahead.turn_counts.push((inside, between));
                    // Runs are of one value where changes are counted.
                    inside += if is_resets { piece.reset_count } else { 0 };
                }
                ahead.turn_counts.push((inside, between));
            }
            _ => {}
        }
        ahead
    }

    fn count(&self, (low, high): (usize, usize)) -> u64 {
        self.counts[high] - self.counts[low]
    }

    /// A change of values with what the counter lost inside the window.
    fn change(&mut self, difference: f64, (low, high): (usize, usize)) -> f64 {
        while self.resets.get(self.passed).is_some_and(|(idx, ..)| *idx < low) {
            self.passed += 1;
        }
        let inside = self.resets[self.passed..].iter().take_while(|(idx, ..)| *idx < high);
        // What lies right before the window's first piece lies outside.
        let inside = inside.filter(|(idx, is_before, _)| *idx > low || !is_before);
        inside.fold(difference, |change, (.., lost)| change + lost)
    }

    #[expect(clippy::cast_precision_loss, reason = "no window holds 2^53 samples")]
    fn value(&mut self, function: Folded, pieces: &[Aggregate], window: (usize, usize)) -> f64 {
        match function {
            Folded::Sum => self.sum(pieces, window).value(),
            Folded::Mean => self.sum(pieces, window).mean(self.count(window) as f64),
            Folded::Min => self.best(pieces, window, |piece| piece.min, |value, best| value < best),
            Folded::Max => self.best(pieces, window, |piece| piece.max, |value, best| value > best),
            Folded::Resets | Folded::Changes => {
                let ((inside_low, _), (inside_high, _)) =
                    (self.turn_counts[window.0], self.turn_counts[window.1]);
                let between = self.turn_counts[window.1 - 1].1 - self.turn_counts[window.0].1;
                (inside_high - inside_low + between) as f64
            }
            _ => self.count(window) as f64,
        }
    }

    fn sum(&self, pieces: &[Aggregate], (low, high): (usize, usize)) -> ExactSum {
        if let Some(sums) = &self.sums {
            return sums.stretch(2 * low, 2 * high);
        }
        let mut sum = ExactSum::default();
        pieces[low..high].iter().for_each(|piece| piece.add_to(&mut sum));
        sum
    }

    /// The first value that wins against all others of the window; NaN only where there is nothing else.
    fn best(
        &mut self,
        pieces: &[Aggregate],
        (low, high): (usize, usize),
        value: impl Fn(&Aggregate) -> f64,
        wins: impl Fn(f64, f64) -> bool,
    ) -> f64 {
        for (idx, piece) in pieces.iter().enumerate().take(high).skip(self.offered) {
            let offered = value(piece);
            if offered.is_nan() {
                continue;
            }
            while self.best.back().is_some_and(|best| wins(offered, value(&pieces[*best]))) {
                self.best.pop_back();
            }
            self.best.push_back(idx);
        }
        self.offered = self.offered.max(high);
        while self.best.front().is_some_and(|best| *best < low) {
            self.best.pop_front();
        }
        self.best.front().map_or(f64::NAN, |best| value(&pieces[*best]))
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;
    use crate::testing::FOLDED_FUNCTIONS;

    #[test]
    fn the_functions_that_storages_are_tested_with_are_folded() {
        assert!(FOLDED_FUNCTIONS.iter().all(|name| folded_function(name).is_some()));
        assert!(
            ["stddev_over_time", "deriv", "quantile_over_time"]
                .iter()
                .all(|name| folded_function(name).is_none())
        );
    }
}
