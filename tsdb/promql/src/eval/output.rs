//! The outermost value in the shape the caller gets.

use std::sync::Arc;

use swell_model::{Coarse, SampleValue, TimestampMs, is_stale_nan};
use swell_promql_syntax::{Boundary, ValueType};

use super::{
    Evaluator, Grid, Held, PointRef, RangeSeries, Series, Value, WindowView, merge_same_labels,
    without_metadata,
};
use crate::error::EvalError;
use crate::functions::smoothing;
use crate::params::QueryKind;
use crate::plan::{Node, NodeKind, WindowSource};
use crate::value::{FloatPoint, HistogramPoint, MatrixSeries, QueryValue, VectorSample};

impl Evaluator<'_> {
    /// Evaluates the root.
    pub(super) fn output(&mut self, node: &Node, grid: &Grid) -> Result<QueryValue, EvalError> {
        if let NodeKind::Window(window) = &node.kind {
            if self.params.kind == QueryKind::Range {
                return Err(EvalError::query(
                    node.span,
                    "invalid expression type \"range vector\" for range query, must be Scalar or instant Vector",
                ));
            }
            return self.window_output(node, window, grid);
        }
        if node.value_type == ValueType::Text && self.params.kind == QueryKind::Range {
            return Err(EvalError::query(
                node.span,
                "invalid expression type \"string\" for range query, must be Scalar or instant Vector",
            ));
        }
        match (self.eval(node, grid)?, self.params.kind) {
            (Value::Text(text), _) => Ok(QueryValue::String(
                TimestampMs(grid.start_ms),
                String::from_utf8_lossy(&text).into_owned(),
            )),
            (Value::Scalar(values), QueryKind::Instant) => {
                let value = values.first().copied().unwrap_or(f64::NAN);
                Ok(QueryValue::Scalar(FloatPoint { timestamp: TimestampMs(grid.start_ms), value }))
            }
            (Value::Scalar(values), QueryKind::Range) => {
                let floats = values
                    .into_iter()
                    .enumerate()
                    .map(|(step, value)| FloatPoint {
                        timestamp: TimestampMs(grid.at(step)),
                        value,
                    })
                    .collect();
                Ok(QueryValue::Matrix(vec![MatrixSeries { floats, ..MatrixSeries::default() }]))
            }
            (Value::Vector(series), QueryKind::Instant) => {
                let series = self.with_names_dropped(series, node)?;
                Ok(QueryValue::Vector(vector_samples(series, grid)))
            }
            (Value::Vector(series), QueryKind::Range) => {
                let series = self.with_names_dropped(series, node)?;
                let mut matrix: Vec<_> = series
                    .into_iter()
                    .filter(|one| !one.column.is_empty())
                    .map(|one| matrix_series(one, grid))
                    .collect();
                matrix.sort_by(|one, two| one.labels.cmp(&two.labels));
                Ok(QueryValue::Matrix(matrix))
            }
        }
    }

    /// Drops the names whose removal was delayed. Series that become the same must not meet at a step.
    fn with_names_dropped(
        &self,
        mut series: Vec<Series>,
        node: &Node,
    ) -> Result<Vec<Series>, EvalError> {
        if !series.iter().any(|one| one.drop_name) {
            return Ok(series);
        }
        for one in series.iter_mut().filter(|one| one.drop_name) {
            one.labels = without_metadata(&one.labels);
        }
        merge_same_labels(series, node)
    }

    fn window_output(
        &mut self,
        node: &Node,
        window: &crate::plan::Window,
        grid: &Grid,
    ) -> Result<QueryValue, EvalError> {
        let lookback_ms = self.params.lookback.0;
        let (parts, inside) = self.range_series(window, node.span, grid, Coarse::Newest)?;
        // What a subquery gives is the answer itself: what counts is what it was computed from.
        self.tally.at(0, inside);
        let is_selected = matches!(window.source, WindowSource::Matchers { .. });
        let parts = self.in_lanes(parts, |part, lane| {
            let mut matrix = Vec::new();
            for one in part {
                let one = one?;
                lane.budget.check_cancelled()?;
                lane.begin(&one)?;
                let view = one.window(window, grid.start_ms, lookback_ms);
                // Each series is given back after its visit; what the result holds is counted once more.
                match window.boundary {
                    _ if view.is_empty() => {}
                    Boundary::Plain => {
                        if is_selected {
                            lane.tally.at(0, view.looked_at);
                        }
                        lane.hold(Held::samples(view.weight()))?;
                        matrix.push(window_series(&one, &view));
                    }
                    Boundary::Anchored | Boundary::Smoothed => {
                        let series = extended_series(&one, &view, window.boundary)
                            .map_err(|message| EvalError::query(node.span, message))?;
                        lane.tally.at(0, series.floats.len() as u64);
                        lane.hold(Held::samples(series.floats.len()))?;
                        if !series.floats.is_empty() {
                            matrix.push(series);
                        }
                    }
                }
                lane.end(&one);
            }
            Ok(Some(matrix))
        })?;
        let mut matrix: Vec<MatrixSeries> = parts.into_iter().flatten().flatten().collect();
        matrix.sort_by(|one, two| one.labels.cmp(&two.labels));
        if matrix.windows(2).any(|pair| pair[0].labels == pair[1].labels) {
            return Err(EvalError::query(node.span, super::SAME_LABELSET));
        }
        Ok(QueryValue::Matrix(matrix))
    }
}

