//! What sending counts about itself, under Prometheus' names, on which its dashboards and alerts stand.

use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry,
};

use crate::config::QueueConfig;
use crate::point::Counts;

/// Labels of a queue's metrics.
const QUEUE: [&str; 2] = ["remote_name", "url"];
const QUEUE_AND_REASON: [&str; 3] = ["remote_name", "url", "reason"];

/// Why something is not sent, as Prometheus says it.
pub(crate) const DROPPED_BY_RULES: &str = "dropped_series";
pub(crate) const DROPPED_UNKNOWN: &str = "unintentionally_dropped_series";
pub(crate) const DROPPED_TOO_OLD: &str = "too_old";
pub(crate) const DROPPED_WITHOUT_FORM: &str = "nhcb_in_rw1_not_supported";
/// And as it has no word for.
pub(crate) const DROPPED_LONE: &str = "exemplar_without_sample";

/// One metric for each kind of point.
#[derive(Clone, Debug)]
struct PerKind<V> {
    samples: V,
    histograms: V,
    exemplars: V,
}

impl PerKind<IntCounterVec> {
    fn of(&self, labels: &[&str]) -> PerKind<IntCounter> {
        PerKind {
            samples: self.samples.with_label_values(labels),
            histograms: self.histograms.with_label_values(labels),
            exemplars: self.exemplars.with_label_values(labels),
        }
    }
}

impl PerKind<IntCounter> {
    fn add(&self, counts: Counts) {
        self.samples.inc_by(counts.samples);
        self.histograms.inc_by(counts.histograms);
        self.exemplars.inc_by(counts.exemplars);
    }
}

/// Metrics of all queues, registered once.
#[derive(Clone, Debug)]
pub struct SendMetrics {
    sent: PerKind<IntCounterVec>,
    failed: PerKind<IntCounterVec>,
    retried: PerKind<IntCounterVec>,
    dropped: PerKind<IntCounterVec>,
    pending: PerKind<IntGaugeVec>,
    metadata: [IntCounterVec; 3],
    bytes: IntCounterVec,
    metadata_bytes: IntCounterVec,
    enqueue_retries: IntCounterVec,
    durations: HistogramVec,
    highest_read: GaugeVec,
    highest_sent: GaugeVec,
    shards: IntGaugeVec,
    shards_min: IntGaugeVec,
    shards_max: IntGaugeVec,
    shards_desired: GaugeVec,
    shard_capacity: IntGaugeVec,
    batch_max: IntGaugeVec,
    current_segment: IntGaugeVec,
    records_read: IntCounterVec,
    lost_segments: IntCounterVec,
    damaged_bytes: IntCounterVec,
    place_failures: IntCounterVec,
    /// Newest time that is stored.
    pub(crate) highest_stored: Gauge,
    /// Samples that were stored.
    pub(crate) samples_in: IntCounter,
    /// The segment that is written.
    pub(crate) written_segment: IntGauge,
}

