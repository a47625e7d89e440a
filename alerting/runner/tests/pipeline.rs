//! From a rule's result to the receiver, with a scripted evaluator, a storage in memory and a local webhook server.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use serde_json::Value;
use swell_alert_runner::{
    AlertRunner, AlertingHandle, Config, Dependencies, InstantSample, InstantValue, RuleEvaluator,
    RuleSettings, load_notifier, load_rules,
};
use swell_env::{Clock as _, Dir, MemDir, SystemClock};
use swell_model::{
    AppendError, AppendReport, Batch, Labels, SampleSink, SampleValue, SeriesRef, TimestampMs,
    is_stale_nan,
};
use swell_promql_syntax::Expr;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// Gives hosts their load; everything else is empty.
#[derive(Default)]
struct Script {
    hosts: Mutex<BTreeMap<String, f64>>,
    calls: AtomicU64,
    /// As of when was asked last, milliseconds.
    asked_at: AtomicI64,
}

impl RuleEvaluator for Script {
    fn instant(&self, expr: &Expr, at: TimestampMs) -> Result<InstantValue, String> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.asked_at.store(at.0, Ordering::SeqCst);
        if expr.to_string().contains("broken") {
            return Err("the query failed".into());
        }
        let hosts = self.hosts.lock();
        let samples = hosts.iter().map(|(host, load)| InstantSample {
            labels: Labels::from_pairs([("__name__", "load"), ("host", host)]),
            value: SampleValue::Float(*load),
        });
        Ok(InstantValue::Vector(samples.collect()))
    }
}

/// Keeps the values of each series in order.
#[derive(Default)]
struct MemorySink {
    series: Mutex<Vec<(Labels, Vec<f64>)>>,
}

impl SampleSink for MemorySink {
    fn resolve(&self, labels: &Labels) -> Result<SeriesRef, AppendError> {
        let mut series = self.series.lock();
        let idx = series.iter().position(|(known, _)| known == labels).unwrap_or_else(|| {
            series.push((labels.clone(), Vec::new()));
            series.len() - 1
        });
        Ok(SeriesRef(idx as u64))
    }

    fn append(&self, batch: &Batch) -> Result<AppendReport, AppendError> {
        let mut series = self.series.lock();
        for row in &batch.rows {
            for (reference, value) in row.series.iter().zip(&row.values) {
                let idx = usize::try_from(reference.0).expect("few series");
                series[idx].1.push(*value);
            }
        }
        Ok(AppendReport::default())
    }
}

impl MemorySink {
    fn values(&self, series: &str) -> Vec<f64> {
        let all = self.series.lock();
        all.iter()
            .find(|(labels, _)| labels.to_string() == series)
            .map(|(_, values)| values.clone())
            .unwrap_or_default()
    }
}

/// A webhook server that keeps what arrives, and fails as often as it is told.
#[derive(Clone, Default)]
struct Hook {
    arrived: Arc<Mutex<Vec<Value>>>,
    failures: Arc<AtomicU64>,
}

async fn take(State(hook): State<Hook>, Json(body): Json<Value>) -> axum::http::StatusCode {
    let failing =
        hook.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
    if failing.is_ok() {
        return axum::http::StatusCode::INTERNAL_SERVER_ERROR;
    }
    hook.arrived.lock().push(body);
    axum::http::StatusCode::OK
}

impl Hook {
    async fn start(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/hook", listener.local_addr().expect("bound"));
        let router = Router::new().route("/hook", post(take)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.expect("serving goes on") });
        url
    }

    fn count(&self) -> usize {
        self.arrived.lock().len()
    }
}

const RULES: &str = "
groups:
- name: g
  interval: 50ms
  rules:
  - {record: 'host:load', expr: load}
  - alert: HighLoad
    expr: load > 1
    for: 150ms
    labels: {severity: page}
    annotations: {summary: '{{ $labels.host }} has {{ $value }}'}
";

/// Everything around the runner, which may be started several times.
struct World {
    script: Arc<Script>,
    sink: Arc<MemorySink>,
    hook: Hook,
    config: String,
    dir: Arc<dyn Dir>,
}

