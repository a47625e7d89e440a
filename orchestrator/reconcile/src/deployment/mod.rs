//! ReplicaSets of a Deployment: rolling updates, scaling, revisions, rollout conditions.

mod history;
mod rollout;
mod scaling;
mod sets;
mod status;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus, ReplicaSet};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use swell_model::{DurationMs, TimestampMs};

use crate::note::Note;
use crate::template_hash::without_hash;
use sets::{Sets, Sizing};

/// What is seen of one Deployment.
#[derive(Debug)]
pub struct Observed<'a> {
    /// The object.
    pub deployment: &'a Deployment,
    /// The ReplicaSets that it controls.
    pub replica_sets: &'a [&'a ReplicaSet],
    /// Names of the namespace's other ReplicaSets.
    pub taken_names: &'a [&'a str],
    /// Pods of its old ReplicaSets that are not gone yet, terminating ones included: `Recreate` waits for them.
    pub old_pod_count: usize,
}

/// A change of one ReplicaSet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetChange {
    /// Name.
    pub name: String,
    /// The version that was looked at: the change holds for no other.
    pub resource_version: Option<String>,
    /// Replicas to ask for.
    pub replicas: Option<i32>,
    /// Annotations to set.
    pub annotations: BTreeMap<String, String>,
    /// Seconds of readiness to ask for.
    pub min_ready_seconds: Option<i32>,
}

/// What to do about it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// A ReplicaSet for a template that has none.
    pub create: Option<Box<ReplicaSet>>,
    /// Changes of existing ReplicaSets.
    pub change: Vec<SetChange>,
    /// Old ReplicaSets to delete, by name and uid.
    pub delete: Vec<(String, String)>,
    /// Annotations to set on the Deployment itself.
    pub annotate: BTreeMap<String, String>,
    /// The status to write, if it differs from the one stored.
    pub status: Option<Box<DeploymentStatus>>,
    /// Events.
    pub notes: Vec<Note>,
    /// When the progress deadline passes although nothing happens.
    pub recheck_after: Option<DurationMs>,
}

impl Plan {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.create.is_none()
            && self.change.is_empty()
            && self.delete.is_empty()
            && self.annotate.is_empty()
            && self.status.is_none()
    }
}

/// Whether a ReplicaSet makes pods of `template`, its hash label aside.
#[must_use]
pub fn is_of_template(set: &ReplicaSet, template: Option<&PodTemplateSpec>) -> bool {
    let own = set.spec.as_ref().and_then(|spec| spec.template.as_ref());
    own.map(without_hash) == template.map(without_hash)
}

/// Why no plan could be made.
#[derive(Debug, thiserror::Error)]
pub enum DeploymentError {
    /// The pod template has no JSON form.
    #[error("deployment {name}: write the pod template as JSON")]
    Template {
        /// Name of the Deployment.
        name: String,
        /// What serde says.
        #[source]
        source: serde_json::Error,
    },
}

/// Compares what is wanted with what is there.
///
/// # Errors
/// [`DeploymentError`]; nothing is planned then.
pub fn reconcile(observed: &Observed<'_>, now: TimestampMs) -> Result<Plan, DeploymentError> {
    let deployment = observed.deployment;
    let sizing = Sizing::of(deployment);
    let mut sets = Sets::sort(deployment, observed.replica_sets);
    let mut plan = Plan::default();
    let paused = deployment.spec.as_ref().is_some_and(|spec| spec.paused == Some(true));
    let mut collision_count = None;
    if deployment.metadata.deletion_timestamp.is_none() {
        if !paused {
            collision_count = history::ensure_new_set(observed, &sizing, &mut sets, &mut plan)?;
        }
        if paused || scaling::is_scaling(&sets, &sizing) {
            scaling::scale(&mut sets, &sizing);
        } else if sizing.rolling.is_some() {
            rollout::roll(&mut sets, &sizing);
        } else {
            rollout::recreate(&mut sets, &sizing, observed.old_pod_count);
        }
        sets.write_sizes(&sizing, &mut plan);
    }
    let judged = status::judge(deployment, &sets, &sizing, collision_count, now);
    if !paused && judged.complete && deployment.metadata.deletion_timestamp.is_none() {
        history::clean_up(deployment, &sets, &mut plan);
    }
    plan.recheck_after = judged.recheck_at.map(|at| at.since(now));
    if deployment.status.as_ref() != Some(&judged.status) {
        plan.status = Some(Box::new(judged.status));
    }
    Ok(plan)
}
