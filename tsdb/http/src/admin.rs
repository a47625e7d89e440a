//! `/admin/tsdb/…`: deletion and snapshots, and `/api/swell/v1/tsdb/adopt`. Off unless the server is told otherwise, and open to
//! this host only, since these calls change what is stored.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::Arc;

use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use serde_json::json;
use swell_engine::{AdoptError, Db, MaintainError, SnapshotError};
use swell_model::TimestampMs;
use swell_telemetry::chain;

use crate::answer::success;
use crate::error::ApiError;
use crate::params::Params;
use crate::service::Api;
use swell_http::Privileged;

/// Proof that the admin API is on, and open to who asks.
pub(crate) struct Allowed;

impl FromRequestParts<Arc<Api>> for Allowed {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, ApiError> {
        if !api.config.admin_api {
            return Err(ApiError::unavailable("admin APIs disabled"));
        }
        let privileged = Privileged::from_request_parts(parts, api).await;
        privileged.map(|_| Self).map_err(|refused| {
            ApiError::bad_data(refused.to_string()).with_code(StatusCode::FORBIDDEN)
        })
    }
}

/// Deletes what is stored of the selected series.
pub(crate) async fn delete_series(
    _allowed: Allowed,
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, ApiError> {
    let selectors = params.any_selectors()?;
    if selectors.is_empty() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    // `{}`, as an empty variable leaves it, is nothing in Prometheus; here it would be everything
    if selectors.iter().any(Vec::is_empty) {
        let told =
            "a selector without matchers deletes nothing: {__name__=~\".+\"} selects all series";
        return Err(ApiError::bad_param("match[]", told.to_owned()));
    }
    let range = params.range()?;
    work(&api, move |db| {
        for matchers in &selectors {
            db.delete_series(matchers, range).map_err(failed)?;
        }
        Ok(())
    })
    .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Takes what was deleted out of the files.
pub(crate) async fn clean_tombstones(
    _allowed: Allowed,
    State(api): State<Arc<Api>>,
) -> Result<Response, ApiError> {
    work(&api, |db| db.clean_tombstones().map(drop).map_err(failed)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Copies the storage as it is now into `snapshots/NAME`; answers with the name.
pub(crate) async fn snapshot(
    _allowed: Allowed,
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, ApiError> {
    let skip_head = params.flag("skip_head", false)?;
    let name = snapshot_name(api.clock.now());
    let made = name.clone();
    work(&api, move |db| {
        db.snapshot(&made, !skip_head).map(drop).map_err(|error: SnapshotError| {
            ApiError::internal(format!("create snapshot: {}", chain(&error)))
        })
    })
    .await?;
    Ok(success(&json!({"name": name})))
}

/// Takes in a block that `swell tsdb import` made in the data directory, and makes the aggregates of its times anew.
pub(crate) async fn adopt(
    _allowed: Allowed,
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, ApiError> {
    let folder = params.required("folder")?.to_owned();
    let block = params.required("block")?.to_owned();
    let (report, anew_count) = work(&api, move |db| {
        let report = db.adopt(&folder, &block).map_err(not_adopted)?;
        let anew = report.range.map_or(Ok(0), |range| db.aggregate_anew(range));
        Ok((report, anew.map_err(failed)?))
    })
    .await?;
    Ok(success(&json!({
        "series": report.series_count,
        "samples": report.sample_count,
        "leftOut": report.left_out,
        "memoryFromMs": report.memory_from.map(|from| from.0),
        "fromMs": report.range.map(|range| range.start_incl.0),
        "toMs": report.range.map(|range| range.end_incl.0),
        "bytes": report.block_bytes,
        "aggregateBlocks": anew_count,
    })))
}

fn not_adopted(error: AdoptError) -> ApiError {
    match error {
        AdoptError::Unknown { .. } => ApiError::not_found(chain(&error)),
        AdoptError::Foreign { .. } | AdoptError::Series(_) => ApiError::bad_data(chain(&error)),
        AdoptError::Failed(error) => failed(error),
    }
}

fn failed(error: MaintainError) -> ApiError {
    if error.is_full() {
        return ApiError::unavailable(chain(&error)).with_code(StatusCode::SERVICE_UNAVAILABLE);
    }
    ApiError::internal(chain(&error))
}

/// Runs one call at a time, to its end, whether or not the client waits for it.
async fn work<T: Send + 'static>(
    api: &Api,
    call: impl FnOnce(&Db) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let db = api.db.clone();
    let turn = api.admin_turn.clone().acquire_owned().await;
    let turn = turn.map_err(|_| ApiError::timeout("the server is stopping"))?;
    let done = tokio::task::spawn_blocking(move || {
        let outcome = call(&db);
        drop(turn);
        outcome
    })
    .await;
    done.unwrap_or_else(|error| Err(ApiError::internal(format!("the call failed inside: {error}"))))
}

/// Time and a random number, as Prometheus names its snapshots.
fn snapshot_name(now: TimestampMs) -> String {
    let at = Timestamp::from_millisecond(now.0).unwrap_or_default();
    let random = RandomState::new().build_hasher().finish();
    format!("{}-{random:016x}", at.strftime("%Y%m%dT%H%M%SZ"))
}
