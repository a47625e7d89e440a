//! The way from the current size to the final one, as data.

use serde::{Deserialize, Serialize};

use crate::metric::{MetricInput, Target};
use crate::replicas::{Proposal, Verdict};

/// Why a decision came out as it did: the stage that had the last word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// What the metrics ask for, uncut.
    AsAsked,
    /// The metric is near enough to its target.
    InsideTolerance,
    /// Pods that are starting or were not sampled could turn it round.
    UnknownPods,
    /// Recent proposals were lower.
    ScaleUpStabilized,
    /// Recent proposals were higher.
    ScaleDownStabilized,
    /// The rate of growing.
    ScaleUpLimit,
    /// The rate of shrinking.
    ScaleDownLimit,
    /// The minimum.
    TooFewReplicas,
    /// The maximum.
    TooManyReplicas,
    /// More replicas than the maximum were found.
    AboveMaximum,
    /// Fewer replicas than the minimum were found.
    BelowMinimum,
    /// The target is at zero by hand.
    ScalingDisabled,
    /// The target's size could not be read.
    TargetUnreadable,
    /// The target's selector is absent, unreadable, or shared with another autoscaler.
    SelectorUnusable,
    /// No metric gave an answer, or one failed and the rest ask for less.
    MetricsUnavailable,
    /// The target's size could not be written.
    WriteFailed,
}

impl Reason {
    /// All reasons, for metric labels.
    pub const ALL: [Self; 16] = [
        Self::AsAsked,
        Self::InsideTolerance,
        Self::UnknownPods,
        Self::ScaleUpStabilized,
        Self::ScaleDownStabilized,
        Self::ScaleUpLimit,
        Self::ScaleDownLimit,
        Self::TooFewReplicas,
        Self::TooManyReplicas,
        Self::AboveMaximum,
        Self::BelowMinimum,
        Self::ScalingDisabled,
        Self::TargetUnreadable,
        Self::SelectorUnusable,
        Self::MetricsUnavailable,
        Self::WriteFailed,
    ];

    /// Whether something about the target itself went wrong; failures of metrics stand with each metric.
    pub(crate) const fn is_failure(self) -> bool {
        matches!(self, Self::TargetUnreadable | Self::SelectorUnusable | Self::WriteFailed)
    }

    /// The name, as in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AsAsked => "AsAsked",
            Self::InsideTolerance => "InsideTolerance",
            Self::UnknownPods => "UnknownPods",
            Self::ScaleUpStabilized => "ScaleUpStabilized",
            Self::ScaleDownStabilized => "ScaleDownStabilized",
            Self::ScaleUpLimit => "ScaleUpLimit",
            Self::ScaleDownLimit => "ScaleDownLimit",
            Self::TooFewReplicas => "TooFewReplicas",
            Self::TooManyReplicas => "TooManyReplicas",
            Self::AboveMaximum => "AboveMaximum",
            Self::BelowMinimum => "BelowMinimum",
            Self::ScalingDisabled => "ScalingDisabled",
            Self::TargetUnreadable => "TargetUnreadable",
            Self::SelectorUnusable => "SelectorUnusable",
            Self::MetricsUnavailable => "MetricsUnavailable",
            Self::WriteFailed => "WriteFailed",
        }
    }
}

/// A stage of a decision, in the order in which they are passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Replicas found.
    Current,
    /// Replicas that the winning metric asks for.
    Asked,
    /// Pods that are starting or were not sampled join; only present when there are some.
    UnknownPods,
    /// Near enough to the target?
    Tolerance,
    /// Proposals of the recent past.
    Stabilisation,
    /// How fast the workload may grow and shrink.
    RateLimit,
    /// Minimum and maximum.
    Bounds,
    /// Replicas decided.
    Final,
}

/// What a stage had to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum StepReason {
    /// Replicas found, and how many of their pods counted.
    Found {
        /// Pods sampled and counted.
        counted_pods: u32,
    },
    /// The arithmetic of the winning metric.
    Formula {
        /// Index of the metric in the record's signals.
        signal: u32,
        /// `5 × 104 ÷ 50 = 10.40`.
        formula: String,
    },
    /// Pods joined that are starting or were not sampled.
    Joined {
        /// Starting or not ready.
        unready: u32,
        /// Without a sample.
        missing: u32,
        /// The formula with them.
        formula: String,
        /// Whether they cancelled the change.
        cancelled: bool,
    },
    /// Measurement by target, and the range without a change.
    Band {
        /// Millionths.
        ratio_ppm: i64,
        /// Millionths.
        low_ppm: i64,
        /// Millionths.
        high_ppm: i64,
        /// Whether the quotient lies in the range.
        inside: bool,
    },
    /// No earlier proposal holds the new one back.
    NotHeld {
        /// Window of the direction asked for, in milliseconds.
        window_ms: i64,
    },
    /// An earlier proposal does.
    Held {
        /// Window, in milliseconds.
        window_ms: i64,
        /// What was asked for then.
        replicas: i32,
        /// When, in milliseconds since the epoch.
        at_ms: i64,
    },
    /// The rate of the direction asked for; absent when no change is asked for.
    Rate {
        /// The furthest count allowed now.
        limit: Option<i32>,
        /// The policies in words, `+3 per 30 s`.
        policy: String,
    },
    /// Minimum and maximum.
    Range {
        /// Minimum.
        min: i32,
        /// Maximum.
        max: i32,
    },
    /// Nothing to say.
    Plain,
}

