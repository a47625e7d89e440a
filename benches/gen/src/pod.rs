//! A pod: an application with one histogram of requests, and the container around it.

use swell_model::{Labels, LabelsBuilder};

use crate::numbers::Numbers;
use crate::{Moment, labelled};

/// Upper bounds of the request histogram, the last one infinite, with the share of requests in each bucket.
const BUCKETS: [(&str, f64); 12] = [
    ("0.005", 0.22),
    ("0.01", 0.26),
    ("0.025", 0.22),
    ("0.05", 0.13),
    ("0.1", 0.08),
    ("0.25", 0.05),
    ("0.5", 0.02),
    ("1.0", 0.012),
    ("2.5", 0.005),
    ("5.0", 0.002),
    ("10.0", 0.0007),
    ("+Inf", 0.0003),
];
/// Middle of each bucket in seconds.
const MIDDLES: [f64; BUCKETS.len()] =
    [0.003, 0.0075, 0.016, 0.036, 0.07, 0.16, 0.36, 0.7, 1.6, 3.5, 7.0, 14.0];
const CODES: [&str; 3] = ["200", "404", "500"];
const PAGE: f64 = 4096.0;
pub(crate) const CLUSTER: &str = "prod-eu-central-1";

/// Names and addresses of a pod, its counters, and its own tempo.
#[derive(Debug)]
pub(crate) struct Pod {
    identity: LabelsBuilder,
    container: LabelsBuilder,
    requests_per_second: f64,
    error_share: f64,
    cpu_per_request: f64,
    buckets: [f64; BUCKETS.len()],
    codes: [f64; CODES.len()],
    sum_seconds: f64,
    sent_bytes: f64,
    cpu_seconds: f64,
    resident_pages: f64,
    allocated: f64,
    allocated_total: f64,
    objects_made: f64,
    objects_freed: f64,
    heap_pages: f64,
    goroutines: f64,
    descriptors: f64,
    collections: f64,
    collection_seconds: f64,
    started_at: f64,
    /// Slow change of traffic around its tide.
    drift: f64,
}

impl Pod {
    pub(crate) fn new(nr: usize, host: &str, numbers: &mut Numbers) -> Self {
        let app = nr / 20;
        let namespace = format!("team-{}", app % 12);
        let name = format!(
            "app-{app:03}-{:09x}-{:05x}",
            (app as u64).wrapping_mul(0x9e37_79b9_7f4a) & 0xf_ffff_ffff,
            numbers.below(1 << 20)
        );
        let mut identity = LabelsBuilder::default();
        identity
            .set("cluster", CLUSTER)
            .set("job", &format!("app-{app:03}"))
            .set("service", &format!("app-{app:03}"))
            .set("container", "app")
            .set("endpoint", "http-metrics")
            .set("instance", &format!("10.{}.{}.{}:8080", nr >> 16, nr >> 8 & 255, nr & 255))
            .set("namespace", &namespace)
            .set("pod", &name)
            .set("node", host);
        let uid = format!("{:016x}", numbers.next_u64());
        let mut container = LabelsBuilder::default();
        container
            .set("cluster", CLUSTER)
            .set("id", &format!("/kubepods/burstable/pod{uid}/{:016x}", numbers.next_u64()))
            .set(
                "image",
                &format!("registry.example.org/team-{}/app-{app:03}:v{}", app % 12, app % 7),
            )
            .set("job", "kubelet")
            .set("instance", host)
            .set("namespace", &namespace)
            .set("pod", &name)
            .set("container", "app");
        Self {
            identity,
            container,
            requests_per_second: 2.0 * (4.5 * numbers.unit()).exp(),
            error_share: 0.0005 + 0.01 * numbers.unit(),
            cpu_per_request: 0.0005 + 0.004 * numbers.unit(),
            buckets: [0.0; BUCKETS.len()],
            codes: [0.0; CODES.len()],
            sum_seconds: 0.0,
            sent_bytes: 0.0,
            cpu_seconds: 0.0,
            resident_pages: f64::from(20_000 + numbers.below(50_000)),
            allocated: f64::from(20_000_000 + numbers.below(100_000_000)),
            allocated_total: 0.0,
            objects_made: 0.0,
            objects_freed: 0.0,
            heap_pages: f64::from(5_000 + numbers.below(20_000)),
            goroutines: f64::from(20 + numbers.below(100)),
            descriptors: f64::from(10 + numbers.below(40)),
            collections: 0.0,
            collection_seconds: 0.0,
            started_at: 1_780_000_000.0 + f64::from(numbers.below(20_000_000)) / 100.0,
            drift: 0.0,
        }
    }

    pub(crate) fn labels(&self) -> Vec<Labels> {
        let own = |name: &str, more: &[(&str, &str)]| labelled(&self.identity, name, more);
        let mut out = Vec::new();
        for (le, _) in BUCKETS {
            out.push(own(
                "http_request_duration_seconds_bucket",
                &[("le", le), ("method", "GET"), ("handler", "/api/v1/items")],
            ));
        }
        for part in ["count", "sum"] {
            let name = format!("http_request_duration_seconds_{part}");
            out.push(own(&name, &[("method", "GET"), ("handler", "/api/v1/items")]));
        }
        for code in CODES {
            out.push(own("http_requests_total", &[("code", code), ("method", "GET")]));
        }
        let plain = [
            "http_response_size_bytes_total",
            "http_requests_in_flight",
            "process_cpu_seconds_total",
            "process_resident_memory_bytes",
            "process_virtual_memory_bytes",
            "process_open_fds",
            "process_max_fds",
            "process_start_time_seconds",
            "go_goroutines",
            "go_threads",
            "go_memstats_alloc_bytes",
            "go_memstats_alloc_bytes_total",
            "go_memstats_mallocs_total",
            "go_memstats_frees_total",
            "go_memstats_heap_inuse_bytes",
            "go_gc_duration_seconds_count",
            "go_gc_duration_seconds_sum",
            "up",
        ];
        out.extend(plain.iter().map(|name| own(name, &[])));
        out
    }

