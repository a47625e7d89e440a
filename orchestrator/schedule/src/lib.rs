//! Filter, score and spread: from pods and nodes to an assignment, or to why a pod stays pending.
//!
//! [`solve`] takes a whole [`Problem`] and places the waiting pods one after the other, most important first, each
//! on the best node that takes it. What it says about a pod that fits nowhere is in the words of Kubernetes'
//! scheduler. Nothing here knows API objects: whoever reads them translates.
//!
//! Absent: pre-emption, affinity between pods, volumes.

mod affinity;
mod explain;
mod filter;
mod problem;
mod score;
mod solve;

pub use affinity::{NodeSelectorTerm, Operator, Requirement};
pub use explain::{Explanation, Obstacle};
pub use problem::{
    Effect, HostPort, NodeFacts, PodNeeds, Problem, Protocol, Resources, Taint, Toleration,
};
pub use solve::{Assignment, Placement, solve};

#[cfg(test)]
mod tests;
