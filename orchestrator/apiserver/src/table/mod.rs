//! Objects as rows and columns, as `kubectl get` prints them (`k8s.io/kubernetes/pkg/printers`).

mod age;
mod cluster;
mod network;
mod pod;
mod workload;

use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use serde::Deserialize as _;
use serde_json::{Value, json};
use swell_api_types::{LabelSelector, ResourceType};
use swell_model::TimestampMs;

use crate::read::metadata_only;

/// What of the object goes with each row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IncludeObject {
    None,
    Metadata,
    Object,
}

impl IncludeObject {
    pub(crate) fn parse(text: Option<&str>) -> Self {
        match text {
            Some("None") => Self::None,
            Some("Object") => Self::Object,
            _ => Self::Metadata,
        }
    }
}

/// A column: name, type, format and priority (above zero: only in the wide form).
struct Column {
    name: &'static str,
    ty: &'static str,
    format: &'static str,
    priority: u8,
}

const fn text(name: &'static str) -> Column {
    Column { name, ty: "string", format: "", priority: 0 }
}

const fn number(name: &'static str) -> Column {
    Column { name, ty: "integer", format: "", priority: 0 }
}

const fn wide(name: &'static str) -> Column {
    Column { name, ty: "string", format: "", priority: 1 }
}

const NAME: Column = Column { name: "Name", ty: "string", format: "name", priority: 0 };
const AGE: Column = text("Age");

/// How a kind is printed: its columns and the cells of an object.
struct Printer {
    columns: &'static [Column],
    cells: fn(&Value, TimestampMs) -> Vec<Value>,
}

const PLAIN: Printer = Printer {
    columns: &[NAME, Column { name: "Created At", ty: "date", format: "", priority: 0 }],
    cells: |object, _| vec![json!(name(object)), object["metadata"]["creationTimestamp"].clone()],
};

fn printer(resource: &ResourceType) -> &'static Printer {
    match resource.kind {
        "Pod" => &pod::POD,
        "Deployment" => &workload::DEPLOYMENT,
        "ReplicaSet" => &workload::REPLICA_SET,
        "HorizontalPodAutoscaler" => &workload::HPA,
        "Service" => &network::SERVICE,
        "Endpoints" => &network::ENDPOINTS,
        "EndpointSlice" => &network::ENDPOINT_SLICE,
        "Node" => &cluster::NODE,
        "Namespace" => &cluster::NAMESPACE,
        "Event" => &cluster::EVENT,
        "ConfigMap" => &cluster::CONFIG_MAP,
        "Secret" => &cluster::SECRET,
        "Lease" => &cluster::LEASE,
        _ => &PLAIN,
    }
}

/// The table of some objects of the storage version.
pub(crate) fn render(
    resource: &ResourceType,
    objects: &[Value],
    version: &str,
    include: IncludeObject,
    now: TimestampMs,
) -> Value {
    let printer = printer(resource);
    let columns: Vec<_> = printer
        .columns
        .iter()
        .map(|column| {
            json!({
                "name": column.name, "type": column.ty, "format": column.format,
                "description": column.name, "priority": column.priority,
            })
        })
        .collect();
    let rows: Vec<_> = objects
        .iter()
        .map(|object| {
            let mut row = json!({"cells": (printer.cells)(object, now)});
            match include {
                IncludeObject::None => {}
                IncludeObject::Metadata => row["object"] = metadata_only(object, version),
                IncludeObject::Object => row["object"] = object.clone(),
            }
            row
        })
        .collect();
    let metadata = match objects {
        [only] => json!({"resourceVersion": only["metadata"]["resourceVersion"]}),
        _ => json!({}),
    };
    json!({
        "kind": "Table", "apiVersion": format!("meta.k8s.io/{version}"), "metadata": metadata,
        "columnDefinitions": columns, "rows": rows,
    })
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

fn age(object: &Value, now: TimestampMs) -> Value {
    json!(age::since(&object["metadata"]["creationTimestamp"], now))
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn count(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}

fn or_none(text: String) -> String {
    if text.is_empty() { "<none>".to_owned() } else { text }
}

/// A selector of a spec in the text form; none when it is no selector or selects nothing in particular.
pub(crate) fn selector_text(selector: &Value) -> Option<String> {
    let selector = meta::LabelSelector::deserialize(selector).ok()?;
    let text = LabelSelector::from_spec(&selector).ok()?.to_string();
    (!text.is_empty()).then_some(text)
}

/// A map of labels as `a=b,c=d`.
fn labels_text(labels: &Value) -> String {
    let pairs = labels.as_object().into_iter().flatten();
    let texts: Vec<_> =
        pairs.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    or_none(texts.join(","))
}

#[cfg(test)]
mod tests;
