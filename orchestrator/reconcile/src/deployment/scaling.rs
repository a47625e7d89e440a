//! A change of the Deployment's size, spread over its ReplicaSets.

use super::sets::{DESIRED, MAX, Set, Sets, Sizing};

/// Whether an active ReplicaSet was sized for another total than the Deployment wants now.
pub(super) fn is_scaling(sets: &Sets<'_>, sizing: &Sizing) -> bool {
    let wanted = sizing.replicas.to_string();
    sets.all().any(|set| {
        set.stored_size() > 0
            && set.annotation(DESIRED).is_some_and(|desired| desired != wanted.as_str())
    })
}

/// Sizes the ReplicaSets without moving the rollout on.
pub(super) fn scale(sets: &mut Sets<'_>, sizing: &Sizing) {
    let active = sets.all().filter(|set| set.size > 0).count();
    if active <= 1 {
        let target = if active == 1 {
            sets.new.iter_mut().chain(&mut sets.old).find(|set| set.size > 0)
        } else {
            sets.new.as_mut().or_else(|| sets.old.last_mut())
        };
        if sets.created.is_none()
            && let Some(set) = target
        {
            set.size = sizing.replicas;
        }
        return;
    }
    let saturated = sets.new.as_ref().is_some_and(|new| {
        let desired = new.annotation(DESIRED).and_then(|text| text.parse::<i32>().ok());
        new.stored_size() == sizing.replicas
            && desired == Some(sizing.replicas)
            && new.available() == sizing.replicas
    });
    if saturated {
        for set in &mut sets.old {
            set.size = 0;
        }
        return;
    }
    if sizing.rolling.is_some() {
        scale_in_proportion(sets, sizing);
    }
}

fn scale_in_proportion(sets: &mut Sets<'_>, sizing: &Sizing) {
    let allowed = if sizing.replicas > 0 { sizing.max_total() } else { 0 };
    let to_add = allowed - sets.total_size();
    let fallback = sets.all().map(Set::actual).sum::<i32>();
    let mut active: Vec<&mut Set<'_>> =
        sets.new.iter_mut().chain(&mut sets.old).filter(|set| set.size > 0).collect();
    // The largest first; among equals the newer one when growing, the older one when shrinking.
    active.sort_by_key(|set| {
        let created = set.stored.metadata.creation_timestamp.as_ref();
        let age = created.map_or(0, |created| created.0.as_second());
        (-i64::from(set.size), if to_add > 0 { -age } else { age })
    });
    let mut added = 0;
    for set in &mut active {
        let share = proportion(set, sizing, fallback);
        let left = to_add - added;
        let step = if to_add > 0 { share.min(left).max(0) } else { share.max(left).min(0) };
        set.size = (set.size + step).max(0);
        added += step;
    }
    if let Some(first) = active.first_mut() {
        first.size = (first.size + to_add - added).max(0);
    }
}

/// By how much one ReplicaSet should change so that its share of the whole stays.
fn proportion(set: &Set<'_>, sizing: &Sizing, fallback: i32) -> i32 {
    if sizing.replicas == 0 {
        return -set.size;
    }
    let base = set.annotation(MAX).and_then(|text| text.parse::<i64>().ok());
    let base = base.filter(|base| *base > 0).unwrap_or_else(|| i64::from(fallback.max(1)));
    let scaled = i64::from(set.size) * i64::from(sizing.max_total());
    let rounded = (2 * scaled + base) / (2 * base);
    i32::try_from(rounded).unwrap_or(i32::MAX) - set.size
}
