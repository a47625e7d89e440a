//! `alerting:`: the Alertmanagers outside that alerts of rules are sent to.

use serde::Deserialize;
use swell_alert_runner::{ForwardLimits, RestoreOptions};
use swell_discovery::{DiscoveryConfig, TargetGroup};
use swell_http_client::ClientOptions;
use swell_model::DurationMs;
use swell_relabel::Rule;

use super::client::{self, ClientContext};
use super::discoveries::{discoveries, static_groups};
use super::faults::Faults;
use super::jobs::rules;
use super::raw::{Opaque, Span};
use super::raw_scrape::RawRelabel;
use super::raw_sources::with_sources;
use super::set;

/// How Alertmanagers are spoken to unless told.
pub(super) const SCHEME_DEFAULT: &str = "http";
/// The one version of their API.
pub(super) const API_VERSION: &str = "v2";
/// Longest a request may take unless told.
pub(super) const TIMEOUT_DEFAULT: DurationMs = DurationMs::from_secs(10);

/// `alerting:`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawAlerting {
    pub(crate) alert_relabel_configs: Vec<RawRelabel>,
    pub(crate) alertmanagers: Vec<RawAlertmanagers>,
}

with_sources! {
    /// One of `alerting.alertmanagers:`
    struct RawAlertmanagers {
        scheme: Option<String>,
        path_prefix: Option<String>,
        timeout: Option<Span>,
        api_version: Option<String>,
        relabel_configs: Vec<RawRelabel>,
        alert_relabel_configs: Vec<RawRelabel>,
        // accepted, reported, not acted on
        sigv4: Option<Opaque>,
    }
}

/// Checked settings of `alerting:`.
#[derive(Clone, Debug)]
pub(crate) struct AlertingSettings {
    /// A firing alert is sent again after so long.
    pub(crate) resend_delay: DurationMs,
    /// How outages are bridged.
    pub(crate) restore: RestoreOptions,
    /// Rules that may run beside others of their group, where that is switched on.
    pub(crate) rules_at_once: usize,
    /// Bounds of what waits and of what is sent at once.
    pub(crate) limits: ForwardLimits,
    /// Applied to all alerts.
    pub(crate) relabel: Vec<Rule>,
    /// In the order of the file.
    pub(crate) alertmanagers: Vec<AlertmanagerSettings>,
}

impl Default for AlertingSettings {
    /// No Alertmanagers, and Prometheus' defaults.
    fn default() -> Self {
        Self {
            resend_delay: DurationMs::from_secs(60),
            restore: RestoreOptions::default(),
            rules_at_once: 4,
            limits: ForwardLimits::default(),
            relabel: Vec::new(),
            alertmanagers: Vec::new(),
        }
    }
}

/// Alertmanagers that are found and asked in the same way.
#[derive(Clone, Debug)]
pub(crate) struct AlertmanagerSettings {
    /// `http` or `https`, unless relabelled.
    pub(crate) scheme: String,
    /// What stands before `/api/v2/alerts` in the path, unless relabelled.
    pub(crate) path_prefix: String,
    /// Longest a request may take.
    pub(crate) timeout: DurationMs,
    /// Those that stand in the file.
    pub(crate) static_groups: Vec<TargetGroup>,
    /// Sources of further ones.
    pub(crate) discoveries: Vec<DiscoveryConfig>,
    /// Applied to Alertmanagers.
    pub(crate) relabel: Vec<Rule>,
    /// Applied to alerts for these.
    pub(crate) alert_relabel: Vec<Rule>,
    /// How they are asked.
    pub(crate) client: ClientOptions,
}

/// Checks `alerting:`; faults go to `all`.
pub(super) fn settings(
    raw: Option<&RawAlerting>,
    context: ClientContext<'_>,
    all: &mut Vec<String>,
) -> AlertingSettings {
    let Some(raw) = raw else { return AlertingSettings::default() };
    let mut of_all = Faults { place: "alerting".to_owned(), all: &mut *all };
    let relabel = rules("alert_relabel_configs", &raw.alert_relabel_configs, &mut of_all);
    let entries = raw.alertmanagers.iter().enumerate();
    let alertmanagers = entries.map(|(idx, entry)| {
        let place = format!("alerting.alertmanagers[{idx}]");
        alertmanagers(entry, context, &mut Faults { place, all: &mut *all })
    });
    AlertingSettings {
        relabel,
        alertmanagers: alertmanagers.collect(),
        ..AlertingSettings::default()
    }
}

fn alertmanagers(
    raw: &RawAlertmanagers,
    context: ClientContext<'_>,
    faults: &mut Faults<'_>,
) -> AlertmanagerSettings {
    match raw.api_version.as_deref() {
        None | Some("" | API_VERSION) => {}
        Some(other) => faults.push(format!(
            "api_version {other:?} is not v2, the one that Alertmanagers since 0.16 have"
        )),
    }
    let scheme = raw.scheme.clone().filter(|scheme| !scheme.is_empty());
    let scheme = scheme.unwrap_or_else(|| SCHEME_DEFAULT.to_owned());
    if !["http", "https"].contains(&scheme.as_str()) {
        faults.push(format!("scheme {scheme:?} is neither http nor https"));
    }
    let sources = raw.sources();
    AlertmanagerSettings {
        scheme,
        path_prefix: raw.path_prefix.clone().unwrap_or_default(),
        timeout: set(raw.timeout, TIMEOUT_DEFAULT),
        static_groups: static_groups(&sources, faults),
        discoveries: discoveries(&sources, context, faults),
        relabel: rules("relabel_configs", &raw.relabel_configs, faults),
        alert_relabel: rules("alert_relabel_configs", &raw.alert_relabel_configs, faults),
        client: client::options(raw.client(), context, faults),
    }
}
