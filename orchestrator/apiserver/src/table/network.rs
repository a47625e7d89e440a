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
    let more = addresses.len().saturating_sub(ENDPOINTS_SHOWN);
    addresses.truncate(ENDPOINTS_SHOWN);
    let mut shown = super::or_none(addresses.join(","));
    if more > 0 {
        shown = format!("{shown} + {more} more...");
    }
    vec![json!(name(endpoints)), json!(shown), age(endpoints, now)]
}
