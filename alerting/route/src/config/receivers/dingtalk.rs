//! `dingtalk_configs`: a robot.

use serde::Deserialize;
use swell_model::DurationMs;

use super::{Report, check_url, template};
use crate::config::YamlDuration;
use crate::config::http::{HttpConfig, RawHttpConfig, source};
use crate::config::secret::{Secret, SecretSource};

/// `dingtalk_configs`
#[derive(Clone, Debug)]
pub struct DingTalkConfig {
    /// Whether to tell of resolved alerts.
    pub send_resolved: bool,
    /// The robot's URL with its access token.
    pub webhook_url: SecretSource,
    /// Signing secret (`SEC…`), where the robot demands one.
    pub secret: Option<SecretSource>,
    /// HTTP options.
    pub http: HttpConfig,
    /// Longest attempt.
    pub timeout: Option<DurationMs>,
    /// Form of the message.
    pub message_type: DingTalkMessageType,
    /// Title; template.
    pub title: String,
    /// Text; template.
    pub text: String,
    /// Who is mentioned.
    pub at: AtConfig,
}

/// Form of a DingTalk message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DingTalkMessageType {
    /// Title and Markdown text.
    #[default]
    Markdown,
    /// Plain text.
    Text,
    /// A card with a button that leads to the alerts.
    ActionCard,
}

/// Who a DingTalk message mentions.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AtConfig {
    /// By telephone number.
    #[serde(default)]
    pub mobiles: Vec<String>,
    /// By user id.
    #[serde(default)]
    pub user_ids: Vec<String>,
    /// Everybody.
    #[serde(default)]
    pub all: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawDingTalk {
    send_resolved: Option<bool>,
    webhook_url: Option<Secret>,
    webhook_url_file: Option<String>,
    secret: Option<Secret>,
    secret_file: Option<String>,
    http_config: Option<RawHttpConfig>,
    timeout: Option<YamlDuration>,
    message_type: Option<DingTalkMessageType>,
    title: Option<String>,
    text: Option<String>,
    at: Option<AtConfig>,
}

impl RawDingTalk {
    pub(in crate::config) fn check(
        self,
        global_http: &HttpConfig,
        report: &mut Report<'_>,
    ) -> Option<DingTalkConfig> {
        let faults_before = report.faults.len();
        let webhook_url =
            source("webhook_url", self.webhook_url, self.webhook_url_file, report.faults);
        if webhook_url.is_none() && report.faults.len() == faults_before {
            report.faults.push("one of webhook_url or webhook_url_file must be configured".into());
        }
        if let Some(SecretSource::Value(url)) = &webhook_url {
            check_url("webhook_url", url.expose(), report.faults);
        }
        let secret = source("secret", self.secret, self.secret_file, report.faults);
        let default = |own: Option<String>, name: &str| {
            own.unwrap_or_else(|| template(&format!("dingtalk.default.{name}")))
        };
        Some(DingTalkConfig {
            send_resolved: self.send_resolved.unwrap_or(true),
            webhook_url: webhook_url?,
            secret,
            http: report.http(self.http_config, global_http),
            timeout: self.timeout.map(|timeout| timeout.0),
            message_type: self.message_type.unwrap_or_default(),
            title: default(self.title, "title"),
            text: default(self.text, "text"),
            at: self.at.unwrap_or_default(),
        })
    }
}
