//! A HorizontalPodAutoscaler object into what the decision understands.

use std::collections::BTreeMap;

use k8s_openapi::api::autoscaling::v2::{
    HPAScalingRules, HorizontalPodAutoscaler, HorizontalPodAutoscalerBehavior, MetricIdentifier,
    MetricSpec as ApiMetric, MetricTarget,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use swell_api_types::LabelSelector;
use swell_decide::{
    Behavior, MetricSource, MetricSpec, ObjectName, PodScaleSpec, Policy, PolicyUnit, Resource,
    ScalingRules, SelectPolicy, Target,
};
use swell_model::{DurationMs, Quantity};

use crate::config::Config;

/// How long after its start a pod's CPU counts only with care.
const CPU_INITIALIZATION: &str = "swell.dev/cpu-initialization-period";
/// A pod that turned unready later than this after its start has been ready before.
const READINESS_DELAY: &str = "swell.dev/initial-readiness-delay";
/// Window of shrinking for a policy without `behavior`.
const DOWN_WINDOW: &str = "swell.dev/downscale-stabilization";

/// A policy as the loop uses it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ParsedPolicy {
    pub(super) spec: PodScaleSpec,
    pub(super) metrics: Vec<WantedMetric>,
    pub(super) target: ObjectName,
    /// Annotations that cannot be read; what they would tune keeps its default.
    pub(super) faults: Vec<String>,
}

/// A metric and how its series are narrowed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct WantedMetric {
    pub(super) spec: MetricSpec,
    /// Label selector in its text form.
    pub(super) selector: String,
}

pub(super) fn translate(hpa: &HorizontalPodAutoscaler, config: &Config) -> ParsedPolicy {
    let spec = hpa.spec.clone().unwrap_or_default();
    let mut faults = Vec::new();
    let mut start = config.start;
    let mut down_window = config.down_window;
    let annotations = hpa.metadata.annotations.clone().unwrap_or_default();
    let mut tune = |name: &str, slot: &mut DurationMs| {
        if let Some(text) = annotations.get(name) {
            match DurationMs::parse_prometheus(text) {
                Ok(span) => *slot = span,
                Err(error) => faults.push(format!("annotation {name} is ignored: {error}")),
            }
        }
    };
    tune(CPU_INITIALIZATION, &mut start.cpu_initialization_period);
    tune(READINESS_DELAY, &mut start.initial_readiness_delay);
    tune(DOWN_WINDOW, &mut down_window);
    let mut tolerance = config.tolerance;
    let own_ppm = |rules: &Option<HPAScalingRules>| {
        let text = &rules.as_ref()?.tolerance.as_ref()?.0;
        Quantity::parse(text).ok().map(|quantity| quantity.milli.saturating_mul(1000))
    };
    if let Some(behavior) = &spec.behavior {
        tolerance.up_ppm = own_ppm(&behavior.scale_up).unwrap_or(tolerance.up_ppm);
        tolerance.down_ppm = own_ppm(&behavior.scale_down).unwrap_or(tolerance.down_ppm);
    }
    let target = spec.scale_target_ref;
    ParsedPolicy {
        metrics: spec.metrics.iter().flatten().map(metric).collect(),
        target: ObjectName {
            kind: target.kind,
            namespace: hpa.metadata.namespace.clone().unwrap_or_default(),
            name: target.name,
        },
        spec: PodScaleSpec {
            min_replicas: spec.min_replicas.unwrap_or(1),
            max_replicas: spec.max_replicas,
            behavior: spec.behavior.as_ref().map(|given| behavior(given, down_window)),
            down_window,
            tolerance,
            start,
        },
        faults,
    }
}

fn behavior(given: &HorizontalPodAutoscalerBehavior, down_window: DurationMs) -> Behavior {
    Behavior {
        up: rules(given.scale_up.as_ref(), ScalingRules::default_up()),
        down: rules(given.scale_down.as_ref(), ScalingRules::default_down(down_window)),
    }
}

fn rules(given: Option<&HPAScalingRules>, default: ScalingRules) -> ScalingRules {
    let Some(given) = given else { return default };
    let policies: Vec<Policy> = given
        .policies
        .iter()
        .flatten()
        .map(|policy| Policy {
            unit: if policy.type_ == "Percent" { PolicyUnit::Percent } else { PolicyUnit::Pods },
            value: policy.value,
            period: DurationMs::from_secs(policy.period_seconds.into()),
        })
        .collect();
    ScalingRules {
        window: given
            .stabilization_window_seconds
            .map_or(default.window, |seconds| DurationMs::from_secs(seconds.into())),
        select: match given.select_policy.as_deref() {
            Some("Min") => SelectPolicy::Min,
            Some("Disabled") => SelectPolicy::Disabled,
            _ => SelectPolicy::Max,
        },
        policies: if policies.is_empty() { default.policies } else { policies },
    }
}

