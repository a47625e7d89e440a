//! What a pod gets when its maker leaves it out.

use k8s_openapi::api::core::v1::{
    Container, HTTPGetAction, Pod, PodSecurityContext, PodSpec, PodStatus, PodTemplateSpec, Probe,
    ResourceRequirements, Volume,
};

use crate::pod_status::qos_class;

/// A pod of its own. Its status begins as Pending.
pub(crate) fn pod(pod: &mut Pod) {
    let spec = pod.spec.get_or_insert_default();
    pod_spec(spec);
    spec.enable_service_links.get_or_insert(true);
    let status = pod.status.get_or_insert_with(PodStatus::default);
    status.phase.get_or_insert_with(|| "Pending".to_owned());
    if status.qos_class.is_none() {
        status.qos_class = Some(qos_class(spec).to_owned());
    }
}

/// The template of a workload.
pub(crate) fn template(template: &mut PodTemplateSpec) {
    pod_spec(template.spec.get_or_insert_default());
}

fn pod_spec(spec: &mut PodSpec) {
    let text = |field: &mut Option<String>, value: &str| {
        field.get_or_insert_with(|| value.to_owned());
    };
    text(&mut spec.restart_policy, "Always");
    text(&mut spec.dns_policy, "ClusterFirst");
    text(&mut spec.scheduler_name, "default-scheduler");
    spec.termination_grace_period_seconds.get_or_insert(30);
    spec.security_context.get_or_insert_with(PodSecurityContext::default);
    spec.containers.iter_mut().for_each(container);
    spec.init_containers.iter_mut().flatten().for_each(container);
    spec.volumes.iter_mut().flatten().for_each(volume);
}

fn container(container: &mut Container) {
    let image = container.image.as_deref().unwrap_or_default();
    container.image_pull_policy.get_or_insert_with(|| {
        if has_moving_tag(image) { "Always" } else { "IfNotPresent" }.to_owned()
    });
    container.termination_message_path.get_or_insert_with(|| "/dev/termination-log".to_owned());
    container.termination_message_policy.get_or_insert_with(|| "File".to_owned());
    for port in container.ports.iter_mut().flatten() {
        port.protocol.get_or_insert_with(|| "TCP".to_owned());
    }
    for source in container.env.iter_mut().flatten().filter_map(|env| env.value_from.as_mut()) {
        if let Some(field) = &mut source.field_ref {
            field.api_version.get_or_insert_with(|| "v1".to_owned());
        }
    }
    requests_from_limits(container.resources.get_or_insert_default());
    for probe in [
        &mut container.liveness_probe,
        &mut container.readiness_probe,
        &mut container.startup_probe,
    ]
    .into_iter()
    .flatten()
    {
        default_probe(probe);
    }
    if let Some(lifecycle) = &mut container.lifecycle {
        for handler in [&mut lifecycle.post_start, &mut lifecycle.pre_stop].into_iter().flatten() {
            handler.http_get.iter_mut().for_each(http_get);
        }
    }
}

/// Whether an image without a digest follows `latest`.
fn has_moving_tag(image: &str) -> bool {
    let last = image.rsplit('/').next().unwrap_or(image);
    !image.contains('@') && last.rsplit_once(':').is_none_or(|(_, tag)| tag == "latest")
}

fn requests_from_limits(resources: &mut ResourceRequirements) {
    if let Some(limits) = &resources.limits {
        let requests = resources.requests.get_or_insert_default();
        for (resource, limit) in limits {
            requests.entry(resource.clone()).or_insert_with(|| limit.clone());
        }
    }
}

fn default_probe(probe: &mut Probe) {
    probe.timeout_seconds.get_or_insert(1);
    probe.period_seconds.get_or_insert(10);
    probe.success_threshold.get_or_insert(1);
    probe.failure_threshold.get_or_insert(3);
    probe.http_get.iter_mut().for_each(http_get);
    if let Some(grpc) = &mut probe.grpc {
        grpc.service.get_or_insert_with(String::new);
    }
}

fn http_get(action: &mut HTTPGetAction) {
    action.path.get_or_insert_with(|| "/".to_owned());
    action.scheme.get_or_insert_with(|| "HTTP".to_owned());
}

fn volume(volume: &mut Volume) {
    const READ_FOR_ALL: i32 = 0o644;
    if let Some(config_map) = &mut volume.config_map {
        config_map.default_mode.get_or_insert(READ_FOR_ALL);
    }
    if let Some(secret) = &mut volume.secret {
        secret.default_mode.get_or_insert(READ_FOR_ALL);
    }
    if let Some(downward) = &mut volume.downward_api {
        downward.default_mode.get_or_insert(READ_FOR_ALL);
    }
    if let Some(projected) = &mut volume.projected {
        projected.default_mode.get_or_insert(READ_FOR_ALL);
    }
    if let Some(host_path) = &mut volume.host_path {
        host_path.type_.get_or_insert_with(String::new);
    }
}

#[cfg(test)]
mod tests {
    use super::has_moving_tag;

    #[test]
    fn an_image_without_tag_moves() {
        for (image, expected) in [
            ("host", true),
            ("nginx:latest", true),
            ("nginx:1.27", false),
            ("registry:5000/nginx", true),
            ("registry:5000/nginx:1", false),
            ("nginx@sha256:abc", false),
        ] {
            assert_eq!(has_moving_tag(image), expected, "{image}");
        }
    }
}
