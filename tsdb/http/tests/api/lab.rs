//! The router over an engine with a few series.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use serde_json::Value;
use swell_engine::{Config, Db, WalSync};
use swell_env::{Clock as _, FaultDir, ManualClock};
use swell_model::{
    Batch, DurationMs, Labels, MetricDescription, MetricKind, MetricMetadata, Row, SampleSink as _,
    TimestampMs,
};
use swell_promql::Features;
use swell_telemetry::Registry;
use swell_tsdb_http::{
    ActiveQueries, Api, ApiConfig, ApiDeps, ConfigState, DescribedTarget, InForce, Lifecycle,
    LifecycleCommand, Notices, Origins, Readiness, RelabelStep, TargetReport, TargetStatusSource,
    UnsupportedDiscovery,
};
use tokio::sync::mpsc;
use tower::ServiceExt as _;

/// The time that the server's clock shows, in seconds: a round number for reading.
pub(crate) const NOW_S: i64 = 1_700_000_000;
/// A condition that does not hold after so long will not.
const PATIENCE: Duration = Duration::from_secs(20);

/// Targets as a test puts them.
#[derive(Default)]
pub(crate) struct Targets {
    pub(crate) reports: Mutex<Vec<TargetReport>>,
    pub(crate) described: Mutex<Vec<DescribedTarget>>,
    pub(crate) unsupported: Mutex<Vec<UnsupportedDiscovery>>,
    pub(crate) pools: Mutex<Vec<String>>,
}

impl TargetStatusSource for Targets {
    fn targets(&self) -> Vec<TargetReport> {
        self.reports.lock().clone()
    }

    fn described(&self) -> Vec<DescribedTarget> {
        self.described.lock().clone()
    }

    fn unsupported(&self) -> Vec<UnsupportedDiscovery> {
        self.unsupported.lock().clone()
    }

    fn dropped_counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for report in self.reports.lock().iter().filter(|report| report.dropped) {
            *counts.entry(report.scrape_pool.clone()).or_default() += 1;
        }
        counts
    }

    fn pool_configs(&self) -> BTreeMap<String, String> {
        self.pools.lock().iter().map(|pool| (pool.clone(), format!("job_name: {pool}\n"))).collect()
    }

    fn relabel_steps(&self, pool: &str, labels: &Labels) -> Option<Vec<RelabelStep>> {
        self.pools.lock().iter().any(|known| known == pool).then(|| {
            let rule = BTreeMap::from([("action", "drop".into())]);
            let kept = RelabelStep { rule: rule.clone(), output: labels.clone(), keep: true };
            vec![kept, RelabelStep { rule, output: Labels::empty(), keep: false }]
        })
    }
}

pub(crate) struct Lab {
    pub(crate) router: Router,
    pub(crate) db: Arc<Db>,
    pub(crate) dir: FaultDir,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) api: Arc<Api>,
    pub(crate) targets: Arc<Targets>,
    pub(crate) readiness: Readiness,
    pub(crate) registry: Registry,
    pub(crate) in_force: ConfigState,
    pub(crate) notices: Notices,
    pub(crate) commands: tokio::sync::Mutex<mpsc::Receiver<LifecycleCommand>>,
}

/// A target of the job that tells counters of these names and helps, in this order.
pub(crate) fn described(job: &str, counters: &[(&str, &str)]) -> DescribedTarget {
    let family = |(name, help): &(&str, &str)| {
        let (kind, help) = (MetricKind::Counter, (*help).to_owned());
        let metadata = MetricMetadata { kind, help, unit: String::new() };
        Arc::new(MetricDescription { metric_name: (*name).to_owned(), metadata })
    };
    let labels = Labels::from_pairs([("job", job)]);
    DescribedTarget { labels, families: counters.iter().map(family).collect() }
}

/// An answer, its body read.
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) headers: axum::http::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// `data` of a good answer.
    pub(crate) fn data(&self) -> Value {
        let body = self.json();
        assert_eq!((self.code, &body["status"]), (200, &Value::from("success")), "{}", self.text);
        assert_eq!(self.headers["content-type"], "application/json");
        body["data"].clone()
    }

    /// Checks an error's code, type and a part of its text.
    #[track_caller]
    pub(crate) fn is_error(&self, code: u16, kind: &str, part: &str) {
        let body = self.json();
        assert_eq!(self.code, code, "{}", self.text);
        assert_eq!(body["status"], "error");
        assert_eq!(body["errorType"], kind, "{}", self.text);
        let told = body["error"].as_str().expect("a text");
        assert!(told.contains(part), "{part} in {told}");
    }
}

