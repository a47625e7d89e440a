//! The Alertmanager configuration: strict YAML, all faults at once, and what is valid but not supported by name.

mod check;
mod http;
pub(crate) mod intervals;
mod raw;
mod receivers;
mod secret;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_saphyr::UserMessageFormatter;
use swell_model::{DurationMs, first_document};

use crate::inhibit::InhibitRule;
use crate::interval::TimeInterval;
use crate::tree::RouteTree;

pub use http::{Authorization, HttpConfig};
pub use receivers::{
    AtConfig, DingTalkConfig, DingTalkMessageType, Integration, PagerDutyConfig, PagerDutyImage,
    PagerDutyLink, Receiver, SlackAction, SlackConfig, SlackField, WebhookConfig,
};
pub use secret::{Secret, SecretSource};

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// After so long an alert posted without an end counts as resolved.
    pub resolve_timeout: DurationMs,
    /// Where alerts go.
    pub route: RouteTree,
    /// By name, each once.
    pub receivers: Vec<Receiver>,
    /// Which alerts mute which.
    pub inhibit_rules: Vec<InhibitRule>,
    /// Times that routes name, by name; each is inside while any of its intervals is.
    pub intervals: BTreeMap<String, Vec<TimeInterval>>,
    /// Files with templates, as globs.
    pub templates: Vec<String>,
    /// What is valid but does nothing here, in the user's words: to be shown at start and in the API.
    pub unsupported: Vec<String>,
    /// What works but is probably not meant: classic matchers, odd intervals.
    pub warnings: Vec<String>,
}

impl Config {
    /// A receiver by its name.
    #[must_use]
    pub fn receiver(&self, name: &str) -> Option<&Receiver> {
        self.receivers.iter().find(|receiver| receiver.name == name)
    }
}

/// One thing wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFault {
    /// Line and column, both from 1, if the YAML parser can tell.
    pub location: Option<(u64, u64)>,
    /// Path of the key and what is wrong with it.
    pub message: String,
}

impl std::fmt::Display for ConfigFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some((line, column)) = self.location {
            write!(f, "line {line}, column {column}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// Parses and checks an Alertmanager configuration. Of several YAML documents the first one counts.
///
/// # Errors
/// All faults found.
pub fn parse_config(text: &str) -> Result<Config, Vec<ConfigFault>> {
    let raw: Option<raw::RawConfig> =
        serde_saphyr::from_str(first_document(text)).map_err(|error| vec![yaml_fault(&error)])?;
    check::check(raw.unwrap_or_default())
}

fn yaml_fault(error: &serde_saphyr::Error) -> ConfigFault {
    let location = error.location().map(|at| (at.line(), at.column()));
    let text = error.without_snippet().render_with_formatter(&UserMessageFormatter);
    let line = text.lines().next().unwrap_or_default();
    let message = line.rsplit_once(" at line ").map_or(line, |(message, _)| message);
    ConfigFault { location, message: message.to_owned() }
}

/// A duration in Prometheus' syntax; zero is for the caller to refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct YamlDuration(pub(crate) DurationMs);

impl<'de> Deserialize<'de> for YamlDuration {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        DurationMs::parse_prometheus(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
