//! The pods behind the endpoints of a service: their labels, and their ports that no endpoint names.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ObjectReference, Pod};

use crate::group::{LabelMap, TargetGroup};
use crate::names::join;

use super::cluster::View;
use super::pod;

/// Pods that endpoints named, with the ports that they named.
#[derive(Default)]
pub(super) struct PodPorts<'a> {
    seen: BTreeMap<(String, String), (&'a Pod, Vec<i32>)>,
}

impl<'a> PodPorts<'a> {
    /// Adds what node, pod and container of an endpoint tell.
    pub(super) fn attach(
        &mut self,
        reference: Option<&ObjectReference>,
        node_name: Option<&str>,
        port: Option<i32>,
        view: &View<'a>,
        labels: &mut LabelMap,
    ) {
        let named = reference.and_then(|it| Some((it.kind.as_deref()?, it.name.as_deref()?)));
        match named {
            Some(("Node", name)) if node_name.is_none() => view.node(Some(name), labels),
            _ => view.node(node_name, labels),
        }
        let Some(("Pod", name)) = named else { return };
        let namespace = reference.and_then(|it| it.namespace.as_deref()).unwrap_or_default();
        let Some(pod) = view.pod(namespace, name) else { return };
        labels.extend(pod::labels(pod, view));
        let seen = self.seen.entry((namespace.to_owned(), name.to_owned()));
        let (_, ports) = seen.or_insert((pod, Vec::new()));
        let Some(port) = port else { return };
        ports.push(port);
        for (container, is_init) in pod::containers(pod) {
            let ports = container.ports.iter().flatten();
            if let Some(found) = ports.clone().find(|it| it.container_port == port) {
                pod::container_labels(pod, container, is_init, labels);
                pod::port_labels(found, labels);
            }
        }
    }

    /// Targets of the pods' ports that no endpoint named.
    pub(super) fn other_ports(&self, view: &View<'_>, common: &LabelMap) -> Vec<TargetGroup> {
        let mut groups = Vec::new();
        for (pod, named) in self.seen.values() {
            let Some(ip) = pod::ip(pod) else { continue };
            for (container, is_init) in pod::containers(pod) {
                let ports = container.ports.iter().flatten();
                for port in ports.filter(|port| !named.contains(&port.container_port)) {
                    let mut own = pod::labels(pod, view);
                    pod::container_labels(pod, container, is_init, &mut own);
                    pod::port_labels(port, &mut own);
                    groups.push(TargetGroup::of_one(join(ip, port.container_port), common, own));
                }
            }
        }
        groups
    }
}
