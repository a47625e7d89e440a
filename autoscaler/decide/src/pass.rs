//! One whole pass of a Horizontal Pod Autoscaler.

use swell_model::{DurationMs, TimestampMs};

use crate::behavior::{Behavior, Limited, ScaleEvents, limit_by_behavior, limit_by_default};
use crate::condition::{
    Condition, ConditionReason, ConditionType, Conditions, EventNote, EventReason,
};
use crate::fraction::Tolerance;
use crate::metric::MetricInput;
use crate::outlook::{Outlook, effective_windows, next_release, outlook};
use crate::pods::{PodFacts, StartRules};
use crate::replicas::{Proposal, Question, Verdict, propose};
use crate::stabilize::{Recommendation, stabilize, stabilize_default};
use crate::steps::{Reason, Signal, Stage, Step, StepReason, metric_steps};
use crate::words::{failure, metric_words, rate_words};

/// What a policy wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodScaleSpec {
    /// Fewest replicas.
    pub min_replicas: i32,
    /// Most replicas.
    pub max_replicas: i32,
    /// Rates and windows; `None` means Kubernetes' older rules.
    pub behavior: Option<Behavior>,
    /// Window of shrinking where there is no `behavior`.
    pub down_window: DurationMs,
    /// How far from its target a metric may lie without a change.
    pub tolerance: Tolerance,
    /// When a starting pod's CPU counts.
    pub start: StartRules,
}

/// The target's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScaleState {
    /// Asked for by its specification.
    pub spec_replicas: i32,
    /// Reported.
    pub status_replicas: i32,
}

/// The target's selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// Usable.
    Usable,
    /// Absent.
    Missing,
    /// Cannot be read; says why.
    Invalid(String),
    /// Selects pods of other autoscalers too; names them.
    Ambiguous(String),
}

/// What is seen of a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// The target's size, or why it could not be read.
    pub scale: Result<ScaleState, String>,
    /// Its selector.
    pub selector: Selector,
    /// Its pods.
    pub pods: Vec<PodFacts>,
    /// Its metrics with what their sources answered.
    pub metrics: Vec<MetricInput>,
    /// Keep surge pods of a rolling update from raising the count ([`Question::count_surge_once`]).
    pub count_surge_once: bool,
}

/// What a policy remembers from pass to pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScaleHistory {
    /// Proposals; `None` until the workload was first seen, when its size then becomes the first proposal.
    pub recommendations: Option<Vec<Recommendation>>,
    /// Replicas added.
    pub ups: ScaleEvents,
    /// Replicas removed.
    pub downs: ScaleEvents,
}

impl ScaleHistory {
    /// Keeps a change that was made, for the rates to look back on.
    pub fn record_change(
        &mut self,
        from: i32,
        to: i32,
        behavior: Option<&Behavior>,
        now: TimestampMs,
    ) {
        let Some(behavior) = behavior else { return };
        if to > from {
            self.ups.record(to - from, behavior.up.longest_period(), now);
        } else if to < from {
            self.downs.record(from - to, behavior.down.longest_period(), now);
        }
    }
}

/// What to do, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Replicas found; `None` when they could not be read.
    pub from: Option<i32>,
    /// Replicas wanted. Equal to `from` when there is nothing to do.
    pub replicas: i32,
    /// Why.
    pub reason: Reason,
    /// Every metric as it was seen.
    pub signals: Vec<Signal>,
    /// Index of the metric that won.
    pub winner: Option<usize>,
    /// The way from current to final.
    pub steps: Vec<Step>,
    /// Conditions, before it is known how the write went.
    pub conditions: Vec<Condition>,
    /// Events, before it is known how the write went.
    pub events: Vec<EventNote>,
    /// Why the size changes, in Kubernetes' words; empty when it does not.
    pub rescale_reason: String,
    /// What the next decision could do.
    pub outlook: Outlook,
    /// When to decide again although no sample came.
    pub recheck_after: Option<DurationMs>,
}

impl Decision {
    /// Whether the target's size is to be written.
    #[must_use]
    pub fn is_rescale(&self) -> bool {
        self.from.is_some_and(|from| from != self.replicas)
    }

