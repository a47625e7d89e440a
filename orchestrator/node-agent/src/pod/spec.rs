//! A pod as this node can run it: checked, with every default filled in.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use swell_model::DurationMs;
use swell_runtime::PodIdentity;

use crate::probe::{Check, HttpCheck, ProbeSpec};

/// The image name under which pods of the process runtime run programs of the node.
pub const HOST_IMAGE: &str = "host";
/// `terminationGracePeriodSeconds` of a pod that sets none.
const GRACE_DEFAULT: DurationMs = DurationMs::from_secs(30);

/// What may run here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The runtime class that pods may name.
    pub runtime_class: String,
    /// No image but [`HOST_IMAGE`].
    pub host_image_only: bool,
}

/// Why a pod cannot run here; it stays Pending with this until its spec or the node changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsuitable {
    /// Kubernetes' word for `state.waiting.reason`.
    pub reason: &'static str,
    /// What is wrong, where, and how to mend it.
    pub message: String,
}

/// A pod to run.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Which pod.
    pub identity: PodIdentity,
    /// Shares the node's address instead of having its own.
    pub host_network: bool,
    /// When containers that ended are started again.
    pub restart_policy: RestartPolicy,
    /// From SIGTERM to SIGKILL.
    pub termination_grace: DurationMs,
    /// Init containers in their order, sidecars among them.
    pub init: Vec<ContainerSpec>,
    /// The containers proper.
    pub main: Vec<ContainerSpec>,
}

/// `spec.restartPolicy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartPolicy {
    /// However it ended.
    Always,
    /// When it failed.
    OnFailure,
    /// Not at all.
    Never,
}

/// What part a container plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Runs to its end before the next one starts.
    Init,
    /// An init container with `restartPolicy: Always`: goes on beside the others.
    Sidecar,
    /// The work.
    Main,
}

/// One container of a pod.
#[derive(Clone, Debug)]
pub struct ContainerSpec {
    /// Its name.
    pub name: String,
    /// Its part.
    pub role: Role,
    /// Ports it says it listens on.
    pub ports: Vec<PortSpec>,
    /// See [`ProbeKind::Startup`](crate::probe::ProbeKind).
    pub startup: Option<ProbeSpec>,
    /// See [`ProbeKind::Readiness`](crate::probe::ProbeKind).
    pub readiness: Option<ProbeSpec>,
    /// See [`ProbeKind::Liveness`](crate::probe::ProbeKind).
    pub liveness: Option<ProbeSpec>,
    /// Runs right after the start.
    pub post_start: Option<Hook>,
    /// Runs before SIGTERM.
    pub pre_stop: Option<Hook>,
    /// The rest, as the API has it.
    pub source: core::Container,
}

/// A declared port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortSpec {
    /// Its name, if it has one.
    pub name: Option<String>,
    /// Its number.
    pub number: u16,
    /// TCP, and not UDP or SCTP.
    pub is_tcp: bool,
}

/// A lifecycle hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hook {
    /// Asks the container something.
    Check(Check),
    /// Waits.
    Sleep(Duration),
}

impl Workload {
    /// Reads a pod.
    ///
    /// # Errors
    /// What keeps it from running here.
    pub fn from_pod(pod: &core::Pod, offer: &Offer) -> Result<Self, Unsuitable> {
        let identity = identity(pod);
        let spec = pod.spec.as_ref().ok_or_else(|| unsuitable("the pod has no spec".to_owned()))?;
        check_class(spec, offer)?;
        check_volumes(spec, offer)?;
        let restart_policy = match spec.restart_policy.as_deref() {
            None | Some("Always") => RestartPolicy::Always,
            Some("OnFailure") => RestartPolicy::OnFailure,
            Some("Never") => RestartPolicy::Never,
            Some(other) => return Err(unsuitable(format!("restartPolicy {other:?} is unknown"))),
        };
        let init = spec.init_containers.iter().flatten().map(|container| {
            let role = match container.restart_policy.as_deref() {
                Some("Always") => Role::Sidecar,
                _ => Role::Init,
            };
            ContainerSpec::read(container, role, offer)
        });
        let main = spec
            .containers
            .iter()
            .map(|container| ContainerSpec::read(container, Role::Main, offer));
        Ok(Self {
            identity,
            host_network: spec.host_network.unwrap_or(false),
            restart_policy,
            termination_grace: spec
                .termination_grace_period_seconds
                .map_or(GRACE_DEFAULT, |seconds| DurationMs::from_secs(seconds.max(0))),
            init: init.collect::<Result<_, _>>()?,
            main: main.collect::<Result<_, _>>()?,
        })
    }

    /// Every container, init containers first.
    pub fn containers(&self) -> impl DoubleEndedIterator<Item = &ContainerSpec> {
        self.init.iter().chain(&self.main)
    }

