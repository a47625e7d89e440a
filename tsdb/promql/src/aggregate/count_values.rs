//! `count_values(label, v)`: one series per value.

use rustc_hash::FxHashMap;
use swell_model::{Labels, quote_bytes};
use swell_promql_syntax::{format_float, histogram_text};

use crate::error::EvalError;
use crate::eval::{Column, Evaluator, Grid, Held, PointRef, Series};
use crate::plan::AggregateNode;

pub(super) fn count_values(
    ev: &mut Evaluator<'_>,
    node: &AggregateNode,
    label: &[u8],
    input: &[Series],
    grid: &Grid,
) -> Result<Vec<Series>, EvalError> {
    let label =
        std::str::from_utf8(label).ok().filter(|label| !label.is_empty()).ok_or_else(|| {
            let message = format!("invalid label name {}", quote_bytes(label));
            EvalError::query(node.input.span, message)
        })?;
    let mut place: FxHashMap<Labels, usize> = FxHashMap::default();
    let mut result: Vec<Series> = Vec::new();
    for one in input {
        let group = one.labels.filtered(|name| node.grouping().keeps(name));
        // Values mostly repeat from step to step.
        let mut last: Option<(u64, usize)> = None;
        for step in 0..grid.count {
            let (bits, text) = match one.column.get(step) {
                None => continue,
                Some(PointRef::Float(value)) => {
                    if let Some((bits, at)) = last
                        && bits == value.to_bits()
                    {
                        count(&mut result[at].column, step);
                        continue;
                    }
                    (Some(value.to_bits()), format_float(value))
                }
                Some(PointRef::Histogram(value)) => (None, histogram_text(value)),
            };
            let mut builder = group.to_builder();
            builder.set(label, &text);
            let labels = builder.build();
            let at = *place.entry(labels).or_insert_with_key(|labels| {
                let column = Column::absent(grid.count);
                let series = Series { labels: labels.clone(), drop_name: false, column };
                result.push(series);
                result.len() - 1
            });
            ev.budget.check_columns(result.len(), grid.count)?;
            result[at].drop_name |= one.drop_name;
            count(&mut result[at].column, step);
            last = bits.map(|bits| (bits, at));
        }
    }
    ev.hold(Held::all(&result))?;
    Ok(result)
}

fn count(column: &mut Column, step: usize) {
    let before = column.float(step).unwrap_or(0.0);
    column.set_float(step, before + 1.0);
}
