//! Generic webhook: Alertmanager's JSON, version 4, or a payload of the user's own.

use std::collections::BTreeMap;

use serde::Serialize;
use swell_route::WebhookConfig;
use swell_template::GoTime;

use crate::data::end;
use crate::notification::Notification;
use crate::payload::render_payload;
use crate::request::{RenderError, Request, text};
use crate::secrets::Secrets;
use crate::templates::Templates;

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
/// [`RenderError`] when a template fails.
pub(crate) fn render(
    config: &WebhookConfig,
    notification: &Notification,
    templates: &Templates,
    secrets: &Secrets,
) -> Result<Request, RenderError> {
    let mut told = notification.clone();
    let kept = if config.max_alerts == 0 {
        told.alerts.len()
    } else {
        config.max_alerts.min(told.alerts.len())
    };
    let truncated_alerts = told.alerts.len() - kept;
    told.alerts.truncate(kept);
    let renderer = templates.renderer(&told);
    let url = text(&renderer, "url", secrets.primary.expose())?;
    if let Some(payload) = &config.payload {
        return Request::json(url, &render_payload(&renderer, "payload", payload)?);
    }
    let mut route_labels = BTreeMap::new();
    for (name, template) in &told.route_labels {
        route_labels.insert(name.clone(), text(&renderer, "route labels", template)?);
    }
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
    Request::json(url, &message)
}