    /// The container of this name.
    #[must_use]
    pub fn container(&self, name: &str) -> Option<&ContainerSpec> {
        self.containers().find(|container| container.name == name)
    }
}

/// Namespace, name and uid of a pod.
#[must_use]
pub fn identity(pod: &core::Pod) -> PodIdentity {
    PodIdentity {
        namespace: pod.metadata.namespace.clone().unwrap_or_default(),
        name: pod.metadata.name.clone().unwrap_or_default(),
        uid: pod.metadata.uid.clone().unwrap_or_default(),
    }
}

fn unsuitable(message: String) -> Unsuitable {
    Unsuitable { reason: "CreateContainerConfigError", message }
}

fn check_class(spec: &core::PodSpec, offer: &Offer) -> Result<(), Unsuitable> {
    match spec.runtime_class_name.as_deref() {
        None => Ok(()),
        Some(class) if class == offer.runtime_class => Ok(()),
        Some(class) => Err(Unsuitable {
            reason: "FailedCreatePodSandBox",
            message: format!(
                "no runtime for runtimeClassName {class:?} is configured on this node, which has {:?}",
                offer.runtime_class
            ),
        }),
    }
}

/// Programs of the host see the host's file system; there is nothing a volume could be mounted into.
fn check_volumes(spec: &core::PodSpec, offer: &Offer) -> Result<(), Unsuitable> {
    if !offer.host_image_only {
        return Ok(());
    }
    let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
    for container in containers {
        if let Some(mount) = container.volume_mounts.iter().flatten().next() {
            return Err(unsuitable(format!(
                "container {} mounts volume {} at {}, but process pods share the node's file system \
                 and cannot mount; read the path on the node, or pass the values through env",
                container.name, mount.name, mount.mount_path
            )));
        }
    }
    Ok(())
}

impl ContainerSpec {
    fn read(source: &core::Container, role: Role, offer: &Offer) -> Result<Self, Unsuitable> {
        let name = &source.name;
        let image = source.image.as_deref().unwrap_or_default();
        if offer.host_image_only && image != HOST_IMAGE {
            return Err(Unsuitable {
                reason: "ErrImageNeverPull",
                message: format!(
                    "container image {image:?} of container {name} cannot run here: this node's runtime \
                     pulls no images; set image: {HOST_IMAGE} and a command that exists on the node, or \
                     choose a node whose runtime has images"
                ),
            });
        }
        let ports = ports(source)?;
        let reader = Reader { container: name, ports: &ports };
        let probe = |field, probe: &Option<core::Probe>| {
            probe.as_ref().map(|probe| reader.probe(field, probe)).transpose()
        };
        let lifecycle = source.lifecycle.as_ref();
        let hook = |field, hook: Option<&core::LifecycleHandler>| {
            hook.map(|hook| reader.hook(field, hook)).transpose()
        };
        let post_start = lifecycle.and_then(|lifecycle| lifecycle.post_start.as_ref());
        let pre_stop = lifecycle.and_then(|lifecycle| lifecycle.pre_stop.as_ref());
        Ok(Self {
            name: name.clone(),
            role,
            startup: probe("startupProbe", &source.startup_probe)?,
            readiness: probe("readinessProbe", &source.readiness_probe)?,
            liveness: probe("livenessProbe", &source.liveness_probe)?,
            post_start: hook("lifecycle.postStart", post_start)?,
            pre_stop: hook("lifecycle.preStop", pre_stop)?,
            ports,
            source: source.clone(),
        })
    }
}

fn ports(source: &core::Container) -> Result<Vec<PortSpec>, Unsuitable> {
    let read = |port: &core::ContainerPort| {
        let number = u16::try_from(port.container_port).ok().filter(|number| *number > 0);
        let number = number.ok_or_else(|| {
            unsuitable(format!(
                "container {}: containerPort {} is not between 1 and 65535",
                source.name, port.container_port
            ))
        })?;
        let is_tcp = matches!(port.protocol.as_deref(), None | Some("TCP"));
        Ok(PortSpec { name: port.name.clone(), number, is_tcp })
    };
    source.ports.iter().flatten().map(read).collect()
}

struct Reader<'a> {
    container: &'a str,
    ports: &'a [PortSpec],
}

