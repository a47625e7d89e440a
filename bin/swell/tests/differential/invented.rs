//! Series that public dashboards and rules ask for and that this machine cannot measure: of GPUs, of other servers, of
//! containers where there are no control groups.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use swell_model::Labels;

use crate::recorded::{Series, Window};

/// Series of a metric: each label has two values.
const SERIES_PER_METRIC: usize = 2;

/// Upper bounds of the buckets of histograms.
const BOUNDS: [&str; 6] = ["0.005", "0.05", "0.5", "1", "10", "+Inf"];

/// Metrics of `used` (`name`, `selector_labels`) that are not in `known`, with a sample each second of the window.
/// Names with a colon are left to the rules that record them.
pub(crate) fn others(used: &Value, known: &Series, window: &Window) -> Series {
    let known: BTreeSet<&str> =
        known.iter().filter_map(|(labels, _)| labels.get("__name__")).collect();
    let mut series = Vec::new();
    for metric in used.as_array().expect("a list") {
        let name = metric["name"].as_str().expect("a name");
        if known.contains(name) || name.contains(':') {
            continue;
        }
        let selected = metric["selector_labels"].as_array().expect("a list").iter();
        let selected: Vec<&str> = selected.filter_map(Value::as_str).collect();
        for nr in 0..SERIES_PER_METRIC {
            let labels = labels_of(name, &selected, nr);
            let bounds: &[&str] = if name.ends_with("_bucket") { &BOUNDS } else { &[""] };
            for (bound_nr, bound) in bounds.iter().enumerate() {
                let mut labels = labels.clone();
                if !bound.is_empty() {
                    labels.insert("le", (*bound).to_owned());
                }
                let pairs = labels.iter().map(|(name, value)| (*name, value.as_str()));
                series.push((Labels::from_pairs(pairs), samples(name, nr + bound_nr, window)));
            }
        }
    }
    series
}

/// The labels that are selected by, with values that occur in selectors, and those that joins go by.
fn labels_of<'a>(name: &'a str, selected: &[&'a str], nr: usize) -> BTreeMap<&'a str, String> {
    let prefix = name.split('_').next().expect("a part");
    let job = match prefix {
        "container" | "kubelet" | "storage" | "rest" | "process" | "go" => "kubelet",
        "kube" => "kube-state-metrics",
        "apiserver" => "kube-apiserver",
        other => other,
    };
    let joined = ["job", "instance", "namespace", "pod", "container", "node"];
    let mut labels: BTreeMap<&str, String> = [("__name__", name.to_owned())].into_iter().collect();
    // Selectors on the cluster find series that have none.
    for label in joined.iter().chain(selected).filter(|label| !["cluster", "le"].contains(label)) {
        let value = match *label {
            "job" => job.to_owned(),
            "metrics_path" if prefix == "container" => "/metrics/cadvisor".to_owned(),
            "metrics_path" => "/metrics".to_owned(),
            "resource" => ["cpu", "memory"][nr].to_owned(),
            "unit" => ["core", "byte"][nr].to_owned(),
            "condition" => ["Ready", "DiskPressure"][nr].to_owned(),
            "status" => ["true", "unknown"][nr].to_owned(),
            "phase" => ["Running", "Pending"][nr].to_owned(),
            "code" => ["200", "503"][nr].to_owned(),
            "device" => ["/dev/sda", "eth0"][nr].to_owned(),
            "quantile" => ["0.5", "0.99"][nr].to_owned(),
            label => format!("{label}-{nr}"),
        };
        labels.insert(label, value);
    }
    labels
}

/// Counters rise, the others swing around a hundred.
fn samples(name: &str, nr: usize, window: &Window) -> Vec<(i64, f64)> {
    let rises = ["_total", "_count", "_sum", "_bucket"].iter().any(|end| name.ends_with(end));
    let pace = f64::from(u32::try_from(nr + 1).expect("few"));
    let seconds = (window.first_ms..window.last_ms).step_by(1000);
    seconds
        .zip(0_u32..)
        .map(|(at_ms, second)| {
            let second = f64::from(second);
            let value = if rises { pace * second } else { 100.0 + pace * (second / 7.0).sin() };
            (at_ms, value)
        })
        .collect()
}
