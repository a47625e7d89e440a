//! Objects as the pages show them. Pure: objects in, plain values out.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{Event, Node, Pod, Service};
use k8s_openapi::apimachinery::pkg::api::resource;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Serialize;
use swell_model::Quantity;

/// All objects that a page draws from, at one moment.
#[derive(Debug, Default)]
pub struct Objects<'a> {
    /// Deployments.
    pub deployments: Vec<&'a Deployment>,
    /// Autoscalers.
    pub autoscalers: Vec<&'a HorizontalPodAutoscaler>,
    /// Pods.
    pub pods: Vec<&'a Pod>,
    /// Services.
    pub services: Vec<&'a Service>,
    /// Nodes.
    pub nodes: Vec<&'a Node>,
    /// Events.
    pub events: Vec<&'a Event>,
}

/// The first page.
#[derive(Debug, PartialEq, Serialize)]
pub struct OverviewView {
    /// Nodes by name.
    pub nodes: Vec<NodeView>,
    /// Workloads by namespace and name.
    pub workloads: Vec<WorkloadView>,
    /// Latest events, newest first.
    pub events: Vec<EventView>,
}

/// One workload.
#[derive(Debug, PartialEq, Serialize)]
pub struct WorkloadView {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Kind.
    pub kind: &'static str,
    /// Replicas asked for.
    pub replicas_wanted: i32,
    /// Replicas that serve.
    pub replicas_ready: i32,
    /// Services that select its pods.
    pub services: Vec<String>,
    /// What scales it.
    pub autoscaler: Option<AutoscalerView>,
    /// Its pods by name.
    pub pods: Vec<PodView>,
}

/// The autoscaler of a workload.
#[derive(Debug, PartialEq, Serialize)]
pub struct AutoscalerView {
    /// Name.
    pub name: String,
    /// Least replicas.
    pub min: i32,
    /// Most replicas.
    pub max: i32,
    /// CPU target in per cent of the request.
    pub target_percent: Option<i32>,
    /// CPU measured last, in per cent of the request.
    pub measured_percent: Option<i32>,
    /// Conditions as Kubernetes writes them.
    pub conditions: Vec<ConditionView>,
}

/// One condition.
#[derive(Debug, PartialEq, Serialize)]
pub struct ConditionView {
    /// Type.
    #[serde(rename = "type")]
    pub type_: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Reason in one word.
    pub reason: String,
    /// Reason in a sentence.
    pub message: String,
}

/// One pod.
#[derive(Debug, PartialEq, Serialize)]
pub struct PodView {
    /// Name.
    pub name: String,
    /// Node it is bound to.
    pub node: Option<String>,
    /// Its address.
    pub ip: Option<String>,
    /// Phase.
    pub phase: String,
    /// Whether it serves.
    pub ready: bool,
    /// Whether it is being stopped.
    pub deleting: bool,
    /// Restarts of all its containers.
    pub restarts: i32,
    /// Why it waits or failed.
    pub reason: Option<String>,
    /// Creation, milliseconds since the epoch.
    pub created_ms: Option<i64>,
    /// When it became ready last, milliseconds since the epoch.
    pub ready_ms: Option<i64>,
}

/// One node.
#[derive(Debug, PartialEq, Serialize)]
pub struct NodeView {
    /// Name.
    pub name: String,
    /// Whether it takes part.
    pub ready: bool,
    /// Why not, in a sentence.
    pub reason: String,
    /// Whether it was cordoned.
    pub unschedulable: bool,
    /// Pods on it.
    pub pods: usize,
    /// Pods it may have.
    pub pods_max: Option<i64>,
    /// CPU for pods, in thousandths of a core.
    pub cpu_milli: Option<i64>,
    /// CPU requested by its pods, in thousandths of a core.
    pub cpu_requested_milli: i64,
    /// Memory for pods.
    pub memory_bytes: Option<i64>,
    /// Memory requested by its pods.
    pub memory_requested_bytes: i64,
}

/// One event.
#[derive(Debug, PartialEq, Serialize)]
pub struct EventView {
    /// When it happened last, milliseconds since the epoch.
    pub at_ms: Option<i64>,
    /// Whether it is a warning.
    pub warning: bool,
    /// Reason in one word.
    pub reason: String,
    /// Message.
    pub message: String,
    /// How often it happened.
    pub count: i32,
    /// What it is about.
    pub object: ObjectView,
}

