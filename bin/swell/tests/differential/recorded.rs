//! What Swell measures of a machine and its pods, taken out sample by sample.

use std::collections::BTreeSet;

use serde_json::Value;
use swell_model::Labels;

use crate::harness::{Folder, Server, wait_for, workloads};

/// Series with their samples: time in milliseconds, value.
pub(crate) type Series = Vec<(Labels, Vec<(i64, f64)>)>;

/// So many samples of one metric of the machine are waited for: one comes each second.
const ROWS: usize = 25;

/// Runs a server with an agent, two pods and an autoscaler for some seconds, and answers all that it stored: series
/// by the names of node_exporter, kube-state-metrics, Prometheus and, where pods may have control groups, cAdvisor.
pub(crate) fn of_a_cluster(folder: &Folder) -> Series {
    let server = Server::start(&folder.join("recorded"), &["--with-agent", "--node-name", "n1"]);
    let pods = folder.file("pods.yaml", &workloads::sleepers("differential"));
    let scaling = folder.file("hpa.yaml", &workloads::autoscaler("sleeper", "sleeper", 2, 3));
    server.must(&["apply", "-f", &pods]);
    server.must(&["apply", "-f", &scaling]);
    for query in [
        "kube_horizontalpodautoscaler_status_desired_replicas == 2",
        &format!("count_over_time(node_load1[5m]) >= {ROWS}"),
    ] {
        wait_for(query, || (!server.query(query).is_empty()).then_some(()));
    }
    let stored = server.query("{__name__=~\".+\"}[10m]");
    let series = stored.iter().map(|series| {
        let labels = series["metric"].as_object().expect("labels");
        let labels =
            labels.iter().map(|(name, value)| (name.as_str(), value.as_str().expect("a text")));
        let labels = Labels::from_pairs(labels);
        let samples = far_from_zero(&labels, samples_of(series));
        (labels, samples)
    });
    // Native histograms have no values here.
    let series: Series = series.filter(|(_, samples)| !samples.is_empty()).collect();
    assert_eq!(server.stop(), 0);
    series
}

/// Lifts counters. Near zero Prometheus 2 and 3 extrapolate differently: where the time since a counter was zero lies
/// between a half and 1.1 of the distance between samples, 2 reaches back to zero and 3, as we do, by the half.
fn far_from_zero(labels: &Labels, mut samples: Vec<(i64, f64)>) -> Vec<(i64, f64)> {
    /// Minutes of any counter of a machine; seconds keep fractions of 2^-16.
    const LIFT: f64 = (1_u64 << 36) as f64;
    let name = labels.get("__name__").unwrap_or_default();
    if ["_total", "_count", "_sum", "_bucket"].iter().any(|suffix| name.ends_with(suffix)) {
        samples.iter_mut().for_each(|(_, value)| *value += LIFT);
    }
    samples
}

/// `values` of a series of a matrix.
pub(crate) fn samples_of(series: &Value) -> Vec<(i64, f64)> {
    let points = series["values"].as_array().into_iter().flatten();
    points
        .map(|point| {
            let seconds = point[0].as_f64().expect("a time");
            let value = point[1].as_str().and_then(|text| text.parse().ok()).expect("a number");
            #[expect(clippy::cast_possible_truncation, reason = "times of this century")]
            ((seconds * 1000.0).round() as i64, value)
        })
        .collect()
}

/// The times between which a question finds samples, and milliseconds of a second at which no sample lies.
pub(crate) struct Window {
    pub(crate) first_ms: i64,
    pub(crate) last_ms: i64,
    free_ms: Vec<i64>,
}

impl Window {
    pub(crate) fn of(series: &Series) -> Self {
        let times = || series.iter().flat_map(|(_, samples)| samples.iter().map(|(at, _)| *at));
        let taken: BTreeSet<i64> = times().map(|at| at.rem_euclid(1000)).collect();
        Self {
            first_ms: times().min().expect("samples"),
            last_ms: times().max().expect("samples"),
            free_ms: (0..1000).filter(|at| !taken.contains(at)).collect(),
        }
    }

    /// A time in the whole second of `at_ms` where no sample lies; `nr` picks one of two.
    pub(crate) fn beside(&self, at_ms: i64, nr: usize) -> i64 {
        let free_ms = self.free_ms[nr * (self.free_ms.len() - 1)];
        at_ms.div_euclid(1000) * 1000 + free_ms
    }
}

/// A time as the API takes it.
pub(crate) fn seconds(at_ms: i64) -> String {
    format!("{}.{:03}", at_ms.div_euclid(1000), at_ms.rem_euclid(1000))
}
