//! What of a rule's alerts survives a restart.

use swell_model::{DurationMs, TimestampMs};

use crate::alert::{AlertState, RuleState};
use crate::rule::AlertingRule;

/// How much of an outage is bridged.
#[derive(Clone, Copy, Debug)]
pub struct RestoreOptions {
    /// After a longer outage alerts start over.
    pub outage_tolerance: DurationMs,
    /// A pending alert fires no sooner than so long after the restart; rules with a shorter `for` start over.
    pub grace: DurationMs,
}

impl Default for RestoreOptions {
    /// Prometheus' defaults: one hour, ten minutes.
    fn default() -> Self {
        Self { outage_tolerance: DurationMs::from_secs(3600), grace: DurationMs::from_secs(600) }
    }
}

/// The state to go on with after an outage that began at `saved_at`.
///
/// Firing and resolved alerts go on as they were, with what was sent of them, so that nobody is told twice.
/// For pending ones the time they were still to wait is kept (spec 1.2): an outage does not count as waiting.
#[must_use]
pub fn restore(
    rule: &AlertingRule,
    saved: &RuleState,
    saved_at: TimestampMs,
    now: TimestampMs,
    options: &RestoreOptions,
) -> RuleState {
    let outage = now.since(saved_at);
    if outage > options.outage_tolerance {
        return RuleState::default();
    }
    let mut state = RuleState::default();
    for (labels, instance) in &saved.instances {
        let mut instance = instance.clone();
        if instance.state == AlertState::Pending {
            if rule.for_ < options.grace {
                continue;
            }
            let remaining = rule.for_ - saved_at.since(instance.active_at);
            if remaining > DurationMs::ZERO {
                instance.active_at = if remaining < options.grace {
                    now + options.grace - rule.for_
                } else {
                    instance.active_at + outage
                };
            }
        }
        state.instances.insert(labels.clone(), instance);
    }
    state
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use swell_model::Labels;

    use super::*;
    use crate::alert::AlertInstance;
    use crate::rule::Rule;

    const MINUTE: i64 = 60_000;

    /// Restores an alert active since minute 0, saved at `saved_min`, back at `now_min`; gives its `active_at` in minutes.
    fn check(for_text: &str, state: AlertState, saved_min: i64, now_min: i64) -> Option<i64> {
        let text =
            format!("groups: [{{name: g, rules: [{{alert: A, expr: x, for: {for_text}}}]}}]");
        let file = crate::parse_rule_file(&text).expect("the rule is valid");
        let Rule::Alerting(rule) = &file.groups[0].rules[0] else { panic!("not an alerting rule") };
        let labels = Labels::from_pairs([("alertname", "A")]);
        let instance = AlertInstance {
            labels: labels.clone(),
            annotations: BTreeMap::new(),
            state,
            value: 1.0,
            active_at: TimestampMs(0),
            fired_at: None,
            resolved_at: None,
            keep_firing_since: None,
            last_sent_at: None,
        };
        let saved = RuleState { instances: BTreeMap::from([(labels.clone(), instance)]) };
        let state = restore(
            rule,
            &saved,
            TimestampMs(saved_min * MINUTE),
            TimestampMs(now_min * MINUTE),
            &RestoreOptions::default(),
        );
        state.instances.get(&labels).map(|instance| instance.active_at.0 / MINUTE)
    }

    #[test]
    fn waiting_goes_on_where_it_stopped() {
        // 20 of 60 minutes waited, 30 minutes down: shifted by the downtime.
        assert_eq!(check("1h", AlertState::Pending, 20, 50), Some(30));
        // 55 of 60 waited: fires after the grace of 10 minutes, at minute 80.
        assert_eq!(check("1h", AlertState::Pending, 55, 70), Some(20));
        // All of it waited: keeps its start and fires with the next result.
        assert_eq!(check("1h", AlertState::Pending, 60, 70), Some(0));
        // Too short to be restored.
        assert_eq!(check("5m", AlertState::Pending, 3, 4), None);
        // Firing goes on, whatever `for` is.
        assert_eq!(check("5m", AlertState::Firing, 7, 8), Some(0));
        // Too long an outage.
        assert_eq!(check("1h", AlertState::Firing, 70, 131), None);
    }
}
