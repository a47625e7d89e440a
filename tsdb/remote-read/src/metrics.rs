//! What reading from others counts about itself, under Prometheus' names.

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry};

const REMOTE: [&str; 2] = ["remote_name", "url"];

/// Metrics of all servers that are asked.
#[derive(Clone, Debug)]
pub(crate) struct ReadMetrics {
    pub(crate) queries_total: IntCounterVec,
    pub(crate) running: IntGaugeVec,
    pub(crate) duration_seconds: HistogramVec,
}

impl ReadMetrics {
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let queries_total = IntCounterVec::new(
            Opts::new(
                "prometheus_remote_storage_read_queries_total",
                "Remote read queries by how they ended: a status, timeout, unreachable, unreadable or cancelled.",
            ),
            &["remote_name", "url", "code"],
        )?;
        let running = IntGaugeVec::new(
            Opts::new(
                "prometheus_remote_storage_remote_read_queries",
                "Remote read queries that run.",
            ),
            &REMOTE,
        )?;
        let duration_seconds = HistogramVec::new(
            HistogramOpts::new(
                "prometheus_remote_storage_read_request_duration_seconds",
                "How long remote read queries took, answers included.",
            )
            .buckets(prometheus::exponential_buckets(0.001, 4.0, 10)?),
            &REMOTE,
        )?;
        registry.register(Box::new(queries_total.clone()))?;
        registry.register(Box::new(running.clone()))?;
        registry.register(Box::new(duration_seconds.clone()))?;
        Ok(Self { queries_total, running, duration_seconds })
    }
}
