//! Rules on pods and pod templates.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{
    Container, EnvVar, HTTPGetAction, Pod, PodSpec, PodTemplateSpec, Probe, ResourceRequirements,
    TCPSocketAction, Toleration,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use swell_model::Quantity;

use super::meta::{self, NameForm};
use super::missing;
use crate::fault::{FieldFault, Path};
use crate::names::{DNS_LABEL_RULE, is_dns_label, is_dns_subdomain};

type Faults = Vec<FieldFault>;

const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];
const PULL_POLICIES: &[&str] = &["Always", "IfNotPresent", "Never"];
const RESTART_POLICIES: &[&str] = &["Always", "OnFailure", "Never"];
const DNS_POLICIES: &[&str] = &["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"];
const TAINT_EFFECTS: &[&str] = &["NoSchedule", "PreferNoSchedule", "NoExecute"];
/// The longest name of a port.
const PORT_NAME_LEN_MAX: usize = 15;

/// A pod of its own.
pub(crate) fn validate(pod: &Pod, old: Option<&Pod>, faults: &mut Faults) {
    meta::validate(&pod.metadata, old.map(|old| &old.metadata), NameForm::Subdomain, faults);
    let path = Path::new("spec");
    let Some(spec) = &pod.spec else {
        faults.push(path.required(""));
        return;
    };
    validate_spec(spec, &path, faults);
    if let Some(old) = old.and_then(|old| old.spec.as_ref())
        && !differs_only_where_allowed(spec, old)
    {
        faults.push(path.forbidden(
            "pod updates may not change fields other than `spec.containers[*].image`,\
             `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` \
             (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it \
             to be set to 1 if it was previously negative)",
        ));
    }
}

fn differs_only_where_allowed(new: &PodSpec, old: &PodSpec) -> bool {
    let mut candidate = new.clone();
    let align = |candidate: &mut [Container], old: &[Container]| {
        for (candidate, old) in candidate.iter_mut().zip(old) {
            candidate.image.clone_from(&old.image);
        }
    };
    align(&mut candidate.containers, &old.containers);
    if let (Some(candidate), Some(old)) = (&mut candidate.init_containers, &old.init_containers) {
        align(candidate, old);
    }
    candidate.active_deadline_seconds = old.active_deadline_seconds;
    let known = old.tolerations.as_deref().unwrap_or_default();
    let kept = new.tolerations.as_deref().unwrap_or_default();
    if !known.iter().all(|toleration| kept.contains(toleration)) {
        return false;
    }
    candidate.tolerations.clone_from(&old.tolerations);
    if old.node_name.is_none() && candidate.scheduling_gates != old.scheduling_gates {
        candidate.scheduling_gates.clone_from(&old.scheduling_gates);
    }
    candidate == *old
}

/// The template of a workload; `restartPolicy` must be `Always` there.
pub(crate) fn validate_template(template: &PodTemplateSpec, path: &Path, faults: &mut Faults) {
    let metadata = template.metadata.clone().unwrap_or_default();
    meta::validate_labels(
        metadata.labels.as_ref(),
        &path.field("metadata").field("labels"),
        faults,
    );
    let path = path.field("spec");
    let Some(spec) = &template.spec else {
        faults.push(path.required(""));
        return;
    };
    validate_spec(spec, &path, faults);
    if let Some(policy) = spec.restart_policy.as_deref()
        && policy != "Always"
        && RESTART_POLICIES.contains(&policy)
    {
        faults.push(path.field("restartPolicy").not_supported(policy, &["Always"]));
    }
    if spec.active_deadline_seconds.is_some() {
        faults.push(
            path.field("activeDeadlineSeconds")
                .forbidden("activeDeadlineSeconds in ReplicaSet is not Supported"),
        );
    }
}

fn one_of(value: Option<&str>, supported: &[&str], path: &Path, faults: &mut Faults) {
    if let Some(value) = value
        && !supported.contains(&value)
    {
        faults.push(path.not_supported(value, supported));
    }
}

