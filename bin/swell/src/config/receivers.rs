//! What is taken from whom pushes: `otlp:` as Prometheus has it, and the receivers under `swell:`.

use std::collections::BTreeSet;

use serde::Deserialize;
use swell_model::DurationMs;
use swell_otlp::{Promotion, Settings, Strategy};
use swell_tsdb_http::Message;

use super::raw::{RawConfig, Span};

/// `otlp:`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawOtlp {
    translation_strategy: Option<String>,
    promote_resource_attributes: Vec<String>,
    #[serde(deserialize_with = "crate::config::raw::or_zero")]
    promote_all_resource_attributes: bool,
    ignore_resource_attributes: Vec<String>,
    #[serde(deserialize_with = "crate::config::raw::or_zero")]
    keep_identifying_resource_attributes: bool,
    #[serde(deserialize_with = "crate::config::raw::or_zero")]
    convert_histograms_to_nhcb: bool,
    #[serde(deserialize_with = "crate::config::raw::or_zero")]
    promote_scope_metadata: bool,
    label_name_underscore_sanitization: Option<bool>,
    label_name_preserve_multiple_underscores: Option<bool>,
}

/// `swell.remote_write_receiver:`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawRemoteWriteReceiver {
    enabled: Option<bool>,
    accepted_protobuf_messages: Option<Vec<String>>,
    #[serde(deserialize_with = "crate::config::raw::or_zero")]
    zero_at_start: bool,
}

/// `swell.otlp_receiver:`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawOtlpReceiver {
    enabled: Option<bool>,
}

/// `swell.influx_receiver:`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawInfluxReceiver {
    #[serde(deserialize_with = "crate::config::raw::or_zero")]
    pub(crate) enabled: bool,
}

/// `swell.pushgateway:`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawPushgateway {
    #[serde(deserialize_with = "crate::config::raw::or_zero")]
    enabled: bool,
    interval: Option<Span>,
}

/// What is taken by remote write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RemoteWriteSettings {
    /// Whether anything is; where it is not said, only on loopback.
    pub(crate) enabled: Option<bool>,
    /// Messages.
    pub(crate) accepted: Vec<Message>,
    /// Whether a sample with a start timestamp is preceded by a zero there.
    pub(crate) zero_at_start: bool,
}

/// What is taken by OTLP, and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OtlpSettings {
    /// Whether anything is; where it is not said, only on loopback.
    pub(crate) enabled: Option<bool>,
    /// How it is translated.
    pub(crate) translation: Settings,
}

/// How pushes of exposition text are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PushgatewaySettings {
    /// Whether any are.
    pub(crate) enabled: bool,
    /// How often what is kept is sampled.
    pub(crate) interval: DurationMs,
}

pub(super) fn pushgateway(
    raw: &RawConfig,
    scrape_interval: DurationMs,
    faults: &mut Vec<String>,
) -> PushgatewaySettings {
    let RawPushgateway { enabled, interval } = raw.swell.pushgateway;
    let interval = interval.map_or(scrape_interval, |span| span.0);
    if interval.0 < 100 {
        faults.push(format!("swell.pushgateway.interval {interval} is shorter than 100ms"));
    }
    PushgatewaySettings { enabled, interval }
}

pub(super) fn remote_write(raw: &RawConfig, faults: &mut Vec<String>) -> RemoteWriteSettings {
    let raw = &raw.swell.remote_write_receiver;
    let names = raw.accepted_protobuf_messages.as_deref();
    let accepted = names.map_or_else(
        || Ok(Message::ALL.to_vec()),
        |names| names.iter().map(|name| parse_message(name)).collect(),
    );
    let accepted = accepted.unwrap_or_else(|fault| {
        faults.push(format!("swell.remote_write_receiver.accepted_protobuf_messages: {fault}"));
        Vec::new()
    });
    RemoteWriteSettings { enabled: raw.enabled, accepted, zero_at_start: raw.zero_at_start }
}

/// A message of remote write by its name.
pub(crate) fn parse_message(name: &str) -> Result<Message, String> {
    let found = Message::ALL.into_iter().find(|message| message.name() == name);
    found.ok_or_else(|| {
        let [a, b] = Message::ALL.map(Message::name);
        format!("{name:?} is no message of remote write: {a} and {b} are")
    })
}

pub(super) fn otlp(
    raw: &RawConfig,
    lookback: DurationMs,
    faults: &mut Vec<String>,
) -> OtlpSettings {
    let enabled = raw.swell.otlp_receiver.enabled;
    let is_legacy = raw.global.metric_name_validation_scheme.as_deref() == Some("legacy");
    let raw = &raw.otlp;
    let strategy = match raw.translation_strategy.as_deref() {
        None => Strategy::default(),
        Some(name) => Strategy::ALL.into_iter().find(|it| it.name() == name).unwrap_or_else(|| {
            let names = Strategy::ALL.map(Strategy::name).join(", ");
            faults.push(format!("otlp.translation_strategy {name:?}: one of {names}"));
            Strategy::default()
        }),
    };
    if is_legacy
        && matches!(strategy, Strategy::NoUtf8EscapingWithSuffixes | Strategy::NoTranslation)
    {
        let name = strategy.name();
        faults.push(format!(
            "otlp.translation_strategy {name} makes names that global.metric_name_validation_scheme legacy refuses"
        ));
    }
    let mut names = |key: &str, names: &[String]| -> BTreeSet<String> {
        let mut set = BTreeSet::new();
        for name in names.iter().map(|name| name.trim()) {
            if name.is_empty() {
                faults.push(format!("otlp.{key}: an attribute without a name"));
            } else if !set.insert(name.to_owned()) {
                faults.push(format!("otlp.{key}: {name:?} is there twice"));
            }
        }
        set
    };
    let promoted = names("promote_resource_attributes", &raw.promote_resource_attributes);
    let ignored = names("ignore_resource_attributes", &raw.ignore_resource_attributes);
    let promotes_all = raw.promote_all_resource_attributes;
    if promotes_all && !promoted.is_empty() {
        faults.push(
            "otlp: promote_all_resource_attributes and promote_resource_attributes exclude each other"
                .to_owned(),
        );
    }
    if !promotes_all && !ignored.is_empty() {
        faults.push(
            "otlp.ignore_resource_attributes has a meaning only with promote_all_resource_attributes: true"
                .to_owned(),
        );
    }
    let translation = Settings {
        strategy,
        promotion: if promotes_all {
            Promotion::AllBut(ignored)
        } else {
            Promotion::Only(promoted)
        },
        keep_identifying: raw.keep_identifying_resource_attributes,
        nhcb: raw.convert_histograms_to_nhcb,
        promote_scope: raw.promote_scope_metadata,
        key_before_underscore: raw.label_name_underscore_sanitization.unwrap_or(true),
        keeps_underscores: raw.label_name_preserve_multiple_underscores.unwrap_or(true),
        target_info_interval_ms: (lookback.0 / 2).max(1),
        // A feature, which is not known here.
        type_and_unit_labels: false,
    };
    OtlpSettings { enabled, translation }
}
