//! The common case of matching: every series has at most one possible partner over the whole query, and no two pairs
//! share a result. Then nothing needs to be checked per step, and the operation runs column by column.

use rustc_hash::FxHashSet;
use swell_model::Labels;
use swell_promql_syntax::{Cardinality, VectorMatching};

use super::element::{combine, float_function};
use super::matching::{Signatures, result_labels};
use crate::eval::{Column, Evaluator, Point, Series};
use crate::plan::{BinaryNode, Node};

/// The results, or `None` when pairs depend on the step.
pub(super) fn fixed_pairs(
    ev: &mut Evaluator<'_>,
    node: &Node,
    operation: &BinaryNode,
    matching: &VectorMatching,
    (lhs, rhs): (&[Series], &[Series]),
    signatures: &Signatures,
) -> Option<Vec<Series>> {
    if matching.fill_left.is_some() || matching.fill_right.is_some() {
        return None;
    }
    let swapped = matching.cardinality == Cardinality::OneToMany;
    let (many, many_signatures, one, one_signatures) = if swapped {
        (rhs, &signatures.rhs, lhs, &signatures.lhs)
    } else {
        (lhs, &signatures.lhs, rhs, &signatures.rhs)
    };
    let mut partners: Vec<Option<usize>> = vec![None; signatures.count];
    for (idx, signature) in one_signatures.iter().enumerate() {
        if partners[*signature].replace(idx).is_some() {
            return None;
        }
    }
    let mut taken = vec![false; signatures.count];
    let mut seen: FxHashSet<Labels> = FxHashSet::default();
    let mut pairs = Vec::with_capacity(many.len());
    for (idx, signature) in many_signatures.iter().enumerate() {
        let Some(partner) = partners[*signature] else { continue };
        if matching.cardinality == Cardinality::OneToOne
            && std::mem::replace(&mut taken[*signature], true)
        {
            return None;
        }
        let (many, one) = (Some(&many[idx].labels), Some(&one[partner].labels));
        let labels = result_labels(ev, operation, matching, many, one);
        if !seen.insert(labels.clone()) {
            return None;
        }
        pairs.push((idx, partner, labels));
    }
    let mut results = Vec::with_capacity(pairs.len());
    for (idx, partner, labels) in pairs {
        let (many, one) = (&many[idx].column, &one[partner].column);
        let (lhs, rhs) = if swapped { (one, many) } else { (many, one) };
        let column = operate(ev, node, operation, lhs, rhs);
        if !column.is_empty() {
            let drop_name = operation.return_bool && ev.params.features.delayed_name_removal;
            results.push(Series { labels, drop_name, column });
        }
    }
    Some(results)
}

/// Applies the operator to two columns, step by step.
fn operate(
    ev: &mut Evaluator<'_>,
    node: &Node,
    operation: &BinaryNode,
    lhs: &Column,
    rhs: &Column,
) -> Column {
    let mut column = Column::absent(lhs.len());
    let floats =
        float_function(operation.op).filter(|_| !lhs.has_histograms() && !rhs.has_histograms());
    for step in 0..lhs.len() {
        let (value, keep) = if let Some(function) = floats {
            let (Some(a), Some(b)) = (lhs.float(step), rhs.float(step)) else { continue };
            let (value, keep) = function(a, b);
            (Point::Float(value), keep)
        } else {
            let (Some(a), Some(b)) = (lhs.get(step), rhs.get(step)) else { continue };
            let annotations = &mut ev.annotations;
            let Some(outcome) = combine(annotations, node.span, operation.op, a, b) else {
                continue;
            };
            (outcome.value, outcome.keep)
        };
        if operation.return_bool {
            column.set_float(step, if keep { 1.0 } else { 0.0 });
        } else if keep {
            column.set(step, value);
        }
    }
    column
}
