//! Windows of time over which the most cautious proposal wins.

use swell_model::{DurationMs, TimestampMs};

/// What was asked for at one time, before stabilisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recommendation {
    /// When.
    pub at: TimestampMs,
    /// How many.
    pub replicas: i32,
}

/// Result of a stabilisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stabilised {
    /// Replicas.
    pub replicas: i32,
    /// The earlier proposal that holds the new one back.
    pub held_by: Option<Recommendation>,
}

/// Without `behavior`: the highest of the new proposal and those at most `window` old. Logs the new one.
pub fn stabilize_default(
    log: &mut Vec<Recommendation>,
    desired: i32,
    window: DurationMs,
    now: TimestampMs,
) -> Stabilised {
    let cutoff = now - window;
    let mut free = None;
    let mut held_by: Option<Recommendation> = None;
    for (idx, entry) in log.iter().enumerate() {
        if entry.at < cutoff {
            free = Some(idx);
        } else if entry.replicas > held_by.map_or(desired, |held| held.replicas) {
            held_by = Some(*entry);
        }
    }
    let held_by = held_by.map(|held| newest_like(log, held));
    put(log, free, Recommendation { at: now, replicas: desired });
    Stabilised { replicas: held_by.map_or(desired, |held| held.replicas), held_by }
}

/// With `behavior`: `current` brought between the lowest proposal of the up window and the highest of the down
/// window, the new one included. Logs the new one.
pub fn stabilize(
    log: &mut Vec<Recommendation>,
    current: i32,
    desired: i32,
    up_window: DurationMs,
    down_window: DurationMs,
    now: TimestampMs,
) -> Stabilised {
    let (up_cutoff, down_cutoff) = (now - up_window, now - down_window);
    let new = Recommendation { at: now, replicas: desired };
    let (mut lowest, mut highest) = (new, new);
    let mut free = None;
    for (idx, entry) in log.iter().enumerate() {
        if entry.at > up_cutoff && entry.replicas < lowest.replicas {
            lowest = *entry;
        }
        if entry.at > down_cutoff && entry.replicas > highest.replicas {
            highest = *entry;
        }
        if entry.at < up_cutoff && entry.at < down_cutoff {
            free = Some(idx);
        }
    }
    let replicas = current.max(lowest.replicas).min(highest.replicas);
    let held_by = (replicas != desired).then(|| {
        let extreme = if replicas < desired { lowest } else { highest };
        newest_like(log, extreme)
    });
    put(log, free, new);
    Stabilised { replicas, held_by }
}

/// The youngest entry that asks for as many: it is the one that has to grow old first.
fn newest_like(log: &[Recommendation], like: Recommendation) -> Recommendation {
    log.iter()
        .filter(|entry| entry.replicas == like.replicas)
        .max_by_key(|entry| entry.at)
        .copied()
        .unwrap_or(like)
}

fn put(log: &mut Vec<Recommendation>, free: Option<usize>, new: Recommendation) {
    match free {
        Some(idx) => log[idx] = new,
        None => log.push(new),
    }
}
