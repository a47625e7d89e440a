//! What the ways in count about themselves.

use prometheus::{IntCounterVec, Opts};
use swell_telemetry::Registry;

use crate::store::Stored;

/// A way in; the names are labels of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// OTLP over HTTP.
    OtlpHttp,
    /// OTLP over gRPC.
    OtlpGrpc,
    /// InfluxDB's line protocol.
    Influx,
    /// Exposition text, kept by group.
    Pushgateway,
}

impl Way {
    const ALL: [Self; 4] = [Self::OtlpHttp, Self::OtlpGrpc, Self::Influx, Self::Pushgateway];

    const fn label(self) -> &'static str {
        match self {
            Self::OtlpHttp => "otlp_http",
            Self::OtlpGrpc => "otlp_grpc",
            Self::Influx => "influx",
            Self::Pushgateway => "pushgateway",
        }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct PushMetrics {
    samples_total: IntCounterVec,
    refused_total: IntCounterVec,
    failed_total: IntCounterVec,
}

impl PushMetrics {
    /// Registers the metrics.
    ///
    /// # Errors
    /// When a metric of the same name is registered already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let by_way = |name: &str, help: &str, more: &[&str]| {
            let labels: Vec<&str> = ["way"].iter().chain(more).copied().collect();
            let counter = IntCounterVec::new(Opts::new(name, help), &labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let metrics = Self {
            samples_total: by_way(
                "swell_push_samples_total",
                "Samples that were pushed and stored, native histograms included, by the way they came.",
                &[],
            )?,
            refused_total: by_way(
                "swell_push_refused_total",
                "Samples and points that were pushed and refused, by the way they came.",
                &[],
            )?,
            failed_total: by_way(
                "swell_push_failed_total",
                "Pushes that failed as a whole, by the way they came and the status code of the answer.",
                &["code"],
            )?,
        };
        for way in Way::ALL {
            metrics.samples_total.with_label_values(&[way.label()]);
            metrics.refused_total.with_label_values(&[way.label()]);
        }
        Ok(metrics)
    }

    pub(crate) fn count(&self, way: Way, stored: &Stored) {
        let add = |counter: &IntCounterVec, count: usize| {
            counter.with_label_values(&[way.label()]).inc_by(count as u64);
        };
        add(&self.samples_total, stored.samples);
        add(&self.refused_total, stored.refused.points());
    }

    pub(crate) fn fail(&self, way: Way, code: u16) {
        self.failed_total.with_label_values(&[way.label(), &code.to_string()]).inc();
    }
}
