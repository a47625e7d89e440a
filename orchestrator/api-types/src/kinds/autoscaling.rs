//! Horizontal pod autoscalers: version 2 is stored, version 1 is a view of it.

use k8s_openapi::api::autoscaling::v2::{
    CrossVersionObjectReference, HPAScalingPolicy, HPAScalingRules, HorizontalPodAutoscaler,
    HorizontalPodAutoscalerBehavior, MetricSpec, MetricTarget, ResourceMetricSource,
};
use serde_json::{Map, Value, json};

use super::PrepareError;
use super::meta::{self, NameForm};
use super::missing;
use crate::fault::{FieldFault, Path};
use swell_model::Quantity;

type Faults = Vec<FieldFault>;

/// Where version 1 keeps what it has no fields for.
const METRICS_ANNOTATION: &str = "autoscaling.alpha.kubernetes.io/metrics";
const BEHAVIOR_ANNOTATION: &str = "autoscaling.alpha.kubernetes.io/behavior";
const CONDITIONS_ANNOTATION: &str = "autoscaling.alpha.kubernetes.io/conditions";
const CURRENT_METRICS_ANNOTATION: &str = "autoscaling.alpha.kubernetes.io/current-metrics";

/// CPU utilization that an autoscaler without metrics aims at.
const CPU_UTILIZATION_PERCENT: i32 = 80;
const STABILIZATION_WINDOW_MAX_S: i32 = 3600;
const POLICY_PERIOD_MAX_S: i32 = 1800;
const METRIC_TYPES: &[&str] = &["ContainerResource", "External", "Object", "Pods", "Resource"];
const TARGET_TYPES: &[&str] = &["AverageValue", "Utilization", "Value"];

pub(crate) fn default(hpa: &mut HorizontalPodAutoscaler) {
    let spec = hpa.spec.get_or_insert_default();
    spec.min_replicas.get_or_insert(1);
    if spec.metrics.as_ref().is_none_or(Vec::is_empty) {
        let target = MetricTarget {
            type_: "Utilization".to_owned(),
            average_utilization: Some(CPU_UTILIZATION_PERCENT),
            ..MetricTarget::default()
        };
        spec.metrics = Some(vec![MetricSpec {
            type_: "Resource".to_owned(),
            resource: Some(ResourceMetricSource { name: "cpu".to_owned(), target }),
            ..MetricSpec::default()
        }]);
    }
    if let Some(behavior) = &mut spec.behavior {
        default_behavior(behavior);
    }
    hpa.status.get_or_insert_default();
}

fn default_behavior(behavior: &mut HorizontalPodAutoscalerBehavior) {
    let policy = |type_: &str, value| HPAScalingPolicy {
        type_: type_.to_owned(),
        value,
        period_seconds: 15,
    };
    let up = behavior.scale_up.get_or_insert_default();
    up.stabilization_window_seconds.get_or_insert(0);
    up.select_policy.get_or_insert_with(|| "Max".to_owned());
    up.policies.get_or_insert_with(|| vec![policy("Pods", 4), policy("Percent", 100)]);
    let down = behavior.scale_down.get_or_insert_default();
    down.select_policy.get_or_insert_with(|| "Max".to_owned());
    down.policies.get_or_insert_with(|| vec![policy("Percent", 100)]);
}

pub(crate) fn validate(
    hpa: &HorizontalPodAutoscaler,
    old: Option<&HorizontalPodAutoscaler>,
    faults: &mut Faults,
) {
    meta::validate(&hpa.metadata, old.map(|old| &old.metadata), NameForm::Subdomain, faults);
    let path = Path::new("spec");
    let Some(spec) = &hpa.spec else {
        faults.push(path.required(""));
        return;
    };
    let min = spec.min_replicas.unwrap_or(1);
    if min < 1 {
        let path = path.field("minReplicas");
        faults.push(path.invalid(min, "must be greater than or equal to 1"));
    }
    let max_path = path.field("maxReplicas");
    if spec.max_replicas < 1 {
        faults.push(max_path.invalid(spec.max_replicas, "must be greater than 0"));
    }
    if spec.max_replicas < min {
        faults.push(
            max_path.invalid(spec.max_replicas, "must be greater than or equal to `minReplicas`"),
        );
    }
    validate_reference(&spec.scale_target_ref, &path.field("scaleTargetRef"), faults);
    for (idx, metric) in spec.metrics.iter().flatten().enumerate() {
        validate_metric(metric, &path.field("metrics").index(idx), faults);
    }
    if let Some(behavior) = &spec.behavior {
        let path = path.field("behavior");
        for (name, rules) in [("scaleUp", &behavior.scale_up), ("scaleDown", &behavior.scale_down)]
        {
            if let Some(rules) = rules {
                validate_rules(rules, &path.field(name), faults);
            }
        }
    }
}

fn validate_reference(target: &CrossVersionObjectReference, path: &Path, faults: &mut Faults) {
    for (name, value) in [("kind", &target.kind), ("name", &target.name)] {
        if missing(value) {
            faults.push(path.field(name).required(""));
        } else if value.contains('/') || value.contains('%') {
            faults.push(path.field(name).invalid(value.as_str(), "may not contain '/' or '%'"));
        }
    }
}

