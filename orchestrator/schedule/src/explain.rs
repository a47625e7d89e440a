//! Why a pod stays pending, in the words of Kubernetes' scheduler.

use std::collections::BTreeMap;
use std::fmt;

/// What keeps a pod off one node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Obstacle {
    /// The node was cordoned.
    Unschedulable,
    /// The node is not ready, and no taint says so yet.
    NotReady,
    /// The node has a taint that the pod does not tolerate.
    Taint {
        /// Key.
        key: String,
        /// Value, may be empty.
        value: String,
    },
    /// The node does not have the labels that the pod asks for.
    NodeSelector,
    /// The node cannot run the pod's runtime class.
    RuntimeClass {
        /// The class.
        name: String,
    },
    /// A port that the pod wants is taken.
    HostPort,
    /// The node takes no more pods.
    TooManyPods,
    /// Not enough of a resource is left.
    Insufficient {
        /// The resource.
        resource: String,
    },
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unschedulable => f.write_str("node(s) were unschedulable"),
            Self::NotReady => f.write_str("node(s) were not ready"),
            Self::Taint { key, value } => {
                write!(f, "node(s) had untolerated taint {{{key}: {value}}}")
            }
            Self::NodeSelector => f.write_str("node(s) didn't match Pod's node affinity/selector"),
            Self::RuntimeClass { name } => {
                write!(f, "node(s) didn't support the runtime class {name}")
            }
            Self::HostPort => {
                f.write_str("node(s) didn't have free ports for the requested pod ports")
            }
            Self::TooManyPods => f.write_str("Too many pods"),
            Self::Insufficient { resource } => write!(f, "Insufficient {resource}"),
        }
    }
}

/// Why a pod fits nowhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explanation {
    /// Number of nodes.
    pub node_count: usize,
    /// On how many nodes each obstacle was met; a node can have several.
    pub obstacles: BTreeMap<Obstacle, usize>,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.node_count == 0 {
            return f.write_str("no nodes available to schedule pods");
        }
        let mut words: Vec<String> =
            self.obstacles.iter().map(|(obstacle, count)| format!("{count} {obstacle}")).collect();
        words.sort();
        write!(f, "0/{} nodes are available: {}.", self.node_count, words.join(", "))
    }
}
