//! The ways a strict run evaluates an instant query again: pinned to its time with `@` and evaluated at other times,
//! and as the middle step of a range query.

use swell_model::TimestampMs;
use swell_promql_syntax::{AtModifier, DurationExpr, DurationKind, Expr, ExprKind};

/// Functions whose value may change with the evaluation time although all selectors are pinned.
const UNSAFE: [&str; 15] = [
    "time",
    "timestamp",
    "start",
    "end",
    "step",
    "range",
    "minute",
    "hour",
    "day_of_week",
    "day_of_month",
    "day_of_year",
    "days_in_month",
    "month",
    "year",
    "predict_linear",
];

/// Whether the query gives the same at any time once its selectors are pinned.
pub(super) fn can_be_pinned(expr: &Expr) -> bool {
    let mut safe = true;
    expr.walk(&mut |node| {
        if let ExprKind::Call(call) = &node.kind {
            safe &= !UNSAFE.contains(&call.function.name);
        }
    });
    safe
}

/// Whether the query refers to its own first or last step, distance of steps or range.
pub(super) fn refers_to_range(expr: &Expr) -> bool {
    let mut refers = false;
    let at = |at: Option<AtModifier>| matches!(at, Some(AtModifier::Start | AtModifier::End));
    expr.walk(&mut |node| match &node.kind {
        ExprKind::Call(call) => {
            refers |= matches!(call.function.name, "start" | "end" | "step" | "range");
        }
        ExprKind::Vector(selector) => {
            refers |= at(selector.at) || selector.offset.as_ref().is_some_and(in_duration);
        }
        ExprKind::Matrix(matrix) => {
            let selector = &matrix.selector;
            refers |= at(selector.at)
                || in_duration(&matrix.range)
                || selector.offset.as_ref().is_some_and(in_duration);
        }
        ExprKind::Subquery(subquery) => {
            let durations =
                [Some(&subquery.range), subquery.step.as_ref(), subquery.offset.as_ref()];
            refers |= at(subquery.at) || durations.into_iter().flatten().any(in_duration);
        }
        _ => {}
    });
    refers
}

fn in_duration(expr: &DurationExpr) -> bool {
    match &expr.kind {
        DurationKind::Number(_) => false,
        DurationKind::Step | DurationKind::Range => true,
        DurationKind::Min(a, b) | DurationKind::Max(a, b) | DurationKind::Binary(_, a, b) => {
            in_duration(a) || in_duration(b)
        }
        DurationKind::Unary(_, inner) | DurationKind::Paren(inner) => in_duration(inner),
    }
}

/// Puts `@ at` on every selector and outermost subquery that has none.
pub(super) fn pin(expr: &mut Expr, at: TimestampMs) {
    let fixed = Some(AtModifier::Timestamp(at));
    match &mut expr.kind {
        ExprKind::Vector(selector) => selector.at = selector.at.or(fixed),
        ExprKind::Matrix(matrix) => matrix.selector.at = matrix.selector.at.or(fixed),
        ExprKind::Subquery(subquery) => subquery.at = subquery.at.or(fixed),
        _ => {
            for child in expr.children_mut() {
                pin(child, at);
            }
        }
    }
}

/// The times at which a pinned query is evaluated.
pub(super) fn other_times(at: TimestampMs) -> Vec<TimestampMs> {
    if at.0 == 0 {
        return [-1000, 0, 1000].map(TimestampMs).to_vec();
    }
    [-10 * at.0, 0, at.0 / 5, at.0, 10 * at.0].map(TimestampMs).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_outermost_subqueries_are_pinned() {
        let mut expr = swell_promql_syntax::parse("rate(sum(a)[5m:1m]) + b @ 7 + c[1m:] offset 5m")
            .or_else(|_| swell_promql_syntax::parse("rate(sum(a)[5m:1m]) + b @ 7 + c"))
            .expect("query parses");
        pin(&mut expr, TimestampMs(60_000));
        assert_eq!(expr.to_string(), "rate(sum(a)[5m:1m] @ 60.000) + b @ 7.000 + c @ 60.000");
    }
}
