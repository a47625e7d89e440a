//! Aggregations. Series are grouped once; the operators then run column by column.

mod count_values;
mod fold;
mod newest;
mod pick;
mod streamed;

use std::hash::{Hash as _, Hasher as _};

use rustc_hash::{FxHashMap, FxHasher};
use swell_model::{Grouping, Labels};
use swell_promql_syntax::AggregateOp;

use crate::error::EvalError;
use crate::eval::{Evaluator, Grid, Held, Series, Value};
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
    if param.is_none() {
        if let Some(result) = newest::aggregate(ev, node, grid)? {
            return Ok(result);
        }
        if let Some(result) = streamed::aggregate(ev, node, grid)? {
            return Ok(result);
        }
    }
    let input = ev.vector(&node.input, grid)?;
    let held = Held::all(&input);
    if let Some(Value::Text(label)) = &param {
        let result = count_values::count_values(ev, node, label, &input, grid)?;
        ev.release(held);
        return Ok(result);
    }
    let groups = groups(node, &input);
    ev.budget.check_columns(groups.len(), grid.count)?;
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
    ev.hold(Held::all(&result))?;
    Ok(result)
}

/// Groups of series by their labels, found without building the labels of a group that is known.
struct GroupTable<'a> {
    grouping: Grouping<'a>,
    groups: Vec<Group>,
    /// First group by the hash of its labels.
    by_hash: FxHashMap<u64, usize>,
    /// The next group with the same hash.
    next: Vec<Option<usize>>,
}

impl GroupTable<'_> {
    fn group_of(&mut self, labels: &Labels) -> usize {
        let kept = || labels.iter().filter(|(name, _)| self.grouping.keeps(name));
        let mut hasher = FxHasher::default();
        kept().for_each(|pair| pair.hash(&mut hasher));
        let hash = hasher.finish();
        let mut candidate = self.by_hash.get(&hash).copied();
        while let Some(idx) = candidate {
            if kept().eq(self.groups[idx].labels.iter()) {
                return idx;
            }
            candidate = self.next[idx];
        }
        let labels = labels.filtered(|name| self.grouping.keeps(name));
        self.groups.push(Group { labels, drop_name: false, members: Vec::new() });
        self.next.push(self.by_hash.insert(hash, self.groups.len() - 1));
        self.groups.len() - 1
    }
}

/// The groups, sorted by their labels.
fn groups(node: &AggregateNode, input: &[Series]) -> Vec<Group> {
    let mut table = GroupTable {
        grouping: node.grouping(),
        groups: Vec::new(),
        by_hash: FxHashMap::default(),
        next: Vec::new(),
    };
    for (idx, one) in input.iter().enumerate() {
        let group = table.group_of(&one.labels);
        let group = &mut table.groups[group];
        group.drop_name |= one.drop_name;
        group.members.push(idx);
    }
    let mut groups = table.groups;
    groups.sort_by(|one, other| one.labels.cmp(&other.labels));
    groups
}

/// Says that an operator for floats met histograms.
fn note_ignored_histograms(ev: &mut Evaluator<'_>, node: &AggregateNode) {
    let text = format!("ignored histogram in {} aggregation", node.op.as_str());
    // Prometheus remarks on what is aggregated, but of these two on the aggregation.
    let span = match node.op {
        AggregateOp::TopK | AggregateOp::BottomK => node.span,
        _ => node.input.outer,
    };
    ev.annotations.info(span, text);
}
