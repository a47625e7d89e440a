//! The functions, by family.

mod blocks;
mod coverage;
mod date;
mod extents;
mod folded;
mod histogram;
mod histogram_change;
mod info;
mod labels;
mod lockstep;
mod math;
mod over_time;
pub(crate) mod quantile;
mod rate;
mod regression;
mod resets;
mod sliding;
pub(crate) mod smoothing;
mod sort;
mod sorted;
mod window;

use swell_promql_syntax::{Function, Span};

pub(crate) use math::float_function as float_map;
pub(crate) use over_time::{HistogramTotal, Variance};
pub(crate) use sliding::{Carried, Sliding};
pub(crate) use sort::nan_last;
pub(crate) use window::warn_mixed_schemas;

use crate::error::EvalError;
use crate::eval::{Column, Evaluator, Grid, Series, Value};
use crate::plan::{Node, NodeKind};

/// Evaluates a call at all steps.
pub(crate) fn call(
    ev: &mut Evaluator<'_>,
    node: &Node,
    function: &Function,
    args: &[Node],
    grid: &Grid,
) -> Result<Value, EvalError> {
    if let Some(map) = math::float_function(function.name) {
        return math::map(ev, node, &args[0], grid, map).map(Value::Vector);
    }
    if let Some(window) = window::window_function(function.name) {
        return window::call(ev, node, function.name, window, args, grid).map(Value::Vector);
    }
    if let Some(part) = date::date_function(function.name) {
        return date::call(ev, node, args, grid, part).map(Value::Vector);
    }
    if let Some(figure) = histogram::figure_function(function.name) {
        return histogram::figure(ev, node, &args[0], grid, figure).map(Value::Vector);
    }
    match function.name {
        "time" => {
            Ok(Value::Scalar((0..grid.count).map(|step| date::seconds_at(grid, step)).collect()))
        }
        "pi" => Ok(Value::Scalar(vec![std::f64::consts::PI; grid.count])),
        "max_of" => math::pairwise(ev, args, grid, math::go_max),
        "min_of" => math::pairwise(ev, args, grid, math::go_min),
        "scalar" => scalar(ev, &args[0], grid),
        "vector" => vector(ev, &args[0], grid),
        "round" => math::round(ev, node, args, grid).map(Value::Vector),
        "clamp" | "clamp_min" | "clamp_max" => {
            math::clamp(ev, node, function.name, args, grid).map(Value::Vector)
        }
        "timestamp" => date::timestamp(ev, node, &args[0], grid).map(Value::Vector),
        "start_timestamp" => date::start_timestamp(ev, node, &args[0], grid).map(Value::Vector),
        "absent" => labels::absent(ev, &args[0], grid).map(Value::Vector),
        "absent_over_time" => labels::absent_over_time(ev, &args[0], grid).map(Value::Vector),
        "label_replace" => labels::label_replace(ev, node, args, grid).map(Value::Vector),
        "label_join" => labels::label_join(ev, node, args, grid).map(Value::Vector),
        "sort" | "sort_desc" => {
            sort::by_value(ev, node, function.name, &args[0], grid).map(Value::Vector)
        }
        "sort_by_label" | "sort_by_label_desc" => {
            sort::by_label(ev, node, function.name, args, grid).map(Value::Vector)
        }
        "histogram_quantile" => histogram::quantile(ev, node, args, grid).map(Value::Vector),
        "histogram_quantiles" => histogram::quantiles(ev, node, args, grid).map(Value::Vector),
        "histogram_fraction" => histogram::fraction(ev, node, args, grid).map(Value::Vector),
        "info" => info::info(ev, node, args, grid).map(Value::Vector),
        name => Err(EvalError::query(node.span, format!("function {name:?} cannot be evaluated"))),
    }
}

/// A call of a range vector function made ready; `None` for other functions.
pub(crate) fn sliding<'a>(
    ev: &mut Evaluator<'_>,
    node: &'a Node,
    function: &'a Function,
    args: &'a [Node],
    grid: &Grid,
) -> Result<Option<(Sliding<'a>, Span)>, EvalError> {
    let Some(window) = window::window_function(function.name) else { return Ok(None) };
    window::sliding(ev, node, function.name, window, args, grid).map(Some)
}

fn scalar(ev: &mut Evaluator<'_>, arg: &Node, grid: &Grid) -> Result<Value, EvalError> {
    let series = ev.vector(arg, grid)?;
    let mut values = vec![f64::NAN; grid.count];
    for (step, value) in values.iter_mut().enumerate() {
        let mut floats = series.iter().filter_map(|one| one.column.float(step));
        if let (Some(single), None) = (floats.next(), floats.next()) {
            *value = single;
        }
    }
    Ok(Value::Scalar(values))
}

fn vector(ev: &mut Evaluator<'_>, arg: &Node, grid: &Grid) -> Result<Value, EvalError> {
    let values = ev.scalar(arg, grid)?;
    let mut column = Column::absent(grid.count);
    for (step, value) in values.into_iter().enumerate() {
        column.set_float(step, value);
    }
    let labels = swell_model::Labels::empty();
    Ok(Value::Vector(vec![Series { labels, drop_name: false, column }]))
}

/// The text argument at `idx`, which must be UTF-8.
fn text_arg(args: &[Node], idx: usize) -> Result<&str, EvalError> {
    let node = &args[idx];
    let NodeKind::Text(bytes) = &node.kind else {
        return Err(EvalError::query(node.span, "expected a string literal"));
    };
    std::str::from_utf8(bytes).map_err(|_| {
        EvalError::query(
            node.span,
            format!("string {} is not UTF-8", swell_model::quote_bytes(bytes)),
        )
    })
}
