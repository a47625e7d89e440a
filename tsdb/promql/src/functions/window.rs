//! Functions of range vectors: one value per series and step out of the samples in a window.

use swell_model::METRIC_NAME;
use swell_promql_syntax::{Boundary, Span};

use super::blocks::AheadOfWindows;
use super::sorted::SortedWindow;
use super::{EvalError, Evaluator, Grid, Node, folded, over_time, rate, regression, resets};
use crate::annotations::Annotations;
use crate::eval::{Column, Point, Series, WindowView};
use crate::plan::{NodeKind, Window};

/// What a window function may look at besides the samples.
pub(super) struct WindowCall<'a> {
    pub(super) annotations: &'a mut Annotations,
    /// Where the first argument stands.
    pub(super) span: Span,
    /// The series' name, or "".
    pub(super) metric_name: &'a str,
    /// Scalar arguments at this step.
    pub(super) scalars: [f64; 2],
    /// Time of the step.
    pub(super) step_ms: i64,
    pub(super) range_ms: i64,
    pub(super) boundary: Boundary,
    /// Indexes in the series' floats before which a counter reset lies.
    pub(super) resets: &'a [usize],
    /// Folds over the series' floats that windows share.
    pub(super) ahead: &'a AheadOfWindows,
    /// Of a window that slides: its floats in order, and the series' column.
    pub(super) sorted: Option<(&'a mut SortedWindow, &'a [f64])>,
}

impl WindowCall<'_> {
    /// Says that histograms among floats were ignored.
    pub(super) fn note_ignored_histograms(&mut self, view: &WindowView<'_>) {
        if !view.histograms.is_empty() {
            let text = format!(
                "ignored histograms in a range containing both floats and histograms for metric name {:?}",
                self.metric_name
            );
            self.annotations.info(self.span, text);
        }
    }

    /// Says that floats and histograms in one window have no value.
    pub(super) fn warn_mixed(&mut self) {
        let text = format!(
            "encountered a mix of histograms and floats for metric name {:?}",
            self.metric_name
        );
        self.annotations.warn(self.span, text);
    }

    /// Says that histograms with exponential and custom buckets have no value together.
    pub(super) fn warn_mixed_schemas(&mut self) {
        warn_mixed_schemas(self.annotations, self.span, self.metric_name);
    }
}

pub(crate) fn warn_mixed_schemas(annotations: &mut Annotations, span: Span, metric_name: &str) {
    let text = format!(
        "vector contains a mix of histograms with exponential and custom buckets schemas for metric name {metric_name:?}"
    );
    annotations.warn(span, text);
}

pub(super) type WindowFn = fn(&WindowView<'_>, &mut WindowCall<'_>) -> Option<Point>;

/// The range vector function of this name.
pub(super) fn window_function(name: &str) -> Option<WindowFn> {
    Some(match name {
        "avg_over_time" => over_time::avg,
        "changes" => resets::changes,
        "count_over_time" => over_time::count,
        "delta" => rate::delta,
        "deriv" => regression::deriv,
        "double_exponential_smoothing" => regression::double_exponential_smoothing,
        "first_over_time" => over_time::first,
        "idelta" => rate::idelta,
        "increase" => rate::increase,
        "irate" => rate::irate,
        "last_over_time" => over_time::last,
        "mad_over_time" => over_time::mad,
        "max_over_time" => over_time::max,
        "min_over_time" => over_time::min,
        "predict_linear" => regression::predict_linear,
        "present_over_time" => over_time::present,
        "quantile_over_time" => over_time::quantile,
        "rate" => rate::rate,
        "resets" => resets::resets,
        "stddev_over_time" => over_time::stddev,
        "stdvar_over_time" => over_time::stdvar,
        "sum_over_time" => over_time::sum,
        "ts_of_first_over_time" => over_time::ts_of_first,
        "ts_of_last_over_time" => over_time::ts_of_last,
        "ts_of_max_over_time" => over_time::ts_of_max,
        "ts_of_min_over_time" => over_time::ts_of_min,
        _ => return None,
    })
}

