//! Finds targets and follows them: files, HTTP, DNS, Kubernetes, Docker, Consul.
//!
//! [`Discovery`] runs the sources that one job names and knows the targets of each as they were last told
//! successfully: a source that is down keeps its targets, and none are left only when it says so. Labels are named
//! as Prometheus names them (`__meta_…`). What an answer means is decided in files that know no network.

mod config;
mod consul;
mod discovery;
mod dns;
mod docker;
mod file;
mod group;
mod http;
mod kubernetes;
mod metrics;
mod names;
mod refresh;

pub use config::{
    AttachMetadata, ConsulConfig, DiscoveryConfig, DnsConfig, DnsRecord, DockerConfig, DockerHost,
    FileConfig, HttpConfig, KubernetesConfig, KubernetesServer, Namespaces, Role, Selector,
};
pub use discovery::{Discovery, DiscoveryDeps, StartError};
pub use group::TargetGroup;
pub use metrics::DiscoveryMetrics;
