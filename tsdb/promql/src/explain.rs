//! How a query would be evaluated: its tree as planned, with what each part reads and how often it is evaluated.

use swell_model::{Matcher, TimeRange};
use swell_promql_syntax::Expr;

use crate::error::EvalError;
use crate::eval::{Grid, grid_of, instant_reach, reached, subquery_grid};
use crate::params::{Budget, EvalParams};
use crate::plan::{Node, NodeKind, WindowSource, plan};

/// Parts contain each other, so that whole texts would be many times the query.
pub const TEXT_CHARS_MAX: usize = 200;

/// One part of a query.
#[derive(Clone, Debug, PartialEq)]
pub struct Explained {
    /// What is done: `selector`, `range selector`, `subquery`, `call rate`, `aggregate sum`, `binary +`, …
    pub operation: String,
    /// The first [`TEXT_CHARS_MAX`] characters of where it stands in the query.
    pub text: String,
    /// Type of its value.
    pub value_type: &'static str,
    /// At how many steps it is evaluated: one where the value is the same at all.
    pub steps: usize,
    /// What it reads from storage, if anything.
    pub reads: Option<Read>,
    /// Its operands.
    pub operands: Vec<Self>,
}

/// What a selector reads.
#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    /// The matchers of its series.
    pub matchers: Vec<Matcher>,
    /// Times of its samples.
    pub range: TimeRange,
    /// Whether of histograms no more than count and sum are looked at.
    pub figures_only: bool,
}

/// Plans an expression, `query` being its text, and evaluates nothing.
///
/// # Errors
/// [`EvalError`]: what [`crate::evaluate`] would say before it reads anything.
pub fn explain(expr: &Expr, query: &str, params: &EvalParams) -> Result<Explained, EvalError> {
    // Whoever asks decides how many steps are too many: none of them is evaluated.
    let grid = grid_of(params, &Budget { steps_max: usize::MAX, ..Budget::default() })?;
    let node = plan(expr, params)?;
    let explainer = Explainer { query, lookback_ms: params.lookback.0 };
    Ok(explainer.node(&node, &grid))
}

struct Explainer<'a> {
    query: &'a str,
    lookback_ms: i64,
}

impl Explainer<'_> {
    fn node(&self, node: &Node, grid: &Grid) -> Explained {
        let first = grid.first_only();
        let grid = if node.invariant { &first } else { grid };
        let mut operands = Vec::new();
        let mut reads = None;
        let operation = match &node.kind {
            NodeKind::Number(_) => "number".to_owned(),
            NodeKind::Text(_) => "string".to_owned(),
            NodeKind::Selector(selector) => {
                reads = Some(Read {
                    matchers: selector.matchers.clone(),
                    range: instant_reach(selector, grid, self.lookback_ms),
                    figures_only: selector.figures_only,
                });
                "selector".to_owned()
            }
            NodeKind::Window(window) => {
                let range = reached(window, grid, self.lookback_ms);
                match &window.source {
                    WindowSource::Matchers { matchers, figures_only } => {
                        let (matchers, figures_only) = (matchers.clone(), *figures_only);
                        reads = Some(Read { matchers, range, figures_only });
                        "range selector".to_owned()
                    }
                    WindowSource::Subquery { node, step_ms } => {
                        let low = range.start_incl.0.saturating_sub(1);
                        let inner = subquery_grid(low, range.end_incl.0, *step_ms);
                        operands.push(self.node(node, &inner));
                        "subquery".to_owned()
                    }
                }
            }
            NodeKind::Call { function, args } => {
                operands.extend(args.iter().map(|arg| self.node(arg, grid)));
                // The second argument of info() says which labels are wanted: by itself nothing is read for it.
                if let ("info", Some(conditions)) = (function.name, operands.get_mut(1)) {
                    conditions.reads = None;
                }
                format!("call {}", function.name)
            }
            NodeKind::Aggregate(aggregate) => {
                operands.extend(aggregate.param.iter().map(|param| self.node(param, grid)));
                operands.push(self.node(&aggregate.input, grid));
                let by = match (aggregate.without, aggregate.grouping.join(", ")) {
                    (false, names) if names.is_empty() => String::new(),
                    (false, names) => format!(" by ({names})"),
                    (true, names) => format!(" without ({names})"),
                };
                format!("aggregate {}{by}", aggregate.op.as_str())
            }
            NodeKind::Binary(binary) => {
                operands.push(self.node(&binary.lhs, grid));
                operands.push(self.node(&binary.rhs, grid));
                format!("binary {}", binary.op.as_str())
            }
            NodeKind::Negate(operand) => {
                operands.push(self.node(operand, grid));
                "negate".to_owned()
            }
            NodeKind::Plus(operand) => {
                operands.push(self.node(operand, grid));
                "plus".to_owned()
            }
        };
        Explained {
            operation,
            text: node.span.text(self.query).chars().take(TEXT_CHARS_MAX).collect(),
            value_type: node.value_type.documented(),
            steps: grid.count,
            reads,
            operands,
        }
    }
}

#[cfg(test)]
mod tests {
    use swell_model::{DurationMs, TimestampMs};
    use swell_promql_syntax::parse;

    use super::*;

    /// One line for each part: depth, operation, steps, and seconds read.
    fn lines(part: &Explained, depth: usize, out: &mut Vec<String>) {
        let reads = part.reads.as_ref().map_or_else(String::new, |read| {
            let seconds = |at: TimestampMs| at.0 / 1000;
            format!(" {}..{}", seconds(read.range.start_incl), seconds(read.range.end_incl))
        });
        out.push(format!("{depth} {} ×{}{reads}", part.operation, part.steps));
        part.operands.iter().for_each(|operand| lines(operand, depth + 1, out));
    }

    fn check(query: &str, expected: &[&str]) {
        let expr = parse(query).expect("valid");
        let (start, end) = (TimestampMs(1_000_000), TimestampMs(1_600_000));
        let params = EvalParams::range(start, end, DurationMs::from_secs(60));
        let explained = explain(&expr, query, &params).expect("planned");
        assert_eq!(explained.text, query);
        let mut shown = Vec::new();
        lines(&explained, 0, &mut shown);
        assert_eq!(shown, expected, "{query}");
    }

    #[test]
    fn parts_say_what_they_read_and_how_often() {
        check("up", &["0 selector ×11 700..1600"]);
        check(
            "sum by (job) (rate(x[5m])) / 2",
            &[
                "0 binary / ×11",
                "1 aggregate sum by (job) ×11",
                "2 call rate ×11",
                "3 range selector ×11 700..1600",
                "1 number ×1",
            ],
        );
        check(
            "max_over_time(x[10m:2m]) > bool scalar(y @ 500)",
            &[
                "0 binary > ×11",
                "1 call max_over_time ×11",
                "2 subquery ×11",
                "3 selector ×10 180..1560",
                "1 call scalar ×1",
                "2 selector ×1 200..500",
            ],
        );
        check("-(up offset 1h)", &["0 negate ×11", "1 selector ×11 -2899..-2000"]);
    }

    #[test]
    fn what_could_not_be_evaluated_cannot_be_explained() {
        let expr = parse("mad_over_time(x[5m])").expect("valid");
        let at = EvalParams::instant(TimestampMs(0));
        let refused = explain(&expr, "mad_over_time(x[5m])", &at);
        assert!(matches!(refused, Err(EvalError::FeatureDisabled { .. })));
    }
}
