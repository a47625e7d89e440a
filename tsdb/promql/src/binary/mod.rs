//! Binary operations: between scalars, between a vector and a scalar, between vectors.

mod element;
mod matching;
mod pairs;
mod set;

use std::sync::Arc;

use swell_promql_syntax::BinaryOp;

use crate::error::EvalError;
use crate::eval::{Column, Evaluator, Grid, Held, PointRef, Series, Value, merge_same_labels};
use crate::plan::{BinaryNode, Node};
use element::combine;
pub(crate) use element::{FloatFunction, float_function};

/// Evaluates a binary operation at all steps.
pub(crate) fn binary(
    ev: &mut Evaluator<'_>,
    node: &Node,
    operation: &BinaryNode,
    grid: &Grid,
) -> Result<Value, EvalError> {
    let lhs = ev.eval(&operation.lhs, grid)?;
    let rhs = ev.eval(&operation.rhs, grid)?;
    match (lhs, rhs) {
        (Value::Scalar(lhs), Value::Scalar(rhs)) => Ok(Value::Scalar(
            lhs.into_iter().zip(rhs).map(|(a, b)| scalars(operation.op, a, b)).collect(),
        )),
        (Value::Vector(lhs), Value::Scalar(rhs)) => {
            vector_scalar(ev, node, operation, lhs, &rhs, false).map(Value::Vector)
        }
        (Value::Scalar(lhs), Value::Vector(rhs)) => {
            vector_scalar(ev, node, operation, rhs, &lhs, true).map(Value::Vector)
        }
        (Value::Vector(lhs), Value::Vector(rhs)) => {
            let held = Held::all(&lhs) + Held::all(&rhs);
            let matching = operation.matching.clone().unwrap_or_default();
            let result = if operation.op.is_set() {
                set::set_operation(operation.op, &matching, lhs, rhs, grid)
            } else {
                matching::vectors(ev, node, operation, &matching, &lhs, &rhs, grid)?
            };
            ev.release(held);
            ev.hold(Held::all(&result))?;
            merge_same_labels(result, node).map(Value::Vector)
        }
        _ => Err(EvalError::query(node.span, "strings have no binary operators")),
    }
}

fn scalars(op: BinaryOp, lhs: f64, rhs: f64) -> f64 {
    match float_function(op).map(|function| function(lhs, rhs)) {
        Some((value, _)) if !op.is_comparison() => value,
        Some((_, true)) => 1.0,
        Some((_, false)) => 0.0,
        None => f64::NAN,
    }
}

/// Applies an operator to each sample of a vector and the step's scalar.
fn vector_scalar(
    ev: &mut Evaluator<'_>,
    node: &Node,
    operation: &BinaryNode,
    mut series: Vec<Series>,
    scalar: &[f64],
    scalar_left: bool,
) -> Result<Vec<Series>, EvalError> {
    let op = operation.op;
    let nameless = changes_meaning(op) || operation.return_bool;
    let arithmetic = float_function(op).filter(|_| !op.is_comparison());
    for one in &mut series {
        let mut column = Column::absent(one.column.len());
        for (step, scalar) in scalar.iter().enumerate() {
            let Some(point) = one.column.get(step) else { continue };
            if let (PointRef::Float(value), Some(function)) = (point, arithmetic) {
                let (lhs, rhs) = if scalar_left { (*scalar, value) } else { (value, *scalar) };
                column.set_float(step, function(lhs, rhs).0);
                continue;
            }
            let scalar = PointRef::Float(*scalar);
            let (lhs, rhs) = if scalar_left { (scalar, point) } else { (point, scalar) };
            let Some(outcome) = combine(&mut ev.annotations, node.span, op, lhs, rhs) else {
                continue;
            };
            if operation.return_bool {
                column.set_float(step, if outcome.keep { 1.0 } else { 0.0 });
            } else if outcome.keep {
                // A comparison keeps the vector's value, also when the scalar stands on the left.
                let value = if op.is_comparison() { point.to_owned() } else { outcome.value };
                column.set(step, value);
            }
        }
        one.column = column;
    }
    series.retain(|one| !one.column.is_empty());
    if nameless { ev.nameless(series, node) } else { Ok(series) }
}

/// Whether the result is something else than the samples it is computed from, so that their name does not fit it.
fn changes_meaning(op: BinaryOp) -> bool {
    matches!(
        op,
        BinaryOp::Add
            | BinaryOp::Sub
            | BinaryOp::Mul
            | BinaryOp::Div
            | BinaryOp::Mod
            | BinaryOp::Pow
            | BinaryOp::Atan2
    )
}

/// A histogram as a value.
fn histogram(value: swell_model::NativeHistogram) -> crate::eval::Point {
    crate::eval::Point::Histogram(Arc::new(value))
}
