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

/// A duration in Prometheus' form, `1m30s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) DurationMs);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        DurationMs::parse_prometheus(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// A size, `512MB` or `1GiB`: powers of 1024 in both spellings, as Prometheus counts.
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
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let power = match unit {
        "" if number == 0 => 0,
        "B" => 0,
        "KB" | "KiB" => 1,
        "MB" | "MiB" => 2,
        "GB" | "GiB" => 3,
        "TB" | "TiB" => 4,
        "PB" | "PiB" => 5,
        _ => return None,
    };
    number.checked_mul(1024_u64.checked_pow(power)?)
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
    pub(crate) collection_interval: Option<Span>,
    pub(crate) wal_sync: Option<String>,
    pub(crate) admin_api: bool,
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
        for (text, expected) in
            [("0", Some(0)), ("512MB", Some(512 << 20)), ("1GiB", Some(1 << 30)), ("7B", Some(7))]
        {
            assert_eq!(parse_size(text), expected, "{text}");
        }
        for text in ["", "MB", "1", "1.5GB", "1XB", "99999999PB"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }
}
