//! The state machine of one alerting rule (Prometheus 3.14, `rules/alerting.go`; table in the alerting spec, 1.2).

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use swell_model::{DurationMs, Labels, METRIC_NAME, SampleValue, TimestampMs};

use crate::functions::QuerySource;
use crate::rule::{AlertingRule, InstantSample};
use crate::text::{TextData, render_all};

/// How long a resolved alert is kept so that its resolution can be sent again.
pub const RESOLVED_RETENTION: DurationMs = DurationMs::from_secs(15 * 60);

const ALERT_NAME: &str = "alertname";

/// Where an alert stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlertState {
    /// Fired before, does not any more; kept for a while.
    Inactive,
    /// The result is there, but not for long enough.
    Pending,
    /// The result is there for long enough.
    Firing,
}

impl AlertState {
    /// As the API and the label `alertstate` have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Pending => "pending",
            Self::Firing => "firing",
        }
    }
}

/// One alert of a rule.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertInstance {
    /// Labels of the result without the metric's name, overlaid with the rule's, and `alertname`.
    pub labels: Labels,
    /// Rendered annotations of the last evaluation with a result.
    pub annotations: BTreeMap<String, String>,
    /// Where it stands.
    pub state: AlertState,
    /// Value of the last evaluation with a result.
    pub value: f64,
    /// First evaluation with a result.
    pub active_at: TimestampMs,
    /// When it began to fire.
    pub fired_at: Option<TimestampMs>,
    /// When it ceased to fire.
    pub resolved_at: Option<TimestampMs>,
    /// First evaluation without a result while it is held firing.
    pub keep_firing_since: Option<TimestampMs>,
    /// When it was last handed to the notifier.
    pub last_sent_at: Option<TimestampMs>,
}

impl AlertInstance {
    /// Whether the notifier is to hear of it: firing and never told or not for the resend delay, or resolved
    /// and not told since, or not for the resend delay.
    #[must_use]
    pub fn needs_sending(&self, now: TimestampMs, resend_delay: DurationMs) -> bool {
        match (self.state, self.last_sent_at) {
            (AlertState::Pending, _) => false,
            (_, None) => true,
            (_, Some(sent_at)) => {
                self.resolved_at.is_some_and(|resolved_at| resolved_at > sent_at)
                    || now.since(sent_at) > resend_delay
            }
        }
    }
}

/// When an alert that was reported at `at` ends unless it is reported again: whoever hears of it has four reports to
/// miss before it counts as resolved. One that is resolved ended then.
#[must_use]
pub fn ends_at(
    alert: &AlertInstance,
    at: TimestampMs,
    interval: DurationMs,
    resend_delay: DurationMs,
) -> TimestampMs {
    let valid = DurationMs(interval.max(resend_delay).0.saturating_mul(4));
    alert.resolved_at.unwrap_or(at + valid)
}

/// All alerts of one rule, by label set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuleState {
    /// Alerts, pending, firing and lately resolved.
    pub instances: BTreeMap<Labels, AlertInstance>,
}

/// What a rule is evaluated in.
#[derive(Clone, Copy)]
pub struct EvaluationContext<'a> {
    /// Time of the evaluation, the query offset taken off.
    pub now: TimestampMs,
    /// The group's limit; 0 is none.
    pub limit: usize,
    /// Labels of this server, for templates.
    pub external_labels: &'a Labels,
    /// Where users reach this server, for templates.
    pub external_url: &'a str,
    /// Runs queries of templates.
    pub queries: &'a dyn QuerySource,
}

impl std::fmt::Debug for EvaluationContext<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EvaluationContext")
            .field("now", &self.now)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// An alert that went from one state to another.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// The alert.
    pub labels: Labels,
    /// State before; `None` for a new alert.
    pub from: Option<AlertState>,
    /// State after; `None` for a pending alert that vanished.
    pub to: Option<AlertState>,
}

