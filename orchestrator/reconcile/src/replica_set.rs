//! As many pods as a ReplicaSet wants.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use swell_api_types::{pod_is_active, pod_is_ready};
use swell_model::{DurationMs, TimestampMs};

use crate::objects::{owner_reference, uid_of};
use crate::times::{millis_of, time};

/// Annotation that makes a pod go earlier (lower) or later (higher).
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
/// Pods created or deleted in one plan; the rest follows in the next.
pub const BURST_MAX: usize = 500;

/// What is seen of one ReplicaSet.
#[derive(Debug)]
pub struct Observed<'a> {
    /// The object.
    pub replica_set: &'a ReplicaSet,
    /// The pods that it controls, brought up to date by [`crate::Expectations::apply`].
    pub pods: &'a [Arc<Pod>],
    /// Why the last creation or deletion failed: reason and message.
    pub failure: Option<(&'a str, &'a str)>,
}

/// What to do about it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Pods to create: so many of [`Plan::template`].
    pub create_count: usize,
    /// The pod to create, without a name.
    pub template: Option<Box<Pod>>,
    /// Pods to delete, by name and uid, the least missed first.
    pub delete: Vec<(String, String)>,
    /// The status to write, if it differs from the one stored.
    pub status: Option<Box<ReplicaSetStatus>>,
    /// When a pod becomes available although nothing happens.
    pub recheck_after: Option<DurationMs>,
}

impl Plan {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.create_count == 0 && self.delete.is_empty() && self.status.is_none()
    }
}

/// Compares what is wanted with what is there.
#[must_use]
pub fn reconcile(observed: &Observed<'_>, now: TimestampMs) -> Plan {
    let set = observed.replica_set;
    let active: Vec<&Arc<Pod>> = observed.pods.iter().filter(|pod| pod_is_active(pod)).collect();
    let spec = set.spec.clone().unwrap_or_default();
    let wanted = usize::try_from(spec.replicas.unwrap_or(1)).unwrap_or(0);
    let mut plan = Plan::default();
    let going = set.metadata.deletion_timestamp.is_some();
    if !going && active.len() < wanted {
        plan.create_count = (wanted - active.len()).min(BURST_MAX);
        plan.template = Some(Box::new(pod_of(set)));
    } else if !going && active.len() > wanted {
        let surplus = (active.len() - wanted).min(BURST_MAX);
        plan.delete = least_missed(&active)
            .into_iter()
            .take(surplus)
            .map(|pod| (name_of(&pod.metadata), uid_of(&pod.metadata).to_owned()))
            .collect();
    }
    let (status, next_available) = status_of(observed, &active, now);
    if set.status.as_ref() != Some(&status) {
        plan.status = Some(Box::new(status));
    }
    plan.recheck_after = next_available.map(|at| at.since(now));
    plan
}

fn name_of(metadata: &ObjectMeta) -> String {
    metadata.name.clone().unwrap_or_default()
}

fn pod_of(set: &ReplicaSet) -> Pod {
    let template = set.spec.as_ref().and_then(|spec| spec.template.clone()).unwrap_or_default();
    let metadata = template.metadata.unwrap_or_default();
    Pod {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", name_of(&set.metadata))),
            namespace: set.metadata.namespace.clone(),
            labels: metadata.labels,
            annotations: metadata.annotations,
            finalizers: metadata.finalizers,
            owner_references: Some(vec![owner_reference(set)]),
            ..ObjectMeta::default()
        },
        spec: template.spec,
        status: None,
    }
}

/// Since when the pod is ready.
fn ready_since(pod: &Pod) -> Option<TimestampMs> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let ready = conditions
        .iter()
        .find(|condition| condition.type_ == "Ready" && condition.status == "True")?;
    Some(ready.last_transition_time.as_ref().map_or(TimestampMs(0), millis_of))
}

/// Pods in the order in which they can be spared (Kubernetes `ActivePodsWithRanks`): not assigned, pending, not
/// ready, cheap by annotation, doubled on a node, ready for a shorter time, restarted more often, younger.
fn least_missed<'a>(active: &[&'a Arc<Pod>]) -> Vec<&'a Arc<Pod>> {
    let mut per_node: BTreeMap<&str, usize> = BTreeMap::new();
    for pod in active {
        *per_node.entry(node_of(pod)).or_default() += 1;
    }
    let mut ranked: Vec<_> = active.iter().map(|pod| (spare_rank(pod, &per_node), *pod)).collect();
    ranked.sort_by(|one, other| one.0.cmp(&other.0));
    ranked.into_iter().map(|(_, pod)| pod).collect()
}

