//! What an operator may set.

use std::net::Ipv4Addr;

use swell_model::DurationMs;
use swell_reconcile::node_lifecycle::Rules;

/// How the controllers behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// When a silent node is lost, when its pods leave, and where pods' addresses come from.
    pub nodes: Rules,
    /// Reconciliations of one kind that may run at once.
    pub workers: usize,
}

impl Default for Config {
    /// Nodes are lost after 10 s (Kubernetes: 40 s), since agents report each 3 s; their pods leave 4 s later
    /// (Kubernetes: 300 s), as replicas start in about a second. Each node has a /22 out of 127.64.0.0/12.
    fn default() -> Self {
        Self {
            nodes: Rules {
                grace: DurationMs(10_000),
                toleration: DurationMs(4_000),
                pod_range: Ipv4Addr::new(127, 64, 0, 0),
                pod_range_prefix: 12,
                node_prefix: 22,
            },
            workers: 2,
        }
    }
}
