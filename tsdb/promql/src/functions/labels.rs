//! Functions of labels, and of the absence of series.

use swell_model::{Coarse, Labels, METRIC_NAME};

use super::{EvalError, Evaluator, Grid, Node, text_arg};
use crate::eval::{Column, Series, merge_same_labels};
use crate::plan::{NodeKind, WindowSource, labels_fixed_by};

/// `label_replace(v, dst, replacement, src, regex)`.
pub(super) fn label_replace(
    ev: &mut Evaluator<'_>,
    node: &Node,
    args: &[Node],
    grid: &Grid,
) -> Result<Vec<Series>, EvalError> {
    let target = target_label(args, 1, "label_replace")?;
    let replacement = text_arg(args, 2)?;
    let source = text_arg(args, 3)?;
    let pattern = text_arg(args, 4)?;
    let regex = swell_model::anchored_regex(pattern).map_err(|_| {
        EvalError::query(
            args[4].span,
            format!("invalid regular expression in label_replace(): {pattern}"),
        )
    })?;
    let mut series = ev.vector(&args[0], grid)?;
    for one in &mut series {
        let value = one.labels.get(source).unwrap_or("");
        let Some(captures) = regex.captures(value) else { continue };
        set_label(one, target, &swell_model::expand(&captures, replacement));
    }
    merge_same_labels(series, node)
}

/// `label_join(v, dst, separator, src…)`.
pub(super) fn label_join(
    ev: &mut Evaluator<'_>,
    node: &Node,
    args: &[Node],
    grid: &Grid,
) -> Result<Vec<Series>, EvalError> {
    let target = target_label(args, 1, "label_join")?;
    let separator = text_arg(args, 2)?;
    let mut sources = Vec::new();
    for idx in 3..args.len() {
        let source = text_arg(args, idx)?;
        if source.is_empty() {
            let message = format!("invalid source label name in label_join(): {source}");
            return Err(EvalError::query(args[idx].span, message));
        }
        sources.push(source);
    }
    let mut series = ev.vector(&args[0], grid)?;
    for one in &mut series {
        let parts: Vec<&str> =
            sources.iter().map(|source| one.labels.get(source).unwrap_or("")).collect();
        let joined = parts.join(separator);
        set_label(one, target, &joined);
    }
    merge_same_labels(series, node)
}

/// The label to write, which must be a valid name.
fn target_label<'a>(args: &'a [Node], idx: usize, function: &str) -> Result<&'a str, EvalError> {
    let fault = |name: &str| {
        let message = format!("invalid destination label name in {function}(): {name}");
        EvalError::query(args[idx].span, message)
    };
    match text_arg(args, idx) {
        Ok("") => Err(fault("")),
        Ok(name) => Ok(name),
        Err(_) => match &args[idx].kind {
            NodeKind::Text(bytes) => Err(fault(&String::from_utf8_lossy(bytes))),
            _ => Err(fault("")),
        },
    }
}

fn set_label(series: &mut Series, name: &str, value: &str) {
    let mut builder = series.labels.to_builder();
    builder.set(name, value);
    series.labels = builder.build();
    if name == METRIC_NAME {
        series.drop_name = false;
    }
}

/// `absent`: 1 at steps where the argument is empty.
pub(super) fn absent(
    ev: &mut Evaluator<'_>,
    arg: &Node,
    grid: &Grid,
) -> Result<Vec<Series>, EvalError> {
    let series = ev.vector(arg, grid)?;
    let labels = match &arg.kind {
        NodeKind::Selector(selector) => labels_fixed_by(&selector.matchers),
        _ => Labels::empty(),
    };
    let present = |step: usize| series.iter().any(|one| one.column.is_present(step));
    Ok(absence(labels, grid, present))
}

/// `absent_over_time`: 1 at steps where the window of every series is empty.
pub(super) fn absent_over_time(
    ev: &mut Evaluator<'_>,
    arg: &Node,
    grid: &Grid,
) -> Result<Vec<Series>, EvalError> {
    let NodeKind::Window(window) = &arg.kind else {
        return Err(EvalError::query(arg.span, "expected a range vector"));
    };
    let lookback_ms = ev.params.lookback.0;
    let (parts, _) = ev.range_series(window, arg.span, grid, Coarse::Newest)?;
    let found = ev.in_lanes(parts, |part, lane| {
        let mut present = vec![false; grid.count];
        for one in part {
            let one = one?;
            lane.budget.check_cancelled()?;
            lane.begin(&one)?;
            let mut slider = one.slider(window, lookback_ms);
            for (step, present) in present.iter_mut().enumerate() {
                let end_ms = window.time.apply(grid.at(step));
                let view = slider.window(window.range_ms, end_ms);
                lane.tally.at(step, view.looked_at);
                *present |= !view.is_empty();
            }
            lane.end(&one);
        }
        Ok(Some(present))
    })?;
    let found = found.unwrap_or_default();
    let present = |step: usize| found.iter().any(|present| present[step]);
    let labels = match &window.source {
        WindowSource::Matchers { matchers, .. } => labels_fixed_by(matchers),
        WindowSource::Subquery { .. } => Labels::empty(),
    };
    Ok(absence(labels, grid, present))
}

fn absence(labels: Labels, grid: &Grid, present: impl Fn(usize) -> bool) -> Vec<Series> {
    let mut column = Column::absent(grid.count);
    for step in (0..grid.count).filter(|step| !present(*step)) {
        column.set_float(step, 1.0);
    }
    if column.is_empty() {
        return Vec::new();
    }
    vec![Series { labels, drop_name: false, column }]
}
