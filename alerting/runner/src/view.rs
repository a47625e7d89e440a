//! What others may see of the rules: copies, made after each evaluation.

use std::sync::Arc;

use swell_model::{DurationMs, TimestampMs};
use swell_rules::{AlertInstance, AlertState, Rule};

/// How a rule's last evaluation went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RuleHealth {
    /// It was not evaluated yet.
    #[default]
    Unknown,
    /// Well.
    Ok,
    /// Badly.
    Failed(String),
}

/// A rule after its last evaluation.
#[derive(Clone, Debug)]
pub struct RuleView {
    /// The rule.
    pub rule: Arc<Rule>,
    /// How its last evaluation went.
    pub health: RuleHealth,
    /// Seconds its last evaluation took.
    pub duration_s: f64,
    /// When it was last evaluated.
    pub evaluated_at: Option<TimestampMs>,
    /// Its alerts, the lately resolved ones included.
    pub alerts: Vec<AlertInstance>,
}

/// A group after its last evaluation.
#[derive(Clone, Debug)]
pub struct GroupView {
    /// File it comes from.
    pub file: String,
    /// Its name.
    pub name: String,
    /// Time between evaluations.
    pub interval: DurationMs,
    /// At most so many series or alerts per rule; 0 is no limit.
    pub limit: usize,
    /// Seconds its last evaluation took.
    pub duration_s: f64,
    /// When it was last evaluated.
    pub evaluated_at: Option<TimestampMs>,
    /// Samples that its last evaluation gave.
    pub sample_count: usize,
    /// Its rules.
    pub rules: Vec<RuleView>,
}

/// A pending or firing alert, for terminals and pages.
#[derive(Clone, Debug)]
pub struct ActiveAlert {
    /// The group's file and name.
    pub group: (String, String),
    /// The alert.
    pub alert: AlertInstance,
}

impl RuleView {
    /// The state of an alerting rule: that of its most urgent alert; `None` before its first evaluation.
    #[must_use]
    pub fn state(&self) -> Option<AlertState> {
        self.evaluated_at?;
        Some(self.alerts.iter().map(|alert| alert.state).max().unwrap_or(AlertState::Inactive))
    }
}
