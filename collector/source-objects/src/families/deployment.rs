//! `kube_deployment_*`

use k8s_openapi::api::apps::v1::Deployment;

use super::{Samples, flag, generation, text};

/// Samples of one Deployment.
pub fn deployment(deployment: &Deployment, samples: &mut Samples) {
    let metadata = &deployment.metadata;
    let object = &[
        ("namespace", text(metadata.namespace.as_ref())),
        ("deployment", text(metadata.name.as_ref())),
    ];
    samples.push_created("kube_deployment_created", object, metadata);
    if let Some(number) = metadata.generation {
        samples.push("kube_deployment_metadata_generation", object, &[], generation(number));
    }
    if let Some(spec) = &deployment.spec {
        samples.push_count("kube_deployment_spec_replicas", object, spec.replicas);
        let paused = flag(spec.paused == Some(true));
        samples.push("kube_deployment_spec_paused", object, &[], paused);
    }
    let status = deployment.status.clone().unwrap_or_default();
    for (name, count) in [
        ("kube_deployment_status_replicas", status.replicas),
        ("kube_deployment_status_replicas_ready", status.ready_replicas),
        ("kube_deployment_status_replicas_available", status.available_replicas),
        ("kube_deployment_status_replicas_unavailable", status.unavailable_replicas),
        ("kube_deployment_status_replicas_updated", status.updated_replicas),
    ] {
        samples.push_count(name, object, Some(count.unwrap_or(0)));
    }
    if let Some(number) = status.observed_generation {
        samples.push("kube_deployment_status_observed_generation", object, &[], generation(number));
    }
    for condition in status.conditions.unwrap_or_default() {
        let name = "kube_deployment_status_condition";
        samples.push_condition(name, object, &condition.type_, &condition.status);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::families::testing::check;

    #[test]
    fn replicas_are_counted_and_conditions_have_three_states() {
        let object = json!({
            "metadata": {"name": "web", "namespace": "shop", "generation": 3},
            "spec": {"replicas": 4, "selector": {}, "template": {}},
            "status": {"readyReplicas": 2, "conditions": [{"type": "Available", "status": "True"}]},
        });
        for (name, expected) in [
            (
                "kube_deployment_spec_replicas",
                vec![r#"kube_deployment_spec_replicas{deployment="web", namespace="shop"} 4"#],
            ),
            (
                "kube_deployment_status_replicas_ready",
                vec![
                    r#"kube_deployment_status_replicas_ready{deployment="web", namespace="shop"} 2"#,
                ],
            ),
            (
                "kube_deployment_status_condition",
                vec![
                    r#"kube_deployment_status_condition{condition="Available", deployment="web", namespace="shop", status="true"} 1"#,
                    r#"kube_deployment_status_condition{condition="Available", deployment="web", namespace="shop", status="false"} 0"#,
                    r#"kube_deployment_status_condition{condition="Available", deployment="web", namespace="shop", status="unknown"} 0"#,
                ],
            ),
        ] {
            check::<Deployment>(deployment, object.clone(), name, &expected);
        }
    }
}
