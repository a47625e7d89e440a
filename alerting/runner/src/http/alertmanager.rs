//! Alertmanager's API version 2; silences are in a file of their own.

use std::collections::BTreeMap;

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use swell_model::{DurationMs, Labels, MatchOp, Matcher, TimestampMs};
use swell_route::{
    Alert, Fingerprint, GroupBy, RouteId, RouteTree, canonical, matches_all, parse_fallback,
};

use super::parameters::Parameters;
use super::{label_object, rfc3339};
use crate::picture::{AlertGroupView, AlertView, Facts, Picture};
use crate::runner::AlertingHandle;

pub(super) fn routes() -> Router<AlertingHandle> {
    Router::new()
        .route("/api/v2/status", get(status))
        .route("/api/v2/receivers", get(receivers))
        .route("/api/v2/alerts", get(alerts).post(post_alerts))
        .route("/api/v2/alerts/groups", get(groups))
}

/// An error as Alertmanager says it: a JSON text.
pub(super) struct ApiError(pub(super) StatusCode, pub(super) String);

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.0, Json(self.1)).into_response()
    }
}

pub(super) fn bad_request(message: impl Into<String>) -> ApiError {
    ApiError(StatusCode::BAD_REQUEST, message.into())
}

fn unavailable(error: impl std::fmt::Display) -> ApiError {
    ApiError(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
}

pub(super) async fn facts(handle: &AlertingHandle) -> Result<Facts, ApiError> {
    handle.facts().await.map_err(unavailable)
}

/// What `show` makes of the picture of all alerts, away from the threads that serve connections.
async fn shown_picture(
    handle: &AlertingHandle,
    show: impl FnOnce(&Picture) -> Vec<Value> + Send + 'static,
) -> Result<Json<Value>, ApiError> {
    let snapshot = handle.snapshot().await.map_err(unavailable)?;
    let shown = tokio::task::spawn_blocking(move || show(&snapshot.picture()));
    let shown = shown.await.map_err(|error| {
        ApiError(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("showing alerts failed inside: {error}"),
        )
    })?;
    Ok(Json(shown.into()))
}

async fn status(State(handle): State<AlertingHandle>) -> Result<Json<Value>, ApiError> {
    let facts = facts(&handle).await?;
    let version = swell_telemetry::VERSION;
    Ok(Json(json!({
        "cluster": {"status": "disabled", "peers": []},
        "versionInfo": {
            "version": version, "revision": "", "branch": "", "buildUser": "", "buildDate": "", "goVersion": "",
        },
        "config": {"original": shown_config(&facts)},
        "uptime": rfc3339(Some(handle.shared.started_at)),
    })))
}

/// The configuration as YAML (of which JSON is a part) that says what is routed where, without secrets.
fn shown_config(facts: &Facts) -> String {
    let config = &facts.config.config;
    let receivers: Vec<Value> =
        config.receivers.iter().map(|receiver| json!({"name": receiver.name})).collect();
    json!({
        "global": {"resolve_timeout": config.resolve_timeout.to_string()},
        "route": route_json(&config.route, RouteId(0)),
        "receivers": receivers,
    })
    .to_string()
}

fn route_json(tree: &RouteTree, id: RouteId) -> Value {
    let route = tree.route(id);
    let group_by: Vec<&str> = match &route.group_by {
        GroupBy::All => vec!["..."],
        GroupBy::Labels(names) => names.iter().map(String::as_str).collect(),
    };
    let mut shown = json!({
        "receiver": route.receiver,
        "group_by": group_by,
        "group_wait": route.group_wait.to_string(),
        "group_interval": route.group_interval.to_string(),
        "repeat_interval": route.repeat_interval.to_string(),
    });
    if id != RouteId(0) {
        shown["continue"] = json!(route.continues);
        shown["matchers"] =
            route.matchers.iter().map(|matcher| json!(canonical(matcher))).collect();
    }
    if !route.children.is_empty() {
        shown["routes"] = route.children.iter().map(|child| route_json(tree, *child)).collect();
    }
    shown
}

async fn receivers(State(handle): State<AlertingHandle>) -> Result<Json<Value>, ApiError> {
    let facts = facts(&handle).await?;
    let receivers = facts.config.config.receivers.iter();
    Ok(Json(
        receivers
            .map(|receiver| json!({"name": receiver.name, "labels": receiver.labels}))
            .collect(),
    ))
}

/// Which alerts a request wants.
struct AlertFilter {
    matchers: Vec<Matcher>,
    active: bool,
    inhibited: bool,
    silenced: bool,
    muted: bool,
    receiver: Option<Matcher>,
}

impl AlertFilter {
    fn parse(query: Option<&str>) -> Result<Self, ApiError> {
        let parameters = Parameters::parse(query);
        let mut matchers = Vec::new();
        for text in parameters.all("filter") {
            matchers
                .extend(parse_fallback(text).map_err(|error| bad_request(error.to_string()))?.0);
        }
        let receiver = parameters.one("receiver").filter(|pattern| !pattern.is_empty());
        let receiver =
            receiver.map(|pattern| Matcher::new("receiver", MatchOp::Regex, pattern)).transpose();
        Ok(Self {
            matchers,
            active: parameters.flag("active", true).map_err(bad_request)?,
            inhibited: parameters.flag("inhibited", true).map_err(bad_request)?,
            silenced: parameters.flag("silenced", true).map_err(bad_request)?,
            muted: parameters.flag("muted", true).map_err(bad_request)?,
            receiver: receiver.map_err(|error| bad_request(error.to_string()))?,
        })
    }

    fn admits_receiver(&self, name: &str) -> bool {
        self.receiver.as_ref().is_none_or(|receiver| receiver.matches(name))
    }

    fn admits(&self, view: &AlertView, muted_by: &[String]) -> bool {
        (self.active || is_suppressed(view, muted_by))
            && (self.inhibited || view.inhibited_by.is_none())
            && (self.silenced || view.silenced_by.is_empty())
            && (self.muted || muted_by.is_empty())
            && matches_all(&self.matchers, &view.alert.labels)
            && view.receivers.iter().any(|receiver| self.admits_receiver(receiver))
    }
}

async fn alerts(
    State(handle): State<AlertingHandle>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let filter = AlertFilter::parse(query.as_deref())?;
    let show = move |picture: &Picture| {
        let admitted = picture.alerts.iter().filter(|alert| filter.admits(alert, &alert.muted_by));
        admitted.map(|alert| alert_json(alert, &alert.muted_by)).collect()
    };
    shown_picture(&handle, show).await
}

/// Whether nobody is told of it now.
fn is_suppressed(view: &AlertView, muted_by: &[String]) -> bool {
    view.inhibited_by.is_some() || !view.silenced_by.is_empty() || !muted_by.is_empty()
}

/// An alert, muted by what mutes it where it is shown: by itself all of its routes, in a group that of the group.
fn alert_json(view: &AlertView, muted_by: &[String]) -> Value {
    let alert = &view.alert;
    let inhibited_by: Vec<String> = view.inhibited_by.iter().map(Fingerprint::to_string).collect();
    let receivers: Vec<Value> = view.receivers.iter().map(|name| json!({"name": name})).collect();
    json!({
        "labels": label_object(&alert.labels),
        "annotations": alert.annotations,
        "startsAt": rfc3339(Some(alert.starts_at)),
        "endsAt": rfc3339(Some(alert.ends_at)),
        "updatedAt": rfc3339(Some(alert.updated_at)),
        "fingerprint": alert.fingerprint().to_string(),
        "generatorURL": alert.generator_url,
        "receivers": receivers,
        "status": {
            "state": if is_suppressed(view, muted_by) { "suppressed" } else { "active" },
            "silencedBy": view.silenced_by,
            "inhibitedBy": inhibited_by,
            "mutedBy": muted_by,
        },
    })
}

async fn groups(
    State(handle): State<AlertingHandle>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let filter = AlertFilter::parse(query.as_deref())?;
    shown_picture(&handle, move |picture| shown_groups(picture, &filter)).await
}

fn shown_groups(picture: &Picture, filter: &AlertFilter) -> Vec<Value> {
    let mut groups = Vec::new();
    let wanted = |group: &&AlertGroupView| {
        filter.admits_receiver(&group.receiver) && (filter.muted || group.muted_by.is_empty())
    };
    for group in picture.groups.iter().filter(wanted) {
        let members = group.alerts.iter().map(|idx| &picture.alerts[*idx]);
        let admitted = members.filter(|alert| filter.admits(alert, &group.muted_by));
        let alerts: Vec<Value> = admitted.map(|alert| alert_json(alert, &group.muted_by)).collect();
        if !alerts.is_empty() {
            groups.push(json!({
                "labels": label_object(&group.labels),
                "receiver": {"name": group.receiver},
                "alerts": alerts,
            }));
        }
    }
    groups
}

/// An alert as it is posted; unknown keys are other versions' business.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PostedAlert {
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    starts_at: Option<String>,
    ends_at: Option<String>,
    #[serde(default, rename = "generatorURL")]
    generator_url: String,
}

