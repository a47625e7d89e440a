//! The decision record: what is kept, shown and answered to "why?".

use serde::{Deserialize, Serialize};
use swell_model::TimestampMs;

use crate::outlook::Outlook;
use crate::pass::Decision;
use crate::sentence::{brief, sentence, step_text};
use crate::steps::{Reason, Signal, Stage, Step, StepReason};

/// An object by kind and name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectName {
    /// Kind, `HorizontalPodAutoscaler`.
    pub kind: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// Which way a decision went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// More replicas.
    Out,
    /// Fewer replicas.
    In,
    /// As many as before.
    Hold,
}

/// When what happened, in milliseconds since the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionTimes {
    /// The newest sample that counted was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampled_ms: Option<i64>,
    /// The decision fell.
    pub decided_ms: i64,
    /// The new size was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acted_ms: Option<i64>,
    /// The first new pod ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running_ms: Option<i64>,
    /// The first new pod was ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_ms: Option<i64>,
}

/// A step with its words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedStep {
    /// Which.
    pub stage: Stage,
    /// Replicas before it.
    pub before: i32,
    /// Replicas after it.
    pub after: i32,
    /// What it had to say.
    pub reason: StepReason,
    /// The same in English.
    pub text: String,
}

/// One decision, as the user interface, the command line and the journal have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionRecord {
    /// Unique within one journal, rising.
    pub id: u64,
    /// The policy.
    pub policy: ObjectName,
    /// Generation of the policy's specification.
    pub generation: i64,
    /// What is scaled.
    pub target: ObjectName,
    /// When the decision fell, in milliseconds since the epoch.
    pub at_ms: i64,
    /// What caused it: `sample`, `object` or `deadline`.
    pub trigger: String,
    /// Replicas found; absent when they could not be read.
    #[serde(default)]
    pub from: Option<i32>,
    /// Replicas decided.
    pub replicas: i32,
    /// Which way.
    pub direction: Direction,
    /// Why.
    pub reason: Reason,
    /// The stage that cut or held what was asked for.
    #[serde(default)]
    pub limited_by: Option<Stage>,
    /// Every metric as it was seen.
    pub signals: Vec<Signal>,
    /// Index of the metric that won.
    #[serde(default)]
    pub winner: Option<usize>,
    /// The way from current to final.
    pub steps: Vec<RecordedStep>,
    /// All of it in a few sentences.
    pub sentence: String,
    /// The same on one line.
    pub brief: String,
    /// What the next decision could do.
    pub next: Outlook,
    /// When what happened.
    pub times: DecisionTimes,
    /// How many later passes came to the same end for the same reason.
    #[serde(default)]
    pub repeated: u64,
    /// Time of the last of them, in milliseconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_ms: Option<i64>,
}

impl DecisionRecord {
    /// The record of a settled decision. `id` and `trigger` are the journal's and the caller's.
    #[must_use]
    pub fn new(
        policy: ObjectName,
        generation: i64,
        target: ObjectName,
        decision: &Decision,
        trigger: &str,
        now: TimestampMs,
    ) -> Self {
        let steps =
            decision.steps.iter().map(|step| record_step(step, &decision.signals)).collect();
        let direction = match decision.from {
            Some(from) if decision.replicas > from => Direction::Out,
            Some(from) if decision.replicas < from => Direction::In,
            _ => Direction::Hold,
        };
        let sampled_ms = decision.signals.iter().filter_map(|signal| signal.sampled_at_ms).max();
        Self {
            id: 0,
            policy,
            generation,
            target,
            at_ms: now.0,
            trigger: trigger.to_owned(),
            from: decision.from,
            replicas: decision.replicas,
            direction,
            reason: decision.reason,
            limited_by: decision.limited_by(),
            signals: decision.signals.clone(),
            winner: decision.winner,
            steps,
            sentence: sentence(decision),
            brief: brief(decision),
            next: decision.outlook,
            times: DecisionTimes { sampled_ms, decided_ms: now.0, ..DecisionTimes::default() },
            repeated: 0,
            last_ms: None,
        }
    }

    /// Whether `other` says something that this one does not: another size, another reason, another limit, another
    /// policy, or another failure. Measurements alone are no news.
    #[must_use]
    pub fn is_news_after(&self, other: &Self) -> bool {
        // What went wrong, in words: a failure that turns into another one must not be explained by the first.
        let failures = |record: &Self| {
            let whole = record.reason.is_failure().then(|| record.sentence.clone());
            let of_metrics = record.signals.iter().map(|signal| signal.error.clone());
            of_metrics.chain([whole]).collect::<Vec<_>>()
        };
        self.direction != Direction::Hold
            || self.direction != other.direction
            || self.from.is_some_and(|from| from != other.replicas)
            || self.replicas != other.replicas
            || self.held_because() != other.held_because()
            || self.generation != other.generation
            || failures(self) != failures(other)
    }

    /// Whether the metrics ask for what is there or are near enough to it is no difference to a reader.
    const fn held_because(&self) -> Reason {
        match self.reason {
            Reason::InsideTolerance => Reason::AsAsked,
            other => other,
        }
    }
}

fn record_step(step: &Step, signals: &[Signal]) -> RecordedStep {
    RecordedStep {
        stage: step.stage,
        before: step.before,
        after: step.after,
        reason: step.reason.clone(),
        text: step_text(step, signals),
    }
}
