//! `slack_configs`: an incoming webhook of Slack.

use serde::Deserialize;
use swell_model::DurationMs;

use super::{Report, check_url, template};
use crate::config::YamlDuration;
use crate::config::http::{HttpConfig, RawHttpConfig, source};
use crate::config::secret::{Secret, SecretSource};

/// `slack_configs`
#[derive(Clone, Debug)]
pub struct SlackConfig {
    /// Whether to tell of resolved alerts.
    pub send_resolved: bool,
    /// Incoming webhook.
    pub api_url: SecretSource,
    /// HTTP options.
    pub http: HttpConfig,
    /// Longest attempt.
    pub timeout: Option<DurationMs>,
    /// Channel; template.
    pub channel: String,
    /// Name shown; template.
    pub username: String,
    /// `good`, `warning`, `danger` or a colour; template.
    pub color: String,
    /// Template.
    pub title: String,
    /// Template.
    pub title_link: String,
    /// Template.
    pub pretext: String,
    /// Text of the attachment; template.
    pub text: String,
    /// Text outside the attachment; template.
    pub message_text: String,
    /// Template.
    pub footer: String,
    /// Text where attachments cannot be shown; template.
    pub fallback: String,
    /// Template.
    pub callback_id: String,
    /// Template.
    pub icon_emoji: String,
    /// Template.
    pub icon_url: String,
    /// Template.
    pub image_url: String,
    /// Template.
    pub thumb_url: String,
    /// Whether names are made links.
    pub link_names: bool,
    /// Parts with markup.
    pub mrkdwn_in: Vec<String>,
    /// Table under the text.
    pub fields: Vec<SlackField>,
    /// Buttons.
    pub actions: Vec<SlackAction>,
}

/// A row of a Slack attachment's table.
#[derive(Clone, Debug)]
pub struct SlackField {
    /// Template.
    pub title: String,
    /// Template.
    pub value: String,
    /// Whether it may stand beside another.
    pub short: bool,
}

