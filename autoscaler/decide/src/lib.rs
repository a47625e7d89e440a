//! Scaling decisions as pure functions: the Horizontal Pod Autoscaler of Kubernetes (`autoscaling/v2`) in integer
//! arithmetic, with the whole way from the current size to the final one as data.
//!
//! [`decide`] looks at one workload and says how many replicas it should have and why; the caller acts and tells
//! [`Decision::settle`] how that went. What a user reads comes from [`DecisionRecord`].
//! Rules: Kubernetes `pkg/controller/podautoscaler`. Deviations, both asked for by the caller: surge pods of a
//! rolling update can be kept from raising the count ([`Observation::count_surge_once`]), and a metric that stands
//! exactly at its target does not move when pods without a sample are added.
//!
//! Absent on purpose: clocks, Kubernetes objects, metric stores.

mod behavior;
mod condition;
mod fraction;
mod metric;
mod outlook;
mod pass;
mod pods;
mod record;
mod replicas;
mod sentence;
mod stabilize;
mod steps;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod words;

pub use behavior::{
    Behavior, Policy, PolicyUnit, ScaleEvent, ScaleEvents, ScalingRules, SelectPolicy,
    policy_limit, rate_limit, rate_limit_default,
};
pub use condition::{Condition, ConditionReason, ConditionType, EventNote, EventReason};
pub use fraction::Tolerance;
pub use metric::{MetricError, MetricInput, MetricSource, MetricSpec, Reading, Resource, Target};
pub use outlook::{Growth, Outlook, Shrink};
pub use pass::{Decision, Observation, PodScaleSpec, ScaleHistory, ScaleState, Selector, decide};
pub use pods::{
    Classes, ContainerRequests, PodFacts, PodPhase, PodRequests, PodSample, Readiness, StartRules,
    Usage, classify, pod_request,
};
pub use record::{DecisionRecord, DecisionTimes, Direction, ObjectName, RecordedStep};
pub use replicas::{Damped, Measured, Proposal, Question, Verdict, propose};
pub use stabilize::{Recommendation, Stabilised, stabilize, stabilize_default};
pub use steps::{Reason, Signal, Stage, Step, StepReason};

#[cfg(test)]
mod tests;
