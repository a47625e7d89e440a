//! The agent's own metrics.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts};
use swell_telemetry::Registry;

/// Registered once by [`NodeAgent::new`](crate::NodeAgent::new).
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    pub(crate) pods: IntGauge,
    pub(crate) container_starts: IntCounterVec,
    pub(crate) start_duration: Histogram,
    pub(crate) probe_failures: IntCounterVec,
    pub(crate) status_updates: IntCounterVec,
    pub(crate) lease_failures: IntCounter,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            pods: IntGauge::new("swell_agent_pods", "Pods this node takes care of.")?,
            container_starts: IntCounterVec::new(
                Opts::new(
                    "swell_agent_container_starts_total",
                    "Containers started, by outcome (started, refused).",
                ),
                &["outcome"],
            )?,
            start_duration: Histogram::with_opts(
                HistogramOpts::new(
                    "swell_agent_container_start_duration_seconds",
                    "From the decision to start a container to its program running.",
                )
                .buckets(vec![0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0]),
            )?,
            probe_failures: IntCounterVec::new(
                Opts::new("swell_agent_probe_failures_total", "Failed probes that count, by kind."),
                &["probe"],
            )?,
            status_updates: IntCounterVec::new(
                Opts::new(
                    "swell_agent_pod_status_updates_total",
                    "Pod statuses sent to the API server, by outcome (accepted, failed).",
                ),
                &["outcome"],
            )?,
            lease_failures: IntCounter::new(
                "swell_agent_lease_failures_total",
                "Renewals of the node's lease that failed.",
            )?,
        };
        registry.register(Box::new(metrics.pods.clone()))?;
        registry.register(Box::new(metrics.container_starts.clone()))?;
        registry.register(Box::new(metrics.start_duration.clone()))?;
        registry.register(Box::new(metrics.probe_failures.clone()))?;
        registry.register(Box::new(metrics.status_updates.clone()))?;
        registry.register(Box::new(metrics.lease_failures.clone()))?;
        Ok(metrics)
    }
}
