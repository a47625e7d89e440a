//! `and`, `or`, `unless`: by the presence of matching series.

use swell_promql_syntax::{BinaryOp, VectorMatching};

use super::matching::Signatures;
use crate::eval::{Grid, Series};

/// Keeps samples by whether the other side has a matching one at the same step.
pub(super) fn set_operation(
    op: BinaryOp,
    matching: &VectorMatching,
    mut lhs: Vec<Series>,
    mut rhs: Vec<Series>,
    grid: &Grid,
) -> Vec<Series> {
    let signatures = Signatures::of(matching, &lhs, &rhs);
    match op {
        BinaryOp::Or => {
            let present = presence(&lhs, &signatures.lhs, signatures.count, grid);
            filter(&mut rhs, &signatures.rhs, &present, grid, false);
            lhs.append(&mut rhs);
        }
        _ => {
            let present = presence(&rhs, &signatures.rhs, signatures.count, grid);
            filter(&mut lhs, &signatures.lhs, &present, grid, op == BinaryOp::And);
        }
    }
    lhs.retain(|one| !one.column.is_empty());
    lhs
}

/// Whether any series of a signature is present, per signature and step.
fn presence(series: &[Series], signatures: &[usize], count: usize, grid: &Grid) -> Vec<bool> {
    let mut present = vec![false; count * grid.count];
    for (one, signature) in series.iter().zip(signatures) {
        let steps = &mut present[signature * grid.count..][..grid.count];
        for (step, present) in steps.iter_mut().enumerate() {
            *present |= one.column.is_present(step);
        }
    }
    present
}

/// Removes the samples whose signature's presence is not the one wanted.
fn filter(
    series: &mut [Series],
    signatures: &[usize],
    present: &[bool],
    grid: &Grid,
    wanted: bool,
) {
    for (one, signature) in series.iter_mut().zip(signatures) {
        for (step, present) in present[signature * grid.count..][..grid.count].iter().enumerate() {
            if *present != wanted {
                one.column.clear(step);
            }
        }
    }
}
