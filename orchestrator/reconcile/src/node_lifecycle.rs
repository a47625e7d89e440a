//! Nodes that stop to answer, and what becomes of their pods; addresses for the pods of new nodes.

use core::net::Ipv4Addr;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, NodeCondition, Pod, Taint, Toleration};
use swell_model::{DurationMs, TimestampMs};

use crate::note::Note;
use crate::objects::uid_of;
use crate::times::{millis_of, time};

/// Pods must not be placed on a node whose Ready condition is false.
const NOT_READY: &str = "node.kubernetes.io/not-ready";
/// Pods must not be placed on a node that stopped to answer.
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
/// Pods must not be placed on a node that was cordoned.
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
/// Conditions under which no more pods are placed, with their taint.
const PRESSURES: [(&str, &str); 3] = [
    ("MemoryPressure", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "node.kubernetes.io/pid-pressure"),
];
/// When more nodes than this share are silent, the fault is rather ours than theirs (Kubernetes:
/// `--unhealthy-zone-threshold`, with no eviction in clusters of up to 50 nodes).
const SILENT_PERCENT_MAX: usize = 55;
const NO_SCHEDULE: &str = "NoSchedule";
const NO_EXECUTE: &str = "NoExecute";

/// How patient to be, and where pods' addresses come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// A node that was not heard for so long is unreachable.
    pub grace: DurationMs,
    /// Pods that do not say otherwise leave a lost node after this.
    pub toleration: DurationMs,
    /// First address of the range for pods.
    pub pod_range: Ipv4Addr,
    /// Length of the range's prefix.
    pub pod_range_prefix: u8,
    /// Length of one node's prefix.
    pub node_prefix: u8,
}

/// What is seen of all nodes.
#[derive(Debug)]
pub struct Observed<'a> {
    /// All nodes.
    pub nodes: &'a [Arc<Node>],
    /// Leases of the nodes, by node name.
    pub leases: &'a BTreeMap<String, Arc<Lease>>,
    /// All pods.
    pub pods: &'a [Arc<Pod>],
    /// Since when somebody listens; a node is not blamed for what was not heard before.
    pub listening_since: TimestampMs,
}

/// A pod, by name and uid.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PodKey {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Uid.
    pub uid: String,
}

/// What to do about one node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodePlan {
    /// Name of the node.
    pub node: String,
    /// Range of addresses to give to it.
    pub pod_cidr: Option<String>,
    /// All taints that it is to have, if they differ from those it has.
    pub taints: Option<Vec<Taint>>,
    /// All conditions that it is to have, if they differ: it stopped to answer.
    pub conditions: Option<Vec<NodeCondition>>,
    /// Pods whose Ready condition is no longer true.
    pub not_ready_pods: Vec<PodKey>,
    /// Pods to delete.
    pub evict: Vec<PodKey>,
    /// Events about the node.
    pub notes: Vec<Note>,
}

impl NodePlan {
    fn is_empty(&self) -> bool {
        self.pod_cidr.is_none()
            && self.taints.is_none()
            && self.conditions.is_none()
            && self.not_ready_pods.is_empty()
            && self.evict.is_empty()
    }
}

/// What to do about all nodes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Nodes with something to do.
    pub nodes: Vec<NodePlan>,
    /// Nodes that no range of addresses is left for.
    pub without_range: Vec<String>,
    /// Pods that would have to leave stay, since most nodes are silent at once.
    pub holds_evictions: bool,
    /// When a node or a pod runs out of time although nothing happens.
    pub recheck_after: Option<DurationMs>,
}

/// Whether a node answers, in the sense of its taints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    Ready,
    NotReady,
    Unreachable,
}

