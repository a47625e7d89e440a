//! Functions of range vectors: one value per series and step out of the samples in a window.

use std::sync::atomic::{AtomicUsize, Ordering};

use swell_promql_syntax::{Boundary, Span};

use super::blocks::AheadOfWindows;
use super::sliding::{Carried, Sliding};
use super::sorted::SortedWindow;
use super::{
    EvalError, Evaluator, Grid, Node, folded, lockstep, over_time, rate, regression, resets,
};
use crate::annotations::Annotations;
use crate::eval::{Column, Held, Point, Series, WindowView, concat, sort_by_labels};
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

/// Makes a range vector function ready.
pub(super) fn sliding<'a>(
    ev: &mut Evaluator<'_>,
    node: &'a Node,
    name: &'a str,
    function: WindowFn,
    args: &'a [Node],
    grid: &Grid,
) -> Result<(Sliding<'a>, Span), EvalError> {
    let (arg, window) = window_arg(node, args)?;
    check_smoothing_factors(ev, name, args, grid)?;
    let mut scalars = Vec::new();
    for arg in args.iter().filter(|arg| !matches!(arg.kind, NodeKind::Window(_))) {
        scalars.push(ev.scalar(arg, grid)?);
    }
    let sliding = Sliding {
        name,
        function,
        window,
        span: args[0].outer,
        scalars,
        grid: *grid,
        lookback_ms: ev.params.lookback.0,
        features: ev.params.features,
        change: rate::change_kind(name),
        foldable: folded::folded_function(name),
        chained: lockstep::chained_function(name),
    };
    Ok((sliding, arg.span))
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
    let (sliding, span) = sliding(ev, node, name, function, args, grid)?;
    let keeps_name = matches!(name, "last_over_time" | "first_over_time");
    let (parts, _) = ev.range_series(sliding.window, span, grid, sliding.coarse())?;
    let series_count = AtomicUsize::new(0);
    let results = ev.in_lanes(parts, |part, lane| {
        let mut result: Vec<Series> = Vec::new();
        let mut carried = Carried::default();
        for one in part {
            let one = one?;
            lane.begin(&one)?;
            let mut column = Column::absent(grid.count);
            sliding.apply(&one, &mut carried, lane, &mut column)?;
            lane.end(&one);
            if column.is_empty() {
                continue;
            }
            let count = series_count.fetch_add(1, Ordering::Relaxed) + 1;
            lane.budget.check_columns(count, grid.count)?;
            let series = Series { labels: one.labels, drop_name: one.drop_name, column };
            lane.hold(Held::series(&series))?;
            result.push(series);
        }
        Ok(Some(result))
    })?;
    let mut result = results.map(concat).unwrap_or_default();
    sort_by_labels(&mut result);
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
