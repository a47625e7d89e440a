//! Order of an instant vector. A range query is always sorted by labels.

use std::cmp::Ordering;

use super::{EvalError, Evaluator, Grid, Node, text_arg};
use crate::eval::Series;
use crate::params::QueryKind;

fn warn_if_ineffective(ev: &mut Evaluator<'_>, node: &Node) {
    if ev.params.kind == QueryKind::Range {
        ev.annotations.warn(
            node.span,
            "sort is ineffective for range queries since results are always ordered by labels",
        );
    }
}

/// `sort`, `sort_desc`: NaN last, histograms drop out.
pub(super) fn by_value(
    ev: &mut Evaluator<'_>,
    node: &Node,
    name: &str,
    arg: &Node,
    grid: &Grid,
) -> Result<Vec<Series>, EvalError> {
    warn_if_ineffective(ev, node);
    let mut series = ev.vector(arg, grid)?;
    for one in &mut series {
        if one.column.has_histograms() {
            one.column.map_floats(|value| value);
        }
    }
    series.retain(|one| !one.column.is_empty());
    if grid.count == 1 {
        let descending = name == "sort_desc";
        series.sort_by(|one, two| {
            let (one, two) = (one.column.float(0), two.column.float(0));
            nan_last(one.unwrap_or(f64::NAN), two.unwrap_or(f64::NAN), descending)
        });
    }
    Ok(series)
}

/// Order of floats with NaN last whatever the direction.
pub(crate) fn nan_last(one: f64, two: f64, descending: bool) -> Ordering {
    match (one.is_nan(), two.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => {
            let order = one.partial_cmp(&two).unwrap_or(Ordering::Equal);
            if descending { order.reverse() } else { order }
        }
    }
}

/// `sort_by_label`, `sort_by_label_desc`: numbers inside labels count as numbers.
pub(super) fn by_label(
    ev: &mut Evaluator<'_>,
    node: &Node,
    name: &str,
    args: &[Node],
    grid: &Grid,
) -> Result<Vec<Series>, EvalError> {
    warn_if_ineffective(ev, node);
    let labels = (1..args.len()).map(|idx| text_arg(args, idx)).collect::<Result<Vec<_>, _>>()?;
    let mut series = ev.vector(&args[0], grid)?;
    if grid.count > 1 {
        return Ok(series);
    }
    series.sort_by(|one, two| {
        let by_labels = labels.iter().map(|label| {
            let value = |series: &Series| series.labels.get(label).unwrap_or("").to_owned();
            natural(&value(one), &value(two))
        });
        by_labels
            .into_iter()
            .find(|order| order.is_ne())
            .unwrap_or_else(|| one.labels.cmp(&two.labels))
    });
    if name == "sort_by_label_desc" {
        series.reverse();
    }
    Ok(series)
}

/// Compares texts piece by piece, runs of digits as numbers.
fn natural(one: &str, two: &str) -> Ordering {
    let (mut one, mut two) = (pieces(one).into_iter(), pieces(two).into_iter());
    loop {
        let (a, b) = match (one.next(), two.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(a), Some(b)) => (a, b),
        };
        let numeric = |piece: &str| piece.starts_with(|c: char| c.is_ascii_digit());
        let order = if numeric(a) && numeric(b) {
            let (x, y) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
            // Numbers of any length: more digits is more; of equal numbers the one with fewer zeros comes first.
            x.len().cmp(&y.len()).then_with(|| x.cmp(y)).then_with(|| a.len().cmp(&b.len()))
        } else {
            a.cmp(b)
        };
        if order.is_ne() {
            return order;
        }
    }
}

/// Runs of digits and runs of other characters.
fn pieces(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let digits = first.is_ascii_digit();
        let end = rest.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(rest.len());
        let (piece, tail) = rest.split_at(end);
        pieces.push(piece);
        rest = tail;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_texts_sort_as_numbers() {
        let mut texts = ["cpu10", "cpu9", "cpu", "cpu100", "4", "04x", "a"];
        texts.sort_by(|one, two| natural(one, two));
        assert_eq!(texts, ["4", "04x", "a", "cpu", "cpu9", "cpu10", "cpu100"]);
    }
}
