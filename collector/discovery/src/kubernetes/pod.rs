//! Role `pod`: each port of each container.

use k8s_openapi::api::core::v1::{Container, ContainerPort, Pod};

use crate::group::{LabelMap, TargetGroup};
use crate::names::join;

use super::cluster::{View, controller};
use super::labels::{Setter, namespace_of};

/// The targets of a pod; none before it has an address.
pub(super) fn groups(pod: &Pod, view: &View<'_>) -> Vec<TargetGroup> {
    let Some(ip) = ip(pod) else { return Vec::new() };
    let node = pod.spec.as_ref().and_then(|it| it.node_name.as_deref());
    // With the labels of nodes only pods on nodes that count are targets.
    if view.attach.node && !node.is_some_and(|name| view.knows_node(name)) {
        return Vec::new();
    }
    let mut common = labels(pod, view);
    view.namespace(&pod.metadata, &mut common);
    view.node(node, &mut common);
    let mut groups = Vec::new();
    for (container, is_init) in containers(pod) {
        let ports = container.ports.as_deref().unwrap_or_default();
        if ports.is_empty() {
            let mut own = LabelMap::new();
            container_labels(pod, container, is_init, &mut own);
            groups.push(TargetGroup::of_one(ip.to_owned(), &common, own));
        }
        for port in ports {
            let mut own = LabelMap::new();
            container_labels(pod, container, is_init, &mut own);
            port_labels(port, &mut own);
            groups.push(TargetGroup::of_one(join(ip, port.container_port), &common, own));
        }
    }
    groups
}

/// The address of a pod, once it has one.
pub(super) fn ip(pod: &Pod) -> Option<&str> {
    pod.status.as_ref()?.pod_ip.as_deref().filter(|ip| !ip.is_empty())
}

/// Containers of a pod, and whether they run before the others.
pub(super) fn containers(pod: &Pod) -> impl Iterator<Item = (&Container, bool)> {
    let spec = pod.spec.as_ref();
    let ordinary = spec.into_iter().flat_map(|spec| &spec.containers);
    let init = spec.into_iter().flat_map(|spec| spec.init_containers.iter().flatten());
    ordinary.map(|it| (it, false)).chain(init.map(|it| (it, true)))
}

/// What a pod tells of itself.
pub(super) fn labels(pod: &Pod, view: &View<'_>) -> LabelMap {
    let mut labels = LabelMap::new();
    let mut set = Setter(&mut labels);
    let status = pod.status.as_ref();
    let text = |value: Option<&String>| value.cloned().unwrap_or_default();
    set.named("pod", &pod.metadata);
    set.set("pod_ip", text(status.and_then(|it| it.pod_ip.as_ref())));
    set.set("pod_ready", ready(pod));
    set.set("pod_phase", text(status.and_then(|it| it.phase.as_ref())));
    set.set("pod_node_name", text(pod.spec.as_ref().and_then(|it| it.node_name.as_ref())));
    set.set("pod_host_ip", text(status.and_then(|it| it.host_ip.as_ref())));
    set.set("pod_uid", text(pod.metadata.uid.as_ref()));
    if let Some((kind, name)) = controller(&pod.metadata) {
        set.set("pod_controller_kind", kind);
        set.set("pod_controller_name", name);
        let namespace = namespace_of(&pod.metadata);
        match kind {
            "ReplicaSet" if view.attach.deployment => {
                set.set_some("pod_deployment_name", view.deployment_of(namespace, name));
            }
            "Job" => {
                set.set_some("pod_job_name", view.attach.job.then_some(name));
                if view.attach.cron_job {
                    set.set_some("pod_cronjob_name", view.cron_job_of(namespace, name));
                }
            }
            _ => {}
        }
    }
    labels
}

fn ready(pod: &Pod) -> String {
    let conditions = pod.status.as_ref().and_then(|it| it.conditions.as_deref());
    let ready = conditions.unwrap_or_default().iter().find(|it| it.type_ == "Ready");
    ready.map_or_else(|| "unknown".to_owned(), |it| it.status.to_lowercase())
}

/// What a container tells of itself.
pub(super) fn container_labels(
    pod: &Pod,
    container: &Container,
    is_init: bool,
    labels: &mut LabelMap,
) {
    let mut set = Setter(labels);
    set.set("pod_container_name", &container.name);
    set.set("pod_container_image", container.image.clone().unwrap_or_default());
    set.set("pod_container_init", is_init.to_string());
    let status = pod.status.as_ref();
    let running = status.and_then(|it| it.container_statuses.as_ref()).into_iter();
    let init = status.and_then(|it| it.init_container_statuses.as_ref()).into_iter();
    let mut statuses = running.chain(init).flatten();
    let found = statuses.find(|it| it.name == container.name);
    set.set("pod_container_id", found.and_then(|it| it.container_id.clone()).unwrap_or_default());
}

/// What a port tells of itself.
pub(super) fn port_labels(port: &ContainerPort, labels: &mut LabelMap) {
    let mut set = Setter(labels);
    set.set("pod_container_port_number", port.container_port.to_string());
    set.set("pod_container_port_name", port.name.clone().unwrap_or_default());
    set.set("pod_container_port_protocol", protocol(port.protocol.as_deref()));
}

/// A protocol that is not said is TCP.
pub(super) fn protocol(said: Option<&str>) -> &str {
    said.unwrap_or("TCP")
}
