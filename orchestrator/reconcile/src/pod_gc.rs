//! Pods that nobody will ever finish: their node is gone, or they go without having been placed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use swell_model::{DurationMs, TimestampMs};

use crate::objects::uid_of;
use crate::times::millis_of;

/// A node must be missing for so long before its pods are removed: it may be registering again.
pub const MISSING_FOR: DurationMs = DurationMs(40_000);
/// Ended pods kept; beyond it the oldest go.
pub const ENDED_MAX: usize = 12_500;

/// What is seen.
#[derive(Debug)]
pub struct Observed<'a> {
    /// All pods.
    pub pods: &'a [Arc<Pod>],
    /// Names of all nodes.
    pub nodes: &'a BTreeSet<String>,
    /// Since when nodes that pods name have been missing; a node not named here is missing since now.
    pub missing_since: &'a BTreeMap<String, TimestampMs>,
}

/// One pod to remove at once, without waiting for its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Uid, so that a namesake is not hit.
    pub uid: String,
}

/// What to do about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Pods to remove.
    pub remove: Vec<Removal>,
    /// When a node will have been missing for long enough.
    pub recheck_after: Option<DurationMs>,
}

/// Finds pods to remove.
#[must_use]
pub fn reconcile(observed: &Observed<'_>, now: TimestampMs) -> Plan {
    let mut plan = Plan::default();
    let mut ended: Vec<&Arc<Pod>> = Vec::new();
    for pod in observed.pods {
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default();
        let going = pod.metadata.deletion_timestamp.is_some();
        if node.is_empty() {
            if going {
                plan.remove.push(removal(pod));
            }
        } else if !observed.nodes.contains(node) {
            let due = observed.missing_since.get(node).copied().unwrap_or(now) + MISSING_FOR;
            if due <= now {
                plan.remove.push(removal(pod));
            } else {
                let wait = due.since(now);
                plan.recheck_after = Some(plan.recheck_after.map_or(wait, |known| known.min(wait)));
            }
        } else if is_ended(pod) && !going {
            ended.push(pod);
        }
    }
    let surplus = ended.len().saturating_sub(ENDED_MAX);
    ended.sort_by_key(|pod| {
        (pod.metadata.creation_timestamp.as_ref().map(millis_of), pod.metadata.uid.clone())
    });
    plan.remove.extend(ended.into_iter().take(surplus).map(removal));
    plan
}

fn is_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

fn removal(pod: &Arc<Pod>) -> Removal {
    Removal {
        namespace: pod.metadata.namespace.clone().unwrap_or_default(),
        name: pod.metadata.name.clone().unwrap_or_default(),
        uid: uid_of(&pod.metadata).to_owned(),
    }
}

#[cfg(test)]
mod tests;
