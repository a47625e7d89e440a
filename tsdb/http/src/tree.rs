//! The tree of a query as JSON: `/parse_query`, in the shape that Prometheus' own front end reads.

use serde_json::{Value, json};
use swell_model::Matcher;
use swell_promql_syntax::{
    AtModifier, Boundary, Cardinality, DurationExpr, DurationKind, Expr, ExprKind, Function,
    UnaryOp, ValueType, Variadic, VectorMatching, VectorSelector,
};

/// The tree below an expression.
pub(crate) fn json_of(expr: &Expr) -> Value {
    match &expr.kind {
        ExprKind::Number(number) => json!({"type": "numberLiteral", "val": plain(number.value)}),
        ExprKind::Text(text) => json!({"type": "stringLiteral", "val": text.to_string_lossy()}),
        ExprKind::Vector(selector) => selected("vectorSelector", selector),
        ExprKind::Matrix(matrix) => {
            let mut node = selected("matrixSelector", &matrix.selector);
            node["range"] = json!(millis(&matrix.range));
            node
        }
        ExprKind::Subquery(subquery) => json!({
            "type": "subquery",
            "expr": json_of(&subquery.expr),
            "range": millis(&subquery.range),
            "offset": subquery.offset.as_ref().map_or(0, millis),
            "step": subquery.step.as_ref().map_or(0, millis),
            "timestamp": fixed_ms(subquery.at),
            "startOrEnd": start_or_end(subquery.at),
        }),
        ExprKind::Call(call) => json!({
            "type": "call",
            "func": signature(call.function),
            "args": call.args.iter().map(json_of).collect::<Vec<_>>(),
        }),
        ExprKind::Aggregate(aggregate) => json!({
            "type": "aggregation",
            "op": aggregate.op.as_str(),
            "expr": json_of(&aggregate.expr),
            "param": aggregate.param.as_ref().map(json_of),
            "grouping": aggregate.grouping,
            "without": aggregate.without,
        }),
        ExprKind::Binary(binary) => json!({
            "type": "binaryExpr",
            "op": binary.op.as_str(),
            "lhs": json_of(&binary.lhs),
            "rhs": json_of(&binary.rhs),
            "matching": binary.matching.as_ref().map(matching),
            "bool": binary.return_bool,
        }),
        ExprKind::Unary(unary) => json!({
            "type": "unaryExpr",
            "op": match unary.op { UnaryOp::Plus => "+", UnaryOp::Minus => "-" },
            "expr": json_of(&unary.expr),
        }),
        ExprKind::Paren(inner) => json!({"type": "parenExpr", "expr": json_of(inner)}),
    }
}

fn selected(kind: &str, selector: &VectorSelector) -> Value {
    json!({
        "type": kind,
        "name": selector.name.as_deref().unwrap_or(""),
        "offset": selector.offset.as_ref().map_or(0, millis),
        "matchers": selector.matchers.iter().map(matcher).collect::<Vec<_>>(),
        "timestamp": fixed_ms(selector.at),
        "startOrEnd": start_or_end(selector.at),
        "anchored": selector.boundary == Boundary::Anchored,
        "smoothed": selector.boundary == Boundary::Smoothed,
    })
}

fn matcher(matcher: &Matcher) -> Value {
    json!({"name": matcher.name, "value": matcher.value, "type": matcher.op.to_string()})
}

fn matching(matching: &VectorMatching) -> Value {
    let card = match matching.cardinality {
        Cardinality::OneToOne => "one-to-one",
        Cardinality::ManyToOne => "many-to-one",
        Cardinality::OneToMany => "one-to-many",
        Cardinality::ManyToMany => "many-to-many",
    };
    json!({
        "card": card,
        "labels": matching.labels,
        "on": matching.on,
        "include": matching.include,
        "fillValues": {
            "lhs": matching.fill_left.map(|fill| fill.value),
            "rhs": matching.fill_right.map(|fill| fill.value),
        },
    })
}

fn signature(function: &Function) -> Value {
    json!({
        "name": function.name,
        "argTypes": function.args.iter().copied().map(type_name).collect::<Vec<_>>(),
        "variadic": match function.variadic {
            Variadic::No => 0,
            Variadic::Optional(count) | Variadic::Repeated(count) => {
                i64::try_from(count).unwrap_or(i64::MAX)
            }
            Variadic::Any => -1,
        },
        "returnType": type_name(function.returns),
    })
}

const fn type_name(kind: ValueType) -> &'static str {
    match kind {
        ValueType::Scalar => "scalar",
        ValueType::Vector => "vector",
        ValueType::Matrix => "matrix",
        ValueType::Text => "string",
    }
}

const fn fixed_ms(at: Option<AtModifier>) -> Option<i64> {
    match at {
        Some(AtModifier::Timestamp(at)) => Some(at.0),
        _ => None,
    }
}

const fn start_or_end(at: Option<AtModifier>) -> Option<&'static str> {
    match at {
        Some(AtModifier::Start) => Some("start"),
        Some(AtModifier::End) => Some("end"),
        _ => None,
    }
}

/// Milliseconds of a duration; 0 for one that is computed for each query, as Prometheus shows it.
#[expect(clippy::cast_possible_truncation, reason = "the parser bounds durations")]
fn millis(duration: &DurationExpr) -> i64 {
    match &duration.kind {
        DurationKind::Number(number) => (number.value * 1000.0).round() as i64,
        DurationKind::Unary(UnaryOp::Minus, inner) => -millis(inner),
        DurationKind::Unary(UnaryOp::Plus, inner) | DurationKind::Paren(inner) => millis(inner),
        _ => 0,
    }
}

/// Without an exponent, however long that is.
fn plain(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() };
    }
    value.to_string()
}