struct Running {
    handle: AlertingHandle,
    registry: swell_telemetry::Registry,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl World {
    async fn new() -> Self {
        let hook = Hook::default();
        let url = hook.start().await;
        let config = format!(
            "route: {{receiver: r, group_by: [alertname], group_wait: 100ms, group_interval: 150ms, repeat_interval: 1h}}
receivers: [{{name: r, webhook_configs: [{{url: '{url}'}}]}}]
"
        );
        Self {
            script: Arc::default(),
            sink: Arc::default(),
            hook,
            config,
            dir: Arc::new(MemDir::new()),
        }
    }

    fn set(&self, hosts: &[&str]) {
        *self.script.hosts.lock() = hosts.iter().map(|host| ((*host).to_owned(), 5.0)).collect();
    }

    fn start(&self) -> Running {
        self.start_with(RULES)
    }

    fn start_with(&self, rules: &str) -> Running {
        let rules = load_rules("rules.yml", rules).expect("the rules are valid");
        let notifier = load_notifier("alertmanager.yml", &self.config, &[], PathBuf::new())
            .expect("the configuration is valid");
        let registry = swell_telemetry::Registry::new();
        let dependencies = Dependencies {
            clock: Arc::new(SystemClock::new()),
            dir: Arc::clone(&self.dir),
            evaluator: Arc::clone(&self.script) as _,
            sink: Arc::clone(&self.sink) as _,
            registry: registry.clone(),
        };
        let rules = RuleSettings {
            external_labels: Labels::from_pairs([("cluster", "east")]),
            ..RuleSettings::new(vec![rules])
        };
        let config = Config::new("http://swell");
        let runner = AlertRunner::build(config, rules, Some(notifier), dependencies)
            .expect("the runner is built");
        let (handle, shutdown) = (runner.handle(), CancellationToken::new());
        let task = tokio::spawn(runner.run(shutdown.clone()));
        Running { handle, registry, shutdown, task }
    }

    /// Waits until the rules were evaluated `count` times more (there are two rules).
    async fn evaluations(&self, count: u64) {
        let until = self.script.calls.load(Ordering::SeqCst) + 2 * count;
        wait_for("evaluations", || self.script.calls.load(Ordering::SeqCst) >= until).await;
    }
}

impl Running {
    async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.expect("the runner ends");
    }

    /// Value of a metric of the group with this label; of a summary, how often it was observed.
    fn metric(&self, name: &str, group: &str) -> Option<f64> {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name)?;
        let is_of = |metric: &&prometheus::proto::Metric| {
            metric.get_label().iter().all(|pair| pair.value() == group)
        };
        let metric = family.get_metric().iter().find(is_of)?;
        let observed = u32::try_from(metric.get_summary().sample_count()).expect("few");
        let value = metric.get_counter().get_value() + metric.get_gauge().get_value();
        Some(value + f64::from(observed))
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.call(
            axum::http::Request::get(path).body(axum::body::Body::empty()).expect("a request"),
        )
        .await
    }

    async fn call(&self, request: axum::http::Request<axum::body::Body>) -> (u16, Value) {
        let response = self.handle.router().oneshot(request).await.expect("routers do not fail");
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.expect("the body is there").to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }
}

/// Polls until the condition holds; fails after ten seconds.
async fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}: not within ten seconds");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_are_counted_under_prometheus_names() {
    let world = World::new().await;
    world.set(&["a", "b"]);
    let running = world.start_with(
        "
groups:
- name: g
  interval: 50ms
  rules:
  - {record: 'host:load', expr: load}
  - {record: 'host:broken', expr: broken}
",
    );
    let group = "rules.yml;g";
    let metric = |name: &str| running.metric(&format!("prometheus_rule_{name}"), group);
    // There from the start; how often the group has been evaluated by now nobody knows.
    assert!(metric("evaluation_failures_total").is_some());
    assert!(metric("group_iterations_missed_total").is_some());
    assert_eq!(metric("group_rules"), Some(2.0));
    assert_eq!(metric("group_interval_seconds"), Some(0.05));
    world.evaluations(3).await;
    wait_for("samples of the last evaluation", || {
        metric("group_last_evaluation_samples") == Some(2.0)
    })
    .await;
    for name in [
        "evaluations_total",
        "evaluation_failures_total",
        "evaluation_duration_seconds",
        "group_iterations_total",
        "group_duration_seconds",
        "group_last_evaluation_timestamp_seconds",
    ] {
        assert!(metric(name).is_some_and(|value| value >= 1.0), "{name}: {:?}", metric(name));
    }
    // Failures are read first: evaluations go on meanwhile.
    assert!(metric("evaluation_failures_total") < metric("evaluations_total"));

    let other =
        load_rules("rules.yml", "groups: [{name: other, rules: [{record: r, expr: load}]}]");
    let settings = RuleSettings::new(vec![other.expect("the rules are valid")]);
    running.handle.reload_rules(settings).await.expect("it runs");
    assert_eq!(metric("evaluations_total"), None, "the group is gone");
    assert_eq!(metric("group_rules"), None);
    assert_eq!(running.metric("prometheus_rule_group_rules", "rules.yml;other"), Some(1.0));
    running.stop().await;
}

