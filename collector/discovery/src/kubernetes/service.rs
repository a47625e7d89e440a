//! Role `service`: each port of each service, by the service's name.

use k8s_openapi::api::core::v1::Service;

use crate::group::{LabelMap, TargetGroup};
use crate::names::join;

use super::cluster::View;
use super::labels::{Setter, name_of, namespace_of};
use super::pod::protocol;

/// The targets of a service.
pub(super) fn groups(service: &Service, view: &View<'_>) -> Vec<TargetGroup> {
    let mut common = LabelMap::new();
    view.namespace(&service.metadata, &mut common);
    Setter(&mut common).named("service", &service.metadata);
    let Some(spec) = &service.spec else { return Vec::new() };
    let kind = spec.type_.as_deref().unwrap_or("ClusterIP");
    let host = format!("{}.{}.svc", name_of(&service.metadata), namespace_of(&service.metadata));
    let ports = spec.ports.iter().flatten();
    let target = |port: &k8s_openapi::api::core::v1::ServicePort| {
        let mut own = LabelMap::new();
        let mut set = Setter(&mut own);
        set.set("service_port_name", port.name.clone().unwrap_or_default());
        set.set("service_port_number", port.port.to_string());
        set.set("service_port_protocol", protocol(port.protocol.as_deref()));
        set.set("service_type", kind);
        if kind == "ExternalName" {
            set.set("service_external_name", spec.external_name.clone().unwrap_or_default());
        } else {
            set.set("service_cluster_ip", spec.cluster_ip.clone().unwrap_or_default());
        }
        if kind == "LoadBalancer" {
            set.set("service_loadbalancer_ip", spec.load_balancer_ip.clone().unwrap_or_default());
        }
        TargetGroup::of_one(join(&host, port.port), &common, own)
    };
    ports.map(target).collect()
}