async fn post_alerts(
    State(handle): State<AlertingHandle>,
    Json(posted): Json<Vec<PostedAlert>>,
) -> Result<StatusCode, ApiError> {
    let resolve_timeout = facts(&handle).await?.config.config.resolve_timeout;
    let now = handle.shared.clock.now();
    let (mut valid, mut faults) = (Vec::new(), Vec::new());
    for (idx, posted) in posted.into_iter().enumerate() {
        match check_posted(posted, resolve_timeout, now) {
            Ok(alert) => valid.push(alert),
            Err(fault) => faults.push(format!("alert {idx}: {fault}")),
        }
    }
    if !valid.is_empty() {
        handle
            .post_alerts(valid)
            .await
            .map_err(|error| ApiError(StatusCode::SERVICE_UNAVAILABLE, error.to_string()))?;
    }
    if faults.is_empty() { Ok(StatusCode::OK) } else { Err(bad_request(faults.join("; "))) }
}

fn check_posted(
    posted: PostedAlert,
    resolve_timeout: DurationMs,
    now: TimestampMs,
) -> Result<Alert, String> {
    let time = |key: &str, text: Option<String>| -> Result<Option<TimestampMs>, String> {
        match text.filter(|text| !text.is_empty()) {
            None => Ok(None),
            Some(text) => {
                let parsed: Result<jiff::Timestamp, _> = text.parse();
                let parsed = parsed
                    .map_err(|error| format!("{key} {text:?} is no RFC 3339 time: {error}"))?;
                // Go's zero time stands for no time.
                Ok(Some(TimestampMs(parsed.as_millisecond())).filter(|at| at.0 > 0))
            }
        }
    };
    let (starts_at, ends_at) =
        (time("startsAt", posted.starts_at)?, time("endsAt", posted.ends_at)?);
    let labels = Labels::from_pairs(posted.labels);
    if labels.is_empty() {
        return Err("at least one label pair required".into());
    }
    let starts_at = starts_at.unwrap_or_else(|| ends_at.map_or(now, |ends_at| ends_at.min(now)));
    if ends_at.is_some_and(|ends_at| ends_at < starts_at) {
        return Err("start time must be before end time".into());
    }
    Ok(Alert {
        labels,
        annotations: posted.annotations,
        starts_at,
        ends_at: ends_at.unwrap_or(now + resolve_timeout),
        updated_at: now,
        generator_url: posted.generator_url,
        timeout: ends_at.is_none(),
    })
}
