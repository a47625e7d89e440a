//! What the API counts about itself.

use std::sync::Arc;

use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, PullingGauge, Registry,
};
use swell_env::Clock;
use swell_telemetry::{Summary, SummaryVec};

use crate::health::Readiness;

/// Metrics of queries.
#[derive(Clone, Debug)]
pub(crate) struct QueryMetrics {
    /// From the request to the value, by kind of query.
    pub(crate) duration_seconds: Histogram,
    /// Queries under way.
    pub(crate) running: IntGauge,
    /// Samples that queries looked at.
    pub(crate) samples_total: IntCounter,
    /// Queries that were not handed to a thread of queries.
    pub(crate) at_hand_total: IntCounter,
    /// Failed queries by type of error.
    pub(crate) failures_total: IntCounterVec,
    /// Work that runs or waits for its turn.
    pub(crate) asked: IntGauge,
    /// Until evaluations began.
    pub(crate) queue_seconds: Summary,
    /// Evaluations.
    pub(crate) evaluation_seconds: Summary,
}

impl QueryMetrics {
    pub(crate) fn register(
        registry: &Registry,
        clock: &Arc<dyn Clock>,
        concurrency_max: usize,
    ) -> Result<Self, prometheus::Error> {
        let slices = SummaryVec::register(
            registry,
            clock,
            (
                "prometheus_engine_query_duration_seconds",
                "Query timings: of waiting for a turn, and of evaluating.",
            ),
            &["slice"],
            &[0.5, 0.9, 0.99],
        )?;
        let most = IntGauge::new(
            "prometheus_engine_queries_concurrent_max",
            "The max number of concurrent queries.",
        )?;
        most.set(i64::try_from(concurrency_max).unwrap_or(i64::MAX));
        registry.register(Box::new(most))?;
        let buckets = prometheus::exponential_buckets(0.0001, 4.0, 10)?;
        let metrics = Self {
            duration_seconds: Histogram::with_opts(
                HistogramOpts::new(
                    "swell_query_duration_seconds",
                    "Time from a query's request to its value.",
                )
                .buckets(buckets),
            )?,
            running: IntGauge::new("swell_query_running", "Queries under way.")?,
            samples_total: IntCounter::new(
                "swell_query_samples_total",
                "Samples that queries looked at.",
            )?,
            at_hand_total: IntCounter::new(
                "swell_query_at_hand_total",
                "Queries that took so little that they were evaluated where their request was read.",
            )?,
            failures_total: IntCounterVec::new(
                Opts::new("swell_query_failures_total", "Failed queries by type of error."),
                &["reason"],
            )?,
            asked: IntGauge::new(
                "prometheus_engine_queries",
                "The current number of queries, and of lists of series, names and values, being executed or waiting.",
            )?,
            queue_seconds: slices.with_label_values(&["queue_time"]),
            evaluation_seconds: slices.with_label_values(&["inner_eval"]),
        };
        registry.register(Box::new(metrics.duration_seconds.clone()))?;
        registry.register(Box::new(metrics.running.clone()))?;
        registry.register(Box::new(metrics.samples_total.clone()))?;
        registry.register(Box::new(metrics.at_hand_total.clone()))?;
        registry.register(Box::new(metrics.failures_total.clone()))?;
        registry.register(Box::new(metrics.asked.clone()))?;
        Ok(metrics)
    }
}

/// Registers whether the server is ready, asked for when the metrics are gathered.
pub(crate) fn register_readiness(
    registry: &Registry,
    readiness: Readiness,
) -> Result<(), prometheus::Error> {
    let gauge = PullingGauge::new(
        "prometheus_ready",
        "Whether the server was fully started and is ready for normal operation.",
        Box::new(move || if readiness.is_ready() { 1.0 } else { 0.0 }),
    )?;
    registry.register(Box::new(gauge))
}
