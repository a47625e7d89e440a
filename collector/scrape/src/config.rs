//! What is scraped and how: checked values, one [`ScrapeConfig`] per job.

use std::collections::BTreeMap;
use std::path::PathBuf;

use swell_discovery::{DiscoveryConfig, TargetGroup};
use swell_exposition::HistogramOptions;
use swell_http_client::ClientOptions;
use swell_model::DurationMs;
use swell_relabel::Rule;

use crate::protocol::ScrapeProtocol;

/// How targets are spoken to unless their labels say otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

impl Scheme {
    /// As it stands in a URL.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// A scrape that exceeds one of these fails as a whole; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Samples of one scrape, after metric relabelling.
    pub samples_max: Option<usize>,
    /// Targets of the job, after relabelling: with more, all of them fail.
    pub targets_max: Option<usize>,
    /// Labels of one series.
    pub labels_max: Option<usize>,
    /// Bytes of a label's name.
    pub label_name_bytes_max: Option<usize>,
    /// Bytes of a label's value.
    pub label_value_bytes_max: Option<usize>,
    /// Bytes of a body, uncompressed.
    pub body_bytes_max: Option<u64>,
    /// Dropped targets that are remembered for display.
    pub dropped_targets_max: Option<usize>,
    /// Buckets of a native histogram: one with more is stored at a lower resolution.
    pub histogram_buckets_max: Option<usize>,
    /// Highest schema of a native histogram, from the smallest growth of its buckets that is of use.
    pub histogram_schema_max: Option<i32>,
}

/// How names that are not of classic form travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Escaping {
    /// As they are.
    #[default]
    AllowUtf8,
    /// Odd characters as underscores.
    Underscores,
    /// Dots as `_dot_`, underscores doubled, other odd characters as an underscore.
    Dots,
    /// With a prefix, odd characters by their number.
    Values,
}

impl Escaping {
    /// All schemes.
    pub const ALL: [Self; 4] = [Self::AllowUtf8, Self::Underscores, Self::Dots, Self::Values];

    /// As configurations and headers have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AllowUtf8 => "allow-utf-8",
            Self::Underscores => "underscores",
            Self::Dots => "dots",
            Self::Values => "values",
        }
    }
}

/// Which names of metrics and labels are good, and how others are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NameRules {
    /// Whether only names of classic form are good: a scrape with others fails.
    pub classic_only: bool,
    /// How the target is asked to write names.
    pub escaping: Escaping,
}

/// One job.
#[derive(Clone, Debug)]
pub struct ScrapeConfig {
    /// Its name, the `job` label of its series unless relabelled.
    pub job_name: String,
    /// Distance of scrapes.
    pub interval: DurationMs,
    /// Longest a scrape may take; no longer than the interval.
    pub timeout: DurationMs,
    /// Path of the URL.
    pub metrics_path: String,
    /// Scheme of the URL.
    pub scheme: Scheme,
    /// Query of the URL.
    pub params: BTreeMap<String, Vec<String>>,
    /// Targets that stand in the configuration.
    pub static_groups: Vec<TargetGroup>,
    /// Sources of further targets.
    pub discoveries: Vec<DiscoveryConfig>,
    /// Applied to targets.
    pub relabel: Vec<Rule>,
    /// Applied to series.
    pub metric_relabel: Vec<Rule>,
    /// Whether a label of the target's own wins over ours of the same name; else it is renamed to `exported_…`.
    pub honor_labels: bool,
    /// Whether timestamps in the body count.
    pub honor_timestamps: bool,
    /// What becomes of histograms.
    pub histograms: HistogramOptions,
    /// Formats that are asked for, the dearest first; the usual ones when there are none.
    pub protocols: Vec<ScrapeProtocol>,
    /// Format of answers that name none that is known; without it such a scrape fails.
    pub fallback_protocol: Option<ScrapeProtocol>,
    /// Limits.
    pub limits: Limits,
    /// How targets are asked.
    pub client: ClientOptions,
    /// Whether bodies may come compressed.
    pub compression: bool,
    /// Whether they may come compressed by zstd, too (Prometheus' feature `zstd-scrape`).
    pub zstd: bool,
    /// Whether series are labelled with the type and the unit of their family, as `__type__` and `__unit__`
    /// (Prometheus' feature `type-and-unit-labels`).
    pub type_and_unit_labels: bool,
    /// Whether series whose samples have a timestamp of their own end when they vanish, too.
    pub track_timestamps_staleness: bool,
    /// Whether timeout, limit and size of a scrape are stored beside its outcome.
    pub extra_metrics: bool,
    /// Which names of metrics and labels are good.
    pub names: NameRules,
    /// File to which failed scrapes are written, one JSON object a line.
    pub failure_log: Option<PathBuf>,
}

impl ScrapeConfig {
    /// A job with Prometheus' defaults and no targets.
    #[must_use]
    pub fn new(job_name: impl Into<String>, interval: DurationMs, timeout: DurationMs) -> Self {
        Self {
            job_name: job_name.into(),
            interval,
            timeout,
            metrics_path: "/metrics".to_owned(),
            scheme: Scheme::Http,
            params: BTreeMap::new(),
            static_groups: Vec::new(),
            discoveries: Vec::new(),
            relabel: Vec::new(),
            metric_relabel: Vec::new(),
            honor_labels: false,
            honor_timestamps: true,
            histograms: HistogramOptions::default(),
            protocols: Vec::new(),
            fallback_protocol: None,
            limits: Limits::default(),
            client: ClientOptions::default(),
            compression: true,
            zstd: false,
            type_and_unit_labels: false,
            track_timestamps_staleness: false,
            extra_metrics: false,
            names: NameRules::default(),
            failure_log: None,
        }
    }
}
