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
    /// Nodes are lost after 40 s, as in Kubernetes; their pods leave 15 s later (Kubernetes: 300 s), as replicas start
    /// in about a second. Each node has a /22 out of 127.64.0.0/12.
    fn default() -> Self {
        Self {
            nodes: Rules {
                grace: DurationMs(40_000),
                toleration: DurationMs(15_000),
                pod_range: Ipv4Addr::new(127, 64, 0, 0),
                pod_range_prefix: 12,
                node_prefix: 22,
            },
            workers: 2,
        }
    }
}
