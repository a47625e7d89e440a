//! Evaluation node by node, each for all steps at a time.

mod column;
mod held;
mod lanes;
mod output;
mod pipeline;
mod selector;
mod shared;
mod tally;
mod window;

use rustc_hash::FxHashMap;
use swell_model::{Labels, METRIC_NAME, SeriesSource, quote};
use swell_promql_syntax::{Expr, format_label_name};

use crate::annotations::Annotations;
use crate::error::EvalError;
use crate::params::{Budget, EvalParams, QueryKind};
use crate::plan::{Node, NodeKind, plan};
use crate::value::{QueryOutput, QueryStats};
use crate::{aggregate, binary, functions};

pub(crate) use column::{Column, Grid, Point, PointRef, Series, Value, concat, sort_by_labels};
pub(crate) use held::Held;
pub(crate) use lanes::Lane;
pub(crate) use pipeline::Pipeline;
pub(crate) use selector::{SampleTime, instant_reach, seconds};
pub(crate) use tally::Tally;
pub(crate) use window::{RangeSeries, WindowView, reached, subquery_grid};

/// Evaluates an expression.
///
/// # Errors
/// [`EvalError`]: the query does not fit its arguments or data, a limit was passed, the query was cancelled, or the
/// storage failed.
pub fn evaluate(
    expr: &Expr,
    source: &dyn SeriesSource,
    params: &EvalParams,
    budget: &Budget,
) -> Result<QueryOutput, EvalError> {
    let grid = grid_of(params, budget)?;
    evaluate_planned(&plan(expr, params)?, &grid, source, params, budget)
}

pub(crate) fn evaluate_planned(
    node: &Node,
    grid: &Grid,
    source: &dyn SeriesSource,
    params: &EvalParams,
    budget: &Budget,
) -> Result<QueryOutput, EvalError> {
    let mut evaluator = Evaluator {
        source,
        params,
        budget,
        annotations: Annotations::default(),
        stats: QueryStats::default(),
        tally: Tally::by_step(if params.counts_steps { grid.count } else { 0 }),
        shared: shared::SharedSelections::of(node),
        held: Held::default(),
    };
    let value = evaluator.output(node, grid)?;
    let (warnings, infos) = evaluator.annotations.into_parts();
    let (samples_total, samples_by_step) = evaluator.tally.into_parts();
    let stats = QueryStats { samples_total, samples_by_step, ..evaluator.stats };
    Ok(QueryOutput { value, warnings, infos, stats })
}

pub(crate) fn grid_of(params: &EvalParams, budget: &Budget) -> Result<Grid, EvalError> {
    if params.kind == QueryKind::Instant {
        return Ok(Grid { start_ms: params.start.0, step_ms: 1, count: 1 });
    }
    if params.step.0 <= 0 {
        return Err(EvalError::BadRange(
            "zero or negative query resolution step widths are not accepted. Try a positive integer",
        ));
    }
    let span_ms = params.end.0.saturating_sub(params.start.0);
    if span_ms < 0 {
        return Err(EvalError::BadRange("end timestamp must not be before start time"));
    }
    let count = usize::try_from(span_ms / params.step.0).unwrap_or(usize::MAX);
    if count >= budget.steps_max {
        return Err(EvalError::TooManySteps { steps_max: budget.steps_max });
    }
    Ok(Grid { start_ms: params.start.0, step_ms: params.step.0, count: count + 1 })
}

/// State of one query's evaluation.
pub(crate) struct Evaluator<'a> {
    pub(crate) source: &'a dyn SeriesSource,
    pub(crate) params: &'a EvalParams,
    pub(crate) budget: &'a Budget,
    pub(crate) annotations: Annotations,
    /// What was counted so far, but for the samples that were looked at.
    pub(crate) stats: QueryStats,
    /// Samples that were looked at, by step of the grid that is being evaluated.
    pub(crate) tally: Tally,
    shared: shared::SharedSelections,
    held: Held,
}

