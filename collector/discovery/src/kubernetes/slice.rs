//! Role `endpointslice`: the addresses behind services as `EndpointSlice` has them, and further ports of their pods.

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};

use crate::group::{LabelMap, TargetGroup};
use crate::names::{join, sanitized};

use super::behind::PodPorts;
use super::cluster::View;
use super::labels::{Setter, namespace_of};

/// Label of a slice that names its service.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// The targets of one slice.
pub(super) fn groups(slice: &EndpointSlice, view: &View<'_>) -> Vec<TargetGroup> {
    if is_second_family(slice, view) {
        return Vec::new();
    }
    let mut common = LabelMap::new();
    view.namespace(&slice.metadata, &mut common);
    let mut set = Setter(&mut common);
    set.named("endpointslice", &slice.metadata);
    set.set("endpointslice_address_type", &slice.address_type);
    if let Some(service) = service(slice, view) {
        set.named("service", &service.metadata);
    }
    let mut behind = PodPorts::default();
    let mut groups = Vec::new();
    for endpoint in &slice.endpoints {
        for port in slice.ports.iter().flatten() {
            for address in &endpoint.addresses {
                let own = labels(endpoint, port, view, &mut behind);
                let address = match port.port {
                    Some(port) => join(address, port),
                    None => address.clone(),
                };
                groups.push(TargetGroup::of_one(address, &common, own));
            }
        }
    }
    groups.extend(behind.other_ports(view, &common));
    groups
}

fn service<'a>(
    slice: &EndpointSlice,
    view: &View<'a>,
) -> Option<&'a k8s_openapi::api::core::v1::Service> {
    let name = slice.metadata.labels.as_ref()?.get(SERVICE_LABEL)?;
    view.service(namespace_of(&slice.metadata), name)
}

/// Whether a slice has the second addresses of what another slice of the same service has: they are the same targets.
fn is_second_family(slice: &EndpointSlice, view: &View<'_>) -> bool {
    let spec = service(slice, view).and_then(|service| service.spec.as_ref());
    let families = spec.and_then(|spec| spec.ip_families.as_deref()).unwrap_or_default();
    families.len() > 1
        && families[0] != slice.address_type
        && matches!(slice.address_type.as_str(), "IPv4" | "IPv6")
}

fn labels<'a>(
    endpoint: &Endpoint,
    port: &EndpointPort,
    view: &View<'a>,
    behind: &mut PodPorts<'a>,
) -> LabelMap {
    let mut labels = LabelMap::new();
    let mut set = Setter(&mut labels);
    set.set_some("endpointslice_port_name", port.name.as_ref());
    set.set_some("endpointslice_port_protocol", port.protocol.as_ref());
    set.set_some("endpointslice_port", port.port);
    set.set_some("endpointslice_port_app_protocol", port.app_protocol.as_ref());
    let conditions = endpoint.conditions.as_ref();
    for (name, value) in [
        ("ready", conditions.and_then(|it| it.ready)),
        ("serving", conditions.and_then(|it| it.serving)),
        ("terminating", conditions.and_then(|it| it.terminating)),
    ] {
        set.set_some(&format!("endpointslice_endpoint_conditions_{name}"), value);
    }
    set.set_some("endpointslice_endpoint_hostname", endpoint.hostname.as_ref());
    set.set_some("endpointslice_endpoint_node_name", endpoint.node_name.as_ref());
    set.set_some("endpointslice_endpoint_zone", endpoint.zone.as_ref());
    let reference = endpoint.target_ref.as_ref();
    if let Some(reference) = reference {
        set.set("endpointslice_address_target_kind", reference.kind.clone().unwrap_or_default());
        set.set("endpointslice_address_target_name", reference.name.clone().unwrap_or_default());
    }
    for (name, value) in endpoint.deprecated_topology.iter().flatten() {
        let name = sanitized(name);
        set.set(&format!("endpointslice_endpoint_topology_{name}"), value);
        set.set(&format!("endpointslice_endpoint_topology_present_{name}"), "true");
    }
    behind.attach(reference, endpoint.node_name.as_deref(), port.port, view, &mut labels);
    labels
}