impl SendMetrics {
    /// Registers them.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let make = Maker { registry };
        let storage = "prometheus_remote_storage_";
        let per_kind = |what: &str, help: &str, labels: &[&str]| {
            let one = |kind: &str| {
                make.counters(
                    &format!("{storage}{kind}{what}_total"),
                    &format!("{kind} {help}"),
                    labels,
                )
            };
            let (samples, histograms) = (one("samples_")?, one("histograms_")?);
            Ok::<_, prometheus::Error>(PerKind {
                samples,
                histograms,
                exemplars: one("exemplars_")?,
            })
        };
        // `samples_total`, not `samples__total`.
        let sent = |kind: &str| {
            let name = format!("{storage}{kind}_total");
            make.counters(&name, &format!("Sent {kind}, failed ones included."), &QUEUE)
        };
        let pending = |kind: &str| {
            let name = format!("{storage}{kind}_pending");
            make.gauges(&name, &format!("{kind} in memory that wait or are under way."), &QUEUE)
        };
        let metadata = |what: &str, help: &str| {
            make.counters(&format!("{storage}metadata_{what}total"), help, &QUEUE)
        };
        Ok(Self {
            sent: PerKind {
                samples: sent("samples")?,
                histograms: sent("histograms")?,
                exemplars: sent("exemplars")?,
            },
            failed: per_kind(
                "failed",
                "that no receiver has and that are not sent again.",
                &QUEUE,
            )?,
            retried: per_kind("retried", "that were sent again after a failure.", &QUEUE)?,
            dropped: per_kind("dropped", "that were not sent, by reason.", &QUEUE_AND_REASON)?,
            pending: PerKind {
                samples: pending("samples")?,
                histograms: pending("histograms")?,
                exemplars: pending("exemplars")?,
            },
            metadata: [
                metadata("", "Descriptions of metric families that were sent.")?,
                metadata("failed_", "Descriptions of metric families that failed.")?,
                metadata("retried_", "Descriptions of metric families that were sent again.")?,
            ],
            bytes: make.counters(
                &format!("{storage}bytes_total"),
                "Bytes of requests with samples that receivers took, packed.",
                &QUEUE,
            )?,
            metadata_bytes: make.counters(
                &format!("{storage}metadata_bytes_total"),
                "Bytes of requests with metadata that receivers took, packed.",
                &QUEUE,
            )?,
            enqueue_retries: make.counters(
                &format!("{storage}enqueue_retries_total"),
                "Times that reading the log stopped since a shard was full.",
                &QUEUE,
            )?,
            durations: make.durations(
                &format!("{storage}sent_batch_duration_seconds"),
                "How long requests took.",
            )?,
            highest_read: make.floats(
                &format!("{storage}queue_highest_timestamp_seconds"),
                "Newest time of a sample that the queue has taken from the log.",
            )?,
            highest_sent: make.floats(
                &format!("{storage}queue_highest_sent_timestamp_seconds"),
                "Newest time of a sample that a receiver took.",
            )?,
            shards: make.gauges(&format!("{storage}shards"), "Shards of the queue.", &QUEUE)?,
            shards_min: make.gauges(&format!("{storage}shards_min"), "Shards at least.", &QUEUE)?,
            shards_max: make.gauges(&format!("{storage}shards_max"), "Shards at most.", &QUEUE)?,
            shards_desired: make
                .floats(&format!("{storage}shards_desired"), "Shards that the load asks for.")?,
            shard_capacity: make.gauges(
                &format!("{storage}shard_capacity"),
                "Points that a shard holds.",
                &QUEUE,
            )?,
            batch_max: make.gauges(
                &format!("{storage}max_samples_per_send"),
                "Points of a request at most.",
                &QUEUE,
            )?,
            current_segment: make.gauges(
                "prometheus_wal_watcher_current_segment",
                "Segment of the log that a queue reads.",
                &["consumer"],
            )?,
            records_read: make.counters(
                "prometheus_wal_watcher_records_read_total",
                "Records of the log that a queue has read.",
                &["consumer", "type"],
            )?,
            lost_segments: make.counters(
                "swell_remote_write_lost_segments_total",
                "Segments of the log that were deleted before they were sent.",
                &QUEUE,
            )?,
            damaged_bytes: make.counters(
                "swell_remote_write_damaged_bytes_total",
                "Bytes of the log that are damaged and were not sent.",
                &QUEUE,
            )?,
            place_failures: make.counters(
                "swell_remote_write_place_failures_total",
                "Times that the place in the log could not be written down.",
                &QUEUE,
            )?,
            highest_stored: make.float(
                &format!("{storage}highest_timestamp_in_seconds"),
                "Newest time that is stored.",
            )?,
            samples_in: make.counter(&format!("{storage}samples_in_total"), "Samples stored.")?,
            written_segment: make.gauge(
                "prometheus_tsdb_wal_segment_current",
                "Segment of the log that is written.",
            )?,
        })
    }

    /// The metrics of a queue.
    pub(crate) fn queue(&self, config: &QueueConfig) -> QueueMetrics {
        // Keys of services stand in queries.
        let mut url = swell_http_client::without_user(&config.url);
        url.set_query(None);
        let url = url.to_string();
        let labels = [config.name.as_str(), url.as_str()];
        let metrics = QueueMetrics {
            sent: self.sent.of(&labels),
            failed: self.failed.of(&labels),
            retried: self.retried.of(&labels),
            metadata: [0, 1, 2].map(|idx| self.metadata[idx].with_label_values(&labels)),
            bytes: self.bytes.with_label_values(&labels),
            metadata_bytes: self.metadata_bytes.with_label_values(&labels),
            enqueue_retries: self.enqueue_retries.with_label_values(&labels),
            durations: self.durations.with_label_values(&labels),
            highest_read: self.highest_read.with_label_values(&labels),
            highest_sent: self.highest_sent.with_label_values(&labels),
            shards: self.shards.with_label_values(&labels),
            shards_desired: self.shards_desired.with_label_values(&labels),
            current_segment: self.current_segment.with_label_values(&labels[..1]),
            records_read: self.records_read.with_label_values(&[labels[0], "samples"]),
            lost_segments: self.lost_segments.with_label_values(&labels),
            damaged_bytes: self.damaged_bytes.with_label_values(&labels),
            place_failures: self.place_failures.with_label_values(&labels),
            all: self.clone(),
            labels: labels.map(str::to_owned),
        };
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let batching = &config.batching;
        self.shards_min.with_label_values(&labels).set(gauge(batching.shards_min));
        self.shards_max.with_label_values(&labels).set(gauge(batching.shards_max));
        self.shard_capacity.with_label_values(&labels).set(gauge(batching.capacity));
        self.batch_max.with_label_values(&labels).set(gauge(batching.batch_max));
        metrics
    }
}

