//! The addresses behind a Service.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{
    EndpointAddress, EndpointPort, EndpointSubset, Endpoints, ObjectReference, Pod, Service,
    ServicePort,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use swell_api_types::{LabelSelector, pod_is_ready};

/// Label that marks Endpoints of a Service without a cluster address.
const HEADLESS: &str = "service.kubernetes.io/headless";

/// What is seen of one name.
#[derive(Debug)]
pub struct Observed<'a> {
    /// The Service, if there is one.
    pub service: Option<&'a Service>,
    /// The Endpoints of the same name, if there are any.
    pub endpoints: Option<&'a Endpoints>,
    /// Pods of the namespace; those that the Service does not select are passed over.
    pub pods: &'a [Arc<Pod>],
}

/// What to do about it.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    /// Nothing.
    Nothing,
    /// Create these.
    Create(Box<Endpoints>),
    /// Replace the stored ones by these.
    Replace(Box<Endpoints>),
    /// Delete the stored ones: their Service is gone.
    Delete,
}

/// Compares the pods that a Service selects with its Endpoints. A Service without a selector is left to whoever
/// writes its Endpoints.
#[must_use]
pub fn reconcile(observed: &Observed<'_>) -> Plan {
    let Some(service) = observed.service else {
        let managed = observed.endpoints.is_some_and(|endpoints| {
            endpoints
                .metadata
                .annotations
                .as_ref()
                .is_some_and(|annotations| annotations.contains_key(MANAGED))
        });
        return if managed { Plan::Delete } else { Plan::Nothing };
    };
    let spec = service.spec.clone().unwrap_or_default();
    let selector = spec.selector.filter(|selector| !selector.is_empty());
    let (Some(selector), false) = (selector, spec.type_.as_deref() == Some("ExternalName")) else {
        return Plan::Nothing;
    };
    let selector = LabelSelector::from_map(&selector);
    let selected = observed.pods.iter().filter(|pod| {
        pod.metadata.namespace == service.metadata.namespace
            && selector.matches(pod.metadata.labels.as_ref())
    });
    let include_unready = spec.publish_not_ready_addresses == Some(true);
    let ports = spec.ports.unwrap_or_default();
    let subsets = subsets_of(selected, &ports, include_unready);
    let headless = spec.cluster_ip.as_deref() == Some("None");
    let wanted = Endpoints {
        metadata: ObjectMeta {
            name: service.metadata.name.clone(),
            namespace: service.metadata.namespace.clone(),
            labels: labels_of(service, headless),
            annotations: Some(BTreeMap::from([(MANAGED.to_owned(), "endpoints".to_owned())])),
            resource_version: None,
            ..ObjectMeta::default()
        },
        subsets: (!subsets.is_empty()).then_some(subsets),
    };
    match observed.endpoints {
        None => Plan::Create(Box::new(wanted)),
        Some(stored) => {
            let empty =
                |subsets: &Option<Vec<EndpointSubset>>| subsets.as_ref().is_none_or(Vec::is_empty);
            let same_subsets = stored.subsets == wanted.subsets
                || (empty(&stored.subsets) && empty(&wanted.subsets));
            if same_subsets && stored.metadata.labels == wanted.metadata.labels {
                return Plan::Nothing;
            }
            let mut wanted = wanted;
            wanted.metadata.resource_version = stored.metadata.resource_version.clone();
            wanted.metadata.uid = stored.metadata.uid.clone();
            Plan::Replace(Box::new(wanted))
        }
    }
}

/// Annotation on Endpoints that are kept here, so that those written by others are never deleted.
const MANAGED: &str = "swell.dev/managed-by";

fn labels_of(service: &Service, headless: bool) -> Option<BTreeMap<String, String>> {
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    if headless {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    (!labels.is_empty()).then_some(labels)
}

/// Ports as found in one pod: ordered, comparable.
type PortKey = Vec<(Option<String>, i32, Option<String>, Option<String>)>;

fn subsets_of<'a>(
    pods: impl Iterator<Item = &'a Arc<Pod>>,
    ports: &[ServicePort],
    include_unready: bool,
) -> Vec<EndpointSubset> {
    let mut by_ports: BTreeMap<PortKey, (Vec<EndpointAddress>, Vec<EndpointAddress>)> =
        BTreeMap::new();
    for pod in pods {
        let status = pod.status.clone().unwrap_or_default();
        let Some(ip) = status.pod_ip.filter(|ip| !ip.is_empty()) else { continue };
        let ended = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
        let going = pod.metadata.deletion_timestamp.is_some() && !include_unready;
        if ended || going {
            continue;
        }
        let found: PortKey = ports
            .iter()
            .filter_map(|port| {
                let number = target_port(port, pod)?;
                Some((port.name.clone(), number, port.protocol.clone(), port.app_protocol.clone()))
            })
            .collect();
        if found.is_empty() && !ports.is_empty() {
            continue;
        }
        let (ready, not_ready) = by_ports.entry(found).or_default();
        let address = address_of(pod, ip);
        if include_unready || pod_is_ready(pod) {
            ready.push(address);
        } else {
            not_ready.push(address);
        }
    }
    by_ports
        .into_iter()
        .map(|(ports, (mut ready, mut not_ready))| {
            let by_ip = |one: &EndpointAddress, other: &EndpointAddress| {
                let name = |address: &EndpointAddress| {
                    address.target_ref.as_ref().and_then(|target| target.name.clone())
                };
                (&one.ip, name(one)).cmp(&(&other.ip, name(other)))
            };
            ready.sort_by(by_ip);
            not_ready.sort_by(by_ip);
            let ports: Vec<EndpointPort> = ports
                .into_iter()
                .map(|(name, port, protocol, app_protocol)| EndpointPort {
                    name,
                    port,
                    protocol,
                    app_protocol,
                })
                .collect();
            EndpointSubset {
                addresses: (!ready.is_empty()).then_some(ready),
                not_ready_addresses: (!not_ready.is_empty()).then_some(not_ready),
                ports: (!ports.is_empty()).then_some(ports),
            }
        })
        .collect()
}

/// The number behind a Service's port in one pod; a name is looked up among the pod's container ports.
fn target_port(port: &ServicePort, pod: &Pod) -> Option<i32> {
    let name = match &port.target_port {
        None => return Some(port.port),
        Some(IntOrString::Int(0)) => return Some(port.port),
        Some(IntOrString::Int(number)) => return Some(*number),
        Some(IntOrString::String(name)) => name,
    };
    let protocol = port.protocol.as_deref().unwrap_or("TCP");
    let spec = pod.spec.as_ref()?;
    spec.containers
        .iter()
        .chain(spec.init_containers.iter().flatten())
        .flat_map(|container| container.ports.iter().flatten())
        .find(|candidate| {
            candidate.name.as_deref() == Some(name)
                && candidate.protocol.as_deref().unwrap_or("TCP") == protocol
        })
        .map(|candidate| candidate.container_port)
}

fn address_of(pod: &Pod, ip: String) -> EndpointAddress {
    let spec = pod.spec.as_ref();
    EndpointAddress {
        ip,
        hostname: spec.and_then(|spec| spec.hostname.clone()),
        node_name: spec.and_then(|spec| spec.node_name.clone()),
        target_ref: Some(ObjectReference {
            kind: Some("Pod".to_owned()),
            name: pod.metadata.name.clone(),
            namespace: pod.metadata.namespace.clone(),
            uid: pod.metadata.uid.clone(),
            ..ObjectReference::default()
        }),
    }
}

#[cfg(test)]
mod tests;
