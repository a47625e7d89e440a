//! Operators that fold a group into one value per step.

use std::sync::Arc;

use swell_model::{ExactSum, METRIC_NAME};
use swell_promql_syntax::AggregateOp;

use super::{Group, note_ignored_histograms};
use crate::eval::{Column, Evaluator, Grid, PointRef, Series};
use crate::functions::quantile::{quantile_of, warn_if_no_quantile};
use crate::functions::{HistogramTotal, Variance, warn_mixed_schemas};
use crate::plan::AggregateNode;

/// Folds every group.
pub(super) fn fold(
    ev: &mut Evaluator<'_>,
    node: &AggregateNode,
    input: &[Series],
    groups: &[Group],
    grid: &Grid,
) -> Vec<Series> {
    let mut result = Vec::with_capacity(groups.len());
    for group in groups {
        let column = match node.op {
            AggregateOp::Sum | AggregateOp::Avg => total(ev, node, input, group, grid),
            AggregateOp::Count => counted(input, group, grid),
            AggregateOp::Group => {
                let mut column = counted(input, group, grid);
                column.map_floats(|_| 1.0);
                column
            }
            AggregateOp::Min => extreme(ev, node, input, group, grid, smaller),
            AggregateOp::Max => extreme(ev, node, input, group, grid, greater),
            AggregateOp::Stdvar => spread(ev, node, input, group, grid, |variance| variance),
            AggregateOp::Stddev => spread(ev, node, input, group, grid, f64::sqrt),
            AggregateOp::TopK
            | AggregateOp::BottomK
            | AggregateOp::CountValues
            | AggregateOp::Quantile
            | AggregateOp::LimitK
            | AggregateOp::LimitRatio => continue,
        };
        push(&mut result, group, column);
    }
    result
}

fn push(result: &mut Vec<Series>, group: &Group, column: Column) {
    if !column.is_empty() {
        result.push(Series { labels: group.labels.clone(), drop_name: group.drop_name, column });
    }
}

/// Whether a value takes the place of the smallest so far; NaN only stands where there is nothing else, and of the
/// two zeros the negative one is smaller, so that the order does not matter.
pub(super) fn smaller(value: f64, best: f64) -> bool {
    value < best || best.is_nan() || (value == best && value.is_sign_negative())
}

/// As [`smaller`], for the greatest.
pub(super) fn greater(value: f64, best: f64) -> bool {
    value > best || best.is_nan() || (value == best && value.is_sign_positive())
}

/// What the histograms of a group add up to at a step.
enum HistogramsSoFar {
    None,
    Total(Box<HistogramTotal>),
    /// They do not fit together.
    Incompatible,
}

/// Sum or mean.
fn total(
    ev: &mut Evaluator<'_>,
    node: &AggregateNode,
    input: &[Series],
    group: &Group,
    grid: &Grid,
) -> Column {
    let is_mean = node.op == AggregateOp::Avg;
    let mut floats = vec![ExactSum::default(); grid.count];
    let mut float_counts = vec![0.0; grid.count];
    let with_histograms = group.members.iter().any(|idx| input[*idx].column.has_histograms());
    let mut histograms: Vec<HistogramsSoFar> = Vec::new();
    if with_histograms {
        histograms.resize_with(grid.count, || HistogramsSoFar::None);
    }
    for idx in &group.members {
        let one = &input[*idx];
        for step in 0..grid.count {
            match one.column.get(step) {
                None => {}
                Some(PointRef::Float(value)) => {
                    floats[step].add(value);
                    float_counts[step] += 1.0;
                }
                Some(PointRef::Histogram(value)) => {
                    let so_far = &mut histograms[step];
                    match so_far {
                        HistogramsSoFar::None => {
                            *so_far = HistogramsSoFar::Total(Box::new(HistogramTotal::new(value)));
                        }
                        HistogramsSoFar::Total(total) => {
                            let added =
                                if is_mean { total.average(value, 1) } else { total.add(value) };
                            if added.is_err() {
                                *so_far = HistogramsSoFar::Incompatible;
                                let name = one.labels.get(METRIC_NAME).unwrap_or("");
                                warn_mixed_schemas(&mut ev.annotations, node.input.outer, name);
                            }
                        }
                        HistogramsSoFar::Incompatible => {}
                    }
                }
            }
        }
    }
    let mut column = Column::absent(grid.count);
    for step in 0..grid.count {
        match histograms.get(step).unwrap_or(&HistogramsSoFar::None) {
            HistogramsSoFar::None if float_counts[step] > 0.0 => {
                let total = &floats[step];
                let value = if is_mean { total.mean(float_counts[step]) } else { total.value() };
                column.set_float(step, value);
            }
            HistogramsSoFar::None => {}
            _ if float_counts[step] > 0.0 => {
                let text = "encountered a mix of histograms and floats for aggregation";
                ev.annotations.warn(node.input.outer, text);
            }
            HistogramsSoFar::Total(total) => {
                total.annotate(&mut ev.annotations, node.input.outer);
                let value = if is_mean { total.mean() } else { total.total() };
                column.set_histogram(step, Arc::new(value));
            }
            HistogramsSoFar::Incompatible => {}
        }
    }
    column
}

