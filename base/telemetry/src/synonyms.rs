//! Prometheus' names for what Swell counts under its own, on which dashboards and alerts of Prometheus stand.
//!
//! What is counted in the same way is counted once and told twice: the second name is given when the metrics are
//! gathered. What Prometheus cuts otherwise (by rule group, by type of sample) is registered where it is counted.

use std::collections::BTreeMap;

use prometheus::Registry;
use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};

use crate::family::{counter_metric, family, gauge_metric};

/// A family of Prometheus' that follows from ours.
struct Synonym {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    /// Counters and gauges of ours, added up.
    ours: &'static [&'static str],
    /// Only those of our metrics that have this label.
    only: Option<(&'static str, &'static str)>,
    /// Labels that are kept, with their names there, in the order of those; metrics that differ in others are added up.
    kept: &'static [(&'static str, &'static str)],
}

const fn counter(name: &'static str, help: &'static str, ours: &'static [&'static str]) -> Synonym {
    Synonym { name, help, kind: MetricType::COUNTER, ours, only: None, kept: &[] }
}

const fn gauge(name: &'static str, help: &'static str, ours: &'static [&'static str]) -> Synonym {
    Synonym { kind: MetricType::GAUGE, ..counter(name, help, ours) }
}

const SYNONYMS: &[Synonym] = &[
    gauge(
        "prometheus_config_last_reload_success_timestamp_seconds",
        "Timestamp of the last successful configuration reload.",
        &["swell_config_last_reload_success_timestamp_seconds"],
    ),
    gauge(
        "prometheus_config_last_reload_successful",
        "Whether the last configuration reload attempt was successful.",
        &["swell_config_last_reload_successful"],
    ),
    counter(
        "prometheus_engine_query_samples_total",
        "The total number of samples loaded by all queries.",
        &["swell_query_samples_total"],
    ),
    Synonym {
        only: Some(("listener", "http")),
        kept: &[("code", "code"), ("route", "handler")],
        ..counter(
            "prometheus_http_requests_total",
            "Counter of HTTP requests.",
            &["swell_http_requests_total"],
        )
    },
    gauge(
        "prometheus_tsdb_blocks_loaded",
        "Number of currently loaded data blocks.",
        &["swell_tsdb_blocks"],
    ),
    counter(
        "prometheus_tsdb_checkpoint_creations_total",
        "Total number of checkpoint creations attempted and done.",
        &["swell_tsdb_checkpoints_total"],
    ),
    counter(
        "prometheus_tsdb_compactions_failed_total",
        "Total number of runs of flush, compaction, retention and checkpoints that failed.",
        &["swell_tsdb_maintenance_failures_total"],
    ),
    counter(
        "prometheus_tsdb_compactions_total",
        "Total number of blocks that were written from memory or from other blocks.",
        &["swell_tsdb_flushes_total", "swell_tsdb_compactions_total"],
    ),
    gauge(
        "prometheus_tsdb_head_series",
        "Total number of series in the head block.",
        &["swell_tsdb_head_series"],
    ),
    gauge(
        "prometheus_tsdb_storage_blocks_bytes",
        "The number of bytes that are currently used for local storage by all blocks.",
        &["swell_tsdb_block_bytes", "swell_tsdb_downsampled_bytes"],
    ),
    gauge(
        "prometheus_tsdb_wal_storage_size_bytes",
        "Size of the write log directory.",
        &["swell_tsdb_wal_bytes"],
    ),
];