/// What an evaluation came to.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertStep {
    /// The alerts now.
    pub state: RuleState,
    /// Series `ALERTS` and `ALERTS_FOR_STATE` to write at the time of the evaluation.
    pub samples: Vec<(Labels, f64)>,
    /// What changed.
    pub transitions: Vec<Transition>,
}

/// An evaluation that failed. The state to go on with is the one before, unless said otherwise.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// Two results have the same labels once the rule's labels are on.
    #[error("two results have the labels {labels} after the labels of the alert are applied")]
    DuplicateLabels {
        /// The labels.
        labels: String,
    },
    /// More alerts than the group allows. The rule goes on without alerts.
    #[error("the limit of {limit} alerts is exceeded with {count}")]
    LimitExceeded {
        /// Pending and firing alerts.
        count: usize,
        /// The group's limit.
        limit: usize,
    },
}

/// Takes one query result into account.
///
/// # Errors
/// [`StepError`] tells why the evaluation counts as failed.
pub fn step(
    rule: &AlertingRule,
    before: &RuleState,
    result: &[InstantSample],
    context: &EvaluationContext<'_>,
) -> Result<AlertStep, StepError> {
    let now = context.now;
    let present = instances_of(rule, result, context)?;
    let before = &in_the_past(rule, before, now);
    let mut after = RuleState::default();
    let mut samples = Vec::new();
    let mut transitions = Vec::new();
    let mut count = 0;

    let absent = before.instances.iter().filter(|(labels, _)| !present.contains_key(*labels));
    for (labels, old) in absent {
        let next = without_result(rule, old, now);
        note(
            &mut transitions,
            labels,
            Some(old.state),
            next.as_ref().map(|instance| instance.state),
        );
        let Some(instance) = next else { continue };
        if instance.state != AlertState::Inactive {
            count += 1;
            write_samples(&instance, &mut samples);
        }
        after.instances.insert(labels.clone(), instance);
    }
    for (labels, fresh) in present {
        let old = before.instances.get(&labels);
        let instance = with_result(rule, old, fresh, now);
        note(&mut transitions, &labels, old.map(|old| old.state), Some(instance.state));
        count += 1;
        write_samples(&instance, &mut samples);
        after.instances.insert(labels, instance);
    }
    if context.limit > 0 && count > context.limit {
        return Err(StepError::LimitExceeded { count, limit: context.limit });
    }
    transitions.sort_by(|a, b| a.labels.cmp(&b.labels));
    samples.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(AlertStep { state: after, samples, transitions })
}

/// The alerts with no time that lies ahead: the clock was ahead when it was noted, or was set back since. What fires goes on
/// firing, and all that is waited for begins now.
fn in_the_past<'a>(
    rule: &AlertingRule,
    before: &'a RuleState,
    now: TimestampMs,
) -> Cow<'a, RuleState> {
    let times = |alert: &AlertInstance| {
        let known =
            [alert.fired_at, alert.resolved_at, alert.keep_firing_since, alert.last_sent_at];
        known.into_iter().chain([Some(alert.active_at)]).max().flatten()
    };
    if before.instances.values().all(|alert| times(alert) <= Some(now)) {
        return Cow::Borrowed(before);
    }
    let mut before = before.clone();
    for alert in before.instances.values_mut() {
        let fires = alert.state == AlertState::Firing;
        if fires && alert.fired_at > Some(now) {
            alert.active_at = alert.active_at.min(now - rule.for_);
        }
        alert.active_at = alert.active_at.min(now);
        let known = [
            &mut alert.fired_at,
            &mut alert.resolved_at,
            &mut alert.keep_firing_since,
            &mut alert.last_sent_at,
        ];
        known.into_iter().for_each(|at| *at = at.map(|at| at.min(now)));
    }
    Cow::Owned(before)
}

