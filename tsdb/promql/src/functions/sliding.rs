//! A range vector function made ready, to be applied to one series after another.

use swell_model::{Coarse, METRIC_NAME};
use swell_promql_syntax::{Boundary, Span};

use super::blocks::AheadOfWindows;
use super::extents::Extents;
use super::folded::{self, Folded};
use super::lockstep::{self, Chained};
use super::rate::Change;
use super::resets;
use super::sorted::SortedWindow;
use super::window::{WindowCall, WindowFn};
use crate::error::EvalError;
use crate::eval::{Column, Grid, Lane, RangeSeries};
use crate::params::Features;
use crate::plan::Window;

/// What is the same for all series.
#[derive(Debug)]
pub(crate) struct Sliding<'a> {
    pub(super) name: &'a str,
    pub(super) function: WindowFn,
    pub(super) window: &'a Window,
    /// Where the first argument stands.
    pub(super) span: Span,
    /// Scalar arguments, by step.
    pub(super) scalars: Vec<Vec<f64>>,
    pub(super) grid: Grid,
    pub(super) lookback_ms: i64,
    pub(super) features: Features,
    /// How a change over plain windows is taken, of the functions that give one.
    pub(super) change: Option<Change>,
    /// What aggregates can answer of it.
    pub(super) foldable: Option<Folded>,
    /// What is computed of several windows at once.
    pub(super) chained: Option<Chained>,
}

/// What is carried from one series to the next.
#[derive(Debug, Default)]
pub(crate) struct Carried {
    sorted: SortedWindow,
    resets: Vec<usize>,
    extents: Option<Extents>,
    /// The last metric that was remarked on for not looking like a counter.
    remarked: Option<String>,
}

impl<'a> Sliding<'a> {
    pub(crate) const fn window(&self) -> &'a Window {
        self.window
    }

    /// What may stand for samples.
    pub(crate) fn coarse(&self) -> Coarse {
        folded::wanted(self.foldable, self.window, &self.grid, self.features.start_timestamps)
    }

    /// Fills a column, which must have the grid's steps and nothing in them.
    pub(crate) fn apply(
        &self,
        one: &RangeSeries,
        carried: &mut Carried,
        lane: &mut Lane<'_>,
        column: &mut Column,
    ) -> Result<(), EvalError> {
        lane.budget.check_cancelled()?;
        let counter = matches!(self.name, "rate" | "increase");
        carried.resets.clear();
        if counter {
            resets::counter_resets(one, &mut carried.resets);
        }
        let metric_name = one.labels.get(METRIC_NAME).unwrap_or("");
        if let Some(function) = self.foldable.filter(|_| !one.aggregates().is_empty()) {
            let tally = &mut lane.tally;
            folded::evaluate(function, one, self.window, &self.grid, column, tally);
        } else if let Some(kind) = self.change
            && self.window.boundary == Boundary::Plain
            && one.is_plain()
        {
            let extents = match carried.extents.take() {
                Some(extents) if extents.are_of(one) => extents,
                _ => Extents::of(one, self.window, &self.grid, kind),
            };
            extents.changes(one, &carried.resets, (self.window, &self.grid), kind, column);
            extents.count(&mut lane.tally);
            carried.extents = Some(extents);
        } else if let Some(function) = self.chained
            && self.grid.count > 1
            && self.window.boundary == Boundary::Plain
            && one.is_plain()
        {
            let (window, grid) = (self.window, &self.grid);
            let (budget, tally) = (lane.budget, &mut lane.tally);
            lockstep::evaluate(function, one, window, grid, column, budget, tally)?;
        } else {
            self.each_window(one, carried, metric_name, lane, column)?;
        }
        if counter && column.has_floats() {
            self.note_if_no_counter(one.labels.get("__type__"), metric_name, carried, lane);
        }
        Ok(())
    }

    fn each_window(
        &self,
        one: &RangeSeries,
        carried: &mut Carried,
        metric_name: &str,
        lane: &mut Lane<'_>,
        column: &mut Column,
    ) -> Result<(), EvalError> {
        let (window, grid) = (self.window, &self.grid);
        let ahead = AheadOfWindows::of(self.name, one, window.range_ms, grid.count);
        carried.sorted.clear();
        let mut slider = one.slider(window, self.lookback_ms);
        for step in 0..grid.count {
            lane.budget.check_cancelled()?;
            let step_ms = grid.at(step);
            let view = slider.window(window.range_ms, window.time.apply(step_ms));
            if view.is_empty() {
                continue;
            }
            lane.tally.at(step, view.looked_at);
            let scalar = |idx: usize| self.scalars.get(idx).map_or(0.0, |values| values[step]);
            let mut call = WindowCall {
                annotations: &mut lane.annotations,
                span: self.span,
                metric_name,
                scalars: [scalar(0), scalar(1)],
                step_ms,
                range_ms: window.range_ms,
                boundary: window.boundary,
                resets: &carried.resets,
                ahead: &ahead,
                sorted: (grid.count > 1).then_some((&mut carried.sorted, one.floats())),
            };
            if let Some(point) = (self.function)(&view, &mut call) {
                column.set(step, point);
            }
        }
        Ok(())
    }

    /// Counters end in certain suffixes, or say so in their type label.
    fn note_if_no_counter(
        &self,
        type_label: Option<&str>,
        metric_name: &str,
        carried: &mut Carried,
        lane: &mut Lane<'_>,
    ) {
        if metric_name.is_empty() {
            return;
        }
        if self.features.type_and_unit_labels {
            let kind = type_label.unwrap_or("");
            if kind != "counter" && kind != "histogram" {
                let text = format!(
                    "metric might not be a counter, __type__ label is not set to \"counter\" or \"histogram\", got {kind:?}: {metric_name:?}"
                );
                lane.annotations.info(self.span, text);
            }
            return;
        }
        let suffixes = ["_total", "_sum", "_count", "_bucket"];
        let is_known = carried.remarked.as_deref() == Some(metric_name);
        if !is_known && !suffixes.iter().any(|suffix| metric_name.ends_with(suffix)) {
            let text = format!(
                "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {metric_name:?}"
            );
            lane.annotations.info(self.span, text);
            carried.remarked = Some(metric_name.to_owned());
        }
    }
}