fn node_of(pod: &Pod) -> &str {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default()
}

fn spare_rank(pod: &Pod, per_node: &BTreeMap<&str, usize>) -> impl Ord + use<> {
    let status = pod.status.as_ref();
    let phase = match status.and_then(|status| status.phase.as_deref()) {
        Some("Running") => 2,
        Some("Unknown") => 1,
        _ => 0,
    };
    let cost: i32 = pod
        .metadata
        .annotations
        .as_ref()
        .and_then(|annotations| annotations.get(DELETION_COST))
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    let restarts = status
        .and_then(|status| status.container_statuses.as_ref())
        .and_then(|containers| containers.iter().map(|container| container.restart_count).max())
        .unwrap_or(0);
    let created = pod.metadata.creation_timestamp.as_ref().map(millis_of);
    (
        !node_of(pod).is_empty(),
        phase,
        pod_is_ready(pod),
        cost,
        Reverse(per_node.get(node_of(pod)).copied().unwrap_or(0)),
        Reverse(ready_since(pod)),
        Reverse(restarts),
        Reverse(created),
        name_of(&pod.metadata),
    )
}

fn status_of(
    observed: &Observed<'_>,
    active: &[&Arc<Pod>],
    now: TimestampMs,
) -> (ReplicaSetStatus, Option<TimestampMs>) {
    let set = observed.replica_set;
    let spec = set.spec.as_ref();
    let min_ready =
        DurationMs::from_secs(spec.and_then(|spec| spec.min_ready_seconds).unwrap_or(0).into());
    let template_labels = spec
        .and_then(|spec| spec.template.as_ref())
        .and_then(|template| template.metadata.as_ref())
        .and_then(|metadata| metadata.labels.clone())
        .unwrap_or_default();
    let count = |len: usize| i32::try_from(len).unwrap_or(i32::MAX);
    let labelled = |pod: &&&Arc<Pod>| {
        let labels = pod.metadata.labels.as_ref();
        template_labels
            .iter()
            .all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value))
    };
    let available_at: Vec<TimestampMs> =
        active.iter().filter_map(|pod| ready_since(pod)).map(|since| since + min_ready).collect();
    let available = available_at.iter().filter(|at| min_ready.0 == 0 || **at <= now).count();
    let next = available_at.iter().filter(|at| min_ready.0 > 0 && **at > now).min().copied();
    let terminating = observed
        .pods
        .iter()
        .filter(|pod| {
            let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
            pod.metadata.deletion_timestamp.is_some()
                && !matches!(phase, Some("Succeeded" | "Failed"))
        })
        .count();
    let old = set.status.clone().unwrap_or_default();
    let nonzero = |len: usize| (len > 0).then(|| count(len));
    let status = ReplicaSetStatus {
        replicas: count(active.len()),
        fully_labeled_replicas: nonzero(active.iter().filter(labelled).count()),
        ready_replicas: nonzero(available_at.len()),
        available_replicas: nonzero(available),
        terminating_replicas: Some(count(terminating)),
        observed_generation: set.metadata.generation,
        conditions: conditions_of(old.conditions, observed.failure, now),
    };
    (status, next)
}

fn conditions_of(
    old: Option<Vec<ReplicaSetCondition>>,
    failure: Option<(&str, &str)>,
    now: TimestampMs,
) -> Option<Vec<ReplicaSetCondition>> {
    let mut conditions = old.unwrap_or_default();
    match failure {
        None => conditions.retain(|condition| condition.type_ != "ReplicaFailure"),
        Some((reason, message)) => {
            let known = conditions.iter().any(|condition| {
                condition.type_ == "ReplicaFailure" && condition.reason.as_deref() == Some(reason)
            });
            if !known {
                conditions.retain(|condition| condition.type_ != "ReplicaFailure");
                conditions.push(ReplicaSetCondition {
                    type_: "ReplicaFailure".to_owned(),
                    status: "True".to_owned(),
                    reason: Some(reason.to_owned()),
                    message: Some(message.to_owned()),
                    last_transition_time: Some(time(now)),
                });
            }
        }
    }
    (!conditions.is_empty()).then_some(conditions)
}

#[cfg(test)]
mod tests;
