//! Runs conformance cases of remote write: requests with what a receiver must answer and store
//! (`conformance/remote-write`, fields as in its README), through the routes of this crate over a real engine.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::BodyExt as _;
use serde::Deserialize;
use serde_json::Value;
use swell_engine::{Config, Db};
use swell_env::{Clock as _, ManualClock, MemDir};
use swell_model::{DurationMs, Labels, TimestampMs};
use swell_promql::Features;
use tower::ServiceExt as _;

use crate::{
    ActiveQueries, Api, ApiConfig, ApiDeps, ConfigState, InForce, Lifecycle, Message, Notices,
    Origins, Readiness, RemoteWrite, RemoteWriteConfig, TargetReport, TargetStatusSource,
    UnsupportedDiscovery,
};

/// Time of the queries, in seconds, and of the server's clock.
const NOW_S: i64 = 1_700_001_800;

/// What became of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseOutcome {
    /// Its name.
    pub id: String,
    /// Why it failed, if it did.
    pub failure: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Case {
    id: String,
    steps: Vec<Step>,
    #[serde(default)]
    stored: Vec<Stored>,
    #[serde(default)]
    absent: Vec<BTreeMap<String, String>>,
    #[serde(default)]
    config: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct Step {
    method: String,
    headers: BTreeMap<String, String>,
    body_base64: String,
    expect: Expected,
}

#[derive(Debug, Deserialize)]
struct Expected {
    status: u16,
    #[serde(default)]
    also_ok: Vec<u16>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    error_contains: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Stored {
    labels: BTreeMap<String, String>,
    #[serde(default)]
    samples: Vec<(i64, String)>,
    #[serde(default)]
    histograms: Vec<(i64, Value)>,
    #[serde(default)]
    exemplars: Vec<StoredExemplar>,
}

#[derive(Debug, Deserialize)]
struct StoredExemplar {
    labels: BTreeMap<String, String>,
    value: String,
    timestamp: i64,
}

/// Runs the cases of a file.
///
/// # Errors
/// When the text is no list of cases, or this process cannot run them.
pub fn run_cases(text: &str) -> Result<Vec<CaseOutcome>, String> {
    let cases: Vec<Case> =
        serde_json::from_str(text).map_err(|error| format!("no list of cases: {error}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(|error| format!("start a runtime: {error}"))?;
    let run = |case: &Case| CaseOutcome {
        id: case.id.clone(),
        failure: runtime.block_on(run_case(case)).err(),
    };
    Ok(cases.iter().map(run).collect())
}

async fn run_case(case: &Case) -> Result<(), String> {
    let router = server(&case.config)?;
    for (nr, step) in case.steps.iter().enumerate() {
        run_step(&router, step).await.map_err(|failure| format!("step {}: {failure}", nr + 1))?;
    }
    for stored in &case.stored {
        check_stored(&router, stored)
            .await
            .map_err(|failure| format!("{:?}: {failure}", stored.labels))?;
    }
    for labels in &case.absent {
        if let Some(found) = series(&router, labels).await? {
            return Err(format!("{labels:?} is there: {found}"));
        }
    }
    Ok(())
}

/// No targets: everything is pushed.
struct NoTargets;

impl TargetStatusSource for NoTargets {
    fn targets(&self) -> Vec<TargetReport> {
        Vec::new()
    }

    fn unsupported(&self) -> Vec<UnsupportedDiscovery> {
        Vec::new()
    }
}

/// An empty server with the settings that a case asks for.
fn server(settings: &BTreeMap<String, String>) -> Result<Router, String> {
    let mut write = RemoteWriteConfig::standard();
    // The cases are of a server that takes nothing late unless it is told to.
    let mut storage = Config { out_of_order_window: DurationMs::ZERO, ..Config::standard() };
    for (name, value) in settings {
        match (name.as_str(), value.as_str()) {
            ("storage.tsdb.out_of_order_time_window", window) => {
                let window = DurationMs::parse_prometheus(window);
                storage.out_of_order_window =
                    window.map_err(|error| format!("{name} of the case: {error}"))?;
            }
            // Exemplars are always kept.
            ("feature", "exemplar-storage") => {}
            ("feature", "created-timestamp-zero-ingestion") => write.zero_at_start = true,
            (
                "flag",
                "web.remote-write-receiver.accepted-protobuf-messages=prometheus.WriteRequest",
            ) => write.accepted = vec![Message::V1],
            _ => return Err(format!("setting {name}={value} is not known")),
        }
    }
    let failed = |error: &dyn std::error::Error| format!("start a server: {error}");
    let clock = Arc::new(ManualClock::new(TimestampMs(NOW_S * 1000)));
    let registry = swell_telemetry::self_metrics().map_err(|error| failed(&error))?;
    let db = Db::open(Arc::new(MemDir::new()), storage, clock.clone(), &registry)
        .map_err(|error| failed(&error))?;
    let db = Arc::new(db);
    let readiness = Readiness::default();
    readiness.ready();
    let receiver = RemoteWrite::new(write, db.clone(), clock.clone(), readiness.clone(), &registry)
        .map_err(|error| failed(&error))?;
    let config = ApiConfig {
        lookback: DurationMs::from_secs(300),
        timeout: DurationMs::from_secs(60),
        samples_max: 1_000_000,
        series_max: None,
        bytes_max: None,
        concurrency_max: 4,
        features: Features::default(),
        flags: BTreeMap::new(),
        hostname: String::new(),
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
    };
    let settings = InForce {
        config_yaml: String::new(),
        external_labels: Labels::empty(),
        subquery_step: DurationMs::from_secs(60),
        retention: String::new(),
    };
    let deps = ApiDeps {
        source: db.clone(),
        own: db.clone(),
        db,
        targets: Arc::new(NoTargets),
        readiness,
        registry,
        in_force: ConfigState::new(settings, clock.now()),
        notices: Notices::default(),
        lifecycle: Lifecycle::new(false).0,
        active: ActiveQueries::in_memory(clock.clone()),
        clock,
    };
    let api = Api::new(config, deps).map_err(|error| failed(&error))?;
    Ok(crate::router(api).merge(crate::write_router(receiver)))
}

async fn run_step(router: &Router, step: &Step) -> Result<(), String> {
    let body = STANDARD.decode(&step.body_base64).map_err(|error| format!("its body: {error}"))?;
    let mut request = Request::builder().method(step.method.as_str()).uri("/api/v1/write");
    for (name, value) in &step.headers {
        request = request.header(name, value);
    }
    let request = request.body(Body::from(body)).map_err(|error| error.to_string())?;
    let (parts, text) = exchange(router, request).await?;
    let expect = &step.expect;
    let status = parts.status.as_u16();
    if status != expect.status && !expect.also_ok.contains(&status) {
        return Err(format!("answered {status}, not {}: {text}", expect.status));
    }
    for (name, value) in &expect.headers {
        let found = parts.headers.get(name).and_then(|found| found.to_str().ok());
        if found != Some(value) {
            return Err(format!("header {name} is {found:?}, not {value:?}"));
        }
    }
    match &expect.error_contains {
        Some(part) if !text.contains(part) => Err(format!("{part:?} is not in {text:?}")),
        _ => Ok(()),
    }
}

async fn exchange(
    router: &Router,
    request: Request<Body>,
) -> Result<(axum::http::response::Parts, String), String> {
    let Ok(response) = router.clone().oneshot(request).await;
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
    Ok((parts, String::from_utf8_lossy(&bytes).into_owned()))
}

/// What an endpoint says of these parameters.
async fn ask(router: &Router, path: &str, params: &[(&str, String)]) -> Result<Value, String> {
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(params).finish();
    let request = Request::get(format!("{path}?{query}"));
    let request = request.body(Body::empty()).map_err(|error| error.to_string())?;
    let (parts, text) = exchange(router, request).await?;
    let answer: Value =
        serde_json::from_str(&text).map_err(|error| format!("{error} in the answer {text}"))?;
    if parts.status.is_success() {
        Ok(answer["data"].clone())
    } else {
        Err(format!("{path} answered {}: {text}", parts.status))
    }
}

fn selector(labels: &BTreeMap<String, String>) -> String {
    let matchers: Vec<String> =
        labels.iter().map(|(name, value)| format!("{name:?}={value:?}")).collect();
    format!("{{{}}}", matchers.join(","))
}

/// Samples and histograms of exactly these labels over the hour before the clock's time.
async fn series(
    router: &Router,
    labels: &BTreeMap<String, String>,
) -> Result<Option<Value>, String> {
    let params = [("query", format!("{}[1h]", selector(labels))), ("time", NOW_S.to_string())];
    let data = ask(router, "/api/v1/query", &params).await?;
    let wanted = serde_json::json!(labels);
    let found =
        data["result"].as_array().and_then(|all| all.iter().find(|it| it["metric"] == wanted));
    Ok(found.cloned())
}

async fn check_stored(router: &Router, stored: &Stored) -> Result<(), String> {
    let found = series(router, &stored.labels).await?.unwrap_or_default();
    let list = |key: &str| found[key].as_array().cloned().unwrap_or_default();
    let (samples, histograms) = (list("values"), list("histograms"));
    if samples.len() != stored.samples.len() || histograms.len() != stored.histograms.len() {
        return Err(format!("stored {found}"));
    }
    for (point, (at, value)) in samples.iter().zip(&stored.samples) {
        if !is_at(&point[0], *at) || !is_near(&point[1], &Value::from(value.as_str())) {
            return Err(format!("{point} is stored, not {value} at {at}"));
        }
    }
    for (point, (at, expected)) in histograms.iter().zip(&stored.histograms) {
        if !is_at(&point[0], *at) || !same_histogram(&point[1], expected) {
            return Err(format!("{point} is stored, not {expected} at {at}"));
        }
    }
    if stored.exemplars.is_empty() { Ok(()) } else { check_exemplars(router, stored).await }
}

async fn check_exemplars(router: &Router, stored: &Stored) -> Result<(), String> {
    let params = [
        ("query", selector(&stored.labels)),
        ("start", (NOW_S - 3600).to_string()),
        ("end", NOW_S.to_string()),
    ];
    let data = ask(router, "/api/v1/query_exemplars", &params).await?;
    let found = data[0]["exemplars"].as_array().cloned().unwrap_or_default();
    let agrees = found.len() == stored.exemplars.len()
        && found.iter().zip(&stored.exemplars).all(|(found, expected)| {
            found["labels"] == serde_json::json!(expected.labels)
                && is_near(&found["value"], &Value::from(expected.value.as_str()))
                && is_at(&found["timestamp"], expected.timestamp)
        });
    if agrees { Ok(()) } else { Err(format!("exemplars are {data}")) }
}

fn is_at(seconds: &Value, timestamp_ms: i64) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of this century are exact")]
    let expected = timestamp_ms as f64;
    seconds.as_f64().is_some_and(|seconds| (seconds * 1000.0 - expected).abs() < 0.5)
}

/// Figures as text, compared as floats.
fn is_near(found: &Value, expected: &Value) -> bool {
    const TOLERANCE: f64 = 1e-9;
    let number = |value: &Value| value.as_str().and_then(|text| text.parse::<f64>().ok());
    match (number(found), number(expected)) {
        (Some(a), Some(b)) => {
            a.to_bits() == b.to_bits()
                || (a.is_nan() && b.is_nan())
                || (a - b).abs() <= TOLERANCE * b.abs()
        }
        _ => false,
    }
}

fn same_histogram(found: &Value, expected: &Value) -> bool {
    let buckets = |value: &Value| value["buckets"].as_array().cloned().unwrap_or_default();
    let (found_buckets, expected_buckets) = (buckets(found), buckets(expected));
    ["count", "sum"].iter().all(|key| is_near(&found[key], &expected[key]))
        && found_buckets.len() == expected_buckets.len()
        && found_buckets
            .iter()
            .zip(&expected_buckets)
            .all(|(a, b)| a[0] == b[0] && (1..4).all(|part| is_near(&a[part], &b[part])))
}
