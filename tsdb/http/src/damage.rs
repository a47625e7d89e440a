//! `/api/swell/v1/damage`: what is known to be damaged, and an operator's word that it is known to them.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};
use swell_engine::{AcknowledgeError, Damage, WhichDamage};
use swell_http::Privileged;
use swell_model::TimestampMs;
use swell_telemetry::chain;

use crate::answer::success;
use crate::error::ApiError;
use crate::params::Params;
use crate::service::Api;

/// All damage, what was acknowledged behind what was not.
pub(crate) async fn list(State(api): State<Arc<Api>>) -> Response {
    let open = api.db.status().damage;
    let open = open.iter().map(|damage| shown(damage, None));
    let acknowledged = api.db.acknowledged_damage();
    let acknowledged = acknowledged.iter().map(|it| shown(&it.damage, Some(it.at)));
    success(&open.chain(acknowledged).collect::<Vec<Value>>())
}

/// Acknowledges the damage of the files that `file` names, or with `all=true` all that is known.
pub(crate) async fn acknowledge(
    _allowed: Privileged,
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, ApiError> {
    let files = params.all("file").to_vec();
    let which = match (params.flag("all", false)?, files.is_empty()) {
        (true, true) => WhichDamage::All,
        (false, false) => WhichDamage::Files(files),
        (true, false) | (false, true) => {
            let told = "name the files, or give all=true".to_owned();
            return Err(ApiError::bad_param("file", told));
        }
    };
    let db = Arc::clone(&api.db);
    let outcome = tokio::task::spawn_blocking(move || db.acknowledge_damage(&which)).await;
    match outcome {
        Ok(Ok(done)) => {
            let done: Vec<Value> = done.iter().map(|damage| shown(damage, None)).collect();
            Ok(success(&json!({"acknowledged": done})))
        }
        Ok(Err(error @ AcknowledgeError::Unknown { .. })) => {
            Err(ApiError::not_found(chain(&error)))
        }
        Ok(Err(error)) => Err(ApiError::internal(chain(&error))),
        Err(error) => Err(ApiError::internal(format!("the call failed inside: {error}"))),
    }
}

fn shown(damage: &Damage, acknowledged: Option<TimestampMs>) -> Value {
    let Damage { file, offset, what, range } = damage;
    let range = range.as_ref();
    json!({
        "file": file,
        "offset": offset,
        "what": what,
        "fromMs": range.map(|range| range.start_incl.0),
        "toMs": range.map(|range| range.end_incl.0),
        "acknowledgedMs": acknowledged.map(|at| at.0),
    })
}
