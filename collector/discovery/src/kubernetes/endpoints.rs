//! Role `endpoints`: the addresses behind services as `Endpoints` has them, and further ports of their pods.

use k8s_openapi::api::core::v1::{EndpointAddress, EndpointPort, Endpoints};

use crate::group::{LabelMap, TargetGroup};
use crate::names::join;

use super::behind::PodPorts;
use super::cluster::View;
use super::labels::{Setter, name_of, namespace_of};
use super::pod::protocol;

/// The targets of one object.
pub(super) fn groups(endpoints: &Endpoints, view: &View<'_>) -> Vec<TargetGroup> {
    let mut common = LabelMap::new();
    view.namespace(&endpoints.metadata, &mut common);
    Setter(&mut common).named("endpoints", &endpoints.metadata);
    let namespace = namespace_of(&endpoints.metadata);
    // Service and endpoints have the same name.
    if let Some(service) = view.service(namespace, name_of(&endpoints.metadata)) {
        Setter(&mut common).named("service", &service.metadata);
    }
    let mut behind = PodPorts::default();
    let mut groups = Vec::new();
    for subset in endpoints.subsets.iter().flatten() {
        let ready = subset.addresses.iter().flatten().map(|it| (it, true));
        let waiting = subset.not_ready_addresses.iter().flatten().map(|it| (it, false));
        let addresses: Vec<(&EndpointAddress, bool)> = ready.chain(waiting).collect();
        for port in subset.ports.iter().flatten() {
            for (address, is_ready) in &addresses {
                let own = labels(address, port, *is_ready, view, &mut behind);
                groups.push(TargetGroup::of_one(join(&address.ip, port.port), &common, own));
            }
        }
    }
    groups.extend(behind.other_ports(view, &common));
    groups
}

fn labels<'a>(
    address: &EndpointAddress,
    port: &EndpointPort,
    is_ready: bool,
    view: &View<'a>,
    behind: &mut PodPorts<'a>,
) -> LabelMap {
    let mut labels = LabelMap::new();
    let mut set = Setter(&mut labels);
    set.set("endpoint_port_name", port.name.clone().unwrap_or_default());
    set.set("endpoint_port_protocol", protocol(port.protocol.as_deref()));
    set.set("endpoint_ready", is_ready.to_string());
    let reference = address.target_ref.as_ref();
    if let Some(reference) = reference {
        set.set("endpoint_address_target_kind", reference.kind.clone().unwrap_or_default());
        set.set("endpoint_address_target_name", reference.name.clone().unwrap_or_default());
    }
    set.set_some("endpoint_node_name", address.node_name.as_ref());
    set.set_some("endpoint_hostname", address.hostname.as_ref().filter(|it| !it.is_empty()));
    behind.attach(reference, address.node_name.as_deref(), Some(port.port), view, &mut labels);
    labels
}
