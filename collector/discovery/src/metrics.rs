//! What discovery counts about itself, under Prometheus' names.

use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

/// All metrics are those of targets to scrape.
const MANAGER: &str = "scrape";

/// Metrics of all sources.
#[derive(Clone, Debug)]
pub struct DiscoveryMetrics {
    pub(crate) discovered_targets: IntGaugeVec,
    pub(crate) failed_configs: IntGauge,
    pub(crate) received_updates_total: IntCounter,
    pub(crate) updates_total: IntCounter,
    pub(crate) refresh_failures_total: IntCounterVec,
    pub(crate) refresh_duration_seconds: HistogramVec,
    pub(crate) file_read_errors_total: IntCounter,
    pub(crate) http_failures_total: IntCounter,
    pub(crate) dns_lookups_total: IntCounter,
    pub(crate) dns_lookup_failures_total: IntCounter,
    pub(crate) consul_rpc_failures_total: IntCounter,
}

impl DiscoveryMetrics {
    /// Registers them.
    ///
    /// # Errors
    /// When one of the names is taken.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let named = |name: &str, help: &str| Opts::new(name, help).const_label("name", MANAGER);
        let metrics = Self {
            discovered_targets: IntGaugeVec::new(
                named("prometheus_sd_discovered_targets", "Targets that sources tell, by job."),
                &["config"],
            )?,
            failed_configs: IntGauge::with_opts(named(
                "prometheus_sd_failed_configs",
                "Sources that could not be set up.",
            ))?,
            received_updates_total: IntCounter::with_opts(named(
                "prometheus_sd_received_updates_total",
                "Lists of targets that sources told.",
            ))?,
            updates_total: IntCounter::with_opts(named(
                "prometheus_sd_updates_total",
                "Lists of targets that were taken over because they differ.",
            ))?,
            refresh_failures_total: IntCounterVec::new(
                Opts::new(
                    "prometheus_sd_refresh_failures_total",
                    "Questions to a source that failed; its targets stay.",
                ),
                &["mechanism", "config"],
            )?,
            refresh_duration_seconds: HistogramVec::new(
                HistogramOpts::new(
                    "prometheus_sd_refresh_duration_seconds",
                    "How long questions to a source took.",
                )
                .buckets(vec![0.01, 0.1, 1.0, 10.0, 60.0]),
                &["mechanism", "config"],
            )?,
            file_read_errors_total: IntCounter::new(
                "prometheus_sd_file_read_errors_total",
                "Target files that could not be read or understood.",
            )?,
            http_failures_total: IntCounter::new(
                "prometheus_sd_http_failures_total",
                "Questions to HTTP sources that failed.",
            )?,
            dns_lookups_total: IntCounter::new(
                "prometheus_sd_dns_lookups_total",
                "Look-ups in the domain name system.",
            )?,
            dns_lookup_failures_total: IntCounter::new(
                "prometheus_sd_dns_lookup_failures_total",
                "Look-ups in the domain name system that failed.",
            )?,
            consul_rpc_failures_total: IntCounter::new(
                "prometheus_sd_consul_rpc_failures_total",
                "Questions to Consul that failed.",
            )?,
        };
        registry.register(Box::new(metrics.discovered_targets.clone()))?;
        registry.register(Box::new(metrics.failed_configs.clone()))?;
        registry.register(Box::new(metrics.received_updates_total.clone()))?;
        registry.register(Box::new(metrics.updates_total.clone()))?;
        registry.register(Box::new(metrics.refresh_failures_total.clone()))?;
        registry.register(Box::new(metrics.refresh_duration_seconds.clone()))?;
        registry.register(Box::new(metrics.file_read_errors_total.clone()))?;
        registry.register(Box::new(metrics.http_failures_total.clone()))?;
        registry.register(Box::new(metrics.dns_lookups_total.clone()))?;
        registry.register(Box::new(metrics.dns_lookup_failures_total.clone()))?;
        registry.register(Box::new(metrics.consul_rpc_failures_total.clone()))?;
        Ok(metrics)
    }
}
