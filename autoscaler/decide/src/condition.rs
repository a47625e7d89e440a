//! Conditions and events in Kubernetes' own words.

/// Type of a status condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConditionType {
    /// Whether the target's size can be read and written, and whether it is held.
    AbleToScale,
    /// Whether the metrics give an answer.
    ScalingActive,
    /// Whether rate or range cut the answer.
    ScalingLimited,
}

impl ConditionType {
    /// The name in `status.conditions[].type`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AbleToScale => "AbleToScale",
            Self::ScalingActive => "ScalingActive",
            Self::ScalingLimited => "ScalingLimited",
        }
    }
}

macro_rules! named {
    ($(#[$doc:meta])* $type:ident { $($(#[$variant_doc:meta])* $variant:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $type { $($(#[$variant_doc])* $variant),* }

        impl $type {
            /// The name that Kubernetes uses.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant)),* }
            }
        }
    };
}

named! {
    /// Reason of a status condition.
    ConditionReason {
        /// The target's size was read.
        SucceededGetScale,
        /// The target's size could not be read.
        FailedGetScale,
        /// The target's size was written.
        SucceededRescale,
        /// The target's size could not be written.
        FailedUpdateScale,
        /// Nothing is held back.
        ReadyForNewScale,
        /// Recent proposals were higher.
        ScaleDownStabilized,
        /// Recent proposals were lower.
        ScaleUpStabilized,
        /// A metric gave an answer.
        ValidMetricFound,
        /// The target is at zero by hand.
        ScalingDisabled,
        /// The target has no usable selector.
        InvalidSelector,
        /// Another autoscaler selects the same pods.
        AmbiguousSelector,
        /// The resource source failed.
        FailedGetResourceMetric,
        /// The container resource source failed.
        FailedGetContainerResourceMetric,
        /// The pods source failed.
        FailedGetPodsMetric,
        /// The object source failed.
        FailedGetObjectMetric,
        /// The external source failed.
        FailedGetExternalMetric,
        /// A metric's type is unknown.
        InvalidMetricSourceType,
        /// Neither rate nor range cut the answer.
        DesiredWithinRange,
        /// The minimum did.
        TooFewReplicas,
        /// The maximum did.
        TooManyReplicas,
        /// The rate of growing did.
        ScaleUpLimit,
        /// The rate of shrinking did.
        ScaleDownLimit,
    }
}

named! {
    /// Reason of an event.
    EventReason {
        /// The target's size was written.
        SuccessfulRescale,
        /// The target's size could not be written.
        FailedRescale,
        /// The target's size could not be read.
        FailedGetScale,
        /// No metric gave an answer.
        FailedComputeMetricsReplicas,
        /// The target has no selector.
        SelectorRequired,
        /// The target's selector cannot be read.
        InvalidSelector,
        /// Another autoscaler selects the same pods.
        AmbiguousSelector,
        /// The resource source failed.
        FailedGetResourceMetric,
        /// The container resource source failed.
        FailedGetContainerResourceMetric,
        /// The pods source failed.
        FailedGetPodsMetric,
        /// The object source failed.
        FailedGetObjectMetric,
        /// The external source failed.
        FailedGetExternalMetric,
        /// A metric's type is unknown.
        InvalidMetricSourceType,
    }
}

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Type.
    pub kind: ConditionType,
    /// `True` or `False`.
    pub status: bool,
    /// Reason.
    pub reason: ConditionReason,
    /// For a reader.
    pub message: String,
}

/// An event to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventNote {
    /// `Warning` rather than `Normal`.
    pub warning: bool,
    /// Reason.
    pub reason: EventReason,
    /// For a reader.
    pub message: String,
}

/// Conditions by type; the last one set counts, as in Kubernetes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Conditions(Vec<Condition>);

impl Conditions {
    pub(crate) fn set(
        &mut self,
        kind: ConditionType,
        status: bool,
        reason: ConditionReason,
        message: impl Into<String>,
    ) {
        let condition = Condition { kind, status, reason, message: message.into() };
        match self.0.iter_mut().find(|candidate| candidate.kind == kind) {
            Some(slot) => *slot = condition,
            None => self.0.push(condition),
        }
    }

    pub(crate) fn into_vec(self) -> Vec<Condition> {
        self.0
    }
}
