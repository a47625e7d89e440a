//! Generated series of a Kubernetes-like cluster, the same from one seed: what benches of storage and ingest feed.
//!
//! A host has [`PODS_PER_HOST`] pods. Of a pod there are an application's own metrics (one histogram of requests,
//! codes, process and runtime) and what the kubelet says of its container; of a host what its exporter says. A
//! target is what one scrape returns: its series share each timestamp.
//!
//! Counters that one request moves together (count, buckets, codes, bytes) come from one draw of requests, so they
//! are as dependent as in a real service. The values alone hold about one byte of entropy a sample.

mod host;
mod numbers;
mod pod;

use swell_model::{Labels, LabelsBuilder, METRIC_NAME};

pub use numbers::Numbers;

/// Pods on each host.
pub const PODS_PER_HOST: usize = 13;

/// What is generated.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Equal seeds give equal series and samples.
    pub seed: u64,
    /// Series at least; whole hosts are made.
    pub series_count: usize,
    /// Time of the first row.
    pub start_ms: i64,
    /// Between two rows of a target.
    pub step_ms: i64,
    /// A row stands up to this many milliseconds after its time; 0 for rows in step.
    pub jitter_ms: u32,
}

impl Scale {
    /// Ten thousand series, a row each half minute: the set that sizes are quoted on.
    #[must_use]
    pub const fn standard() -> Self {
        Self {
            seed: 1,
            series_count: 10_000,
            start_ms: 1_780_272_000_000,
            step_ms: 30_000,
            jitter_ms: 0,
        }
    }
}

/// All targets of a cluster.
#[derive(Debug)]
pub struct Cluster {
    /// Hosts and pods, in no order of meaning.
    pub targets: Vec<Target>,
}

impl Cluster {
    /// Makes hosts with their pods until there are enough series.
    #[must_use]
    pub fn new(scale: Scale) -> Self {
        let mut targets = Vec::new();
        let mut series_count = 0;
        let mut host_nr = 0;
        while series_count < scale.series_count {
            let made = targets_of_host(scale, host_nr);
            series_count += made.iter().map(|target| target.labels.len()).sum::<usize>();
            targets.extend(made);
            host_nr += 1;
        }
        Self { targets }
    }

    /// Number of series.
    #[must_use]
    pub fn series_count(&self) -> usize {
        self.targets.iter().map(|target| target.labels.len()).sum()
    }
}

fn targets_of_host(scale: Scale, host_nr: usize) -> Vec<Target> {
    let mut numbers =
        Numbers(scale.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (host_nr as u64) << 20);
    let host = format!("node-{host_nr:04}");
    let pods: Vec<pod::Pod> = (0..PODS_PER_HOST)
        .map(|nr| pod::Pod::new(host_nr * PODS_PER_HOST + nr, &host, &mut numbers))
        .collect();
    let mut targets = Vec::with_capacity(PODS_PER_HOST + 1);
    targets.push(Target::new(
        scale,
        Kind::Host(host::Host::new(&host, &pods, &mut numbers)),
        numbers.next_u64(),
    ));
    for pod in pods {
        targets.push(Target::new(scale, Kind::Pod(pod), numbers.next_u64()));
    }
    targets
}

/// What one scrape returns, row after row.
#[derive(Debug)]
pub struct Target {
    /// Of each series.
    pub labels: Vec<Labels>,
    kind: Kind,
    numbers: Numbers,
    values: Vec<f64>,
    next_ms: i64,
    scale: Scale,
}

#[derive(Debug)]
enum Kind {
    Host(host::Host),
    Pod(pod::Pod),
}

impl Target {
    fn new(scale: Scale, kind: Kind, seed: u64) -> Self {
        let mut numbers = Numbers(seed);
        let labels = match &kind {
            Kind::Host(host) => host.labels(),
            Kind::Pod(pod) => pod.labels(),
        };
        let offset = i64::from(numbers.below(u32::try_from(scale.step_ms).unwrap_or(u32::MAX)));
        Self { labels, kind, numbers, values: Vec::new(), next_ms: scale.start_ms + offset, scale }
    }

