//! Integrations: what each kind of receiver can be told.

mod dingtalk;
mod pagerduty;
mod slack;
mod webhook;

use std::collections::BTreeMap;

use swell_model::DurationMs;
use swell_template::{Functions, Host, Set, Value};

use super::http::{HttpConfig, RawHttpConfig};

pub(super) use dingtalk::RawDingTalk;
pub use dingtalk::{AtConfig, DingTalkConfig, DingTalkMessageType};
pub(super) use pagerduty::RawPagerDuty;
pub use pagerduty::{PagerDutyConfig, PagerDutyImage, PagerDutyLink};
pub(super) use slack::RawSlack;
pub use slack::{SlackAction, SlackConfig, SlackField};
pub(super) use webhook::RawWebhook;
pub use webhook::WebhookConfig;

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

/// What the checks of one integration write to.
pub(in crate::config) struct Report<'a> {
    pub(in crate::config) faults: &'a mut Vec<String>,
    pub(in crate::config) unsupported: &'a mut Vec<String>,
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
