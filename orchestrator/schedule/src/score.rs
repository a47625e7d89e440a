//! Which of the nodes that take a pod is best.

use crate::problem::{Effect, NodeFacts, PodNeeds};

/// Requests assumed for pods that have none, so that they too are spread (Kubernetes `GetNonzeroRequests`).
const CPU_MILLI_ASSUMED: i64 = 100;
const MEMORY_BYTES_ASSUMED: i64 = 200 * 1024 * 1024;
/// Highest score of one criterion.
const SCORE_MAX: i64 = 100;
/// How much more the spread of one owner's pods counts than free room.
const SPREAD_WEIGHT: i64 = 2;
/// How much more a taint to be avoided counts than free room.
const TAINT_WEIGHT: i64 = 3;

/// Higher is better. `owner_max` is the most pods that the pod's owner has on any of the nodes.
pub(crate) fn score(pod: &PodNeeds, node: &NodeFacts, owner_max: usize) -> i64 {
    let cpu = free_share(
        node.allocatable.cpu_milli,
        node.requested.cpu_milli + assumed(pod.requests.cpu_milli, CPU_MILLI_ASSUMED),
    );
    let memory = free_share(
        node.allocatable.memory_bytes,
        node.requested.memory_bytes + assumed(pod.requests.memory_bytes, MEMORY_BYTES_ASSUMED),
    );
    let room = (cpu + memory) / 2;
    let own = pod.owner.as_ref().and_then(|owner| node.owners.get(owner)).copied().unwrap_or(0);
    let spread = if owner_max == 0 {
        SCORE_MAX
    } else {
        let free = i64::try_from(owner_max - own.min(owner_max)).unwrap_or(0);
        SCORE_MAX * free / i64::try_from(owner_max).unwrap_or(i64::MAX)
    };
    let avoided = node.taints.iter().any(|taint| {
        taint.effect == Effect::PreferNoSchedule
            && !pod.tolerations.iter().any(|toleration| toleration.covers(taint))
    });
    let welcome = if avoided { 0 } else { SCORE_MAX };
    room + SPREAD_WEIGHT * spread + TAINT_WEIGHT * welcome
}

const fn assumed(requested: i64, assumed: i64) -> i64 {
    if requested > 0 { requested } else { assumed }
}

fn free_share(allocatable: i64, requested: i64) -> i64 {
    if allocatable <= 0 || requested >= allocatable {
        return 0;
    }
    let share =
        i128::from(allocatable - requested) * i128::from(SCORE_MAX) / i128::from(allocatable);
    i64::try_from(share).unwrap_or(0)
}
