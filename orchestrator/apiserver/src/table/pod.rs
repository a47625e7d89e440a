//! Pods.

use serde_json::{Value, json};
use swell_model::TimestampMs;

use super::{AGE, NAME, Printer, age, count, items, name, text, wide};

pub(super) const POD: Printer = Printer {
    columns: &[
        NAME,
        text("Ready"),
        text("Status"),
        text("Restarts"),
        AGE,
        wide("IP"),
        wide("Node"),
        wide("Nominated Node"),
        wide("Readiness Gates"),
    ],
    cells,
};

fn cells(pod: &Value, now: TimestampMs) -> Vec<Value> {
    let containers = items(&pod["spec"]["containers"]).count();
    let statuses = &pod["status"]["containerStatuses"];
    let ready = items(statuses).filter(|status| status["ready"] == true).count();
    let or_none =
        |value: &Value| json!(value.as_str().filter(|text| !text.is_empty()).unwrap_or("<none>"));
    vec![
        json!(name(pod)),
        json!(format!("{ready}/{containers}")),
        json!(phase(pod)),
        json!(restarts(pod, now)),
        age(pod, now),
        or_none(&pod["status"]["podIP"]),
        or_none(&pod["spec"]["nodeName"]),
        or_none(&pod["status"]["nominatedNodeName"]),
        json!(gates(pod)),
    ]
}

fn gates(pod: &Value) -> String {
    let gates: Vec<_> = items(&pod["spec"]["readinessGates"]).collect();
    if gates.is_empty() {
        return "<none>".to_owned();
    }
    let is_true = |gate: &&&Value| {
        items(&pod["status"]["conditions"]).any(|condition| {
            condition["type"] == gate["conditionType"] && condition["status"] == "True"
        })
    };
    format!("{}/{}", gates.iter().filter(is_true).count(), gates.len())
}

fn restarts(pod: &Value, now: TimestampMs) -> String {
    let total: i64 = items(&pod["status"]["containerStatuses"])
        .map(|status| count(&status["restartCount"]))
        .sum();
    let last = items(&pod["status"]["containerStatuses"])
        .filter_map(|status| status["lastState"]["terminated"]["finishedAt"].as_str())
        .max();
    match last {
        Some(last) if total > 0 => {
            format!("{total} ({} ago)", super::age::since(&json!(last), now))
        }
        _ => total.to_string(),
    }
}

/// The word for a pod's state: why it waits, how it ended, or its phase.
fn phase(pod: &Value) -> String {
    let status = &pod["status"];
    let own = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let mut reason = own(&status["reason"]).or_else(|| own(&status["phase"])).unwrap_or_default();
    let initializing =
        items(&status["initContainerStatuses"]).enumerate().find_map(|(idx, init)| {
            init_reason(init, idx, items(&pod["spec"]["initContainers"]).count())
        });
    if let Some(initializing) = &initializing {
        reason.clone_from(initializing);
    } else {
        let mut has_running = false;
        let statuses: Vec<_> = items(&status["containerStatuses"]).collect();
        for container in statuses.into_iter().rev() {
            let state = &container["state"];
            if let Some(waiting) = own(&state["waiting"]["reason"]) {
                reason = waiting;
            } else if state["terminated"].is_object() {
                reason = termination(&state["terminated"]);
            } else if container["ready"] == true && state["running"].is_object() {
                has_running = true;
            }
        }
        if reason == "Completed" && has_running {
            let ready = items(&status["conditions"])
                .any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
            reason = if ready { "Running" } else { "NotReady" }.to_owned();
        }
    }
    if pod["metadata"]["deletionTimestamp"].is_string() {
        let phase = status["phase"].as_str();
        if status["reason"] == "NodeLost" {
            return "Unknown".to_owned();
        }
        if !matches!(phase, Some("Failed" | "Succeeded")) {
            return "Terminating".to_owned();
        }
    }
    reason
}

fn termination(terminated: &Value) -> String {
    match terminated["reason"].as_str().filter(|reason| !reason.is_empty()) {
        Some(reason) => reason.to_owned(),
        None if count(&terminated["signal"]) != 0 => format!("Signal:{}", terminated["signal"]),
        None => format!("ExitCode:{}", count(&terminated["exitCode"])),
    }
}

/// What an init container keeps the pod waiting with; none when it is done.
fn init_reason(init: &Value, idx: usize, count_all: usize) -> Option<String> {
    let state = &init["state"];
    if state["terminated"].is_object() {
        if count(&state["terminated"]["exitCode"]) == 0 {
            return None;
        }
        return Some(format!("Init:{}", termination(&state["terminated"])));
    }
    match state["waiting"]["reason"].as_str() {
        Some(reason) if !reason.is_empty() && reason != "PodInitializing" => {
            Some(format!("Init:{reason}"))
        }
        _ => Some(format!("Init:{idx}/{count_all}")),
    }
}