/// Compares what nodes said with what time it is.
#[must_use]
pub fn reconcile(observed: &Observed<'_>, rules: &Rules, now: TimestampMs) -> Plan {
    let mut plan = Plan::default();
    let mut recheck = Soonest(None);
    let mut taken: BTreeSet<u32> =
        observed.nodes.iter().filter_map(|node| range_of(node)).collect();
    let mut by_node: BTreeMap<&str, Vec<&Arc<Pod>>> = BTreeMap::new();
    for pod in observed.pods {
        if let Some(node) = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) {
            by_node.entry(node).or_default().push(pod);
        }
    }
    let mut silent = BTreeSet::new();
    for node in observed.nodes {
        let name = node.metadata.name.clone().unwrap_or_default();
        let mut node_plan = NodePlan { node: name.clone(), ..NodePlan::default() };
        if range_of(node).is_none() {
            match free_range(rules, &taken) {
                Some((start, cidr)) => {
                    taken.insert(start);
                    node_plan.pod_cidr = Some(cidr);
                }
                None => plan.without_range.push(name.clone()),
            }
        }
        let health = health_of(node, observed, rules, now, &mut recheck, &mut node_plan);
        if health == Health::Unreachable {
            silent.insert(name.clone());
        }
        let taints = wanted_taints(node, health, now);
        let stored = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
        if !same_taints(&stored, &taints) {
            node_plan.taints = Some(taints.clone());
        }
        for pod in by_node.get(name.as_str()).into_iter().flatten() {
            judge_pod(pod, health, &taints, rules, now, &mut recheck, &mut node_plan);
        }
        plan.nodes.push(node_plan);
    }
    if silent.len() * 100 > observed.nodes.len() * SILENT_PERCENT_MAX {
        for node_plan in plan.nodes.iter_mut().filter(|plan| silent.contains(&plan.node)) {
            plan.holds_evictions |= !node_plan.evict.is_empty();
            node_plan.evict.clear();
        }
    }
    plan.nodes.retain(|node_plan| !node_plan.is_empty());
    plan.recheck_after = recheck.0.map(|at| at.since(now));
    plan
}

struct Soonest(Option<TimestampMs>);

impl Soonest {
    fn at(&mut self, at: TimestampMs) {
        self.0 = Some(self.0.map_or(at, |known| known.min(at)));
    }
}

fn condition<'a>(node: &'a Node, kind: &str) -> Option<&'a NodeCondition> {
    let conditions = node.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == kind)
}

fn last_heard(node: &Node, observed: &Observed<'_>) -> TimestampMs {
    let name = node.metadata.name.as_deref().unwrap_or_default();
    let renewed = observed
        .leases
        .get(name)
        .and_then(|lease| lease.spec.as_ref())
        .and_then(|spec| spec.renew_time.as_ref())
        .map(|at| TimestampMs(at.0.as_millisecond()));
    let reported = condition(node, "Ready")
        .filter(|ready| ready.status != "Unknown")
        .and_then(|ready| ready.last_heartbeat_time.as_ref())
        .map(millis_of);
    let created = node.metadata.creation_timestamp.as_ref().map(millis_of);
    [renewed, reported, created]
        .into_iter()
        .flatten()
        .max()
        .unwrap_or(observed.listening_since)
        .max(observed.listening_since)
}

fn health_of(
    node: &Node,
    observed: &Observed<'_>,
    rules: &Rules,
    now: TimestampMs,
    recheck: &mut Soonest,
    plan: &mut NodePlan,
) -> Health {
    let due = last_heard(node, observed) + rules.grace;
    let ready = condition(node, "Ready").map(|ready| ready.status.as_str());
    if due > now {
        recheck.at(due);
        return match ready {
            Some("True") => Health::Ready,
            Some("Unknown") => Health::Unreachable,
            _ => Health::NotReady,
        };
    }
    if ready != Some("Unknown") {
        let stored = node.status.as_ref().and_then(|status| status.conditions.clone());
        plan.conditions = Some(unknown_conditions(stored.unwrap_or_default(), now));
        plan.notes.push(Note::normal(
            "NodeNotReady",
            format!("Node {} status is now: NodeNotReady", plan.node),
        ));
    }
    Health::Unreachable
}

fn unknown_conditions(mut conditions: Vec<NodeCondition>, now: TimestampMs) -> Vec<NodeCondition> {
    if !conditions.iter().any(|condition| condition.type_ == "Ready") {
        conditions.push(NodeCondition { type_: "Ready".to_owned(), ..NodeCondition::default() });
    }
    for condition in &mut conditions {
        if condition.status != "Unknown" {
            condition.status = "Unknown".to_owned();
            condition.reason = Some("NodeStatusUnknown".to_owned());
            condition.message = Some("Kubelet stopped posting node status.".to_owned());
            condition.last_transition_time = Some(time(now));
        }
    }
    conditions
}

