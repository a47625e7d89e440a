//! What is counted per service and endpoint, and how it becomes series.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use swell_model::{LabelsBuilder, METRIC_NAME, Pass, PassSeries};

use crate::ruleset::ServiceName;

/// Upper bounds of the latency histogram in seconds, with their labels.
const BUCKETS: [(f64, &str); 14] = [
    (0.001, "0.001"),
    (0.0025, "0.0025"),
    (0.005, "0.005"),
    (0.01, "0.01"),
    (0.025, "0.025"),
    (0.05, "0.05"),
    (0.1, "0.1"),
    (0.25, "0.25"),
    (0.5, "0.5"),
    (1.0, "1"),
    (2.5, "2.5"),
    (5.0, "5"),
    (10.0, "10"),
    (f64::INFINITY, "+Inf"),
];

/// Recorded from the first tick on, so that a rate sees the first request.
const CODE_OF_SUCCESS: u16 = 200;

/// Counters of one service. Bumped by requests, read each tick.
#[derive(Debug)]
pub(crate) struct ServiceStats {
    /// By status code.
    codes: Mutex<BTreeMap<u16, u64>>,
    /// Not cumulative: each request in the first bucket it fits.
    buckets: [AtomicU64; BUCKETS.len()],
    duration_sum_ns: AtomicU64,
    pub(crate) in_flight: AtomicI64,
    pub(crate) retries: AtomicU64,
    pub(crate) waiting: AtomicUsize,
    pub(crate) connections: AtomicU64,
    pub(crate) connections_open: AtomicI64,
    pub(crate) received_bytes: AtomicU64,
    pub(crate) sent_bytes: AtomicU64,
}

impl Default for ServiceStats {
    fn default() -> Self {
        Self {
            codes: Mutex::new(BTreeMap::from([(CODE_OF_SUCCESS, 0)])),
            buckets: [const { AtomicU64::new(0) }; BUCKETS.len()],
            duration_sum_ns: AtomicU64::new(0),
            in_flight: AtomicI64::new(0),
            retries: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            connections: AtomicU64::new(0),
            connections_open: AtomicI64::new(0),
            received_bytes: AtomicU64::new(0),
            sent_bytes: AtomicU64::new(0),
        }
    }
}

impl ServiceStats {
    /// Counts a finished request.
    pub(crate) fn finished(&self, code: u16, took: Duration) {
        *self.codes.lock().entry(code).or_default() += 1;
        let seconds = took.as_secs_f64();
        let idx = BUCKETS.partition_point(|(bound, _)| *bound < seconds);
        self.buckets[idx.min(BUCKETS.len() - 1)].fetch_add(1, Relaxed);
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.duration_sum_ns.fetch_add(ns, Relaxed);
    }
}

/// Counters of one endpoint of a service.
#[derive(Debug, Default)]
pub(crate) struct EndpointStats {
    pub(crate) requests: AtomicU64,
    pub(crate) failures: AtomicU64,
}

/// Labels that all series of the proxy carry.
#[derive(Clone, Debug)]
pub(crate) struct ProxyLabels {
    base: LabelsBuilder,
}

impl ProxyLabels {
    pub(crate) fn new(instance: &str, extra: &[(String, String)]) -> Self {
        let mut base = LabelsBuilder::default();
        base.set("job", "swell-netproxy").set("instance", instance);
        for (name, value) in extra {
            base.set(name, value);
        }
        Self { base }
    }

    fn series(&self, metric: &str, service: &ServiceName, pair: (&str, &str)) -> PassSeries {
        let mut builder = self.base.clone();
        builder.set(METRIC_NAME, metric).set("namespace", &service.namespace);
        builder.set("service", &service.name).set(pair.0, pair.1);
        PassSeries::new(builder.build())
    }
}

/// What a service's ports make worth recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ports {
    pub(crate) has_http: bool,
    pub(crate) has_tcp: bool,
}

