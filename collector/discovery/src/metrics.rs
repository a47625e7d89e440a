//! What discovery counts about itself, under Prometheus' names.

use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry,
};

/// What targets are found for unless told otherwise.
const SCRAPE: &str = "scrape";

/// Metrics of all sources.
#[derive(Clone, Debug)]
pub struct DiscoveryMetrics {
    /// What targets are found for: the label `name`.
    purpose: &'static str,
    discovered_targets: IntGaugeVec,
    failed_configs: IntGaugeVec,
    received_updates_total: IntCounterVec,
    updates_total: IntCounterVec,
    pub(crate) refresh_failures_total: IntCounterVec,
    pub(crate) refresh_duration_seconds: HistogramVec,
    pub(crate) file_read_errors_total: IntCounter,
    pub(crate) http_failures_total: IntCounter,
    pub(crate) dns_lookups_total: IntCounter,
    pub(crate) dns_lookup_failures_total: IntCounter,
    pub(crate) consul_rpc_failures_total: IntCounter,
    pub(crate) kubernetes_failures_total: IntCounter,
}

impl DiscoveryMetrics {
    /// Registers them.
    ///
    /// # Errors
    /// When one of the names is taken.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| IntCounterVec::new(Opts::new(name, help), &["name"]);
        let metrics = Self {
            purpose: SCRAPE,
            discovered_targets: IntGaugeVec::new(
                Opts::new("prometheus_sd_discovered_targets", "Targets that sources tell, by job."),
                &["name", "config"],
            )?,
            failed_configs: IntGaugeVec::new(
                Opts::new("prometheus_sd_failed_configs", "Sources that could not be set up."),
                &["name"],
            )?,
            received_updates_total: counter(
                "prometheus_sd_received_updates_total",
                "Lists of targets that sources told.",
            )?,
            updates_total: counter(
                "prometheus_sd_updates_total",
                "Lists of targets that were taken over because they differ.",
            )?,
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
            kubernetes_failures_total: IntCounter::new(
                "prometheus_sd_kubernetes_failures_total",
                "Lists and watches of Kubernetes objects that failed.",
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
        registry.register(Box::new(metrics.kubernetes_failures_total.clone()))?;
        // There from the start, as with Prometheus.
        metrics.failed(0);
        metrics.received_updates_total.with_label_values(&[SCRAPE]);
        metrics.updates_total.with_label_values(&[SCRAPE]);
        Ok(metrics)
    }

    /// The same metrics for targets that are found for something else than scraping.
    #[must_use]
    pub fn for_purpose(&self, purpose: &'static str) -> Self {
        Self { purpose, ..self.clone() }
    }

    /// So many more sources could not be set up.
    pub(crate) fn failed(&self, count: i64) {
        self.failed_configs.with_label_values(&[self.purpose]).add(count);
    }

    /// A source told a list, which differs from the one before or not.
    pub(crate) fn told(&self) {
        self.received_updates_total.with_label_values(&[self.purpose]).inc();
    }

    /// A list was taken over.
    pub(crate) fn taken(&self) {
        self.updates_total.with_label_values(&[self.purpose]).inc();
    }

    /// The job is no more, or has another name.
    pub(crate) fn forget_job(&self, job: &str) {
        // Missing when nothing was counted yet, or another took the name.
        drop(self.discovered_targets.remove_label_values(&[self.purpose, job]));
    }

    /// The job has no source of this kind any more.
    pub(crate) fn forget_source(&self, mechanism: &str, job: &str) {
        // Missing where it was never asked, or the job had two of the kind.
        drop(self.refresh_failures_total.remove_label_values(&[mechanism, job]));
        drop(self.refresh_duration_seconds.remove_label_values(&[mechanism, job]));
    }

    /// The sources of a job tell so many targets.
    pub(crate) fn count_targets(&self, job: &str, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.discovered_targets.with_label_values(&[self.purpose, job]).set(count);
    }
}