/// Type, field and, if the field is set, name and target of a source of metrics.
type MetricSource<'m> = (&'m str, &'m str, Option<(&'m str, &'m MetricTarget)>);

fn validate_metric(metric: &MetricSpec, path: &Path, faults: &mut Faults) {
    if missing(&metric.type_) {
        faults.push(path.field("type").required("must specify a metric source type"));
        return;
    }
    if !METRIC_TYPES.contains(&metric.type_.as_str()) {
        faults.push(path.field("type").not_supported(&metric.type_, METRIC_TYPES));
        return;
    }
    let sources: [MetricSource<'_>; 5] = [
        (
            "Resource",
            "resource",
            metric.resource.as_ref().map(|source| (source.name.as_str(), &source.target)),
        ),
        (
            "ContainerResource",
            "containerResource",
            metric.container_resource.as_ref().map(|source| (source.name.as_str(), &source.target)),
        ),
        (
            "Pods",
            "pods",
            metric.pods.as_ref().map(|source| (source.metric.name.as_str(), &source.target)),
        ),
        (
            "Object",
            "object",
            metric.object.as_ref().map(|source| (source.metric.name.as_str(), &source.target)),
        ),
        (
            "External",
            "external",
            metric.external.as_ref().map(|source| (source.metric.name.as_str(), &source.target)),
        ),
    ];
    for (type_, field, source) in sources {
        let path = path.field(field);
        match (type_ == metric.type_, source) {
            (true, None) => {
                faults.push(path.required("must populate information for the given metric source"))
            }
            (true, Some((name, target))) => {
                if missing(name) {
                    let name_path = if type_ == "Resource" || type_ == "ContainerResource" {
                        path.field("name")
                    } else {
                        path.field("metric").field("name")
                    };
                    faults.push(name_path.required("must specify a metric name"));
                }
                validate_target(target, &path.field("target"), faults);
            }
            (false, Some(_)) => {
                faults.push(path.forbidden("must populate the given metric source only"))
            }
            (false, None) => {}
        }
    }
    if let Some(source) = &metric.container_resource
        && missing(&source.container)
    {
        faults.push(
            path.field("containerResource").field("container").required("must specify a container"),
        );
    }
    if let Some(source) = &metric.object {
        let described = &source.described_object;
        let path = path.field("object").field("describedObject");
        for (name, value) in [("kind", &described.kind), ("name", &described.name)] {
            if missing(value) {
                faults.push(path.field(name).required(""));
            }
        }
    }
}

fn validate_target(target: &MetricTarget, path: &Path, faults: &mut Faults) {
    if missing(&target.type_) {
        faults.push(path.field("type").required("must specify a metric target type"));
    } else if !TARGET_TYPES.contains(&target.type_.as_str()) {
        faults.push(path.field("type").not_supported(&target.type_, TARGET_TYPES));
    }
    if let Some(percent) = target.average_utilization
        && percent < 1
    {
        faults.push(path.field("averageUtilization").invalid(percent, "must be greater than 0"));
    }
    for (name, amount) in [("value", &target.value), ("averageValue", &target.average_value)] {
        if let Some(amount) = amount
            && Quantity::parse(&amount.0).is_ok_and(|amount| amount.milli <= 0)
        {
            faults.push(path.field(name).invalid(amount.0.as_str(), "must be positive"));
        }
    }
    if target.average_utilization.is_none()
        && target.value.is_none()
        && target.average_value.is_none()
    {
        let field = match target.type_.as_str() {
            "Utilization" => "averageUtilization",
            "AverageValue" => "averageValue",
            _ => "value",
        };
        faults.push(
            path.field(field)
                .required("must set either a target raw value or a target utilization"),
        );
    }
}

fn validate_rules(rules: &HPAScalingRules, path: &Path, faults: &mut Faults) {
    if let Some(window) = rules.stabilization_window_seconds
        && !(0..=STABILIZATION_WINDOW_MAX_S).contains(&window)
    {
        let detail = format!("must be between 0 and {STABILIZATION_WINDOW_MAX_S}, inclusive");
        faults.push(path.field("stabilizationWindowSeconds").invalid(window, detail));
    }
    if let Some(select) = rules.select_policy.as_deref()
        && !["Disabled", "Max", "Min"].contains(&select)
    {
        faults.push(path.field("selectPolicy").not_supported(select, &["Disabled", "Max", "Min"]));
    }
    let policies = rules.policies.as_deref().unwrap_or_default();
    if policies.is_empty() {
        faults.push(path.field("policies").required("must specify at least one Policy"));
    }
    for (idx, policy) in policies.iter().enumerate() {
        let path = path.field("policies").index(idx);
        if !["Percent", "Pods"].contains(&policy.type_.as_str()) {
            faults.push(path.field("type").not_supported(&policy.type_, &["Percent", "Pods"]));
        }
        if policy.value <= 0 {
            faults.push(path.field("value").invalid(policy.value, "must be greater than zero"));
        }
        if policy.period_seconds <= 0 {
            faults.push(
                path.field("periodSeconds")
                    .invalid(policy.period_seconds, "must be greater than zero"),
            );
        } else if policy.period_seconds > POLICY_PERIOD_MAX_S {
            let detail = format!("must be less than or equal to {POLICY_PERIOD_MAX_S}");
            faults.push(path.field("periodSeconds").invalid(policy.period_seconds, detail));
        }
    }
}

