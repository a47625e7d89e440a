//! Aggregations over series that are computed one by one: each is folded into its group as soon as it is there, and
//! neither its values nor its labels are kept. Only for operators whose result does not depend on the order.

use swell_model::{ExactSum, Grouping, Labels, is_stale_nan};
use swell_promql_syntax::AggregateOp;

use super::fold::{greater, smaller};
use super::newest::does_not_order;
use crate::error::EvalError;
use crate::eval::{Column, Evaluator, Grid, Held, Pipeline, Series, sort_by_labels};
use crate::functions::Carried;
use crate::plan::AggregateNode;

/// Groups times steps that are kept at once: some megabytes for each part that is read side by side.
const SLOTS_MAX: usize = 1 << 16;

/// Labels whose difference would be lost with the name, and make two series the same.
const METADATA: [&str; 2] = ["__type__", "__unit__"];

/// Evaluates the aggregation if it is of that kind, and the storage can tell the groups.
pub(super) fn aggregate(
    ev: &mut Evaluator<'_>,
    node: &AggregateNode,
    grid: &Grid,
) -> Result<Option<Vec<Series>>, EvalError> {
    let named = node.grouping.iter().any(|name| crate::eval::is_metadata_label(name));
    if !does_not_order(node.op) || (named && !node.without) {
        return Ok(None);
    }
    let before = (ev.annotations.clone(), ev.stats.clone(), ev.tally.clone());
    let result = streamed(ev, node, grid)?;
    if result.is_none() {
        (ev.annotations, ev.stats, ev.tally) = before;
    }
    Ok(result)
}

fn streamed(
    ev: &mut Evaluator<'_>,
    node: &AggregateNode,
    grid: &Grid,
) -> Result<Option<Vec<Series>>, EvalError> {
    let Some(pipeline) = Pipeline::of(ev, &node.input, grid)? else { return Ok(None) };
    let mut names = node.grouping.clone();
    if !node.without {
        names.extend(METADATA.map(str::to_owned));
        names.sort_unstable();
    }
    let grouping = Grouping { names: &names, without: node.without };
    if pipeline.is_newest() {
        return newest(ev, node, &pipeline, grouping);
    }
    let (source, split) = (ev.source, ev.split());
    let selected = source.select_grouped(pipeline.matchers, &pipeline.hints, grouping, split)?;
    let Some(selected) = selected else { return Ok(None) };
    let groups = selected.groups;
    if groups.len().saturating_mul(grid.count) > SLOTS_MAX || have_metadata(&groups) {
        return Ok(None);
    }
    let folded = ev.in_lanes(selected.parts, |part, lane| {
        let mut folded = Folded::new(node.op, groups.len(), grid.count);
        let mut carried = Carried::default();
        let mut column = Column::absent(grid.count);
        for read in part {
            let (group, data) = read?;
            column.reset(grid.count);
            if !pipeline.apply(data, &mut carried, lane, &mut column)? {
                return Ok(None);
            }
            if column.has_histograms() {
                return Ok(None);
            }
            folded.take(group as usize, column.raw_floats());
        }
        Ok(Some(folded))
    })?;
    let Some(folded) = folded else { return Ok(None) };
    let all = folded.into_iter().reduce(|mut all, part| {
        all.merge(&part);
        all
    });
    finished(ev, all.map(|all| all.series(&groups)).unwrap_or_default()).map(Some)
}

fn have_metadata(groups: &[Labels]) -> bool {
    groups.iter().any(|labels| METADATA.iter().any(|name| labels.get(name).is_some()))
}

fn finished(ev: &mut Evaluator<'_>, mut result: Vec<Series>) -> Result<Vec<Series>, EvalError> {
    sort_by_labels(&mut result);
    ev.hold(Held::all(&result))?;
    Ok(result)
}