impl<'a> Evaluator<'a> {
    /// Evaluates a node at all steps of a grid.
    pub(crate) fn eval(&mut self, node: &Node, grid: &Grid) -> Result<Value, EvalError> {
        self.budget.check_cancelled()?;
        if node.invariant && grid.count > 1 && !matches!(node.kind, NodeKind::Number(_)) {
            let (value, once) = self.eval_apart(node, &grid.first_only())?;
            // Each step counts what it would by itself.
            self.tally.at_each(grid.count, once.total());
            return Ok(broadcast(value, grid.count));
        }
        match &node.kind {
            NodeKind::Number(value) => Ok(Value::Scalar(vec![*value; grid.count])),
            NodeKind::Text(text) => Ok(Value::Text(text.clone())),
            NodeKind::Selector(selector) => {
                self.selector(selector, node.span, grid, SampleTime::Value).map(Value::Vector)
            }
            NodeKind::Window(_) => Err(EvalError::query(
                node.span,
                "range vectors cannot be evaluated at several steps",
            )),
            NodeKind::Call { function, args } => functions::call(self, node, function, args, grid),
            NodeKind::Aggregate(aggregate) => {
                aggregate::aggregate(self, aggregate, grid).map(Value::Vector)
            }
            NodeKind::Binary(operation) => binary::binary(self, node, operation, grid),
            NodeKind::Negate(operand) => self.negate(node, operand, grid),
            NodeKind::Plus(operand) => self.eval(operand, grid),
        }
    }

    /// Evaluates a node at the steps of another grid; gives what it looked at, which is not counted here.
    fn eval_apart(&mut self, node: &Node, grid: &Grid) -> Result<(Value, Tally), EvalError> {
        let outer = std::mem::take(&mut self.tally);
        let value = self.eval(node, grid);
        let apart = std::mem::replace(&mut self.tally, outer);
        Ok((value?, apart))
    }

    /// Evaluates a node that gives a vector.
    pub(crate) fn vector(&mut self, node: &Node, grid: &Grid) -> Result<Vec<Series>, EvalError> {
        match self.eval(node, grid)? {
            Value::Vector(series) => Ok(series),
            Value::Scalar(_) | Value::Text(_) => {
                Err(EvalError::query(node.span, "expected an instant vector"))
            }
        }
    }

    /// Evaluates a node that gives a scalar.
    pub(crate) fn scalar(&mut self, node: &Node, grid: &Grid) -> Result<Vec<f64>, EvalError> {
        match self.eval(node, grid)? {
            Value::Scalar(values) => Ok(values),
            Value::Vector(_) | Value::Text(_) => {
                Err(EvalError::query(node.span, "expected a scalar"))
            }
        }
    }

    fn negate(&mut self, node: &Node, operand: &Node, grid: &Grid) -> Result<Value, EvalError> {
        match self.eval(operand, grid)? {
            Value::Scalar(mut values) => {
                for value in &mut values {
                    *value = -*value;
                }
                Ok(Value::Scalar(values))
            }
            Value::Vector(mut series) => {
                for one in &mut series {
                    for step in 0..one.column.len() {
                        match one.column.get(step) {
                            Some(PointRef::Float(value)) => one.column.set_float(step, -value),
                            Some(PointRef::Histogram(value)) => {
                                let value = value.scaled(-1.0);
                                one.column.set_histogram(step, value.into());
                            }
                            None => {}
                        }
                    }
                }
                self.nameless(series, node).map(Value::Vector)
            }
            Value::Text(_) => Err(EvalError::query(node.span, "a string cannot be negated")),
        }
    }

    /// The operation that made this series drops its name: now, or at the end when removal is delayed.
    pub(crate) fn mark_nameless(&self, series: &mut Series) {
        if self.params.features.delayed_name_removal {
            series.drop_name = true;
        } else {
            series.labels = without_metadata(&series.labels);
        }
    }

    /// The operation that made these series drops their names. Series that become the same by that are joined.
    pub(crate) fn nameless(
        &self,
        mut series: Vec<Series>,
        node: &Node,
    ) -> Result<Vec<Series>, EvalError> {
        // Without different names, dropping them leaves labels as distinct as they were: no need to compare them.
        let delayed = self.params.features.delayed_name_removal;
        let distinct = delayed || share_metadata(&series);
        // What is remarked of histograms names the metric.
        let has_histograms = || series.iter().any(|one| one.column.has_histograms());
        if distinct && !delayed && node.names_unused && !has_histograms() {
            return Ok(series);
        }
        series.iter_mut().for_each(|one| self.mark_nameless(one));
        if distinct { Ok(series) } else { merge_same_labels(series, node) }
    }

