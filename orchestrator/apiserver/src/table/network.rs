//! Services and endpoints.

use serde_json::{Value, json};
use swell_model::TimestampMs;

use super::{AGE, NAME, Printer, age, count, items, labels_text, name, text, wide};

pub(super) const SERVICE: Printer = Printer {
    columns: &[
        NAME,
        text("Type"),
        text("Cluster-IP"),
        text("External-IP"),
        text("Port(s)"),
        AGE,
        wide("Selector"),
    ],
    cells: service_cells,
};

pub(super) const ENDPOINTS: Printer =
    Printer { columns: &[NAME, text("Endpoints"), AGE], cells: endpoints_cells };

pub(super) const ENDPOINT_SLICE: Printer = Printer {
    columns: &[NAME, text("AddressType"), text("Ports"), text("Endpoints"), AGE],
    cells: |slice, now| {
        let ports: Vec<_> =
            items(&slice["ports"]).map(|port| count(&port["port"]).to_string()).collect();
        let addresses: Vec<_> = items(&slice["endpoints"])
            .flat_map(|endpoint| items(&endpoint["addresses"]))
            .filter_map(Value::as_str)
            .collect();
        vec![
            json!(name(slice)),
            slice["addressType"].clone(),
            json!(super::or_none(shorten(ports))),
            json!(super::or_none(shorten(addresses.into_iter().map(str::to_owned).collect()))),
            age(slice, now),
        ]
    },
};

/// Addresses shown in a row.
const ENDPOINTS_SHOWN: usize = 3;

fn service_cells(service: &Value, now: TimestampMs) -> Vec<Value> {
    let spec = &service["spec"];
    let type_ = spec["type"].as_str().unwrap_or_default();
    let cluster_ip = spec["clusterIP"].as_str().filter(|address| !address.is_empty());
    let ports: Vec<_> = items(&spec["ports"])
        .map(|port| {
            let node_port = count(&port["nodePort"]);
            let node_port = if node_port > 0 { format!(":{node_port}") } else { String::new() };
            let protocol = port["protocol"].as_str().unwrap_or("TCP");
            format!("{}{node_port}/{protocol}", count(&port["port"]))
        })
        .collect();
    vec![
        json!(name(service)),
        json!(type_),
        json!(cluster_ip.unwrap_or("<none>")),
        json!(external(service, type_)),
        json!(super::or_none(ports.join(","))),
        age(service, now),
        json!(labels_text(&spec["selector"])),
    ]
}

fn external(service: &Value, type_: &str) -> String {
    let spec = &service["spec"];
    let own: Vec<_> = items(&spec["externalIPs"]).filter_map(Value::as_str).collect();
    match type_ {
        "ExternalName" => spec["externalName"].as_str().unwrap_or_default().to_owned(),
        "LoadBalancer" => {
            let mut addresses: Vec<_> = items(&service["status"]["loadBalancer"]["ingress"])
                .filter_map(|ingress| {
                    ingress["ip"].as_str().or_else(|| ingress["hostname"].as_str())
                })
                .collect();
            addresses.extend(own);
            if addresses.is_empty() { "<pending>".to_owned() } else { addresses.join(",") }
        }
        _ => super::or_none(own.join(",")),
    }
}

fn endpoints_cells(endpoints: &Value, now: TimestampMs) -> Vec<Value> {
    let mut addresses = Vec::new();
    for subset in items(&endpoints["subsets"]) {
        let ips: Vec<_> =
            items(&subset["addresses"]).filter_map(|address| address["ip"].as_str()).collect();
        let ports: Vec<_> = items(&subset["ports"]).map(|port| count(&port["port"])).collect();
        if ports.is_empty() {
            addresses.extend(ips.iter().map(|ip| (*ip).to_owned()));
        }
        for port in ports {
            addresses.extend(ips.iter().map(|ip| format!("{ip}:{port}")));
        }
    }
    vec![json!(name(endpoints)), json!(super::or_none(shorten(addresses))), age(endpoints, now)]
}

/// The first few, and how many more there are.
fn shorten(mut texts: Vec<String>) -> String {
    let more = texts.len().saturating_sub(ENDPOINTS_SHOWN);
    texts.truncate(ENDPOINTS_SHOWN);
    let shown = texts.join(",");
    if more > 0 { format!("{shown} + {more} more...") } else { shown }
}
