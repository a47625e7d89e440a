//! States of alerts on disk: what [`crate::state_file`] holds for the rules.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use swell_model::{Labels, TimestampMs};
use swell_rules::{AlertInstance, AlertState, RestoreOptions, Rule, RuleState, restore};

use crate::group::GroupRuntime;
use crate::view::GroupView;

/// Name of the file.
pub(crate) const FILE: &str = "rules";
/// First word of the file.
pub(crate) const MAGIC: &str = "SWELLRULES";

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct SavedRules {
    /// When the states were as saved.
    saved_at_ms: i64,
    rules: Vec<SavedRule>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SavedRule {
    file: String,
    group: String,
    identity: String,
    alerts: Vec<SavedAlert>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SavedAlert {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    state: SavedState,
    /// Bits of the value: JSON has no NaN and no infinity.
    value_bits: u64,
    active_at_ms: i64,
    fired_at_ms: Option<i64>,
    resolved_at_ms: Option<i64>,
    keep_firing_since_ms: Option<i64>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SavedState {
    Inactive,
    Pending,
    Firing,
}

/// What is to be written: all rules that have alerts.
pub(crate) fn save<'a>(
    groups: impl Iterator<Item = &'a GroupView>,
    now: TimestampMs,
) -> SavedRules {
    let mut rules = Vec::new();
    for group in groups {
        for rule in group.rules.iter().filter(|rule| !rule.alerts.is_empty()) {
            rules.push(SavedRule {
                file: group.file.clone(),
                group: group.name.clone(),
                identity: rule.rule.identity(),
                alerts: rule.alerts.iter().map(SavedAlert::new).collect(),
            });
        }
    }
    SavedRules { saved_at_ms: now.0, rules }
}

impl SavedRules {
    /// Whether there is nothing to remember.
    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Puts the states back into groups that have the rules still. What was handed to the notifier is forgotten, so
    /// that it hears of every alert at once: its log keeps it from telling anybody twice.
    pub(crate) fn restore_into(
        self,
        groups: &mut [GroupRuntime],
        now: TimestampMs,
        options: &RestoreOptions,
    ) {
        let saved_at = TimestampMs(self.saved_at_ms);
        let mut saved: HashMap<(String, String, String), Vec<SavedAlert>> = self
            .rules
            .into_iter()
            .map(|rule| ((rule.file, rule.group, rule.identity), rule.alerts))
            .collect();
        for group in groups {
            for rule in &mut group.rules {
                let key = (group.file.clone(), group.name.clone(), rule.rule.identity());
                let (Some(alerts), Rule::Alerting(alerting)) =
                    (saved.remove(&key), rule.rule.as_ref())
                else {
                    continue;
                };
                let instances = alerts.into_iter().map(SavedAlert::into_instance);
                let state = RuleState {
                    instances: instances.map(|alert| (alert.labels.clone(), alert)).collect(),
                };
                rule.state = restore(alerting, &state, saved_at, now, options);
            }
        }
    }
}

impl SavedAlert {
    fn new(alert: &AlertInstance) -> Self {
        let millis = |at: Option<TimestampMs>| at.map(|at| at.0);
        Self {
            labels: alert
                .labels
                .iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            annotations: alert.annotations.clone(),
            state: match alert.state {
                AlertState::Inactive => SavedState::Inactive,
                AlertState::Pending => SavedState::Pending,
                AlertState::Firing => SavedState::Firing,
            },
            value_bits: alert.value.to_bits(),
            active_at_ms: alert.active_at.0,
            fired_at_ms: millis(alert.fired_at),
            resolved_at_ms: millis(alert.resolved_at),
            keep_firing_since_ms: millis(alert.keep_firing_since),
        }
    }

    fn into_instance(self) -> AlertInstance {
        AlertInstance {
            labels: Labels::from_pairs(self.labels),
            annotations: self.annotations,
            state: match self.state {
                SavedState::Inactive => AlertState::Inactive,
                SavedState::Pending => AlertState::Pending,
                SavedState::Firing => AlertState::Firing,
            },
            value: f64::from_bits(self.value_bits),
            active_at: TimestampMs(self.active_at_ms),
            fired_at: self.fired_at_ms.map(TimestampMs),
            resolved_at: self.resolved_at_ms.map(TimestampMs),
            keep_firing_since: self.keep_firing_since_ms.map(TimestampMs),
            last_sent_at: None,
        }
    }
}
