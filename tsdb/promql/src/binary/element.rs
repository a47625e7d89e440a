//! One operator applied to one pair of values.

use swell_model::{CounterResetHint, Keep, NativeHistogram};
use swell_promql_syntax::{BinaryOp, Span};

use super::histogram;
use crate::annotations::Annotations;
use crate::eval::{Point, PointRef};

/// A result, and whether a comparison held (always true for other operators).
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) value: Point,
    pub(crate) keep: bool,
}

/// Two floats: the result, and whether a comparison held.
pub(crate) type FloatFunction = fn(f64, f64) -> (f64, bool);

/// The operator on two floats; `None` for those that floats do not have.
pub(crate) fn float_function(op: BinaryOp) -> Option<FloatFunction> {
    Some(match op {
        BinaryOp::Add => |a, b| (a + b, true),
        BinaryOp::Sub => |a, b| (a - b, true),
        BinaryOp::Mul => |a, b| (a * b, true),
        BinaryOp::Div => |a, b| (a / b, true),
        BinaryOp::Mod => |a, b| (a % b, true),
        BinaryOp::Pow => |a, b| (a.powf(b), true),
        BinaryOp::Atan2 => |a, b| (a.atan2(b), true),
        BinaryOp::Equal => |a, b| (a, a == b),
        BinaryOp::NotEqual => |a, b| (a, a != b),
        BinaryOp::Less => |a, b| (a, a < b),
        BinaryOp::LessEqual => |a, b| (a, a <= b),
        BinaryOp::Greater => |a, b| (a, a > b),
        BinaryOp::GreaterEqual => |a, b| (a, a >= b),
        BinaryOp::And
        | BinaryOp::Or
        | BinaryOp::Unless
        | BinaryOp::TrimLower
        | BinaryOp::TrimUpper => return None,
    })
}

/// Two values; `None` when the operator has no meaning for their types, which is remarked on.
pub(super) fn combine(
    annotations: &mut Annotations,
    span: Span,
    op: BinaryOp,
    lhs: PointRef<'_>,
    rhs: PointRef<'_>,
) -> Option<Outcome> {
    let outcome = match (lhs, rhs) {
        (PointRef::Float(lhs), PointRef::Float(rhs)) => float_function(op).map(|function| {
            let (value, keep) = function(lhs, rhs);
            Outcome { value: Point::Float(value), keep }
        }),
        (PointRef::Float(lhs), PointRef::Histogram(rhs)) => {
            (op == BinaryOp::Mul).then(|| kept(rhs.scaled(lhs).compacted()))
        }
        (PointRef::Histogram(lhs), PointRef::Float(rhs)) => match op {
            BinaryOp::Mul => Some(kept(lhs.scaled(rhs).compacted())),
            BinaryOp::Div => Some(kept(lhs.divided(rhs).compacted())),
            BinaryOp::TrimUpper => Some(kept(lhs.trimmed(rhs, Keep::Below))),
            BinaryOp::TrimLower => Some(kept(lhs.trimmed(rhs, Keep::Above))),
            _ => None,
        },
        (PointRef::Histogram(lhs), PointRef::Histogram(rhs)) => match op {
            BinaryOp::Add | BinaryOp::Sub => return histograms(annotations, span, op, lhs, rhs),
            BinaryOp::Equal | BinaryOp::NotEqual => {
                let same = lhs.same_data(rhs);
                let keep = same == (op == BinaryOp::Equal);
                Some(Outcome { value: Point::Histogram(lhs.clone()), keep })
            }
            _ => None,
        },
    };
    if outcome.is_none() {
        let kind = |point: &PointRef<'_>| match point {
            PointRef::Float(_) => "float",
            PointRef::Histogram(_) => "histogram",
        };
        let op = op.as_str();
        let text = format!(
            "incompatible sample types encountered for binary operator {op:?}: {} {op} {}",
            kind(&lhs),
            kind(&rhs)
        );
        annotations.info(span, text);
    }
    outcome
}

fn kept(value: NativeHistogram) -> Outcome {
    Outcome { value: histogram(value), keep: true }
}

/// The sum or difference of two histograms.
fn histograms(
    annotations: &mut Annotations,
    span: Span,
    op: BinaryOp,
    lhs: &NativeHistogram,
    rhs: &NativeHistogram,
) -> Option<Outcome> {
    let (result, operation) = match op {
        BinaryOp::Add => (lhs.added(rhs), "addition"),
        _ => (lhs.subtracted(rhs), "subtraction"),
    };
    let Ok((mut value, notes)) = result else {
        let text =
            format!("incompatible bucket layout encountered for binary operator {}", op.as_str());
        annotations.warn(span, text);
        return None;
    };
    if op == BinaryOp::Sub {
        value.reset_hint = CounterResetHint::Gauge;
    }
    if notes.reset_collision {
        let text = format!("conflicting counter resets during histogram {operation}");
        annotations.warn(span, text);
    }
    if notes.bounds_reconciled {
        let text = format!("mismatched custom buckets were reconciled during {operation}");
        annotations.info(span, text);
    }
    Some(kept(value))
}
