//! Status and conditions of a Deployment.

use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition, DeploymentStatus};
use swell_model::{DurationMs, TimestampMs};

use super::sets::{Set, Sets, Sizing};
use crate::times::{millis_of, time};

/// Seconds without progress where the Deployment says nothing.
const DEADLINE_DEFAULT_S: i32 = 600;

pub(super) struct Judged {
    pub(super) status: DeploymentStatus,
    /// Whether the rollout is done.
    pub(super) complete: bool,
    pub(super) recheck_at: Option<TimestampMs>,
}

pub(super) fn judge(
    deployment: &Deployment,
    sets: &Sets<'_>,
    sizing: &Sizing,
    collision_count: Option<i32>,
    now: TimestampMs,
) -> Judged {
    let old = deployment.status.clone().unwrap_or_default();
    let nonzero = |count: i32| (count > 0).then_some(count);
    let available = sets.total_available();
    let unavailable = (sets.total_size() - available).max(0);
    let terminating: i32 = sets
        .all()
        .filter_map(|set| set.stored.status.as_ref().and_then(|status| status.terminating_replicas))
        .sum();
    let mut status = DeploymentStatus {
        replicas: nonzero(sets.all().map(Set::actual).sum()),
        updated_replicas: nonzero(sets.new.as_ref().map_or(0, Set::actual)),
        ready_replicas: nonzero(sets.all().map(Set::ready).sum()),
        available_replicas: nonzero(available),
        unavailable_replicas: nonzero(unavailable),
        terminating_replicas: Some(terminating),
        observed_generation: deployment.metadata.generation,
        collision_count: collision_count.or(old.collision_count),
        conditions: None,
    };
    let complete = sets.created.is_none()
        && sets.new.is_some()
        && [status.updated_replicas, status.replicas, status.available_replicas]
            .iter()
            .all(|count| count.unwrap_or(0) == sizing.replicas);
    let mut conditions = Vec::new();
    conditions.push(available_condition(&old, available, sizing, now));
    let progressing = progress_condition(deployment, &old, &status, sets, complete, now);
    let recheck_at = progressing.as_ref().and_then(|condition| {
        let waiting = condition.status == "True"
            && condition.reason.as_deref() != Some("NewReplicaSetAvailable");
        let updated = condition.last_update_time.as_ref().map(millis_of)?;
        waiting.then(|| {
            updated + deadline_of(deployment).unwrap_or(DurationMs::ZERO) + DurationMs(1000)
        })
    });
    conditions.extend(progressing);
    conditions.extend(failure_condition(&old, sets, now));
    status.conditions = Some(conditions);
    Judged { status, complete, recheck_at: recheck_at.filter(|at| *at > now) }
}

fn find<'a>(status: &'a DeploymentStatus, kind: &str) -> Option<&'a DeploymentCondition> {
    status.conditions.iter().flatten().find(|condition| condition.type_ == kind)
}

/// A condition that keeps its times as long as it says the same.
fn condition(
    old: &DeploymentStatus,
    kind: &str,
    status: &str,
    reason: &str,
    message: String,
    now: TimestampMs,
) -> DeploymentCondition {
    let known = find(old, kind);
    if let Some(known) = known
        && known.status == status
        && known.reason.as_deref() == Some(reason)
        && known.message.as_deref() == Some(message.as_str())
    {
        return known.clone();
    }
    let kept = known.filter(|known| known.status == status);
    DeploymentCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_update_time: Some(time(now)),
        last_transition_time: kept
            .and_then(|known| known.last_transition_time.clone())
            .or_else(|| Some(time(now))),
    }
}

fn available_condition(
    old: &DeploymentStatus,
    available: i32,
    sizing: &Sizing,
    now: TimestampMs,
) -> DeploymentCondition {
    let missing_max = sizing.rolling.map_or(0, |rolling| rolling.max_unavailable);
    let (status, reason, message) = if available >= sizing.replicas - missing_max {
        ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    } else {
        ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    };
    condition(old, "Available", status, reason, message.to_owned(), now)
}

