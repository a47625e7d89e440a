//! Stopping a container and removing a pod.

use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use swell_client::{ClientError, DeleteParams, EventType};
use swell_model::{DurationMs, TimestampMs};
use swell_runtime::{ContainerId, PodIdentity, RuntimeError};

use super::plan::StopReason;
use super::spec::{ContainerSpec, Hook};
use crate::context::Context;
use crate::probe::{CheckTarget, run_check};

/// What a container gets after its hook used up the grace, as the kubelet has it; never more than the grace.
const GRACE_MIN: DurationMs = DurationMs::from_secs(2);

/// A container to stop.
pub(super) struct Stop<'a> {
    pub(super) pod: &'a Pod,
    pub(super) spec: &'a ContainerSpec,
    pub(super) id: &'a ContainerId,
    pub(super) address: IpAddr,
    pub(super) deadline: TimestampMs,
    pub(super) why: StopReason,
    /// A stop is under way already and is only made shorter.
    pub(super) again: bool,
}

/// Runs the hook before the end, then SIGTERM, then SIGKILL at the deadline.
pub(super) async fn stop_container(context: &Context, stop: &Stop<'_>) -> Result<(), RuntimeError> {
    let grace = left(context, stop.deadline);
    if !stop.again {
        let name = &stop.spec.name;
        let message = match stop.why {
            StopReason::PodDeleted | StopReason::WorkDone => format!("Stopping container {name}"),
            StopReason::Unhealthy(probe) => {
                format!("Container {name} failed {} probe, will be restarted", probe.word())
            }
        };
        context.container_event(stop.pod, name, EventType::Normal, "Killing", message);
        if grace > DurationMs::ZERO {
            pre_stop(context, stop, grace.to_std()).await;
        }
    }
    let grace = left(context, stop.deadline).max(grace.min(GRACE_MIN));
    context.runtime.stop_container(stop.id, grace.to_std()).await
}

fn left(context: &Context, deadline: TimestampMs) -> DurationMs {
    deadline.since(context.now()).max(DurationMs::ZERO)
}

async fn pre_stop(context: &Context, stop: &Stop<'_>, limit: Duration) {
    let outcome = match &stop.spec.pre_stop {
        None => return,
        Some(Hook::Sleep(span)) => {
            tokio::time::sleep((*span).min(limit)).await;
            Ok(())
        }
        Some(Hook::Check(check)) => {
            let runtime = context.runtime.clone();
            let target = CheckTarget { runtime, container: stop.id.clone(), address: stop.address };
            run_check(&target, check, limit).await
        }
    };
    if let Err(why) = outcome {
        let message = format!("PreStopHook failed: {why}");
        let name = &stop.spec.name;
        context.container_event(stop.pod, name, EventType::Warning, "FailedPreStopHook", message);
    }
}

/// Removes sandboxes, containers, logs and the address of a pod.
pub(crate) async fn remove_pod(context: &Context, pod: &PodIdentity) -> Result<(), RuntimeError> {
    let sandboxes = context.runtime.sandboxes();
    for sandbox in sandboxes.iter().filter(|sandbox| sandbox.config.pod.uid == pod.uid) {
        context.runtime.stop_sandbox(&sandbox.id).await?;
        context.runtime.remove_sandbox(&sandbox.id).await?;
    }
    if let Some(pool) = context.addresses.lock().as_mut() {
        pool.release(&pod.uid);
    }
    Ok(())
}

/// Removes the pod's object now that nothing of the pod is left on the node.
pub(super) async fn delete_object(context: &Context, pod: &PodIdentity) -> Result<(), ClientError> {
    let params = DeleteParams {
        grace_period_s: Some(0),
        uid: Some(pod.uid.clone()),
        ..DeleteParams::default()
    };
    match context.client.delete::<Pod>(Some(&pod.namespace), &pod.name, &params).await {
        // Gone, or another pod has the name by now.
        Err(ClientError::NotFound { .. } | ClientError::Conflict { .. }) => Ok(()),
        outcome => outcome,
    }
}
