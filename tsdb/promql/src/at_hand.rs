//! Queries that take so little that handing them to another thread would take more.

use swell_model::{AtHand, Matcher, SeriesSource, TimeRange, Wanted};
use swell_promql_syntax::Expr;

use crate::error::EvalError;
use crate::eval::{Grid, evaluate_planned, grid_of, instant_reach, reached};
use crate::params::{Budget, EvalParams};
use crate::plan::{Node, NodeKind, Selector, Window, WindowSource, plan};
use crate::value::QueryOutput;

/// Functions that may take longer than their operands tell: they compile patterns, or read series of others.
const DEAR: [&str; 2] = ["info", "label_replace"];
/// Samples that are read in a microsecond, at one a second.
const SECONDS_READ: u64 = 64;
/// Labels that are looked at in a microsecond to find series, which is done twice.
const LABELS_LOOKED_AT: u64 = 8;
/// Samples held: where they are closer than one a second, a query goes where it may take its time.
const SAMPLES_MAX: usize = 50_000;
/// Steps of a series that are computed in a microsecond.
const STEPS_COMPUTED: u64 = 16;

/// Evaluates what reads nothing but memory and takes about `cost_max_us` microseconds at most, as far as can be told
/// beforehand; `None` where it may be more.
///
/// # Errors
/// As [`crate::evaluate`].
pub fn evaluate_at_hand(
    expr: &Expr,
    source: &dyn SeriesSource,
    params: &EvalParams,
    budget: &Budget,
    cost_max_us: u64,
) -> Option<Result<QueryOutput, EvalError>> {
    let grid = grid_of(params, budget).ok()?;
    // What is wrong with a query is told where it would be evaluated.
    let node = plan(expr, params).ok()?;
    let mut estimate = Estimate { source, lookback_ms: params.lookback.0, cost_us: 0, cost_max_us };
    estimate.node(&node, &grid)?;
    let tight = Budget { samples_max: budget.samples_max.min(SAMPLES_MAX), ..budget.clone() };
    match evaluate_planned(&node, &grid, source, params, &tight) {
        Err(EvalError::TooManySamples { .. }) => None,
        outcome => Some(outcome),
    }
}

/// What a query takes, as it is added up.
struct Estimate<'a> {
    source: &'a dyn SeriesSource,
    lookback_ms: i64,
    cost_us: u64,
    cost_max_us: u64,
}

impl Estimate<'_> {
    /// Series that a node has at most.
    fn node(&mut self, node: &Node, grid: &Grid) -> Option<u64> {
        let first = grid.first_only();
        let grid = if node.invariant { &first } else { grid };
        let series = match &node.kind {
            NodeKind::Number(_) | NodeKind::Text(_) => 1,
            NodeKind::Selector(selector) => self.selector(selector, grid)?,
            NodeKind::Window(window) => self.window(window, grid)?,
            NodeKind::Call { function, args } => {
                if DEAR.contains(&function.name) {
                    return None;
                }
                args.iter().try_fold(1, |most, arg| Some(self.node(arg, grid)?.max(most)))?
            }
            NodeKind::Aggregate(aggregate) => {
                if let Some(param) = &aggregate.param {
                    self.node(param, grid)?;
                }
                self.node(&aggregate.input, grid)?
            }
            NodeKind::Binary(binary) => {
                let lhs = self.node(&binary.lhs, grid)?;
                // Both sides of `or`.
                lhs.saturating_add(self.node(&binary.rhs, grid)?)
            }
            NodeKind::Negate(operand) | NodeKind::Plus(operand) => self.node(operand, grid)?,
        };
        self.add(series, 1 + grid.count as u64 / STEPS_COMPUTED)?;
        Some(series)
    }

    fn selector(&mut self, selector: &Selector, grid: &Grid) -> Option<u64> {
        let range = instant_reach(selector, grid, self.lookback_ms);
        let series = self.found(&selector.matchers, range)?;
        // At one step no more than the newest sample is read.
        let read_ms = if grid.count == 1 { 0 } else { range.end_incl.since(range.start_incl).0 };
        self.add(series, seconds(read_ms) / SECONDS_READ)?;
        Some(series)
    }

    fn window(&mut self, window: &Window, grid: &Grid) -> Option<u64> {
        let WindowSource::Matchers { matchers, .. } = &window.source else { return None };
        let range = reached(window, grid, self.lookback_ms);
        let series = self.found(matchers, range)?;
        let read_s = seconds(range.end_incl.since(range.start_incl).0);
        // Some functions look at each sample of a window again at each step.
        let again_s = seconds(window.range_ms).saturating_mul(grid.count as u64) / STEPS_COMPUTED;
        self.add(series, read_s.saturating_add(again_s) / SECONDS_READ)?;
        Some(series)
    }

    /// Series of a selection, at least one.
    fn found(&mut self, matchers: &[Matcher], range: TimeRange) -> Option<u64> {
        let AtHand { found, looked_at } = self.source.at_hand(Wanted::Samples, matchers, range)?;
        self.add(1, looked_at as u64 / LABELS_LOOKED_AT)?;
        Some(found.max(1) as u64)
    }

    /// Adds what each of some series takes.
    fn add(&mut self, series: u64, each_us: u64) -> Option<()> {
        self.cost_us = self.cost_us.saturating_add(series.saturating_mul(each_us));
        (self.cost_us <= self.cost_max_us).then_some(())
    }
}