/// An object by name.
#[derive(Debug, PartialEq, Serialize)]
pub struct ObjectView {
    /// Kind.
    pub kind: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// Events on the first page.
const EVENTS_MAX: usize = 30;

/// The first page's data.
#[must_use]
pub fn overview(objects: &Objects<'_>) -> OverviewView {
    let mut workloads: Vec<WorkloadView> =
        objects.deployments.iter().map(|deployment| workload(deployment, objects)).collect();
    workloads.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    let mut nodes: Vec<NodeView> = objects.nodes.iter().map(|it| node(it, objects)).collect();
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    let mut events = latest_events(objects, |_| true);
    events.truncate(EVENTS_MAX);
    OverviewView { nodes, workloads, events }
}

/// One workload's data.
#[must_use]
pub fn workload(deployment: &Deployment, objects: &Objects<'_>) -> WorkloadView {
    let metadata = &deployment.metadata;
    let (namespace, name) =
        (metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default());
    let selector = deployment
        .spec
        .as_ref()
        .and_then(|spec| spec.selector.match_labels.clone())
        .unwrap_or_default();
    let template_labels = deployment
        .spec
        .as_ref()
        .and_then(|spec| spec.template.metadata.as_ref())
        .and_then(|metadata| metadata.labels.clone())
        .unwrap_or_default();
    let mut pods: Vec<PodView> = objects
        .pods
        .iter()
        .filter(|pod| {
            pod.metadata.namespace.as_deref() == Some(namespace.as_str())
                && !selector.is_empty()
                && selects(&selector, pod.metadata.labels.as_ref())
        })
        .map(|it| pod(it))
        .collect();
    pods.sort_by(|a, b| a.name.cmp(&b.name));
    let mut services: Vec<String> = objects
        .services
        .iter()
        .filter(|service| service.metadata.namespace.as_deref() == Some(namespace.as_str()))
        .filter(|service| {
            let selector = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
            selector.is_some_and(|selector| {
                !selector.is_empty() && selects(selector, Some(&template_labels))
            })
        })
        .filter_map(|service| service.metadata.name.clone())
        .collect();
    services.sort();
    let autoscaler = objects
        .autoscalers
        .iter()
        .find(|hpa| {
            hpa.metadata.namespace.as_deref() == Some(namespace.as_str())
                && hpa.spec.as_ref().is_some_and(|spec| {
                    spec.scale_target_ref.kind == "Deployment" && spec.scale_target_ref.name == name
                })
        })
        .map(|hpa| autoscaler(hpa));
    let status = deployment.status.as_ref();
    WorkloadView {
        kind: "Deployment",
        replicas_wanted: deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1),
        replicas_ready: status.and_then(|status| status.ready_replicas).unwrap_or(0),
        services,
        autoscaler,
        pods,
        namespace,
        name,
    }
}

/// Events about a workload and what belongs to it (its replica sets, pods and autoscaler), newest first.
#[must_use]
pub fn workload_events(workload: &WorkloadView, objects: &Objects<'_>) -> Vec<EventView> {
    let replica_set = format!("{}-", workload.name);
    let autoscaler = workload.autoscaler.as_ref().map(|hpa| hpa.name.as_str());
    let mut events = latest_events(objects, |event| {
        let object = &event.involved_object;
        let name = object.name.as_deref().unwrap_or_default();
        object.namespace.as_deref() == Some(workload.namespace.as_str())
            && match object.kind.as_deref() {
                Some("Deployment") => name == workload.name,
                Some("ReplicaSet" | "Pod") => name.starts_with(&replica_set),
                Some("HorizontalPodAutoscaler") => autoscaler == Some(name),
                _ => false,
            }
    });
    events.truncate(EVENTS_MAX);
    events
}

fn selects(selector: &BTreeMap<String, String>, labels: Option<&BTreeMap<String, String>>) -> bool {
    selector.iter().all(|(name, value)| labels.and_then(|labels| labels.get(name)) == Some(value))
}