fn note(
    transitions: &mut Vec<Transition>,
    labels: &Labels,
    from: Option<AlertState>,
    to: Option<AlertState>,
) {
    if from != to && !(from == Some(AlertState::Inactive) && to.is_none()) {
        transitions.push(Transition { labels: labels.clone(), from, to });
    }
}

/// The alerts that the result asks for, as if each were new.
fn instances_of(
    rule: &AlertingRule,
    result: &[InstantSample],
    context: &EvaluationContext<'_>,
) -> Result<HashMap<Labels, AlertInstance>, StepError> {
    let mut instances = HashMap::with_capacity(result.len());
    for sample in result {
        let value = match sample.value {
            SampleValue::Float(number) => number,
            SampleValue::Histogram(_) => 0.0,
        };
        let data = TextData {
            labels: &sample.labels,
            value: &sample.value,
            external_labels: context.external_labels,
            external_url: context.external_url,
            now: context.now,
            queries: context.queries,
        };
        let mut labels = sample.labels.to_builder();
        labels.remove(METRIC_NAME);
        for (name, text) in &rule.labels {
            labels.set(name, &text.render(&data));
        }
        labels.set(ALERT_NAME, &rule.alert);
        let labels = labels.build();
        let instance = AlertInstance {
            labels: labels.clone(),
            annotations: render_all(&rule.annotations, &data),
            state: AlertState::Pending,
            value,
            active_at: context.now,
            fired_at: None,
            resolved_at: None,
            keep_firing_since: None,
            last_sent_at: None,
        };
        if instances.insert(labels.clone(), instance).is_some() {
            return Err(StepError::DuplicateLabels { labels: labels.to_string() });
        }
    }
    Ok(instances)
}

/// An alert whose result is there.
fn with_result(
    rule: &AlertingRule,
    old: Option<&AlertInstance>,
    fresh: AlertInstance,
    now: TimestampMs,
) -> AlertInstance {
    let mut instance = match old {
        Some(old) if old.state != AlertState::Inactive => AlertInstance {
            value: fresh.value,
            annotations: fresh.annotations,
            keep_firing_since: None,
            ..old.clone()
        },
        _ => fresh,
    };
    let long_enough = now.since(instance.active_at) >= rule.for_;
    match instance.state {
        AlertState::Firing if !long_enough => {
            // The rule was reloaded with a longer `for`.
            instance.state = AlertState::Pending;
            instance.fired_at = None;
            instance.last_sent_at = None;
        }
        AlertState::Pending if long_enough => {
            instance.state = AlertState::Firing;
            instance.fired_at = Some(now);
        }
        _ => {}
    }
    instance
}

/// An alert whose result is not there; `None` when nothing of it is kept.
fn without_result(
    rule: &AlertingRule,
    old: &AlertInstance,
    now: TimestampMs,
) -> Option<AlertInstance> {
    match old.state {
        AlertState::Pending => None,
        AlertState::Inactive => {
            let kept = old
                .resolved_at
                .is_some_and(|resolved_at| now.since(resolved_at) <= RESOLVED_RETENTION);
            kept.then(|| old.clone())
        }
        AlertState::Firing => {
            let since = old.keep_firing_since.unwrap_or(now);
            if now.since(since) < rule.keep_firing_for {
                return Some(AlertInstance { keep_firing_since: Some(since), ..old.clone() });
            }
            Some(AlertInstance {
                state: AlertState::Inactive,
                resolved_at: Some(now),
                keep_firing_since: None,
                ..old.clone()
            })
        }
    }
}

fn write_samples(instance: &AlertInstance, samples: &mut Vec<(Labels, f64)>) {
    let mut labels = instance.labels.to_builder();
    labels.set(METRIC_NAME, "ALERTS_FOR_STATE");
    let active_s = DurationMs(instance.active_at.0).as_seconds().trunc();
    samples.push((labels.build(), active_s));
    labels.set(METRIC_NAME, "ALERTS").set("alertstate", instance.state.as_str());
    samples.push((labels.build(), 1.0));
}

#[cfg(test)]
mod tests;