impl Reader<'_> {
    fn fault(&self, field: &str, why: impl std::fmt::Display) -> Unsuitable {
        unsuitable(format!("container {}: {field}: {why}", self.container))
    }

    fn probe(&self, field: &str, probe: &core::Probe) -> Result<ProbeSpec, Unsuitable> {
        if probe.grpc.is_some() {
            return Err(
                self.fault(field, "grpc probes are not supported; use httpGet, tcpSocket or exec")
            );
        }
        let check = self.check(
            field,
            probe.exec.as_ref(),
            probe.http_get.as_ref(),
            probe.tcp_socket.as_ref(),
        )?;
        let Some(check) = check else {
            return Err(self.fault(field, "one of httpGet, tcpSocket and exec is needed"));
        };
        let seconds = |value: Option<i32>, default: u32, min: u32| {
            let value = value.and_then(|value| u32::try_from(value).ok()).unwrap_or(default);
            Duration::from_secs(u64::from(if value == 0 { default } else { value }.max(min)))
        };
        let count = |value: Option<i32>, default| {
            value.and_then(|value| u32::try_from(value).ok()).filter(|n| *n > 0).unwrap_or(default)
        };
        Ok(ProbeSpec {
            check,
            initial_delay: seconds(probe.initial_delay_seconds, 0, 0),
            period: seconds(probe.period_seconds, 10, 1),
            timeout: seconds(probe.timeout_seconds, 1, 1),
            success_threshold: count(probe.success_threshold, 1),
            failure_threshold: count(probe.failure_threshold, 3),
            termination_grace: probe
                .termination_grace_period_seconds
                .and_then(|seconds| u64::try_from(seconds).ok())
                .map(Duration::from_secs),
        })
    }

    fn hook(&self, field: &str, hook: &core::LifecycleHandler) -> Result<Hook, Unsuitable> {
        if let Some(sleep) = &hook.sleep {
            let seconds = u64::try_from(sleep.seconds)
                .map_err(|_| self.fault(field, "sleep.seconds is negative"))?;
            return Ok(Hook::Sleep(Duration::from_secs(seconds)));
        }
        let check = self.check(
            field,
            hook.exec.as_ref(),
            hook.http_get.as_ref(),
            hook.tcp_socket.as_ref(),
        )?;
        check
            .map(Hook::Check)
            .ok_or_else(|| self.fault(field, "one of exec, httpGet and sleep is needed"))
    }

    fn check(
        &self,
        field: &str,
        exec: Option<&core::ExecAction>,
        http: Option<&core::HTTPGetAction>,
        tcp: Option<&core::TCPSocketAction>,
    ) -> Result<Option<Check>, Unsuitable> {
        if let Some(exec) = exec {
            let command = exec.command.clone().unwrap_or_default();
            if command.is_empty() {
                return Err(self.fault(field, "exec.command is empty"));
            }
            return Ok(Some(Check::Exec { command }));
        }
        if let Some(http) = http {
            if http.scheme.as_deref().is_some_and(|scheme| scheme != "HTTP") {
                return Err(self
                    .fault(field, "httpGet.scheme HTTPS is not supported; use tcpSocket or exec"));
            }
            let path = http.path.as_deref().unwrap_or("/");
            let slash = if path.starts_with('/') { "" } else { "/" };
            let headers = http.http_headers.iter().flatten();
            return Ok(Some(Check::Http(HttpCheck {
                host: http.host.clone().filter(|host| !host.is_empty()),
                port: self.port(field, &http.port)?,
                path: format!("{slash}{path}"),
                headers: headers
                    .map(|header| (header.name.clone(), header.value.clone()))
                    .collect(),
            })));
        }
        if let Some(tcp) = tcp {
            let host = tcp.host.clone().filter(|host| !host.is_empty());
            return Ok(Some(Check::Tcp { host, port: self.port(field, &tcp.port)? }));
        }
        Ok(None)
    }

    fn port(&self, field: &str, port: &IntOrString) -> Result<u16, Unsuitable> {
        match port {
            IntOrString::Int(number) => {
                u16::try_from(*number).ok().filter(|number| *number > 0).ok_or_else(|| {
                    self.fault(field, format_args!("port {number} is not between 1 and 65535"))
                })
            }
            IntOrString::String(name) => {
                let named = self.ports.iter().find(|port| port.name.as_deref() == Some(name));
                named.map(|port| port.number).or_else(|| name.parse().ok()).ok_or_else(|| {
                    self.fault(field, format_args!("no port of the container is named {name:?}"))
                })
            }
        }
    }
}

