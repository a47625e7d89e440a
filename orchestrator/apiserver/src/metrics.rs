//! What the server counts about itself.

use prometheus::{IntCounterVec, IntGauge, Opts, Registry};

/// Counters of one server.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    pub(crate) writes: IntCounterVec,
    pub(crate) watches: IntGauge,
    pub(crate) watch_events: IntCounterVec,
    pub(crate) collected: IntCounterVec,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let watches =
            IntGauge::new("swell_apiserver_watches", "Watches that are open at the moment.")?;
        registry.register(Box::new(watches.clone()))?;
        Ok(Self {
            writes: counter(
                "swell_apiserver_writes_total",
                "Objects written, by resource and verb.",
                &["resource", "verb"],
            )?,
            watches,
            watch_events: counter(
                "swell_apiserver_watch_events_total",
                "Events sent to watches, by resource.",
                &["resource"],
            )?,
            collected: counter(
                "swell_apiserver_garbage_collected_total",
                "Objects deleted because their owner, namespace or time was gone, by resource.",
                &["resource"],
            )?,
        })
    }
}
