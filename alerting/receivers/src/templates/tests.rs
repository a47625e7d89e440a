//! The template cases of the conformance data.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value as Json;
use swell_model::{Labels, TimestampMs};
use swell_route::{Alert, NotifyReason};

use super::*;

/// After every time in the data, so that an end that is given is over.
const AT: TimestampMs = TimestampMs(1_800_000_000_000);

fn notification(dataset: &Json) -> Notification {
    let pairs = |value: &Json| -> BTreeMap<String, String> {
        let entries = value.as_object().expect("an object").iter();
        entries
            .map(|(name, value)| (name.clone(), value.as_str().expect("a text").to_owned()))
            .collect()
    };
    let time = |value: &Json| -> Option<TimestampMs> {
        let text = value.as_str().expect("a text");
        let timestamp: jiff::Timestamp =
            (!text.is_empty()).then(|| text.parse().expect("a time"))?;
        Some(TimestampMs(timestamp.as_millisecond()))
    };
    let text = |value: &Json| value.as_str().expect("a text").to_owned();
    let reasons = [
        NotifyReason::FirstNotification,
        NotifyReason::NewAlerts,
        NotifyReason::AllResolved,
        NotifyReason::SomeResolved,
        NotifyReason::RepeatInterval,
    ];
    Notification {
        group_key: "{}:{}".into(),
        receiver: text(&dataset["receiver"]),
        group_labels: Labels::from_pairs(pairs(&dataset["groupLabels"])),
        route_labels: pairs(&dataset["routeLabels"]),
        alerts: dataset["alerts"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|alert| Alert {
                labels: Labels::from_pairs(pairs(&alert["labels"])),
                annotations: pairs(&alert["annotations"]),
                starts_at: time(&alert["startsAt"]).expect("each alert starts"),
                ends_at: time(&alert["endsAt"]).unwrap_or(TimestampMs::MAX),
                updated_at: AT,
                generator_url: text(&alert["generatorURL"]),
                timeout: false,
            })
            .collect(),
        external_url: text(&dataset["externalURL"]),
        reason: reasons.into_iter().find(|reason| dataset["notificationReason"] == reason.as_str()),
        at: AT,
    }
}

#[test]
fn templates_of_the_conformance_data() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/conformance/alertmanager/templates.json");
    if !file.exists() {
        println!("SKIPPED: {} is not there", file.display());
        assert!(
            std::env::var_os("CI").is_none_or(|ci| ci != "true"),
            "the data must be there in CI"
        );
        return;
    }
    let text = fs::read_to_string(file).expect("the data is readable");
    let all: Json = serde_json::from_str(&text).expect("the data is JSON");
    let templates = Templates::new();
    let (mut passed, mut html, mut failures) = (0, 0, Vec::new());
    for case in all["cases"].as_array().expect("a list") {
        if case["mode"] == "html" {
            html += 1;
            continue;
        }
        let notification =
            notification(&all["datasets"][case["dataset"].as_str().expect("a name")]);
        let template = case["template"].as_str().expect("a text");
        let result =
            templates.renderer(&notification).text(template).map_err(|error| error.to_string());
        let good = match &result {
            Ok(text) => case["want"] == *text,
            Err(_) => case["error"] == true,
        };
        if good {
            passed += 1;
        } else {
            failures.push(format!(
                "{} {template:?}: {result:?} instead of {}",
                case["id"], case["want"]
            ));
        }
    }
    println!(
        "alertmanager, templates.json: {passed} passed, {} failed, {html} not covered (HTML escaping)",
        failures.len()
    );
    assert!(failures.is_empty(), "{failures:#?}");
}
