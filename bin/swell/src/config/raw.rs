//! The configuration file as serde reads it: every key of a `prometheus.yml`, and `swell:`.
//!
//! Keys of Prometheus that Swell does not act on yet are read as [`Opaque`] and reported as unsupported; a key
//! that nobody knows is an error with its line.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer};
use swell_model::DurationMs;

use super::alerting::RawAlerting;
use super::raw_scrape::RawScrapeConfig;
use super::reading::RawRemoteRead;
use super::receivers::{
    RawInfluxReceiver, RawOtlp, RawOtlpReceiver, RawPushgateway, RawRemoteWriteReceiver,
};
use super::sending::RawRemoteWrite;

/// A value that is accepted and not acted on.
pub(crate) type Opaque = serde_json::Value;

/// A value that is zero where YAML says null, as in Prometheus: an empty text, or false.
pub(crate) fn or_zero<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A value with another default than zero: null is zero and no absence, as in Prometheus.
pub(crate) fn given<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    or_zero(deserializer).map(Some)
}

/// Texts by name; null is an empty one.
pub(crate) fn texts<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    let texts = BTreeMap::<String, Option<String>>::deserialize(deserializer)?;
    Ok(texts.into_iter().map(|(name, text)| (name, text.unwrap_or_default())).collect())
}

/// A duration in Prometheus' form, `1m30s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) DurationMs);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        DurationMs::parse_prometheus(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// A size, `512MB`, `1.5GiB` or `1GB512MB`: powers of 1024 in both spellings, as Prometheus counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_size(&text).map(Self).ok_or_else(|| {
            serde::de::Error::custom(format!("{text:?} is not a size such as 512MB or 10GiB"))
        })
    }
}

pub(crate) fn parse_size(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    sum_of_parts(text, "iB").or_else(|| sum_of_parts(text, "B"))
}

/// The sum of parts such as `1GB512MB`, whose units all end alike.
fn sum_of_parts(text: &str, unit_end: &str) -> Option<u64> {
    let is_of_number = |c: char| c.is_ascii_digit() || c == '.';
    let (mut sum, mut rest) = (None, text);
    while !rest.is_empty() {
        let (number, tail) = rest.split_at(rest.find(|c: char| !is_of_number(c))?);
        let (unit, tail) = tail.split_at(tail.find(is_of_number).unwrap_or(tail.len()));
        let part = scaled(number, power_of_unit(unit, unit_end)?)?;
        sum = Some(sum.unwrap_or(0_u64).checked_add(part)?);
        rest = tail;
    }
    sum
}

fn power_of_unit(unit: &str, unit_end: &str) -> Option<u32> {
    if unit == "B" {
        return Some(0);
    }
    let letters = ["K", "M", "G", "T", "P", "E"];
    let letter = unit.strip_suffix(unit_end)?;
    letters.iter().zip(1..).find(|(known, _)| **known == letter).map(|(_, power)| power)
}

/// A decimal number of a power of 1024, in whole bytes.
fn scaled(number: &str, power: u32) -> Option<u64> {
    /// More are less than a byte, and might not fit.
    const DECIMALS_MAX: usize = 18;
    let scale = 1024_u64.checked_pow(power)?;
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && decimals.is_empty()) || decimals.contains('.') {
        return None;
    }
    let digits = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<u64>().ok() };
    let decimals = &decimals[..decimals.len().min(DECIMALS_MAX)];
    let tenths = 10_u128.pow(u32::try_from(decimals.len()).ok()?);
    let below_one = u128::from(digits(decimals)?) * u128::from(scale) / tenths;
    digits(whole)?.checked_mul(scale)?.checked_add(u64::try_from(below_one).ok()?)
}

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawConfig {
    pub(crate) global: RawGlobal,
    pub(crate) runtime: Option<Opaque>,
    pub(crate) rule_files: Vec<String>,
    pub(crate) scrape_config_files: Vec<String>,
    pub(crate) scrape_configs: Vec<RawScrapeConfig>,
    pub(crate) alerting: Option<RawAlerting>,
    pub(crate) remote_write: Vec<RawRemoteWrite>,
    pub(crate) remote_read: Vec<RawRemoteRead>,
    pub(crate) storage: RawStorage,
    pub(crate) tracing: Option<Opaque>,
    pub(crate) otlp: RawOtlp,
    pub(crate) swell: RawSwell,
}

/// `global:`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawGlobal {
    pub(crate) scrape_interval: Option<Span>,
    pub(crate) scrape_timeout: Option<Span>,
    pub(crate) scrape_protocols: Option<Vec<String>>,
    pub(crate) evaluation_interval: Option<Span>,
    pub(crate) rule_query_offset: Option<Span>,
    pub(crate) query_log_file: Option<Opaque>,
    pub(crate) scrape_failure_log_file: Option<PathBuf>,
    #[serde(deserialize_with = "crate::config::raw::texts")]
    pub(crate) external_labels: BTreeMap<String, String>,
    pub(crate) body_size_limit: Option<Size>,
    pub(crate) sample_limit: Option<usize>,
    pub(crate) target_limit: Option<usize>,
    pub(crate) label_limit: Option<usize>,
    pub(crate) label_name_length_limit: Option<usize>,
    pub(crate) label_value_length_limit: Option<usize>,
    pub(crate) keep_dropped_targets: Option<usize>,
    pub(crate) metric_name_validation_scheme: Option<String>,
    pub(crate) metric_name_escaping_scheme: Option<String>,
    pub(crate) scrape_native_histograms: Option<bool>,
    pub(crate) convert_classic_histograms_to_nhcb: Option<bool>,
    pub(crate) always_scrape_classic_histograms: Option<bool>,
    pub(crate) extra_scrape_metrics: Option<bool>,
}

