//! Sources of targets as serde reads them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::raw::Span;
use super::raw_client::with_client;

/// One of `file_sd_configs:`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawFileSd {
    pub(crate) files: Vec<String>,
    pub(crate) refresh_interval: Option<Span>,
}

with_client! {
    /// One of `http_sd_configs:`
    struct RawHttpSd {
        url: String,
        refresh_interval: Option<Span>,
    }
}

/// One of `dns_sd_configs:`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawDnsSd {
    pub(crate) names: Vec<String>,
    #[serde(rename = "type")]
    pub(crate) record: Option<String>,
    pub(crate) port: Option<u16>,
    pub(crate) refresh_interval: Option<Span>,
}

with_client! {
    /// One of `kubernetes_sd_configs:`
    struct RawKubernetesSd {
        api_server: Option<String>,
        role: String,
        kubeconfig_file: Option<PathBuf>,
        namespaces: RawNamespaces,
        selectors: Vec<RawSelector>,
        attach_metadata: RawAttachMetadata,
    }
}

/// `kubernetes_sd_configs[].namespaces:`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawNamespaces {
    #[serde(deserialize_with = "crate::config::raw::or_zero")]
    pub(crate) own_namespace: bool,
    pub(crate) names: Vec<String>,
}

/// One of `kubernetes_sd_configs[].selectors:`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawSelector {
    pub(crate) role: String,
    pub(crate) label: Option<String>,
    pub(crate) field: Option<String>,
}

/// `kubernetes_sd_configs[].attach_metadata:`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawAttachMetadata {
    #[serde(deserialize_with = "crate::config::raw::or_zero")]
    pub(crate) node: bool,
    #[serde(deserialize_with = "crate::config::raw::or_zero")]
    pub(crate) namespace: bool,
    #[serde(deserialize_with = "crate::config::raw::or_zero")]
    pub(crate) deployment: bool,
    #[serde(deserialize_with = "crate::config::raw::or_zero")]
    pub(crate) job: bool,
    #[serde(deserialize_with = "crate::config::raw::or_zero")]
    pub(crate) cronjob: bool,
}

with_client! {
    /// One of `docker_sd_configs:`
    struct RawDockerSd {
        host: String,
        port: Option<u16>,
        filters: Vec<RawDockerFilter>,
        host_networking_host: Option<String>,
        match_first_network: Option<bool>,
        refresh_interval: Option<Span>,
    }
}

/// One of `docker_sd_configs[].filters:`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawDockerFilter {
    pub(crate) name: String,
    pub(crate) values: Vec<String>,
}

with_client! {
    /// One of `consul_sd_configs:`
    struct RawConsulSd {
        server: Option<String>,
        path_prefix: Option<String>,
        token: Option<String>,
        datacenter: Option<String>,
        namespace: Option<String>,
        partition: Option<String>,
        tag_separator: Option<String>,
        scheme: Option<String>,
        username: Option<String>,
        password: Option<String>,
        #[serde(deserialize_with = "crate::config::raw::given")]
        allow_stale: Option<bool>,
        refresh_interval: Option<Span>,
        services: Vec<String>,
        tags: Vec<String>,
        #[serde(deserialize_with = "crate::config::raw::texts")]
        node_meta: BTreeMap<String, String>,
        filter: Option<String>,
        health_filter: Option<String>,
    }
}
