//! API objects into the scheduler's terms.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Node, NodeSelectorRequirement, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use swell_client::ObjectKey;
use swell_model::Quantity;
use swell_reconcile::controller_of;
use swell_schedule::{
    Effect, HostPort, NodeFacts, NodeSelectorTerm, Operator, PodNeeds, Protocol, Requirement,
    Resources, Taint, Toleration,
};

/// Pods of a node that says nothing about how many it takes.
const POD_COUNT_DEFAULT: usize = 110;

type Amounts = BTreeMap<String, ApiQuantity>;

fn amount(amounts: Option<&Amounts>, name: &str) -> Option<Quantity> {
    // Admission refuses what is no quantity.
    Quantity::parse(&amounts?.get(name)?.0).ok()
}

fn resources(amounts: Option<&Amounts>) -> Resources {
    let other = amounts
        .into_iter()
        .flatten()
        .filter(|(name, _)| {
            !matches!(name.as_str(), "cpu" | "memory" | "pods" | "ephemeral-storage")
        })
        .filter_map(|(name, text)| {
            Some((name.clone(), Quantity::parse(&text.0).ok()?.units_ceil()))
        })
        .collect();
    Resources {
        cpu_milli: amount(amounts, "cpu").map_or(0, |quantity| quantity.milli),
        memory_bytes: amount(amounts, "memory").map_or(0, Quantity::units_ceil),
        other,
    }
}

fn largest(into: &mut Resources, other: &Resources) {
    into.cpu_milli = into.cpu_milli.max(other.cpu_milli);
    into.memory_bytes = into.memory_bytes.max(other.memory_bytes);
    for (name, amount) in &other.other {
        let known = into.other.entry(name.clone()).or_default();
        *known = (*known).max(*amount);
    }
}

/// What a pod takes from its node: the sum of its containers, or more while it initialises.
pub(super) fn requests_of(spec: &PodSpec) -> Resources {
    let of = |container: &Container| {
        resources(container.resources.as_ref().and_then(|needs| needs.requests.as_ref()))
    };
    let mut running = Resources::default();
    spec.containers.iter().for_each(|container| running.add(&of(container)));
    let mut starting = Resources::default();
    let mut sidecars = Resources::default();
    for container in spec.init_containers.iter().flatten() {
        if container.restart_policy.as_deref() == Some("Always") {
            sidecars.add(&of(container));
        } else {
            let mut both = sidecars.clone();
            both.add(&of(container));
            largest(&mut starting, &both);
        }
    }
    running.add(&sidecars);
    largest(&mut running, &starting);
    if let Some(own) = spec.resources.as_ref().and_then(|needs| needs.requests.as_ref()) {
        let own_resources = resources(Some(own));
        if own.contains_key("cpu") {
            running.cpu_milli = own_resources.cpu_milli;
        }
        if own.contains_key("memory") {
            running.memory_bytes = own_resources.memory_bytes;
        }
    }
    if let Some(overhead) = &spec.overhead {
        running.add(&resources(Some(overhead)));
    }
    running
}

fn host_ports_of(spec: &PodSpec) -> Vec<HostPort> {
    let host_network = spec.host_network == Some(true);
    spec.containers
        .iter()
        .flat_map(|container| container.ports.iter().flatten())
        .filter_map(|port| {
            let number = port.host_port.or(host_network.then_some(port.container_port))?;
            Some(HostPort {
                address: port.host_ip.clone().unwrap_or_default(),
                protocol: match port.protocol.as_deref() {
                    Some("UDP") => Protocol::Udp,
                    Some("SCTP") => Protocol::Sctp,
                    _ => Protocol::Tcp,
                },
                port: u16::try_from(number).ok().filter(|port| *port > 0)?,
            })
        })
        .collect()
}

fn effect_of(text: &str) -> Option<Effect> {
    match text {
        "NoSchedule" => Some(Effect::NoSchedule),
        "PreferNoSchedule" => Some(Effect::PreferNoSchedule),
        "NoExecute" => Some(Effect::NoExecute),
        _ => None,
    }
}

pub(super) fn node_facts(node: &Node) -> NodeFacts {
    let spec = node.spec.clone().unwrap_or_default();
    let status = node.status.clone().unwrap_or_default();
    let allocatable = status.allocatable.as_ref().or(status.capacity.as_ref());
    let ready = status
        .conditions
        .iter()
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True");
    let pods = amount(allocatable, "pods").map(Quantity::units_ceil);
    NodeFacts {
        name: node.metadata.name.clone().unwrap_or_default(),
        ready,
        unschedulable: spec.unschedulable == Some(true),
        labels: node.metadata.labels.clone().unwrap_or_default(),
        taints: spec
            .taints
            .iter()
            .flatten()
            .filter_map(|taint| {
                Some(Taint {
                    key: taint.key.clone(),
                    value: taint.value.clone().unwrap_or_default(),
                    effect: effect_of(&taint.effect)?,
                })
            })
            .collect(),
        allocatable: resources(allocatable),
        pod_count_max: pods.map_or(POD_COUNT_DEFAULT, |count| usize::try_from(count).unwrap_or(0)),
        runtime_classes: status
            .runtime_handlers
            .into_iter()
            .flatten()
            .filter_map(|handler| handler.name)
            .filter(|name| !name.is_empty())
            .collect(),
        ..NodeFacts::default()
    }
}

