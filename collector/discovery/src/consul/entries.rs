//! From the instances of a service, as Consul's health endpoint lists them, to targets.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::group::{LabelMap, TargetGroup};
use crate::names::{join, sanitized};

const PREFIX: &str = "__meta_consul_";
/// Tells which service a target is of.
pub(super) const SERVICE_LABEL: &str = "__meta_consul_service";

/// An entry of `/v1/health/service/<name>`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Entry {
    node: Node,
    service: Service,
    checks: Option<Vec<Check>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Node {
    node: String,
    address: String,
    datacenter: String,
    tagged_addresses: Option<BTreeMap<String, String>>,
    meta: Option<BTreeMap<String, String>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Service {
    #[serde(rename = "ID")]
    id: String,
    service: String,
    tags: Option<Vec<String>>,
    address: String,
    port: u16,
    meta: Option<BTreeMap<String, String>>,
    namespace: String,
    partition: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Check {
    #[serde(rename = "CheckID")]
    check_id: String,
    status: String,
}

/// One group per instance. `datacenter` is that of instances whose node names none.
pub(super) fn groups(entries: &[Entry], datacenter: &str, separator: &str) -> Vec<TargetGroup> {
    entries.iter().map(|entry| group(entry, datacenter, separator)).collect()
}

fn group(entry: &Entry, datacenter: &str, separator: &str) -> TargetGroup {
    let Entry { node, service, checks } = entry;
    let mut labels = LabelMap::new();
    let mut set = |name: &str, value: String| {
        labels.insert(format!("{PREFIX}{name}"), value);
    };
    let datacenter = if node.datacenter.is_empty() { datacenter } else { node.datacenter.as_str() };
    set("dc", datacenter.to_owned());
    set("service", service.service.clone());
    set("address", node.address.clone());
    set("node", node.node.clone());
    set("namespace", service.namespace.clone());
    set("partition", service.partition.clone());
    // Separators at both ends, so that a pattern for one tag need not know where it stands.
    let tags = service.tags.iter().flatten().map(String::as_str).collect::<Vec<_>>();
    set("tags", format!("{separator}{}{separator}", tags.join(separator)));
    set("service_address", service.address.clone());
    set("service_port", service.port.to_string());
    set("service_id", service.id.clone());
    set("health", health(checks.as_deref().unwrap_or_default()).to_owned());
    for (name, value) in node.meta.iter().flatten() {
        set(&format!("metadata_{}", sanitized(name)), value.clone());
    }
    for (name, value) in service.meta.iter().flatten() {
        set(&format!("service_metadata_{}", sanitized(name)), value.clone());
    }
    for (name, value) in node.tagged_addresses.iter().flatten() {
        set(&format!("tagged_address_{}", sanitized(name)), value.clone());
    }
    let host = if service.address.is_empty() { &node.address } else { &service.address };
    TargetGroup { targets: vec![join(host, service.port)], labels }
}

/// The worst of an instance's checks.
fn health(checks: &[Check]) -> &'static str {
    let in_maintenance = |check: &Check| {
        check.check_id == "_node_maintenance" || check.check_id.starts_with("_service_maintenance:")
    };
    if checks.iter().any(in_maintenance) {
        return "maintenance";
    }
    let has = |status: &str| checks.iter().any(|check| check.status == status);
    ["critical", "warning"].into_iter().find(|status| has(status)).unwrap_or("passing")
}

/// Whether a service of the catalogue is wanted: by its name, and by all of the wanted tags.
pub(super) fn is_wanted(
    name: &str,
    tags: &[String],
    services: &[String],
    wanted_tags: &[String],
) -> bool {
    (services.is_empty() || services.iter().any(|service| service == name))
        && wanted_tags.iter().all(|wanted| tags.contains(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRIES: &str = r#"[
      {"Node": {"ID": "8f0f", "Node": "n1", "Address": "10.0.0.1", "Datacenter": "dc1",
                "TaggedAddresses": {"lan": "10.0.0.1", "wan": "198.51.100.1"},
                "Meta": {"consul-network-segment": "", "rack": "r7"}},
       "Service": {"ID": "web-1", "Service": "web", "Tags": ["v2", "blue"], "Address": "10.1.0.5",
                   "TaggedAddresses": {"lan_ipv4": {"Address": "10.1.0.5", "Port": 80}},
                   "Meta": {"metrics.path": "/m"}, "Port": 80, "Weights": {"Passing": 1}},
       "Checks": [{"Node": "n1", "CheckID": "serfHealth", "Status": "passing"},
                  {"Node": "n1", "CheckID": "service:web-1", "Status": "warning"}]},
      {"Node": {"Node": "n2", "Address": "fd00::2", "TaggedAddresses": null, "Meta": null},
       "Service": {"ID": "web-2", "Service": "web", "Tags": null, "Address": "", "Port": 80},
       "Checks": []}
    ]"#;

    #[test]
    fn instances_are_targets() {
        let entries: Vec<Entry> = serde_json::from_str(ENTRIES).expect("good");
        let groups = groups(&entries, "dc9", ",");
        assert_eq!(groups[0].targets, ["10.1.0.5:80"]);
        let labels: Vec<String> =
            groups[0].labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let expected = [
            "__meta_consul_address=10.0.0.1",
            "__meta_consul_dc=dc1",
            "__meta_consul_health=warning",
            "__meta_consul_metadata_consul_network_segment=",
            "__meta_consul_metadata_rack=r7",
            "__meta_consul_namespace=",
            "__meta_consul_node=n1",
            "__meta_consul_partition=",
            "__meta_consul_service=web",
            "__meta_consul_service_address=10.1.0.5",
            "__meta_consul_service_id=web-1",
            "__meta_consul_service_metadata_metrics_path=/m",
            "__meta_consul_service_port=80",
            "__meta_consul_tagged_address_lan=10.0.0.1",
            "__meta_consul_tagged_address_wan=198.51.100.1",
            "__meta_consul_tags=,v2,blue,",
        ];
        assert_eq!(labels, expected);
        assert_eq!(groups[1].targets, ["[fd00::2]:80"]);
        assert_eq!(groups[1].labels["__meta_consul_dc"], "dc9");
        assert_eq!(groups[1].labels["__meta_consul_health"], "passing");
        assert_eq!(groups[1].labels["__meta_consul_tags"], ",,");
    }

    #[test]
    fn the_worst_check_counts() {
        let check = |id: &str, status: &str| Check { check_id: id.into(), status: status.into() };
        assert_eq!(health(&[check("a", "warning"), check("b", "critical")]), "critical");
        let maintained = [check("a", "critical"), check("_service_maintenance:x", "critical")];
        assert_eq!(health(&maintained), "maintenance");
    }

    #[test]
    fn services_are_wanted_by_name_and_tags() {
        let list = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert!(is_wanted("web", &list("a b"), &[], &[]));
        assert!(is_wanted("web", &list("a b"), &list("web db"), &list("b")));
        assert!(!is_wanted("web", &list("a"), &list("db"), &[]));
        assert!(!is_wanted("web", &list("a"), &[], &list("a b")));
    }
}
