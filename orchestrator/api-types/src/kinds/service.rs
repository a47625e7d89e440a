//! Services and endpoints.

use core::net::IpAddr;
use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Endpoints, Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::meta::{self, NameForm};
use super::missing;
use super::pod::{validate_port, validate_port_number};
use crate::fault::{FieldFault, Path};
use crate::names::{DNS_LABEL_RULE, is_dns_label};

type Faults = Vec<FieldFault>;

const TYPES: &[&str] = &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];
const IMMUTABLE: &str = "field is immutable";
const NOT_AN_IP: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";

pub(crate) fn default(service: &mut Service) {
    let spec = service.spec.get_or_insert_default();
    spec.type_.get_or_insert_with(|| "ClusterIP".to_owned());
    spec.session_affinity.get_or_insert_with(|| "None".to_owned());
    for port in spec.ports.iter_mut().flatten() {
        port.protocol.get_or_insert_with(|| "TCP".to_owned());
        let unset = match &port.target_port {
            None | Some(IntOrString::Int(0)) => true,
            Some(IntOrString::String(name)) => name.is_empty(),
            Some(IntOrString::Int(_)) => false,
        };
        if unset {
            port.target_port = Some(IntOrString::Int(port.port));
        }
    }
    if spec.type_.as_deref() != Some("ExternalName") {
        spec.internal_traffic_policy.get_or_insert_with(|| "Cluster".to_owned());
        spec.ip_families.get_or_insert_with(|| vec!["IPv4".to_owned()]);
        spec.ip_family_policy.get_or_insert_with(|| "SingleStack".to_owned());
    }
    let status = service.status.get_or_insert_default();
    status.load_balancer.get_or_insert_default();
}

pub(crate) fn validate(service: &Service, old: Option<&Service>, faults: &mut Faults) {
    let old_metadata = old.map(|old| &old.metadata);
    meta::validate(&service.metadata, old_metadata, NameForm::Label1035, faults);
    let path = Path::new("spec");
    let Some(spec) = &service.spec else {
        faults.push(path.required(""));
        return;
    };
    let type_ = spec.type_.as_deref().unwrap_or_default();
    if !TYPES.contains(&type_) {
        faults.push(path.field("type").not_supported(type_, TYPES));
    }
    let headless = spec.cluster_ip.as_deref() == Some("None");
    let ports = spec.ports.as_deref().unwrap_or_default();
    if ports.is_empty() && !headless && type_ != "ExternalName" {
        faults.push(path.field("ports").required(""));
    }
    validate_ports(ports, &path.field("ports"), faults);
    if let Some(affinity) = spec.session_affinity.as_deref()
        && !["ClientIP", "None"].contains(&affinity)
    {
        faults.push(path.field("sessionAffinity").not_supported(affinity, &["ClientIP", "None"]));
    }
    meta::validate_labels(spec.selector.as_ref(), &path.field("selector"), faults);
    if type_ == "ExternalName" && spec.external_name.as_deref().is_none_or(str::is_empty) {
        faults.push(path.field("externalName").required(""));
    }
    if let Some(address) = spec.cluster_ip.as_deref()
        && !address.is_empty()
        && !headless
        && address.parse::<IpAddr>().is_err()
    {
        faults.push(path.field("clusterIPs").index(0).invalid(address, NOT_AN_IP));
    }
    let before = old.and_then(|old| old.spec.as_ref()).and_then(|spec| spec.cluster_ip.as_deref());
    if let Some(before) = before.filter(|address| !address.is_empty())
        && type_ != "ExternalName"
        && spec.cluster_ip.as_deref() != Some(before)
    {
        let given = spec.cluster_ip.clone().unwrap_or_default();
        faults.push(path.field("clusterIP").invalid(given, IMMUTABLE));
    }
}

fn validate_ports(ports: &[ServicePort], path: &Path, faults: &mut Faults) {
    let (mut names, mut numbers) = (BTreeSet::new(), BTreeSet::new());
    for (idx, port) in ports.iter().enumerate() {
        let path = path.index(idx);
        let name = port.name.as_deref().unwrap_or_default();
        if name.is_empty() {
            if ports.len() > 1 {
                faults.push(path.field("name").required(""));
            }
        } else if !is_dns_label(name) {
            faults.push(path.field("name").invalid(name, DNS_LABEL_RULE));
        } else if !names.insert(name) {
            faults.push(path.field("name").duplicate(name));
        }
        validate_port_number(port.port, &path.field("port"), faults);
        let protocol = port.protocol.as_deref().unwrap_or_default();
        if !PROTOCOLS.contains(&protocol) {
            faults.push(path.field("protocol").not_supported(protocol, PROTOCOLS));
        }
        if !numbers.insert((protocol, port.port)) {
            faults.push(path.duplicate(format!("{protocol}/{}", port.port)));
        }
        if let Some(target) = &port.target_port {
            validate_port(target, &path.field("targetPort"), faults);
        }
    }
}

pub(crate) fn default_endpoints(endpoints: &mut Endpoints) {
    for port in
        endpoints.subsets.iter_mut().flatten().flat_map(|subset| subset.ports.iter_mut().flatten())
    {
        port.protocol.get_or_insert_with(|| "TCP".to_owned());
    }
}

pub(crate) fn validate_endpoints(
    endpoints: &Endpoints,
    old: Option<&Endpoints>,
    faults: &mut Faults,
) {
    let old_metadata = old.map(|old| &old.metadata);
    meta::validate(&endpoints.metadata, old_metadata, NameForm::Subdomain, faults);
    for (idx, subset) in endpoints.subsets.iter().flatten().enumerate() {
        let path = Path::new("subsets").index(idx);
        let ready = subset.addresses.as_deref().unwrap_or_default();
        let waiting = subset.not_ready_addresses.as_deref().unwrap_or_default();
        if ready.is_empty() && waiting.is_empty() {
            faults.push(path.required("must specify `addresses` or `notReadyAddresses`"));
        }
        for (list, addresses) in [("addresses", ready), ("notReadyAddresses", waiting)] {
            for (idx, address) in addresses.iter().enumerate() {
                let path = path.field(list).index(idx).field("ip");
                if missing(&address.ip) {
                    faults.push(path.required(""));
                } else if address.ip.parse::<IpAddr>().is_err() {
                    faults.push(path.invalid(address.ip.as_str(), NOT_AN_IP));
                }
            }
        }
        for (idx, port) in subset.ports.iter().flatten().enumerate() {
            validate_port_number(port.port, &path.field("ports").index(idx).field("port"), faults);
        }
    }
}
