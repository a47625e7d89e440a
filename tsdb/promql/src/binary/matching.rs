//! Arithmetic and comparison between vectors. Series find each other once, by the labels that must agree; the
//! steps then only look at indexes.

use rustc_hash::FxHashMap;
use swell_model::{Labels, METRIC_NAME};
use swell_promql_syntax::{Cardinality, VectorMatching};

use super::element::{Outcome, combine};
use super::{changes_meaning, pairs};
use crate::error::EvalError;
use crate::eval::{Column, Evaluator, Grid, Point, PointRef, Series, braced, without_metadata};
use crate::plan::{BinaryNode, Node};

/// Gives label sets that agree in the matching labels the same number.
pub(super) struct Signatures {
    pub(super) lhs: Vec<usize>,
    pub(super) rhs: Vec<usize>,
    pub(super) count: usize,
}

/// The labels two series must agree in.
fn matching_labels(matching: &VectorMatching, labels: &Labels) -> Labels {
    let listed = |name: &str| matching.labels.iter().any(|label| label == name);
    if matching.on {
        labels.filtered(listed)
    } else {
        labels.filtered(|name| name != METRIC_NAME && !listed(name))
    }
}

impl Signatures {
    pub(super) fn of(matching: &VectorMatching, lhs: &[Series], rhs: &[Series]) -> Self {
        let mut numbers: FxHashMap<Labels, usize> = FxHashMap::default();
        let mut number = |one: &Series| {
            let next = numbers.len();
            *numbers.entry(matching_labels(matching, &one.labels)).or_insert(next)
        };
        let lhs = lhs.iter().map(&mut number).collect();
        let rhs = rhs.iter().map(&mut number).collect();
        Self { lhs, rhs, count: numbers.len() }
    }
}

/// State of one operation between vectors. The "many" side is that of `group_left` or `group_right`, the left one
/// without either.
struct Join<'a> {
    node: &'a Node,
    operation: &'a BinaryNode,
    matching: &'a VectorMatching,
    many: &'a [Series],
    one: &'a [Series],
    many_signatures: &'a [usize],
    one_signatures: &'a [usize],
    /// Fills follow the sides of the join, not those written: with `group_right`, `fill_left` fills the "many" side,
    /// which stands on the right. That is how Prometheus has it.
    fill_many: Option<f64>,
    fill_one: Option<f64>,
    results: Vec<Series>,
    /// Result by the indexes of the two series; absent ones are filled.
    result_of: FxHashMap<(Option<usize>, Option<usize>), usize>,
    result_by_labels: FxHashMap<Labels, usize>,
    /// Per series of the "many" side its last partner and their result: mostly the same from step to step.
    recent: Vec<Option<(Option<usize>, usize)>>,
    steps: usize,
}