/// The same for newest samples, which a storage may have at hand without reading columns.
fn newest(
    ev: &mut Evaluator<'_>,
    node: &AggregateNode,
    pipeline: &Pipeline<'_>,
    grouping: Grouping<'_>,
) -> Result<Option<Vec<Series>>, EvalError> {
    let found = ev.source.newest_grouped(pipeline.matchers, pipeline.hints.range, grouping)?;
    let Some(found) = found.filter(|found| !have_metadata(&found.groups)) else { return Ok(None) };
    ev.budget.check_cancelled()?;
    ev.budget.check_columns(found.groups.len(), 1)?;
    ev.select_series(found.series_count)?;
    ev.tally.at(0, found.samples.len() as u64);
    ev.stats.samples_read += found.samples.len() as u64;
    ev.hold(Held::samples(found.samples.len()))?;
    let mut folded = Folded::new(node.op, found.groups.len(), 1);
    for (group, value) in &found.samples {
        folded.take(*group as usize, &[pipeline.value_of(*value)]);
    }
    ev.release(Held::samples(found.samples.len()));
    finished(ev, folded.series(&found.groups)).map(Some)
}

/// Groups as far as they are folded; slots by group and step.
#[derive(Debug)]
struct Folded {
    op: AggregateOp,
    steps: usize,
    counts: Vec<u32>,
    /// For sums and means.
    sums: Vec<ExactSum>,
    /// For the greatest and smallest, NaN before the first.
    best: Vec<f64>,
}

impl Folded {
    fn new(op: AggregateOp, groups: usize, steps: usize) -> Self {
        let slots = groups * steps;
        let is_sum = matches!(op, AggregateOp::Sum | AggregateOp::Avg);
        let is_best = matches!(op, AggregateOp::Min | AggregateOp::Max);
        Self {
            op,
            steps,
            counts: vec![0; slots],
            sums: vec![ExactSum::default(); if is_sum { slots } else { 0 }],
            best: vec![f64::NAN; if is_best { slots } else { 0 }],
        }
    }

    fn wins(&self) -> fn(f64, f64) -> bool {
        if self.op == AggregateOp::Min { smaller } else { greater }
    }

    /// Folds in the values of a series, the staleness marker where there is none.
    fn take(&mut self, group: usize, floats: &[f64]) {
        let slots = group * self.steps..(group + 1) * self.steps;
        let is_present = |value: &f64| !is_stale_nan(*value);
        if !self.sums.is_empty() {
            let sums = self.counts[slots.clone()].iter_mut().zip(&mut self.sums[slots]);
            for ((count, sum), value) in sums.zip(floats).filter(|(_, value)| is_present(value)) {
                *count += 1;
                sum.add(*value);
            }
            return;
        }
        for (count, value) in self.counts[slots.clone()].iter_mut().zip(floats) {
            *count += u32::from(is_present(value));
        }
        if !self.best.is_empty() {
            let wins = self.wins();
            let best = self.best[slots].iter_mut().zip(floats);
            for (best, value) in best.filter(|(_, value)| is_present(value)) {
                if wins(*value, *best) {
                    *best = *value;
                }
            }
        }
    }

    fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        for (sum, more) in self.sums.iter_mut().zip(&other.sums) {
            sum.merge(more);
        }
        let wins = self.wins();
        for (best, value) in self.best.iter_mut().zip(&other.best) {
            if !value.is_nan() && wins(*value, *best) {
                *best = *value;
            }
        }
    }

    /// A series for each group with samples.
    fn series(&self, groups: &[Labels]) -> Vec<Series> {
        let columns = (0..groups.len()).map(|group| {
            let mut column = Column::absent(self.steps);
            for (step, value) in column.floats_mut().iter_mut().enumerate() {
                let slot = group * self.steps + step;
                let count = self.counts[slot];
                if count == 0 {
                    continue;
                }
                *value = match self.op {
                    AggregateOp::Sum => self.sums[slot].value(),
                    AggregateOp::Avg => self.sums[slot].mean(f64::from(count)),
                    AggregateOp::Min | AggregateOp::Max => self.best[slot],
                    AggregateOp::Group => 1.0,
                    _ => f64::from(count),
                };
            }
            column
        });
        groups
            .iter()
            .zip(columns)
            .filter(|(_, column)| !column.is_empty())
            .map(|(labels, column)| Series { labels: labels.clone(), drop_name: false, column })
            .collect()
    }
}