fn validate_spec(spec: &PodSpec, path: &Path, faults: &mut Faults) {
    if spec.containers.is_empty() {
        faults.push(path.field("containers").required(""));
    }
    let volumes: BTreeSet<&str> =
        spec.volumes.iter().flatten().map(|volume| volume.name.as_str()).collect();
    validate_volumes(spec, path, faults);
    let mut names = BTreeSet::new();
    for (list, containers) in [
        ("initContainers", spec.init_containers.as_deref().unwrap_or_default()),
        ("containers", &spec.containers),
    ] {
        for (idx, container) in containers.iter().enumerate() {
            let path = path.field(list).index(idx);
            validate_container(container, &volumes, &path, faults);
            if !names.insert(container.name.as_str()) {
                faults.push(path.field("name").duplicate(container.name.as_str()));
            }
        }
    }
    one_of(spec.restart_policy.as_deref(), RESTART_POLICIES, &path.field("restartPolicy"), faults);
    one_of(spec.dns_policy.as_deref(), DNS_POLICIES, &path.field("dnsPolicy"), faults);
    if let Some(seconds) = spec.termination_grace_period_seconds
        && seconds < 0
    {
        let path = path.field("terminationGracePeriodSeconds");
        faults.push(path.invalid(seconds, "must be greater than or equal to 0"));
    }
    if let Some(seconds) = spec.active_deadline_seconds
        && !(1..=i64::from(i32::MAX)).contains(&seconds)
    {
        let path = path.field("activeDeadlineSeconds");
        faults.push(path.invalid(seconds, "must be between 1 and 2147483647, inclusive"));
    }
    meta::validate_labels(spec.node_selector.as_ref(), &path.field("nodeSelector"), faults);
    for (idx, toleration) in spec.tolerations.iter().flatten().enumerate() {
        validate_toleration(toleration, &path.field("tolerations").index(idx), faults);
    }
    for (name, value) in
        [("runtimeClassName", &spec.runtime_class_name), ("nodeName", &spec.node_name)]
    {
        if let Some(value) = value
            && !is_dns_subdomain(value)
        {
            faults.push(path.field(name).invalid(value.as_str(), crate::names::DNS_SUBDOMAIN_RULE));
        }
    }
}

fn validate_volumes(spec: &PodSpec, path: &Path, faults: &mut Faults) {
    let mut names = BTreeSet::new();
    for (idx, volume) in spec.volumes.iter().flatten().enumerate() {
        let path = path.field("volumes").index(idx);
        validate_label_name(&volume.name, &path.field("name"), faults);
        if !names.insert(volume.name.as_str()) {
            faults.push(path.field("name").duplicate(volume.name.as_str()));
        }
        if let Some(host_path) = &volume.host_path
            && missing(&host_path.path)
        {
            faults.push(path.field("hostPath").field("path").required(""));
        }
    }
}

fn validate_label_name(name: &str, path: &Path, faults: &mut Faults) {
    if missing(name) {
        faults.push(path.required(""));
    } else if !is_dns_label(name) {
        faults.push(path.invalid(name, DNS_LABEL_RULE));
    }
}

fn validate_container(
    container: &Container,
    volumes: &BTreeSet<&str>,
    path: &Path,
    faults: &mut Faults,
) {
    validate_label_name(&container.name, &path.field("name"), faults);
    match container.image.as_deref() {
        None | Some("") => faults.push(path.field("image").required("")),
        Some(image) if image.trim() != image => faults.push(
            path.field("image").invalid(image, "must not have leading or trailing whitespace"),
        ),
        Some(_) => {}
    }
    let policy = container.image_pull_policy.as_deref();
    one_of(policy, PULL_POLICIES, &path.field("imagePullPolicy"), faults);
    validate_ports(container, path, faults);
    for (idx, env) in container.env.iter().flatten().enumerate() {
        validate_env(env, &path.field("env").index(idx), faults);
    }
    if let Some(resources) = &container.resources {
        validate_resources(resources, &path.field("resources"), faults);
    }
    let mut mounted = BTreeSet::new();
    for (idx, mount) in container.volume_mounts.iter().flatten().enumerate() {
        let path = path.field("volumeMounts").index(idx);
        if missing(&mount.name) {
            faults.push(path.field("name").required(""));
        } else if !volumes.contains(mount.name.as_str()) {
            faults.push(path.field("name").not_found(mount.name.as_str()));
        }
        if missing(&mount.mount_path) {
            faults.push(path.field("mountPath").required(""));
        } else if !mounted.insert(mount.mount_path.as_str()) {
            faults
                .push(path.field("mountPath").invalid(mount.mount_path.as_str(), "must be unique"));
        }
    }
    for (name, probe, is_readiness) in [
        ("livenessProbe", &container.liveness_probe, false),
        ("readinessProbe", &container.readiness_probe, true),
        ("startupProbe", &container.startup_probe, false),
    ] {
        if let Some(probe) = probe {
            validate_probe(probe, is_readiness, &path.field(name), faults);
        }
    }
    for (name, handler) in container.lifecycle.iter().flat_map(|lifecycle| {
        [("postStart", lifecycle.post_start.as_ref()), ("preStop", lifecycle.pre_stop.as_ref())]
    }) {
        if let Some(handler) = handler {
            let path = path.field("lifecycle").field(name);
            let count = usize::from(handler.exec.is_some())
                + usize::from(handler.http_get.is_some())
                + usize::from(handler.tcp_socket.is_some())
                + usize::from(handler.sleep.is_some());
            exactly_one(count, &path, faults);
        }
    }
}

