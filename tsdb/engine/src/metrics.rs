//! What the database counts about itself.

mod prometheus_names;

use prometheus::{Counter, IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use swell_model::AppendReport;

use crate::limits::LimitKind;

pub(crate) use prometheus_names::PrometheusNames;

/// Self-metrics, registered once a database.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) samples_appended: IntCounter,
    dropped: IntCounterVec,
    pub(crate) head_series: IntGauge,
    pub(crate) head_bytes: IntGauge,
    pub(crate) wal_bytes: IntGauge,
    pub(crate) blocks: IntGauge,
    pub(crate) block_bytes: IntGauge,
    pub(crate) block_samples: IntGauge,
    pub(crate) flushes: IntCounter,
    pub(crate) compactions: IntCounter,
    pub(crate) merge_conflicts: IntCounter,
    pub(crate) downsampled: IntCounter,
    pub(crate) downsampled_bytes: IntGauge,
    pub(crate) blocks_deleted: IntCounter,
    pub(crate) deletions: IntCounter,
    pub(crate) background_pauses: Counter,
    pub(crate) rewrites_given_up: IntGauge,
    pub(crate) tombstone_series: IntGauge,
    pub(crate) maintenance_failures: IntCounter,
    pub(crate) maintenance_failing: IntGauge,
    pub(crate) damage: IntGauge,
    pub(crate) read_only: IntGauge,
    pub(crate) batches_refused: IntCounter,
    series_shed: IntCounterVec,
    exemplars: IntCounterVec,
    late: IntCounter,
    pub(crate) returns: IntCounter,
    pub(crate) retention_held_back: IntGauge,
    pub(crate) checkpoints: IntCounter,
    pub(crate) checkpoint_bytes: IntCounter,
    /// What Prometheus counts and we do not, or cut otherwise.
    pub(crate) theirs: PrometheusNames,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| -> Result<IntCounter, prometheus::Error> {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let gauge = |name: &str, help: &str| -> Result<IntGauge, prometheus::Error> {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let dropped = IntCounterVec::new(
            Opts::new("swell_tsdb_samples_dropped_total", "Samples dropped on append, by reason."),
            &["reason"],
        )?;
        registry.register(Box::new(dropped.clone()))?;
        let background_pauses = Counter::new(
            "swell_tsdb_background_pauses_seconds_total",
            "Time that merging and rewriting of blocks waited to keep to its share.",
        )?;
        registry.register(Box::new(background_pauses.clone()))?;
        let series_shed = IntCounterVec::new(
            Opts::new(
                "swell_tsdb_series_shed_total",
                "Times a new series was not taken for want of room, by limit.",
            ),
            &["limit"],
        )?;
        registry.register(Box::new(series_shed.clone()))?;
        for kind in LimitKind::ALL {
            series_shed.with_label_values(&[kind.as_str()]).reset();
        }
        let exemplars = IntCounterVec::new(
            Opts::new("swell_tsdb_exemplars_total", "Exemplars by what became of them."),
            &["result"],
        )?;
        registry.register(Box::new(exemplars.clone()))?;
        Ok(Self {
            samples_appended: counter("swell_tsdb_samples_appended_total", "Samples stored.")?,
            dropped,
            series_shed,
            exemplars,
            late: counter(
                "swell_tsdb_samples_late_total",
                "Samples stored although a newer one of their series was there, or their time in a block.",
            )?,
            returns: counter(
                "swell_tsdb_clock_returns_total",
                "Times that samples ahead of the clock, which was set back, were written to blocks of their own.",
            )?,
            head_series: gauge("swell_tsdb_head_series", "Series in memory.")?,
            head_bytes: gauge("swell_tsdb_head_bytes", "Bytes of sample columns in memory.")?,
            wal_bytes: gauge("swell_tsdb_wal_bytes", "Bytes of the write-ahead log.")?,
            blocks: gauge("swell_tsdb_blocks", "Blocks on disk.")?,
            block_bytes: gauge("swell_tsdb_block_bytes", "Bytes of all blocks.")?,
            block_samples: gauge("swell_tsdb_block_samples", "Samples in all blocks.")?,
            flushes: counter("swell_tsdb_flushes_total", "Blocks written from memory.")?,
            compactions: counter("swell_tsdb_compactions_total", "Blocks merged from others.")?,
            merge_conflicts: counter(
                "swell_tsdb_merge_conflicts_total",
                "Samples that gave way to another value of their series and time when blocks were written.",
            )?,
            downsampled: counter(
                "swell_tsdb_downsampled_blocks_total",
                "Blocks of aggregates written from samples.",
            )?,
            downsampled_bytes: gauge(
                "swell_tsdb_downsampled_bytes",
                "Size of all blocks of aggregates on disk.",
            )?,
            blocks_deleted: counter(
                "swell_tsdb_blocks_deleted_total",
                "Blocks deleted by retention.",
            )?,
            deletions: counter("swell_tsdb_deletions_total", "Calls that deleted series.")?,
            background_pauses,
            rewrites_given_up: gauge(
                "swell_tsdb_rewrites_given_up",
                "Merges of blocks that cannot be done and are not tried again before a restart.",
            )?,
            tombstone_series: gauge(
                "swell_tsdb_tombstone_series",
                "Series of which something is deleted and still in a file, counted once in each.",
            )?,
            maintenance_failing: gauge(
                "swell_tsdb_maintenance_failing",
                "1 while the last run of flush, compaction or retention failed.",
            )?,
            maintenance_failures: counter(
                "swell_tsdb_maintenance_failures_total",
                "Runs of flush, compaction or retention that failed.",
            )?,
            damage: gauge(
                "swell_tsdb_damaged_parts",
                "Files and ranges that failed their checksum and are not read.",
            )?,
            read_only: gauge(
                "swell_tsdb_read_only",
                "1 while no samples are taken: until the disk has room, or after a failed sync until a restart.",
            )?,
            batches_refused: counter(
                "swell_tsdb_batches_refused_total",
                "Batches refused since the log could not be written.",
            )?,
            checkpoints: counter(
                "swell_tsdb_checkpoints_total",
                "Checkpoints of what is in memory that were written.",
            )?,
            checkpoint_bytes: counter(
                "swell_tsdb_checkpoint_bytes_total",
                "Bytes of these checkpoints.",
            )?,
            retention_held_back: gauge(
                "swell_tsdb_retention_held_back",
                "1 while old blocks are kept since the clock may have jumped: no samples for more than the retention.",
            )?,
            theirs: PrometheusNames::register(registry)?,
        })
    }

    /// Counts a series that found no room.
    pub(crate) fn shed(&self, kind: LimitKind) {
        self.series_shed.with_label_values(&[kind.as_str()]).inc();
    }

    /// Series that found no room since the start, all limits together.
    pub(crate) fn shed_total(&self) -> u64 {
        LimitKind::ALL
            .iter()
            .map(|kind| self.series_shed.with_label_values(&[kind.as_str()]).get())
            .sum()
    }

    pub(crate) fn count(&self, report: &AppendReport) {
        self.samples_appended.inc_by(report.stored as u64);
        self.theirs.appended(report.stored - report.histograms_stored, report.histograms_stored);
        self.late.inc_by(report.stored_late as u64);
        for (result, count) in
            [("stored", report.exemplars_stored), ("dropped", report.exemplars_dropped)]
        {
            if count > 0 {
                self.exemplars.with_label_values(&[result]).inc_by(count as u64);
            }
        }
        for (reason, count) in [
            ("out_of_order", report.out_of_order),
            ("conflict", report.conflicts),
            ("duplicate", report.duplicates),
            ("too_old", report.too_old),
            ("too_new", report.too_new),
        ] {
            if count > 0 {
                self.dropped.with_label_values(&[reason]).inc_by(count as u64);
            }
        }
    }
}
