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
    /// Target files that could not be used.
    pub(crate) file_failures_total: IntCounter,
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
            file_failures_total: IntCounter::new(
                "swell_scrape_target_file_failures_total",
                "Target files that could not be read or understood.",
            )?,
        };
        registry.register(Box::new(metrics.targets.clone()))?;
        registry.register(Box::new(metrics.scrapes_total.clone()))?;
        registry.register(Box::new(metrics.samples_total.clone()))?;
        registry.register(Box::new(metrics.dropped_samples_total.clone()))?;
        registry.register(Box::new(metrics.file_failures_total.clone()))?;
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
