//! Our own metrics as samples, under the job `swell`: the same numbers that `/metrics` shows.

use std::collections::HashMap;

use prometheus::proto::{Metric, MetricFamily, MetricType};
use swell_model::{Labels, METRIC_NAME, METRIC_TYPE, MetricKind, Pass, SeriesNumber};
use swell_telemetry::Registry;

/// The virtual scrape job.
const JOB: &str = "swell";

/// Reads the registry into a pass.
pub(crate) struct SelfMetrics {
    registry: Registry,
    instance: String,
    /// Whether the type of a metric is a label (Prometheus' feature `type-and-unit-labels`).
    type_labels: bool,
    /// Series by what the registry calls them, so that a tick builds labels only for new ones.
    known: HashMap<String, SeriesNumber>,
}

impl SelfMetrics {
    pub(crate) fn new(registry: Registry, instance: String, type_labels: bool) -> Self {
        Self { registry, instance, type_labels, known: HashMap::new() }
    }

    /// Records every metric once.
    pub(crate) fn record(&mut self, pass: &mut Pass) {
        for family in swell_telemetry::gather(&self.registry) {
            for metric in family.get_metric() {
                self.metric(&family, metric, pass);
            }
        }
        self.sample("up", &[], 1.0, pass);
        // Series that a tick left out are retired; one that comes back is announced anew.
        self.known.retain(|_, series| pass.is_live(*series));
    }

    fn metric(&mut self, family: &MetricFamily, metric: &Metric, pass: &mut Pass) {
        let name = family.name();
        let mut labels: Vec<(&str, &str)> =
            metric.get_label().iter().map(|pair| (pair.name(), pair.value())).collect();
        let kind = match family.get_field_type() {
            MetricType::COUNTER => MetricKind::Counter,
            MetricType::GAUGE => MetricKind::Gauge,
            MetricType::HISTOGRAM => MetricKind::Histogram,
            MetricType::SUMMARY => MetricKind::Summary,
            MetricType::UNTYPED => MetricKind::Unknown,
        };
        if self.type_labels && kind != MetricKind::Unknown {
            labels.push((METRIC_TYPE, kind.as_str()));
        }
        match family.get_field_type() {
            MetricType::COUNTER => {
                self.sample(name, &labels, metric.get_counter().get_value(), pass)
            }
            MetricType::GAUGE => self.sample(name, &labels, metric.get_gauge().get_value(), pass),
            MetricType::HISTOGRAM => {
                let histogram = metric.get_histogram();
                #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
                let count = histogram.get_sample_count() as f64;
                let bucket_name = format!("{name}_bucket");
                for bucket in histogram.get_bucket() {
                    let bound = swell_wire::format_float_label(bucket.upper_bound());
                    let mut labels = labels.clone();
                    labels.push(("le", &bound));
                    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
                    let value = bucket.cumulative_count() as f64;
                    self.sample(&bucket_name, &labels, value, pass);
                }
                let mut last = labels.clone();
                last.push(("le", "+Inf"));
                self.sample(&bucket_name, &last, count, pass);
                self.sample(&format!("{name}_sum"), &labels, histogram.get_sample_sum(), pass);
                self.sample(&format!("{name}_count"), &labels, count, pass);
            }
            MetricType::SUMMARY => {
                let summary = metric.get_summary();
                for quantile in summary.get_quantile() {
                    let label = swell_wire::format_float_label(quantile.quantile());
                    let mut labels = labels.clone();
                    labels.push(("quantile", &label));
                    self.sample(name, &labels, quantile.value(), pass);
                }
                #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
                let count = summary.sample_count() as f64;
                self.sample(&format!("{name}_sum"), &labels, summary.sample_sum(), pass);
                self.sample(&format!("{name}_count"), &labels, count, pass);
            }
            // The crates of this workspace register no others.
            MetricType::UNTYPED => {}
        }
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64, pass: &mut Pass) {
        let mut key = name.to_owned();
        for (label, value) in labels {
            key.push('\0');
            key.push_str(label);
            key.push('\0');
            key.push_str(value);
        }
        let series = match self.known.get(&key) {
            Some(series) if pass.is_live(*series) => *series,
            _ => {
                let fixed = [(METRIC_NAME, name), ("job", JOB), ("instance", &self.instance)];
                let series = pass.series(&Labels::from_pairs(fixed.iter().chain(labels).copied()));
                self.known.insert(key, series);
                series
            }
        };
        pass.record(series, value);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use prometheus::{Histogram, HistogramOpts, IntCounter, IntGaugeVec, Opts};
    use swell_env::{Clock, ManualClock};
    use swell_model::TimestampMs;
    use swell_telemetry::SummaryVec;

    use super::*;

    /// Each series that a pass announces, with its value.
    fn shown(source: &mut SelfMetrics, pass: &mut Pass) -> Vec<String> {
        source.record(pass);
        let delta = pass.finish(TimestampMs(1000));
        let announced = delta.announced.iter();
        announced
            .map(|(number, labels)| {
                let value = delta.samples.iter().find(|(series, _)| series == number);
                format!("{labels} {}", value.expect("recorded").1)
            })
            .collect()
    }

    #[test]
    fn summaries_become_series_and_names_of_prometheus_stand_beside_ours() {
        let registry = Registry::new();
        let series = prometheus::IntGauge::new("swell_tsdb_head_series", "S.").expect("valid");
        registry.register(Box::new(series.clone())).expect("new");
        series.set(4);
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(TimestampMs(0)));
        let named = ("waits_seconds", "Waits.");
        let waits = SummaryVec::register(&registry, &clock, named, &["of"], &[0.9]).expect("new");
        waits.with_label_values(&["a"]).observe(0.0);
        let mut source = SelfMetrics::new(registry.clone(), "core".to_owned(), false);
        assert_eq!(
            shown(&mut source, &mut Pass::new()),
            [
                r#"prometheus_tsdb_head_series{instance="core", job="swell"} 4"#,
                r#"swell_tsdb_head_series{instance="core", job="swell"} 4"#,
                r#"waits_seconds{instance="core", job="swell", of="a", quantile="0.9"} 0"#,
                r#"waits_seconds_sum{instance="core", job="swell", of="a"} 0"#,
                r#"waits_seconds_count{instance="core", job="swell", of="a"} 1"#,
                r#"up{instance="core", job="swell"} 1"#,
            ]
        );
        let mut source = SelfMetrics::new(registry, "core".to_owned(), true);
        let mut pass = Pass::new();
        source.record(&mut pass);
        let announced = pass.finish(TimestampMs(2000)).announced;
        let types: Vec<Option<&str>> =
            announced.iter().map(|(_, labels)| labels.get(METRIC_TYPE)).collect();
        let (gauge, summary) = (Some("gauge"), Some("summary"));
        assert_eq!(types, [gauge, gauge, summary, summary, summary, None]);
    }

