//! Silences and time intervals between a rule and its receiver.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::Request;
use axum::routing::post;
use axum::{Json, Router};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use serde_json::{Value, json};
use swell_alert_runner::{
    AlertRunner, AlertingHandle, Config, Dependencies, InstantSample, InstantValue, RuleEvaluator,
    RuleSettings, load_notifier,
};
use swell_env::{Clock as _, Dir, MemDir, SystemClock};
use swell_model::{
    AppendError, AppendReport, Batch, DurationMs, Labels, SampleSink, SampleValue, SeriesRef,
    TimestampMs,
};
use swell_promql_syntax::Expr;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// There are no rules: alerts are posted.
struct Nothing;

impl RuleEvaluator for Nothing {
    fn instant(&self, _: &Expr, _: TimestampMs) -> Result<InstantValue, String> {
        let sample = InstantSample { labels: Labels::empty(), value: SampleValue::Float(0.0) };
        Ok(InstantValue::Vector(vec![sample]))
    }
}

impl SampleSink for Nothing {
    fn resolve(&self, _: &Labels) -> Result<SeriesRef, AppendError> {
        Ok(SeriesRef(0))
    }

    fn append(&self, _: &Batch) -> Result<AppendReport, AppendError> {
        Ok(AppendReport::default())
    }
}

#[derive(Clone, Default)]
struct Hook(Arc<Mutex<Vec<Value>>>);

async fn take(State(hook): State<Hook>, Json(body): Json<Value>) {
    hook.0.lock().push(body);
}

struct World {
    hook: Hook,
    url: String,
    dir: Arc<dyn Dir>,
}

