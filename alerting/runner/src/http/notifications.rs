//! `/api/swell/v1/notifications`: what was sent to whom, and how that went.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use serde_json::{Value, json};
use swell_http::ErrorBody;

use super::{label_object, rfc3339};
use crate::notification_log::Delivery;
use crate::runner::{AlertingHandle, ReloadError};

pub(super) fn routes() -> Router<AlertingHandle> {
    Router::new().route("/api/swell/v1/notifications", get(notifications))
}

pub(super) fn unavailable(error: ReloadError) -> ErrorBody {
    ErrorBody::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", error.to_string())
}

async fn notifications(State(handle): State<AlertingHandle>) -> Result<Json<Value>, ErrorBody> {
    let facts = handle.facts().await.map_err(unavailable)?;
    let notifications: Vec<Value> = facts.deliveries.iter().map(delivery_json).collect();
    let config = &facts.config.config;
    let data = json!({
        "notifications": notifications,
        "unsupported": config.unsupported,
        "warnings": config.warnings,
    });
    Ok(Json(json!({"status": "success", "data": data})))
}

fn delivery_json(delivery: &Delivery) -> Value {
    json!({
        "time": rfc3339(Some(delivery.at)),
        "receiver": delivery.receiver,
        "integration": delivery.integration,
        "integrationIndex": delivery.integration_idx,
        "groupKey": delivery.group_key,
        "groupLabels": label_object(&delivery.group_labels),
        "reason": delivery.reason.as_str(),
        "firing": delivery.firing,
        "resolved": delivery.resolved,
        "state": delivery.state.as_str(),
        "attempts": delivery.attempts,
        "latencyMs": delivery.latency.0,
        "error": delivery.error,
    })
}
