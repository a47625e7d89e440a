//! Duration expressions become milliseconds once the query's step and range are known.

use swell_promql_syntax::{BinaryOp, DurationExpr, DurationKind, UnaryOp};

use crate::error::EvalError;
use crate::params::{EvalParams, QueryKind};

/// What duration expressions and the constant functions may refer to, in seconds.
#[derive(Debug)]
pub(crate) struct DurationContext {
    start: f64,
    end: f64,
    step: f64,
    range: f64,
}

impl DurationContext {
    pub(crate) fn of(params: &EvalParams) -> Self {
        let step = match params.kind {
            QueryKind::Instant => 0.0,
            QueryKind::Range => params.step.as_seconds(),
        };
        Self {
            start: params.start.as_seconds(),
            end: params.end.as_seconds(),
            step,
            range: params.end.since(params.start).as_seconds(),
        }
    }

    /// Value of a function that is the same all over a query.
    pub(crate) fn query_constant(&self, function: &str) -> Option<f64> {
        match function {
            "start" => Some(self.start),
            "end" => Some(self.end),
            // As a function, not as a duration: a query of one step has no distance of steps.
            "step" if self.start == self.end => Some(0.0),
            "step" => Some(self.step),
            "range" => Some(self.range),
            _ => None,
        }
    }

    /// Milliseconds of an offset.
    pub(crate) fn signed(&self, expr: &DurationExpr) -> Result<i64, EvalError> {
        let millis = self.seconds(expr)? * 1000.0;
        // i64::MAX is no float; the largest float below it bounds what fits.
        #[expect(clippy::cast_precision_loss, reason = "the bounds need not be exact")]
        if !(millis > i64::MIN as f64 && millis < i64::MAX as f64) {
            return Err(fault(expr, "duration is out of range"));
        }
        // Rounding away what 0.1 and its like lose on the way, then cutting off as Prometheus does.
        let millis = if (millis - millis.round()).abs() < 1e-6 { millis.round() } else { millis };
        #[expect(clippy::cast_possible_truncation, reason = "checked just above")]
        Ok(millis as i64)
    }

    /// Milliseconds of a range or step.
    pub(crate) fn positive(&self, expr: &DurationExpr) -> Result<i64, EvalError> {
        match self.signed(expr)? {
            millis if millis > 0 => Ok(millis),
            _ => Err(fault(expr, "duration must be greater than 0")),
        }
    }

    fn seconds(&self, expr: &DurationExpr) -> Result<f64, EvalError> {
        Ok(match &expr.kind {
            DurationKind::Number(number) => number.value,
            DurationKind::Step => self.step,
            DurationKind::Range => self.range,
            DurationKind::Min(lhs, rhs) => self.seconds(lhs)?.min(self.seconds(rhs)?),
            DurationKind::Max(lhs, rhs) => self.seconds(lhs)?.max(self.seconds(rhs)?),
            DurationKind::Unary(UnaryOp::Plus, operand) => self.seconds(operand)?,
            DurationKind::Unary(UnaryOp::Minus, operand) => -self.seconds(operand)?,
            DurationKind::Paren(inner) => self.seconds(inner)?,
            DurationKind::Binary(op, lhs, rhs) => {
                let (left, right) = (self.seconds(lhs)?, self.seconds(rhs)?);
                match op {
                    BinaryOp::Add => left + right,
                    BinaryOp::Sub => left - right,
                    BinaryOp::Mul => left * right,
                    BinaryOp::Div if right == 0.0 => {
                        return Err(fault(expr, "division by zero"));
                    }
                    BinaryOp::Mod if right == 0.0 => {
                        return Err(fault(expr, "modulo by zero"));
                    }
                    BinaryOp::Div => left / right,
                    BinaryOp::Mod => left % right,
                    BinaryOp::Pow => left.powf(right),
                    _ => {
                        return Err(fault(
                            expr,
                            format!("operator {:?} is not for durations", op.as_str()),
                        ));
                    }
                }
            }
        })
    }
}

fn fault(expr: &DurationExpr, message: impl Into<String>) -> EvalError {
    EvalError::Duration { message: message.into(), span: expr.span }
}