/// The samples of a window as they are.
fn window_series(one: &RangeSeries, view: &WindowView<'_>) -> MatrixSeries {
    let floats = view
        .times
        .iter()
        .zip(view.floats)
        .map(|(at, value)| FloatPoint { timestamp: TimestampMs(*at), value: *value })
        .collect();
    let histograms = view
        .histogram_times
        .iter()
        .zip(view.histograms)
        .map(|(at, value)| HistogramPoint { timestamp: TimestampMs(*at), value: Arc::clone(value) })
        .collect();
    let labels = if one.drop_name { without_metadata(&one.labels) } else { one.labels.clone() };
    MatrixSeries { labels, floats, histograms }
}

/// The samples of an anchored or smoothed window, with what stands for them at its ends.
fn extended_series(
    one: &RangeSeries,
    view: &WindowView<'_>,
    boundary: Boundary,
) -> Result<MatrixSeries, &'static str> {
    if !view.histograms.is_empty() {
        return Err(match boundary {
            Boundary::Smoothed => "smoothed modifier is not supported with histograms",
            _ => "anchored modifier is not supported with histograms",
        });
    }
    let floats = smoothing::extended(view, boundary)
        .into_iter()
        .map(|(at, value)| FloatPoint { timestamp: TimestampMs(at), value })
        .collect();
    Ok(MatrixSeries { labels: one.labels.clone(), floats, histograms: Vec::new() })
}

fn vector_samples(series: Vec<Series>, grid: &Grid) -> Vec<VectorSample> {
    series
        .into_iter()
        .filter_map(|one| {
            let value = match one.column.get(0)? {
                PointRef::Float(value) => SampleValue::Float(value),
                PointRef::Histogram(value) => SampleValue::Histogram(Arc::clone(value)),
            };
            let timestamp = TimestampMs(grid.start_ms);
            Some(VectorSample { labels: one.labels, timestamp, value })
        })
        .collect()
}

fn matrix_series(one: Series, grid: &Grid) -> MatrixSeries {
    let mut floats = Vec::with_capacity(one.column.float_count());
    if !one.column.has_histograms() {
        let mut at_ms = grid.start_ms;
        for value in one.column.raw_floats() {
            if !is_stale_nan(*value) {
                floats.push(FloatPoint { timestamp: TimestampMs(at_ms), value: *value });
            }
            at_ms = at_ms.saturating_add(grid.step_ms);
        }
        return MatrixSeries { labels: one.labels, floats, histograms: Vec::new() };
    }
    let mut histograms = Vec::new();
    for step in 0..one.column.len() {
        let timestamp = TimestampMs(grid.at(step));
        match one.column.get(step) {
            Some(PointRef::Float(value)) => floats.push(FloatPoint { timestamp, value }),
            Some(PointRef::Histogram(value)) => {
                histograms.push(HistogramPoint { timestamp, value: Arc::clone(value) });
            }
            None => {}
        }
    }
    MatrixSeries { labels: one.labels, floats, histograms }
}
