//! Aggregations. Series are grouped once; the operators then run column by column.

mod count_values;
mod fold;
mod pick;

use rustc_hash::FxHashMap;
use swell_model::{Labels, METRIC_NAME};
use swell_promql_syntax::AggregateOp;

use crate::error::EvalError;
use crate::eval::{Evaluator, Grid, Series, Value};
use crate::plan::AggregateNode;

/// A group of series.
#[derive(Debug)]
struct Group {
    labels: Labels,
    /// Whether any member's name is to be dropped.
    drop_name: bool,
    /// Indexes of the members, in their order.
    members: Vec<usize>,
}

/// Evaluates an aggregation at all steps.
pub(crate) fn aggregate(
    ev: &mut Evaluator<'_>,
    node: &AggregateNode,
    grid: &Grid,
) -> Result<Vec<Series>, EvalError> {
    let param = match &node.param {
        Some(param) => Some(ev.eval(param, grid)?),
        None => None,
    };
    let input = ev.vector(&node.input, grid)?;
    let held: usize = input.iter().map(|one| one.column.weight()).sum();
    if let Some(Value::Text(label)) = &param {
        let result = count_values::count_values(ev, node, label, &input, grid)?;
        ev.release(held);
        return Ok(result);
    }
    let groups = groups(node, &input);
    ev.check_columns(groups.len(), grid.count)?;
    let result = match (node.op, param) {
        (AggregateOp::Quantile, Some(Value::Scalar(wanted))) => {
            fold::quantile(ev, node, &input, &groups, &wanted, grid)
        }
        (op, Some(Value::Scalar(param))) => {
            return pick::pick(ev, node, op, input, &groups, &param, grid);
        }
        _ => fold::fold(ev, node, &input, &groups, grid),
    };
    ev.release(held);
    ev.hold(result.iter().map(|one| one.column.weight()).sum())?;
    Ok(result)
}

/// The labels a series is grouped by.
fn grouping_labels(node: &AggregateNode, labels: &Labels) -> Labels {
    let listed = |name: &str| node.grouping.binary_search_by(|one| one.as_str().cmp(name)).is_ok();
    if node.without {
        labels.filtered(|name| name != METRIC_NAME && !listed(name))
    } else if node.grouping.is_empty() {
        Labels::empty()
    } else {
        labels.filtered(listed)
    }
}

fn groups(node: &AggregateNode, input: &[Series]) -> Vec<Group> {
    let mut place: FxHashMap<Labels, usize> = FxHashMap::default();
    let mut groups: Vec<Group> = Vec::new();
    for (idx, one) in input.iter().enumerate() {
        let labels = grouping_labels(node, &one.labels);
        let at = *place.entry(labels).or_insert_with_key(|labels| {
            groups.push(Group { labels: labels.clone(), drop_name: false, members: Vec::new() });
            groups.len() - 1
        });
        groups[at].drop_name |= one.drop_name;
        groups[at].members.push(idx);
    }
    groups
}

/// Says that an operator for floats met histograms.
fn note_ignored_histograms(ev: &mut Evaluator<'_>, node: &AggregateNode) {
    let text = format!("ignored histogram in {} aggregation", node.op.as_str());
    ev.annotations.info(node.input.outer, text);
}