    /// The stage that cut or held what was asked for, the last one if there were several.
    #[must_use]
    pub fn limited_by(&self) -> Option<Stage> {
        self.steps.iter().rev().find(|step| step.bit()).map(|step| step.stage)
    }

    /// Takes in how writing the new size went. `written` is an error's text when it failed. Without a rescale
    /// this changes nothing.
    pub fn settle(
        &mut self,
        written: Result<(), &str>,
        spec: &PodScaleSpec,
        history: &mut ScaleHistory,
        now: TimestampMs,
    ) {
        let Some(from) = self.from.filter(|from| *from != self.replicas) else { return };
        let mut conditions = Conditions::default();
        for condition in self.conditions.drain(..) {
            conditions.set(condition.kind, condition.status, condition.reason, condition.message);
        }
        let size = format!("New size: {}; reason: {}", self.replicas, self.rescale_reason);
        match written {
            Ok(()) => {
                conditions.set(
                    ConditionType::AbleToScale,
                    true,
                    ConditionReason::SucceededRescale,
                    format!(
                        "the HPA controller was able to update the target scale to {}",
                        self.replicas
                    ),
                );
                self.events.push(EventNote {
                    warning: false,
                    reason: EventReason::SuccessfulRescale,
                    message: size,
                });
                history.record_change(from, self.replicas, spec.behavior.as_ref(), now);
            }
            Err(error) => {
                conditions.set(
                    ConditionType::AbleToScale,
                    false,
                    ConditionReason::FailedUpdateScale,
                    format!("the HPA controller was unable to update the target scale: {error}"),
                );
                self.events.push(EventNote {
                    warning: true,
                    reason: EventReason::FailedRescale,
                    message: format!("{size}; error: {error}"),
                });
                if let Some(last) = self.steps.last_mut() {
                    last.after = from;
                }
                self.replicas = from;
                self.reason = Reason::WriteFailed;
                self.rescale_reason.clear();
            }
        }
        self.conditions = conditions.into_vec();
        self.outlook = outlook(spec, history, self.replicas, now);
    }
}

/// Looks at one workload. Logs the proposal in `history`; a change that is made is logged by [`Decision::settle`].
pub fn decide(
    spec: &PodScaleSpec,
    seen: &Observation,
    history: &mut ScaleHistory,
    now: TimestampMs,
) -> Decision {
    let mut pass = Pass { spec, seen, now, conditions: Conditions::default(), events: Vec::new() };
    let scale = match &seen.scale {
        Ok(scale) => *scale,
        Err(error) => return pass.unreadable(error),
    };
    pass.conditions.set(
        ConditionType::AbleToScale,
        true,
        ConditionReason::SucceededGetScale,
        "the HPA controller was able to get the target's current scale",
    );
    let current = scale.spec_replicas;
    history
        .recommendations
        .get_or_insert_with(|| vec![Recommendation { at: now, replicas: current }]);
    if current == 0 && spec.min_replicas != 0 {
        pass.conditions.set(
            ConditionType::ScalingActive,
            false,
            ConditionReason::ScalingDisabled,
            "scaling is disabled since the replica count of the target is zero",
        );
        return pass.plain(current, current, Reason::ScalingDisabled, "", history);
    }
    if current > spec.max_replicas {
        let reason = "Current number of replicas above Spec.MaxReplicas";
        return pass.plain(current, spec.max_replicas, Reason::AboveMaximum, reason, history);
    }
    if current < spec.min_replicas {
        let reason = "Current number of replicas below Spec.MinReplicas";
        return pass.plain(current, spec.min_replicas, Reason::BelowMinimum, reason, history);
    }
    if pass.refuse_selector() {
        return pass.plain(current, current, Reason::SelectorUnusable, "", history);
    }
    pass.by_metrics(scale, history)
}

struct Pass<'a> {
    spec: &'a PodScaleSpec,
    seen: &'a Observation,
    now: TimestampMs,
    conditions: Conditions,
    events: Vec<EventNote>,
}

