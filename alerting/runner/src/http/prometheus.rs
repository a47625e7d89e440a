//! `/api/v1/rules`, `/api/v1/alerts` and `/api/v1/alertmanagers`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::{RawQuery, State};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
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
    let wanted = parameters.one("type").unwrap_or_default().to_ascii_lowercase();
    let (recording, alerting) = match wanted.as_str() {
        "" => (true, true),
        "record" => (true, false),
        "alert" => (false, true),
        other => {
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
    let page = Page::parse(&parameters).map_err(ErrorBody::bad_data)?;
    let (mut groups, mut next) = (Vec::new(), None);
    let mut all = handle.groups();
    all.sort_by(|one, other| (&one.file, &one.name).cmp(&(&other.file, &other.name)));
    let start = page.start(&all).map_err(ErrorBody::bad_data)?;
    for group in &all[start..] {
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
        if rules.is_empty() {
            continue;
        }
        if page.limit.is_some_and(|limit| groups.len() >= limit) {
            next = Some(token(group));
            break;
        }
        groups.push(group_json(group, rules));
    }
    let mut data = json!({ "groups": groups });
    if let Some(next) = next {
        data["groupNextToken"] = json!(next);
    }
    Ok(success(data))
}

/// Which part of the groups is wanted.
struct Page<'a> {
    /// Groups at most.
    limit: Option<usize>,
    /// The group that the page begins with.
    token: Option<&'a str>,
}

impl<'a> Page<'a> {
    fn parse(parameters: &'a Parameters) -> Result<Self, String> {
        let given = |name| parameters.one(name).filter(|text: &&str| !text.is_empty());
        let limit = given("group_limit").map(|text| {
            let limit = text.parse().ok().filter(|limit| *limit > 0_usize);
            limit.ok_or_else(|| format!("group_limit must be a number above 0, not {text:?}"))
        });
        let (limit, token) = (limit.transpose()?, given("group_next_token"));
        if token.is_some() && limit.is_none() {
            return Err("group_next_token is of use with a group_limit only".to_owned());
        }
        Ok(Self { limit, token })
    }

    /// Position of the first group.
    fn start(&self, groups: &[Arc<GroupView>]) -> Result<usize, String> {
        let Some(wanted) = self.token else { return Ok(0) };
        let found = groups.iter().position(|group| token(group) == wanted);
        found.ok_or_else(|| {
            format!("invalid group_next_token {wanted:?}: there is no such group now, begin again without it")
        })
    }
}

/// Names a group for the next page.
fn token(group: &GroupView) -> String {
    use std::fmt::Write as _;
    let digest = Sha256::digest(format!("{};{}", group.file, group.name));
    let mut text = String::with_capacity(digest.len() * 2);
    for byte in digest {
        write!(text, "{byte:02x}").expect("strings take all");
    }
    text
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

/// Whom alerts are handed to: the Alertmanagers outside; and this process, which is its own where it tells anybody or
/// there is no other.
async fn alertmanagers(State(handle): State<AlertingHandle>) -> Json<Value> {
    let (mut active, dropped) = handle.shared.forwarder.addresses();
    if active.is_empty() || handle.shared.tells_somebody.load(Ordering::Relaxed) {
        active.insert(0, format!("{}/api/v2/alerts", handle.shared.external_url));
    }
    let listed =
        |urls: Vec<String>| -> Value { urls.iter().map(|url| json!({"url": url})).collect() };
    success(json!({
        "activeAlertmanagers": listed(active),
        "droppedAlertmanagers": listed(dropped),
    }))
}
