//! Role `node`: the kubelet of each node.

use k8s_openapi::api::core::v1::Node;

use crate::group::{LabelMap, TargetGroup};
use crate::names::{join, sanitized};

use super::labels::{Setter, name_of};

/// Kinds of addresses, the one to use first.
const ADDRESS_ORDER: [&str; 6] =
    ["InternalIP", "InternalDNS", "ExternalIP", "ExternalDNS", "LegacyHostIP", "Hostname"];

/// The target of a node; none without an address.
pub(super) fn group(node: &Node) -> Option<TargetGroup> {
    let status = node.status.as_ref();
    let addresses = status.and_then(|it| it.addresses.as_deref()).unwrap_or_default();
    let first = |kind: &str| addresses.iter().find(|it| it.type_ == kind);
    let address = ADDRESS_ORDER.iter().find_map(|kind| first(kind))?;
    let port = status
        .and_then(|it| it.daemon_endpoints.as_ref())
        .and_then(|it| it.kubelet_endpoint.as_ref())
        .map_or(0, |it| it.port);
    let mut labels = LabelMap::new();
    let mut set = Setter(&mut labels);
    set.named("node", &node.metadata);
    let provider = node.spec.as_ref().and_then(|it| it.provider_id.as_deref());
    set.set("node_provider_id", provider.unwrap_or_default());
    // Of several addresses of a kind the first counts: the others overwrite it, and it them at last.
    for address in addresses.iter().rev() {
        set.set(&format!("node_address_{}", address.type_), &address.address);
    }
    for condition in status.and_then(|it| it.conditions.as_deref()).unwrap_or_default() {
        let name = format!("node_condition_{}", sanitized(&condition.type_).to_lowercase());
        set.set(&name, condition.status.to_lowercase());
    }
    labels.insert("instance".to_owned(), name_of(&node.metadata).to_owned());
    Some(TargetGroup { targets: vec![join(&address.address, port)], labels })
}
