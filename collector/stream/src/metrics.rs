//! Self-metrics of both sides.

use prometheus::{IntCounter, IntGauge, Registry};

/// Agent's side.
#[derive(Clone, Debug)]
pub(crate) struct ClientMetrics {
    pub(crate) spooled_batches: IntGauge,
    pub(crate) acknowledged_batches: IntCounter,
    pub(crate) dropped_batches: IntCounter,
    pub(crate) dropped_samples: IntCounter,
    pub(crate) refused_samples: IntCounter,
    pub(crate) connections: IntCounter,
}

impl ClientMetrics {
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name, help| counter(registry, name, help);
        let spooled_batches = IntGauge::new(
            "swell_stream_client_spooled_batches",
            "Ticks that the server has not acknowledged yet.",
        )?;
        registry.register(Box::new(spooled_batches.clone()))?;
        Ok(Self {
            spooled_batches,
            acknowledged_batches: counter(
                "swell_stream_client_acknowledged_batches_total",
                "Ticks that the server has stored.",
            )?,
            dropped_batches: counter(
                "swell_stream_client_dropped_batches_total",
                "Ticks given up because the spool was full.",
            )?,
            dropped_samples: counter(
                "swell_stream_client_dropped_samples_total",
                "Samples of ticks given up because the spool was full.",
            )?,
            refused_samples: counter(
                "swell_stream_client_refused_samples_total",
                "Samples the server refused for good.",
            )?,
            connections: counter(
                "swell_stream_client_connections_total",
                "Connections that a server welcomed.",
            )?,
        })
    }
}

/// Server's side.
#[derive(Clone, Debug)]
pub(crate) struct ServerMetrics {
    pub(crate) connected_agents: IntGauge,
    pub(crate) batches: IntCounter,
    pub(crate) duplicate_batches: IntCounter,
    pub(crate) samples: IntCounter,
    pub(crate) refused_samples: IntCounter,
    pub(crate) rejected_calls: IntCounter,
    pub(crate) refused_connections: IntCounter,
}

impl ServerMetrics {
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name, help| counter(registry, name, help);
        let connected_agents =
            IntGauge::new("swell_stream_server_connected_agents", "Agents with an open call.")?;
        registry.register(Box::new(connected_agents.clone()))?;
        Ok(Self {
            connected_agents,
            batches: counter("swell_stream_server_batches_total", "Batches stored.")?,
            duplicate_batches: counter(
                "swell_stream_server_duplicate_batches_total",
                "Batches that were stored before and came again.",
            )?,
            samples: counter("swell_stream_server_samples_total", "Samples stored.")?,
            refused_samples: counter(
                "swell_stream_server_refused_samples_total",
                "Samples refused because their labels break a limit.",
            )?,
            rejected_calls: counter(
                "swell_stream_server_rejected_calls_total",
                "Calls turned away: a wrong token or a broken protocol.",
            )?,
            refused_connections: counter(
                "swell_stream_server_refused_connections_total",
                "Connections closed at once since there were too many.",
            )?,
        })
    }
}

fn counter(registry: &Registry, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
    let counter = IntCounter::new(name, help)?;
    registry.register(Box::new(counter.clone()))?;
    Ok(counter)
}
