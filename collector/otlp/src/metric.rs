//! What a metric is: its kind, its temporality, and what is known of it while its points are translated.

use std::sync::Arc;

use swell_model::{CounterResetHint, METRIC_TYPE, METRIC_UNIT, MetricKind, NativeHistogram};

use crate::attributes::PointLabels;
use crate::message::Metric;
use crate::names::Kind;
use crate::settings::Deltas;

pub(crate) const DELTA: i32 = 1;
pub(crate) const CUMULATIVE: i32 = 2;

/// A metric on its way.
pub(crate) struct Family<'a> {
    pub(crate) metric: &'a Metric,
    /// As it is stored.
    pub(crate) name: String,
    /// What is known of it: nothing of deltas that are stored as they are.
    pub(crate) kind: MetricKind,
    pub(crate) unit: String,
    /// What becomes of its points if they are deltas.
    pub(crate) deltas: Option<Deltas>,
}

impl Family<'_> {
    /// Whether its points are stored as they are although they are deltas.
    pub(crate) fn is_bare_delta(&self) -> bool {
        self.deltas == Some(Deltas::AsTheyAre)
    }

    /// A histogram as it is stored. What is no running total is a gauge, so that none is taken for a reset.
    pub(crate) fn stored(&self, value: Arc<NativeHistogram>) -> Arc<NativeHistogram> {
        if self.is_bare_delta() {
            let reset_hint = CounterResetHint::Gauge;
            return Arc::new(NativeHistogram { reset_hint, ..(*value).clone() });
        }
        value
    }

    /// Labels a point with what is known of the metric.
    pub(crate) fn label(&self, labels: &mut PointLabels) {
        if self.kind != MetricKind::Unknown {
            labels.set(METRIC_TYPE, self.kind.as_str());
        }
        if !self.unit.is_empty() {
            labels.set(METRIC_UNIT, &self.unit);
        }
    }
}

pub(crate) fn point_count(metric: &Metric) -> usize {
    if let Some(gauge) = &metric.gauge {
        gauge.data_points.len()
    } else if let Some(sum) = &metric.sum {
        sum.data_points.len()
    } else if let Some(histogram) = &metric.histogram {
        histogram.data_points.len()
    } else if let Some(histogram) = &metric.exponential_histogram {
        histogram.data_points.len()
    } else {
        metric.summary.as_ref().map_or(0, |summary| summary.data_points.len())
    }
}

pub(crate) fn kind_of(metric: &Metric) -> (MetricKind, Kind) {
    if metric.gauge.is_some() {
        (MetricKind::Gauge, Kind::Gauge)
    } else if let Some(sum) = &metric.sum {
        if sum.is_monotonic {
            (MetricKind::Counter, Kind::Counter)
        } else {
            (MetricKind::Gauge, Kind::Other)
        }
    } else if metric.summary.is_some() {
        (MetricKind::Summary, Kind::Other)
    } else {
        (MetricKind::Histogram, Kind::Other)
    }
}

/// Gauges and summaries have none, which is as good as cumulative.
pub(crate) fn temporality_of(metric: &Metric) -> i32 {
    if metric.gauge.is_some() {
        CUMULATIVE
    } else if let Some(sum) = &metric.sum {
        sum.aggregation_temporality
    } else if let Some(histogram) = &metric.histogram {
        histogram.aggregation_temporality
    } else if let Some(histogram) = &metric.exponential_histogram {
        histogram.aggregation_temporality
    } else {
        CUMULATIVE
    }
}
