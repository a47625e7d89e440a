//! Making a sandbox and starting a container: everything that can go wrong has a reason for the status.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1 as core;
use swell_client::{ClientError, EventType};
use swell_model::DurationMs;
use swell_runtime::{
    ContainerConfig, ContainerState, Rlimit, RlimitKind, RunAs, RuntimeError, SandboxConfig,
    SandboxId, SandboxStatus,
};

use super::back_off::BackOff;
use super::env::{EnvSources, expand, references, resolve};
use super::spec::{ContainerSpec, Hook, Workload, resources};
use super::state::{BACK_OFF_LABEL, Refusal};
use crate::context::Context;
use crate::net::port_conflict;
use crate::probe::{CheckTarget, run_check};

/// How often a sandbox is tried again that could not be made, for want of an address mostly.
const SANDBOX_RETRY: DurationMs = DurationMs::from_secs(1);
/// A hook after the start may take no longer.
const POST_START_LIMIT: std::time::Duration = std::time::Duration::from_secs(60);

/// Gives the pod its address and makes its sandbox.
pub(super) async fn prepare_sandbox(
    context: &Context,
    workload: &Workload,
    attempt: u32,
) -> Result<SandboxStatus, Refusal> {
    let pod = &workload.identity;
    let refusal = |message: String| Refusal {
        reason: "FailedCreatePodSandBox",
        message,
        retry_at: context.now() + SANDBOX_RETRY,
    };
    let address = if workload.host_network {
        None
    } else {
        let mut pool = context.addresses.lock();
        let pool = pool.as_mut().ok_or_else(|| {
            refusal(format!(
                "node {} has no spec.podCIDR yet; the node controller of the server gives it one",
                context.config.node_name
            ))
        })?;
        Some(pool.allocate(&pod.uid).map_err(|error| refusal(error.to_string()))?)
    };
    let log_dir = context
        .config
        .data_dir
        .join("logs")
        .join("pods")
        .join(format!("{}_{}_{}", pod.namespace, pod.name, pod.uid));
    let config =
        SandboxConfig { pod: pod.clone(), attempt, address, log_dir, labels: BTreeMap::new() };
    context
        .runtime
        .run_sandbox(config)
        .await
        .map_err(|error| refusal(swell_telemetry::chain(&error)))
}

/// A container to start.
pub(super) struct Start<'a> {
    pub(super) pod: &'a core::Pod,
    pub(super) spec: &'a ContainerSpec,
    pub(super) sandbox: &'a SandboxId,
    /// The pod's address, or the node's.
    pub(super) address: IpAddr,
    pub(super) has_own_address: bool,
    pub(super) attempt: u32,
    pub(super) back_off: BackOff,
}

/// Makes and starts a run of a container, and runs its hook.
pub(super) async fn start_container(context: &Context, start: &Start<'_>) -> Result<(), Refusal> {
    let begun = context.clock.monotonic();
    let started = try_start(context, start).await;
    let name = &start.spec.name;
    let outcome = match &started {
        Ok(()) => {
            let seconds = context.clock.monotonic().since(begun).as_secs_f64();
            context.metrics.start_duration.observe(seconds);
            "started"
        }
        Err(refusal) => {
            let message = format!("Error: {}", refusal.message);
            context.container_event(start.pod, name, EventType::Warning, "Failed", message);
            "refused"
        }
    };
    context.metrics.container_starts.with_label_values(&[outcome]).inc();
    started?;
    post_start(context, start).await
}

async fn try_start(context: &Context, start: &Start<'_>) -> Result<(), Refusal> {
    let refusal = |reason, message| Refusal {
        reason,
        message,
        retry_at: context.now() + context.config.back_off.initial,
    };
    let env = environment(context, start)
        .await
        .map_err(|message| refusal("CreateContainerConfigError", message))?;
    if start.has_own_address
        && let Some(conflict) = port_conflict(start.address, &start.spec.ports)
    {
        return Err(refusal("CreateContainerError", conflict));
    }
    let config =
        config(start, env).map_err(|message| refusal("CreateContainerConfigError", message))?;
    let created = context
        .runtime
        .create_container(start.sandbox, config)
        .await
        .map_err(|error| refusal("CreateContainerError", swell_telemetry::chain(&error)))?;
    let name = &start.spec.name;
    let normal = EventType::Normal;
    context.container_event(
        start.pod,
        name,
        normal,
        "Created",
        format!("Created container: {name}"),
    );
    let status = context
        .runtime
        .start_container(&created.id)
        .await
        .map_err(|error| refusal("RunContainerError", swell_telemetry::chain(&error)))?;
    match &status.state {
        ContainerState::Exited(exit) if exit.started_at.is_none() => {
            // The run counts as failed: policy and back-off apply to it, not to a refusal.
            let message = format!("Error: {}", exit.message);
            context.container_event(start.pod, name, EventType::Warning, "Failed", message);
        }
        _ => {
            let message = format!("Started container {name}");
            context.container_event(start.pod, name, normal, "Started", message);
        }
    }
    Ok(())
}

