//! How fast a workload may grow and shrink.

use swell_model::{DurationMs, TimestampMs};

use crate::condition::ConditionReason;
use crate::fraction::{div_ceil, saturate};

/// Unit of a policy's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyUnit {
    /// Replicas.
    Pods,
    /// Percent of the count at the start of the period.
    Percent,
}

/// So much change in so much time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Unit of `value`.
    pub unit: PolicyUnit,
    /// How much, above zero.
    pub value: i32,
    /// In what time.
    pub period: DurationMs,
}

/// Which of several policies counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelectPolicy {
    /// The one that allows most change.
    Max,
    /// The one that allows least change.
    Min,
    /// None: no change in this direction.
    Disabled,
}

/// Rules of one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScalingRules {
    /// How long a proposal goes on to count.
    pub window: DurationMs,
    /// Which policy counts.
    pub select: SelectPolicy,
    /// At least one, unless disabled.
    pub policies: Vec<Policy>,
}

impl ScalingRules {
    /// Kubernetes' rules for growing where none are given: four pods or double, in 15 s, at once.
    #[must_use]
    pub fn default_up() -> Self {
        let period = DurationMs(15_000);
        Self {
            window: DurationMs::ZERO,
            select: SelectPolicy::Max,
            policies: vec![
                Policy { unit: PolicyUnit::Pods, value: 4, period },
                Policy { unit: PolicyUnit::Percent, value: 100, period },
            ],
        }
    }

    /// Kubernetes' rules for shrinking where none are given: all in 15 s, after `window`.
    #[must_use]
    pub fn default_down(window: DurationMs) -> Self {
        let period = DurationMs(15_000);
        Self {
            window,
            select: SelectPolicy::Max,
            policies: vec![Policy { unit: PolicyUnit::Percent, value: 100, period }],
        }
    }

    pub(crate) fn longest_period(&self) -> DurationMs {
        self.policies.iter().map(|policy| policy.period).max().unwrap_or(DurationMs::ZERO)
    }
}

/// Rules of both directions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behavior {
    /// Growing.
    pub up: ScalingRules,
    /// Shrinking.
    pub down: ScalingRules,
}

/// A change that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScaleEvent {
    /// When.
    pub at: TimestampMs,
    /// By how many replicas, above zero.
    pub change: i32,
    /// No longer counted; its place is taken by the next event.
    pub outdated: bool,
}

/// Changes of one direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScaleEvents(Vec<ScaleEvent>);

impl ScaleEvents {
    /// Events in any order.
    #[must_use]
    pub const fn new(events: Vec<ScaleEvent>) -> Self {
        Self(events)
    }

    /// The events kept, in the order of their places.
    #[must_use]
    pub fn as_slice(&self) -> &[ScaleEvent] {
        &self.0
    }

    /// How much changed in the `period` before `now`.
    #[must_use]
    pub fn change_within(&self, period: DurationMs, now: TimestampMs) -> i64 {
        let cutoff = now - period;
        self.0.iter().filter(|event| event.at > cutoff).map(|event| i64::from(event.change)).sum()
    }

    /// Keeps a change for as long as a policy looks back; takes the place of an event that none looks at any more.
    pub fn record(&mut self, change: i32, longest_period: DurationMs, now: TimestampMs) {
        let cutoff = now - longest_period;
        let mut free = None;
        for (idx, event) in self.0.iter_mut().enumerate() {
            event.outdated |= event.at < cutoff;
            if event.outdated {
                free = Some(idx);
            }
        }
        let event = ScaleEvent { at: now, change, outdated: false };
        match free {
            Some(idx) => self.0[idx] = event,
            None => self.0.push(event),
        }
    }

    /// When the oldest change that `period` still counts will stop to count.
    pub(crate) fn next_expiry(&self, period: DurationMs, now: TimestampMs) -> Option<TimestampMs> {
        let cutoff = now - period;
        self.0.iter().filter(|event| event.at > cutoff).map(|event| event.at + period).min()
    }
}

/// Which way a limit looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Up,
    Down,
}

/// The furthest count that `rules` allow, before the limits of the policy itself; may lie on the wrong side of
/// `current` when the period's budget is spent.
fn limit(
    current: i32,
    way: Way,
    rules: &ScalingRules,
    ups: &ScaleEvents,
    downs: &ScaleEvents,
    now: TimestampMs,
) -> i32 {
    if rules.select == SelectPolicy::Disabled {
        return current;
    }
    let proposals = rules.policies.iter().map(|policy| {
        let start = i64::from(current) - ups.change_within(policy.period, now)
            + downs.change_within(policy.period, now);
        let (start, value) = (i128::from(start), i128::from(policy.value));
        saturate(match (policy.unit, way) {
            (PolicyUnit::Pods, Way::Up) => start + value,
            (PolicyUnit::Pods, Way::Down) => start - value,
            (PolicyUnit::Percent, Way::Up) => div_ceil(start * (100 + value), 100),
            (PolicyUnit::Percent, Way::Down) => start * (100 - value) / 100,
        })
    });
    let widest = (way == Way::Up) == (rules.select == SelectPolicy::Max);
    (if widest { proposals.max() } else { proposals.min() }).unwrap_or(current)
}