fn autoscaler(hpa: &HorizontalPodAutoscaler) -> AutoscalerView {
    let spec = hpa.spec.as_ref();
    let status = hpa.status.as_ref();
    let cpu_target = spec
        .and_then(|spec| spec.metrics.as_ref())
        .into_iter()
        .flatten()
        .filter_map(|metric| metric.resource.as_ref())
        .find(|source| source.name == "cpu")
        .and_then(|source| source.target.average_utilization);
    let cpu_measured = status
        .and_then(|status| status.current_metrics.as_ref())
        .into_iter()
        .flatten()
        .filter_map(|metric| metric.resource.as_ref())
        .find(|source| source.name == "cpu")
        .and_then(|source| source.current.average_utilization);
    let conditions = status.and_then(|status| status.conditions.clone()).unwrap_or_default();
    AutoscalerView {
        name: hpa.metadata.name.clone().unwrap_or_default(),
        min: spec.and_then(|spec| spec.min_replicas).unwrap_or(1),
        max: spec.map_or(1, |spec| spec.max_replicas),
        target_percent: cpu_target,
        measured_percent: cpu_measured,
        conditions: conditions
            .into_iter()
            .map(|condition| ConditionView {
                type_: condition.type_,
                status: condition.status,
                reason: condition.reason.unwrap_or_default(),
                message: condition.message.unwrap_or_default(),
            })
            .collect(),
    }
}

fn pod(pod: &Pod) -> PodView {
    let status = pod.status.as_ref();
    let ready = status
        .and_then(|status| status.conditions.as_ref())
        .into_iter()
        .flatten()
        .find(|condition| condition.type_ == "Ready");
    let is_ready = ready.is_some_and(|condition| condition.status == "True");
    let containers =
        status.and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
    let waiting = containers
        .iter()
        .filter_map(|container| container.state.as_ref())
        .filter_map(|state| state.waiting.as_ref())
        .find_map(|waiting| match (&waiting.reason, &waiting.message) {
            (Some(reason), Some(message)) => Some(format!("{reason}: {message}")),
            (Some(reason), None) => Some(reason.clone()),
            _ => None,
        });
    let reason = waiting
        .or_else(|| status.and_then(|status| status.message.clone()))
        .or_else(|| unscheduled_reason(pod));
    PodView {
        name: pod.metadata.name.clone().unwrap_or_default(),
        node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
        ip: status.and_then(|status| status.pod_ip.clone()),
        phase: status.and_then(|status| status.phase.clone()).unwrap_or_else(|| "Pending".into()),
        ready: is_ready,
        deleting: pod.metadata.deletion_timestamp.is_some(),
        restarts: containers.iter().map(|container| container.restart_count).sum(),
        reason,
        created_ms: pod.metadata.creation_timestamp.as_ref().map(millis),
        ready_ms: ready
            .filter(|_| is_ready)
            .and_then(|condition| condition.last_transition_time.as_ref())
            .map(millis),
    }
}

fn unscheduled_reason(pod: &Pod) -> Option<String> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    conditions
        .iter()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")?
        .message
        .clone()
}

fn node(node: &Node, objects: &Objects<'_>) -> NodeView {
    let name = node.metadata.name.clone().unwrap_or_default();
    let status = node.status.as_ref();
    let ready = status
        .and_then(|status| status.conditions.as_ref())
        .into_iter()
        .flatten()
        .find(|condition| condition.type_ == "Ready");
    let allocatable = |resource: &str| {
        let amounts = status.and_then(|status| status.allocatable.as_ref());
        amounts.and_then(|amounts| amounts.get(resource)).and_then(parse)
    };
    let here: Vec<&Pod> = objects
        .pods
        .iter()
        .copied()
        .filter(|pod| {
            let bound = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
            let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
            bound == Some(name.as_str()) && !matches!(phase, Some("Succeeded" | "Failed"))
        })
        .collect();
    NodeView {
        ready: ready.is_some_and(|condition| condition.status == "True"),
        reason: ready.map_or_else(
            || "it has not reported yet".to_owned(),
            |condition| condition.message.clone().or(condition.reason.clone()).unwrap_or_default(),
        ),
        unschedulable: node.spec.as_ref().and_then(|spec| spec.unschedulable) == Some(true),
        pods: here.len(),
        pods_max: allocatable("pods").map(Quantity::units_ceil),
        cpu_milli: allocatable("cpu").map(|quantity| quantity.milli),
        cpu_requested_milli: requested(&here, "cpu").milli,
        memory_bytes: allocatable("memory").map(Quantity::units_ceil),
        memory_requested_bytes: requested(&here, "memory").units_ceil(),
        name,
    }
}

