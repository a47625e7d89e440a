//! What the agent is told; checked by whoever reads the configuration file.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use swell_model::DurationMs;

use crate::pod::BackOffLimits;

/// Settings of one node's agent.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of the Node object; a DNS subdomain.
    pub node_name: String,
    /// Further labels of the Node, on top of `kubernetes.io/hostname`, `…/os` and `…/arch`.
    pub labels: BTreeMap<String, String>,
    /// Address under which the node is known, and that of pods with `hostNetwork`.
    pub address: IpAddr,
    /// What pods may use together.
    pub capacity: Capacity,
    /// Directory for logs of pods.
    pub data_dir: PathBuf,
    /// Runtime class that pods may name; pods without one run too.
    pub runtime_class: String,
    /// Where the log endpoint listens; port 0 takes a free one.
    pub logs_listen: SocketAddr,
    /// Bearer token that the log endpoint asks for.
    pub logs_token: String,
    /// Environment of every container before its own: `PATH`, `HOME`, `LANG` of the host, as pods are
    /// programs of the host.
    pub host_env: Vec<(String, String)>,
    /// How often the node's Lease is renewed.
    pub lease_interval: Duration,
    /// Between readiness withdrawn and SIGTERM, so that proxies stop sending first; taken from the grace.
    pub drain: DurationMs,
    /// How long a container that failed waits to be started again.
    pub back_off: BackOffLimits,
    /// Stop all pods when the agent is told to shut down (the demo), instead of leaving them to the next agent.
    pub stop_pods_on_shutdown: bool,
    /// Thresholds of the pressure conditions.
    pub pressure: PressureLimits,
}

/// Resources of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// CPU in thousandths of a core.
    pub cpu_milli: u64,
    /// Memory.
    pub memory_bytes: u64,
    /// Number of pods.
    pub pods: u32,
}

/// Below these the node reports pressure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PressureLimits {
    /// Available memory; the kubelet's default is 100 MiB.
    pub memory_available_bytes_min: u64,
    /// Free space on the data directory's file system.
    pub disk_available_bytes_min: u64,
    /// Free process ids.
    pub pids_available_min: u64,
}

impl Config {
    /// Kubernetes' defaults for everything that has one, on a node of this name and capacity; but it reports each
    /// 3 s instead of 10, so that a lost node is told from a slow one within 10 s.
    #[must_use]
    pub fn new(
        node_name: String,
        capacity: Capacity,
        data_dir: PathBuf,
        logs_token: String,
    ) -> Self {
        Self {
            node_name,
            labels: BTreeMap::new(),
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            capacity,
            data_dir,
            runtime_class: "process".to_owned(),
            logs_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            logs_token,
            host_env: Vec::new(),
            lease_interval: Duration::from_secs(3),
            drain: DurationMs(300),
            back_off: BackOffLimits::KUBELET,
            stop_pods_on_shutdown: false,
            pressure: PressureLimits {
                memory_available_bytes_min: 100 << 20,
                disk_available_bytes_min: 512 << 20,
                pids_available_min: 1000,
            },
        }
    }
}
