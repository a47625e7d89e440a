//! Self-metrics of the autoscaler loops.

use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry,
};
use swell_client::ObjectKey;
use swell_decide::{DecisionRecord, Stage};

/// Seconds from a sample to the decision it caused.
const SAMPLE_BUCKETS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
/// Seconds of one evaluation, writes included.
const EVALUATION_BUCKETS: [f64; 9] = [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0];
/// Values of the label `stage`.
const STAGES: [&str; 5] = ["current", "metric", "stabilised", "limited", "final"];

#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    pub(crate) decisions: IntCounterVec,
    replicas: IntGaugeVec,
    pub(crate) sample_to_decision_seconds: Histogram,
    pub(crate) evaluation_seconds: Histogram,
    pub(crate) journal_dropped: IntCounter,
    pub(crate) journal_failures: IntCounter,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            decisions: IntCounterVec::new(
                Opts::new("swell_autoscaler_decisions_total", "Decisions by reason."),
                &["reason"],
            )?,
            replicas: IntGaugeVec::new(
                Opts::new(
                    "swell_autoscaler_replicas",
                    "Replicas at each stage of the last decision of a policy.",
                ),
                &["namespace", "hpa", "stage"],
            )?,
            sample_to_decision_seconds: Histogram::with_opts(
                HistogramOpts::new(
                    "swell_autoscaler_sample_to_decision_seconds",
                    "Time from the newest sample of a pod to the decision that it caused.",
                )
                .buckets(SAMPLE_BUCKETS.to_vec()),
            )?,
            evaluation_seconds: Histogram::with_opts(
                HistogramOpts::new(
                    "swell_autoscaler_evaluation_duration_seconds",
                    "Time of one evaluation of one policy, writes included.",
                )
                .buckets(EVALUATION_BUCKETS.to_vec()),
            )?,
            journal_dropped: IntCounter::new(
                "swell_autoscaler_journal_dropped_total",
                "Decision records that were not written to disk, as too many were waiting.",
            )?,
            journal_failures: IntCounter::new(
                "swell_autoscaler_journal_failures_total",
                "Failed writes of the decision journal.",
            )?,
        };
        registry.register(Box::new(metrics.decisions.clone()))?;
        registry.register(Box::new(metrics.replicas.clone()))?;
        registry.register(Box::new(metrics.sample_to_decision_seconds.clone()))?;
        registry.register(Box::new(metrics.evaluation_seconds.clone()))?;
        registry.register(Box::new(metrics.journal_dropped.clone()))?;
        registry.register(Box::new(metrics.journal_failures.clone()))?;
        Ok(metrics)
    }

    pub(crate) fn note(&self, key: &ObjectKey, record: &DecisionRecord) {
        self.decisions.with_label_values(&[record.reason.name()]).inc();
        let after = |stage: Stage| {
            record.steps.iter().find(|step| step.stage == stage).map(|step| step.after)
        };
        let values = [
            record.from,
            after(Stage::Asked),
            after(Stage::Stabilisation),
            after(Stage::Bounds),
            record.from.map(|_| record.replicas),
        ];
        for (stage, value) in STAGES.into_iter().zip(values) {
            let labels = [key.namespace.as_str(), key.name.as_str(), stage];
            match value {
                Some(value) => self.replicas.with_label_values(&labels).set(value.into()),
                None => self.forget_stage(&labels),
            }
        }
    }

    pub(crate) fn forget(&self, key: &ObjectKey) {
        for stage in STAGES {
            self.forget_stage(&[key.namespace.as_str(), key.name.as_str(), stage]);
        }
    }

    fn forget_stage(&self, labels: &[&str]) {
        // An error only says that the series was not there.
        let removed = self.replicas.remove_label_values(labels);
        tracing::trace!(removed = removed.is_ok(), "a series of a policy ended");
    }
}
