//! Nodes, namespaces, events and plain data.

use serde_json::{Value, json};
use swell_model::TimestampMs;

use super::age::since;
use super::{AGE, NAME, Printer, age, count, items, name, number, text, wide};

const ROLE_LABEL: &str = "node-role.kubernetes.io/";

pub(super) const NODE: Printer = Printer {
    columns: &[
        NAME,
        text("Status"),
        text("Roles"),
        AGE,
        text("Version"),
        wide("Internal-IP"),
        wide("External-IP"),
        wide("OS-Image"),
        wide("Kernel-Version"),
        wide("Container-Runtime"),
    ],
    cells: node_cells,
};

pub(super) const NAMESPACE: Printer = Printer {
    columns: &[NAME, text("Status"), AGE],
    cells: |namespace, now| {
        vec![json!(name(namespace)), namespace["status"]["phase"].clone(), age(namespace, now)]
    },
};

pub(super) const EVENT: Printer = Printer {
    columns: &[
        text("Last Seen"),
        text("Type"),
        text("Reason"),
        text("Object"),
        wide("Subobject"),
        wide("Source"),
        text("Message"),
        wide("First Seen"),
        wide("Count"),
        wide("Name"),
    ],
    cells: event_cells,
};

pub(super) const CONFIG_MAP: Printer = Printer {
    columns: &[NAME, number("Data"), AGE],
    cells: |object, now| {
        let entries = object_len(&object["data"]) + object_len(&object["binaryData"]);
        vec![json!(name(object)), json!(entries), age(object, now)]
    },
};

pub(super) const SECRET: Printer = Printer {
    columns: &[NAME, text("Type"), number("Data"), AGE],
    cells: |object, now| {
        let entries = object_len(&object["data"]);
        vec![json!(name(object)), object["type"].clone(), json!(entries), age(object, now)]
    },
};

pub(super) const LEASE: Printer = Printer {
    columns: &[NAME, text("Holder"), AGE],
    cells: |object, now| {
        let holder = object["spec"]["holderIdentity"].as_str().unwrap_or_default();
        vec![json!(name(object)), json!(holder), age(object, now)]
    },
};

fn object_len(value: &Value) -> usize {
    value.as_object().map_or(0, serde_json::Map::len)
}

fn node_cells(node: &Value, now: TimestampMs) -> Vec<Value> {
    let status = &node["status"];
    let address = |kind: &str| {
        let found = items(&status["addresses"]).find(|address| address["type"] == kind);
        json!(found.and_then(|address| address["address"].as_str()).unwrap_or("<none>"))
    };
    let info = |field: &str| {
        let text = status["nodeInfo"][field].as_str().filter(|text| !text.is_empty());
        json!(text.unwrap_or("<unknown>"))
    };
    vec![
        json!(name(node)),
        json!(node_status(node)),
        json!(roles(node)),
        age(node, now),
        json!(status["nodeInfo"]["kubeletVersion"].as_str().unwrap_or_default()),
        address("InternalIP"),
        address("ExternalIP"),
        info("osImage"),
        info("kernelVersion"),
        info("containerRuntimeVersion"),
    ]
}

fn node_status(node: &Value) -> String {
    let ready = items(&node["status"]["conditions"]).find(|condition| condition["type"] == "Ready");
    let mut text = match ready.and_then(|condition| condition["status"].as_str()) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if node["spec"]["unschedulable"] == true {
        text.push_str(",SchedulingDisabled");
    }
    text
}

fn roles(node: &Value) -> String {
    let labels = node["metadata"]["labels"].as_object();
    let mut roles: Vec<_> = labels
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| match key.strip_prefix(ROLE_LABEL) {
            Some(role) => Some(role).filter(|role| !role.is_empty()),
            None if key == "kubernetes.io/role" => value.as_str(),
            None => None,
        })
        .collect();
    roles.sort_unstable();
    super::or_none(roles.join(","))
}

fn event_cells(event: &Value, now: TimestampMs) -> Vec<Value> {
    let time = |field: &str| {
        let own = &event[field];
        let fallback = if own.is_string() { own } else { &event["eventTime"] };
        json!(since(fallback, now))
    };
    let about = &event["involvedObject"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let source = match (text(&event["source"]["component"]), text(&event["source"]["host"])) {
        (component, host) if host.is_empty() => component,
        (component, host) => format!("{component}, {host}"),
    };
    vec![
        time("lastTimestamp"),
        json!(text(&event["type"])),
        json!(text(&event["reason"])),
        json!(format!("{}/{}", text(&about["kind"]).to_lowercase(), text(&about["name"]))),
        json!(text(&about["fieldPath"])),
        json!(source),
        json!(text(&event["message"]).trim()),
        time("firstTimestamp"),
        json!(count(&event["count"]).max(1).to_string()),
        json!(name(event)),
    ]
}