/// Applies an operator to matching series.
pub(super) fn vectors(
    ev: &mut Evaluator<'_>,
    node: &Node,
    operation: &BinaryNode,
    matching: &VectorMatching,
    lhs: &[Series],
    rhs: &[Series],
    grid: &Grid,
) -> Result<Vec<Series>, EvalError> {
    let signatures = Signatures::of(matching, lhs, rhs);
    if let Some(results) =
        pairs::fixed_pairs(ev, node, operation, matching, (lhs, rhs), &signatures)
    {
        return Ok(results);
    }
    let fill_left = matching.fill_left.map(|number| number.value);
    let fill_right = matching.fill_right.map(|number| number.value);
    let mut join = Join {
        node,
        operation,
        matching,
        many: lhs,
        one: rhs,
        many_signatures: &signatures.lhs,
        one_signatures: &signatures.rhs,
        fill_many: fill_left,
        fill_one: fill_right,
        results: Vec::new(),
        result_of: FxHashMap::default(),
        result_by_labels: FxHashMap::default(),
        recent: Vec::new(),
        steps: grid.count,
    };
    if matching.cardinality == Cardinality::OneToMany {
        std::mem::swap(&mut join.many, &mut join.one);
        std::mem::swap(&mut join.many_signatures, &mut join.one_signatures);
    }
    join.recent = vec![None; join.many.len()];
    let mut partners: Vec<Option<usize>> = vec![None; signatures.count];
    let mut matched: Vec<bool> = vec![false; signatures.count];
    // Which step last wrote a result: two series of the "many" side may not give the same one at a step.
    let mut written: Vec<usize> = Vec::new();
    let has_fill = fill_left.is_some() || fill_right.is_some();
    for step in 0..grid.count {
        let is_empty = |side: &[Series]| !side.iter().any(|one| one.column.is_present(step));
        // Where nothing can match nothing is said of series that would match twice.
        if !has_fill && (is_empty(join.many) || is_empty(join.one)) {
            continue;
        }
        partners.fill(None);
        matched.fill(false);
        join.find_partners(step, &mut partners)?;
        for (idx, many) in join.many.iter().enumerate() {
            let Some(value) = many.column.get(step) else { continue };
            let signature = join.many_signatures[idx];
            let partner = partners[signature];
            let other = match partner {
                Some(at) => join.one[at].column.get(step),
                None => join.fill_one.map(PointRef::Float),
            };
            let Some(other) = other else { continue };
            let pair = (Some(idx), partner);
            join.step(ev, step, pair, value, other, (signature, &mut matched), &mut written)?;
        }
        if let Some(fill) = join.fill_many {
            for (idx, one) in join.one.iter().enumerate() {
                let signature = join.one_signatures[idx];
                let Some(other) = one.column.get(step).filter(|_| !matched[signature]) else {
                    continue;
                };
                let (pair, value) = ((None, Some(idx)), PointRef::Float(fill));
                join.step(ev, step, pair, value, other, (signature, &mut matched), &mut written)?;
            }
        }
        ev.budget.check_cancelled()?;
        ev.budget.check_columns(join.results.len(), grid.count)?;
    }
    let mut results = join.results;
    results.retain(|one| !one.column.is_empty());
    Ok(results)
}