impl Synonym {
    /// The family, where there is something of ours that it follows from.
    fn of(&self, families: &[MetricFamily]) -> Option<MetricFamily> {
        let mut sums: BTreeMap<Vec<&str>, f64> = BTreeMap::new();
        let sources = families.iter().filter(|family| self.ours.contains(&family.name()));
        for (family, metric) in sources.flat_map(|it| it.get_metric().iter().map(move |m| (it, m)))
        {
            let label = |name: &str| {
                let found = metric.get_label().iter().find(|pair| pair.name() == name);
                found.map_or("", LabelPair::value)
            };
            if self.only.is_some_and(|(name, value)| label(name) != value) {
                continue;
            }
            let value = match family.get_field_type() {
                MetricType::COUNTER => metric.get_counter().get_value(),
                MetricType::GAUGE => metric.get_gauge().get_value(),
                MetricType::HISTOGRAM | MetricType::SUMMARY | MetricType::UNTYPED => continue,
            };
            let labels = self.kept.iter().map(|&(ours, _)| label(ours)).collect();
            *sums.entry(labels).or_default() += value;
        }
        if sums.is_empty() {
            return None;
        }
        let metrics = sums.into_iter().map(|(values, sum)| self.metric(&values, sum)).collect();
        Some(family(self.name, self.help, self.kind, metrics))
    }

    fn metric(&self, values: &[&str], sum: f64) -> Metric {
        let labels = self.kept.iter().zip(values).map(|((_, theirs), value)| (*theirs, *value));
        if self.kind == MetricType::COUNTER {
            counter_metric(labels, sum)
        } else {
            gauge_metric(labels, sum)
        }
    }
}

/// All metrics of a registry, with Prometheus' names beside ours; families sorted by name.
#[must_use]
pub fn gather(registry: &Registry) -> Vec<MetricFamily> {
    let mut families = registry.gather();
    let synonyms: Vec<MetricFamily> =
        SYNONYMS.iter().filter_map(|synonym| synonym.of(&families)).collect();
    families.extend(synonyms);
    families.sort_by(|one, other| one.name().cmp(other.name()));
    families
}

#[cfg(test)]
mod tests {
    use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts};

    use super::*;

    /// `name{label=value,} value` of all families of Prometheus'.
    fn theirs(registry: &Registry) -> Vec<String> {
        let mut shown = Vec::new();
        for family in gather(registry) {
            for metric in family.get_metric() {
                if family.name().starts_with("prometheus_") {
                    let value = metric.get_counter().get_value() + metric.get_gauge().get_value();
                    let labels: String = metric
                        .get_label()
                        .iter()
                        .map(|pair| format!("{}={},", pair.name(), pair.value()))
                        .collect();
                    shown.push(format!("{}{{{labels}}} {value}", family.name()));
                }
            }
        }
        shown
    }

    #[test]
    fn ours_have_their_names_beside_them() {
        let registry = Registry::new();
        assert!(theirs(&registry).is_empty());
        let flushes = IntCounter::new("swell_tsdb_flushes_total", "F.").expect("valid");
        let compactions = IntCounter::new("swell_tsdb_compactions_total", "C.").expect("valid");
        let series = IntGauge::new("swell_tsdb_head_series", "S.").expect("valid");
        registry.register(Box::new(flushes.clone())).expect("new");
        registry.register(Box::new(compactions.clone())).expect("new");
        registry.register(Box::new(series.clone())).expect("new");
        flushes.inc_by(2);
        compactions.inc_by(3);
        series.set(7);
        assert_eq!(
            theirs(&registry),
            ["prometheus_tsdb_compactions_total{} 5", "prometheus_tsdb_head_series{} 7"]
        );
        let names: Vec<String> =
            gather(&registry).iter().map(|family| family.name().to_owned()).collect();
        assert!(names.is_sorted(), "{names:?}");
    }

    #[test]
    fn requests_are_cut_as_there() {
        let registry = Registry::new();
        let requests = IntCounterVec::new(
            Opts::new("swell_http_requests_total", "R."),
            &["listener", "route", "method", "code"],
        )
        .expect("valid");
        registry.register(Box::new(requests.clone())).expect("new");
        for (listener, method, code, count) in
            [("http", "GET", "200", 4), ("http", "POST", "200", 2), ("http", "GET", "400", 1)]
        {
            requests.with_label_values(&[listener, "/q", method, code]).inc_by(count);
        }
        requests.with_label_values(&["kube", "/q", "GET", "200"]).inc();
        assert_eq!(
            theirs(&registry),
            [
                "prometheus_http_requests_total{code=200,handler=/q,} 6",
                "prometheus_http_requests_total{code=400,handler=/q,} 1",
            ]
        );
    }
}
