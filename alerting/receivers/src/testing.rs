//! Runs conformance cases on what is rendered here: templates and signatures (`conformance/alertmanager`, fields as
//! in its README).

use std::collections::BTreeMap;

use serde_json::Value;
use swell_model::{Labels, TimestampMs};
use swell_route::testing::{CaseOutcome, Verdict, list, parse, text};
use swell_route::{Alert, NotifyReason};

use crate::{Notification, Templates, dingtalk_sign};

/// After every time in the data, so that an end that is given is over.
const AT: TimestampMs = TimestampMs(1_800_000_000_000);

const REASONS: [NotifyReason; 5] = [
    NotifyReason::FirstNotification,
    NotifyReason::NewAlerts,
    NotifyReason::AllResolved,
    NotifyReason::SomeResolved,
    NotifyReason::RepeatInterval,
];

/// The cases of `templates.json`. Those of HTML are not covered: no receiver sends it.
///
/// # Errors
/// When the data is not as its README says.
pub fn run_templates(file: &str) -> Result<Vec<CaseOutcome>, String> {
    let all = parse(file)?;
    let templates = Templates::new();
    let run = |case: &Value| {
        if case["mode"] == "html" {
            return Ok::<_, String>(Verdict::NotCovered);
        }
        let notification = notification(&all["datasets"][text(case, "dataset")?])?;
        let template = text(case, "template")?;
        let result =
            templates.renderer(&notification).text(template).map_err(|error| error.to_string());
        let is_good = match &result {
            Ok(text) => case["want"] == *text,
            Err(_) => case["error"] == true,
        };
        let why = || format!("{template:?}: {result:?} instead of {}", case["want"]);
        Ok(Verdict::of(is_good, why))
    };
    list(&all, "cases")?
        .iter()
        .map(|case| Ok(CaseOutcome { id: case["id"].to_string(), verdict: run(case)? }))
        .collect()
}

fn pairs(object: &Value, key: &str) -> Result<BTreeMap<String, String>, String> {
    let entries = object[key].as_object().ok_or_else(|| format!("{key:?} is no object"))?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(entries.iter().map(|(name, value)| (name.clone(), text(value))).collect())
}

fn time(object: &Value, key: &str) -> Result<Option<TimestampMs>, String> {
    let text = text(object, key)?;
    if text.is_empty() {
        return Ok(None);
    }
    let at: jiff::Timestamp = text.parse().map_err(|error| format!("{key:?}: {error}"))?;
    Ok(Some(TimestampMs(at.as_millisecond())))
}

fn notification(dataset: &Value) -> Result<Notification, String> {
    let alert = |alert: &Value| {
        Ok::<_, String>(Alert {
            labels: Labels::from_pairs(pairs(alert, "labels")?),
            annotations: pairs(alert, "annotations")?,
            starts_at: time(alert, "startsAt")?.ok_or("each alert starts")?,
            ends_at: time(alert, "endsAt")?.unwrap_or(TimestampMs::MAX),
            updated_at: AT,
            generator_url: text(alert, "generatorURL")?.to_owned(),
            timeout: false,
        })
    };
    Ok(Notification {
        group_key: "{}:{}".into(),
        receiver: text(dataset, "receiver")?.to_owned(),
        group_labels: Labels::from_pairs(pairs(dataset, "groupLabels")?),
        route_labels: pairs(dataset, "routeLabels")?,
        alerts: list(dataset, "alerts")?.iter().map(alert).collect::<Result<_, _>>()?,
        external_url: text(dataset, "externalURL")?.to_owned(),
        reason: REASONS.into_iter().find(|reason| dataset["notificationReason"] == reason.as_str()),
        at: AT,
    })
}

/// The cases of `signatures.json`. Those of Feishu are not covered: there is no such receiver.
///
/// # Errors
/// When the data is not as its README says.
pub fn run_signatures(file: &str) -> Result<Vec<CaseOutcome>, String> {
    let all = parse(file)?;
    let mut outcomes = Vec::new();
    for (nr, case) in (1..).zip(list(&all, "dingtalk")?) {
        let millis = text(case, "timestamp_ms")?.parse().map_err(|_| "a time is no number")?;
        let sign = dingtalk_sign(TimestampMs(millis), text(case, "secret")?);
        let escaped = swell_template::functions::query_escape(&sign);
        let is_good = case["sign"] == sign && case["sign_urlencoded"] == escaped;
        let verdict = Verdict::of(is_good, || format!("{sign} instead of {}", case["sign"]));
        outcomes.push(CaseOutcome { id: format!("dingtalk {nr}"), verdict });
    }
    let feishu = all["feishu"].as_array().map_or(0, Vec::len);
    outcomes.extend(
        (1..=feishu)
            .map(|nr| CaseOutcome { id: format!("feishu {nr}"), verdict: Verdict::NotCovered }),
    );
    Ok(outcomes)
}
