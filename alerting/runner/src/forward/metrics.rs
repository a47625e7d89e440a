//! What sending to Alertmanagers counts, under Prometheus' names, on which its mixin alerts.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
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
    /// Alertmanagers that are counted, by name: two entries may name the same one.
    counted: Arc<Mutex<BTreeMap<String, usize>>>,
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
            counted: Arc::default(),
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
        *self.counted.lock().entry(name.to_owned()).or_default() += 1;
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
    /// The Alertmanager is no more, and is not counted any more unless another entry names it. What was dropped stays to be
    /// seen, if anything was.
    pub(super) fn forget(&self) {
        let mut counted = self.all.counted.lock();
        let Some(count) = counted.get_mut(&self.name) else { return };
        *count -= 1;
        if *count > 0 {
            return;
        }
        counted.remove(&self.name);
        let values = [self.name.as_str()];
        let all = &self.all;
        let mut outcomes = vec![
            all.latency.remove_label_values(&values),
            all.sent.remove_label_values(&values),
            all.errors.remove_label_values(&values),
            all.queue_length.remove_label_values(&values),
        ];
        if self.dropped.get() == 0 {
            outcomes.push(all.dropped.remove_label_values(&values));
        }
        debug_assert!(outcomes.iter().all(Result::is_ok), "they were made with the first of them");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Metrics that name the Alertmanager.
    fn named(registry: &Registry) -> Vec<String> {
        let families = registry.gather();
        let has_name = |family: &&prometheus::proto::MetricFamily| {
            family.get_metric().iter().any(|it| !it.get_label().is_empty())
        };
        families.iter().filter(has_name).map(|family| family.name().to_owned()).collect()
    }

    #[test]
    fn an_alertmanager_that_is_gone_is_counted_no_more() {
        let registry = Registry::new();
        let metrics = ForwardMetrics::register(&registry).expect("a new registry");
        let (one, twin) = (metrics.of_peer("http://a/"), metrics.of_peer("http://a/"));
        one.sent.inc();
        one.forget();
        twin.sent.inc();
        assert_eq!(named(&registry).len(), 5);
        assert_eq!(twin.sent.get(), 2, "the other entry goes on counting");
        twin.forget();
        assert_eq!(named(&registry), [""; 0]);
        let lossy = metrics.of_peer("http://a/");
        assert_eq!(lossy.sent.get(), 0);
        lossy.dropped.inc();
        lossy.forget();
        assert_eq!(named(&registry), ["prometheus_notifications_dropped_total"]);
        assert_eq!(metrics.of_peer("http://a/").dropped.get(), 1, "and goes on when it is back");
    }
}
