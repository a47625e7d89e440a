//! `pagerduty_configs`: Events API v2.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value as Json;
use swell_model::DurationMs;

use super::{Report, check_url, template};
use crate::config::YamlDuration;
use crate::config::http::{HttpConfig, RawHttpConfig, source};
use crate::config::secret::{Secret, SecretSource};

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

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawPagerDuty {
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
    pub(in crate::config) fn check(
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
