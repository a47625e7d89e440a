//! The status of a HorizontalPodAutoscaler.

use k8s_openapi::api::autoscaling::v2::{
    ContainerResourceMetricStatus, CrossVersionObjectReference, ExternalMetricStatus,
    HorizontalPodAutoscalerCondition, HorizontalPodAutoscalerStatus, MetricIdentifier,
    MetricStatus, MetricValueStatus, ObjectMetricStatus, PodsMetricStatus, ResourceMetricStatus,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use swell_decide::{Condition, Decision, MetricSource, MetricSpec, Signal, Target};
use swell_model::{Quantity, TimestampMs};

pub(super) fn time(at: TimestampMs) -> Time {
    Time(k8s_openapi::jiff::Timestamp::from_second(at.0.div_euclid(1000)).unwrap_or_default())
}

/// The status after a decision. `scaled` says that the target's size was just written.
pub(super) fn status_after(
    old: &HorizontalPodAutoscalerStatus,
    decision: &Decision,
    metrics: &[&MetricSpec],
    generation: Option<i64>,
    scaled: bool,
    now: TimestampMs,
) -> HorizontalPodAutoscalerStatus {
    let current_metrics: Vec<MetricStatus> = metrics
        .iter()
        .zip(&decision.signals)
        .filter_map(|(spec, signal)| metric_status(spec, signal))
        .collect();
    let kept = decision.signals.is_empty();
    HorizontalPodAutoscalerStatus {
        current_replicas: decision.from.or(old.current_replicas),
        desired_replicas: if decision.from.is_some() {
            decision.replicas
        } else {
            old.desired_replicas
        },
        last_scale_time: if scaled { Some(time(now)) } else { old.last_scale_time.clone() },
        current_metrics: if kept {
            old.current_metrics.clone()
        } else {
            (!current_metrics.is_empty()).then_some(current_metrics)
        },
        conditions: Some(conditions_after(old, &decision.conditions, now)),
        observed_generation: generation,
    }
}

/// Conditions that were not judged in this pass stay as they are.
fn conditions_after(
    old: &HorizontalPodAutoscalerStatus,
    new: &[Condition],
    now: TimestampMs,
) -> Vec<HorizontalPodAutoscalerCondition> {
    let mut conditions = old.conditions.clone().unwrap_or_default();
    for condition in new {
        let status = if condition.status { "True" } else { "False" };
        let fresh = HorizontalPodAutoscalerCondition {
            type_: condition.kind.name().to_owned(),
            status: status.to_owned(),
            reason: Some(condition.reason.name().to_owned()),
            message: Some(condition.message.clone()),
            last_transition_time: Some(time(now)),
        };
        match conditions.iter_mut().find(|known| known.type_ == fresh.type_) {
            Some(known) => {
                let since = known.last_transition_time.clone().filter(|_| known.status == status);
                *known = HorizontalPodAutoscalerCondition {
                    last_transition_time: since.or(fresh.last_transition_time),
                    ..fresh
                };
            }
            None => conditions.push(fresh),
        }
    }
    conditions
}

fn quantity(milli: i64) -> ApiQuantity {
    ApiQuantity(Quantity { milli }.to_string())
}

fn metric_status(spec: &MetricSpec, signal: &Signal) -> Option<MetricStatus> {
    let milli = signal.milli?;
    let current = MetricValueStatus {
        average_utilization: signal
            .utilization
            .map(|percent| i32::try_from(percent).unwrap_or(i32::MAX)),
        average_value: (!matches!(spec.target, Target::Value(_))).then(|| quantity(milli)),
        value: matches!(spec.target, Target::Value(_)).then(|| quantity(milli)),
    };
    let identifier = |name: &str| MetricIdentifier { name: name.to_owned(), selector: None };
    let mut status =
        MetricStatus { type_: spec.source.type_name().to_owned(), ..MetricStatus::default() };
    match &spec.source {
        MetricSource::Resource(resource) => {
            status.resource =
                Some(ResourceMetricStatus { name: resource.name().to_owned(), current });
        }
        MetricSource::ContainerResource(resource, container) => {
            status.container_resource = Some(ContainerResourceMetricStatus {
                name: resource.name().to_owned(),
                container: container.to_string(),
                current,
            });
        }
        MetricSource::Pods(metric) => {
            status.pods = Some(PodsMetricStatus { metric: identifier(metric), current });
        }
        MetricSource::Object { metric, described } => {
            let (kind, name) = described.split_once('/').unwrap_or(("", described));
            status.object = Some(ObjectMetricStatus {
                metric: identifier(metric),
                described_object: CrossVersionObjectReference {
                    api_version: None,
                    kind: kind.to_owned(),
                    name: name.to_owned(),
                },
                current,
            });
        }
        MetricSource::External(metric) => {
            status.external = Some(ExternalMetricStatus { metric: identifier(metric), current });
        }
        MetricSource::Unknown(_) => return None,
    }
    Some(status)
}

/// Whether two statuses differ in more than what was measured.
pub(super) fn differs_in_substance(
    one: &HorizontalPodAutoscalerStatus,
    other: &HorizontalPodAutoscalerStatus,
) -> bool {
    let essence = |status: &HorizontalPodAutoscalerStatus| {
        let mut status = status.clone();
        status.current_metrics = None;
        status
    };
    essence(one) != essence(other)
}

/// Whether a percentage moved enough to be worth a write of its own.
pub(super) fn moved_visibly(
    one: &HorizontalPodAutoscalerStatus,
    other: &HorizontalPodAutoscalerStatus,
    points: i32,
) -> bool {
    let percents = |status: &HorizontalPodAutoscalerStatus| -> Vec<Option<i32>> {
        let metrics = status.current_metrics.iter().flatten();
        metrics
            .map(|metric| {
                let plain = metric.resource.as_ref().map(|metric| &metric.current);
                let container = metric.container_resource.as_ref().map(|metric| &metric.current);
                plain.or(container).and_then(|current| current.average_utilization)
            })
            .collect()
    };
    let (before, after) = (percents(one), percents(other));
    before.len() != after.len()
        || before.iter().zip(&after).any(|pair| match pair {
            (Some(before), Some(after)) => before.abs_diff(*after) >= points.unsigned_abs(),
            (None, None) => false,
            _ => true,
        })
}
