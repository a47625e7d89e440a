//! `/api/v1/rules`, `/api/v1/alerts` and `/api/v1/alertmanagers`.

use axum::extract::{RawQuery, State};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use swell_http::ErrorBody;
use swell_route::matches_all;
use swell_rules::{AlertInstance, AlertState, Rule};
use swell_template::format_float;

use super::parameters::Parameters;
use super::{label_object, rfc3339};
use crate::runner::AlertingHandle;
use crate::view::{GroupView, RuleHealth, RuleView};

pub(super) fn routes() -> Router<AlertingHandle> {
    Router::new()
        .route("/api/v1/rules", get(rules))
        .route("/api/v1/alerts", get(alerts))
        .route("/api/v1/alertmanagers", get(alertmanagers))
}

fn success(data: Value) -> Json<Value> {
    Json(json!({"status": "success", "data": data}))
}

async fn rules(
    State(handle): State<AlertingHandle>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ErrorBody> {
    let parameters = Parameters::parse(query.as_deref());
    let (recording, alerting) = match parameters.one("type") {
        None | Some("") => (true, true),
        Some("record") => (true, false),
        Some("alert") => (false, true),
        Some(other) => {
            return Err(ErrorBody::bad_data(format!(
                "not supported value {other:?}: type is alert or record"
            )));
        }
    };
    let exclude_alerts = parameters.flag("exclude_alerts", false).map_err(ErrorBody::bad_data)?;
    let mut selectors = Vec::new();
    for text in parameters.all("match") {
        let selector = swell_promql_syntax::parse_selector(text);
        selectors.push(selector.map_err(|error| ErrorBody::bad_data(error.to_string()))?.matchers);
    }
    let chosen = |rule: &RuleView| {
        let kind = match rule.rule.as_ref() {
            Rule::Recording(_) => recording,
            Rule::Alerting(_) => alerting,
        };
        let labels = swell_model::Labels::from_pairs(rule.rule.label_texts());
        kind && parameters.admits("rule_name", rule.rule.name())
            && (selectors.is_empty()
                || selectors.iter().any(|matchers| matches_all(matchers, &labels)))
    };
    let mut groups = Vec::new();
    for group in handle.groups() {
        if !parameters.admits("rule_group", &group.name) || !parameters.admits("file", &group.file)
        {
            continue;
        }
        let rules: Vec<Value> = group
            .rules
            .iter()
            .filter(|rule| chosen(rule))
            .map(|rule| rule_json(rule, exclude_alerts))
            .collect();
        if !rules.is_empty() {
            groups.push(group_json(&group, rules));
        }
    }
    Ok(success(json!({ "groups": groups })))
}

fn group_json(group: &GroupView, rules: Vec<Value>) -> Value {
    json!({
        "name": group.name,
        "file": group.file,
        "rules": rules,
        "interval": group.interval.as_seconds(),
        "limit": group.limit,
        "evaluationTime": group.duration_s,
        "lastEvaluation": rfc3339(group.evaluated_at),
    })
}

fn rule_json(rule: &RuleView, exclude_alerts: bool) -> Value {
    let (health, error) = match &rule.health {
        RuleHealth::Unknown => ("unknown", None),
        RuleHealth::Ok => ("ok", None),
        RuleHealth::Failed(why) => ("err", Some(why)),
    };
    let mut shown = json!({
        "name": rule.rule.name(),
        "query": rule.rule.expr().to_string(),
        "labels": rule.rule.label_texts(),
        "health": health,
        "evaluationTime": rule.duration_s,
        "lastEvaluation": rfc3339(rule.evaluated_at),
    });
    if let Some(error) = error {
        shown["lastError"] = json!(error);
    }
    match rule.rule.as_ref() {
        Rule::Recording(_) => shown["type"] = json!("recording"),
        Rule::Alerting(alerting) => {
            shown["type"] = json!("alerting");
            shown["state"] = json!(rule.state().map_or("unknown", AlertState::as_str));
            shown["duration"] = json!(alerting.for_.as_seconds());
            shown["keepFiringFor"] = json!(alerting.keep_firing_for.as_seconds());
            shown["annotations"] = json!(alerting.annotation_texts());
            if !exclude_alerts {
                shown["alerts"] = active(rule).map(alert_json).collect();
            }
        }
    }
    shown
}

fn active(rule: &RuleView) -> impl Iterator<Item = &AlertInstance> {
    rule.alerts.iter().filter(|alert| alert.state != AlertState::Inactive)
}

fn alert_json(alert: &AlertInstance) -> Value {
    let mut shown = json!({
        "labels": label_object(&alert.labels),
        "annotations": alert.annotations,
        "state": alert.state.as_str(),
        "activeAt": rfc3339(Some(alert.active_at)),
        "value": format_float(alert.value, 'e', None),
    });
    if let Some(since) = alert.keep_firing_since {
        shown["keepFiringSince"] = json!(rfc3339(Some(since)));
    }
    shown
}

async fn alerts(State(handle): State<AlertingHandle>) -> Json<Value> {
    let groups = handle.groups();
    let alerts: Vec<Value> =
        groups.iter().flat_map(|group| &group.rules).flat_map(active).map(alert_json).collect();
    success(json!({ "alerts": alerts }))
}

/// Rules and notifier are one process: it is its own and only Alertmanager.
async fn alertmanagers(State(handle): State<AlertingHandle>) -> Json<Value> {
    let url = format!("{}/api/v2/alerts", handle.shared.external_url);
    success(json!({"activeAlertmanagers": [{"url": url}], "droppedAlertmanagers": []}))
}