    pub(crate) fn step(&mut self, moment: Moment, numbers: &mut Numbers, out: &mut Vec<f64>) {
        self.drift = 0.95 * self.drift + 0.03 * numbers.normal();
        let mean = self.requests_per_second * moment.seconds * moment.tide() * (1.0 + self.drift);
        let requests = numbers.events(mean);
        self.observe(requests, numbers);
        let in_flight = numbers.events(mean / moment.seconds * 0.04);
        self.cpu_seconds += requests * self.cpu_per_request * (1.0 + 0.05 * numbers.normal())
            + 0.002 * moment.seconds;
        self.resident_pages =
            (self.resident_pages + (20.0 * numbers.normal()).round()).clamp(10_000.0, 200_000.0);
        let grown = requests * 12_000.0 + 50_000.0 * numbers.normal();
        self.allocated = (self.allocated + grown).abs();
        self.allocated_total += grown.abs().round();
        let made = (requests * 90.0 + 40.0 * requests.sqrt() * numbers.normal()).round().max(0.0);
        self.objects_made += made;
        self.objects_freed += (made * (0.98 + 0.02 * numbers.unit())).round();
        let collected = (self.allocated / 120_000_000.0).floor();
        if collected > 0.0 {
            self.allocated = 20_000_000.0 + 1_000_000.0 * numbers.unit();
            self.collections += collected;
            self.collection_seconds += collected * (0.0002 + 0.0004 * numbers.unit());
            self.heap_pages = f64::from(5_000 + numbers.below(4_000));
        }
        self.goroutines = 20.0 + in_flight + numbers.events(2.0);
        if numbers.below(4) == 0 {
            self.descriptors = 12.0 + numbers.events(8.0);
        }
        self.write(in_flight, out);
    }

    /// Spreads requests over buckets, codes, time and bytes.
    fn observe(&mut self, requests: f64, numbers: &mut Numbers) {
        let (mut left, mut share_left) = (requests, 1.0);
        for (idx, (_, share)) in BUCKETS.iter().enumerate() {
            let is_last = idx + 1 == BUCKETS.len();
            let within =
                if is_last { left } else { numbers.successes(left, (share / share_left).min(1.0)) };
            self.buckets[idx] += within;
            let wobble = 1.0 + 0.1 * numbers.normal() / within.max(1.0).sqrt();
            self.sum_seconds += within * MIDDLES[idx] * wobble;
            left -= within;
            share_left -= share;
        }
        let missing = numbers.successes(requests, 4.0 * self.error_share);
        let failed = numbers.successes(requests - missing, self.error_share);
        self.codes[0] += requests - missing - failed;
        self.codes[1] += missing;
        self.codes[2] += failed;
        let spread = 700.0 * requests.sqrt() * numbers.normal();
        self.sent_bytes += (requests * 1800.0 + spread).round().max(0.0);
    }

    fn write(&self, in_flight: f64, out: &mut Vec<f64>) {
        let mut cumulative = 0.0;
        for within in self.buckets {
            cumulative += within;
            out.push(cumulative);
        }
        out.extend([cumulative, self.sum_seconds]);
        out.extend(self.codes);
        out.extend([
            self.sent_bytes,
            in_flight,
            hundredths(self.cpu_seconds),
            self.resident_pages * PAGE,
            self.resident_pages.max(60_000.0).round() * 10.0 * PAGE,
            self.descriptors,
            1_048_576.0,
            self.started_at,
            self.goroutines,
            11.0,
            self.allocated.round(),
            self.allocated_total,
            self.objects_made,
            self.objects_freed,
            self.heap_pages * 2.0 * PAGE,
            self.collections,
            nanoseconds(self.collection_seconds),
            1.0,
        ]);
    }

    /// Labels of what the kubelet says of the container.
    pub(crate) fn container_labels(&self) -> Vec<Labels> {
        let own = |name: &str, more: &[(&str, &str)]| labelled(&self.container, name, more);
        let mut out: Vec<Labels> = [
            "container_cpu_usage_seconds_total",
            "container_cpu_user_seconds_total",
            "container_cpu_system_seconds_total",
            "container_memory_working_set_bytes",
            "container_memory_usage_bytes",
            "container_memory_rss",
            "container_network_receive_bytes_total",
            "container_network_transmit_bytes_total",
            "container_network_receive_packets_total",
            "container_network_transmit_packets_total",
            "container_fs_writes_bytes_total",
            "container_cpu_cfs_throttled_periods_total",
        ]
        .iter()
        .map(|name| own(name, &[]))
        .collect();
        out.push(own("kube_pod_status_phase", &[("phase", "Running")]));
        for resource in ["cpu", "memory"] {
            out.push(own("kube_pod_container_resource_limits", &[("resource", resource)]));
        }
        out
    }

    pub(crate) const fn requests_per_second(&self) -> f64 {
        self.requests_per_second
    }
}

/// As a program prints a value with two digits behind the point.
pub(crate) fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// As a program prints a value with nine digits behind the point.
pub(crate) fn nanoseconds(value: f64) -> f64 {
    (value * 1e9).round() / 1e9
}
