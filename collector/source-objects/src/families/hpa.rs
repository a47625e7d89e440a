//! `kube_horizontalpodautoscaler_*`

use k8s_openapi::api::autoscaling::v2::{HorizontalPodAutoscaler, MetricTarget, MetricValueStatus};

use super::{Samples, amount, generation, text};

/// Samples of one HorizontalPodAutoscaler.
pub fn horizontal_pod_autoscaler(hpa: &HorizontalPodAutoscaler, samples: &mut Samples) {
    let metadata = &hpa.metadata;
    let object = &[
        ("namespace", text(metadata.namespace.as_ref())),
        ("horizontalpodautoscaler", text(metadata.name.as_ref())),
    ];
    samples.push_created("kube_horizontalpodautoscaler_created", object, metadata);
    if let Some(number) = metadata.generation {
        let name = "kube_horizontalpodautoscaler_metadata_generation";
        samples.push(name, object, &[], generation(number));
    }
    if let Some(spec) = &hpa.spec {
        let target = &spec.scale_target_ref;
        let own = [
            ("scaletargetref_api_version", text(target.api_version.as_ref())),
            ("scaletargetref_kind", target.kind.as_str()),
            ("scaletargetref_name", target.name.as_str()),
        ];
        samples.push("kube_horizontalpodautoscaler_info", object, &own, 1.0);
        let (min, max) = (Some(spec.min_replicas.unwrap_or(1)), Some(spec.max_replicas));
        samples.push_count("kube_horizontalpodautoscaler_spec_min_replicas", object, min);
        samples.push_count("kube_horizontalpodautoscaler_spec_max_replicas", object, max);
        for metric in spec.metrics.as_deref().unwrap_or_default() {
            if let Some(source) = &metric.resource {
                spec_target(object, "", &source.name, &source.target, samples);
            }
            if let Some(source) = &metric.container_resource {
                spec_target(object, &source.container, &source.name, &source.target, samples);
            }
        }
    }
    let Some(status) = &hpa.status else { return };
    let current = Some(status.current_replicas.unwrap_or(0));
    samples.push_count("kube_horizontalpodautoscaler_status_current_replicas", object, current);
    let desired = Some(status.desired_replicas);
    samples.push_count("kube_horizontalpodautoscaler_status_desired_replicas", object, desired);
    for condition in status.conditions.as_deref().unwrap_or_default() {
        let name = "kube_horizontalpodautoscaler_status_condition";
        samples.push_condition(name, object, &condition.type_, &condition.status);
    }
    for metric in status.current_metrics.as_deref().unwrap_or_default() {
        if let Some(source) = &metric.resource {
            status_target(object, "", &source.name, &source.current, samples);
        }
        if let Some(source) = &metric.container_resource {
            status_target(object, &source.container, &source.name, &source.current, samples);
        }
    }
}

fn spec_target(
    object: &[(&str, &str)],
    container: &str,
    metric: &str,
    target: &MetricTarget,
    samples: &mut Samples,
) {
    let value = match target.type_.as_str() {
        "Utilization" => target.average_utilization.map(f64::from),
        "AverageValue" => {
            target.average_value.as_ref().and_then(|value| amount(metric, value)).map(|a| a.1)
        }
        _ => target.value.as_ref().and_then(|value| amount(metric, value)).map(|amount| amount.1),
    };
    push_target(
        "kube_horizontalpodautoscaler_spec_target_metric",
        object,
        container,
        metric,
        &target.type_,
        value,
        samples,
    );
}

fn status_target(
    object: &[(&str, &str)],
    container: &str,
    metric: &str,
    current: &MetricValueStatus,
    samples: &mut Samples,
) {
    let name = "kube_horizontalpodautoscaler_status_target_metric";
    let utilization = current.average_utilization.map(f64::from);
    push_target(name, object, container, metric, "utilization", utilization, samples);
    let average =
        current.average_value.as_ref().and_then(|value| amount(metric, value)).map(|a| a.1);
    push_target(name, object, container, metric, "average", average, samples);
}

fn push_target(
    name: &str,
    object: &[(&str, &str)],
    container: &str,
    metric: &str,
    target_type: &str,
    value: Option<f64>,
    samples: &mut Samples,
) {
    let Some(value) = value else { return };
    let target_type = match target_type {
        "Utilization" => "utilization",
        "AverageValue" => "average",
        "Value" => "value",
        other => other,
    };
    let own =
        [("container", container), ("metric_name", metric), ("metric_target_type", target_type)];
    samples.push(name, object, &own, value);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::families::testing::check;

    #[test]
    fn target_and_current_value_are_series() {
        let object = json!({
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
                "maxReplicas": 6,
                "metrics": [{"type": "Resource", "resource":
                    {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}],
            },
            "status": {"desiredReplicas": 3, "currentMetrics": [{"type": "Resource", "resource":
                {"name": "cpu", "current": {"averageUtilization": 71, "averageValue": "142m"}}}]},
        });
        let check = |name, expected: &[&str]| {
            check::<HorizontalPodAutoscaler>(
                horizontal_pod_autoscaler,
                object.clone(),
                name,
                expected,
            );
        };
        check(
            "kube_horizontalpodautoscaler_spec_target_metric",
            &[
                r#"kube_horizontalpodautoscaler_spec_target_metric{horizontalpodautoscaler="web", metric_name="cpu", metric_target_type="utilization", namespace="shop"} 50"#,
            ],
        );
        check(
            "kube_horizontalpodautoscaler_status_target_metric",
            &[
                r#"kube_horizontalpodautoscaler_status_target_metric{horizontalpodautoscaler="web", metric_name="cpu", metric_target_type="utilization", namespace="shop"} 71"#,
                r#"kube_horizontalpodautoscaler_status_target_metric{horizontalpodautoscaler="web", metric_name="cpu", metric_target_type="average", namespace="shop"} 0.142"#,
            ],
        );
        check(
            "kube_horizontalpodautoscaler_spec_min_replicas",
            &[
                r#"kube_horizontalpodautoscaler_spec_min_replicas{horizontalpodautoscaler="web", namespace="shop"} 1"#,
            ],
        );
    }
}
