//! What a pod's spec and status amount to.

use k8s_openapi::api::core::v1::{Pod, PodSpec};
use swell_model::Quantity;

/// Whether the pod counts as a replica: not ended, not being deleted.
#[must_use]
pub fn pod_is_active(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    !matches!(phase, Some("Succeeded" | "Failed")) && pod.metadata.deletion_timestamp.is_none()
}

/// Whether the pod's Ready condition is true.
#[must_use]
pub fn pod_is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref());
    conditions
        .unwrap_or_default()
        .iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Quality of service class: `Guaranteed` when every container's CPU and memory requests equal its limits,
/// `BestEffort` when none asks for or is limited in either, otherwise `Burstable`.
#[must_use]
pub fn qos_class(spec: &PodSpec) -> &'static str {
    let (mut any, mut all_guaranteed) = (false, true);
    for container in spec.containers.iter().chain(spec.init_containers.iter().flatten()) {
        let resources = container.resources.clone().unwrap_or_default();
        let (requests, limits) =
            (resources.requests.unwrap_or_default(), resources.limits.unwrap_or_default());
        for resource in ["cpu", "memory"] {
            let positive = |amounts: &std::collections::BTreeMap<String, _>| {
                let amount: Option<&k8s_openapi::apimachinery::pkg::api::resource::Quantity> =
                    amounts.get(resource);
                amount
                    .and_then(|amount| Quantity::parse(&amount.0).ok())
                    .filter(|amount| amount.milli > 0)
            };
            let (request, limit) = (positive(&requests), positive(&limits));
            any |= request.is_some() || limit.is_some();
            all_guaranteed &=
                limit.is_some() && request.is_none_or(|request| Some(request) == limit);
        }
    }
    match (any, all_guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn qos_follows_requests_and_limits() {
        for (resources, expected) in [
            (json!({}), "BestEffort"),
            (json!({"requests": {"cpu": "100m"}}), "Burstable"),
            (json!({"limits": {"cpu": "1", "memory": "1Gi"}}), "Guaranteed"),
            (
                json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}),
                "Burstable",
            ),
            (json!({"limits": {"cpu": "1"}}), "Burstable"),
        ] {
            let spec = json!({"containers": [{"name": "c", "resources": resources}]});
            let spec: PodSpec = serde_json::from_value(spec).expect("a pod spec");
            assert_eq!(qos_class(&spec), expected);
        }
    }
}