impl Pass<'_> {
    fn warn(&mut self, reason: EventReason, message: impl Into<String>) {
        self.events.push(EventNote { warning: true, reason, message: message.into() });
    }

    fn unreadable(mut self, error: &str) -> Decision {
        self.warn(EventReason::FailedGetScale, error);
        self.conditions.set(
            ConditionType::AbleToScale,
            false,
            ConditionReason::FailedGetScale,
            format!("the HPA controller was unable to get the target's current scale: {error}"),
        );
        Decision {
            from: None,
            replicas: 0,
            reason: Reason::TargetUnreadable,
            signals: Vec::new(),
            winner: None,
            steps: Vec::new(),
            conditions: self.conditions.into_vec(),
            events: self.events,
            rescale_reason: String::new(),
            outlook: Outlook::default(),
            recheck_after: Some(RETRY),
        }
    }

    /// A decision that no metric took part in.
    fn plain(
        self,
        from: i32,
        to: i32,
        reason: Reason,
        rescale_reason: &str,
        history: &ScaleHistory,
    ) -> Decision {
        let mut steps =
            vec![Step::new(Stage::Current, from, from, StepReason::Found { counted_pods: 0 })];
        if from != to {
            let range =
                StepReason::Range { min: self.spec.min_replicas, max: self.spec.max_replicas };
            steps.push(Step::new(Stage::Bounds, from, to, range));
        }
        steps.push(Step::new(Stage::Final, from, to, StepReason::Plain));
        Decision {
            from: Some(from),
            replicas: to,
            reason,
            signals: Vec::new(),
            winner: None,
            steps,
            conditions: self.conditions.into_vec(),
            events: self.events,
            rescale_reason: rescale_reason.to_owned(),
            outlook: outlook(self.spec, history, to, self.now),
            recheck_after: None,
        }
    }

    fn refuse_selector(&mut self) -> bool {
        let (event, reason, message, shown) = match &self.seen.selector {
            Selector::Usable => return false,
            Selector::Missing => (
                EventReason::SelectorRequired,
                ConditionReason::InvalidSelector,
                "the HPA target's scale is missing a selector".to_owned(),
                "selector is required".to_owned(),
            ),
            Selector::Invalid(error) => {
                let message = format!(
                    "couldn't convert selector into a corresponding internal selector object: {error}"
                );
                (
                    EventReason::InvalidSelector,
                    ConditionReason::InvalidSelector,
                    message.clone(),
                    message,
                )
            }
            Selector::Ambiguous(others) => {
                let message = format!("pods by selector are controlled by multiple HPAs: {others}");
                (
                    EventReason::AmbiguousSelector,
                    ConditionReason::AmbiguousSelector,
                    message.clone(),
                    message,
                )
            }
        };
        self.warn(event, shown.clone());
        self.warn(EventReason::FailedComputeMetricsReplicas, shown);
        self.conditions.set(ConditionType::ScalingActive, false, reason, message);
        true
    }

    fn by_metrics(mut self, scale: ScaleState, history: &mut ScaleHistory) -> Decision {
        let current = scale.spec_replicas;
        let question = Question {
            current,
            status_replicas: scale.status_replicas,
            pods: &self.seen.pods,
            tolerance: self.spec.tolerance,
            start: self.spec.start,
            count_surge_once: self.seen.count_surge_once,
            now: self.now,
        };
        let mut signals = Vec::with_capacity(self.seen.metrics.len());
        let mut winner: Option<(usize, Proposal)> = None;
        let mut failures: Vec<(ConditionReason, String)> = Vec::new();
        for (idx, metric) in self.seen.metrics.iter().enumerate() {
            let mut signal = Signal::new(metric);
            match propose(metric, &question) {
                Ok(proposal) => {
                    signal.answer(&proposal);
                    if winner.as_ref().is_none_or(|(_, best)| proposal.replicas > best.replicas) {
                        winner = Some((idx, proposal));
                    }
                }
                Err(error) => {
                    let (event, reason, message) = failure(&metric.spec, &error);
                    signal.error = Some(message.clone());
                    self.warn(event, message.clone());
                    failures.push((reason, message));
                }
            }
            signals.push(signal);
        }
        let usable = winner.filter(|(_, best)| failures.is_empty() || best.replicas >= current);
        let Some((winner_idx, proposal)) = usable else {
            return self.without_metrics(current, signals, failures, history);
        };
        self.conditions.set(
            ConditionType::ScalingActive,
            true,
            ConditionReason::ValidMetricFound,
            format!(
                "the HPA was able to successfully calculate a replica count from {}",
                metric_words(&self.seen.metrics[winner_idx].spec)
            ),
        );
        self.normalise(current, signals, winner_idx, &proposal, history)
    }

    fn without_metrics(
        mut self,
        current: i32,
        signals: Vec<Signal>,
        failures: Vec<(ConditionReason, String)>,
        history: &ScaleHistory,
    ) -> Decision {
        let (failed, all) = (failures.len(), signals.len());
        let (reason, first) = failures.into_iter().next().unwrap_or_else(|| {
            (ConditionReason::InvalidMetricSourceType, "the policy names no metric".to_owned())
        });
        self.warn(
            EventReason::FailedComputeMetricsReplicas,
            format!("invalid metrics ({failed} invalid out of {all}), first error is: {first}"),
        );
        self.conditions.set(
            ConditionType::ScalingActive,
            false,
            reason,
            format!("the HPA was unable to compute the replica count: {first}"),
        );
        let decision = self.plain(current, current, Reason::MetricsUnavailable, "", history);
        Decision { signals, recheck_after: Some(RETRY), ..decision }
    }

    /// Stabilises and limits what the winning metric asks for.
    fn normalise(
        mut self,
        current: i32,
        signals: Vec<Signal>,
        winner: usize,
        proposal: &Proposal,
        history: &mut ScaleHistory,
    ) -> Decision {
        let (spec, now) = (self.spec, self.now);
        let desired = proposal.replicas;
        let (up_window, down_window) = effective_windows(spec);
        let log = history.recommendations.get_or_insert_default();
        let stable = match &spec.behavior {
            Some(_) => stabilize(log, current, desired, up_window, down_window, now),
            None => stabilize_default(log, desired, down_window, now),
        };
        self.note_stabilisation(current, desired, stable.replicas);
        let (min, max) = (spec.min_replicas, spec.max_replicas);
        let limited = match &spec.behavior {
            Some(behavior) => {
                let events = (&history.ups, &history.downs);
                limit_by_behavior(current, stable.replicas, (min, max), behavior, events, now)
            }
            None => limit_by_default(current, stable.replicas, min, max),
        };
        self.note_limit(stable.replicas, limited);

        let band = (
            1_000_000 - spec.tolerance.down_ppm,
            1_000_000_i64.saturating_add(spec.tolerance.up_ppm),
        );
        let mut steps = metric_steps(current, winner, proposal, band);
        let window = if desired < current { down_window } else { up_window };
        let held = match stable.held_by {
            None => StepReason::NotHeld { window_ms: window.0 },
            Some(by) => {
                let window = if stable.replicas > desired { down_window } else { up_window };
                StepReason::Held { window_ms: window.0, replicas: by.replicas, at_ms: by.at.0 }
            }
        };
        steps.push(Step::new(Stage::Stabilisation, desired, stable.replicas, held));
        // Where rate and range meet, Kubernetes names the range.
        let rated = match limited.rate {
            Some(rate) if rate == limited.replicas && is_range(limited.reason) => stable.replicas,
            Some(rate) if stable.replicas > current => stable.replicas.min(rate),
            Some(rate) if stable.replicas < current => stable.replicas.max(rate),
            _ => stable.replicas,
        };
        let policy = rate_words(spec.behavior.as_ref(), stable.replicas >= current);
        let rate = StepReason::Rate { limit: limited.rate, policy };
        steps.push(Step::new(Stage::RateLimit, stable.replicas, rated, rate));
        steps.push(Step::new(
            Stage::Bounds,
            rated,
            limited.replicas,
            StepReason::Range { min, max },
        ));
        steps.push(Step::new(Stage::Final, current, limited.replicas, StepReason::Plain));

        let rescale_reason = if desired > current {
            format!("{} above target", metric_words(&self.seen.metrics[winner].spec))
        } else if desired < current {
            "All metrics below target".to_owned()
        } else {
            String::new()
        };
        let recheck_at = match (stable.held_by, limited.reason, &spec.behavior) {
            (Some(by), _, _) if stable.replicas > desired => Some(by.at + down_window),
            (Some(by), _, _) => Some(by.at + up_window),
            (None, ConditionReason::ScaleUpLimit, Some(behavior)) => {
                next_release(&behavior.up, &history.ups, now)
            }
            (None, ConditionReason::ScaleDownLimit, Some(behavior)) => {
                next_release(&behavior.down, &history.downs, now)
            }
            _ => None,
        };
        Decision {
            from: Some(current),
            replicas: limited.replicas,
            reason: reason_of(&steps, proposal.verdict, limited.reason, desired, stable.replicas),
            signals,
            winner: Some(winner),
            outlook: outlook(spec, history, limited.replicas, now),
            steps,
            conditions: self.conditions.into_vec(),
            events: self.events,
            rescale_reason: if limited.replicas == current {
                String::new()
            } else {
                rescale_reason
            },
            recheck_after: recheck_at.map(|at| at.since(now)),
        }
    }

    fn note_stabilisation(&mut self, current: i32, desired: i32, stable: i32) {
        let (reason, message) = if stable == desired {
            (ConditionReason::ReadyForNewScale, "recommended size matches current size")
        } else if desired >= current && self.spec.behavior.is_some() {
            (
                ConditionReason::ScaleUpStabilized,
                "recent recommendations were lower than current one, applying the lowest recent recommendation",
            )
        } else {
            (
                ConditionReason::ScaleDownStabilized,
                "recent recommendations were higher than current one, applying the highest recent recommendation",
            )
        };
        self.conditions.set(ConditionType::AbleToScale, true, reason, message);
    }

    fn note_limit(&mut self, stable: i32, limited: Limited) {
        let message = match limited.reason {
            ConditionReason::TooFewReplicas => {
                "the desired replica count is less than the minimum replica count"
            }
            ConditionReason::TooManyReplicas => {
                "the desired replica count is more than the maximum replica count"
            }
            ConditionReason::ScaleUpLimit => {
                "the desired replica count is increasing faster than the maximum scale rate"
            }
            ConditionReason::ScaleDownLimit => {
                "the desired replica count is decreasing faster than the maximum scale rate"
            }
            _ => "the desired count is within the acceptable range",
        };
        self.conditions.set(
            ConditionType::ScalingLimited,
            limited.replicas != stable,
            limited.reason,
            message,
        );
    }
}