fn deadline_of(deployment: &Deployment) -> Option<DurationMs> {
    let spec = deployment.spec.as_ref();
    let seconds =
        spec.and_then(|spec| spec.progress_deadline_seconds).unwrap_or(DEADLINE_DEFAULT_S);
    (seconds != i32::MAX).then(|| DurationMs::from_secs(seconds.into()))
}

fn progress_condition(
    deployment: &Deployment,
    old: &DeploymentStatus,
    new: &DeploymentStatus,
    sets: &Sets<'_>,
    complete: bool,
    now: TimestampMs,
) -> Option<DeploymentCondition> {
    let deadline = deadline_of(deployment)?;
    let known = find(old, "Progressing");
    let known_reason = known.and_then(|known| known.reason.as_deref());
    let say = |status: &str, reason: &str, message: String| {
        Some(condition(old, "Progressing", status, reason, message, now))
    };
    if deployment.spec.as_ref().is_some_and(|spec| spec.paused == Some(true)) {
        return say("Unknown", "DeploymentPaused", "Deployment is paused".to_owned());
    }
    if let Some(created) = &sets.created {
        let message = format!("Created new replica set \"{}\"", created.name);
        return say("True", "NewReplicaSetCreated", message);
    }
    if known_reason == Some("DeploymentPaused") {
        return say("Unknown", "DeploymentResumed", "Deployment is resumed".to_owned());
    }
    let name = sets.new.as_ref().map_or("", |set| set.name());
    if complete {
        let message = format!("ReplicaSet \"{name}\" has successfully progressed.");
        return say("True", "NewReplicaSetAvailable", message);
    }
    let settled = known_reason == Some("NewReplicaSetAvailable")
        && new.replicas.unwrap_or(0) == new.updated_replicas.unwrap_or(0);
    if settled {
        return known.cloned();
    }
    if known.is_none() {
        return say("True", "FoundNewReplicaSet", format!("Found new replica set \"{name}\""));
    }
    if is_progress(deployment, old, new) {
        let message = format!("ReplicaSet \"{name}\" is progressing.");
        let mut condition = say("True", "ReplicaSetUpdated", message)?;
        condition.last_update_time = Some(time(now));
        return Some(condition);
    }
    let last = known.and_then(|known| known.last_update_time.as_ref()).map(millis_of);
    let late = known_reason != Some("NewReplicaSetAvailable")
        && last.is_some_and(|last| last + deadline < now);
    if late || known_reason == Some("ProgressDeadlineExceeded") {
        let message = format!("ReplicaSet \"{name}\" has timed out progressing.");
        return say("False", "ProgressDeadlineExceeded", message);
    }
    known.cloned()
}

fn is_progress(deployment: &Deployment, old: &DeploymentStatus, new: &DeploymentStatus) -> bool {
    let grew = |pick: fn(&DeploymentStatus) -> Option<i32>| {
        pick(new).unwrap_or(0) > pick(old).unwrap_or(0)
    };
    let outdated = |status: &DeploymentStatus| {
        status.replicas.unwrap_or(0) - status.updated_replicas.unwrap_or(0)
    };
    grew(|status| status.updated_replicas)
        || outdated(new) < outdated(old)
        || grew(|status| status.ready_replicas)
        || grew(|status| status.available_replicas)
        || deployment.metadata.generation != old.observed_generation
}

fn failure_condition(
    old: &DeploymentStatus,
    sets: &Sets<'_>,
    now: TimestampMs,
) -> Option<DeploymentCondition> {
    let failed = sets.all().find_map(|set| {
        let conditions = set.stored.status.as_ref()?.conditions.as_ref()?;
        conditions.iter().find(|condition| condition.type_ == "ReplicaFailure")
    })?;
    let reason = failed.reason.clone().unwrap_or_default();
    let message = failed.message.clone().unwrap_or_default();
    Some(condition(old, "ReplicaFailure", "True", &reason, message, now))
}