async fn environment(
    context: &Context,
    start: &Start<'_>,
) -> Result<Vec<(String, String)>, String> {
    let container = &start.spec.source;
    let namespace = start.pod.metadata.namespace.as_deref();
    let wanted = references(container);
    let mut config_maps = BTreeMap::new();
    for name in wanted.config_maps {
        match context.client.get::<core::ConfigMap>(namespace, &name).await {
            Ok(found) => config_maps.insert(name, found.data.unwrap_or_default()),
            Err(ClientError::NotFound { .. }) => None,
            Err(error) => return Err(swell_telemetry::chain(&error)),
        };
    }
    let mut secrets = BTreeMap::new();
    for name in wanted.secrets {
        match context.client.get::<core::Secret>(namespace, &name).await {
            Ok(found) => secrets.insert(name, secret_text(found)),
            Err(ClientError::NotFound { .. }) => None,
            Err(error) => return Err(swell_telemetry::chain(&error)),
        };
    }
    let sources = EnvSources {
        pod: start.pod,
        node_name: &context.config.node_name,
        pod_address: start.address,
        host_address: context.host(),
        node_cpu_milli: context.config.capacity.cpu_milli,
        node_memory_bytes: context.config.capacity.memory_bytes,
        host_env: &context.config.host_env,
        config_maps,
        secrets,
    };
    resolve(container, &sources)
}

fn secret_text(secret: core::Secret) -> BTreeMap<String, String> {
    let data = secret.data.unwrap_or_default().into_iter();
    data.map(|(key, value)| (key, String::from_utf8_lossy(&value.0).into_owned())).collect()
}

fn config(start: &Start<'_>, env: Vec<(String, String)>) -> Result<ContainerConfig, String> {
    let source = &start.spec.source;
    let by_name: BTreeMap<String, String> = env.iter().cloned().collect();
    let words = source.command.iter().flatten().chain(source.args.iter().flatten());
    let command = words.map(|word| expand(word, &by_name)).collect();
    let labels = BTreeMap::from([(BACK_OFF_LABEL.to_owned(), start.back_off.to_label())]);
    Ok(ContainerConfig {
        name: start.spec.name.clone(),
        attempt: start.attempt,
        image: source.image.clone().unwrap_or_default(),
        command,
        env,
        working_dir: source.working_dir.clone().filter(|dir| !dir.is_empty()).map(Into::into),
        run_as: run_as(start.pod, source)?,
        resources: resources(source),
        rlimits: vec![Rlimit { kind: RlimitKind::CoreBytes, soft: 0, hard: u64::MAX }],
        labels,
    })
}

/// `securityContext` of the container over that of the pod.
fn run_as(pod: &core::Pod, source: &core::Container) -> Result<Option<RunAs>, String> {
    let own = source.security_context.clone().unwrap_or_default();
    let pods = pod.spec.as_ref().and_then(|spec| spec.security_context.clone()).unwrap_or_default();
    let uid = own.run_as_user.or(pods.run_as_user);
    let gid = own.run_as_group.or(pods.run_as_group);
    let must_not_be_root = own.run_as_non_root.or(pods.run_as_non_root) == Some(true);
    let id = |value: i64| {
        u32::try_from(value)
            .map_err(|_| format!("container {}: id {value} is no user or group id", source.name))
    };
    let Some(uid) = uid else {
        return if must_not_be_root {
            Err(format!(
                "container {}: runAsNonRoot needs a runAsUser, since a process has no image that names a user",
                source.name
            ))
        } else {
            Ok(None)
        };
    };
    if must_not_be_root && uid == 0 {
        return Err(format!("container {}: runAsUser 0 breaks runAsNonRoot", source.name));
    }
    let uid = id(uid)?;
    let supplementary = pods.supplemental_groups.unwrap_or_default().into_iter().map(id);
    Ok(Some(RunAs {
        uid,
        gid: gid.map_or(Ok(uid), id)?,
        supplementary_gids: supplementary.collect::<Result<_, _>>()?,
    }))
}

/// A hook that fails ends the container, as with the kubelet.
async fn post_start(context: &Context, start: &Start<'_>) -> Result<(), Refusal> {
    let Some(hook) = &start.spec.post_start else { return Ok(()) };
    let pod = super::spec::identity(start.pod);
    let id = swell_runtime::ContainerId::of(&pod, &start.spec.name, start.attempt);
    let outcome = match hook {
        Hook::Sleep(span) => {
            tokio::time::sleep(*span).await;
            Ok(())
        }
        Hook::Check(check) => {
            let runtime = context.runtime.clone();
            let target = CheckTarget { runtime, container: id.clone(), address: start.address };
            run_check(&target, check, POST_START_LIMIT).await
        }
    };
    let Err(why) = outcome else { return Ok(()) };
    let name = &start.spec.name;
    context.container_event(
        start.pod,
        name,
        EventType::Warning,
        "FailedPostStartHook",
        format!("PostStartHook failed: {why}"),
    );
    match context.runtime.stop_container(&id, std::time::Duration::ZERO).await {
        Ok(()) | Err(RuntimeError::NotFound { .. }) => Ok(()),
        Err(error) => Err(Refusal {
            reason: "PostStartHookError",
            message: swell_telemetry::chain(&error),
            retry_at: context.now() + context.config.back_off.initial,
        }),
    }
}
