//! What is to be placed, and where it could go.

use std::collections::{BTreeMap, BTreeSet};

use crate::affinity::NodeSelectorTerm;

/// Amounts of what pods request and nodes have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// CPU in thousandths of a core.
    pub cpu_milli: i64,
    /// Memory in bytes.
    pub memory_bytes: i64,
    /// Any other, in its own unit.
    pub other: BTreeMap<String, i64>,
}

impl Resources {
    /// Adds `more`, saturating.
    pub fn add(&mut self, more: &Self) {
        self.cpu_milli = self.cpu_milli.saturating_add(more.cpu_milli);
        self.memory_bytes = self.memory_bytes.saturating_add(more.memory_bytes);
        for (name, amount) in &more.other {
            let sum = self.other.entry(name.clone()).or_default();
            *sum = sum.saturating_add(*amount);
        }
    }
}

/// What a taint does to pods that do not tolerate it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// They are not placed.
    NoSchedule,
    /// They are placed elsewhere if possible.
    PreferNoSchedule,
    /// They are not placed, and go.
    NoExecute,
}

/// A mark on a node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Taint {
    /// Key.
    pub key: String,
    /// Value, may be empty.
    pub value: String,
    /// What it does.
    pub effect: Effect,
}

/// A pod's leave to ignore taints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toleration {
    /// Key; empty for every key (then `value` must be `None`).
    pub key: String,
    /// The value that the taint must have; `None` for any (operator `Exists`).
    pub value: Option<String>,
    /// The effect that is tolerated; `None` for every one.
    pub effect: Option<Effect>,
}

impl Toleration {
    /// Whether the toleration covers `taint`.
    #[must_use]
    pub fn covers(&self, taint: &Taint) -> bool {
        self.effect.is_none_or(|effect| effect == taint.effect)
            && (self.key.is_empty() && self.value.is_none() || self.key == taint.key)
            && self.value.as_ref().is_none_or(|value| *value == taint.value)
    }
}

/// Transport of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// A port of the node that a pod takes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    /// Address; empty for every address of the node.
    pub address: String,
    /// Transport.
    pub protocol: Protocol,
    /// Number.
    pub port: u16,
}

impl HostPort {
    pub(crate) fn collides(&self, other: &Self) -> bool {
        let everywhere = |port: &Self| port.address.is_empty() || port.address == "0.0.0.0";
        self.protocol == other.protocol
            && self.port == other.port
            && (self.address == other.address || everywhere(self) || everywhere(other))
    }
}

/// One node with what already stands on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeFacts {
    /// Name.
    pub name: String,
    /// Whether its Ready condition is true.
    pub ready: bool,
    /// Whether it was cordoned.
    pub unschedulable: bool,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Taints.
    pub taints: Vec<Taint>,
    /// What pods may have of it.
    pub allocatable: Resources,
    /// How many pods it takes.
    pub pod_count_max: usize,
    /// What its pods request.
    pub requested: Resources,
    /// How many pods it has.
    pub pod_count: usize,
    /// Ports that its pods take.
    pub host_ports: Vec<HostPort>,
    /// Runtime classes that it can run; empty when it does not say.
    pub runtime_classes: BTreeSet<String>,
    /// How many pods each owner has on it.
    pub owners: BTreeMap<String, usize>,
}

/// One pod that waits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodNeeds {
    /// Namespace and name, or any other name that is unique among the waiting pods.
    pub name: String,
    /// The more important one is placed first.
    pub priority: i32,
    /// When it was created, in milliseconds since the epoch: the older one is placed first.
    pub created_ms: i64,
    /// What it requests.
    pub requests: Resources,
    /// Labels that the node must have.
    pub node_selector: BTreeMap<String, String>,
    /// Terms of which the node must meet one; `None` for no such rule.
    pub node_affinity: Option<Vec<NodeSelectorTerm>>,
    /// Taints that it ignores.
    pub tolerations: Vec<Toleration>,
    /// Ports of the node that it takes.
    pub host_ports: Vec<HostPort>,
    /// The runtime class that it asks for.
    pub runtime_class: Option<String>,
    /// Whose pod it is: pods of one owner are spread over nodes.
    pub owner: Option<String>,
}

/// Pods that wait, and nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problem {
    /// Nodes, in any order, each name once.
    pub nodes: Vec<NodeFacts>,
    /// Pods, in any order, each name once.
    pub pods: Vec<PodNeeds>,
}

impl NodeFacts {
    /// Puts a pod on the node.
    pub fn take(&mut self, pod: &PodNeeds) {
        self.requested.add(&pod.requests);
        self.pod_count += 1;
        self.host_ports.extend(pod.host_ports.iter().cloned());
        if let Some(owner) = &pod.owner {
            *self.owners.entry(owner.clone()).or_default() += 1;
        }
    }
}
