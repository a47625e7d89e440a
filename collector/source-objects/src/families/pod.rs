//! `kube_pod_*`

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::{Samples, amount, controller, flag, seconds, text};

const PHASES: [&str; 5] = ["Pending", "Running", "Succeeded", "Failed", "Unknown"];

/// Samples of one Pod.
pub fn pod(pod: &Pod, samples: &mut Samples) {
    let metadata = &pod.metadata;
    let object = &[
        ("namespace", text(metadata.namespace.as_ref())),
        ("pod", text(metadata.name.as_ref())),
        ("uid", text(metadata.uid.as_ref())),
    ];
    let spec = pod.spec.clone().unwrap_or_default();
    let status = pod.status.clone().unwrap_or_default();
    let node = text(spec.node_name.as_ref());
    samples.push_created("kube_pod_created", object, metadata);
    if let Some(time) = &status.start_time {
        samples.push("kube_pod_start_time", object, &[], seconds(time));
    }
    let owner = controller(metadata);
    let (kind, name) = owner.map_or(("", ""), |owner| (owner.kind.as_str(), owner.name.as_str()));
    let info = [
        ("host_ip", text(status.host_ip.as_ref())),
        ("pod_ip", text(status.pod_ip.as_ref())),
        ("node", node),
        ("created_by_kind", kind),
        ("created_by_name", name),
        ("priority_class", text(spec.priority_class_name.as_ref())),
        ("host_network", if spec.host_network == Some(true) { "true" } else { "false" }),
    ];
    samples.push("kube_pod_info", object, &info, 1.0);
    if owner.is_some() {
        let own = [("owner_kind", kind), ("owner_name", name), ("owner_is_controller", "true")];
        samples.push("kube_pod_owner", object, &own, 1.0);
    }
    let phase = status.phase.as_deref();
    samples.push_states("kube_pod_status_phase", object, "phase", &PHASES, phase);
    let conditions = status.conditions.as_deref().unwrap_or_default();
    condition("kube_pod_status_ready", object, "Ready", conditions, samples);
    condition("kube_pod_status_scheduled", object, "PodScheduled", conditions, samples);

    for container in &spec.containers {
        let own = [("container", container.name.as_str()), ("node", node)];
        let resources = container.resources.clone().unwrap_or_default();
        let requests = resources.requests.as_ref();
        amounts("kube_pod_container_resource_requests", object, &own, requests, samples);
        let limits = resources.limits.as_ref();
        amounts("kube_pod_container_resource_limits", object, &own, limits, samples);
    }
    for container in status.container_statuses.as_deref().unwrap_or_default() {
        container_status(object, container, samples);
    }
}

fn condition(
    name: &str,
    object: &[(&str, &str)],
    type_: &str,
    conditions: &[PodCondition],
    samples: &mut Samples,
) {
    if let Some(condition) = conditions.iter().find(|condition| condition.type_ == type_) {
        for state in ["true", "false", "unknown"] {
            let value = flag(condition.status.eq_ignore_ascii_case(state));
            samples.push(name, object, &[("condition", state)], value);
        }
    }
}

fn amounts(
    name: &str,
    object: &[(&str, &str)],
    own: &[(&str, &str)],
    resources: Option<&BTreeMap<String, Quantity>>,
    samples: &mut Samples,
) {
    for (resource, quantity) in resources.into_iter().flatten() {
        if let Some((unit, value)) = amount(resource, quantity) {
            let label = resource.replace(['-', '.', '/'], "_");
            let mut own = own.to_vec();
            own.extend([("resource", label.as_str()), ("unit", unit)]);
            samples.push(name, object, &own, value);
        }
    }
}

fn container_status(object: &[(&str, &str)], status: &ContainerStatus, samples: &mut Samples) {
    let own = [("container", status.name.as_str())];
    let info = [
        own[0],
        ("image", status.image.as_str()),
        ("image_id", status.image_id.as_str()),
        ("container_id", text(status.container_id.as_ref())),
    ];
    samples.push("kube_pod_container_info", object, &info, 1.0);
    samples.push("kube_pod_container_status_ready", object, &own, flag(status.ready));
    let restarts = f64::from(status.restart_count);
    samples.push("kube_pod_container_status_restarts_total", object, &own, restarts);
    let state = status.state.clone().unwrap_or_default();
    let name = "kube_pod_container_status_running";
    samples.push(name, object, &own, flag(state.running.is_some()));
    let name = "kube_pod_container_status_terminated";
    samples.push(name, object, &own, flag(state.terminated.is_some()));
    let name = "kube_pod_container_status_waiting";
    samples.push(name, object, &own, flag(state.waiting.is_some()));
    if let Some(reason) = state.waiting.as_ref().and_then(|waiting| waiting.reason.as_deref()) {
        let name = "kube_pod_container_status_waiting_reason";
        samples.push(name, object, &[own[0], ("reason", reason)], 1.0);
    }
    let last = status.last_state.clone().unwrap_or_default();
    if let Some(ended) = last.terminated {
        let name = "kube_pod_container_status_last_terminated_reason";
        let reason = ended.reason.as_deref().unwrap_or("Error");
        samples.push(name, object, &[own[0], ("reason", reason)], 1.0);
        let name = "kube_pod_container_status_last_terminated_exitcode";
        samples.push(name, object, &own, f64::from(ended.exit_code));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::families::testing::check;

    #[test]
    fn requests_phase_and_waiting_reason_are_series() {
        let object = json!({
            "metadata": {"name": "web-1", "namespace": "shop", "uid": "u1"},
            "spec": {"nodeName": "n1", "containers": [
                {"name": "web", "resources": {"requests": {"cpu": "250m"}}}]},
            "status": {"phase": "Pending", "containerStatuses": [
                {"name": "web", "image": "host", "imageID": "", "ready": false, "restartCount": 2,
                 "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]},
        });
        let check = |name, expected: &[&str]| check::<Pod>(pod, object.clone(), name, expected);
        check(
            "kube_pod_container_resource_requests",
            &[
                r#"kube_pod_container_resource_requests{container="web", namespace="shop", node="n1", pod="web-1", resource="cpu", uid="u1", unit="core"} 0.25"#,
            ],
        );
        check(
            "kube_pod_container_status_waiting_reason",
            &[
                r#"kube_pod_container_status_waiting_reason{container="web", namespace="shop", pod="web-1", reason="CrashLoopBackOff", uid="u1"} 1"#,
            ],
        );
        check(
            "kube_pod_container_status_restarts_total",
            &[
                r#"kube_pod_container_status_restarts_total{container="web", namespace="shop", pod="web-1", uid="u1"} 2"#,
            ],
        );
    }
}