impl Join<'_> {
    /// The series of the "one" side that is present at a step, per signature.
    fn find_partners(&self, step: usize, partners: &mut [Option<usize>]) -> Result<(), EvalError> {
        for (idx, one) in self.one.iter().enumerate() {
            if !one.column.is_present(step) {
                continue;
            }
            let partner = &mut partners[self.one_signatures[idx]];
            if let Some(before) = *partner {
                let side = match self.matching.cardinality {
                    Cardinality::OneToMany => "left",
                    _ => "right",
                };
                let message = format!(
                    "found duplicate series for the match group {} on the {side} hand-side of the operation: [{}, {}];many-to-many matching not allowed: matching labels must be unique on one side",
                    braced(&matching_labels(self.matching, &one.labels)),
                    braced(&one.labels),
                    braced(&self.one[before].labels)
                );
                return Err(EvalError::query(self.node.span, message));
            }
            *partner = Some(idx);
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "the state of one step of one join")]
    fn step(
        &mut self,
        ev: &mut Evaluator<'_>,
        step: usize,
        pair: (Option<usize>, Option<usize>),
        many: PointRef<'_>,
        one: PointRef<'_>,
        (signature, matched): (usize, &mut [bool]),
        written: &mut Vec<usize>,
    ) -> Result<(), EvalError> {
        let swapped = self.matching.cardinality == Cardinality::OneToMany;
        let (lhs, rhs) = if swapped { (one, many) } else { (many, one) };
        let (annotations, span) = (&mut ev.annotations, self.node.span);
        let Some(outcome) = combine(annotations, span, self.operation.op, lhs, rhs) else {
            return Ok(());
        };
        if self.matching.cardinality == Cardinality::OneToOne {
            if matched[signature] {
                let message = "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)";
                return Err(EvalError::query(self.node.span, message));
            }
            matched[signature] = true;
            if !outcome.keep && !self.operation.return_bool {
                return Ok(());
            }
            let result = self.result(ev, pair, written);
            self.write(result, step, outcome);
            return Ok(());
        }
        matched[signature] = true;
        let result = self.result(ev, pair, written);
        if written[result] == step + 1 {
            let message = "multiple matches for labels: grouping labels must ensure unique matches";
            return Err(EvalError::query(self.node.span, message));
        }
        written[result] = step + 1;
        if outcome.keep || self.operation.return_bool {
            self.write(result, step, outcome);
        }
        Ok(())
    }

    fn write(&mut self, result: usize, step: usize, outcome: Outcome) {
        let value = if self.operation.return_bool {
            Point::Float(if outcome.keep { 1.0 } else { 0.0 })
        } else {
            outcome.value
        };
        self.results[result].column.set(step, value);
    }

    /// Index of the result series of a pair.
    fn result(
        &mut self,
        ev: &Evaluator<'_>,
        pair: (Option<usize>, Option<usize>),
        written: &mut Vec<usize>,
    ) -> usize {
        let recent = pair.0.and_then(|idx| self.recent[idx]);
        if let Some((_, at)) = recent.filter(|(partner, _)| *partner == pair.1) {
            return at;
        }
        let at = self.result_of.get(&pair).copied();
        let at = at.unwrap_or_else(|| self.new_result(ev, pair, written));
        if let Some(idx) = pair.0 {
            self.recent[idx] = Some((pair.1, at));
        }
        at
    }

    fn new_result(
        &mut self,
        ev: &Evaluator<'_>,
        pair: (Option<usize>, Option<usize>),
        written: &mut Vec<usize>,
    ) -> usize {
        let many = pair.0.map(|idx| &self.many[idx].labels);
        let one = pair.1.map(|idx| &self.one[idx].labels);
        let labels = result_labels(ev, self.operation, self.matching, many, one);
        // Different pairs of one-to-one matching may share labels at different steps, or by mistake at the same:
        // each pair has its own result there, and equal ones are joined afterwards.
        let shared = self.matching.cardinality != Cardinality::OneToOne;
        let known = if shared { self.result_by_labels.get(&labels).copied() } else { None };
        let at = known.unwrap_or_else(|| {
            let column = Column::absent(self.steps);
            let drop_name = self.operation.return_bool && ev.params.features.delayed_name_removal;
            self.results.push(Series { labels: labels.clone(), drop_name, column });
            written.push(0);
            self.result_by_labels.insert(labels, self.results.len() - 1);
            self.results.len() - 1
        });
        self.result_of.insert(pair, at);
        at
    }
}

/// Labels of the result of a pair; a side that is filled has the matching labels of the other only.
pub(super) fn result_labels(
    ev: &Evaluator<'_>,
    operation: &BinaryNode,
    matching: &VectorMatching,
    many: Option<&Labels>,
    one: Option<&Labels>,
) -> Labels {
    let filled = |other: Option<&Labels>| match other {
        Some(other) => matching_labels(matching, other),
        None => Labels::empty(),
    };
    let many_labels = many.map_or_else(|| filled(one), Labels::clone);
    let one_labels = one.map_or_else(|| filled(many), Labels::clone);
    let eager_bool = operation.return_bool && !ev.params.features.delayed_name_removal;
    let mut labels = many_labels;
    if changes_meaning(operation.op) || eager_bool {
        labels = without_metadata(&labels);
    }
    if matching.cardinality == Cardinality::OneToOne {
        let listed = |name: &str| matching.labels.iter().any(|label| label == name);
        labels = labels.filtered(|name| listed(name) == matching.on);
    }
    if matching.include.is_empty() {
        return labels;
    }
    let mut builder = labels.to_builder();
    for label in &matching.include {
        builder.set(label, one_labels.get(label).unwrap_or(""));
    }
    builder.build()
}