fn validate_ports(container: &Container, path: &Path, faults: &mut Faults) {
    let mut names = BTreeSet::new();
    for (idx, port) in container.ports.iter().flatten().enumerate() {
        let path = path.field("ports").index(idx);
        if let Some(name) = port.name.as_deref() {
            if !is_port_name(name) {
                faults.push(path.field("name").invalid(
                    name,
                    "must be at most 15 characters of a-z, 0-9 and '-', with at least one letter",
                ));
            } else if !names.insert(name) {
                faults.push(path.field("name").duplicate(name));
            }
        }
        if port.container_port == 0 {
            faults.push(path.field("containerPort").required(""));
        } else {
            validate_port_number(port.container_port, &path.field("containerPort"), faults);
        }
        if let Some(number) = port.host_port.filter(|number| *number != 0) {
            validate_port_number(number, &path.field("hostPort"), faults);
        }
        one_of(port.protocol.as_deref(), PROTOCOLS, &path.field("protocol"), faults);
    }
}

/// Whether `name` is an IANA service name as ports carry it.
pub(crate) fn is_port_name(name: &str) -> bool {
    name.len() <= PORT_NAME_LEN_MAX
        && is_dns_label(name)
        && !name.contains("--")
        && name.bytes().any(|byte| byte.is_ascii_lowercase())
}

/// Checks a port given as a number.
pub(crate) fn validate_port_number(number: i32, path: &Path, faults: &mut Faults) {
    if !(1..=65535).contains(&number) {
        faults.push(path.invalid(number, "must be between 1 and 65535, inclusive"));
    }
}

/// Checks a port given as a number or a name.
pub(crate) fn validate_port(port: &IntOrString, path: &Path, faults: &mut Faults) {
    match port {
        IntOrString::Int(number) => validate_port_number(*number, path, faults),
        IntOrString::String(name) if is_port_name(name) => {}
        IntOrString::String(name) => {
            faults.push(path.invalid(name.as_str(), "must be the name of a port or its number"));
        }
    }
}

fn validate_env(env: &EnvVar, path: &Path, faults: &mut Faults) {
    if missing(&env.name) {
        faults.push(path.field("name").required(""));
    } else if env.name.contains('=') || env.name.contains('\0') {
        faults.push(
            path.field("name").invalid(
                env.name.as_str(),
                "a valid environment variable name must not contain '='",
            ),
        );
    }
    if let Some(source) = &env.value_from {
        if env.value.as_deref().is_some_and(|value| !value.is_empty()) {
            faults.push(
                path.field("valueFrom")
                    .invalid("", "may not be specified when `value` is not empty"),
            );
        }
        let count = usize::from(source.field_ref.is_some())
            + usize::from(source.resource_field_ref.is_some())
            + usize::from(source.config_map_key_ref.is_some())
            + usize::from(source.secret_key_ref.is_some())
            + usize::from(source.file_key_ref.is_some());
        if count != 1 {
            let problem = if count == 0 {
                "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
            } else {
                "may not have more than one field specified at a time"
            };
            faults.push(path.field("valueFrom").invalid("", problem));
        }
    }
}

