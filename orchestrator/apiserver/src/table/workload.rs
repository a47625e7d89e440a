//! Deployments, replica sets and autoscalers.

use serde_json::{Value, json};
use swell_model::TimestampMs;

use super::{
    AGE, NAME, Printer, age, count, items, name, number, or_none, selector_text, text, wide,
};

pub(super) const DEPLOYMENT: Printer = Printer {
    columns: &[
        NAME,
        text("Ready"),
        text("Up-to-date"),
        text("Available"),
        AGE,
        wide("Containers"),
        wide("Images"),
        wide("Selector"),
    ],
    cells: |object, now| {
        let (spec, status) = (&object["spec"], &object["status"]);
        let (containers, images) = containers(&spec["template"]);
        vec![
            json!(name(object)),
            json!(format!("{}/{}", count(&status["readyReplicas"]), count(&spec["replicas"]))),
            json!(count(&status["updatedReplicas"])),
            json!(count(&status["availableReplicas"])),
            age(object, now),
            json!(containers),
            json!(images),
            json!(or_none(selector_text(&spec["selector"]).unwrap_or_default())),
        ]
    },
};

pub(super) const REPLICA_SET: Printer = Printer {
    columns: &[
        NAME,
        number("Desired"),
        number("Current"),
        number("Ready"),
        AGE,
        wide("Containers"),
        wide("Images"),
        wide("Selector"),
    ],
    cells: |object, now| {
        let (spec, status) = (&object["spec"], &object["status"]);
        let (containers, images) = containers(&spec["template"]);
        vec![
            json!(name(object)),
            json!(count(&spec["replicas"])),
            json!(count(&status["replicas"])),
            json!(count(&status["readyReplicas"])),
            age(object, now),
            json!(containers),
            json!(images),
            json!(or_none(selector_text(&spec["selector"]).unwrap_or_default())),
        ]
    },
};

pub(super) const HPA: Printer = Printer {
    columns: &[
        NAME,
        text("Reference"),
        text("Targets"),
        text("MinPods"),
        text("MaxPods"),
        text("Replicas"),
        AGE,
    ],
    cells: hpa_cells,
};

fn containers(template: &Value) -> (String, String) {
    let list = |field: &str| {
        let texts: Vec<_> = items(&template["spec"]["containers"])
            .map(|container| container[field].as_str().unwrap_or_default())
            .collect();
        texts.join(",")
    };
    (list("name"), list("image"))
}

fn hpa_cells(object: &Value, now: TimestampMs) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let target = &spec["scaleTargetRef"];
    let texts: Vec<_> = items(&spec["metrics"])
        .enumerate()
        .map(|(idx, metric)| metric_text(metric, &status["currentMetrics"][idx]))
        .collect();
    let part = |field: &str| target[field].as_str().unwrap_or_default().to_owned();
    let shown =
        if texts.is_empty() { "<none>".to_owned() } else { texts[..texts.len().min(2)].join(", ") };
    let more = texts.len().saturating_sub(2);
    let shown = if more > 0 { format!("{shown} + {more} more...") } else { shown };
    vec![
        json!(name(object)),
        json!(format!("{}/{}", part("kind"), part("name"))),
        json!(shown),
        spec["minReplicas"].as_i64().map_or_else(|| json!("<unset>"), |min| json!(min.to_string())),
        json!(count(&spec["maxReplicas"]).to_string()),
        json!(count(&status["currentReplicas"]).to_string()),
        age(object, now),
    ]
}

/// `cpu: 42%/50%`, as kubectl 1.30 and newer show it.
fn metric_text(metric: &Value, current: &Value) -> String {
    let (source, is_resource) = match metric["type"].as_str() {
        Some("Resource") => ("resource", true),
        Some("ContainerResource") => ("containerResource", true),
        Some("Pods") => ("pods", false),
        Some("Object") => ("object", false),
        Some("External") => ("external", false),
        _ => return "<unknown type>".to_owned(),
    };
    let target = &metric[source]["target"];
    let now = &current[source]["current"];
    let plain = |value: &Value| value.as_str().map(str::to_owned);
    let percent = |value: &Value| value.as_i64().map(|percent| format!("{percent}%"));
    let unknown = || "<unknown>".to_owned();
    let pair = if target["averageUtilization"].is_i64() {
        let wanted = percent(&target["averageUtilization"]).unwrap_or_default();
        format!("{}/{wanted}", percent(&now["averageUtilization"]).unwrap_or_else(unknown))
    } else if let Some(wanted) = plain(&target["averageValue"]) {
        let suffix = if source == "external" { " (avg)" } else { "" };
        format!("{}/{wanted}{suffix}", plain(&now["averageValue"]).unwrap_or_else(unknown))
    } else {
        let wanted = plain(&target["value"]).unwrap_or_else(unknown);
        format!("{}/{wanted}", plain(&now["value"]).unwrap_or_else(unknown))
    };
    match metric[source]["name"].as_str().filter(|_| is_resource) {
        Some(name) => format!("{name}: {pair}"),
        None => pair,
    }
}