/// The furthest count that the rules for growing (`growing`) or shrinking allow from `current`. Never forces a
/// change: it is `current` when the budget of the period is spent.
#[must_use]
pub fn policy_limit(
    current: i32,
    growing: bool,
    rules: &ScalingRules,
    ups: &ScaleEvents,
    downs: &ScaleEvents,
    now: TimestampMs,
) -> i32 {
    if growing {
        limit(current, Way::Up, rules, ups, downs, now).max(current)
    } else {
        limit(current, Way::Down, rules, ups, downs, now).min(current)
    }
}

/// What is left of `desired` after rate and range, which of them bound, and the bare rate limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limited {
    pub(crate) replicas: i32,
    pub(crate) reason: ConditionReason,
    /// The furthest count that the rate allows in the direction asked for; `None` when nothing is asked for.
    pub(crate) rate: Option<i32>,
}

/// Limits without `behavior`: at most double, or four.
#[must_use]
pub fn rate_limit_default(
    current: i32,
    desired: i32,
    min: i32,
    max: i32,
) -> (i32, ConditionReason) {
    let limited = limit_by_default(current, desired, min, max);
    (limited.replicas, limited.reason)
}

pub(crate) fn limit_by_default(current: i32, desired: i32, min: i32, max: i32) -> Limited {
    let top = current.saturating_mul(2).max(4);
    let rate = (desired > current).then_some(top);
    if desired < min {
        return Limited { replicas: min, reason: ConditionReason::TooFewReplicas, rate };
    }
    let (bound, reason) = if max > top {
        (top, ConditionReason::ScaleUpLimit)
    } else {
        (max, ConditionReason::TooManyReplicas)
    };
    if desired > bound {
        Limited { replicas: bound, reason, rate }
    } else {
        Limited { replicas: desired, reason: ConditionReason::DesiredWithinRange, rate }
    }
}

/// Limits with `behavior`.
#[expect(
    clippy::too_many_arguments,
    reason = "a count, its range, the rules and what was done so far"
)]
#[must_use]
pub fn rate_limit(
    current: i32,
    desired: i32,
    min: i32,
    max: i32,
    behavior: &Behavior,
    ups: &ScaleEvents,
    downs: &ScaleEvents,
    now: TimestampMs,
) -> (i32, ConditionReason) {
    let limited = limit_by_behavior(current, desired, (min, max), behavior, (ups, downs), now);
    (limited.replicas, limited.reason)
}

pub(crate) fn limit_by_behavior(
    current: i32,
    desired: i32,
    (min, max): (i32, i32),
    behavior: &Behavior,
    (ups, downs): (&ScaleEvents, &ScaleEvents),
    now: TimestampMs,
) -> Limited {
    if desired > current {
        let rate = policy_limit(current, true, &behavior.up, ups, downs, now);
        let (bound, reason) = if max > rate {
            (rate, ConditionReason::ScaleUpLimit)
        } else {
            (max, ConditionReason::TooManyReplicas)
        };
        if desired > bound {
            return Limited { replicas: bound, reason, rate: Some(rate) };
        }
        return Limited {
            replicas: desired,
            reason: ConditionReason::DesiredWithinRange,
            rate: Some(rate),
        };
    }
    if desired < current {
        let rate = policy_limit(current, false, &behavior.down, ups, downs, now);
        let (bound, reason) = if min < rate {
            (rate, ConditionReason::ScaleDownLimit)
        } else {
            (min, ConditionReason::TooFewReplicas)
        };
        if desired < bound {
            return Limited { replicas: bound, reason, rate: Some(rate) };
        }
        return Limited {
            replicas: desired,
            reason: ConditionReason::DesiredWithinRange,
            rate: Some(rate),
        };
    }
    Limited { replicas: desired, reason: ConditionReason::DesiredWithinRange, rate: None }
}

impl ScalingRules {
    /// The policies for a reader, `+4 per 15 s or +100 % per 15 s`.
    #[must_use]
    pub fn words(&self, sign: &str) -> String {
        let joint = match self.select {
            SelectPolicy::Disabled => return "switched off".to_owned(),
            SelectPolicy::Max => " or ",
            SelectPolicy::Min => " and ",
        };
        let words: Vec<String> = self
            .policies
            .iter()
            .map(|policy| {
                let unit = match policy.unit {
                    PolicyUnit::Pods => "",
                    PolicyUnit::Percent => " %",
                };
                format!("{sign}{}{unit} per {}", policy.value, seconds_text(policy.period))
            })
            .collect();
        words.join(joint)
    }
}

/// A period for a reader, `15 s`.
pub(crate) fn seconds_text(period: DurationMs) -> String {
    if period.0 % 1000 == 0 { format!("{} s", period.0 / 1000) } else { format!("{} ms", period.0) }
}
