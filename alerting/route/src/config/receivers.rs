//! Integrations: what each kind of receiver can be told.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value as Json;
use swell_model::DurationMs;
use swell_template::{Functions, Host, Set, Value};

use super::YamlDuration;
use super::http::{HttpConfig, RawHttpConfig, source};
use super::secret::{Secret, SecretSource};

/// A named destination with its integrations.
#[derive(Clone, Debug)]
pub struct Receiver {
    /// Unique name.
    pub name: String,
    /// Labels of the receiver itself.
    pub labels: BTreeMap<String, String>,
    /// In the order webhook, Slack, PagerDuty, DingTalk, each as configured.
    pub integrations: Vec<Integration>,
}

/// One way to reach somebody.
#[derive(Clone, Debug)]
pub enum Integration {
    /// A generic webhook.
    Webhook(WebhookConfig),
    /// Slack.
    Slack(Box<SlackConfig>),
    /// PagerDuty Events v2.
    PagerDuty(Box<PagerDutyConfig>),
    /// A DingTalk robot.
    DingTalk(Box<DingTalkConfig>),
}

impl Integration {
    /// Name of the kind, as in the notification log and in metrics.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::Slack(_) => "slack",
            Self::PagerDuty(_) => "pagerduty",
            Self::DingTalk(_) => "dingtalk",
        }
    }

    /// Whether it wants to hear of resolved alerts.
    #[must_use]
    pub fn send_resolved(&self) -> bool {
        match self {
            Self::Webhook(config) => config.send_resolved,
            Self::Slack(config) => config.send_resolved,
            Self::PagerDuty(config) => config.send_resolved,
            Self::DingTalk(config) => config.send_resolved,
        }
    }

    /// How long one attempt may take, if configured.
    #[must_use]
    pub fn timeout(&self) -> Option<DurationMs> {
        match self {
            Self::Webhook(config) => config.timeout,
            Self::Slack(config) => config.timeout,
            Self::PagerDuty(config) => config.timeout,
            Self::DingTalk(config) => config.timeout,
        }
    }

    /// HTTP options.
    #[must_use]
    pub fn http(&self) -> &HttpConfig {
        match self {
            Self::Webhook(config) => &config.http,
            Self::Slack(config) => &config.http,
            Self::PagerDuty(config) => &config.http,
            Self::DingTalk(config) => &config.http,
        }
    }
}

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

/// `pagerduty_configs`
#[derive(Clone, Debug)]
pub struct PagerDutyConfig {
    /// Whether to resolve the incident.
    pub send_resolved: bool,
    /// Integration key of the Events API v2.
    pub routing_key: SecretSource,
    /// Where to post.
    pub url: String,
    /// HTTP options.
    pub http: HttpConfig,
    /// Longest attempt.
    pub timeout: Option<DurationMs>,
    /// Template.
    pub client: String,
    /// Template.
    pub client_url: String,
    /// Summary; template.
    pub description: String,
    /// Details; texts in them are templates.
    pub details: BTreeMap<String, Json>,
    /// Template.
    pub source: String,
    /// Template.
    pub severity: String,
    /// Template.
    pub class: String,
    /// Template.
    pub component: String,
    /// Template.
    pub group: String,
    /// Pictures.
    pub images: Vec<PagerDutyImage>,
    /// Links.
    pub links: Vec<PagerDutyLink>,
}

/// A picture in an incident; templates.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PagerDutyImage {
    /// Where the picture is.
    #[serde(default)]
    pub src: String,
    /// What it links to.
    #[serde(default)]
    pub href: String,
    /// Text instead of it.
    #[serde(default)]
    pub alt: String,
}

/// A link in an incident; templates.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PagerDutyLink {
    /// Target.
    #[serde(default)]
    pub href: String,
    /// Text.
    #[serde(default)]
    pub text: String,
}

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

/// What the checks of one integration write to.
pub(super) struct Report<'a> {
    pub(super) faults: &'a mut Vec<String>,
    pub(super) unsupported: &'a mut Vec<String>,
}

