//! What scraping counts about itself.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use crate::ingest::Ingested;

/// Metrics of all jobs.
#[derive(Clone, Debug)]
pub(crate) struct ScrapeMetrics {
    /// Targets that are scraped.
    pub(crate) targets: IntGauge,
    /// Scrapes by how they ended.
    pub(crate) scrapes_total: IntCounterVec,
    /// Samples stored.
    pub(crate) samples_total: IntCounter,
    /// Samples that the storage did not take, by reason.
    pub(crate) dropped_samples_total: IntCounterVec,
    /// Series that several targets give.
    pub(crate) shared_series: IntGauge,
    /// Lines that could not be written to a log of failed scrapes.
    pub(crate) failure_log_errors_total: IntCounter,
}

impl ScrapeMetrics {
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            targets: IntGauge::new("swell_scrape_targets", "Targets that are scraped.")?,
            scrapes_total: IntCounterVec::new(
                Opts::new("swell_scrape_attempts_total", "Scrapes by how they ended."),
                &["result"],
            )?,
            samples_total: IntCounter::new(
                "swell_scrape_samples_total",
                "Samples stored from scrapes.",
            )?,
            dropped_samples_total: IntCounterVec::new(
                Opts::new(
                    "swell_scrape_dropped_samples_total",
                    "Scraped samples that were not stored, by reason.",
                ),
                &["reason"],
            )?,
            shared_series: IntGauge::new(
                "swell_scrape_shared_series",
                "Series that several targets give, whose values take turns; of targets with equal labels only up is counted.",
            )?,
            failure_log_errors_total: IntCounter::new(
                "swell_scrape_failure_log_errors_total",
                "Failed scrapes that could not be written to the log of failed scrapes.",
            )?,
        };
        registry.register(Box::new(metrics.targets.clone()))?;
        registry.register(Box::new(metrics.scrapes_total.clone()))?;
        registry.register(Box::new(metrics.samples_total.clone()))?;
        registry.register(Box::new(metrics.dropped_samples_total.clone()))?;
        registry.register(Box::new(metrics.shared_series.clone()))?;
        registry.register(Box::new(metrics.failure_log_errors_total.clone()))?;
        Ok(metrics)
    }

    pub(crate) fn count(&self, ingested: &Ingested) {
        let report = &ingested.report;
        self.samples_total.inc_by(report.stored as u64);
        for (reason, count) in [
            ("out_of_order", report.out_of_order),
            ("conflict", report.conflicts),
            ("duplicate", report.duplicates + ingested.repeated),
            ("series_limit", ingested.shed),
            ("too_old", report.too_old),
            ("too_new", report.too_new),
        ] {
            if count > 0 {
                self.dropped_samples_total.with_label_values(&[reason]).inc_by(count as u64);
            }
        }
    }
}