    /// The next row: its time, and a value for each of [`Target::labels`].
    pub fn scrape(&mut self) -> (i64, &[f64]) {
        let jitter_ms = match self.scale.jitter_ms {
            0 => 0,
            bound => i64::from(self.numbers.below(bound + 1)),
        };
        let at_ms = self.next_ms + jitter_ms;
        let seconds = to_f64(self.scale.step_ms) / 1000.0;
        let moment = Moment { seconds, day: day_fraction(self.next_ms) };
        self.next_ms += self.scale.step_ms;
        self.values.clear();
        match &mut self.kind {
            Kind::Host(host) => host.step(moment, &mut self.numbers, &mut self.values),
            Kind::Pod(pod) => pod.step(moment, &mut self.numbers, &mut self.values),
        }
        assert_eq!(self.values.len(), self.labels.len(), "a value for each series");
        (at_ms, &self.values)
    }
}

/// Where a row stands.
#[derive(Clone, Copy, Debug)]
struct Moment {
    /// Since the row before.
    seconds: f64,
    /// Of the day that has passed, in `[0, 1)`.
    day: f64,
}

impl Moment {
    /// Traffic over the day, one on average.
    fn tide(self) -> f64 {
        1.0 + 0.4 * (self.day * std::f64::consts::TAU).sin()
    }
}

const DAY_MS: i64 = 86_400_000;

fn day_fraction(at_ms: i64) -> f64 {
    to_f64(at_ms.rem_euclid(DAY_MS)) / to_f64(DAY_MS)
}

#[expect(clippy::cast_precision_loss, reason = "times and counts here are far below 2^53")]
const fn to_f64(value: i64) -> f64 {
    value as f64
}

/// The labels of a metric, on top of those of its target.
fn labelled(base: &LabelsBuilder, name: &str, more: &[(&str, &str)]) -> Labels {
    let mut builder = base.clone();
    builder.set(METRIC_NAME, name);
    for (name, value) in more {
        builder.set(name, value);
    }
    builder.build()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn one_seed_gives_one_cluster() {
        let scale = Scale { series_count: 600, ..Scale::standard() };
        let (mut a, mut b) = (Cluster::new(scale), Cluster::new(scale));
        let distinct: BTreeSet<&Labels> = a.targets.iter().flat_map(|t| &t.labels).collect();
        assert_eq!(distinct.len(), a.series_count(), "label sets are distinct");
        let mut changed = 0;
        for _ in 0..50 {
            for (a, b) in a.targets.iter_mut().zip(&mut b.targets) {
                let before = a.values.clone();
                let ((at_a, a), (at_b, b)) = (a.scrape(), b.scrape());
                assert_eq!((at_a, a), (at_b, b));
                changed += before.iter().zip(a).filter(|(a, b)| a != b).count();
            }
        }
        assert!(changed > 10_000, "{changed} changes");
        let other = Cluster::new(Scale { seed: 2, ..scale }).targets[1].scrape().1.to_vec();
        assert_ne!(other, Cluster::new(scale).targets[1].scrape().1);
    }

    #[test]
    fn the_counters_of_one_request_agree() {
        let scale = Scale { series_count: 1, ..Scale::standard() };
        let mut cluster = Cluster::new(scale);
        let pod = &mut cluster.targets[1];
        let position = |labels: &[Labels], name: &str, le: Option<&str>| {
            labels
                .iter()
                .position(|l| l.metric_name() == Some(name) && l.get("le") == le)
                .expect("a pod has it")
        };
        let count = position(&pod.labels, "http_request_duration_seconds_count", None);
        let all = position(&pod.labels, "http_request_duration_seconds_bucket", Some("+Inf"));
        let codes: Vec<usize> = (0..pod.labels.len())
            .filter(|idx| pod.labels[*idx].metric_name() == Some("http_requests_total"))
            .collect();
        let mut last = 0.0;
        for _ in 0..100 {
            let (_, values) = pod.scrape();
            assert_eq!(values[count], values[all]);
            assert_eq!(values[count], codes.iter().map(|idx| values[*idx]).sum::<f64>());
            assert!(values[count] >= last);
            last = values[count];
        }
        assert!(last > 0.0);
    }
}
