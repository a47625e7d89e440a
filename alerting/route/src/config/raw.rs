//! The configuration as it is written. What other receivers need is accepted unread, and reported.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::YamlDuration;
use super::http::RawHttpConfig;
use super::intervals::RawNamedInterval;
use super::receivers::{RawDingTalk, RawPagerDuty, RawSlack, RawWebhook};
use super::secret::Secret;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawConfig {
    pub(super) global: Option<RawGlobal>,
    pub(super) route: Option<RawRoute>,
    pub(super) receivers: Option<Vec<RawReceiver>>,
    pub(super) inhibit_rules: Option<Vec<RawInhibitRule>>,
    pub(super) templates: Option<Vec<String>>,
    pub(super) time_intervals: Option<Vec<RawNamedInterval>>,
    pub(super) mute_time_intervals: Option<Vec<RawNamedInterval>>,
    pub(super) tracing: Option<IgnoredAny>,
    pub(super) event_recorder: Option<IgnoredAny>,
}

/// Declares the global keys of receivers that are not supported, so that a typing error among them is still found.
macro_rules! raw_global {
    ($($other:ident),* $(,)?) => {
        #[derive(Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct RawGlobal {
            pub(super) resolve_timeout: Option<YamlDuration>,
            pub(super) http_config: Option<RawHttpConfig>,
            pub(super) slack_api_url: Option<Secret>,
            pub(super) slack_api_url_file: Option<String>,
            pub(super) slack_app_token: Option<Secret>,
            pub(super) slack_app_token_file: Option<String>,
            pub(super) slack_app_url: Option<String>,
            pub(super) pagerduty_url: Option<String>,
            $($other: Option<IgnoredAny>,)*
        }

        impl RawGlobal {
            /// Keys that are set and have no effect here.
            pub(super) fn unsupported(&self) -> Vec<&'static str> {
                let mut keys = Vec::new();
                $(if self.$other.is_some() { keys.push(stringify!($other)); })*
                keys
            }
        }
    };
}

raw_global!(
    smtp_from,
    smtp_hello,
    smtp_smarthost,
    smtp_auth_username,
    smtp_auth_password,
    smtp_auth_password_file,
    smtp_auth_secret,
    smtp_auth_secret_file,
    smtp_auth_identity,
    smtp_require_tls,
    smtp_tls_config,
    smtp_force_implicit_tls,
    opsgenie_api_url,
    opsgenie_api_key,
    opsgenie_api_key_file,
    wechat_api_url,
    wechat_api_secret,
    wechat_api_secret_file,
    wechat_api_corp_id,
    victorops_api_url,
    victorops_api_key,
    victorops_api_key_file,
    telegram_api_url,
    telegram_bot_token,
    telegram_bot_token_file,
    webex_api_url,
    rocketchat_api_url,
    rocketchat_token,
    rocketchat_token_file,
    rocketchat_token_id,
    rocketchat_token_id_file,
    jira_api_url,
    mattermost_webhook_url,
    mattermost_webhook_url_file,
);

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRoute {
    pub(super) receiver: Option<String>,
    pub(super) group_by: Option<Vec<String>>,
    pub(super) group_wait: Option<YamlDuration>,
    pub(super) group_interval: Option<YamlDuration>,
    pub(super) repeat_interval: Option<YamlDuration>,
    pub(super) matchers: Option<Vec<String>>,
    #[serde(rename = "match")]
    pub(super) match_: Option<BTreeMap<String, String>>,
    pub(super) match_re: Option<BTreeMap<String, Option<String>>>,
    #[serde(rename = "continue")]
    pub(super) continue_: Option<bool>,
    pub(super) mute_time_intervals: Option<Vec<String>>,
    pub(super) active_time_intervals: Option<Vec<String>>,
    pub(super) labels: Option<BTreeMap<String, String>>,
    pub(super) routes: Option<Vec<RawRoute>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawInhibitRule {
    pub(super) name: Option<String>,
    pub(super) source_match: Option<BTreeMap<String, String>>,
    pub(super) source_match_re: Option<BTreeMap<String, Option<String>>>,
    pub(super) source_matchers: Option<Vec<String>>,
    pub(super) target_match: Option<BTreeMap<String, String>>,
    pub(super) target_match_re: Option<BTreeMap<String, Option<String>>>,
    pub(super) target_matchers: Option<Vec<String>>,
    pub(super) equal: Option<Vec<String>>,
}

/// Declares the receivers that are known by name and not supported.
macro_rules! raw_receiver {
    ($($other:ident),* $(,)?) => {
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct RawReceiver {
            pub(super) name: Option<String>,
            pub(super) labels: Option<BTreeMap<String, String>>,
            pub(super) webhook_configs: Option<Vec<Option<RawWebhook>>>,
            pub(super) slack_configs: Option<Vec<Option<RawSlack>>>,
            pub(super) pagerduty_configs: Option<Vec<Option<RawPagerDuty>>>,
            pub(super) dingtalk_configs: Option<Vec<Option<RawDingTalk>>>,
            $($other: Option<IgnoredAny>,)*
        }

        impl RawReceiver {
            /// Integrations that are set and have no effect here.
            pub(super) fn unsupported(&self) -> Vec<&'static str> {
                let mut keys = Vec::new();
                $(if self.$other.is_some() { keys.push(stringify!($other)); })*
                keys
            }
        }
    };
}

raw_receiver!(
    discord_configs,
    email_configs,
    incidentio_configs,
    jira_configs,
    mattermost_configs,
    msteams_configs,
    msteamsv2_configs,
    opsgenie_configs,
    pushover_configs,
    rocketchat_configs,
    sns_configs,
    telegram_configs,
    victorops_configs,
    webex_configs,
    wechat_configs,
    wecom_robot_configs,
    feishu_configs,
    feishu_app_configs,
    line_configs,
    chatwork_configs,
);
