//! Alertmanager's API of silences.

use axum::extract::{Path, RawQuery, State};
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use serde_json::{Value, json};
use swell_http::{Privileged, Refused};
use swell_model::{Labels, Matcher, TimestampMs};
use swell_route::{Silence, SilenceFault, SilenceState, matches_all, parse_fallback};
use tokio::sync::oneshot;

use super::alertmanager::{ApiError, bad_request, facts};
use super::parameters::Parameters;
use crate::notifier::{Command, SilenceRefusal};
use crate::runner::AlertingHandle;
use crate::silences::{SilenceJson, shown};

pub(super) fn routes() -> Router<AlertingHandle> {
    Router::new()
        .route("/api/v2/silences", get(silences).post(post_silence))
        .route("/api/v2/silence/{id}", get(silence).delete(expire))
}

impl From<SilenceRefusal> for ApiError {
    fn from(refusal: SilenceRefusal) -> Self {
        let code = match &refusal {
            SilenceRefusal::Fault(SilenceFault::NotFound(_)) => StatusCode::NOT_FOUND,
            SilenceRefusal::Fault(_) => StatusCode::BAD_REQUEST,
            SilenceRefusal::NotWritten(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self(code, refusal.to_string())
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        Self(StatusCode::FORBIDDEN, refused.to_string())
    }
}

/// Hands a command to the notifier and waits for what came of it.
async fn ask<T>(
    handle: &AlertingHandle,
    command: impl FnOnce(oneshot::Sender<Result<T, SilenceRefusal>>) -> Command,
) -> Result<T, ApiError> {
    let ending = || {
        let message = "alerting is shutting down".to_owned();
        ApiError(StatusCode::SERVICE_UNAVAILABLE, message)
    };
    let (reply, wait) = oneshot::channel();
    handle.shared.commands.send(command(reply)).await.map_err(|_| ending())?;
    Ok(wait.await.map_err(|_| ending())??)
}

async fn silences(
    State(handle): State<AlertingHandle>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let parameters = Parameters::parse(query.as_deref());
    let mut filter = Vec::new();
    for text in parameters.all("filter") {
        filter.extend(parse_fallback(text).map_err(|error| bad_request(error.to_string()))?.0);
    }
    let flag = |name| parameters.flag(name, true).map_err(bad_request);
    let (active, pending, expired) = (flag("active")?, flag("pending")?, flag("expired")?);
    let (facts, now) = (facts(&handle).await?, handle.shared.clock.now());
    let wanted = |silence: &&Silence| {
        let state = match silence.state(now) {
            SilenceState::Active => active,
            SilenceState::Pending => pending,
            SilenceState::Expired => expired,
        };
        state && is_about(silence, &filter)
    };
    let mut found: Vec<&Silence> = facts.silences.iter().filter(wanted).collect();
    found.sort_by_key(|silence| order(silence, now));
    Ok(Json(found.into_iter().map(|silence| shown(silence, now)).collect()))
}

/// Whether the silence's own matchers, taken as labels, are what the filter asks for.
fn is_about(silence: &Silence, filter: &[Matcher]) -> bool {
    let pairs = silence.draft.matchers.iter();
    let labels = Labels::from_pairs(pairs.map(|it| (it.name.as_str(), it.value.as_str())));
    matches_all(filter, &labels)
}

/// Active ones first, by their end; then pending ones, by their start; then expired ones, the latest first.
fn order(silence: &Silence, now: TimestampMs) -> (SilenceState, i64) {
    let (starts, ends) = (silence.draft.starts_at.0, silence.draft.ends_at.0);
    match silence.state(now) {
        state @ SilenceState::Active => (state, ends),
        state @ SilenceState::Pending => (state, starts),
        state @ SilenceState::Expired => (state, -ends),
    }
}

async fn post_silence(
    State(handle): State<AlertingHandle>,
    privileged: Result<Privileged, Refused>,
    Json(posted): Json<SilenceJson>,
) -> Result<Json<Value>, ApiError> {
    privileged?;
    let draft = posted.draft(handle.shared.clock.now()).map_err(bad_request)?;
    let id = ask(&handle, |reply| Command::Silence(Box::new(draft), reply)).await?;
    Ok(Json(json!({"silenceID": id})))
}

async fn silence(
    State(handle): State<AlertingHandle>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let facts = facts(&handle).await?;
    let found = facts.silences.get(&id).map(|silence| shown(silence, handle.shared.clock.now()));
    let missing = || SilenceRefusal::Fault(SilenceFault::NotFound(id));
    Ok(Json(found.ok_or_else(missing)?))
}

async fn expire(
    State(handle): State<AlertingHandle>,
    privileged: Result<Privileged, Refused>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    privileged?;
    ask(&handle, |reply| Command::Expire(id, reply)).await?;
    Ok(StatusCode::OK)
}