fn seconds(ms: i64) -> u64 {
    u64::try_from(ms / 1000).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use swell_model::{DurationMs, LabelsIter, SelectError, SelectHints, SeriesIter, TimestampMs};
    use swell_promql_syntax::parse;

    use super::*;

    /// So many series of each selection are in memory from a time on; they have no samples.
    struct Counted(usize);

    const MEMORY_FROM: TimestampMs = TimestampMs(100_000_000);

    impl SeriesSource for Counted {
        fn select<'a>(
            &'a self,
            _: &[Matcher],
            _: &SelectHints,
        ) -> Result<SeriesIter<'a>, SelectError> {
            Ok(Box::new(std::iter::empty()))
        }

        fn at_hand(&self, _: Wanted<'_>, _: &[Matcher], range: TimeRange) -> Option<AtHand> {
            let at_hand = AtHand { found: self.0, looked_at: 0 };
            (range.start_incl >= MEMORY_FROM).then_some(at_hand)
        }

        fn label_names(&self, _: &[Matcher], _: TimeRange) -> Result<LabelsIter, SelectError> {
            Ok(Vec::new())
        }

        fn label_values(
            &self,
            _: &str,
            _: &[Matcher],
            _: TimeRange,
        ) -> Result<LabelsIter, SelectError> {
            Ok(Vec::new())
        }
    }

    /// Whether it is evaluated: an hour behind the first time in memory, for each 15 seconds of an hour where `is_range`.
    fn is_at_hand(query: &str, series: usize, is_range: bool) -> bool {
        let end = TimestampMs(MEMORY_FROM.0 + 7_200_000);
        let params = if is_range {
            EvalParams::range(end - DurationMs(3_600_000), end, DurationMs(15_000))
        } else {
            EvalParams::instant(end)
        };
        let expr = parse(query).expect("valid");
        let (source, budget) = (Counted(series), Budget::default());
        match evaluate_at_hand(&expr, &source, &params, &budget, 500) {
            None => false,
            Some(output) => {
                output.expect("evaluated");
                true
            }
        }
    }

    #[test]
    fn what_takes_little_is_evaluated() {
        for (query, series, is_range) in [
            ("1", 0, false),
            ("1 + 2 * 3", 0, true),
            ("up", 400, false),
            ("avg(up)", 200, false),
            ("sum(rate(up[1m]))", 100, false),
            ("up", 1, true),
            ("rate(up[1m])", 4, true),
            ("up / on (job) down", 100, false),
            ("topk(3, up)", 100, false),
        ] {
            assert!(is_at_hand(query, series, is_range), "{query} of {series} series");
        }
    }

    #[test]
    fn what_may_take_long_is_not() {
        for (query, series, is_range) in [
            // Many series, many steps, long windows, and those looked at again and again.
            ("up", 501, false),
            ("-(-(-up))", 200, false),
            ("up", 10, true),
            ("max_over_time(up[1h])", 20, false),
            ("quantile_over_time(0.5, up[50m])", 1, true),
            // Other times than those in memory.
            ("up offset 3h", 1, false),
            ("rate(up[3h])", 1, false),
            ("up @ 5", 1, true),
            ("up or (down offset 1d)", 1, false),
            // Evaluated again and again, patterns that are compiled, series that no selector names.
            ("max_over_time(up[5m:1s])", 1, false),
            (r#"label_replace(up, "a", "$1", "b", "(.*)")"#, 1, false),
            ("info(up)", 1, false),
        ] {
            assert!(!is_at_hand(query, series, is_range), "{query} of {series} series");
        }
    }
}