pub(super) fn pod_needs(pod: &Pod) -> PodNeeds {
    let spec = pod.spec.clone().unwrap_or_default();
    let created = pod.metadata.creation_timestamp.as_ref();
    let required =
        spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref()).and_then(
            |affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref(),
        );
    PodNeeds {
        name: ObjectKey::of(pod).to_string(),
        priority: spec.priority.unwrap_or(0),
        created_ms: created.map_or(0, |created| created.0.as_millisecond()),
        requests: requests_of(&spec),
        host_ports: host_ports_of(&spec),
        node_affinity: required.map(|selector| {
            let terms = selector.node_selector_terms.iter();
            terms
                .map(|term| NodeSelectorTerm {
                    expressions: requirements(term.match_expressions.as_deref()),
                    names: requirements(term.match_fields.as_deref()),
                })
                .collect()
        }),
        tolerations: spec
            .tolerations
            .iter()
            .flatten()
            .map(|toleration| Toleration {
                key: toleration.key.clone().unwrap_or_default(),
                value: (toleration.operator.as_deref() != Some("Exists"))
                    .then(|| toleration.value.clone().unwrap_or_default()),
                effect: toleration.effect.as_deref().and_then(effect_of),
            })
            .collect(),
        node_selector: spec.node_selector.unwrap_or_default(),
        runtime_class: spec.runtime_class_name,
        owner: controller_of(&pod.metadata).map(|owner| owner.uid.clone()),
    }
}

fn requirements(requirements: Option<&[NodeSelectorRequirement]>) -> Vec<Requirement> {
    requirements
        .unwrap_or_default()
        .iter()
        .map(|requirement| Requirement {
            key: requirement.key.clone(),
            operator: match requirement.operator.as_str() {
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                "Gt" => Operator::Gt,
                "Lt" => Operator::Lt,
                _ => Operator::In,
            },
            values: requirement.values.clone().unwrap_or_default(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn requests_count_sidecars_and_the_largest_init_container() {
        let check = |spec: serde_json::Value, cpu_milli: i64| {
            let spec: PodSpec = serde_json::from_value(spec).expect("a pod spec");
            assert_eq!(requests_of(&spec).cpu_milli, cpu_milli);
        };
        let cpu =
            |name: &str, cpu: &str| json!({"name": name, "resources": {"requests": {"cpu": cpu}}});
        let mut sidecar = cpu("s", "50m");
        sidecar["restartPolicy"] = json!("Always");
        check(json!({"containers": [cpu("a", "100m"), cpu("b", "0.2")]}), 300);
        check(json!({"containers": [cpu("a", "100m")], "initContainers": [cpu("i", "700m")]}), 700);
        check(
            json!({"containers": [cpu("a", "100m")], "initContainers": [sidecar, cpu("i", "700m")]}),
            750,
        );
        check(
            json!({"containers": [cpu("a", "100m")], "resources": {"requests": {"cpu": "1"}}}),
            1000,
        );
    }

    #[test]
    fn nodes_and_pods_translate() {
        let node = json!({
            "metadata": {"name": "n", "labels": {"zone": "a"}},
            "spec": {"taints": [{"key": "k", "effect": "NoSchedule"}], "unschedulable": true},
            "status": {"allocatable": {"cpu": "2", "memory": "1Gi", "pods": "7", "example.com/gpu": "1"},
                "conditions": [{"type": "Ready", "status": "True"}],
                "runtimeHandlers": [{"name": ""}, {"name": "process"}]},
        });
        let facts = node_facts(&serde_json::from_value(node).expect("a node"));
        assert!(facts.ready && facts.unschedulable);
        assert_eq!((facts.allocatable.cpu_milli, facts.pod_count_max), (2000, 7));
        assert_eq!(facts.allocatable.other["example.com/gpu"], 1);
        assert_eq!(facts.runtime_classes.len(), 1);
        let pod = json!({
            "metadata": {"name": "p", "namespace": "default"},
            "spec": {"containers": [{"name": "c", "ports": [{"containerPort": 80, "hostPort": 8080}]}],
                "tolerations": [{"operator": "Exists"}], "runtimeClassName": "process"},
        });
        let needs = pod_needs(&serde_json::from_value(pod).expect("a pod"));
        assert_eq!((needs.name.as_str(), needs.host_ports.len()), ("default/p", 1));
        assert!(needs.tolerations[0].covers(&facts.taints[0]));
    }
}
