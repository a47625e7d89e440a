//! Operators that pick series of each group and leave them as they are: `topk`, `bottomk`, `limitk`, `limit_ratio`.

use std::hash::Hasher;

use swell_model::Labels;
use swell_promql_syntax::{AggregateOp, Span, format_float_short};
use twox_hash::XxHash64;

use super::{Group, note_ignored_histograms};
use crate::error::EvalError;
use crate::eval::{Column, Evaluator, Grid, Series};
use crate::functions::nan_last;
use crate::plan::AggregateNode;

/// Picks at each step; series are ordered by value when there is one step only.
pub(super) fn pick(
    ev: &mut Evaluator<'_>,
    node: &AggregateNode,
    op: AggregateOp,
    input: Vec<Series>,
    groups: &[Group],
    param: &[f64],
    grid: &Grid,
) -> Result<Vec<Series>, EvalError> {
    let span = node.param.as_ref().map_or(node.input.span, |param| param.outer);
    // Where no step picks anything, no count is too low.
    if op != AggregateOp::LimitRatio && param.iter().all(|count| *count < 1.0) {
        return Ok(Vec::new());
    }
    if op == AggregateOp::LimitRatio {
        warn_of_ratios(ev, span, param);
    }
    let mut kept: Vec<Option<Column>> = vec![None; input.len()];
    let mut order: Vec<usize> = Vec::new();
    let mut floats: Vec<(f64, usize)> = Vec::new();
    for (step, param) in param.iter().enumerate() {
        let mut keep = |picked: Vec<usize>| {
            for idx in &picked {
                if let Some(point) = input[*idx].column.get(step) {
                    let column = kept[*idx].get_or_insert_with(|| Column::absent(grid.count));
                    column.set(step, point.to_owned());
                }
            }
            if grid.count == 1 {
                order.extend(picked);
            }
        };
        if op == AggregateOp::LimitRatio {
            if param.is_nan() {
                return Err(EvalError::query(span, "Ratio value is NaN"));
            }
            let ratio = param.clamp(-1.0, 1.0);
            for group in groups {
                let picked = group.members.iter().copied();
                keep(picked.filter(|idx| in_ratio(ratio, &input[*idx].labels)).collect());
            }
            continue;
        }
        let most = checked_count(*param).map_err(|message| EvalError::query(span, message))?;
        if most == 0 {
            continue;
        }
        for group in groups {
            let present =
                group.members.iter().copied().filter(|idx| input[*idx].column.is_present(step));
            if op == AggregateOp::LimitK {
                keep(present.take(most).collect());
                continue;
            }
            floats.clear();
            for idx in present {
                match input[idx].column.float(step) {
                    Some(value) => floats.push((value, idx)),
                    None => note_ignored_histograms(ev, node),
                }
            }
            let descending = op == AggregateOp::TopK;
            // Of equal values the first series counts.
            let order = |one: &(f64, usize), two: &(f64, usize)| {
                nan_last(one.0, two.0, descending).then(one.1.cmp(&two.1))
            };
            if most < floats.len() {
                floats.select_nth_unstable_by(most, order);
                floats.truncate(most);
            }
            floats.sort_unstable_by(order);
            keep(floats.iter().map(|(_, idx)| *idx).collect());
        }
    }
    let mut result: Vec<Option<Series>> = input
        .into_iter()
        .zip(kept)
        .map(|(one, column)| column.map(|column| Series { column, ..one }))
        .collect();
    if grid.count == 1 {
        return Ok(order.into_iter().filter_map(|idx| result[idx].take()).collect());
    }
    Ok(result.into_iter().flatten().collect())
}

/// How many to pick: whole, not negative.
fn checked_count(param: f64) -> Result<usize, String> {
    if param.is_nan() {
        return Err("Parameter value is NaN".to_owned());
    }
    // Prometheus' bounds: the greatest float that is an i64, and the least.
    const GREATEST: f64 = 9_223_372_036_854_774_784.0;
    const LEAST: f64 = -9_223_372_036_854_775_808.0;
    if param >= GREATEST {
        return Err(format!("Scalar value {} overflows int64", format_float_short(param)));
    }
    if param <= LEAST {
        return Err(format!("Scalar value {} underflows int64", format_float_short(param)));
    }
    #[expect(clippy::cast_possible_truncation, reason = "checked just above")]
    let count = param as i64;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Warns of shares that are no such, and are capped: of the greatest and the least.
fn warn_of_ratios(ev: &mut Evaluator<'_>, span: Span, ratios: &[f64]) {
    let greatest = ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    for (ratio, capped) in [(greatest, greatest.min(1.0)), (least, least.max(-1.0))] {
        if capped != ratio {
            let text = format!(
                "ratio value should be between -1 and 1, got {}, capping to {}",
                format_float_short(ratio),
                format_float_short(capped)
            );
            ev.annotations.warn(span, text);
        }
    }
}

/// Whether a series falls into a share of all series. A series is in the share r or in the share -(1-r), never in both.
fn in_ratio(ratio: f64, labels: &Labels) -> bool {
    let place = place_of(labels);
    if ratio >= 0.0 { place < ratio } else { place >= 1.0 + ratio }
}

/// A place in 0…1 that depends on the labels only, the one that Prometheus 3 takes (`labels.Labels.Hash`, labels as one string).
fn place_of(labels: &Labels) -> f64 {
    let mut hash = XxHash64::with_seed(0);
    for text in labels.iter().flat_map(|(name, value)| [name, value]) {
        let [lowest, middle, high, ..] = text.len().to_le_bytes();
        // Lengths are one byte, or 255 and three bytes from the lowest.
        if text.len() < 255 {
            hash.write(&[lowest]);
        } else {
            hash.write(&[255, lowest, middle, high]);
        }
        hash.write(text.as_bytes());
    }
    #[expect(clippy::cast_precision_loss, reason = "as Prometheus divides, in floats")]
    let place = hash.finish() as f64 / u64::MAX as f64;
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_and_its_complement_hold_each_series_once() {
        for idx in 0..1000 {
            let labels = Labels::from_pairs([("i", idx.to_string())]);
            assert_ne!(in_ratio(0.3, &labels), in_ratio(-0.7, &labels), "{labels}");
            assert!(in_ratio(1.0, &labels) && !in_ratio(0.0, &labels) && in_ratio(-1.0, &labels));
        }
    }

    /// By the Python package `xxhash` over the bytes that `labels_stringlabels.go` describes.
    #[test]
    fn places_are_those_of_prometheus() {
        let long = |len: usize| Labels::from_pairs([("a", "x".repeat(len))]);
        let named = Labels::from_pairs([("__name__", "http_requests"), ("instance", "0")]);
        let places = [named, long(254), long(300), Labels::empty()].map(|labels| place_of(&labels));
        let wanted =
            [0.378274106363217, 0.8343165535799543, 0.4500190390509748, 0.9346749315317059];
        for (place, wanted) in places.into_iter().zip(wanted) {
            assert!((place - wanted).abs() < 1e-15, "{place} {wanted}");
        }
    }

    #[test]
    fn counts_must_be_numbers_of_64_bits() {
        assert_eq!(checked_count(2.9), Ok(2));
        assert_eq!(checked_count(-3.0), Ok(0));
        let (greatest, least) = (9_223_372_036_854_774_784.0, -9_223_372_036_854_775_808.0);
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, greatest, least] {
            assert!(checked_count(value).is_err(), "{value}");
        }
    }
}