/// Metrics of one queue.
#[derive(Clone, Debug)]
pub(crate) struct QueueMetrics {
    sent: PerKind<IntCounter>,
    failed: PerKind<IntCounter>,
    retried: PerKind<IntCounter>,
    /// Sent, failed, retried.
    pub(crate) metadata: [IntCounter; 3],
    pub(crate) bytes: IntCounter,
    pub(crate) metadata_bytes: IntCounter,
    pub(crate) enqueue_retries: IntCounter,
    pub(crate) durations: Histogram,
    pub(crate) highest_read: Gauge,
    pub(crate) highest_sent: Gauge,
    pub(crate) shards: IntGauge,
    pub(crate) shards_desired: Gauge,
    pub(crate) current_segment: IntGauge,
    pub(crate) records_read: IntCounter,
    pub(crate) lost_segments: IntCounter,
    pub(crate) damaged_bytes: IntCounter,
    pub(crate) place_failures: IntCounter,
    all: SendMetrics,
    labels: [String; 2],
}

impl QueueMetrics {
    pub(crate) fn settled(&self, sent: Counts, failed: Counts) {
        self.sent.add(sent);
        self.failed.add(failed);
    }

    pub(crate) fn retried(&self, counts: Counts) {
        self.retried.add(counts);
    }

    pub(crate) fn dropped(&self, reason: &str, counts: Counts) {
        if counts != Counts::default() {
            let [name, url] = &self.labels;
            self.all.dropped.of(&[name, url, reason]).add(counts);
        }
    }

    pub(crate) fn pending(&self, counts: Counts) {
        let [name, url] = &self.labels;
        let gauge = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        for (metric, count) in [
            (&self.all.pending.samples, counts.samples),
            (&self.all.pending.histograms, counts.histograms),
            (&self.all.pending.exemplars, counts.exemplars),
        ] {
            metric.with_label_values(&[name, url]).set(gauge(count));
        }
    }

    /// Takes the gauges of a queue that is gone away, so that nobody alerts on them; counters stay.
    pub(crate) fn retire(&self) {
        let [name, url] = &self.labels;
        let queue = [name.as_str(), url.as_str()];
        let all = &self.all;
        // What is not there needs no removal.
        for gauges in [
            &all.pending.samples,
            &all.pending.histograms,
            &all.pending.exemplars,
            &all.shards,
            &all.shards_min,
            &all.shards_max,
            &all.shard_capacity,
            &all.batch_max,
        ] {
            drop(gauges.remove_label_values(&queue));
        }
        drop(all.highest_read.remove_label_values(&queue));
        drop(all.highest_sent.remove_label_values(&queue));
        drop(all.shards_desired.remove_label_values(&queue));
        drop(all.current_segment.remove_label_values(&queue[..1]));
    }
}

/// Makes and registers.
struct Maker<'r> {
    registry: &'r Registry,
}

impl Maker<'_> {
    fn add<M: prometheus::core::Collector + Clone + 'static>(
        &self,
        metric: M,
    ) -> Result<M, prometheus::Error> {
        self.registry.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn counters(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntCounterVec, prometheus::Error> {
        self.add(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    fn gauges(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntGaugeVec, prometheus::Error> {
        self.add(IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    fn floats(&self, name: &str, help: &str) -> Result<GaugeVec, prometheus::Error> {
        self.add(GaugeVec::new(Opts::new(name, help), &QUEUE)?)
    }

    fn float(&self, name: &str, help: &str) -> Result<Gauge, prometheus::Error> {
        self.add(Gauge::new(name, help)?)
    }

    fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        self.add(IntCounter::new(name, help)?)
    }

    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        self.add(IntGauge::new(name, help)?)
    }

    fn durations(&self, name: &str, help: &str) -> Result<HistogramVec, prometheus::Error> {
        self.add(HistogramVec::new(HistogramOpts::new(name, help), &QUEUE)?)
    }
}
