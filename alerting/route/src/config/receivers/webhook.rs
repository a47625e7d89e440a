//! `webhook_configs`: a generic webhook.

use serde::Deserialize;
use serde_json::Value as Json;
use swell_model::DurationMs;

use super::{Report, check_url};
use crate::config::YamlDuration;
use crate::config::http::{HttpConfig, RawHttpConfig, source};
use crate::config::secret::{Secret, SecretSource};

/// `webhook_configs`
#[derive(Clone, Debug)]
pub struct WebhookConfig {
    /// Whether to tell of resolved alerts.
    pub send_resolved: bool,
    /// Where to post; may be a template.
    pub url: SecretSource,
    /// HTTP options.
    pub http: HttpConfig,
    /// At most so many alerts in a message; 0 is no limit.
    pub max_alerts: usize,
    /// Longest attempt.
    pub timeout: Option<DurationMs>,
    /// A payload of one's own; texts in it are templates.
    pub payload: Option<Json>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawWebhook {
    send_resolved: Option<bool>,
    url: Option<Secret>,
    url_file: Option<String>,
    http_config: Option<RawHttpConfig>,
    max_alerts: Option<usize>,
    timeout: Option<YamlDuration>,
    payload: Option<Json>,
}

impl RawWebhook {
    pub(in crate::config) fn check(
        self,
        global_http: &HttpConfig,
        report: &mut Report<'_>,
    ) -> Option<WebhookConfig> {
        let url = source("url", self.url, self.url_file, report.faults);
        if url.is_none() && report.faults.is_empty() {
            report.faults.push("one of url or url_file must be configured".into());
        }
        if let Some(SecretSource::Value(url)) = &url {
            check_url("url", url.expose(), report.faults);
        }
        Some(WebhookConfig {
            send_resolved: self.send_resolved.unwrap_or(true),
            url: url?,
            http: report.http(self.http_config, global_http),
            max_alerts: self.max_alerts.unwrap_or(0),
            timeout: self.timeout.map(|timeout| timeout.0),
            payload: self.payload,
        })
    }
}