fn counted(input: &[Series], group: &Group, grid: &Grid) -> Column {
    let mut counts = vec![0.0; grid.count];
    for idx in &group.members {
        for (step, count) in counts.iter_mut().enumerate() {
            if input[*idx].column.is_present(step) {
                *count += 1.0;
            }
        }
    }
    let mut column = Column::absent(grid.count);
    for (step, count) in counts.into_iter().enumerate().filter(|(_, count)| *count > 0.0) {
        column.set_float(step, count);
    }
    column
}

/// The members' floats at all steps; histograms are remarked on.
fn each_float(
    ev: &mut Evaluator<'_>,
    node: &AggregateNode,
    input: &[Series],
    group: &Group,
    grid: &Grid,
    mut visit: impl FnMut(usize, f64),
) {
    for idx in &group.members {
        let column = &input[*idx].column;
        for step in 0..grid.count {
            match column.get(step) {
                None => {}
                Some(PointRef::Float(value)) => visit(step, value),
                Some(PointRef::Histogram(_)) => note_ignored_histograms(ev, node),
            }
        }
    }
}

fn extreme(
    ev: &mut Evaluator<'_>,
    node: &AggregateNode,
    input: &[Series],
    group: &Group,
    grid: &Grid,
    wins: impl Fn(f64, f64) -> bool,
) -> Column {
    let mut column = Column::absent(grid.count);
    each_float(ev, node, input, group, grid, |step, value| {
        let better = column.float(step).is_none_or(|best| wins(value, best));
        if better {
            column.set_float(step, value);
        }
    });
    column
}

fn spread(
    ev: &mut Evaluator<'_>,
    node: &AggregateNode,
    input: &[Series],
    group: &Group,
    grid: &Grid,
    finish: impl Fn(f64) -> f64,
) -> Column {
    let mut variances: Vec<Option<Variance>> = vec![None; grid.count];
    each_float(ev, node, input, group, grid, |step, value| {
        variances[step].get_or_insert_default().add(value);
    });
    let mut column = Column::absent(grid.count);
    for (step, variance) in variances.into_iter().enumerate() {
        if let Some(variance) = variance {
            column.set_float(step, finish(variance.variance()));
        }
    }
    column
}

/// `quantile(q, v)`.
pub(super) fn quantile(
    ev: &mut Evaluator<'_>,
    node: &AggregateNode,
    input: &[Series],
    groups: &[Group],
    wanted: &[f64],
    grid: &Grid,
) -> Vec<Series> {
    if let Some(param) = &node.param {
        // Of many that are none the greatest and the least are told.
        let greatest = wanted.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let least = wanted.iter().copied().fold(f64::INFINITY, f64::min);
        let odd = wanted.iter().copied().find(|value| value.is_nan());
        for value in odd.map_or_else(|| vec![greatest, least], |odd| vec![odd]) {
            warn_if_no_quantile(&mut ev.annotations, param.outer, value);
        }
    }
    let mut result = Vec::with_capacity(groups.len());
    let mut values: Vec<Vec<f64>> = vec![Vec::new(); grid.count];
    for group in groups {
        each_float(ev, node, input, group, grid, |step, value| values[step].push(value));
        let mut column = Column::absent(grid.count);
        for (step, values) in values.iter_mut().enumerate() {
            if !values.is_empty() {
                column.set_float(step, quantile_of(wanted[step], values));
                values.clear();
            }
        }
        push(&mut result, group, column);
    }
    result
}