pub(crate) fn config() -> ApiConfig {
    ApiConfig {
        lookback: DurationMs::from_secs(300),
        timeout: DurationMs::from_secs(20),
        samples_max: 1_000_000,
        series_max: None,
        bytes_max: None,
        concurrency_max: 4,
        features: Features::default(),
        flags: BTreeMap::from([("query.timeout".to_owned(), "20s".to_owned())]),
        hostname: "lab".to_owned(),
        admin_api: false,
        sums_deltas: false,
        stores_deltas: false,
        remote_read_samples_max: 50_000_000,
        remote_reads_max: 10,
        search_api: false,
        concurrent_rules: false,
        per_step_stats: false,
        search_limit_max: 10_000,
        auto_reload: false,
        origins: Origins::default(),
    }
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self::with(config())
    }

    pub(crate) fn with(config: ApiConfig) -> Self {
        let lab = Self::starting(config);
        lab.readiness.ready();
        lab
    }

    /// Everything is there, but not declared ready.
    pub(crate) fn starting(config: ApiConfig) -> Self {
        let clock = Arc::new(ManualClock::new(TimestampMs(NOW_S * 1000)));
        let registry = swell_telemetry::self_metrics().expect("a new registry");
        let dir = FaultDir::new();
        // Nothing is written behind the tests' back.
        let storage = Config { wal_sync: WalSync::Never, ..Config::standard() };
        let db =
            Db::open(Arc::new(dir.clone()), storage, clock.clone(), &registry).expect("opened");
        let db = Arc::new(db);
        let targets = Arc::new(Targets::default());
        let readiness = Readiness::default();
        let settings = InForce {
            config_yaml: "global: {}\n".to_owned(),
            external_labels: Labels::from_pairs([("cluster", "east")]),
            subquery_step: DurationMs::from_secs(60),
            retention: "15d".to_owned(),
        };
        let in_force = ConfigState::new(settings, clock.now());
        let notices = Notices::default();
        let (lifecycle, commands) = Lifecycle::new(true);
        let api = Api::new(
            config,
            ApiDeps {
                db: db.clone(),
                source: db.clone(),
                own: db.clone(),
                targets: targets.clone(),
                clock: clock.clone(),
                readiness: readiness.clone(),
                registry: registry.clone(),
                in_force: in_force.clone(),
                notices: notices.clone(),
                lifecycle,
                active: ActiveQueries::in_memory(clock.clone()),
            },
        )
        .expect("metrics registered once");
        let lab = Self {
            router: swell_tsdb_http::router(api.clone()),
            db,
            dir,
            clock,
            api,
            targets,
            readiness,
            registry,
            in_force,
            notices,
            commands: tokio::sync::Mutex::new(commands),
        };
        for (labels, first) in [
            (&[("__name__", "up"), ("job", "a"), ("instance", "x")][..], 1.0),
            (&[("__name__", "up"), ("job", "b"), ("instance", "y")], 0.0),
            (&[("__name__", "requests_total"), ("job", "a"), ("http.code", "200")], 10.0),
        ] {
            let labels = Labels::from_pairs(labels.iter().copied());
            let step = if labels.metric_name() == Some("up") { 0.0 } else { 5.0 };
            lab.store(
                &labels,
                (0..5).map(|idx| (NOW_S - 60 + 15 * idx, first + step * idx as f64)),
            );
        }
        let metadata = MetricMetadata {
            kind: MetricKind::Counter,
            help: "Requests.".to_owned(),
            unit: String::new(),
        };
        let up = MetricMetadata { kind: MetricKind::Gauge, ..metadata.clone() };
        let described = [("requests_total", metadata), ("up", up)];
        let descriptions = described
            .into_iter()
            .map(|(name, metadata)| MetricDescription { metric_name: name.to_owned(), metadata })
            .collect();
        lab.db.append(&Batch { descriptions, ..Batch::default() }).expect("stored");
        lab
    }

    /// Stores samples at whole seconds.
    pub(crate) fn store(&self, labels: &Labels, samples: impl IntoIterator<Item = (i64, f64)>) {
        let series = self.db.resolve(labels).expect("good labels");
        let rows = samples
            .into_iter()
            .map(|(seconds, value)| {
                Row::new(TimestampMs(seconds * 1000), vec![series], vec![value])
            })
            .collect();
        self.db.append(&Batch::of_rows(rows)).expect("stored");
    }

    pub(crate) async fn answer(&self, request: axum::http::Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.expect("routers do not fail");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        let text = match parts.headers.get("content-encoding") {
            None => String::from_utf8(body.to_vec()).expect("UTF-8"),
            Some(coding) if coding == "deflate" => {
                std::io::read_to_string(flate2::read::ZlibDecoder::new(&body[..])).expect("UTF-8")
            }
            Some(_) => {
                std::io::read_to_string(flate2::read::GzDecoder::new(&body[..])).expect("UTF-8")
            }
        };
        Answer { code: parts.status.as_u16(), headers: parts.headers, text }
    }

    /// GET of a path with parameters.
    pub(crate) async fn get(&self, path: &str, params: &[(&str, &str)]) -> Answer {
        let query = encoded(params);
        let uri = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        let request = axum::http::Request::get(uri).body(Body::empty()).expect("a request");
        self.answer(request).await
    }

    /// POST of parameters as a form.
    pub(crate) async fn post(&self, path: &str, params: &[(&str, &str)]) -> Answer {
        self.post_as(path, "application/x-www-form-urlencoded", encoded(params)).await
    }

    /// POST of any body.
    pub(crate) async fn post_as(&self, path: &str, media_type: &str, body: String) -> Answer {
        let mut request = axum::http::Request::post(path);
        if !media_type.is_empty() {
            request = request.header("content-type", media_type);
        }
        self.answer(request.body(Body::from(body)).expect("a request")).await
    }

    /// Value of a gauge or counter of ours.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name);
        let metrics = family.map(|family| family.get_metric()).unwrap_or_default();
        metrics.iter().map(|it| it.get_gauge().get_value() + it.get_counter().get_value()).sum()
    }

    /// Waits until `holds`.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let wait = async {
            while !holds(self) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "{what} did not come");
    }
}

fn encoded(params: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(params).finish()
}
