//! Families of metrics put together by hand: what is read, not counted, when the metrics are gathered.

use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

/// A family; its metrics are of its kind.
#[must_use]
pub fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

/// A metric with these labels, in their order, that has no value yet.
pub(crate) fn labelled<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Metric {
    let pair = |(name, value): (&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name(name.to_owned());
        pair.set_value(value.to_owned());
        pair
    };
    Metric::from_label(labels.into_iter().map(pair).collect())
}

/// A gauge with these labels, in their order.
#[must_use]
pub fn gauge_metric<'a>(
    labels: impl IntoIterator<Item = (&'a str, &'a str)>,
    value: f64,
) -> Metric {
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    let mut metric = labelled(labels);
    metric.set_gauge(gauge);
    metric
}

/// A counter with these labels, in their order.
pub(crate) fn counter_metric<'a>(
    labels: impl IntoIterator<Item = (&'a str, &'a str)>,
    value: f64,
) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(value);
    let mut metric = labelled(labels);
    metric.set_counter(counter);
    metric
}
