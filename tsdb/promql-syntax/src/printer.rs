//! Prints expressions so that parsing the text gives the same tree again.

use std::fmt::{self, Display, Formatter, Write};

use swell_model::{DurationMs, METRIC_NAME, MatchOp, Matcher, quote, quote_bytes};

use crate::ast::{
    Aggregate, AtModifier, Binary, BinaryOp, Boundary, Cardinality, DurationExpr, DurationKind,
    Expr, ExprKind, NumberLiteral, Subquery, UnaryOp, VectorMatching, VectorSelector,
};
use crate::literal::format_float;

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Number(number) => write!(f, "{number}"),
            ExprKind::Text(text) => f.write_str(&quote_bytes(&text.bytes)),
            ExprKind::Vector(selector) => {
                print_series(f, selector)?;
                print_selector_modifiers(f, selector)
            }
            ExprKind::Matrix(matrix) => {
                print_series(f, &matrix.selector)?;
                write!(f, "[{}]", matrix.range)?;
                print_selector_modifiers(f, &matrix.selector)
            }
            ExprKind::Subquery(subquery) => print_subquery(f, subquery),
            ExprKind::Call(call) => {
                f.write_str(call.function.name)?;
                f.write_char('(')?;
                print_list(f, &call.args)?;
                f.write_char(')')
            }
            ExprKind::Aggregate(aggregate) => print_aggregate(f, aggregate),
            ExprKind::Binary(binary) => print_binary(f, binary),
            ExprKind::Unary(unary) => write!(f, "{}{}", unary.op.as_str(), unary.expr),
            ExprKind::Paren(inner) => write!(f, "({inner})"),
        }
    }
}

impl UnaryOp {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Plus => "+",
            Self::Minus => "-",
        }
    }
}

impl Display for NumberLiteral {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.is_duration {
            let millis = (self.value * 1000.0).round();
            #[expect(
                clippy::cast_possible_truncation,
                reason = "durations are parsed from i64 milliseconds"
            )]
            let text = DurationMs(millis as i64).to_string();
            return f.write_str(&text);
        }
        f.write_str(&format_float(self.value))
    }
}

impl Display for DurationExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            DurationKind::Number(number) => write!(f, "{number}"),
            DurationKind::Step => f.write_str("step()"),
            DurationKind::Range => f.write_str("range()"),
            DurationKind::Min(lhs, rhs) => write!(f, "min_of({lhs}, {rhs})"),
            DurationKind::Max(lhs, rhs) => write!(f, "max_of({lhs}, {rhs})"),
            DurationKind::Unary(op, operand) => write!(f, "{}{operand}", op.as_str()),
            DurationKind::Binary(op, lhs, rhs) => write!(f, "{lhs} {} {rhs}", op.as_str()),
            DurationKind::Paren(inner) => write!(f, "({inner})"),
        }
    }
}

fn print_list<T: Display>(f: &mut Formatter<'_>, items: &[T]) -> fmt::Result {
    for (idx, item) in items.iter().enumerate() {
        if idx > 0 {
            f.write_str(", ")?;
        }
        write!(f, "{item}")?;
    }
    Ok(())
}

/// Writes a label's name, in quotes where it is no plain one.
#[must_use]
pub fn format_label_name(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if plain { name.to_owned() } else { quote(name) }
}

fn print_labels(f: &mut Formatter<'_>, labels: &[String]) -> fmt::Result {
    f.write_char('(')?;
    print_list(f, &labels.iter().map(|label| format_label_name(label)).collect::<Vec<_>>())?;
    f.write_char(')')
}

/// Whether a metric's name can stand without quotes and is not taken for a number or keyword.
fn is_bare(name: &str) -> bool {
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == ':')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':');
    plain
        && crate::literal::parse_number(name).is_none()
        && !matches!(
            name.to_ascii_lowercase().as_str(),
            "bool"
                | "on"
                | "ignoring"
                | "group_left"
                | "group_right"
                | "atan2"
                | "and"
                | "or"
                | "unless"
        )
}

/// Name and matchers, without modifiers.
fn print_series(f: &mut Formatter<'_>, selector: &VectorSelector) -> fmt::Result {
    let name = selector.name.as_deref();
    let is_name = |matcher: &Matcher| {
        matcher.name == METRIC_NAME && matcher.op == MatchOp::Equal && name == Some(&matcher.value)
    };
    let mut name_skipped = false;
    let mut parts = Vec::new();
    match name {
        Some(name) if is_bare(name) => f.write_str(name)?,
        Some(name) => parts.push(quote(name)),
        None => {}
    }
    for matcher in &selector.matchers {
        if !name_skipped && is_name(matcher) {
            name_skipped = true;
            continue;
        }
        parts.push(format!(
            "{}{}{}",
            format_label_name(&matcher.name),
            matcher.op,
            quote(&matcher.value)
        ));
    }
    if parts.is_empty() && name.is_some() {
        return Ok(());
    }
    write!(f, "{{{}}}", parts.join(","))
}

