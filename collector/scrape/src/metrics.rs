//! What scraping counts about itself.

use std::sync::Arc;
use std::time::Duration;

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use swell_env::Clock;
use swell_model::DurationMs;
use swell_telemetry::{Summary, SummaryVec};

use crate::ingest::Ingested;

const JOB: &[&str] = &["scrape_job"];
/// The quantiles that Prometheus tells of these.
const QUANTILES: &[f64] = &[0.01, 0.05, 0.5, 0.9, 0.99];

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
    /// What Prometheus counts, and we do not or cut otherwise.
    pub(crate) theirs: PrometheusNames,
}

/// Metrics under Prometheus' names alone.
#[derive(Clone, Debug)]
pub(crate) struct PrometheusNames {
    pub(crate) exceeded_body_size_limit: IntCounter,
    pub(crate) exceeded_sample_limit: IntCounter,
    pub(crate) exceeded_label_limits: IntCounter,
    pub(crate) exceeded_target_limit: IntCounter,
    duplicate_timestamp: IntCounter,
    out_of_bounds: IntCounter,
    out_of_order: IntCounter,
    syncs: IntCounterVec,
    syncs_failed: IntCounterVec,
    sync_seconds: SummaryVec,
    interval_seconds: SummaryVec,
}

impl PrometheusNames {
    fn register(registry: &Registry, clock: &Arc<dyn Clock>) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| -> Result<IntCounter, prometheus::Error> {
            let counter = IntCounter::new(format!("prometheus_target_{name}"), help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let by_job = |name: &str, help: &str| -> Result<IntCounterVec, prometheus::Error> {
            let opts = Opts::new(format!("prometheus_target_{name}"), help);
            let counters = IntCounterVec::new(opts, JOB)?;
            registry.register(Box::new(counters.clone()))?;
            Ok(counters)
        };
        Ok(Self {
            exceeded_body_size_limit: counter(
                "scrapes_exceeded_body_size_limit_total",
                "Total number of scrapes that hit the body size limit.",
            )?,
            exceeded_sample_limit: counter(
                "scrapes_exceeded_sample_limit_total",
                "Total number of scrapes that hit the sample limit and were rejected.",
            )?,
            exceeded_label_limits: counter(
                "scrape_pool_exceeded_label_limits_total",
                "Total number of scrapes that hit the label limits and were rejected.",
            )?,
            exceeded_target_limit: counter(
                "scrape_pool_exceeded_target_limit_total",
                "Total number of times scrape pools hit the target limit, during sync or config reload.",
            )?,
            duplicate_timestamp: counter(
                "scrapes_sample_duplicate_timestamp_total",
                "Total number of samples rejected due to duplicate timestamps but different values.",
            )?,
            out_of_bounds: counter(
                "scrapes_sample_out_of_bounds_total",
                "Total number of samples rejected due to timestamp falling outside of the time bounds.",
            )?,
            out_of_order: counter(
                "scrapes_sample_out_of_order_total",
                "Total number of samples rejected due to not being out of the expected order.",
            )?,
            syncs: by_job(
                "scrape_pool_sync_total",
                "Total number of syncs that were executed on a scrape pool.",
            )?,
            syncs_failed: by_job(
                "sync_failed_total",
                "Total number of targets that could not be scraped as they were found.",
            )?,
            sync_seconds: SummaryVec::register(
                registry,
                clock,
                (
                    "prometheus_target_sync_length_seconds",
                    "Actual interval to sync the scrape pool.",
                ),
                JOB,
                QUANTILES,
            )?,
            interval_seconds: SummaryVec::register(
                registry,
                clock,
                ("prometheus_target_interval_length_seconds", "Actual intervals between scrapes."),
                &["interval"],
                QUANTILES,
            )?,
        })
    }

    /// There is a job of this name from now on.
    pub(crate) fn begin_job(&self, job: &str) {
        self.syncs.with_label_values(&[job]);
        self.syncs_failed.with_label_values(&[job]);
        drop(self.sync_seconds.with_label_values(&[job]));
    }

    /// There is no job of this name any more.
    pub(crate) fn forget_job(&self, job: &str) {
        // They are there since the job began.
        drop(self.syncs.remove_label_values(&[job]));
        drop(self.syncs_failed.remove_label_values(&[job]));
        self.sync_seconds.remove_label_values(&[job]);
    }

    /// The targets of a job were brought in line with what its sources tell.
    pub(crate) fn synced(&self, job: &str, took: Duration) {
        self.syncs.with_label_values(&[job]).inc();
        self.sync_seconds.with_label_values(&[job]).observe(took.as_secs_f64());
    }

    /// So many of what the sources tell make no target.
    pub(crate) fn faulty(&self, job: &str, count: usize) {
        self.syncs_failed.with_label_values(&[job]).inc_by(count as u64);
    }

    /// Times between scrapes of targets that are to be scraped that often.
    pub(crate) fn intervals(&self, wanted: DurationMs) -> Summary {
        self.interval_seconds.with_label_values(&[&as_go(wanted)])
    }
}

/// A duration as Go prints it, which is what Prometheus has in the label: `15s`, `1m0s`.
fn as_go(span: DurationMs) -> String {
    let ms = span.0.max(0);
    if (1..1000).contains(&ms) {
        return format!("{ms}ms");
    }
    let (hours, minutes) = (ms / 3_600_000, ms / 60_000 % 60);
    #[expect(clippy::cast_precision_loss, reason = "less than a minute")]
    let seconds = (ms % 60_000) as f64 / 1000.0;
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

impl ScrapeMetrics {
    pub(crate) fn register(
        registry: &Registry,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, prometheus::Error> {
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
            theirs: PrometheusNames::register(registry, clock)?,
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
        let theirs = &self.theirs;
        for (counter, count) in [
            (&theirs.duplicate_timestamp, report.conflicts + ingested.repeated),
            (&theirs.out_of_bounds, report.too_old + report.too_new),
            (&theirs.out_of_order, report.out_of_order),
        ] {
            counter.inc_by(count as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_told_as_go_prints_them() {
        for (ms, expected) in [
            (0, "0s"),
            (50, "50ms"),
            (1500, "1.5s"),
            (15_000, "15s"),
            (60_000, "1m0s"),
            (90_000, "1m30s"),
            (3_600_000, "1h0m0s"),
        ] {
            assert_eq!(as_go(DurationMs(ms)), expected);
        }
    }
}
