//! From old ReplicaSets to the new one.

use super::sets::{Sets, Sizing};

/// Replicas that the new ReplicaSet may have, given the others.
pub(super) fn new_set_size(sets: &Sets<'_>, sizing: &Sizing) -> i32 {
    let size = sets.new_size();
    if size >= sizing.replicas {
        return sizing.replicas;
    }
    if sizing.rolling.is_none() {
        // Recreate: nothing before the old ones are gone.
        return if sets.old.iter().all(|set| set.size == 0 && set.actual() == 0) {
            sizing.replicas
        } else {
            size
        };
    }
    // Kubernetes counts what is asked for; pods that are still to be deleted would come on top of the surge.
    let old: i32 = sets.old.iter().map(|set| set.size.max(set.actual())).sum();
    let room = sizing.max_total() - old - size;
    if room <= 0 {
        return size;
    }
    size + room.min(sizing.replicas - size)
}

fn grow_new(sets: &mut Sets<'_>, sizing: &Sizing) {
    let size = new_set_size(sets, sizing);
    if let Some(new) = &mut sets.new {
        new.size = size;
    }
}

/// All steps of a rolling update that are open: grow the new one into the surge, then take away old replicas that
/// are broken, then old ones that can be spared.
pub(super) fn roll(sets: &mut Sets<'_>, sizing: &Sizing) {
    grow_new(sets, sizing);
    if sets.old.iter().all(|set| set.size == 0) {
        return;
    }
    let max_unavailable = sizing.rolling.map_or(0, |rolling| rolling.max_unavailable);
    let min_available = sizing.replicas - max_unavailable;
    let new_unavailable =
        sets.new_size() - sets.new.as_ref().map_or(0, |set| set.available().min(set.size));
    let mut spare = sets.total_size() - min_available - new_unavailable;
    for set in &mut sets.old {
        let broken = (set.size - set.available()).max(0);
        let take = broken.min(spare).max(0);
        set.size -= take;
        spare -= take;
    }
    let mut surplus = sets.total_available() - min_available;
    for set in &mut sets.old {
        // Available pods of a ReplicaSet that was already cut are on their way out.
        let leaving = (set.available() - set.size).max(0);
        surplus -= leaving;
    }
    for set in &mut sets.old {
        let take = set.size.min(surplus).min(spare).max(0);
        set.size -= take;
        surplus -= take;
        spare -= take;
    }
    grow_new(sets, sizing);
}

/// Old replicas go first; the new ones start when none of their pods is left.
pub(super) fn recreate(sets: &mut Sets<'_>, sizing: &Sizing, old_pod_count: usize) {
    for set in &mut sets.old {
        set.size = 0;
    }
    if old_pod_count == 0
        && let Some(new) = &mut sets.new
    {
        new.size = sizing.replicas;
    }
}