fn print_selector_modifiers(f: &mut Formatter<'_>, selector: &VectorSelector) -> fmt::Result {
    match selector.boundary {
        Boundary::Plain => {}
        Boundary::Anchored => f.write_str(" anchored")?,
        Boundary::Smoothed => f.write_str(" smoothed")?,
    }
    print_time_modifiers(f, selector.at.as_ref(), selector.offset.as_ref())
}

fn print_time_modifiers(
    f: &mut Formatter<'_>,
    at: Option<&AtModifier>,
    offset: Option<&DurationExpr>,
) -> fmt::Result {
    match at {
        None => {}
        Some(AtModifier::Start) => f.write_str(" @ start()")?,
        Some(AtModifier::End) => f.write_str(" @ end()")?,
        Some(AtModifier::Timestamp(at)) => {
            let sign = if at.0 < 0 { "-" } else { "" };
            let size = at.0.unsigned_abs();
            write!(f, " @ {sign}{}.{:03}", size / 1000, size % 1000)?;
        }
    }
    match offset {
        None => Ok(()),
        Some(offset) => write!(f, " offset {offset}"),
    }
}

fn print_subquery(f: &mut Formatter<'_>, subquery: &Subquery) -> fmt::Result {
    write!(f, "{}", subquery.expr)?;
    print_brackets(f, subquery)
}

/// What stands behind the expression of a subquery.
pub(crate) fn print_brackets(f: &mut Formatter<'_>, subquery: &Subquery) -> fmt::Result {
    write!(f, "[{}:", subquery.range)?;
    if let Some(step) = &subquery.step {
        write!(f, "{step}")?;
    }
    f.write_char(']')?;
    print_time_modifiers(f, subquery.at.as_ref(), subquery.offset.as_ref())
}

fn print_aggregate(f: &mut Formatter<'_>, aggregate: &Aggregate) -> fmt::Result {
    print_aggregate_head(f, aggregate)?;
    f.write_char('(')?;
    if let Some(param) = &aggregate.param {
        write!(f, "{param}, ")?;
    }
    write!(f, "{})", aggregate.expr)
}

/// What stands before the operands.
pub(crate) fn print_aggregate_head(f: &mut Formatter<'_>, aggregate: &Aggregate) -> fmt::Result {
    f.write_str(aggregate.op.as_str())?;
    if aggregate.without || !aggregate.grouping.is_empty() {
        f.write_str(if aggregate.without { " without " } else { " by " })?;
        print_labels(f, &aggregate.grouping)?;
        f.write_char(' ')?;
    }
    Ok(())
}

fn print_binary(f: &mut Formatter<'_>, binary: &Binary) -> fmt::Result {
    match &binary.lhs.kind {
        // A sign binds weaker than `^`: the one of +Inf would take the whole power.
        ExprKind::Number(number) if binary.op == BinaryOp::Pow && number.value == f64::INFINITY => {
            f.write_str("Inf")?;
        }
        _ => write!(f, "{}", binary.lhs)?,
    }
    write!(f, " ")?;
    print_operator(f, binary)?;
    write!(f, " {}", binary.rhs)
}

/// The operator with its modifiers.
pub(crate) fn print_operator(f: &mut Formatter<'_>, binary: &Binary) -> fmt::Result {
    f.write_str(binary.op.as_str())?;
    if binary.return_bool {
        f.write_str(" bool")?;
    }
    match &binary.matching {
        Some(matching) => print_matching(f, matching),
        None => Ok(()),
    }
}

fn print_matching(f: &mut Formatter<'_>, matching: &VectorMatching) -> fmt::Result {
    let group = match matching.cardinality {
        Cardinality::ManyToOne => Some(" group_left "),
        Cardinality::OneToMany => Some(" group_right "),
        Cardinality::OneToOne | Cardinality::ManyToMany => None,
    };
    if matching.on || !matching.labels.is_empty() || group.is_some() {
        f.write_str(if matching.on { " on " } else { " ignoring " })?;
        print_labels(f, &matching.labels)?;
    }
    if let Some(group) = group {
        f.write_str(group)?;
        print_labels(f, &matching.include)?;
    }
    match (&matching.fill_left, &matching.fill_right) {
        (Some(left), Some(right)) if left == right => write!(f, " fill ({left})"),
        (left, right) => {
            if let Some(left) = left {
                write!(f, " fill_left ({left})")?;
            }
            if let Some(right) = right {
                write!(f, " fill_right ({right})")?;
            }
            Ok(())
        }
    }
}
