//! Self-metrics of every listener.

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry};

/// Request durations worth telling apart: 1 ms to 30 s.
const DURATION_BUCKETS_S: [f64; 9] = [0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 5.0, 10.0, 30.0];

/// Requests and connections of all listeners of one process; clones share their counters.
#[derive(Clone, Debug)]
pub struct HttpMetrics {
    pub(crate) requests: IntCounterVec,
    pub(crate) duration: HistogramVec,
    pub(crate) in_flight: IntGaugeVec,
    pub(crate) connections: IntGaugeVec,
    pub(crate) refused: IntCounterVec,
}

impl HttpMetrics {
    /// Registers the metrics; once per registry.
    ///
    /// # Errors
    /// When the registry has metrics of these names already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            requests: IntCounterVec::new(
                Opts::new(
                    "swell_http_requests_total",
                    "HTTP requests by listener, route and status.",
                ),
                &["listener", "route", "method", "code"],
            )?,
            duration: HistogramVec::new(
                HistogramOpts::new(
                    "swell_http_request_duration_seconds",
                    "Time from a request's head to its answer's head.",
                )
                .buckets(DURATION_BUCKETS_S.to_vec()),
                &["listener"],
            )?,
            in_flight: IntGaugeVec::new(
                Opts::new("swell_http_requests_in_flight", "HTTP requests not answered yet."),
                &["listener"],
            )?,
            connections: IntGaugeVec::new(
                Opts::new("swell_http_connections", "Open client connections."),
                &["listener"],
            )?,
            refused: IntCounterVec::new(
                Opts::new(
                    "swell_http_connections_refused_total",
                    "Connections closed at once, by reason.",
                ),
                &["listener", "reason"],
            )?,
        };
        registry.register(Box::new(metrics.requests.clone()))?;
        registry.register(Box::new(metrics.duration.clone()))?;
        registry.register(Box::new(metrics.in_flight.clone()))?;
        registry.register(Box::new(metrics.connections.clone()))?;
        registry.register(Box::new(metrics.refused.clone()))?;
        Ok(metrics)
    }
}
