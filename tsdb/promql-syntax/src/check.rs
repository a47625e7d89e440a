//! Types: which expressions may stand where.

use crate::ast::{Binary, Call, Expr, ExprKind, UnaryOp, ValueType};
use crate::error::ParseError;

/// Checks the whole tree.
pub(crate) fn check(query: &str, root: &Expr) -> Result<(), ParseError> {
    let mut fault = None;
    root.walk(&mut |expr| {
        if fault.is_none() {
            fault = check_node(query, expr).err();
        }
    });
    match fault {
        Some(fault) => Err(fault),
        None => Ok(()),
    }
}

fn check_node(query: &str, expr: &Expr) -> Result<(), ParseError> {
    match &expr.kind {
        ExprKind::Number(_)
        | ExprKind::Text(_)
        | ExprKind::Vector(_)
        | ExprKind::Matrix(_)
        | ExprKind::Paren(_) => Ok(()),
        ExprKind::Subquery(subquery) => {
            let got = subquery.expr.value_type();
            if got == ValueType::Vector {
                return Ok(());
            }
            let message = format!(
                "subquery is only allowed on instant vector, got {} instead",
                got.documented()
            );
            Err(ParseError::new(query, expr.span, message))
        }
        ExprKind::Call(call) => check_call(query, expr, call),
        ExprKind::Aggregate(aggregate) => {
            if let (Some(wanted), Some(param)) = (aggregate.op.param_type(), &aggregate.param) {
                expect(query, param, wanted, "aggregation parameter")?;
            }
            expect(query, &aggregate.expr, ValueType::Vector, "aggregation expression")
        }
        ExprKind::Binary(binary) => check_binary(query, expr, binary),
        ExprKind::Unary(unary) => match unary.expr.value_type() {
            ValueType::Scalar | ValueType::Vector => Ok(()),
            got => {
                debug_assert!(matches!(unary.op, UnaryOp::Plus | UnaryOp::Minus));
                let message = format!(
                    "unary expression only allowed on expressions of type scalar or instant vector, got \"{}\"",
                    got.documented()
                );
                Err(ParseError::new(query, expr.span, message))
            }
        },
    }
}

fn expect(query: &str, expr: &Expr, wanted: ValueType, context: &str) -> Result<(), ParseError> {
    let got = expr.value_type();
    if got == wanted {
        return Ok(());
    }
    let message =
        format!("expected type {} in {context}, got {}", wanted.documented(), got.documented());
    Err(ParseError::new(query, expr.span, message))
}

fn check_call(query: &str, expr: &Expr, call: &Call) -> Result<(), ParseError> {
    let function = call.function;
    let (least, most, got) = (function.args_min(), function.args_max(), call.args.len());
    let bound = if most == Some(least) && got != least {
        Some(("", least))
    } else if got < least {
        Some(("at least ", least))
    } else {
        most.filter(|most| got > *most).map(|most| ("at most ", most))
    };
    if let Some((kind, count)) = bound {
        let message = format!(
            "expected {kind}{count} argument(s) in call to \"{}\", got {got}",
            function.name
        );
        return Err(ParseError::new(query, expr.span, message));
    }
    if function.name == "info"
        && let Some(selector) = call.args.get(1)
    {
        check_label_selector(query, expr, selector)?;
    }
    for (idx, arg) in call.args.iter().enumerate() {
        if let Some(wanted) = function.arg_type(idx) {
            expect(query, arg, wanted, &format!("call to function \"{}\"", function.name))?;
        }
    }
    Ok(())
}

/// The second argument of `info()` is conditions in braces, without a metric's name before them.
fn check_label_selector(query: &str, call: &Expr, selector: &Expr) -> Result<(), ParseError> {
    let got = selector.value_type();
    if got != ValueType::Vector {
        let message = format!(
            "expected type {} in call to function \"info\", got {}",
            ValueType::Vector.documented(),
            got.documented()
        );
        return Err(ParseError::new(query, call.span, message));
    }
    let message = match &selector.kind {
        ExprKind::Vector(selector) if selector.name.is_none() => return Ok(()),
        ExprKind::Vector(_) => "expected label selectors only, got vector selector instead",
        _ => "expected label selectors only",
    };
    Err(ParseError::new(query, selector.span, message))
}

fn check_binary(query: &str, expr: &Expr, binary: &Binary) -> Result<(), ParseError> {
    let fault = |message: String| Err(ParseError::new(query, expr.span, message));
    let (left, right) = (binary.lhs.value_type(), binary.rhs.value_type());
    for (side, got) in [(&binary.lhs, left), (&binary.rhs, right)] {
        if !matches!(got, ValueType::Scalar | ValueType::Vector) {
            let message = "binary expression must contain only scalar and instant vector types";
            return Err(ParseError::new(query, side.span, message));
        }
    }
    let scalars = left == ValueType::Scalar && right == ValueType::Scalar;
    if scalars && binary.op.is_comparison() && !binary.return_bool {
        return fault("comparisons between scalars must use BOOL modifier".to_owned());
    }
    if binary.op.is_set() && (left == ValueType::Scalar || right == ValueType::Scalar) {
        return fault(format!(
            "set operator \"{}\" not allowed in binary scalar expression",
            binary.op.as_str()
        ));
    }
    Ok(())
}