fn hosts(message: &Value) -> Vec<&str> {
    let alerts = message["alerts"].as_array().expect("a list");
    alerts.iter().map(|alert| alert["labels"]["host"].as_str().expect("a text")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_is_told_once_grouped_and_then_resolved() {
    let world = World::new().await;
    world.set(&["a", "b"]);
    let running = world.start();
    wait_for("the notification", || world.hook.count() == 1).await;
    // Many evaluations and several looks at the group later nothing more was said.
    world.evaluations(12).await;
    assert_eq!(world.hook.count(), 1);
    let message = world.hook.arrived.lock()[0].clone();
    assert_eq!(
        (&message["status"], &message["notification_reason"]),
        (&"firing".into(), &"first_notification".into())
    );
    let mut told = hosts(&message);
    told.sort_unstable();
    assert_eq!(told, ["a", "b"]);
    assert_eq!(message["groupLabels"], serde_json::json!({"alertname": "HighLoad"}));
    assert_eq!(message["commonLabels"]["cluster"], "east");
    assert_eq!(
        message["alerts"][0]["annotations"]["summary"],
        format!("{} has 5", hosts(&message)[0])
    );

    let (_, rules) = running.get("/api/v1/rules?type=alert").await;
    let rule = &rules["data"]["groups"][0]["rules"][0];
    assert_eq!(
        (&rule["state"], &rule["health"], &rule["duration"]),
        (&"firing".into(), &"ok".into(), &0.15.into())
    );
    assert_eq!(rule["alerts"][0]["value"], "5e+00");
    let (_, rules_alone) = running.get("/api/v1/rules?type=ALERT&exclude_alerts=T").await;
    let bare = &rules_alone["data"]["groups"][0]["rules"][0];
    assert_eq!((&bare["name"], bare.get("alerts")), (&rule["name"], None));
    let (_, alerts) = running.get("/api/v1/alerts").await;
    assert_eq!(alerts["data"]["alerts"].as_array().map(Vec::len), Some(2));
    let (_, active) = running.get("/api/v2/alerts?filter=host%3D%22a%22").await;
    assert_eq!(
        (&active[0]["status"]["state"], &active[0]["receivers"][0]["name"]),
        (&"active".into(), &"r".into())
    );
    assert_eq!(active.as_array().map(Vec::len), Some(1));
    let (_, groups) = running.get("/api/v2/alerts/groups").await;
    assert_eq!(groups[0]["alerts"].as_array().map(Vec::len), Some(2));

    world.set(&[]);
    wait_for("the resolution", || world.hook.count() == 2).await;
    let message = world.hook.arrived.lock()[1].clone();
    assert_eq!(
        (&message["status"], &message["notification_reason"]),
        (&"resolved".into(), &"all_alerts_resolved".into())
    );
    assert_eq!(hosts(&message).len(), 2);
    world.evaluations(8).await;
    assert_eq!(world.hook.count(), 2);

    let firing = r#"ALERTS{alertname="HighLoad", alertstate="firing", host="a", severity="page"}"#;
    let pending =
        r#"ALERTS{alertname="HighLoad", alertstate="pending", host="a", severity="page"}"#;
    for series in [firing, pending, r#"host:load{host="a"}"#] {
        let values = world.sink.values(series);
        assert!(values.len() > 1 && is_stale_nan(values[values.len() - 1]), "{series}: {values:?}");
        assert_eq!(values.iter().filter(|value| is_stale_nan(**value)).count(), 1, "{series}");
    }
    let (_, notifications) = running.get("/api/swell/v1/notifications").await;
    let latest = &notifications["data"]["notifications"][0];
    assert_eq!(
        (&latest["state"], &latest["attempts"], &latest["resolved"]),
        (&"delivered".into(), &1.into(), &2.into())
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_offset_shifts_what_is_asked_and_no_alert() {
    let world = World::new().await;
    world.set(&["a"]);
    let rules = RULES.replace("interval: 50ms", "interval: 50ms\n  query_offset: 10m");
    let running = world.start_with(&rules);
    wait_for("the alert", || world.hook.count() == 1).await;
    // It would be over at once, if its end were counted from when the query is asked for.
    world.evaluations(10).await;
    let (_, alerts) = running.get("/api/v2/alerts").await;
    assert_eq!(alerts[0]["status"]["state"], "active", "{alerts}");
    let now = SystemClock::new().now();
    let asked = now.since(TimestampMs(world.script.asked_at.load(Ordering::SeqCst)));
    assert!((600_000..630_000).contains(&asked.0), "{asked:?}");
    let (_, groups) = running.get("/api/v1/rules").await;
    let evaluated = groups["data"]["groups"][0]["lastEvaluation"].as_str().expect("a time");
    let evaluated: jiff::Timestamp = evaluated.parse().expect("RFC 3339");
    assert!((now.0 - evaluated.as_millisecond()).abs() < 30_000, "{evaluated}");
    assert!(world.hook.arrived.lock().iter().all(|it| it["status"] == "firing"));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_tells_nobody_twice() {
    let world = World::new().await;
    world.set(&["a"]);
    let running = world.start();
    wait_for("the notification", || world.hook.count() == 1).await;
    let deliveries = || async { running.handle.deliveries().await.expect("running").len() };
    while deliveries().await == 0 {
        world.evaluations(1).await;
    }
    let fired_at = running.handle.active_alerts()[0].alert.fired_at;
    running.stop().await;

    let running = world.start();
    world.evaluations(10).await;
    assert_eq!(world.hook.count(), 1, "told once although restarted");
    assert_eq!(
        running.handle.active_alerts()[0].alert.fired_at,
        fired_at,
        "the alert goes on as it was"
    );

    // The process is killed: nothing is said goodbye to.
    running.task.abort();
    world.set(&[]);
    let running = world.start();
    wait_for("the resolution", || world.hook.count() == 2).await;
    assert_eq!(world.hook.arrived.lock()[1]["status"], "resolved");
    world.evaluations(8).await;
    assert_eq!(world.hook.count(), 2);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_receiver_is_tried_again() {
    let world = World::new().await;
    world.hook.failures.store(2, Ordering::SeqCst);
    world.set(&["a"]);
    let running = world.start();
    wait_for("the notification", || world.hook.count() == 1).await;
    loop {
        let deliveries = running.handle.deliveries().await.expect("running");
        if let Some(delivery) = deliveries.first() {
            assert_eq!((delivery.attempts, delivery.error.as_deref()), (3, None));
            break;
        }
        world.evaluations(1).await;
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_keeps_what_did_not_change() {
    let world = World::new().await;
    world.set(&["a"]);
    let running = world.start();
    wait_for("the alert fires", || {
        running.handle.active_alerts().iter().any(|active| active.alert.fired_at.is_some())
    })
    .await;
    let before = running.handle.active_alerts()[0].alert.clone();
    let without_recording = RULES
        .replace("  - {record: 'host:load', expr: load}\n", "  - {alert: Broken, expr: broken}\n");
    let rules = load_rules("rules.yml", &without_recording).expect("the rules are valid");
    let rules = RuleSettings {
        external_labels: Labels::from_pairs([("cluster", "west")]),
        ..RuleSettings::new(vec![rules])
    };
    running.handle.reload_rules(rules).await.expect("running");
    world.evaluations(4).await;
    let after = running.handle.active_alerts()[0].alert.clone();
    assert_eq!((before.active_at, before.fired_at), (after.active_at, after.fired_at));
    let recorded = world.sink.values(r#"host:load{host="a"}"#);
    assert!(
        is_stale_nan(recorded[recorded.len() - 1]),
        "the removed rule's series is marked as gone"
    );
    let (_, rules) = running.get("/api/v1/rules?rule_name[]=Broken").await;
    let rule = &rules["data"]["groups"][0]["rules"][0];
    assert_eq!((&rule["health"], &rule["lastError"]), (&"err".into(), &"the query failed".into()));

    running.handle.reload_rules(RuleSettings::new(Vec::new())).await.expect("running");
    assert!(running.handle.groups().is_empty());
    let firing = world
        .sink
        .values(r#"ALERTS{alertname="HighLoad", alertstate="firing", host="a", severity="page"}"#);
    assert!(is_stale_nan(firing[firing.len() - 1]));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_can_be_posted() {
    let world = World::new().await;
    let running = world.start();
    let post = |body: &str| {
        axum::http::Request::post("/api/v2/alerts")
            .header("content-type", "application/json")
            .body(axum::body::Body::from(body.to_owned()))
            .expect("a request")
    };
    let (status, message) =
        running.call(post(r#"[{"labels":{"alertname":"Posted","host":"x"}},{"labels":{}}]"#)).await;
    assert_eq!((status, message), (400, "alert 1: at least one label pair required".into()));
    wait_for("the notification", || world.hook.count() == 1).await;
    let message = world.hook.arrived.lock()[0].clone();
    assert_eq!(hosts(&message), ["x"]);
    let ended = r#"[{"labels":{"alertname":"Posted","host":"x"},"endsAt":"NOW"}]"#;
    let now = swell_template::GoTime::from_millis(SystemClock::new().now().0).rfc3339();
    let (status, _) = running.call(post(&ended.replace("NOW", &now))).await;
    assert_eq!(status, 200);
    wait_for("the resolution", || world.hook.count() == 2).await;

    let (_, status) = running.get("/api/v2/status").await;
    assert_eq!(status["cluster"]["status"], "disabled");
    let shown = status["config"]["original"].as_str().expect("a text");
    assert!(shown.contains("group_wait") && !shown.contains("/hook"), "{shown}");
    let (_, receivers) = running.get("/api/v2/receivers").await;
    assert_eq!(receivers, serde_json::json!([{"name": "r", "labels": {}}]));
    for path in [
        "/api/v1/rules?type=x",
        "/api/v1/rules?match[]=%7B",
        "/api/v2/alerts?filter=%3D",
        "/api/v2/alerts?active=maybe",
    ] {
        assert_eq!(running.get(path).await.0, 400, "{path}");
    }
    running.stop().await;
}

#[tokio::test]
async fn a_damaged_state_file_is_named() {
    let world = World::new().await;
    let out = world.dir.create("rules").expect("created");
    out.append(b"SWELLRULES 1 00000000\n{}").expect("appended");
    let dependencies = Dependencies {
        clock: Arc::new(SystemClock::new()),
        dir: Arc::clone(&world.dir),
        evaluator: Arc::clone(&world.script) as _,
        sink: Arc::clone(&world.sink) as _,
        registry: swell_telemetry::Registry::new(),
    };
    let error = AlertRunner::build(
        Config::new("http://swell"),
        RuleSettings::new(Vec::new()),
        None,
        dependencies,
    )
    .expect_err("damaged");
    assert!(error.to_string().contains("rules is damaged"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_come_by_pages() {
    let world = World::new().await;
    let running = world.start();
    let text =
        |name: &str| format!("groups: [{{name: {name}, rules: [{{record: r, expr: '1'}}]}}]");
    let rules = ["a", "b", "c"]
        .map(|name| load_rules(format!("{name}.yml"), &text(name)).expect("the rules are valid"));
    let settings = RuleSettings::new(rules.into_iter().collect());
    running.handle.reload_rules(settings).await.expect("running");
    let (mut path, mut names) = ("/api/v1/rules?group_limit=2".to_owned(), Vec::new());
    for pages_left in [1, 0] {
        let (_, page) = running.get(&path).await;
        let groups = page["data"]["groups"].as_array().expect("groups").clone();
        names.extend(groups.iter().map(|group| group["name"].as_str().expect("a name").to_owned()));
        let token = page["data"].get("groupNextToken").and_then(Value::as_str);
        assert_eq!(token.is_some(), pages_left > 0);
        path =
            format!("/api/v1/rules?group_limit=2&group_next_token={}", token.unwrap_or_default());
    }
    assert_eq!(names, ["a", "b", "c"]);
    for odd in [
        "group_limit=0",
        "group_limit=x",
        "group_next_token=ab",
        "group_limit=1&group_next_token=ab",
    ] {
        assert_eq!(running.get(&format!("/api/v1/rules?{odd}")).await.0, 400, "{odd}");
    }
    running.stop().await;
}