    #[test]
    fn what_is_no_more_is_forgotten() {
        let registry = Registry::new();
        let things = IntGaugeVec::new(Opts::new("things", "Things."), &["of"]).expect("valid");
        registry.register(Box::new(things.clone())).expect("new");
        things.with_label_values(&["a"]).set(1);
        let mut source = SelfMetrics::new(registry, "core".to_owned(), false);
        let mut pass = Pass::new();
        source.record(&mut pass);
        assert_eq!(pass.finish(TimestampMs(1000)).announced.len(), 2);
        things.remove_label_values(&["a"]).expect("it is there");
        source.record(&mut pass);
        assert_eq!(pass.finish(TimestampMs(2000)).retired.len(), 1);
        source.record(&mut pass);
        assert_eq!(source.known.len(), 1, "only up is left");
    }

    #[test]
    fn counters_and_histograms_become_series_once() {
        let registry = Registry::new();
        let counter = IntCounter::new("swell_things_total", "Things.").expect("valid");
        let histogram = Histogram::with_opts(
            HistogramOpts::new("swell_wait_seconds", "Waits.").buckets(vec![0.5, 1.0]),
        )
        .expect("valid");
        registry.register(Box::new(counter.clone())).expect("new");
        registry.register(Box::new(histogram.clone())).expect("new");
        counter.inc_by(3);
        histogram.observe(0.7);
        let mut source = SelfMetrics::new(registry.clone(), "core".to_owned(), false);
        let mut pass = Pass::new();
        assert_eq!(
            shown(&mut source, &mut pass),
            [
                r#"swell_things_total{instance="core", job="swell"} 3"#,
                r#"swell_wait_seconds_bucket{instance="core", job="swell", le="0.5"} 0"#,
                r#"swell_wait_seconds_bucket{instance="core", job="swell", le="1.0"} 1"#,
                r#"swell_wait_seconds_bucket{instance="core", job="swell", le="+Inf"} 1"#,
                r#"swell_wait_seconds_sum{instance="core", job="swell"} 0.7"#,
                r#"swell_wait_seconds_count{instance="core", job="swell"} 1"#,
                r#"up{instance="core", job="swell"} 1"#,
            ]
        );
        source.record(&mut pass);
        assert_eq!(pass.finish(TimestampMs(2000)).announced, []);
        // Scrapes' own series have no type in Prometheus either.
        let mut source = SelfMetrics::new(registry, "core".to_owned(), true);
        let mut pass = Pass::new();
        source.record(&mut pass);
        let announced = pass.finish(TimestampMs(3000)).announced;
        let types: Vec<Option<&str>> =
            announced.iter().map(|(_, labels)| labels.get(METRIC_TYPE)).collect();
        let histogram = [Some("histogram"); 5];
        assert_eq!(types, [&[Some("counter")][..], &histogram, &[None]].concat());
    }
}
