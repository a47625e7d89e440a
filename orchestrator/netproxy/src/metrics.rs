//! The proxy's own metrics; those of the services go into the pass (`stats.rs`).

use prometheus::{IntCounter, IntGauge, Registry};

#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    pub(crate) frontends: IntGauge,
    pub(crate) bind_failures: IntCounter,
    pub(crate) accept_failures: IntCounter,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            frontends: IntGauge::new(
                "swell_netproxy_frontends",
                "Service addresses that are listened on.",
            )?,
            bind_failures: IntCounter::new(
                "swell_netproxy_bind_failures_total",
                "Failed attempts to listen on a service address.",
            )?,
            accept_failures: IntCounter::new(
                "swell_netproxy_accept_failures_total",
                "Connections that could not be accepted.",
            )?,
        };
        registry.register(Box::new(metrics.frontends.clone()))?;
        registry.register(Box::new(metrics.bind_failures.clone()))?;
        registry.register(Box::new(metrics.accept_failures.clone()))?;
        Ok(metrics)
    }
}
