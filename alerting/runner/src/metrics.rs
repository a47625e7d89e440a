//! Metrics of this crate.

mod groups;

use std::sync::Arc;

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};
use swell_env::Clock;

pub(crate) use groups::{GroupGauges, GroupMetrics, OneGroup};

/// All metrics, registered once.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    pub(crate) evaluations: IntCounter,
    pub(crate) evaluation_failures: IntCounter,
    pub(crate) evaluation_duration: Histogram,
    pub(crate) iterations_missed: IntCounter,
    pub(crate) alerts: IntGaugeVec,
    pub(crate) alerts_refused: IntCounter,
    pub(crate) groups_active: IntGauge,
    pub(crate) notifications: IntCounterVec,
    pub(crate) notification_attempts: IntCounterVec,
    pub(crate) template_failures: IntCounterVec,
    pub(crate) notification_latency: HistogramVec,
    pub(crate) log_entries: IntGauge,
    pub(crate) silences: IntGaugeVec,
    pub(crate) state_write_failures: IntCounter,
    /// What Prometheus tells of rule groups.
    pub(crate) by_group: GroupMetrics,
}

impl Metrics {
    /// Makes and registers the metrics.
    pub(crate) fn register(
        registry: &Registry,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, prometheus::Error> {
        let buckets = vec![0.001, 0.01, 0.1, 1.0, 10.0];
        let opts = |name: &str, help: &str| Opts::new(format!("swell_alerting_{name}"), help);
        let histogram = |name: &str, help: &str| {
            HistogramOpts::new(format!("swell_alerting_{name}"), help).buckets(buckets.clone())
        };
        let metrics = Self {
            evaluations: IntCounter::with_opts(opts(
                "rule_evaluations_total",
                "Rule evaluations.",
            ))?,
            evaluation_failures: IntCounter::with_opts(opts(
                "rule_evaluation_failures_total",
                "Rule evaluations that failed.",
            ))?,
            evaluation_duration: Histogram::with_opts(histogram(
                "group_evaluation_duration_seconds",
                "Time taken by the evaluation of a rule group.",
            ))?,
            iterations_missed: IntCounter::with_opts(opts(
                "group_iterations_missed_total",
                "Evaluations of rule groups left out since the one before was still going.",
            ))?,
            alerts: IntGaugeVec::new(opts("alerts", "Alerts of rules by state."), &["state"])?,
            alerts_refused: IntCounter::with_opts(opts(
                "alert_batches_refused_total",
                "Batches of alerts the notifier had no room for; they are handed over again at the next evaluation.",
            ))?,
            groups_active: IntGauge::with_opts(opts(
                "notification_groups",
                "Groups of alerts in the notifier.",
            ))?,
            notifications: IntCounterVec::new(
                opts("notifications_total", "Notifications by integration and outcome."),
                &["integration", "outcome"],
            )?,
            notification_attempts: IntCounterVec::new(
                opts("notification_attempts_total", "Attempts to send by integration."),
                &["integration"],
            )?,
            template_failures: IntCounterVec::new(
                opts(
                    "template_failures_total",
                    "Templates of notifications that failed and were replaced by plain words, by integration.",
                ),
                &["integration"],
            )?,
            notification_latency: HistogramVec::new(
                histogram(
                    "notification_latency_seconds",
                    "Time from a group being due to its notification being taken, by integration.",
                ),
                &["integration"],
            )?,
            log_entries: IntGauge::with_opts(opts(
                "notification_log_entries",
                "Entries of the notification log.",
            ))?,
            silences: IntGaugeVec::new(opts("silences", "Silences by state."), &["state"])?,
            state_write_failures: IntCounter::with_opts(opts(
                "state_write_failures_total",
                "Failed writes of alert states, silences or of the notification log.",
            ))?,
            by_group: GroupMetrics::register(registry, clock)?,
        };
        registry.register(Box::new(metrics.evaluations.clone()))?;
        registry.register(Box::new(metrics.evaluation_failures.clone()))?;
        registry.register(Box::new(metrics.evaluation_duration.clone()))?;
        registry.register(Box::new(metrics.iterations_missed.clone()))?;
        registry.register(Box::new(metrics.alerts.clone()))?;
        registry.register(Box::new(metrics.alerts_refused.clone()))?;
        registry.register(Box::new(metrics.groups_active.clone()))?;
        registry.register(Box::new(metrics.notifications.clone()))?;
        registry.register(Box::new(metrics.notification_attempts.clone()))?;
        registry.register(Box::new(metrics.template_failures.clone()))?;
        registry.register(Box::new(metrics.notification_latency.clone()))?;
        registry.register(Box::new(metrics.log_entries.clone()))?;
        registry.register(Box::new(metrics.silences.clone()))?;
        registry.register(Box::new(metrics.state_write_failures.clone()))?;
        Ok(metrics)
    }
}