fn validate_resources(resources: &ResourceRequirements, path: &Path, faults: &mut Faults) {
    let none = BTreeMap::new();
    let limits = resources.limits.as_ref().unwrap_or(&none);
    let requests = resources.requests.as_ref().unwrap_or(&none);
    for (list, amounts) in [("limits", limits), ("requests", requests)] {
        for (resource, amount) in amounts {
            if Quantity::parse(&amount.0).is_ok_and(|amount| amount.milli < 0) {
                let path = path.field(list).key(resource);
                faults.push(path.invalid(amount.0.as_str(), "must be greater than or equal to 0"));
            }
        }
    }
    for (resource, request) in requests {
        if let Some(limit) = limits.get(resource)
            && let (Ok(asked), Ok(allowed)) =
                (Quantity::parse(&request.0), Quantity::parse(&limit.0))
            && asked > allowed
        {
            let detail = format!("must be less than or equal to {resource} limit of {}", limit.0);
            faults.push(path.field("requests").invalid(request.0.as_str(), detail));
        }
    }
}

fn exactly_one(count: usize, path: &Path, faults: &mut Faults) {
    match count {
        0 => faults.push(path.required("must specify a handler type")),
        1 => {}
        _ => faults.push(path.forbidden("may not specify more than 1 handler type")),
    }
}

fn validate_probe(probe: &Probe, is_readiness: bool, path: &Path, faults: &mut Faults) {
    let count = usize::from(probe.exec.is_some())
        + usize::from(probe.http_get.is_some())
        + usize::from(probe.tcp_socket.is_some())
        + usize::from(probe.grpc.is_some());
    exactly_one(count, path, faults);
    for (name, number, least) in [
        ("initialDelaySeconds", probe.initial_delay_seconds, 0),
        ("timeoutSeconds", probe.timeout_seconds, 1),
        ("periodSeconds", probe.period_seconds, 1),
        ("successThreshold", probe.success_threshold, 1),
        ("failureThreshold", probe.failure_threshold, 1),
    ] {
        if let Some(number) = number
            && number < least
        {
            let detail = format!("must be greater than or equal to {least}");
            faults.push(path.field(name).invalid(number, detail));
        }
    }
    if !is_readiness && probe.success_threshold.is_some_and(|threshold| threshold != 1) {
        let given = probe.success_threshold.unwrap_or_default();
        faults.push(path.field("successThreshold").invalid(given, "must be 1"));
    }
    if let Some(HTTPGetAction { port, scheme, .. }) = &probe.http_get {
        let path = path.field("httpGet");
        validate_port(port, &path.field("port"), faults);
        one_of(scheme.as_deref(), &["HTTP", "HTTPS"], &path.field("scheme"), faults);
    }
    if let Some(TCPSocketAction { port, .. }) = &probe.tcp_socket {
        validate_port(port, &path.field("tcpSocket").field("port"), faults);
    }
    if let Some(exec) = &probe.exec
        && exec.command.as_deref().unwrap_or_default().is_empty()
    {
        faults.push(path.field("exec").field("command").required(""));
    }
}

fn validate_toleration(toleration: &Toleration, path: &Path, faults: &mut Faults) {
    let key = toleration.key.as_deref().unwrap_or_default();
    let operator = toleration.operator.as_deref().unwrap_or("Equal");
    match operator {
        "Exists" if toleration.value.as_deref().is_some_and(|value| !value.is_empty()) => {
            let value = toleration.value.as_deref().unwrap_or_default();
            faults.push(
                path.field("operator").invalid(value, "value must be empty when `operator` is 'Exists'"),
            );
        }
        "Equal" if key.is_empty() => faults.push(
            path.field("operator").invalid(operator, "operator must be Exists when `key` is empty, which means \"match all values and all keys\""),
        ),
        "Equal" | "Exists" => {}
        other => faults.push(path.field("operator").not_supported(other, &["Equal", "Exists"])),
    }
    one_of(
        toleration.effect.as_deref().filter(|effect| !effect.is_empty()),
        TAINT_EFFECTS,
        &path.field("effect"),
        faults,
    );
    if toleration.toleration_seconds.is_some() && toleration.effect.as_deref() != Some("NoExecute")
    {
        faults.push(path.field("effect").invalid(
            toleration.effect.as_deref().unwrap_or_default(),
            "effect must be 'NoExecute' when `tolerationSeconds` is set",
        ));
    }
}
