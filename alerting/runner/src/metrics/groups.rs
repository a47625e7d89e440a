//! What Prometheus tells of each rule group, under its names.

use std::collections::BTreeMap;
use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{MetricFamily, MetricType};
use prometheus::{IntCounter, IntCounterVec, Opts, Registry};
use swell_env::Clock;
use swell_telemetry::{Summary, SummaryVec, family, gauge_metric};

use crate::rules_task::{GroupKey, Views};
use crate::view::GroupView;

const LABEL: &str = "rule_group";

/// Counters by group, and summaries of all.
#[derive(Clone, Debug)]
pub(crate) struct GroupMetrics {
    evaluations: IntCounterVec,
    evaluation_failures: IntCounterVec,
    iterations: IntCounterVec,
    iterations_missed: IntCounterVec,
    pub(crate) evaluation_seconds: Summary,
    pub(crate) iteration_seconds: Summary,
}

/// Those of one group.
#[derive(Clone, Debug)]
pub(crate) struct OneGroup {
    pub(crate) evaluations: IntCounter,
    pub(crate) evaluation_failures: IntCounter,
    pub(crate) iterations: IntCounter,
    pub(crate) iterations_missed: IntCounter,
}

/// The label of a group.
fn label(file: &str, name: &str) -> String {
    format!("{file};{name}")
}

impl GroupMetrics {
    pub(super) fn register(
        registry: &Registry,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| -> Result<IntCounterVec, prometheus::Error> {
            let opts = Opts::new(format!("prometheus_rule_{name}"), help);
            let counters = IntCounterVec::new(opts, &[LABEL])?;
            registry.register(Box::new(counters.clone()))?;
            Ok(counters)
        };
        let summary = |name: &str,
                       help: &str,
                       quantiles: &'static [f64]|
         -> Result<Summary, prometheus::Error> {
            let family = SummaryVec::register(registry, clock, (name, help), &[], quantiles)?;
            Ok(family.with_label_values(&[]))
        };
        Ok(Self {
            evaluations: counter("evaluations_total", "The total number of rule evaluations.")?,
            evaluation_failures: counter(
                "evaluation_failures_total",
                "The total number of rule evaluation failures.",
            )?,
            iterations: counter(
                "group_iterations_total",
                "The total number of scheduled rule group evaluations, whether executed or missed.",
            )?,
            iterations_missed: counter(
                "group_iterations_missed_total",
                "The total number of rule group evaluations missed due to slow rule group evaluation.",
            )?,
            evaluation_seconds: summary(
                "prometheus_rule_evaluation_duration_seconds",
                "The duration for a rule to execute.",
                &[0.5, 0.9, 0.99],
            )?,
            iteration_seconds: summary(
                "prometheus_rule_group_duration_seconds",
                "The duration of rule group evaluations.",
                &[0.01, 0.05, 0.5, 0.9, 0.99],
            )?,
        })
    }

    /// The counters of a group, there from now on.
    pub(crate) fn of(&self, file: &str, name: &str) -> OneGroup {
        let label = label(file, name);
        let values = [label.as_str()];
        OneGroup {
            evaluations: self.evaluations.with_label_values(&values),
            evaluation_failures: self.evaluation_failures.with_label_values(&values),
            iterations: self.iterations.with_label_values(&values),
            iterations_missed: self.iterations_missed.with_label_values(&values),
        }
    }

    /// The group is no more.
    pub(crate) fn forget(&self, (file, name): &GroupKey) {
        let label = label(file, name);
        let values = [label.as_str()];
        for counters in [
            &self.evaluations,
            &self.evaluation_failures,
            &self.iterations,
            &self.iterations_missed,
        ] {
            // They are there since the group is.
            drop(counters.remove_label_values(&values));
        }
    }
}

/// A gauge of a group: its name, what it says, and how a group tells it.
type GroupGauge = (&'static str, &'static str, fn(&GroupView) -> f64);

const GAUGES: [GroupGauge; 6] = [
    ("prometheus_rule_group_interval_seconds", "The interval of a rule group.", |group| {
        group.interval.to_std().as_secs_f64()
    }),
    (
        "prometheus_rule_group_last_duration_seconds",
        "The duration of the last rule group evaluation.",
        |group| group.duration_s,
    ),
    (
        "prometheus_rule_group_last_evaluation_samples",
        "The number of samples returned during the last rule group evaluation.",
        |group| to_float(group.sample_count),
    ),
    (
        "prometheus_rule_group_last_evaluation_timestamp_seconds",
        "The timestamp of the last rule group evaluation in seconds.",
        evaluated_at_s,
    ),
    (
        "prometheus_rule_group_last_rule_duration_sum_seconds",
        "The sum of the durations of the group's rules at their last evaluation.",
        |group| group.rules.iter().map(|rule| rule.duration_s).sum(),
    ),
    ("prometheus_rule_group_rules", "The number of rules.", |group| to_float(group.rules.len())),
];

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn to_float(count: usize) -> f64 {
    count as f64
}

/// Zero before the first evaluation.
#[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 are below 2^53")]
fn evaluated_at_s(group: &GroupView) -> f64 {
    group.evaluated_at.map_or(0.0, |at| at.0 as f64 / 1000.0)
}

/// Gives the gauges of all groups, read when they are gathered.
pub(crate) struct GroupGauges {
    views: Arc<Views>,
    descriptions: Vec<Desc>,
}

impl GroupGauges {
    /// Registers the gauges of the groups that stand there.
    pub(crate) fn register(
        registry: &Registry,
        views: &Arc<Views>,
    ) -> Result<(), prometheus::Error> {
        let described = |(name, help, _): GroupGauge| {
            Desc::new(name.to_owned(), help.to_owned(), vec![LABEL.to_owned()], Default::default())
        };
        let descriptions = GAUGES.into_iter().map(described).collect::<Result<_, _>>()?;
        registry.register(Box::new(Self { views: Arc::clone(views), descriptions }))
    }
}

impl Collector for GroupGauges {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let views: BTreeMap<GroupKey, Arc<GroupView>> = self.views.read().clone();
        let gauges = |(name, help, value): GroupGauge| {
            let metric = |((file, group_name), group): (&GroupKey, &Arc<GroupView>)| {
                gauge_metric([(LABEL, label(file, group_name).as_str())], value(group))
            };
            family(name, help, MetricType::GAUGE, views.iter().map(metric).collect())
        };
        GAUGES.into_iter().map(gauges).collect()
    }
}