/// `storage:`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawStorage {
    pub(crate) tsdb: RawTsdb,
    pub(crate) exemplars: RawExemplars,
}

/// `storage.exemplars:`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawExemplars {
    pub(crate) max_exemplars: Option<i64>,
}

/// `storage.tsdb:`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawTsdb {
    pub(crate) out_of_order_time_window: Option<Span>,
    pub(crate) retention: RawRetention,
    pub(crate) stale_series_compaction_threshold: Option<Opaque>,
    pub(crate) chunk_encoding: Option<Opaque>,
}

/// `storage.tsdb.retention:`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawRetention {
    pub(crate) time: Option<Span>,
    pub(crate) size: Option<Size>,
    pub(crate) percentage: Option<Opaque>,
}

/// `swell:`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawSwell {
    pub(crate) alertmanager_config_file: Option<PathBuf>,
    pub(crate) alertmanager_config: Option<Opaque>,
    pub(crate) external_url: Option<String>,
    pub(crate) route_prefix: Option<String>,
    pub(crate) collection_interval: Option<Span>,
    pub(crate) wal_sync: Option<String>,
    #[serde(deserialize_with = "crate::config::raw::or_zero")]
    pub(crate) admin_api: bool,
    #[serde(deserialize_with = "crate::config::raw::or_zero")]
    pub(crate) lifecycle_api: bool,
    pub(crate) retention: RawRetentionRules,
    pub(crate) downsample: Vec<RawTier>,
    pub(crate) background: RawBackground,
    pub(crate) scrape: RawScrapeLimits,
    pub(crate) limits: RawLimits,
    pub(crate) query: RawQuery,
    pub(crate) features: Vec<String>,
    pub(crate) autoscaler: RawAutoscaler,
    pub(crate) remote_write_receiver: RawRemoteWriteReceiver,
    pub(crate) otlp_receiver: RawOtlpReceiver,
    pub(crate) influx_receiver: RawInfluxReceiver,
    pub(crate) pushgateway: RawPushgateway,
    pub(crate) self_metrics: Option<bool>,
    pub(crate) archive: Option<RawArchive>,
}

/// An entry of `swell.downsample:`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawTier {
    pub(crate) resolution: Span,
    pub(crate) retention: Span,
}

/// `swell.archive:`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawArchive {
    pub(crate) url: String,
    pub(crate) after: Option<Span>,
    pub(crate) window: Option<Span>,
    pub(crate) region: Option<String>,
    pub(crate) endpoint: Option<String>,
    pub(crate) access_key_id: Option<String>,
    pub(crate) secret_access_key: Option<String>,
    pub(crate) secret_access_key_file: Option<PathBuf>,
}

impl std::fmt::Debug for RawArchive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawArchive").field("url", &self.url).finish_non_exhaustive()
    }
}

/// `swell.retention:`, a selector and a duration each, in the order of the file.
#[derive(Debug, Default)]
pub(crate) struct RawRetentionRules(pub(crate) Vec<(String, Span)>);

impl<'de> Deserialize<'de> for RawRetentionRules {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Rules;
        impl<'de> serde::de::Visitor<'de> for Rules {
            type Value = RawRetentionRules;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("selectors with a duration each, such as '{namespace=\"test\"}': 2d")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Self::Value, A::Error> {
                let mut rules = Vec::new();
                while let Some(rule) = map.next_entry()? {
                    rules.push(rule);
                }
                Ok(RawRetentionRules(rules))
            }
        }
        deserializer.deserialize_map(Rules)
    }
}

/// `swell.background:`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawBackground {
    pub(crate) cpu_percent: Option<u32>,
    pub(crate) bytes_per_second: Option<Size>,
}

/// `swell.scrape:`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawScrapeLimits {
    pub(crate) allowed_addresses: Option<Vec<String>>,
}

/// `swell.limits:`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawLimits {
    pub(crate) series: Option<usize>,
    pub(crate) series_per_metric: Option<usize>,
    pub(crate) series_per_label: BTreeMap<String, usize>,
    pub(crate) held_log: Option<Size>,
}

/// `swell.query:`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawQuery {
    pub(crate) timeout: Option<Span>,
    pub(crate) lookback_delta: Option<Span>,
    pub(crate) max_samples: Option<u64>,
    pub(crate) max_series: Option<usize>,
    pub(crate) max_memory: Option<Size>,
    pub(crate) max_concurrency: Option<usize>,
    pub(crate) remote_read_sample_limit: Option<usize>,
    pub(crate) remote_read_max_concurrency: Option<usize>,
}

/// `swell.autoscaler:`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawAutoscaler {
    pub(crate) cpu_initialization_period: Option<Span>,
    pub(crate) initial_readiness_delay: Option<Span>,
    pub(crate) downscale_stabilization: Option<Span>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        for (text, expected) in [
            ("0", 0),
            ("0B", 0),
            ("512MB", 512 << 20),
            ("1GiB", 1 << 30),
            ("7B", 7),
            ("1.5MB", 3 << 19),
            (".5KiB", 512),
            ("2.KB", 2048),
            ("1.0009765625KB", 1025),
            ("0.3333333333333333333333KB", 341),
            ("1GB512MB", 3 << 29),
            ("1KiB1B", 1025),
            ("1EB", 1 << 60),
        ] {
            assert_eq!(parse_size(text), Some(expected), "{text}");
        }
        for text in [
            "",
            "MB",
            "1",
            "1XB",
            "99999999PB",
            "1.2.3MB",
            ".MB",
            "1GiB512MB",
            "1MB5",
            "-1MB",
            "1kB",
            "1 MB",
        ] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }
}
