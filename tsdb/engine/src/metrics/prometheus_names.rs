//! What the database counts under Prometheus' names alone, since it has no name of ours or is cut otherwise than ours. What
//! is counted the same way under both has its second name in `swell-telemetry`.

use prometheus::{Gauge, IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use swell_model::{TimeRange, TimestampMs};

/// See the module.
#[derive(Debug)]
pub(crate) struct PrometheusNames {
    floats_appended: IntCounter,
    histograms_appended: IntCounter,
    pub(crate) head_chunks: IntGauge,
    pub(crate) series_created: IntCounter,
    pub(crate) series_removed: IntCounter,
    /// Looks at which blocks there are, and which of them go.
    pub(crate) reloads: IntCounter,
    pub(crate) reloads_failures: IntCounter,
    pub(crate) checkpoints_failed: IntCounter,
    pub(crate) wal_truncations: IntCounter,
    pub(crate) wal_truncations_failed: IntCounter,
    pub(crate) wal_corruptions: IntCounter,
    head_min_seconds: Gauge,
    head_max_seconds: Gauge,
    lowest_seconds: Gauge,
}

impl PrometheusNames {
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| -> Result<IntCounter, prometheus::Error> {
            let counter = IntCounter::new(format!("prometheus_tsdb_{name}"), help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let seconds = |name: &str, help: &str| -> Result<Gauge, prometheus::Error> {
            let gauge = Gauge::new(format!("prometheus_tsdb_{name}"), help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let appended = IntCounterVec::new(
            Opts::new(
                "prometheus_tsdb_head_samples_appended_total",
                "Total number of appended samples.",
            ),
            &["type"],
        )?;
        registry.register(Box::new(appended.clone()))?;
        let head_chunks = IntGauge::new(
            "prometheus_tsdb_head_chunks",
            "Total number of chunks in the head block.",
        )?;
        registry.register(Box::new(head_chunks.clone()))?;
        Ok(Self {
            floats_appended: appended.with_label_values(&["float"]),
            histograms_appended: appended.with_label_values(&["histogram"]),
            head_chunks,
            series_created: counter(
                "head_series_created_total",
                "Total number of series created in the head.",
            )?,
            series_removed: counter(
                "head_series_removed_total",
                "Total number of series removed in the head.",
            )?,
            reloads: counter(
                "reloads_total",
                "Number of times that it was looked which blocks there are and which of them have served their time.",
            )?,
            reloads_failures: counter(
                "reloads_failures_total",
                "Number of times that this failed.",
            )?,
            checkpoints_failed: counter(
                "checkpoint_creations_failed_total",
                "Total number of checkpoint creations that failed.",
            )?,
            wal_truncations: counter(
                "wal_truncations_total",
                "Total number of times that the write log was looked through for segments to delete.",
            )?,
            wal_truncations_failed: counter(
                "wal_truncations_failed_total",
                "Total number of write log truncations that failed.",
            )?,
            wal_corruptions: counter(
                "wal_corruptions_total",
                "Total number of damaged places that were met when the write log and its checkpoint were read back.",
            )?,
            head_min_seconds: seconds(
                "head_min_time_seconds",
                "Minimum time bound of the head block, 0 without samples.",
            )?,
            head_max_seconds: seconds(
                "head_max_time_seconds",
                "Maximum timestamp of the head block, 0 without samples.",
            )?,
            lowest_seconds: seconds(
                "lowest_timestamp_seconds",
                "Lowest timestamp value stored in the database, 0 without samples.",
            )?,
        })
    }

    /// So many samples were appended.
    pub(crate) fn appended(&self, floats: usize, histograms: usize) {
        self.floats_appended.inc_by(floats as u64);
        if histograms > 0 {
            self.histograms_appended.inc_by(histograms as u64);
        }
    }

    /// The head has samples of these times, and blocks have some from then on.
    pub(crate) fn times(&self, head: Option<TimeRange>, blocks_from: Option<TimestampMs>) {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 are below 2^53")]
        let seconds = |at: Option<TimestampMs>| at.map_or(0.0, |at| at.0 as f64 / 1000.0);
        let head_from = head.map(|range| range.start_incl);
        self.head_min_seconds.set(seconds(head_from));
        self.head_max_seconds.set(seconds(head.map(|range| range.end_incl)));
        self.lowest_seconds.set(seconds(head_from.into_iter().chain(blocks_from).min()));
    }

    /// Counts an attempt, and whether it failed.
    pub(crate) fn tried<T, E>(all: &IntCounter, failed: &IntCounter, outcome: &Result<T, E>) {
        all.inc();
        failed.inc_by(u64::from(outcome.is_err()));
    }
}