/// Rewrites a version 1 autoscaler as version 2. What version 1 carries in annotations becomes fields.
///
/// # Errors
/// [`PrepareError::Shape`] when an annotation that version 1 uses for fields is no JSON.
pub fn hpa_v2_from_v1(mut object: Value) -> Result<Value, PrepareError> {
    let mut metrics = Vec::new();
    if let Some(percent) = take(&mut object, "spec", "targetCPUUtilizationPercentage") {
        metrics.push(json!({"type": "Resource", "resource": {
            "name": "cpu", "target": {"type": "Utilization", "averageUtilization": percent}}}));
    }
    if let Some(Value::Array(further)) = take_annotation(&mut object, METRICS_ANNOTATION)? {
        metrics.extend(further);
    }
    if let Some(behavior) = take_annotation(&mut object, BEHAVIOR_ANNOTATION)? {
        object["spec"]["behavior"] = behavior;
    }
    if !metrics.is_empty() {
        object["spec"]["metrics"] = Value::Array(metrics);
    }
    let mut current = Vec::new();
    if let Some(percent) = take(&mut object, "status", "currentCPUUtilizationPercentage") {
        current.push(json!({"type": "Resource", "resource": {
            "name": "cpu", "current": {"averageUtilization": percent}}}));
    }
    if let Some(Value::Array(further)) = take_annotation(&mut object, CURRENT_METRICS_ANNOTATION)? {
        current.extend(further);
    }
    if !current.is_empty() {
        object["status"]["currentMetrics"] = Value::Array(current);
    }
    if let Some(conditions) = take_annotation(&mut object, CONDITIONS_ANNOTATION)? {
        object["status"]["conditions"] = conditions;
    }
    object["apiVersion"] = json!("autoscaling/v2");
    Ok(object)
}

/// Rewrites a version 2 autoscaler as version 1, the inverse of [`hpa_v2_from_v1`].
#[must_use]
pub fn hpa_v1_from_v2(mut object: Value) -> Value {
    let is_cpu_utilization = |metric: &Value, part: &str| {
        metric["resource"]["name"] == "cpu"
            && metric["resource"][part]["averageUtilization"].is_i64()
    };
    if let Some(Value::Array(mut metrics)) = take(&mut object, "spec", "metrics") {
        if let Some(at) = metrics.iter().position(|metric| is_cpu_utilization(metric, "target")) {
            let cpu = metrics.remove(at);
            object["spec"]["targetCPUUtilizationPercentage"] =
                cpu["resource"]["target"]["averageUtilization"].clone();
        }
        put_annotation(&mut object, METRICS_ANNOTATION, metrics);
    }
    if let Some(behavior) = take(&mut object, "spec", "behavior") {
        put_annotation_value(&mut object, BEHAVIOR_ANNOTATION, &behavior);
    }
    if let Some(Value::Array(mut current)) = take(&mut object, "status", "currentMetrics") {
        if let Some(at) = current.iter().position(|metric| is_cpu_utilization(metric, "current")) {
            let cpu = current.remove(at);
            object["status"]["currentCPUUtilizationPercentage"] =
                cpu["resource"]["current"]["averageUtilization"].clone();
        }
        put_annotation(&mut object, CURRENT_METRICS_ANNOTATION, current);
    }
    if let Some(Value::Array(conditions)) = take(&mut object, "status", "conditions") {
        put_annotation(&mut object, CONDITIONS_ANNOTATION, conditions);
    }
    object["apiVersion"] = json!("autoscaling/v1");
    object
}

fn take(object: &mut Value, part: &str, field: &str) -> Option<Value> {
    object.get_mut(part)?.as_object_mut()?.remove(field)
}

fn take_annotation(object: &mut Value, name: &str) -> Result<Option<Value>, PrepareError> {
    let metadata = object.get_mut("metadata").and_then(Value::as_object_mut);
    let Some(annotations) = metadata
        .and_then(|metadata| metadata.get_mut("annotations"))
        .and_then(Value::as_object_mut)
    else {
        return Ok(None);
    };
    match annotations.remove(name) {
        Some(Value::String(text)) => {
            serde_json::from_str(&text).map(Some).map_err(PrepareError::Shape)
        }
        _ => Ok(None),
    }
}

fn put_annotation(object: &mut Value, name: &str, items: Vec<Value>) {
    if !items.is_empty() {
        put_annotation_value(object, name, &Value::Array(items));
    }
}

fn put_annotation_value(object: &mut Value, name: &str, value: &Value) {
    let annotations = &mut object["metadata"]["annotations"];
    if annotations.is_null() {
        *annotations = Value::Object(Map::new());
    }
    annotations[name] = Value::String(value.to_string());
}