/// A button of a Slack attachment.
#[derive(Clone, Debug)]
pub struct SlackAction {
    /// Template.
    pub kind: String,
    /// Template.
    pub text: String,
    /// Template.
    pub url: String,
    /// Template.
    pub style: String,
    /// Template.
    pub name: String,
    /// Template.
    pub value: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawSlack {
    send_resolved: Option<bool>,
    api_url: Option<Secret>,
    api_url_file: Option<String>,
    app_token: Option<Secret>,
    app_token_file: Option<String>,
    app_url: Option<String>,
    http_config: Option<RawHttpConfig>,
    timeout: Option<YamlDuration>,
    channel: Option<String>,
    username: Option<String>,
    color: Option<String>,
    title: Option<String>,
    title_link: Option<String>,
    pretext: Option<String>,
    text: Option<String>,
    message_text: Option<String>,
    footer: Option<String>,
    fallback: Option<String>,
    callback_id: Option<String>,
    icon_emoji: Option<String>,
    icon_url: Option<String>,
    image_url: Option<String>,
    thumb_url: Option<String>,
    link_names: Option<bool>,
    short_fields: Option<bool>,
    mrkdwn_in: Option<Vec<String>>,
    fields: Option<Vec<RawSlackField>>,
    actions: Option<Vec<RawSlackAction>>,
    update_message: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSlackField {
    title: Option<String>,
    value: Option<String>,
    short: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSlackAction {
    #[serde(rename = "type")]
    kind: Option<String>,
    text: Option<String>,
    url: Option<String>,
    style: Option<String>,
    name: Option<String>,
    value: Option<String>,
    confirm: Option<serde::de::IgnoredAny>,
}

const SLACK_POST_MESSAGE: &str = "https://slack.com/api/chat.postMessage";

impl RawSlack {
    pub(in crate::config) fn check(
        self,
        global_url: Option<&SecretSource>,
        global_http: &HttpConfig,
        report: &mut Report<'_>,
    ) -> Option<SlackConfig> {
        let own_url = source("api_url", self.api_url, self.api_url_file, report.faults);
        let app_token = self.app_token.is_some() || self.app_token_file.is_some();
        if app_token || self.app_url.is_some() {
            report.unsupported.push("app_token: use an incoming webhook in api_url".into());
        }
        if self.update_message == Some(true) {
            let posts = matches!(&own_url, Some(SecretSource::Value(url)) if url.expose() == SLACK_POST_MESSAGE);
            if !posts && !app_token {
                report.faults.push(format!(
                    "update_message can only be used with bot tokens. api_url must be set to {SLACK_POST_MESSAGE}"
                ));
            }
            report.unsupported.push("update_message".into());
        }
        if let Some(SecretSource::Value(url)) = &own_url {
            check_url("api_url", url.expose(), report.faults);
        }
        let api_url = own_url.or_else(|| global_url.cloned());
        if api_url.is_none() && !app_token {
            report
                .faults
                .push("no Slack API URL nor App token set, either here or in global".into());
        }
        let fields = self
            .fields
            .unwrap_or_default()
            .into_iter()
            .filter_map(|field| field.check(self.short_fields, report));
        let fields: Vec<SlackField> = fields.collect();
        let actions = self
            .actions
            .unwrap_or_default()
            .into_iter()
            .filter_map(|action| action.check(report))
            .collect();
        let default = |own: Option<String>, name: &str| {
            own.unwrap_or_else(|| template(&format!("slack.default.{name}")))
        };
        Some(SlackConfig {
            send_resolved: self.send_resolved.unwrap_or(false),
            api_url: api_url?,
            http: report.http(self.http_config, global_http),
            timeout: self.timeout.map(|timeout| timeout.0),
            channel: self.channel.unwrap_or_default(),
            username: default(self.username, "username"),
            color: self.color.unwrap_or_else(|| {
                r#"{{ if eq .Status "firing" }}danger{{ else }}good{{ end }}"#.into()
            }),
            title: default(self.title, "title"),
            title_link: default(self.title_link, "titlelink"),
            pretext: default(self.pretext, "pretext"),
            text: default(self.text, "text"),
            message_text: self.message_text.unwrap_or_default(),
            footer: default(self.footer, "footer"),
            fallback: default(self.fallback, "fallback"),
            callback_id: default(self.callback_id, "callbackid"),
            icon_emoji: default(self.icon_emoji, "iconemoji"),
            icon_url: default(self.icon_url, "iconurl"),
            image_url: self.image_url.unwrap_or_default(),
            thumb_url: self.thumb_url.unwrap_or_default(),
            link_names: self.link_names.unwrap_or(false),
            mrkdwn_in: self
                .mrkdwn_in
                .unwrap_or_else(|| ["fallback", "pretext", "text"].map(str::to_owned).into()),
            fields,
            actions,
        })
    }
}

impl RawSlackField {
    fn check(self, short_fields: Option<bool>, report: &mut Report<'_>) -> Option<SlackField> {
        for (key, text) in [("title", &self.title), ("value", &self.value)] {
            if text.as_deref().is_none_or(str::is_empty) {
                report.faults.push(format!("missing {key} in Slack field configuration"));
            }
        }
        let short = self.short.or(short_fields).unwrap_or(false);
        Some(SlackField { title: self.title?, value: self.value?, short })
    }
}

impl RawSlackAction {
    fn check(self, report: &mut Report<'_>) -> Option<SlackAction> {
        let empty = |text: &Option<String>| text.as_deref().is_none_or(str::is_empty);
        if empty(&self.kind) {
            report.faults.push("missing type in Slack action configuration".into());
        }
        if empty(&self.text) {
            report.faults.push("missing text in Slack action configuration".into());
        }
        if empty(&self.url) && empty(&self.name) {
            report.faults.push("missing name or url in Slack action configuration".into());
        }
        if self.confirm.is_some() {
            report.unsupported.push("actions.confirm".into());
        }
        Some(SlackAction {
            kind: self.kind?,
            text: self.text?,
            url: self.url.unwrap_or_default(),
            style: self.style.unwrap_or_default(),
            name: self.name.unwrap_or_default(),
            value: self.value.unwrap_or_default(),
        })
    }
}