fn requested(pods: &[&Pod], resource: &str) -> Quantity {
    let milli = pods
        .iter()
        .filter_map(|pod| pod.spec.as_ref())
        .flat_map(|spec| &spec.containers)
        .filter_map(|container| container.resources.as_ref()?.requests.as_ref()?.get(resource))
        .filter_map(parse)
        .fold(0_i64, |sum, quantity| sum.saturating_add(quantity.milli));
    Quantity { milli }
}

fn parse(quantity: &resource::Quantity) -> Option<Quantity> {
    Quantity::parse(&quantity.0).ok()
}

fn latest_events(objects: &Objects<'_>, keep: impl Fn(&Event) -> bool) -> Vec<EventView> {
    let mut events: Vec<EventView> = objects
        .events
        .iter()
        .filter(|event| keep(event))
        .map(|event| {
            let object = &event.involved_object;
            EventView {
                at_ms: event
                    .last_timestamp
                    .as_ref()
                    .map(millis)
                    .or_else(|| event.event_time.as_ref().map(|time| time.0.as_millisecond())),
                warning: event.type_.as_deref() == Some("Warning"),
                reason: event.reason.clone().unwrap_or_default(),
                message: event.message.clone().unwrap_or_default(),
                count: event.count.unwrap_or(1),
                object: ObjectView {
                    kind: object.kind.clone().unwrap_or_default(),
                    namespace: object.namespace.clone().unwrap_or_default(),
                    name: object.name.clone().unwrap_or_default(),
                },
            }
        })
        .collect();
    events.sort_by_key(|event| std::cmp::Reverse(event.at_ms));
    events
}

fn millis(time: &Time) -> i64 {
    time.0.as_millisecond()
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    use super::*;

    fn object<K: DeserializeOwned>(value: Value) -> K {
        serde_json::from_value(value).expect("a valid object")
    }

    #[test]
    fn a_workload_knows_its_pods_services_and_autoscaler() {
        let web: Deployment = object(json!({
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}},
                "template": {"metadata": {"labels": {"app": "web", "tier": "front"}}}},
            "status": {"readyReplicas": 1},
        }));
        let hpa: HorizontalPodAutoscaler = object(json!({
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"maxReplicas": 6, "scaleTargetRef": {"kind": "Deployment", "name": "web"},
                "metrics": [{"type": "Resource", "resource": {"name": "cpu",
                    "target": {"type": "Utilization", "averageUtilization": 50}}}]},
        }));
        let mine: Pod = object(json!({
            "metadata": {"name": "web-1", "namespace": "shop", "labels": {"app": "web"}},
            "spec": {"nodeName": "n1", "containers": [
                {"name": "web", "resources": {"requests": {"cpu": "250m", "memory": "64Mi"}}}]},
            "status": {"phase": "Pending", "containerStatuses": [{"name": "web", "image": "host",
                "imageID": "", "ready": false, "restartCount": 3,
                "state": {"waiting": {"reason": "StartError", "message": "no such file"}}}]},
        }));
        let other: Pod = object(json!({
            "metadata": {"name": "web-2", "namespace": "other", "labels": {"app": "web"}},
        }));
        let service: Service = object(json!({
            "metadata": {"name": "front", "namespace": "shop"},
            "spec": {"selector": {"tier": "front"}},
        }));
        let node: Node = object(json!({
            "metadata": {"name": "n1"},
            "status": {"allocatable": {"cpu": "2", "memory": "1Gi"}},
        }));
        let objects = Objects {
            deployments: vec![&web],
            autoscalers: vec![&hpa],
            pods: vec![&mine, &other],
            services: vec![&service],
            nodes: vec![&node],
            events: vec![],
        };
        let view = overview(&objects);
        let web = &view.workloads[0];
        assert_eq!((web.replicas_wanted, web.replicas_ready), (2, 1));
        assert_eq!(web.services, ["front"]);
        assert_eq!(web.autoscaler.as_ref().map(|hpa| hpa.target_percent), Some(Some(50)));
        assert_eq!(web.pods.len(), 1, "a pod of another namespace is not its own");
        assert_eq!(web.pods[0].reason.as_deref(), Some("StartError: no such file"));
        assert_eq!(web.pods[0].restarts, 3);
        let node = &view.nodes[0];
        assert_eq!((node.cpu_requested_milli, node.memory_requested_bytes), (250, 64 << 20));
        assert!(!node.ready && node.reason.contains("not reported"));
    }
}
