//! What the API counts about itself.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

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
}

impl QueryMetrics {
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
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
        };
        registry.register(Box::new(metrics.duration_seconds.clone()))?;
        registry.register(Box::new(metrics.running.clone()))?;
        registry.register(Box::new(metrics.samples_total.clone()))?;
        registry.register(Box::new(metrics.at_hand_total.clone()))?;
        registry.register(Box::new(metrics.failures_total.clone()))?;
        Ok(metrics)
    }
}