/// When to look again after a source failed and no sample comes: Kubernetes' own period.
const RETRY: DurationMs = DurationMs(15_000);

fn is_range(reason: ConditionReason) -> bool {
    matches!(reason, ConditionReason::TooManyReplicas | ConditionReason::TooFewReplicas)
}

fn reason_of(
    steps: &[Step],
    verdict: Verdict,
    limit: ConditionReason,
    desired: i32,
    stable: i32,
) -> Reason {
    let bit = |stage| steps.iter().any(|step| step.stage == stage && step.bit());
    if bit(Stage::RateLimit) || bit(Stage::Bounds) {
        return match limit {
            ConditionReason::TooFewReplicas => Reason::TooFewReplicas,
            ConditionReason::TooManyReplicas => Reason::TooManyReplicas,
            ConditionReason::ScaleDownLimit => Reason::ScaleDownLimit,
            _ => Reason::ScaleUpLimit,
        };
    }
    if stable > desired {
        return Reason::ScaleDownStabilized;
    }
    if stable < desired {
        return Reason::ScaleUpStabilized;
    }
    match verdict {
        Verdict::Stands => Reason::AsAsked,
        Verdict::InsideTolerance => Reason::InsideTolerance,
        Verdict::UnknownPods => Reason::UnknownPods,
    }
}
