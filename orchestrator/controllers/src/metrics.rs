//! Self-metrics of the controllers and the scheduler.

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry,
};

/// Seconds; reconciling takes well below a millisecond without writes.
const BUCKETS: [f64; 10] = [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0];

#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    pub(crate) reconciles: IntCounterVec,
    pub(crate) reconcile_seconds: HistogramVec,
    pub(crate) queue_len: IntGaugeVec,
    pub(crate) scheduled: IntCounterVec,
    pub(crate) schedule_seconds: Histogram,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            reconciles: IntCounterVec::new(
                Opts::new("swell_controllers_reconciles_total", "Reconciliations by outcome."),
                &["controller", "outcome"],
            )?,
            reconcile_seconds: HistogramVec::new(
                HistogramOpts::new(
                    "swell_controllers_reconcile_duration_seconds",
                    "Time of one reconciliation, writes included.",
                )
                .buckets(BUCKETS.to_vec()),
                &["controller"],
            )?,
            queue_len: IntGaugeVec::new(
                Opts::new("swell_controllers_queue_length", "Keys that wait for a worker."),
                &["controller"],
            )?,
            scheduled: IntCounterVec::new(
                Opts::new(
                    "swell_scheduler_pods_total",
                    "Pods looked at by the scheduler, by outcome.",
                ),
                &["outcome"],
            )?,
            schedule_seconds: Histogram::with_opts(
                HistogramOpts::new(
                    "swell_scheduler_pass_duration_seconds",
                    "Time of one pass over the waiting pods, binding included.",
                )
                .buckets(BUCKETS.to_vec()),
            )?,
        };
        registry.register(Box::new(metrics.reconciles.clone()))?;
        registry.register(Box::new(metrics.reconcile_seconds.clone()))?;
        registry.register(Box::new(metrics.queue_len.clone()))?;
        registry.register(Box::new(metrics.scheduled.clone()))?;
        registry.register(Box::new(metrics.schedule_seconds.clone()))?;
        Ok(metrics)
    }
}
