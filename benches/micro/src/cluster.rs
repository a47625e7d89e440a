//! Series like those of a Kubernetes cluster: container gauges and counters with a dozen labels, requests by code,
//! latency histograms with twelve buckets, what pods ask for; 13 pods on a node, ten to a deployment.

use swell_model::{Batch, Labels, Row, SampleSink, SeriesRef, TimestampMs};

use swell_bench_gen::Numbers;

/// First row.
pub const START_MS: i64 = 1_780_000_000_000;

/// How a series behaves.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Whole numbers that wander, in pages.
    Bytes,
    /// One of a few fractions, for ever.
    Request,
    /// A counter of CPU seconds.
    CpuSeconds,
    /// A counter of events.
    Events,
    /// Always one.
    Info,
}

/// One series.
#[derive(Clone, Debug)]
pub struct Member {
    /// Full label set.
    pub labels: Labels,
    kind: Kind,
    value: f64,
}

/// Series by target: each target's come in one row.
#[derive(Clone, Debug)]
pub struct Cluster {
    targets: Vec<Vec<Member>>,
    numbers: Numbers,
}

/// Pods on a node, and series of a metric on a target.
const PODS_PER_NODE: usize = 13;
const BOUNDS: [&str; 12] =
    ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"];

impl Cluster {
    /// A cluster without series.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { targets: Vec::new(), numbers: Numbers(seed) }
    }

    /// Adds a metric with one series for each of `count` containers.
    #[must_use]
    pub fn with_containers(mut self, metric: &str, kind: Kind, count: usize) -> Self {
        for nr in 0..count {
            let labels = container_labels(metric, nr);
            self.push(nr / PODS_PER_NODE, labels, kind);
        }
        self
    }

    /// Adds a histogram of `count` buckets in all.
    #[must_use]
    pub fn with_buckets(mut self, metric: &str, count: usize) -> Self {
        for nr in 0..count {
            let pod = nr / BOUNDS.len();
            let mut builder = container_labels(metric, pod).to_builder();
            builder.set("le", BOUNDS[nr % BOUNDS.len()]);
            self.push(pod / PODS_PER_NODE, builder.build(), Kind::Events);
        }
        self
    }

    fn push(&mut self, target: usize, labels: Labels, kind: Kind) {
        if self.targets.len() <= target {
            self.targets.resize_with(target + 1, Vec::new);
        }
        let value = match kind {
            Kind::Info => 1.0,
            Kind::Request => [0.1, 0.25, 0.5, 1.0][self.numbers.below(4) as usize],
            _ => f64::from(self.numbers.below(1_000_000)),
        };
        self.targets[target].push(Member { labels, kind, value });
    }

    /// Series in all.
    #[must_use]
    pub fn series_count(&self) -> usize {
        self.targets.iter().map(Vec::len).sum()
    }

    /// Appends `rows` rows of each target, `step_ms` apart; `after` is called behind each.
    ///
    /// # Panics
    /// When the sink refuses something.
    pub fn append(
        &mut self,
        sink: &dyn SampleSink,
        rows: std::ops::Range<i64>,
        step_ms: i64,
        mut after: impl FnMut(i64),
    ) {
        let references: Vec<Vec<SeriesRef>> = self
            .targets
            .iter()
            .map(|members| {
                let resolved = members.iter().map(|one| sink.resolve(&one.labels));
                resolved.collect::<Result<_, _>>().expect("resolves")
            })
            .collect();
        for row in rows {
            for (target, (members, series)) in
                (0i64..).zip(self.targets.iter_mut().zip(&references))
            {
                let values = members.iter_mut().map(|one| one.next(&mut self.numbers)).collect();
                let jitter = target * 37 % step_ms;
                let timestamp = TimestampMs(START_MS + row * step_ms + jitter);
                let row = Row::new(timestamp, series.clone(), values);
                sink.append(&Batch::of_rows(vec![row])).expect("appends");
            }
            after(row);
        }
    }
}

impl Member {
    fn next(&mut self, numbers: &mut Numbers) -> f64 {
        match self.kind {
            Kind::Bytes => {
                if numbers.below(4) > 0 {
                    let step = (f64::from(numbers.below(65)) - 32.0) * 4096.0;
                    self.value = (self.value + step).max(0.0);
                }
            }
            Kind::CpuSeconds => {
                self.value = ((self.value * 100.0).round() + f64::from(numbers.below(300))) / 100.0;
            }
            Kind::Events => self.value += f64::from(numbers.below(30)),
            Kind::Request | Kind::Info => {}
        }
        self.value
    }
}

fn container_labels(metric: &str, nr: usize) -> Labels {
    let deployment = nr / 10;
    let mut id = Numbers(nr as u64);
    let pod = format!("app-{deployment}-{:08x}-{nr}", id.next_u64() >> 32);
    let node = nr / PODS_PER_NODE;
    Labels::from_pairs([
        ("__name__", metric),
        ("container", "main"),
        ("endpoint", "https-metrics"),
        ("id", &format!("/kubepods/burstable/pod{:016x}/{:016x}", id.next_u64(), id.next_u64())),
        ("image", &format!("registry.example.com/team/app-{deployment}:v1.{}", deployment % 40)),
        ("instance", &format!("10.{}.{}.7:10250", node / 200, node % 200)),
        ("job", "kubelet"),
        ("metrics_path", "/metrics/cadvisor"),
        ("namespace", &format!("team-{}", deployment % 50)),
        ("node", &format!("node-{node}")),
        ("pod", &pod),
        ("service", "kubelet"),
    ])
}