/// One stage of a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Which.
    pub stage: Stage,
    /// Replicas before it.
    pub before: i32,
    /// Replicas after it.
    pub after: i32,
    /// What it had to say.
    pub reason: StepReason,
}

impl Step {
    pub(crate) const fn new(stage: Stage, before: i32, after: i32, reason: StepReason) -> Self {
        Self { stage, before, after, reason }
    }

    /// Whether the stage changed the number, other than by asking in the first place.
    #[must_use]
    pub fn bit(&self) -> bool {
        self.before != self.after && !matches!(self.stage, Stage::Asked | Stage::Final)
    }
}

/// One metric as it was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signal {
    /// Type of the metric, as in `autoscaling/v2`.
    #[serde(rename = "type")]
    pub metric_type: String,
    /// Resource or metric.
    pub name: String,
    /// Container, where one is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Type of the target, as in `autoscaling/v2`.
    pub target_type: String,
    /// Percent for `Utilization`, thousandths else.
    pub target_value: i64,
    /// Whole percent of the request, for `Utilization`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub utilization: Option<i64>,
    /// Thousandths: average per pod, or the value in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub milli: Option<i64>,
    /// Measurement by target in millionths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio_ppm: Option<i64>,
    /// Replicas that it asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal: Option<i32>,
    /// The arithmetic, `5 × 104 ÷ 50 = 10.40`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub formula: Option<String>,
    /// Time of the newest sample, in milliseconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampled_at_ms: Option<i64>,
    /// Pods sampled and counted.
    #[serde(default)]
    pub pods_ready: u32,
    /// Pods starting or not ready.
    #[serde(default)]
    pub pods_unready: u32,
    /// Pods without a sample.
    #[serde(default)]
    pub pods_missing: u32,
    /// Pods failed or going away.
    #[serde(default)]
    pub pods_ignored: u32,
    /// Why it asks for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Signal {
    pub(crate) fn new(metric: &MetricInput) -> Self {
        let MetricInput { spec, .. } = metric;
        Self {
            metric_type: spec.source.type_name().to_owned(),
            name: spec.source.metric_name().to_owned(),
            container: spec.source.container().map(str::to_owned),
            target_type: spec.target.type_name().to_owned(),
            target_value: spec.target.value(),
            ..Self::default()
        }
    }

    pub(crate) fn answer(&mut self, proposal: &Proposal) {
        let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        self.utilization = proposal.measured.utilization;
        self.milli = Some(proposal.measured.milli);
        self.ratio_ppm = Some(proposal.ratio_ppm);
        self.proposal = Some(proposal.replicas);
        self.formula = Some(proposal.formula.clone());
        self.sampled_at_ms = proposal.measured.sampled_at.map(|at| at.0);
        self.pods_ready = count(proposal.classes.ready.len());
        self.pods_unready = count(proposal.classes.unready.len());
        self.pods_missing = count(proposal.classes.missing.len());
        self.pods_ignored = count(proposal.classes.ignored.len());
    }

    /// The target as it was before the record was written.
    pub(crate) fn target(&self) -> Target {
        match self.target_type.as_str() {
            "Utilization" => Target::Utilization(self.target_value),
            "AverageValue" => Target::AverageValue(self.target_value),
            _ => Target::Value(self.target_value),
        }
    }
}

/// The stages up to the tolerance, for the winning metric.
pub(crate) fn metric_steps(
    current: i32,
    signal_idx: usize,
    proposal: &Proposal,
    (low_ppm, high_ppm): (i64, i64),
) -> Vec<Step> {
    let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
    let classes = &proposal.classes;
    let mut steps = vec![
        Step::new(
            Stage::Current,
            current,
            current,
            StepReason::Found { counted_pods: count(classes.ready.len()) },
        ),
        Step::new(
            Stage::Asked,
            current,
            proposal.asked,
            StepReason::Formula { signal: count(signal_idx), formula: proposal.formula.clone() },
        ),
    ];
    let mut reached = proposal.asked;
    if let Some(damped) = &proposal.damped {
        let cancelled = proposal.verdict == Verdict::UnknownPods;
        let after = if cancelled { current } else { damped.replicas };
        steps.push(Step::new(
            Stage::UnknownPods,
            reached,
            after,
            StepReason::Joined {
                unready: count(classes.unready.len()),
                missing: count(classes.missing.len()),
                formula: damped.formula.clone(),
                cancelled,
            },
        ));
        reached = after;
    }
    let inside = proposal.verdict == Verdict::InsideTolerance;
    steps.push(Step::new(
        Stage::Tolerance,
        reached,
        proposal.replicas,
        StepReason::Band { ratio_ppm: proposal.ratio_ppm, low_ppm, high_ppm, inside },
    ));
    steps
}