impl Report<'_> {
    fn http(&mut self, raw: Option<RawHttpConfig>, global: &HttpConfig) -> HttpConfig {
        match raw {
            None => global.clone(),
            Some(raw) => {
                let mut unsupported = Vec::new();
                let http = raw.check(self.faults, &mut unsupported);
                self.unsupported
                    .extend(unsupported.into_iter().map(|key| format!("http_config.{key}")));
                http
            }
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWebhook {
    send_resolved: Option<bool>,
    url: Option<Secret>,
    url_file: Option<String>,
    http_config: Option<RawHttpConfig>,
    max_alerts: Option<usize>,
    timeout: Option<YamlDuration>,
    payload: Option<Json>,
}

impl RawWebhook {
    pub(super) fn check(
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

/// A URL must be absolute with http or https, unless it is a template.
fn check_url(key: &str, url: &str, faults: &mut Vec<String>) {
    if url.contains("{{") {
        // The functions are the notifier's; here only the syntax is looked at.
        if let Err(error) = Set::new().add(key, url, &[], &AnyFunctions) {
            faults.push(format!("{key}: invalid template syntax: {error}"));
        }
        return;
    }
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    if rest.is_none_or(|rest| rest.is_empty() || rest.starts_with('/')) {
        faults.push(format!("{key} must be an absolute URL with http or https and a host"));
    }
}

struct AnyFunctions;

impl Functions for AnyFunctions {
    fn knows(&self, _name: &str) -> bool {
        true
    }

    fn call(
        &self,
        name: &str,
        _arguments: &[Value],
        _host: &mut Host<'_>,
    ) -> Result<Value, String> {
        Err(format!("{name} cannot be called while checking"))
    }
}

fn template(name: &str) -> String {
    format!("{{{{ template {name:?} . }}}}")
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSlack {
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
    pub(super) fn check(
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

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPagerDuty {
    send_resolved: Option<bool>,
    service_key: Option<Secret>,
    service_key_file: Option<String>,
    routing_key: Option<Secret>,
    routing_key_file: Option<String>,
    url: Option<String>,
    http_config: Option<RawHttpConfig>,
    timeout: Option<YamlDuration>,
    client: Option<String>,
    client_url: Option<String>,
    description: Option<String>,
    details: Option<BTreeMap<String, Json>>,
    source: Option<String>,
    severity: Option<String>,
    class: Option<String>,
    component: Option<String>,
    group: Option<String>,
    images: Option<Vec<PagerDutyImage>>,
    links: Option<Vec<PagerDutyLink>>,
}

impl RawPagerDuty {
    pub(super) fn check(
        self,
        global_url: &str,
        global_http: &HttpConfig,
        report: &mut Report<'_>,
    ) -> Option<PagerDutyConfig> {
        let faults_before = report.faults.len();
        let service_key =
            source("service_key", self.service_key, self.service_key_file, report.faults);
        let routing_key =
            source("routing_key", self.routing_key, self.routing_key_file, report.faults);
        match (&service_key, &routing_key) {
            (None, None) if report.faults.len() == faults_before => {
                report.faults.push("missing service or routing key in PagerDuty config".into());
            }
            (Some(_), Some(_)) => report
                .faults
                .push("at most one of service_key & routing_key must be configured".into()),
            (Some(_), None) => {
                report.unsupported.push(
                    "service_key (Events API v1): make a routing_key for the Events API v2".into(),
                );
            }
            _ => {}
        }
        let url = self.url.unwrap_or_else(|| global_url.to_owned());
        check_url("url", &url, report.faults);
        let default = |own: Option<String>, name: &str| {
            own.unwrap_or_else(|| template(&format!("pagerduty.default.{name}")))
        };
        let mut details: BTreeMap<String, Json> = BTreeMap::new();
        for (name, text) in [
            ("firing", "{{ .Alerts.Firing | toJson }}"),
            ("resolved", "{{ .Alerts.Resolved | toJson }}"),
            ("num_firing", "{{ .Alerts.Firing | len }}"),
            ("num_resolved", "{{ .Alerts.Resolved | len }}"),
        ] {
            details.insert(name.into(), Json::String(text.into()));
        }
        details.extend(self.details.unwrap_or_default());
        let client_url = default(self.client_url, "clientURL");
        Some(PagerDutyConfig {
            send_resolved: self.send_resolved.unwrap_or(true),
            routing_key: routing_key?,
            url,
            http: report.http(self.http_config, global_http),
            timeout: self.timeout.map(|timeout| timeout.0),
            source: self.source.unwrap_or_else(|| default(self.client.clone(), "client")),
            client: default(self.client, "client"),
            client_url,
            description: default(self.description, "description"),
            details,
            severity: self.severity.unwrap_or_default(),
            class: self.class.unwrap_or_default(),
            component: self.component.unwrap_or_default(),
            group: self.group.unwrap_or_default(),
            images: self.images.unwrap_or_default(),
            links: self.links.unwrap_or_default(),
        })
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDingTalk {
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
    pub(super) fn check(
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
