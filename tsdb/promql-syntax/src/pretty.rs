//! Expressions over several lines, for people: what is longer than a line is split, and its operands are indented.

use std::fmt::{self, Display, Formatter};

use crate::ast::{BinaryOp, Expr, ExprKind};
use crate::printer::{print_aggregate_head, print_brackets, print_operator};

/// Expressions up to this long stand on one line, as in Prometheus.
const LINE_CHARS_MAX: usize = 100;

/// Longer ones are left on one line: the length of each part is measured again for all it is part of.
const PRETTY_CHARS_MAX: usize = 20_000;

/// Shows an expression over as many lines as it needs; parsing them gives the same tree again.
#[derive(Clone, Copy, Debug)]
pub struct Pretty<'e>(pub &'e Expr);

impl Display for Pretty<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let line = self.0.to_string();
        if line.len() > PRETTY_CHARS_MAX {
            return f.write_str(&line);
        }
        Level { expr: self.0, depth: 0 }.fmt(f)
    }
}

/// An expression with the indentation of its first line.
struct Level<'e> {
    expr: &'e Expr,
    depth: usize,
}

impl Display for Level<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        indent(f, self.depth)?;
        self.behind_indent(f)
    }
}

impl<'e> Level<'e> {
    const fn operand(&self, expr: &'e Expr) -> Self {
        Self { expr, depth: self.depth + 1 }
    }

    /// All but the indentation of the first line.
    fn behind_indent(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let line = self.expr.to_string();
        if line.chars().count() <= LINE_CHARS_MAX {
            return f.write_str(&line);
        }
        match &self.expr.kind {
            ExprKind::Aggregate(aggregate) => {
                print_aggregate_head(f, aggregate)?;
                f.write_str("(\n")?;
                if let Some(param) = &aggregate.param {
                    writeln!(f, "{},", self.operand(param))?;
                }
                writeln!(f, "{}", self.operand(&aggregate.expr))?;
                self.close(f)
            }
            ExprKind::Call(call) => {
                writeln!(f, "{}(", call.function.name)?;
                for (idx, arg) in call.args.iter().enumerate() {
                    let comma = if idx + 1 < call.args.len() { "," } else { "" };
                    writeln!(f, "{}{comma}", self.operand(arg))?;
                }
                self.close(f)
            }
            // Its sign would take the whole power.
            ExprKind::Binary(binary)
                if binary.op == BinaryOp::Pow && matches!(binary.lhs.kind, ExprKind::Number(_)) =>
            {
                f.write_str(&line)
            }
            ExprKind::Binary(binary) => {
                // The first operand is indented more than the line it begins.
                f.write_str("  ")?;
                self.operand(&binary.lhs).behind_indent(f)?;
                f.write_str("\n")?;
                indent(f, self.depth)?;
                print_operator(f, binary)?;
                write!(f, "\n{}", self.operand(&binary.rhs))
            }
            ExprKind::Paren(inner) => {
                writeln!(f, "(\n{}", self.operand(inner))?;
                self.close(f)
            }
            ExprKind::Subquery(subquery) => {
                Self { expr: &subquery.expr, depth: self.depth }.behind_indent(f)?;
                print_brackets(f, subquery)
            }
            ExprKind::Unary(unary) => {
                f.write_str(unary.op.as_str())?;
                Self { expr: &unary.expr, depth: self.depth }.behind_indent(f)
            }
            ExprKind::Number(_) | ExprKind::Text(_) | ExprKind::Vector(_) | ExprKind::Matrix(_) => {
                f.write_str(&line)
            }
        }
    }

    fn close(&self, f: &mut Formatter<'_>) -> fmt::Result {
        indent(f, self.depth)?;
        f.write_str(")")
    }
}

fn indent(f: &mut Formatter<'_>, depth: usize) -> fmt::Result {
    (0..depth).try_for_each(|_| f.write_str("  "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    fn pretty(query: &str) -> String {
        let expr = parse(query).expect("valid");
        let shown = Pretty(&expr).to_string();
        let again = parse(&shown).expect("what is shown is an expression");
        assert_eq!(again.to_string(), expr.to_string());
        shown
    }

    #[test]
    fn what_fits_a_line_stands_on_one() {
        assert_eq!(pretty("sum( a )by( b )/2"), "sum by (b) (a) / 2");
        let name = "a".repeat(100);
        assert_eq!(pretty(&format!("sum({})", &name[5..])), format!("sum({})", &name[5..]));
        let long = format!("{name}{{b=\"c\"}} offset 5m");
        assert_eq!(pretty(&long), long, "a selector is not split");
    }

    #[test]
    fn what_does_not_is_split_at_its_operands() {
        let name = "a".repeat(40);
        let query = format!(
            "topk by (job) (5, rate({name}{{x=\"1\"}}[5m]) / on (b) group_left () -({name} + {name}{{y=\"2\"}} * 3))"
        );
        let expected = format!(
            "topk by (job) (
  5,
    rate({name}{{x=\"1\"}}[5m])
  / on (b) group_left ()
    -({name} + {name}{{y=\"2\"}} * 3)
)"
        );
        assert_eq!(pretty(&query), expected);
        let query = format!(
            "max_over_time(label_replace({name}, \"{name}\", \"{name}\", \"b\", \"c\")[1h:5m] @ end())"
        );
        let expected = format!(
            "max_over_time(
  label_replace(
    {name},
    \"{name}\",
    \"{name}\",
    \"b\",
    \"c\"
  )[1h:5m] @ end()
)"
        );
        assert_eq!(pretty(&query), expected);
        let query = format!("-({name} > bool {name} or {name})");
        let expected = format!(
            "-(
    {name} > bool {name}
  or
    {name}
)"
        );
        assert_eq!(pretty(&query), expected);
    }
}