/// The series of one service.
#[derive(Debug)]
pub(crate) struct ServiceSeries {
    pub(crate) stats: Arc<ServiceStats>,
    codes: BTreeMap<u16, PassSeries>,
    buckets: [PassSeries; BUCKETS.len()],
    duration_sum: PassSeries,
    duration_count: PassSeries,
    in_flight: PassSeries,
    retries: PassSeries,
    connections: PassSeries,
    connections_open: PassSeries,
    received_bytes: PassSeries,
    sent_bytes: PassSeries,
    endpoints: BTreeMap<String, EndpointSeries>,
}

#[derive(Debug)]
struct EndpointSeries {
    stats: Arc<EndpointStats>,
    requests: PassSeries,
    failures: PassSeries,
}

impl ServiceSeries {
    pub(crate) fn new(service: &ServiceName, labels: &ProxyLabels) -> Self {
        let plain = |metric| labels.series(metric, service, ("", ""));
        let bucket = |(_, bound): (f64, &str)| {
            let metric = "swell_service_request_duration_seconds_bucket";
            labels.series(metric, service, ("le", bound))
        };
        Self {
            stats: Arc::default(),
            codes: BTreeMap::new(),
            buckets: BUCKETS.map(bucket),
            duration_sum: plain("swell_service_request_duration_seconds_sum"),
            duration_count: plain("swell_service_request_duration_seconds_count"),
            in_flight: plain("swell_service_requests_in_flight"),
            retries: plain("swell_service_retries_total"),
            connections: plain("swell_service_connections_total"),
            connections_open: plain("swell_service_connections_open"),
            received_bytes: plain("swell_service_received_bytes_total"),
            sent_bytes: plain("swell_service_sent_bytes_total"),
            endpoints: BTreeMap::new(),
        }
    }

    /// The counters of an endpoint, by its pod's name; made when it is new.
    pub(crate) fn endpoint(
        &mut self,
        service: &ServiceName,
        pod: &str,
        labels: &ProxyLabels,
    ) -> Arc<EndpointStats> {
        let series = |metric| labels.series(metric, service, ("pod", pod));
        let endpoint = self.endpoints.entry(pod.to_owned()).or_insert_with(|| EndpointSeries {
            stats: Arc::default(),
            requests: series("swell_service_endpoint_requests_total"),
            failures: series("swell_service_endpoint_failures_total"),
        });
        Arc::clone(&endpoint.stats)
    }

    #[expect(clippy::cast_precision_loss, reason = "counters are floats in the model")]
    pub(crate) fn record(
        &mut self,
        service: &ServiceName,
        ports: Ports,
        labels: &ProxyLabels,
        pass: &mut Pass,
    ) {
        let stats = &self.stats;
        let count = |counter: &AtomicU64| counter.load(Relaxed) as f64;
        if ports.has_http {
            for (code, requests) in &*stats.codes.lock() {
                let series = self.codes.entry(*code).or_insert_with(|| {
                    let code = code.to_string();
                    labels.series("swell_service_requests_total", service, ("code", &code))
                });
                series.record(pass, *requests as f64);
            }
            let mut cumulative = 0.0;
            for (series, bucket) in self.buckets.iter_mut().zip(&stats.buckets) {
                cumulative += count(bucket);
                series.record(pass, cumulative);
            }
            self.duration_sum.record(pass, count(&stats.duration_sum_ns) / 1e9);
            self.duration_count.record(pass, cumulative);
            self.in_flight.record(pass, stats.in_flight.load(Relaxed) as f64);
            self.retries.record(pass, count(&stats.retries));
        }
        if ports.has_tcp {
            self.connections.record(pass, count(&stats.connections));
            self.connections_open.record(pass, stats.connections_open.load(Relaxed) as f64);
            self.received_bytes.record(pass, count(&stats.received_bytes));
            self.sent_bytes.record(pass, count(&stats.sent_bytes));
        }
        // an endpoint that is gone and has no request left is held by this map alone
        self.endpoints.retain(|_, endpoint| Arc::strong_count(&endpoint.stats) > 1);
        for endpoint in self.endpoints.values_mut() {
            endpoint.requests.record(pass, count(&endpoint.stats.requests));
            endpoint.failures.record(pass, count(&endpoint.stats.failures));
        }
    }
}
