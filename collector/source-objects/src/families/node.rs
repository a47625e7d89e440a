//! `kube_node_*`

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::{Samples, amount, flag, text};

/// Samples of one Node.
pub fn node(node: &Node, samples: &mut Samples) {
    let object = &[("node", text(node.metadata.name.as_ref()))];
    samples.push_created("kube_node_created", object, &node.metadata);
    let spec = node.spec.clone().unwrap_or_default();
    let unschedulable = flag(spec.unschedulable == Some(true));
    samples.push("kube_node_spec_unschedulable", object, &[], unschedulable);
    for taint in spec.taints.unwrap_or_default() {
        let own = [
            ("key", taint.key.as_str()),
            ("value", text(taint.value.as_ref())),
            ("effect", taint.effect.as_str()),
        ];
        samples.push("kube_node_spec_taint", object, &own, 1.0);
    }
    let Some(status) = &node.status else { return };
    if let Some(info) = &status.node_info {
        let internal_ip = status
            .addresses
            .as_deref()
            .unwrap_or_default()
            .iter()
            .find(|address| address.type_ == "InternalIP")
            .map_or("", |address| address.address.as_str());
        let own = [
            ("kernel_version", info.kernel_version.as_str()),
            ("os_image", info.os_image.as_str()),
            ("container_runtime_version", info.container_runtime_version.as_str()),
            ("kubelet_version", info.kubelet_version.as_str()),
            ("system_uuid", info.system_uuid.as_str()),
            ("internal_ip", internal_ip),
            ("pod_cidr", text(spec.pod_cidr.as_ref())),
            ("provider_id", text(spec.provider_id.as_ref())),
        ];
        samples.push("kube_node_info", object, &own, 1.0);
    }
    amounts("kube_node_status_capacity", object, status.capacity.as_ref(), samples);
    amounts("kube_node_status_allocatable", object, status.allocatable.as_ref(), samples);
    for condition in status.conditions.as_deref().unwrap_or_default() {
        let name = "kube_node_status_condition";
        samples.push_condition(name, object, &condition.type_, &condition.status);
    }
}

fn amounts(
    name: &str,
    object: &[(&str, &str)],
    resources: Option<&BTreeMap<String, Quantity>>,
    samples: &mut Samples,
) {
    for (resource, quantity) in resources.into_iter().flatten() {
        if let Some((unit, value)) = amount(resource, quantity) {
            let label = resource.replace(['-', '.', '/'], "_");
            samples.push(name, object, &[("resource", &label), ("unit", unit)], value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::families::testing::check;

    #[test]
    fn amounts_are_in_base_units() {
        let object = json!({
            "metadata": {"name": "n1"},
            "status": {"allocatable": {"cpu": "1900m", "memory": "2Gi", "pods": "110"}},
        });
        check::<Node>(
            node,
            object,
            "kube_node_status_allocatable",
            &[
                r#"kube_node_status_allocatable{node="n1", resource="cpu", unit="core"} 1.9"#,
                r#"kube_node_status_allocatable{node="n1", resource="memory", unit="byte"} 2147483648"#,
                r#"kube_node_status_allocatable{node="n1", resource="pods", unit="integer"} 110"#,
            ],
        );
    }
}
