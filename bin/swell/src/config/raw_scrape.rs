//! `scrape_configs:` as serde reads it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::raw::{Size, Span};
use super::raw_sources::with_sources;

with_sources! {
    /// One of `scrape_configs:`
    struct RawScrapeConfig {
        job_name: String,
        scrape_interval: Option<Span>,
        scrape_timeout: Option<Span>,
        metrics_path: Option<String>,
        scheme: Option<String>,
        params: BTreeMap<String, Vec<String>>,
        #[serde(deserialize_with = "crate::config::raw::or_zero")]
        honor_labels: bool,
        #[serde(deserialize_with = "crate::config::raw::given")]
        honor_timestamps: Option<bool>,
        #[serde(deserialize_with = "crate::config::raw::given")]
        track_timestamps_staleness: Option<bool>,
        relabel_configs: Vec<RawRelabel>,
        metric_relabel_configs: Vec<RawRelabel>,
        sample_limit: Option<usize>,
        target_limit: Option<usize>,
        label_limit: Option<usize>,
        label_name_length_limit: Option<usize>,
        label_value_length_limit: Option<usize>,
        body_size_limit: Option<Size>,
        keep_dropped_targets: Option<usize>,
        #[serde(deserialize_with = "crate::config::raw::given")]
        enable_compression: Option<bool>,
        scrape_protocols: Option<Vec<String>>,
        fallback_scrape_protocol: Option<String>,
        scrape_native_histograms: Option<bool>,
        always_scrape_classic_histograms: Option<bool>,
        scrape_classic_histograms: Option<bool>,
        convert_classic_histograms_to_nhcb: Option<bool>,
        native_histogram_bucket_limit: Option<usize>,
        native_histogram_min_bucket_factor: Option<f64>,
        metric_name_validation_scheme: Option<String>,
        metric_name_escaping_scheme: Option<String>,
        scrape_failure_log_file: Option<PathBuf>,
        extra_scrape_metrics: Option<bool>,
    }
}

/// One relabelling step.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawRelabel {
    pub(crate) source_labels: Option<Vec<String>>,
    #[serde(deserialize_with = "crate::config::raw::given")]
    pub(crate) separator: Option<String>,
    #[serde(deserialize_with = "crate::config::raw::given")]
    pub(crate) regex: Option<String>,
    pub(crate) modulus: Option<u64>,
    pub(crate) target_label: Option<String>,
    #[serde(deserialize_with = "crate::config::raw::given")]
    pub(crate) replacement: Option<String>,
    pub(crate) action: Option<String>,
}