/// Evaluates a range vector function at all steps.
pub(super) fn call(
    ev: &mut Evaluator<'_>,
    node: &Node,
    name: &str,
    function: WindowFn,
    args: &[Node],
    grid: &Grid,
) -> Result<Vec<Series>, EvalError> {
    let (arg, window) = window_arg(node, args)?;
    check_smoothing_factors(ev, name, args, grid)?;
    let mut scalars = Vec::new();
    for arg in args.iter().filter(|arg| !matches!(arg.kind, NodeKind::Window(_))) {
        scalars.push(ev.scalar(arg, grid)?);
    }
    let keeps_name = matches!(name, "last_over_time" | "first_over_time");
    let counter = matches!(name, "rate" | "increase");
    let change = rate::change_kind(name).filter(|_| window.boundary == Boundary::Plain);
    let mut result: Vec<Series> = Vec::new();
    let foldable = folded::folded_function(name);
    let coarse = folded::wanted(foldable, window, grid, ev.params.features.start_timestamps);
    ev.each_range_series(window, arg.span, grid, coarse, |ev, one| {
        ev.budget.check_cancelled()?;
        ev.check_columns(result.len() + 1, grid.count)?;
        let resets = if counter { resets::counter_resets(one) } else { Vec::new() };
        let ahead = AheadOfWindows::of(name, one, window.range_ms, grid.count);
        let mut sorted = SortedWindow::default();
        let mut column = Column::absent(grid.count);
        let mut slider = one.slider(window, ev.params.lookback.0);
        let metric_name = one.labels.get(METRIC_NAME).unwrap_or("");
        let folded = foldable.filter(|_| !one.aggregates().is_empty());
        let quick = change.filter(|_| one.is_plain() && folded.is_none());
        if let Some(function) = folded {
            ev.stats.samples_total += folded::evaluate(function, one, window, grid, &mut column);
        } else if let Some(kind) = quick {
            ev.stats.samples_total +=
                rate::float_changes(one, &resets, window, grid, kind, &mut column);
        }
        let is_done = quick.is_some() || folded.is_some();
        let steps = if is_done { 0..0 } else { 0..grid.count };
        for step in steps {
            ev.budget.check_cancelled()?;
            let step_ms = grid.at(step);
            let view = slider.window(window.range_ms, window.time.apply(step_ms));
            if view.is_empty() {
                continue;
            }
            ev.stats.samples_total += view.len() as u64;
            let scalar = |idx: usize| scalars.get(idx).map_or(0.0, |values| values[step]);
            let mut call = WindowCall {
                annotations: &mut ev.annotations,
                span: args[0].outer,
                metric_name,
                scalars: [scalar(0), scalar(1)],
                step_ms,
                range_ms: window.range_ms,
                boundary: window.boundary,
                resets: &resets,
                ahead: &ahead,
                sorted: (grid.count > 1).then_some((&mut sorted, one.floats())),
            };
            if let Some(point) = function(&view, &mut call) {
                column.set(step, point);
            }
        }
        if column.is_empty() {
            return Ok(());
        }
        if counter && (0..grid.count).any(|step| column.float(step).is_some()) {
            note_if_no_counter(ev, one.labels.get("__type__"), metric_name, args[0].outer);
        }
        ev.hold(column.weight())?;
        result.push(Series { labels: one.labels.clone(), drop_name: one.drop_name, column });
        Ok(())
    })?;
    result.sort_by(|one, two| one.labels.cmp(&two.labels));
    if keeps_name { Ok(result) } else { ev.nameless(result, node) }
}

fn window_arg<'a>(node: &Node, args: &'a [Node]) -> Result<(&'a Node, &'a Window), EvalError> {
    args.iter()
        .find_map(|arg| match &arg.kind {
            NodeKind::Window(window) => Some((arg, window)),
            _ => None,
        })
        .ok_or_else(|| EvalError::query(node.span, "expected a range vector"))
}

/// A wrong factor is an error even where there are no samples to smooth.
fn check_smoothing_factors(
    ev: &mut Evaluator<'_>,
    name: &str,
    args: &[Node],
    grid: &Grid,
) -> Result<(), EvalError> {
    if name != "double_exponential_smoothing" {
        return Ok(());
    }
    for (arg, what) in args[1..].iter().zip(["smoothing factor", "trend factor"]) {
        let symbol = if what == "trend factor" { "tf" } else { "sf" };
        for value in ev.scalar(arg, grid)? {
            if value <= 0.0 || value >= 1.0 {
                let message =
                    format!("invalid {what}. Expected: 0 < {symbol} < 1, got: {value:.6}");
                return Err(EvalError::query(arg.span, message));
            }
        }
    }
    Ok(())
}

/// Counters end in certain suffixes, or say so in their type label.
fn note_if_no_counter(
    ev: &mut Evaluator<'_>,
    type_label: Option<&str>,
    metric_name: &str,
    span: Span,
) {
    if metric_name.is_empty() {
        return;
    }
    if ev.params.features.type_and_unit_labels {
        let kind = type_label.unwrap_or("");
        if kind != "counter" && kind != "histogram" {
            let text = format!(
                "metric might not be a counter, __type__ label is not set to \"counter\" or \"histogram\", got {kind:?}: {metric_name:?}"
            );
            ev.annotations.info(span, text);
        }
        return;
    }
    let suffixes = ["_total", "_sum", "_count", "_bucket"];
    if !suffixes.iter().any(|suffix| metric_name.ends_with(suffix)) {
        let text = format!(
            "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {metric_name:?}"
        );
        ev.annotations.info(span, text);
    }
}
