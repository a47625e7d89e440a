//! What the next decision could do.

use serde::{Deserialize, Serialize};
use swell_model::{DurationMs, TimestampMs};

use crate::behavior::{Behavior, ScaleEvents, ScalingRules, SelectPolicy, policy_limit};
use crate::pass::{PodScaleSpec, ScaleHistory};

/// How far the workload could go from where it will stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outlook {
    /// Upwards.
    pub grow: Growth,
    /// Downwards.
    pub shrink: Shrink,
}

/// How far up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Growth {
    /// The most that the next decision may ask for.
    pub to: i32,
    /// Not before this time (milliseconds since the epoch); absent means at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before_ms: Option<i64>,
    /// When the rate allows more than `to`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more_at_ms: Option<i64>,
    /// How much it allows then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more_to: Option<i32>,
}

/// How far down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shrink {
    /// The least that the next decision may ask for.
    pub to: i32,
    /// Not before this time (milliseconds since the epoch), if fewer are asked for from now on; absent means at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before_ms: Option<i64>,
    /// For so long fewer must be asked for, in milliseconds.
    #[serde(default)]
    pub window_ms: i64,
    /// Whether shrinking is switched off.
    #[serde(default)]
    pub disabled: bool,
}

/// The rules in force: those of the policy, or those of Kubernetes where it has none.
pub(crate) fn effective_windows(spec: &PodScaleSpec) -> (DurationMs, DurationMs) {
    match &spec.behavior {
        Some(behavior) => (behavior.up.window, behavior.down.window),
        None => (DurationMs::ZERO, spec.down_window),
    }
}

pub(crate) fn outlook(
    spec: &PodScaleSpec,
    history: &ScaleHistory,
    replicas: i32,
    now: TimestampMs,
) -> Outlook {
    let (up_window, down_window) = effective_windows(spec);
    let log = history.recommendations.as_deref().unwrap_or_default();
    let held_until = |window: DurationMs, holds: &dyn Fn(i32) -> bool| {
        log.iter()
            .filter(|entry| holds(entry.replicas) && entry.at + window > now)
            .map(|entry| (entry.at + window).0)
            .max()
    };
    let grow_limit = |now| match &spec.behavior {
        Some(Behavior { up, .. }) => {
            policy_limit(replicas, true, up, &history.ups, &history.downs, now)
        }
        None => replicas.saturating_mul(2).max(4),
    };
    let grow_to = grow_limit(now).clamp(replicas.min(spec.max_replicas), spec.max_replicas);
    let more = spec
        .behavior
        .as_ref()
        .filter(|_| grow_to < spec.max_replicas)
        .and_then(|behavior| next_release(&behavior.up, &history.ups, now))
        .map(|at| (at, grow_limit(at).min(spec.max_replicas)))
        .filter(|(_, to)| *to > grow_to);
    let disabled = spec
        .behavior
        .as_ref()
        .is_some_and(|behavior| behavior.down.select == SelectPolicy::Disabled);
    let shrink_limit = match &spec.behavior {
        Some(Behavior { down, .. }) => {
            policy_limit(replicas, false, down, &history.ups, &history.downs, now)
        }
        None => spec.min_replicas,
    };
    Outlook {
        grow: Growth {
            to: grow_to,
            not_before_ms: held_until(up_window, &|asked| asked <= replicas),
            more_at_ms: more.map(|(at, _)| at.0),
            more_to: more.map(|(_, to)| to),
        },
        shrink: Shrink {
            to: shrink_limit.max(spec.min_replicas).min(replicas),
            not_before_ms: held_until(down_window, &|asked| asked >= replicas),
            window_ms: down_window.0,
            disabled,
        },
    }
}

/// When the budget of a policy next grows.
pub(crate) fn next_release(
    rules: &ScalingRules,
    events: &ScaleEvents,
    now: TimestampMs,
) -> Option<TimestampMs> {
    rules.policies.iter().filter_map(|policy| events.next_expiry(policy.period, now)).min()
}
