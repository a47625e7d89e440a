//! Metrics, failures and rates in the words of Kubernetes' conditions and events.

use crate::behavior::{Behavior, ScalingRules};
use crate::condition::{ConditionReason, EventReason};
use crate::metric::{MetricError, MetricSource, MetricSpec, Target};

/// The event, the condition and the message of a metric that gives no answer.
pub(crate) fn failure(
    spec: &MetricSpec,
    error: &MetricError,
) -> (EventReason, ConditionReason, String) {
    let name = spec.source.metric_name();
    let error = match error {
        MetricError::Source(_) | MetricError::NoMetrics => match &spec.source {
            MetricSource::Resource(_) | MetricSource::ContainerResource(..) => {
                format!("unable to get metrics for resource {name}: {error}")
            }
            _ => format!("unable to get metric {name}: {error}"),
        },
        other => other.to_string(),
    };
    let resource_message = || match spec.target {
        Target::Utilization(_) => format!("failed to get {name} utilization: {error}"),
        _ => format!("failed to get {name} usage: {error}"),
    };
    match &spec.source {
        MetricSource::Resource(_) => (
            EventReason::FailedGetResourceMetric,
            ConditionReason::FailedGetResourceMetric,
            resource_message(),
        ),
        MetricSource::ContainerResource(..) => (
            EventReason::FailedGetContainerResourceMetric,
            ConditionReason::FailedGetContainerResourceMetric,
            resource_message(),
        ),
        MetricSource::Pods(_) => (
            EventReason::FailedGetPodsMetric,
            ConditionReason::FailedGetPodsMetric,
            format!("failed to get pods metric value: {error}"),
        ),
        MetricSource::Object { .. } => (
            EventReason::FailedGetObjectMetric,
            ConditionReason::FailedGetObjectMetric,
            format!("failed to get object metric value: {error}"),
        ),
        MetricSource::External(_) => (
            EventReason::FailedGetExternalMetric,
            ConditionReason::FailedGetExternalMetric,
            format!("failed to get {name} external metric value: {error}"),
        ),
        MetricSource::Unknown(_) => {
            (EventReason::InvalidMetricSourceType, ConditionReason::InvalidMetricSourceType, error)
        }
    }
}

/// A metric in the words of Kubernetes' events.
pub(crate) fn metric_words(spec: &MetricSpec) -> String {
    let name = spec.source.metric_name();
    let of_request = match spec.target {
        Target::Utilization(_) => " utilization (percentage of request)",
        _ => "",
    };
    match &spec.source {
        MetricSource::Resource(_) => format!("{name} resource{of_request}"),
        MetricSource::ContainerResource(..) => format!("{name} container resource{of_request}"),
        MetricSource::Pods(_) => format!("pods metric {name}"),
        MetricSource::Object { .. } => format!("{name} metric"),
        MetricSource::External(_) => format!("external metric {name}"),
        MetricSource::Unknown(kind) => kind.to_string(),
    }
}

/// The policies of one direction, `+4 or +100 % per 15 s`.
pub(crate) fn rate_words(behavior: Option<&Behavior>, growing: bool) -> String {
    let Some(behavior) = behavior else {
        return if growing { "to double, or four".to_owned() } else { "no limit".to_owned() };
    };
    let rules: &ScalingRules = if growing { &behavior.up } else { &behavior.down };
    rules.words(if growing { "+" } else { "−" })
}