struct Running {
    handle: AlertingHandle,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl World {
    async fn new() -> Self {
        let hook = Hook::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/", listener.local_addr().expect("bound"));
        let router = Router::new().route("/", post(take)).with_state(hook.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { hook, url, dir: Arc::new(MemDir::new()) }
    }

    /// `routes` stand below the root; `intervals` are what they name.
    fn start(&self, routes: &str, intervals: &str) -> Running {
        let timers = "group_wait: 50ms, group_interval: 100ms, repeat_interval: 1h";
        let config = format!(
            "route: {{receiver: r, group_by: [host], {timers}, routes: [{routes}]}}
receivers: [{{name: r, webhook_configs: [{{url: '{}'}}]}}]
time_intervals: [{intervals}]
",
            self.url
        );
        let notifier = load_notifier("a.yml", &config, &[], PathBuf::new()).expect("valid");
        let dependencies = Dependencies {
            clock: Arc::new(SystemClock::new()),
            dir: Arc::clone(&self.dir),
            evaluator: Arc::new(Nothing),
            sink: Arc::new(Nothing),
            registry: swell_telemetry::Registry::new(),
        };
        let rules = RuleSettings::new(Vec::new());
        let runner =
            AlertRunner::build(Config::new("http://swell"), rules, Some(notifier), dependencies);
        let runner = runner.expect("built");
        let (handle, shutdown) = (runner.handle(), CancellationToken::new());
        let task = tokio::spawn(runner.run(shutdown.clone()));
        Running { handle, shutdown, task }
    }

    /// Hosts that the receiver was told of, in order.
    fn told(&self) -> Vec<String> {
        let host = |body: &Value| body["commonLabels"]["host"].as_str().unwrap_or("").to_owned();
        self.hook.0.lock().iter().map(host).collect()
    }

    async fn wait_for(&self, count: usize) {
        for _ in 0..1000 {
            if self.told().len() >= count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{:?}: not {count} within ten seconds", self.told());
    }
}

impl Running {
    async fn ask(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let request = Request::builder().method(method).uri(path);
        let request = request.header("content-type", "application/json");
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = request.body(axum::body::Body::from(body)).expect("a request");
        let response = self.handle.router().oneshot(request).await.expect("routers do not fail");
        let code = response.status().as_u16();
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        (code, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    async fn alert(&self, host: &str) {
        let alert = json!([{"labels": {"alertname": "A", "host": host}}]);
        assert_eq!(self.ask("POST", "/api/v2/alerts", alert).await.0, 200);
    }

    async fn status(&self, host: &str) -> Value {
        let path = format!("/api/v2/alerts?filter=host%3D{host}");
        self.ask("GET", &path, Value::Null).await.1[0]["status"].clone()
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.expect("the runner ends");
    }
}

fn at(after: DurationMs) -> String {
    let at = SystemClock::new().now() + after;
    swell_template::GoTime::from_millis(at.0).rfc3339()
}

fn silence(host: &str) -> Value {
    json!({
        "matchers": [{"name": "host", "value": host, "isRegex": false}],
        "startsAt": at(DurationMs::ZERO),
        "endsAt": at(DurationMs::from_secs(3600)),
        "createdBy": "me",
        "comment": "maintenance",
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silenced_alert_is_told_once_the_silence_ends_also_after_a_restart() {
    let world = World::new().await;
    let running = world.start("", "");
    let (code, taken) = running.ask("POST", "/api/v2/silences", silence("a")).await;
    assert_eq!(code, 200, "{taken}");
    let id = taken["silenceID"].as_str().expect("a name").to_owned();
    running.alert("a").await;
    running.alert("b").await;
    world.wait_for(1).await;
    assert_eq!(running.status("a").await["silencedBy"], json!([id]));
    assert_eq!(running.status("a").await["state"], "suppressed");
    assert_eq!(running.status("b").await["state"], "active");
    running.stop().await;

    let running = world.start("", "");
    let path = format!("/api/v2/silence/{id}");
    let (_, kept) = running.ask("GET", &path, Value::Null).await;
    assert_eq!(
        (&kept["status"]["state"], &kept["comment"]),
        (&json!("active"), &json!("maintenance"))
    );
    running.alert("a").await;
    running.alert("c").await;
    world.wait_for(2).await;
    assert_eq!(world.told(), ["b", "c"]);
    assert_eq!(running.ask("DELETE", &path, Value::Null).await.0, 200);
    world.wait_for(3).await;
    assert_eq!(world.told(), ["b", "c", "a"]);
    assert_eq!(running.ask("DELETE", &path, Value::Null).await.0, 400, "it is over");
    let expired = "/api/v2/silences?active=false&pending=false";
    let (_, listed) = running.ask("GET", expired, Value::Null).await;
    assert_eq!(listed[0]["id"], json!(id));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silences_are_checked_found_and_changed() {
    let world = World::new().await;
    let running = world.start("", "");
    let (_, taken) = running.ask("POST", "/api/v2/silences", silence("a")).await;
    let (code, told) = running.ask("POST", "/api/v2/silences", json!({"matchers": []})).await;
    assert_eq!((code, told.to_string().contains("endsAt")), (400, true), "{told}");
    let mut changed = silence("a");
    changed["id"] = json!("5d3e1e2c-0000-4000-8000-000000000000");
    assert_eq!(running.ask("POST", "/api/v2/silences", changed.clone()).await.0, 404);
    let path = format!("/api/v2/silence/{}", taken["silenceID"].as_str().expect("a name"));
    let (_, known) = running.ask("GET", &path, Value::Null).await;
    changed = known.clone();
    changed["comment"] = json!("longer than thought");
    let (_, again) = running.ask("POST", "/api/v2/silences", changed).await;
    assert_eq!(again, taken, "it stays the same silence");
    for (filter, count) in [("host%3Da", 1), ("host%3Db", 0), ("", 1)] {
        let path = format!("/api/v2/silences?filter={filter}");
        let (_, found) = running.ask("GET", &path, Value::Null).await;
        assert_eq!(found.as_array().map(Vec::len), Some(count), "{filter}");
    }
    for path in ["/api/v2/silence/none", "/api/v2/silence/5d3e1e2c-0000-4000-8000-000000000000"] {
        assert_eq!(running.ask("GET", path, Value::Null).await.0, 404);
        assert_eq!(running.ask("DELETE", path, Value::Null).await.0, 404);
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routes_are_mute_at_their_times() {
    let world = World::new().await;
    let routes = "{matchers: ['host=a'], mute_time_intervals: [always]}, \
                  {matchers: ['host=b'], active_time_intervals: [never]}, \
                  {matchers: ['host=c'], mute_time_intervals: [never], active_time_intervals: [never, always]}";
    let intervals =
        "{name: always, time_intervals: [{}]}, {name: never, time_intervals: [{years: ['1970']}]}";
    let running = world.start(routes, intervals);
    for host in ["a", "b", "c"] {
        running.alert(host).await;
    }
    world.wait_for(1).await;
    assert_eq!(world.told(), ["c"]);
    assert_eq!(running.status("a").await["mutedBy"], json!(["always"]));
    assert_eq!(running.status("b").await["mutedBy"], json!(["never"]));
    assert_eq!(running.status("c").await["mutedBy"], json!([]));
    let (_, groups) = running.ask("GET", "/api/v2/alerts/groups?muted=false", Value::Null).await;
    assert_eq!(groups.as_array().map(Vec::len), Some(1), "{groups}");
    running.stop().await;
}
