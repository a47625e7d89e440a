//! What keeps a pod off a node.

use crate::explain::Obstacle;
use crate::problem::{Effect, NodeFacts, PodNeeds};

/// Everything that keeps `pod` off `node`; empty when it may go there. The first kind of obstacle found is reported
/// alone, except for resources, of which all that are short are named.
pub(crate) fn obstacles(pod: &PodNeeds, node: &NodeFacts) -> Vec<Obstacle> {
    if node.unschedulable && !tolerates_cordon(pod) {
        return vec![Obstacle::Unschedulable];
    }
    let untolerated = node.taints.iter().find(|taint| {
        taint.effect != Effect::PreferNoSchedule
            && !pod.tolerations.iter().any(|toleration| toleration.covers(taint))
    });
    if let Some(taint) = untolerated {
        return vec![Obstacle::Taint { key: taint.key.clone(), value: taint.value.clone() }];
    }
    if !node.ready && !pod.tolerations.iter().any(|toleration| toleration.key.is_empty()) {
        return vec![Obstacle::NotReady];
    }
    let selected = pod.node_selector.iter().all(|(key, value)| node.labels.get(key) == Some(value))
        && pod
            .node_affinity
            .as_ref()
            .is_none_or(|terms| terms.iter().any(|term| term.matches(&node.name, &node.labels)));
    if !selected {
        return vec![Obstacle::NodeSelector];
    }
    if let Some(class) = &pod.runtime_class
        && !node.runtime_classes.is_empty()
        && !node.runtime_classes.contains(class)
    {
        return vec![Obstacle::RuntimeClass { name: class.clone() }];
    }
    if pod.host_ports.iter().any(|port| node.host_ports.iter().any(|taken| taken.collides(port))) {
        return vec![Obstacle::HostPort];
    }
    short_resources(pod, node)
}

fn tolerates_cordon(pod: &PodNeeds) -> bool {
    let cordon = crate::problem::Taint {
        key: "node.kubernetes.io/unschedulable".to_owned(),
        value: String::new(),
        effect: Effect::NoSchedule,
    };
    pod.tolerations.iter().any(|toleration| toleration.covers(&cordon))
}

fn short_resources(pod: &PodNeeds, node: &NodeFacts) -> Vec<Obstacle> {
    let mut short = Vec::new();
    if node.pod_count >= node.pod_count_max {
        short.push(Obstacle::TooManyPods);
    }
    let mut check = |name: &str, wanted: i64, has: i64, taken: i64| {
        if wanted > 0 && wanted > has.saturating_sub(taken) {
            short.push(Obstacle::Insufficient { resource: name.to_owned() });
        }
    };
    let (has, taken) = (&node.allocatable, &node.requested);
    check("cpu", pod.requests.cpu_milli, has.cpu_milli, taken.cpu_milli);
    check("memory", pod.requests.memory_bytes, has.memory_bytes, taken.memory_bytes);
    for (name, wanted) in &pod.requests.other {
        let amount =
            |resources: &crate::problem::Resources| resources.other.get(name).copied().unwrap_or(0);
        check(name, *wanted, amount(has), amount(taken));
    }
    short
}