    /// Counts what is held from now on against the budget.
    pub(crate) fn hold(&mut self, more: Held) -> Result<(), EvalError> {
        self.held += more;
        self.stats.samples_peak = self.stats.samples_peak.max(self.held.samples);
        self.stats.bytes_peak = self.stats.bytes_peak.max(self.held.bytes);
        self.held.check(self.budget)
    }

    /// What is no longer held.
    pub(crate) fn release(&mut self, less: Held) {
        self.held = self.held.less(less);
    }

    /// Counts series that a storage selected by itself.
    pub(crate) fn select_series(&mut self, count: usize) -> Result<(), EvalError> {
        self.stats.series_selected += count;
        self.budget.check_series(self.stats.series_selected)
    }
}

/// Labels that say what a metric is, and that no longer hold once it is computed with.
pub(crate) fn is_metadata_label(name: &str) -> bool {
    matches!(name, METRIC_NAME | "__type__" | "__unit__")
}

/// Labels in braces, the name among them, as Prometheus' error messages show them.
pub(crate) fn braced(labels: &Labels) -> String {
    let pair = |(name, value)| format!("{}={}", format_label_name(name), quote(value));
    let pairs: Vec<String> = labels.iter().map(pair).collect();
    format!("{{{}}}", pairs.join(", "))
}

/// The labels without name, type and unit.
pub(crate) fn without_metadata(labels: &Labels) -> Labels {
    if labels.iter().any(|(name, _)| is_metadata_label(name)) {
        labels.filtered(|name| !is_metadata_label(name))
    } else {
        labels.clone()
    }
}

/// Whether all series have the same name, type and unit.
fn share_metadata(series: &[Series]) -> bool {
    let metadata = |one: &Series| {
        [METRIC_NAME, "__type__", "__unit__"].map(|name| one.labels.get(name).map(str::to_owned))
    };
    let Some(first) = series.first().map(metadata) else { return true };
    series[1..].iter().all(|one| {
        [METRIC_NAME, "__type__", "__unit__"]
            .into_iter()
            .zip(&first)
            .all(|(name, value)| one.labels.get(name) == value.as_deref())
    })
}

fn broadcast(value: Value, count: usize) -> Value {
    match value {
        Value::Scalar(values) => {
            Value::Scalar(vec![values.first().copied().unwrap_or(f64::NAN); count])
        }
        Value::Vector(mut series) => {
            for one in &mut series {
                one.column = one.column.broadcast(count);
            }
            Value::Vector(series)
        }
        Value::Text(text) => Value::Text(text),
    }
}

/// Joins series that came to have the same labels. They may not both be present at a step.
pub(crate) fn merge_same_labels(
    series: Vec<Series>,
    node: &Node,
) -> Result<Vec<Series>, EvalError> {
    let mut place: FxHashMap<Labels, usize> = FxHashMap::default();
    place.reserve(series.len());
    let mut merged: Vec<Series> = Vec::with_capacity(series.len());
    for one in series {
        match place.entry(one.labels.clone()) {
            std::collections::hash_map::Entry::Vacant(slot) => {
                slot.insert(merged.len());
                merged.push(one);
            }
            std::collections::hash_map::Entry::Occupied(slot) => {
                let target = &mut merged[*slot.get()];
                for step in 0..one.column.len() {
                    let Some(point) = one.column.get(step) else { continue };
                    if target.column.is_present(step) {
                        return Err(EvalError::query(node.span, SAME_LABELSET));
                    }
                    target.column.set(step, point.to_owned());
                }
                target.drop_name |= one.drop_name;
            }
        }
    }
    Ok(merged)
}

/// Prometheus' words for two samples of one series at one time.
pub(crate) const SAME_LABELSET: &str = "vector cannot contain metrics with the same labelset";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_messages_have_odd_names_in_quotes() {
        let labels = Labels::from_pairs([("__name__", "m"), ("a.b", "1"), ("a_b", "x\"y\u{85}")]);
        assert_eq!(braced(&labels), r#"{__name__="m", "a.b"="1", a_b="x\"y\u0085"}"#);
    }
}