fn metric(given: &ApiMetric) -> WantedMetric {
    let plain = |source, target: &MetricTarget| WantedMetric {
        spec: MetricSpec { source, target: target_of(target) },
        selector: String::new(),
    };
    let named = |source, identifier: &MetricIdentifier, target: &MetricTarget| WantedMetric {
        selector: selector_text(identifier),
        ..plain(source, target)
    };
    match given.type_.as_str() {
        "Resource" if given.resource.is_some() => {
            let metric = given.resource.clone().unwrap_or_default();
            plain(MetricSource::Resource(Resource::from_name(&metric.name)), &metric.target)
        }
        "ContainerResource" if given.container_resource.is_some() => {
            let metric = given.container_resource.clone().unwrap_or_default();
            let resource = Resource::from_name(&metric.name);
            let source =
                MetricSource::ContainerResource(resource, metric.container.as_str().into());
            plain(source, &metric.target)
        }
        "Pods" if given.pods.is_some() => {
            let metric = given.pods.clone().unwrap_or_default();
            let source = MetricSource::Pods(metric.metric.name.as_str().into());
            named(source, &metric.metric, &metric.target)
        }
        "Object" if given.object.is_some() => {
            let metric = given.object.clone().unwrap_or_default();
            let object = &metric.described_object;
            let source = MetricSource::Object {
                metric: metric.metric.name.as_str().into(),
                described: format!("{}/{}", object.kind, object.name).into(),
            };
            named(source, &metric.metric, &metric.target)
        }
        "External" if given.external.is_some() => {
            let metric = given.external.clone().unwrap_or_default();
            let source = MetricSource::External(metric.metric.name.as_str().into());
            named(source, &metric.metric, &metric.target)
        }
        other => plain(MetricSource::Unknown(other.into()), &MetricTarget::default()),
    }
}

fn selector_text(identifier: &MetricIdentifier) -> String {
    let selector = identifier.selector.as_ref();
    // Admission refuses selectors that cannot be read.
    selector
        .and_then(|selector| LabelSelector::from_spec(selector).ok())
        .map(|selector| selector.to_string())
        .unwrap_or_default()
}

fn target_of(target: &MetricTarget) -> Target {
    let milli = |quantity: &Option<ApiQuantity>| {
        let text = quantity.as_ref().map(|quantity| quantity.0.as_str());
        text.and_then(|text| Quantity::parse(text).ok()).map_or(0, |quantity| quantity.milli)
    };
    match target.type_.as_str() {
        "AverageValue" => Target::AverageValue(milli(&target.average_value)),
        "Value" => Target::Value(milli(&target.value)),
        _ => Target::Utilization(target.average_utilization.unwrap_or(0).into()),
    }
}

/// Requests in thousandths by resource; what is no quantity counts as absent.
pub(super) fn requests_milli(
    requests: Option<&BTreeMap<String, ApiQuantity>>,
) -> BTreeMap<Resource, i64> {
    requests
        .into_iter()
        .flatten()
        .filter_map(|(name, text)| {
            Some((Resource::from_name(name), Quantity::parse(&text.0).ok()?.milli))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use swell_decide::StartRules;

    use super::*;

    fn check(spec: serde_json::Value, annotations: serde_json::Value) -> ParsedPolicy {
        let hpa = json!({"metadata": {"name": "web", "namespace": "demo", "annotations": annotations}, "spec": spec});
        let hpa = serde_json::from_value(hpa).expect("an autoscaler");
        translate(&hpa, &Config::new("journal".into()))
    }

    #[test]
    fn an_autoscaler_without_behavior_takes_the_defaults() {
        let policy = check(
            json!({"maxReplicas": 6, "scaleTargetRef": {"kind": "Deployment", "name": "web"},
                "metrics": [{"type": "Resource", "resource": {"name": "cpu",
                    "target": {"type": "Utilization", "averageUtilization": 50}}}]}),
            json!({}),
        );
        assert_eq!((policy.spec.min_replicas, policy.spec.max_replicas), (1, 6));
        assert_eq!(policy.spec.behavior, None);
        assert_eq!(policy.spec.start, StartRules::DEFAULT);
        assert_eq!(policy.metrics[0].spec.target, Target::Utilization(50));
        assert_eq!(policy.metrics[0].spec.source, MetricSource::Resource(Resource::Cpu));
        assert_eq!(policy.target.namespace, "demo");
    }

    #[test]
    fn behavior_annotations_and_selectors_are_read() {
        let policy = check(
            json!({"minReplicas": 2, "maxReplicas": 6, "scaleTargetRef": {"kind": "Deployment", "name": "web"},
                "behavior": {"scaleDown": {"stabilizationWindowSeconds": 8, "tolerance": "50m",
                    "selectPolicy": "Min", "policies": [{"type": "Percent", "value": 50, "periodSeconds": 5}]}},
                "metrics": [{"type": "External", "external": {
                    "metric": {"name": "lag", "selector": {"matchLabels": {"queue": "a"}}},
                    "target": {"type": "AverageValue", "averageValue": "1500m"}}},
                    {"type": "CheddarCheese"}]}),
            json!({"swell.dev/cpu-initialization-period": "10s", "swell.dev/initial-readiness-delay": "soon"}),
        );
        let behavior = policy.spec.behavior.expect("a behavior");
        assert_eq!(behavior.up, ScalingRules::default_up());
        assert_eq!(behavior.down.window, DurationMs(8000));
        assert_eq!(behavior.down.select, SelectPolicy::Min);
        assert_eq!(behavior.down.policies[0].unit, PolicyUnit::Percent);
        assert_eq!(
            (policy.spec.tolerance.up_ppm, policy.spec.tolerance.down_ppm),
            (100_000, 50_000)
        );
        assert_eq!(policy.spec.start.cpu_initialization_period, DurationMs(10_000));
        assert_eq!(policy.faults.len(), 1);
        assert_eq!(policy.metrics[0].selector, "queue=a");
        assert_eq!(policy.metrics[0].spec.target, Target::AverageValue(1500));
        assert_eq!(policy.metrics[1].spec.source, MetricSource::Unknown("CheddarCheese".into()));
    }
}
