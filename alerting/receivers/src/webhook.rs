//! Generic webhook: Alertmanager's JSON, version 4, or a payload of the user's own where its templates work.

use std::collections::BTreeMap;

use serde::Serialize;
use swell_route::WebhookConfig;
use swell_template::GoTime;

use crate::data::end;
use crate::request::{Draft, RenderError, Rendered, Request};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    version: &'static str,
    group_key: &'a str,
    truncated_alerts: usize,
    status: &'static str,
    receiver: String,
    group_labels: BTreeMap<&'a str, &'a str>,
    common_labels: BTreeMap<String, String>,
    common_annotations: BTreeMap<String, String>,
    route_labels: BTreeMap<String, String>,
    #[serde(rename = "externalURL")]
    external_url: &'a str,
    #[serde(rename = "notification_reason")]
    notification_reason: &'static str,
    alerts: Vec<AlertMessage<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AlertMessage<'a> {
    status: &'static str,
    labels: BTreeMap<&'a str, &'a str>,
    annotations: &'a BTreeMap<String, String>,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: &'a str,
    fingerprint: String,
}

/// The request for a notification.
///
/// # Errors
/// [`RenderError`] when the template of the URL fails or the message is no JSON.
pub(crate) fn render(config: &WebhookConfig, draft: &Draft<'_>) -> Result<Rendered, RenderError> {
    let notification = draft.notification;
    let mut told = notification.clone();
    let kept = if config.max_alerts == 0 {
        told.alerts.len()
    } else {
        config.max_alerts.min(told.alerts.len())
    };
    let truncated_alerts = told.alerts.len() - kept;
    told.alerts.truncate(kept);
    let texts = Draft { notification: &told, ..*draft }.texts();
    let url = texts.exact("url", draft.secrets.primary.expose())?;
    let payload = config.payload.as_ref();
    if let Some(payload) = payload.and_then(|payload| texts.payload("payload", payload)) {
        return Ok(texts.finish(Request::json(url, &payload)?));
    }
    let route_labels = told
        .route_labels
        .iter()
        .map(|(name, template)| (name.clone(), texts.of("route labels", template)))
        .collect();
    let message = Message {
        version: "4",
        group_key: &notification.group_key,
        truncated_alerts,
        status: notification.status(),
        receiver: notification.quoted_receiver(),
        group_labels: notification.group_labels.iter().collect(),
        common_labels: told.common_labels(),
        common_annotations: told.common_annotations(),
        route_labels,
        external_url: &notification.external_url,
        notification_reason: notification.reason.map_or("unknown", |reason| reason.as_str()),
        alerts: told
            .alerts
            .iter()
            .map(|alert| AlertMessage {
                status: if alert.is_resolved(told.at) { "resolved" } else { "firing" },
                labels: alert.labels.iter().collect(),
                annotations: &alert.annotations,
                starts_at: GoTime::from_millis(alert.starts_at.0).rfc3339(),
                ends_at: end(alert, told.at).rfc3339(),
                generator_url: &alert.generator_url,
                fingerprint: alert.fingerprint().to_string(),
            })
            .collect(),
    };
    let request = Request::json(url, &message)?;
    Ok(texts.finish(request))
}