/// Amounts of a container's `resources`, in the units of the runtime.
#[must_use]
pub(crate) fn resources(source: &core::Container) -> swell_runtime::Resources {
    let resources = source.resources.clone().unwrap_or_default();
    let amount = |amounts: &Option<BTreeMap<String, _>>, resource: &str| {
        let amounts: &BTreeMap<String, k8s_openapi::apimachinery::pkg::api::resource::Quantity> =
            amounts.as_ref()?;
        // The API server refuses what is no quantity.
        swell_model::Quantity::parse(&amounts.get(resource)?.0).ok()
    };
    let positive = |value: i64| u64::try_from(value).ok().filter(|value| *value > 0);
    swell_runtime::Resources {
        cpu_request_milli: amount(&resources.requests, "cpu")
            .or_else(|| amount(&resources.limits, "cpu"))
            .and_then(|quantity| positive(quantity.milli)),
        cpu_limit_milli: amount(&resources.limits, "cpu")
            .and_then(|quantity| positive(quantity.milli)),
        memory_limit_bytes: amount(&resources.limits, "memory")
            .and_then(|quantity| positive(quantity.units_ceil())),
        pids_limit: None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(spec: Value) -> Result<Workload, Unsuitable> {
        let pod =
            json!({"metadata": {"name": "web", "namespace": "shop", "uid": "u1"}, "spec": spec});
        let pod: core::Pod = serde_json::from_value(pod).expect("a pod");
        let offer = Offer { runtime_class: "process".to_owned(), host_image_only: true };
        Workload::from_pod(&pod, &offer)
    }

    fn with_container(container: Value) -> Result<Workload, Unsuitable> {
        let mut base = json!({"name": "main", "image": "host", "command": ["/bin/true"]});
        let fields = container.as_object().expect("an object").clone();
        base.as_object_mut().expect("an object").extend(fields);
        read(json!({"containers": [base]}))
    }

    #[test]
    fn defaults_are_those_of_kubernetes() {
        let workload =
            with_container(json!({"readinessProbe": {"tcpSocket": {"port": 80}}})).unwrap();
        assert_eq!(workload.restart_policy, RestartPolicy::Always);
        assert_eq!(workload.termination_grace, DurationMs::from_secs(30));
        let probe = workload.main[0].readiness.clone().unwrap();
        let seconds = |n| Duration::from_secs(n);
        assert_eq!(
            (probe.initial_delay, probe.period, probe.timeout),
            (Duration::ZERO, seconds(10), seconds(1))
        );
        assert_eq!((probe.success_threshold, probe.failure_threshold), (1, 3));
    }

    #[test]
    fn probes_find_named_ports_and_keep_what_is_set() {
        let workload = with_container(json!({
            "ports": [{"name": "http", "containerPort": 8080}],
            "livenessProbe": {
                "httpGet": {"port": "http", "path": "live", "httpHeaders": [{"name": "A", "value": "b"}]},
                "periodSeconds": 3, "timeoutSeconds": 2, "failureThreshold": 5, "initialDelaySeconds": 7,
                "terminationGracePeriodSeconds": 4,
            },
            "lifecycle": {"preStop": {"sleep": {"seconds": 2}}},
        }))
        .unwrap();
        let container = &workload.main[0];
        let probe = container.liveness.clone().unwrap();
        let Check::Http(http) = probe.check else { panic!("{probe:?}") };
        assert_eq!((http.port, http.path.as_str()), (8080, "/live"));
        assert_eq!(http.headers, [("A".to_owned(), "b".to_owned())]);
        assert_eq!(probe.period, Duration::from_secs(3));
        assert_eq!(probe.termination_grace, Some(Duration::from_secs(4)));
        assert_eq!(container.pre_stop, Some(Hook::Sleep(Duration::from_secs(2))));
    }

    #[test]
    fn what_cannot_run_here_says_why_and_what_to_do() {
        let check = |outcome: Result<Workload, Unsuitable>, reason, word| {
            let why = outcome.expect_err(word);
            assert_eq!(why.reason, reason);
            assert!(why.message.contains(word), "{word:?} is missing in {:?}", why.message);
        };
        let config = "CreateContainerConfigError";
        check(with_container(json!({"image": "nginx"})), "ErrImageNeverPull", "image: host");
        check(
            read(json!({"runtimeClassName": "gvisor", "containers": []})),
            "FailedCreatePodSandBox",
            "gvisor",
        );
        check(
            with_container(json!({"volumeMounts": [{"name": "data", "mountPath": "/data"}]})),
            config,
            "/data",
        );
        check(
            with_container(json!({"readinessProbe": {"httpGet": {"port": "web"}}})),
            config,
            "\"web\"",
        );
        check(with_container(json!({"readinessProbe": {"grpc": {"port": 1}}})), config, "grpc");
        check(with_container(json!({"readinessProbe": {}})), config, "httpGet");
        check(
            with_container(json!({"livenessProbe": {"httpGet": {"port": 1, "scheme": "HTTPS"}}})),
            config,
            "HTTPS",
        );
        check(with_container(json!({"ports": [{"containerPort": 70000}]})), config, "70000");
    }

    #[test]
    fn resources_come_in_the_units_of_the_runtime() {
        let workload = with_container(json!({
            "resources": {"limits": {"cpu": "1500m", "memory": "64Mi"}, "requests": {"cpu": "0.25"}}
        }))
        .unwrap();
        let resources = resources(&workload.main[0].source);
        assert_eq!(resources.cpu_request_milli, Some(250));
        assert_eq!(resources.cpu_limit_milli, Some(1500));
        assert_eq!(resources.memory_limit_bytes, Some(64 << 20));
    }
}