/// The taints that somebody else set, and those that follow from the node's state.
fn wanted_taints(node: &Node, health: Health, now: TimestampMs) -> Vec<Taint> {
    let spec = node.spec.as_ref();
    let stored = spec.and_then(|spec| spec.taints.clone()).unwrap_or_default();
    let managed = |taint: &Taint| {
        let key = taint.key.as_str();
        matches!(key, NOT_READY | UNREACHABLE | UNSCHEDULABLE)
            || PRESSURES.iter().any(|(_, pressure)| *pressure == key)
    };
    let mut wanted: Vec<(&str, &str)> = match health {
        Health::Ready => Vec::new(),
        Health::NotReady => vec![(NOT_READY, NO_SCHEDULE), (NOT_READY, NO_EXECUTE)],
        Health::Unreachable => vec![(UNREACHABLE, NO_SCHEDULE), (UNREACHABLE, NO_EXECUTE)],
    };
    if spec.is_some_and(|spec| spec.unschedulable == Some(true)) {
        wanted.push((UNSCHEDULABLE, NO_SCHEDULE));
    }
    for (kind, key) in PRESSURES {
        if condition(node, kind).is_some_and(|pressure| pressure.status == "True") {
            wanted.push((key, NO_SCHEDULE));
        }
    }
    let mut taints: Vec<Taint> = stored.iter().filter(|taint| !managed(taint)).cloned().collect();
    taints.extend(wanted.into_iter().map(|(key, effect)| {
        let known = stored.iter().find(|taint| taint.key == key && taint.effect == effect);
        known.cloned().unwrap_or_else(|| Taint {
            key: key.to_owned(),
            effect: effect.to_owned(),
            value: None,
            time_added: Some(time(now)),
        })
    }));
    taints
}

fn same_taints(one: &[Taint], other: &[Taint]) -> bool {
    one.len() == other.len() && one.iter().all(|taint| other.contains(taint))
}

fn judge_pod(
    pod: &Pod,
    health: Health,
    taints: &[Taint],
    rules: &Rules,
    now: TimestampMs,
    recheck: &mut Soonest,
    plan: &mut NodePlan,
) {
    let key = PodKey {
        namespace: pod.metadata.namespace.clone().unwrap_or_default(),
        name: pod.metadata.name.clone().unwrap_or_default(),
        uid: uid_of(&pod.metadata).to_owned(),
    };
    if health == Health::Unreachable && swell_api_types::pod_is_ready(pod) {
        plan.not_ready_pods.push(key.clone());
    }
    if pod.metadata.deletion_timestamp.is_some() {
        return;
    }
    let tolerations =
        pod.spec.as_ref().and_then(|spec| spec.tolerations.clone()).unwrap_or_default();
    let due = taints
        .iter()
        .filter(|taint| taint.effect == NO_EXECUTE)
        .filter_map(|taint| leaves_at(taint, &tolerations, rules, now))
        .min();
    match due {
        Some(due) if due <= now => plan.evict.push(key),
        Some(due) => recheck.at(due),
        None => {}
    }
}

/// When a pod has to leave because of `taint`; `None` for never.
fn leaves_at(
    taint: &Taint,
    tolerations: &[Toleration],
    rules: &Rules,
    now: TimestampMs,
) -> Option<TimestampMs> {
    let since = taint.time_added.as_ref().map_or(now, millis_of);
    let mut matching =
        tolerations.iter().filter(|toleration| tolerates(toleration, taint)).peekable();
    if matching.peek().is_none() {
        let lost = matches!(taint.key.as_str(), NOT_READY | UNREACHABLE);
        return Some(if lost { since + rules.toleration } else { now });
    }
    let seconds = matching
        .map(|toleration| toleration.toleration_seconds)
        .min_by_key(|seconds| seconds.unwrap_or(i64::MAX));
    seconds.flatten().map(|seconds| since + DurationMs::from_secs(seconds.max(0)))
}

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let effect = toleration.effect.as_deref().unwrap_or_default();
    if !effect.is_empty() && effect != taint.effect {
        return false;
    }
    let key = toleration.key.as_deref().unwrap_or_default();
    let exists = toleration.operator.as_deref() == Some("Exists");
    if key.is_empty() {
        return exists;
    }
    key == taint.key
        && (exists
            || toleration.value.as_deref().unwrap_or_default()
                == taint.value.as_deref().unwrap_or_default())
}

fn range_of(node: &Node) -> Option<u32> {
    let cidr = node.spec.as_ref()?.pod_cidr.as_deref()?;
    let (address, _) = cidr.split_once('/')?;
    address.parse::<Ipv4Addr>().ok().map(u32::from)
}

/// The lowest range that no node has.
fn free_range(rules: &Rules, taken: &BTreeSet<u32>) -> Option<(u32, String)> {
    let size = 1_u32.checked_shl(u32::from(32_u8.checked_sub(rules.node_prefix)?))?;
    let extra = rules.node_prefix.checked_sub(rules.pod_range_prefix)?;
    let count = 1_u32.checked_shl(u32::from(extra))?;
    let first = u32::from(rules.pod_range);
    (0..count)
        .map(|idx| first + idx * size)
        .find(|start| !taken.contains(start))
        .map(|start| (start, format!("{}/{}", Ipv4Addr::from(start), rules.node_prefix)))
}

#[cfg(test)]
mod tests;
