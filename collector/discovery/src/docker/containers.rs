//! From an engine's lists of containers and networks to targets.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::group::{LabelMap, TargetGroup};
use crate::names::{join, sanitized};

const PREFIX: &str = "__meta_docker_";
/// Chains of containers that share a network are no longer than this in reason.
const SHARED_NETWORK_DEPTH_MAX: usize = 16;

/// An entry of `/containers/json`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Container {
    id: String,
    names: Option<Vec<String>>,
    ports: Option<Vec<Port>>,
    labels: Option<BTreeMap<String, String>>,
    host_config: HostConfig,
    network_settings: Option<NetworkSettings>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct HostConfig {
    network_mode: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct NetworkSettings {
    networks: Option<BTreeMap<String, Option<Endpoint>>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Endpoint {
    #[serde(rename = "NetworkID")]
    network_id: String,
    #[serde(rename = "IPAddress")]
    ip_address: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Port {
    #[serde(rename = "IP")]
    ip: String,
    private_port: u16,
    public_port: u16,
    #[serde(rename = "Type")]
    protocol: String,
}

/// An entry of `/networks`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Network {
    id: String,
    name: String,
    scope: String,
    internal: bool,
    ingress: bool,
    labels: Option<BTreeMap<String, String>>,
}

/// How containers become targets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules<'a> {
    pub(super) port: u16,
    pub(super) host_networking_host: &'a str,
    pub(super) match_first_network: bool,
}

/// One group per container, network and port.
pub(super) fn groups(
    containers: &[Container],
    networks: &[Network],
    rules: Rules<'_>,
) -> Vec<TargetGroup> {
    let by_id: BTreeMap<&str, &Container> =
        containers.iter().map(|container| (container.id.as_str(), container)).collect();
    let networks: BTreeMap<&str, LabelMap> =
        networks.iter().map(|network| (network.id.as_str(), network_labels(network))).collect();
    let mut groups = Vec::new();
    for container in containers {
        let Some(name) = container.names.iter().flatten().next() else { continue };
        let common = container_labels(container, name);
        for endpoint in endpoints(container, &by_id, rules.match_first_network) {
            let mut common = common.clone();
            common.insert(format!("{PREFIX}network_ip"), endpoint.ip_address.clone());
            if let Some(labels) = networks.get(endpoint.network_id.as_str()) {
                common.extend(labels.clone());
            }
            groups.extend(targets(container, endpoint, &common, rules));
        }
    }
    groups
}

fn targets(
    container: &Container,
    endpoint: &Endpoint,
    common: &LabelMap,
    rules: Rules<'_>,
) -> Vec<TargetGroup> {
    let ports = container.ports.iter().flatten().filter(|port| port.protocol == "tcp");
    let mut targets: Vec<TargetGroup> = ports
        .map(|port| {
            let mut own = LabelMap::new();
            own.insert(format!("{PREFIX}port_private"), port.private_port.to_string());
            if port.public_port > 0 {
                own.insert(format!("{PREFIX}port_public"), port.public_port.to_string());
                own.insert(format!("{PREFIX}port_public_ip"), port.ip.clone());
            }
            TargetGroup::of_one(join(&endpoint.ip_address, port.private_port), common, own)
        })
        .collect();
    if targets.is_empty() {
        let address = if container.host_config.network_mode == "host" {
            rules.host_networking_host.to_owned()
        } else {
            join(&endpoint.ip_address, rules.port)
        };
        targets.push(TargetGroup::of_one(address, common, LabelMap::new()));
    }
    targets
}

/// The networks that count for a container: its own, or those of the container whose network it shares.
fn endpoints<'a>(
    container: &'a Container,
    by_id: &BTreeMap<&str, &'a Container>,
    first_only: bool,
) -> Vec<&'a Endpoint> {
    let mut owner = container;
    for _ in 0..SHARED_NETWORK_DEPTH_MAX {
        let named = owner.network_settings.as_ref().and_then(|it| it.networks.as_ref());
        if named.is_some_and(|named| !named.is_empty()) {
            break;
        }
        let shared = owner.host_config.network_mode.strip_prefix("container:");
        let Some(next) = shared.and_then(|id| by_id.get(id)) else { break };
        owner = next;
    }
    let Some(named) = owner.network_settings.as_ref().and_then(|it| it.networks.as_ref()) else {
        return Vec::new();
    };
    let all = named.values().flatten();
    if !first_only || named.len() < 2 {
        return all.collect();
    }
    // The network that the container was made with, or any when it was made with none.
    let own = named.get(&owner.host_config.network_mode).and_then(Option::as_ref);
    own.or_else(|| named.values().flatten().next()).into_iter().collect()
}

fn container_labels(container: &Container, name: &str) -> LabelMap {
    let mut labels = LabelMap::new();
    labels.insert(format!("{PREFIX}container_id"), container.id.clone());
    labels.insert(format!("{PREFIX}container_name"), name.to_owned());
    let mode = container.host_config.network_mode.clone();
    labels.insert(format!("{PREFIX}container_network_mode"), mode);
    for (name, value) in container.labels.iter().flatten() {
        let name = format!("{PREFIX}container_label_{}", sanitized(name));
        labels.insert(name, value.clone());
    }
    labels
}

fn network_labels(network: &Network) -> LabelMap {
    let mut labels = LabelMap::new();
    labels.insert(format!("{PREFIX}network_id"), network.id.clone());
    labels.insert(format!("{PREFIX}network_name"), network.name.clone());
    labels.insert(format!("{PREFIX}network_scope"), network.scope.clone());
    labels.insert(format!("{PREFIX}network_internal"), network.internal.to_string());
    labels.insert(format!("{PREFIX}network_ingress"), network.ingress.to_string());
    for (name, value) in network.labels.iter().flatten() {
        let name = format!("{PREFIX}network_label_{}", sanitized(name));
        labels.insert(name, value.clone());
    }
    labels
}

#[cfg(test)]
mod tests;
