//! What may be discovered: checked values, one variant per kind of source.

use std::collections::BTreeMap;
use std::path::PathBuf;

use swell_http_client::{ClientOptions, Secret};
use swell_model::DurationMs;
use url::Url;

/// One source of targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiscoveryConfig {
    /// `file_sd_configs`
    File(FileConfig),
    /// `http_sd_configs`
    Http(Box<HttpConfig>),
    /// `dns_sd_configs`
    Dns(DnsConfig),
    /// `kubernetes_sd_configs`
    Kubernetes(Box<KubernetesConfig>),
    /// `docker_sd_configs`
    Docker(Box<DockerConfig>),
    /// `consul_sd_configs`
    Consul(Box<ConsulConfig>),
}

impl DiscoveryConfig {
    /// The kind of source, as metrics and messages name it.
    #[must_use]
    pub const fn mechanism(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Http(_) => "http",
            Self::Dns(_) => "dns",
            Self::Kubernetes(_) => "kubernetes",
            Self::Docker(_) => "docker",
            Self::Consul(_) => "consul",
        }
    }
}

/// Target groups that stand in files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileConfig {
    /// Paths to `.json`, `.yml` or `.yaml`; the last part may hold `*` and `?`.
    pub patterns: Vec<PathBuf>,
    /// Files are read again at least this often; changes are noticed sooner.
    pub refresh: DurationMs,
}

/// Target groups that a server gives as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    /// Where it is asked.
    pub url: Url,
    /// Distance of questions.
    pub refresh: DurationMs,
    /// How it is asked.
    pub client: ClientOptions,
}

/// Which records of a name are targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DnsRecord {
    /// Service records: host and port.
    Srv,
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Mail exchangers.
    Mx,
    /// Name servers.
    Ns,
}

/// Targets that stand in the domain name system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsConfig {
    /// Names to look up.
    pub names: Vec<String>,
    /// Which records.
    pub record: DnsRecord,
    /// Port of targets whose records have none.
    pub port: u16,
    /// Distance of look-ups.
    pub refresh: DurationMs,
}

/// Containers of a Docker engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DockerConfig {
    /// Socket, or address of the engine.
    pub host: DockerHost,
    /// Port of containers that expose none.
    pub port: u16,
    /// Address of containers in the host's network.
    pub host_networking_host: String,
    /// Whether a container in several networks is one target rather than one per network.
    pub match_first_network: bool,
    /// Filters of the engine's list, by name.
    pub filters: BTreeMap<String, Vec<String>>,
    /// Distance of questions.
    pub refresh: DurationMs,
    /// How it is asked.
    pub client: ClientOptions,
}

/// Where a Docker engine listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DockerHost {
    /// A socket in the file system.
    Socket(PathBuf),
    /// Over the network.
    Url(Url),
}

/// Services of a Consul cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsulConfig {
    /// Address of an agent, with the prefix of its paths.
    pub url: Url,
    /// Token of the access control list.
    pub token: Option<Secret>,
    /// Datacenter; the agent's own when absent.
    pub datacenter: Option<String>,
    /// Namespace (enterprise).
    pub namespace: Option<String>,
    /// Partition (enterprise).
    pub partition: Option<String>,
    /// Put between tags in their label, and at both ends.
    pub tag_separator: String,
    /// Services; all when empty.
    pub services: Vec<String>,
    /// Tags that a service must have, all of them.
    pub tags: Vec<String>,
    /// Metadata that a node must have.
    pub node_meta: BTreeMap<String, String>,
    /// Filter expression of the catalogue.
    pub filter: Option<String>,
    /// Filter expression of a service's instances.
    pub health_filter: Option<String>,
    /// Whether any server of the cluster may answer.
    pub allow_stale: bool,
    /// Shortest distance of questions.
    pub refresh: DurationMs,
    /// How it is asked.
    pub client: ClientOptions,
}

/// What in a cluster is a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Nodes, by their kubelet.
    Node,
    /// Ports of containers.
    Pod,
    /// Ports of services.
    Service,
    /// Endpoints behind services, from `Endpoints`.
    Endpoints,
    /// Endpoints behind services, from `EndpointSlice`.
    EndpointSlice,
    /// Paths of ingresses.
    Ingress,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 6] =
        [Self::Node, Self::Pod, Self::Service, Self::Endpoints, Self::EndpointSlice, Self::Ingress];

    /// As configurations and metrics have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Pod => "pod",
            Self::Service => "service",
            Self::Endpoints => "endpoints",
            Self::EndpointSlice => "endpointslice",
            Self::Ingress => "ingress",
        }
    }
}

/// Which namespaces count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespaces {
    /// By name; all when empty.
    pub names: Vec<String>,
    /// Also the one that this process runs in.
    pub own: bool,
}

/// Which objects of a kind count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// The kind, as a role.
    pub role: Role,
    /// Label selector.
    pub label: Option<String>,
    /// Field selector.
    pub field: Option<String>,
}

/// What is told about related objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttachMetadata {
    /// Labels and annotations of the node.
    pub node: bool,
    /// Labels and annotations of the namespace.
    pub namespace: bool,
    /// Name of the Deployment that a pod belongs to.
    pub deployment: bool,
    /// Name of the Job that a pod belongs to.
    pub job: bool,
    /// Name of the CronJob that a pod belongs to.
    pub cron_job: bool,
}

/// Which API server is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KubernetesServer {
    /// The one of this process.
    Own,
    /// The one at an address, by the client options.
    At(Url),
    /// What a kubeconfig file says; the client options do not count.
    Kubeconfig(PathBuf),
    /// The cluster that this process runs in as a pod; the client options do not count.
    InCluster {
        /// Where it is.
        url: Url,
        /// Folder with the account's token, authority and namespace.
        account: PathBuf,
    },
}

/// Objects of a Kubernetes cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesConfig {
    /// Which cluster.
    pub server: KubernetesServer,
    /// Which objects are targets.
    pub role: Role,
    /// In which namespaces.
    pub namespaces: Namespaces,
    /// Which of them.
    pub selectors: Vec<Selector>,
    /// What is told about related objects.
    pub attach: AttachMetadata,
    /// How the API server is asked.
    pub client: ClientOptions,
}
