//! Aggregations of an instant selector at one step, folded as the storage hands the newest samples over by group: no
//! series is built. Only for operators whose result does not depend on the order of the samples.

use swell_model::{ExactSum, GroupedNewest};
use swell_promql_syntax::{AggregateOp, Boundary};

use super::fold::{greater, smaller};
use crate::error::EvalError;
use crate::eval::{Column, Evaluator, Grid, Held, Series};
use crate::plan::{AggregateNode, NodeKind};

/// Evaluates the aggregation if it is of that kind and the storage has its samples at hand.
pub(super) fn aggregate(
    ev: &mut Evaluator<'_>,
    node: &AggregateNode,
    grid: &Grid,
) -> Result<Option<Vec<Series>>, EvalError> {
    let NodeKind::Selector(selector) = &node.input.kind else { return Ok(None) };
    let fits = grid.count == 1 && selector.boundary == Boundary::Plain && does_not_order(node.op);
    if !fits {
        return Ok(None);
    }
    let range = ev.looked_back(selector, grid);
    let found = ev.source.newest_grouped(&selector.matchers, range, node.grouping())?;
    let Some(found) = found else {
        return Ok(None);
    };
    ev.budget.check_cancelled()?;
    ev.select_series(found.series_count)?;
    ev.tally.at(0, found.samples.len() as u64);
    ev.stats.samples_read += found.samples.len() as u64;
    ev.hold(Held::samples(found.samples.len()))?;
    ev.budget.check_columns(found.groups.len(), 1)?;
    let mut result = fold(node.op, &found);
    result.sort_by(|one, other| one.labels.cmp(&other.labels));
    ev.release(Held::samples(found.samples.len()));
    ev.hold(Held::all(&result))?;
    Ok(Some(result))
}

/// Whether the result is the same in whichever order the samples come.
pub(super) const fn does_not_order(op: AggregateOp) -> bool {
    matches!(
        op,
        AggregateOp::Sum
            | AggregateOp::Avg
            | AggregateOp::Count
            | AggregateOp::Group
            | AggregateOp::Min
            | AggregateOp::Max
    )
}

fn fold(op: AggregateOp, found: &GroupedNewest) -> Vec<Series> {
    let counts = folded(found, 0.0, |count, _| *count += 1.0);
    match op {
        AggregateOp::Sum | AggregateOp::Avg => {
            let sums = folded(found, ExactSum::default(), ExactSum::add);
            series(found, &counts, |group, count| match op {
                AggregateOp::Sum => sums[group].value(),
                _ => sums[group].mean(count),
            })
        }
        AggregateOp::Min | AggregateOp::Max => {
            let wins = if op == AggregateOp::Min { smaller } else { greater };
            let best = folded(found, f64::NAN, |best, value| {
                if wins(value, *best) {
                    *best = value;
                }
            });
            series(found, &counts, |group, _| best[group])
        }
        AggregateOp::Group => series(found, &counts, |_, _| 1.0),
        _ => series(found, &counts, |_, count| count),
    }
}

fn folded<T: Clone>(found: &GroupedNewest, start: T, take: impl Fn(&mut T, f64)) -> Vec<T> {
    let mut folded = vec![start; found.groups.len()];
    for (group, value) in &found.samples {
        take(&mut folded[*group as usize], *value);
    }
    folded
}

/// A series of one step for each group with samples.
fn series(found: &GroupedNewest, counts: &[f64], value: impl Fn(usize, f64) -> f64) -> Vec<Series> {
    let groups = found.groups.iter().zip(counts).enumerate();
    groups
        .filter(|(_, (_, count))| **count > 0.0)
        .map(|(idx, (labels, count))| Series {
            labels: labels.clone(),
            drop_name: false,
            column: Column::constant(value(idx, *count), 1),
        })
        .collect()
}
