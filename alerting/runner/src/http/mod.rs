//! HTTP surface: Prometheus' rules and alerts, Alertmanager's API version 2, and the log of notifications.

mod alertmanager;
mod notifications;
mod operations;
mod parameters;
mod prometheus;
mod silences;

pub use operations::operations;

use axum::Router;
use swell_model::TimestampMs;

use crate::runner::AlertingHandle;

impl AlertingHandle {
    /// Routes below `/api/v1` (rules, alerts, alertmanagers), `/api/v2` and `/api/swell/v1/notifications`.
    pub fn router(&self) -> Router {
        Router::new()
            .merge(prometheus::routes())
            .merge(alertmanager::routes())
            .merge(silences::routes())
            .merge(notifications::routes())
            .with_state(self.clone())
    }
}

/// RFC 3339; Go's zero time for no time.
pub(crate) fn rfc3339(at: Option<TimestampMs>) -> String {
    let at = at.and_then(|at| jiff::Timestamp::from_millisecond(at.0).ok());
    at.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), |at| at.to_string())
}

/// Labels as a JSON object.
pub(crate) fn label_object(
    labels: &swell_model::Labels,
) -> serde_json::Map<String, serde_json::Value> {
    labels.iter().map(|(name, value)| (name.to_owned(), value.into())).collect()
}
