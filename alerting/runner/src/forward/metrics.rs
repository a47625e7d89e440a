//! What sending to Alertmanagers counts, under Prometheus' names, on which its mixin alerts.

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};

const LABELS: [&str; 1] = ["alertmanager"];

#[derive(Clone, Debug)]
pub(super) struct ForwardMetrics {
    pub(super) queue_capacity: IntGauge,
    pub(super) discovered: IntGauge,
    latency: HistogramVec,
    sent: IntCounterVec,
    errors: IntCounterVec,
    dropped: IntCounterVec,
    queue_length: IntGaugeVec,
}

/// Those of one Alertmanager.
#[derive(Debug)]
pub(super) struct PeerMetrics {
    all: ForwardMetrics,
    name: String,
    pub(super) latency: Histogram,
    pub(super) sent: IntCounter,
    pub(super) errors: IntCounter,
    pub(super) dropped: IntCounter,
    pub(super) queue_length: IntGauge,
}

impl ForwardMetrics {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let opts =
            |name: &str, help: &str| Opts::new(format!("prometheus_notifications_{name}"), help);
        let counter = |name: &str, help: &str| IntCounterVec::new(opts(name, help), &LABELS);
        let metrics = Self {
            queue_capacity: IntGauge::with_opts(opts(
                "queue_capacity",
                "Alerts that may wait for one Alertmanager.",
            ))?,
            discovered: IntGauge::with_opts(opts(
                "alertmanagers_discovered",
                "Alertmanagers that alerts are sent to.",
            ))?,
            latency: HistogramVec::new(
                HistogramOpts::new(
                    "prometheus_notifications_latency_seconds",
                    "Time that requests with alerts took.",
                )
                .buckets(vec![0.01, 0.1, 1.0, 10.0]),
                &LABELS,
            )?,
            sent: counter("sent_total", "Alerts in requests, those that failed included.")?,
            errors: counter("errors_total", "Alerts in requests that failed.")?,
            dropped: counter(
                "dropped_total",
                "Alerts that were never taken: refused for good, or too many waited.",
            )?,
            queue_length: IntGaugeVec::new(
                opts("queue_length", "Alerts that wait for an Alertmanager."),
                &LABELS,
            )?,
        };
        registry.register(Box::new(metrics.queue_capacity.clone()))?;
        registry.register(Box::new(metrics.discovered.clone()))?;
        registry.register(Box::new(metrics.latency.clone()))?;
        registry.register(Box::new(metrics.sent.clone()))?;
        registry.register(Box::new(metrics.errors.clone()))?;
        registry.register(Box::new(metrics.dropped.clone()))?;
        registry.register(Box::new(metrics.queue_length.clone()))?;
        Ok(metrics)
    }

    pub(super) fn of_peer(&self, name: &str) -> PeerMetrics {
        let values = [name];
        PeerMetrics {
            all: self.clone(),
            name: name.to_owned(),
            latency: self.latency.with_label_values(&values),
            sent: self.sent.with_label_values(&values),
            errors: self.errors.with_label_values(&values),
            dropped: self.dropped.with_label_values(&values),
            queue_length: self.queue_length.with_label_values(&values),
        }
    }
}

impl PeerMetrics {
    /// The Alertmanager is no more. Counters stay: what was dropped with it is to be seen.
    pub(super) fn forget(&self) {
        // Missing only where two entries name the same address, and one of them went before.
        if self.all.queue_length.remove_label_values(&[self.name.as_str()]).is_err() {
            tracing::debug!(alertmanager = self.name, "its queue is not measured any more");
        }
    }
}
