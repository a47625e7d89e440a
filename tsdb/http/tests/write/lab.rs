//! The receiver over an engine, and requests of message 1.0 by hand.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use http_body_util::BodyExt as _;
use swell_engine::{Config, Db};
use swell_env::{Dir, ManualClock, MemDir};
use swell_model::{
    DurationMs, Labels, MatchOp, Matcher, SelectHints, SeriesSource as _, TimeRange, TimestampMs,
};
use swell_telemetry::Registry;
use swell_tsdb_http::{Readiness, RemoteWrite, RemoteWriteConfig, write_router};
use swell_wire::remote_write::{encode_labels, put_series};
use tower::ServiceExt as _;

/// What the server's clock shows at first.
pub(crate) const NOW_MS: i64 = 1_700_000_000_000;

pub(crate) struct Lab {
    pub(crate) router: Router,
    pub(crate) db: Arc<Db>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) registry: Registry,
}

pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

/// No late samples, so that their refusal can be seen.
pub(crate) fn storage() -> Config {
    Config { out_of_order_window: DurationMs::ZERO, ..Config::standard() }
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self::with(RemoteWriteConfig::standard(), storage(), Arc::new(MemDir::new()))
    }

    pub(crate) fn with(write: RemoteWriteConfig, storage: Config, dir: Arc<dyn Dir>) -> Self {
        let clock = Arc::new(ManualClock::new(TimestampMs(NOW_MS)));
        let registry = swell_telemetry::self_metrics().expect("a new registry");
        let db = Db::open(dir, storage, clock.clone(), &registry).expect("opened");
        let db = Arc::new(db);
        let readiness = Readiness::default();
        readiness.ready();
        let receiver = RemoteWrite::new(write, db.clone(), clock.clone(), readiness, &registry)
            .expect("metrics registered once");
        Self { router: write_router(receiver), db, clock, registry }
    }

    pub(crate) async fn answer(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.expect("routers do not fail");
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("a whole body").to_bytes();
        let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
        Answer { code: parts.status.as_u16(), headers: parts.headers, text }
    }

    /// Pushes a body as it is.
    pub(crate) async fn push(&self, body: impl Into<Body>) -> Answer {
        let request = Request::post("/api/v1/write").body(body.into()).expect("a request");
        self.answer(request).await
    }

    /// Pushes series with their samples.
    pub(crate) async fn push_series(&self, series: &[(&Labels, &[(i64, f64)])]) -> Answer {
        self.push(packed(&request(series))).await
    }

    /// Samples of a metric, all its series together.
    pub(crate) fn stored(&self, metric_name: &str) -> Vec<(i64, f64)> {
        let matcher = Matcher::new("__name__", MatchOp::Equal, metric_name).expect("valid");
        let range =
            TimeRange { start_incl: TimestampMs(0), end_incl: TimestampMs(NOW_MS + 3_600_000) };
        let hints = SelectHints::range(range);
        let mut samples = Vec::new();
        for series in self.db.select(&[matcher], &hints).expect("selected") {
            let floats = series.expect("read").floats;
            samples.extend(floats.timestamps.iter().copied().zip(floats.values.iter().copied()));
        }
        samples
    }

    /// Value of a counter with that label value, or without labels.
    pub(crate) fn metric(&self, name: &str, label: &str) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name);
        let metrics = family.map(|family| family.get_metric()).unwrap_or_default();
        let is_asked = |it: &&prometheus::proto::Metric| {
            label.is_empty() || it.get_label().iter().any(|pair| pair.value() == label)
        };
        let value = |it: &prometheus::proto::Metric| {
            it.get_gauge().get_value() + it.get_counter().get_value()
        };
        metrics.iter().filter(is_asked).map(value).sum()
    }
}

pub(crate) fn labels(name: &str, nr: usize) -> Labels {
    Labels::from_pairs([("__name__", name), ("nr", nr.to_string().as_str())])
}

pub(crate) fn request(series: &[(&Labels, &[(i64, f64)])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (labels, samples) in series {
        put_series(&encode_labels(labels), samples, &mut out);
    }
    out
}

pub(crate) fn packed(request: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(request).expect("packs")
}
