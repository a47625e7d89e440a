//! Folds over windows without looking at every sample at every step.
//!
//! Time is cut into blocks of a sixteenth of the window. Samples are folded per block, blocks are joined in order of
//! time: blocks that lie inside a window are folded once for all steps. The cut depends on the window's length only,
//! so an instant query folds in the same order as a range query and gives the same bits.

use swell_model::{ExactSum, RunningSums};

use crate::eval::{RangeSeries, WindowView};

/// Blocks in a window.
const PER_WINDOW: i64 = 16;

/// Samples per block from which on folding blocks ahead pays.
const WORTH_SAMPLES: usize = 4;

/// Something samples are folded into.
pub(super) trait Fold: Copy {
    /// Nothing folded yet.
    const EMPTY: Self;
    /// Folds in a sample.
    fn take(&mut self, value: f64);
    /// Joins what was folded from later samples.
    fn join(&mut self, later: Self);
}

/// The greatest value, NaN only where there is nothing else.
#[derive(Clone, Copy, Debug)]
pub(super) struct Greatest(pub(super) f64);

/// The smallest value, NaN only where there is nothing else.
#[derive(Clone, Copy, Debug)]
pub(super) struct Smallest(pub(super) f64);

impl Fold for Greatest {
    const EMPTY: Self = Self(f64::NAN);
    #[inline]
    fn take(&mut self, value: f64) {
        if value > self.0 || self.0.is_nan() {
            self.0 = value;
        }
    }
    #[inline]
    fn join(&mut self, later: Self) {
        self.take(later.0);
    }
}

impl Fold for Smallest {
    const EMPTY: Self = Self(f64::NAN);
    #[inline]
    fn take(&mut self, value: f64) {
        if value < self.0 || self.0.is_nan() {
            self.0 = value;
        }
    }
    #[inline]
    fn join(&mut self, later: Self) {
        self.take(later.0);
    }
}

/// The samples of one block, by index, folded.
#[derive(Clone, Copy, Debug)]
struct Block<F> {
    first: usize,
    end: usize,
    folded: F,
}

/// A series' floats folded per block.
#[derive(Clone, Debug)]
pub(super) struct Blocks<F>(Vec<Block<F>>);

fn width_ms(range_ms: i64) -> i64 {
    (range_ms / PER_WINDOW).max(1)
}

fn fold_all<F: Fold>(values: &[f64]) -> F {
    let mut folded = F::EMPTY;
    for value in values {
        folded.take(*value);
    }
    folded
}

/// Runs of samples that lie in the same block.
fn runs(times: &[i64], range_ms: i64) -> impl Iterator<Item = (usize, usize)> + '_ {
    let width = width_ms(range_ms);
    let mut first = 0;
    std::iter::from_fn(move || {
        let block = times.get(first)?.div_euclid(width);
        let limit = block.saturating_add(1).saturating_mul(width);
        let end = first + times[first..].iter().take_while(|at| **at < limit).count();
        let run = (first, end);
        first = end;
        Some(run)
    })
}

impl<F: Fold> Blocks<F> {
    /// Folds a series ahead of its windows; `None` where that does not pay.
    pub(super) fn of(series: &RangeSeries, range_ms: i64) -> Option<Self> {
        let (times, floats) = (series.times(), series.floats());
        let span_ms = times.last()?.saturating_sub(*times.first()?);
        let blocks = usize::try_from(span_ms / width_ms(range_ms)).unwrap_or(usize::MAX);
        if floats.len() / WORTH_SAMPLES <= blocks {
            return None;
        }
        let blocks = runs(times, range_ms).map(|(first, end)| Block {
            first,
            end,
            folded: fold_all(&floats[first..end]),
        });
        Some(Self(blocks.collect()))
    }

    /// Folds a window of the series.
    fn fold(&self, view: &WindowView<'_>) -> F {
        let (low, high) = (view.first_float, view.first_float + view.floats.len());
        let mut folded = F::EMPTY;
        let from = self.0.partition_point(|block| block.end <= low);
        for block in self.0[from..].iter().take_while(|block| block.first < high) {
            let (first, end) = (block.first.max(low), block.end.min(high));
            folded.join(if (first, end) == (block.first, block.end) {
                block.folded
            } else {
                fold_all(&view.floats[first - low..end - low])
            });
        }
        folded
    }
}

/// Folds a window, with the blocks folded ahead where there are some.
pub(super) fn fold<F: Fold>(view: &WindowView<'_>, range_ms: i64, ahead: Option<&Blocks<F>>) -> F {
    if let Some(blocks) = ahead {
        return blocks.fold(view);
    }
    let mut folded = F::EMPTY;
    for (first, end) in runs(view.times, range_ms) {
        folded.join(fold_all(&view.floats[first..end]));
    }
    folded
}

/// What a function wants folded of a series ahead of its windows.
#[derive(Debug)]
pub(super) enum AheadOfWindows {
    None,
    Sums(Option<RunningSums>),
    Greatest(Option<Blocks<Greatest>>),
    Smallest(Option<Blocks<Smallest>>),
}

impl AheadOfWindows {
    /// What the function of this name folds.
    pub(super) fn of(function: &str, series: &RangeSeries, range_ms: i64, steps: usize) -> Self {
        if steps < 2 {
            return Self::None;
        }
        match function {
            "sum_over_time" | "avg_over_time" => Self::Sums(RunningSums::of(series.floats())),
            "max_over_time" => Self::Greatest(Blocks::of(series, range_ms)),
            "min_over_time" => Self::Smallest(Blocks::of(series, range_ms)),
            _ => Self::None,
        }
    }

    /// The sum of a window's floats: exact, so that it has the same bits whichever way it is made.
    pub(super) fn sum_of(&self, view: &WindowView<'_>) -> ExactSum {
        if let Self::Sums(Some(sums)) = self {
            return sums.stretch(view.first_float, view.first_float + view.floats.len());
        }
        let mut sum = ExactSum::default();
        sum.add_all(view.floats);
        sum
    }

    pub(super) fn greatest(&self) -> Option<&Blocks<Greatest>> {
        if let Self::Greatest(blocks) = self { blocks.as_ref() } else { None }
    }

    pub(super) fn smallest(&self) -> Option<&Blocks<Smallest>> {
        if let Self::Smallest(blocks) = self { blocks.as_ref() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_end_at_multiples_of_the_block_width() {
        let times = [-3, -1, 0, 9, 10, 11, 35];
        let found: Vec<_> = runs(&times, 160).collect();
        assert_eq!(found, [(0, 2), (2, 4), (4, 6), (6, 7)]);
    }
}
