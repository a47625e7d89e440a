//! Places the waiting pods one after the other.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::explain::Explanation;
use crate::filter::obstacles;
use crate::problem::{NodeFacts, PodNeeds, Problem};
use crate::score::score;

/// A pod and its node, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The pod.
    pub pod: String,
    /// The node.
    pub node: String,
}

/// Where the waiting pods go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assignment {
    /// Pods that found a node, in the order in which they were placed.
    pub placed: Vec<Placement>,
    /// Pods that did not, with the reason.
    pub unplaced: BTreeMap<String, Explanation>,
}

/// Places every pod that fits somewhere. The order of nodes and pods in `problem` does not matter: pods are placed
/// by priority, age and name, and of equally good nodes the one with the first name is taken.
#[must_use]
pub fn solve(problem: &Problem) -> Assignment {
    let mut nodes = problem.nodes.clone();
    nodes.sort_by(|one, other| one.name.cmp(&other.name));
    let mut pods: Vec<&PodNeeds> = problem.pods.iter().collect();
    pods.sort_by_key(|pod| (Reverse(pod.priority), pod.created_ms, pod.name.as_str()));
    let mut assignment = Assignment::default();
    for pod in pods {
        match best_node(pod, &nodes) {
            Ok(idx) => {
                nodes[idx].take(pod);
                let node = nodes[idx].name.clone();
                assignment.placed.push(Placement { pod: pod.name.clone(), node });
            }
            Err(explanation) => {
                assignment.unplaced.insert(pod.name.clone(), explanation);
            }
        }
    }
    assignment
}

fn best_node(pod: &PodNeeds, nodes: &[NodeFacts]) -> Result<usize, Explanation> {
    let mut explanation = Explanation { node_count: nodes.len(), obstacles: BTreeMap::new() };
    let mut feasible = Vec::new();
    for (idx, node) in nodes.iter().enumerate() {
        let found = obstacles(pod, node);
        if found.is_empty() {
            feasible.push(idx);
        }
        for obstacle in found {
            *explanation.obstacles.entry(obstacle).or_default() += 1;
        }
    }
    let owned = |idx: &usize| {
        pod.owner.as_ref().and_then(|owner| nodes[*idx].owners.get(owner)).copied().unwrap_or(0)
    };
    let owner_max = feasible.iter().map(owned).max().unwrap_or(0);
    feasible
        .into_iter()
        .max_by_key(|idx| (score(pod, &nodes[*idx], owner_max), Reverse(*idx)))
        .ok_or(explanation)
}
