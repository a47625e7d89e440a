//! Alerts of rules on their way to Alertmanagers outside, played by servers in this process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use parking_lot::Mutex;
use serde_json::Value;
use swell_alert_runner::{
    AlertRelabel, AlertRunner, AlertingHandle, AlertmanagerSet, Config, Dependencies,
    ForwardLimits, Forwarding, InstantSample, InstantValue, RuleEvaluator, RuleSettings,
    load_rules,
};
use swell_env::{MemDir, SystemClock};
use swell_http_client::{ClientOptions, HttpClient};
use swell_model::{
    AppendError, AppendReport, Batch, DurationMs, Labels, SampleSink, SampleValue, SeriesRef,
    TimestampMs,
};
use swell_promql_syntax::Expr;
use swell_telemetry::Registry;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use url::Url;

/// As many hosts as it is told are in each result.
#[derive(Default)]
struct Hosts(Mutex<usize>);

impl RuleEvaluator for Hosts {
    fn instant(&self, _: &Expr, _: TimestampMs) -> Result<InstantValue, String> {
        let samples = (0..*self.0.lock()).map(|host| InstantSample {
            labels: Labels::from_pairs([("host", format!("{host:03}"))]),
            value: SampleValue::Float(1.0),
        });
        Ok(InstantValue::Vector(samples.collect()))
    }
}

/// Samples are of no interest here.
struct Nowhere;

impl SampleSink for Nowhere {
    fn resolve(&self, _: &Labels) -> Result<SeriesRef, AppendError> {
        Ok(SeriesRef(0))
    }

    fn append(&self, _: &Batch) -> Result<AppendReport, AppendError> {
        Ok(AppendReport::default())
    }
}

/// An Alertmanager that keeps what arrives and answers as it is told.
#[derive(Clone, Default)]
struct Peer {
    requests: Arc<Mutex<Vec<Vec<Value>>>>,
    /// Hosts of all alerts that were taken, in order.
    taken: Arc<Mutex<Vec<String>>>,
    status: Arc<AtomicU16>,
}

async fn take(State(peer): State<Peer>, Json(alerts): Json<Vec<Value>>) -> StatusCode {
    let status = StatusCode::from_u16(peer.status.load(Ordering::SeqCst)).expect("a status");
    if status.is_success() {
        peer.taken.lock().extend(alerts.iter().map(|alert| alert["labels"]["host"].to_string()));
    }
    peer.requests.lock().push(alerts);
    status
}

impl Peer {
    async fn start(&self) -> Url {
        self.status.store(200, Ordering::SeqCst);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let router = Router::new().route("/api/v2/alerts", post(take)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Url::parse(&format!("http://{address}/api/v2/alerts")).expect("a URL")
    }

    fn hosts(&self) -> Vec<String> {
        self.taken.lock().clone()
    }
}

fn set(urls: &[&Url], relabel: AlertRelabel) -> AlertmanagerSet {
    AlertmanagerSet {
        client: Arc::new(HttpClient::new(ClientOptions::default()).expect("no TLS")),
        timeout: DurationMs::from_secs(5),
        relabel,
        active: urls.iter().map(|url| (*url).clone()).collect(),
        dropped: Vec::new(),
    }
}

fn unchanged() -> AlertRelabel {
    Arc::new(|labels| Some(labels.clone()))
}

fn forwarding(sets: Vec<AlertmanagerSet>) -> Forwarding {
    Forwarding { sets, ..Forwarding::default() }
}

struct World {
    hosts: Arc<Hosts>,
    registry: Registry,
    handle: AlertingHandle,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl World {
    fn start(limits: ForwardLimits) -> Self {
        let rules = "groups: [{name: g, interval: 50ms, rules: [{alert: A, expr: up}]}]";
        let rules = load_rules("rules.yml", rules).expect("valid");
        let (hosts, registry) = (Arc::<Hosts>::default(), Registry::new());
        let dependencies = Dependencies {
            clock: Arc::new(SystemClock::new()),
            dir: Arc::new(MemDir::new()),
            evaluator: hosts.clone(),
            sink: Arc::new(Nowhere),
            registry: registry.clone(),
        };
        let config = Config { forward: limits, ..Config::new("http://swell") };
        let runner = AlertRunner::build(config, RuleSettings::new(vec![rules]), None, dependencies)
            .expect("built");
        let (handle, shutdown) = (runner.handle(), CancellationToken::new());
        let task = tokio::spawn(runner.run(shutdown.clone()));
        Self { hosts, registry, handle, shutdown, task }
    }

    fn fire(&self, hosts: usize) {
        *self.hosts.0.lock() = hosts;
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.expect("the runner ends");
    }

    fn metric(&self, name: &str) -> f64 {
        let wanted = format!("prometheus_notifications_{name}");
        let families = self.registry.gather();
        let of_name = families.iter().filter(|family| family.name() == wanted);
        let metrics = of_name.flat_map(|family| family.get_metric());
        metrics
            .map(|metric| metric.get_counter().get_value() + metric.get_gauge().get_value())
            .sum()
    }
}

async fn wait_for(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..1000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}: not within ten seconds");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_fails_holds_up_no_other_and_is_told_later() {
    let (well, ill) = (Peer::default(), Peer::default());
    let (well_url, ill_url) = (well.start().await, ill.start().await);
    ill.status.store(503, Ordering::SeqCst);
    let world = World::start(ForwardLimits::default());
    let marked: AlertRelabel =
        Arc::new(|labels| Some(labels.to_builder().set("to", "ill").build()));
    world
        .handle
        .forward_to(forwarding(vec![set(&[&well_url], unchanged()), set(&[&ill_url], marked)]));
    world.fire(1);
    wait_for("the alert", || well.hosts().len() == 1).await;
    // The peer has a request before its sender has the answer and counts it.
    wait_for("two failed attempts", || world.metric("errors_total") >= 2.0).await;
    // It resolves while one does not hear of it: what that one is told in the end is that it is over.
    world.fire(0);
    wait_for("the resolution", || well.hosts().len() == 2).await;
    ill.status.store(200, Ordering::SeqCst);
    wait_for("a good attempt", || world.metric("queue_length") < 1.0).await;
    let last = ill.requests.lock().last().cloned().expect("a request");
    assert_eq!((last.len(), &last[0]["labels"]["to"]), (1, &"ill".into()));
    assert_eq!(last[0]["endsAt"], well.requests.lock()[1][0]["endsAt"]);
    assert!(world.metric("dropped_total") < 1.0);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_and_queues_are_bounded_and_the_oldest_go() {
    let peer = Peer::default();
    let url = peer.start().await;
    peer.status.store(500, Ordering::SeqCst);
    let world = World::start(ForwardLimits { queue_len_max: 5, batch_len_max: 2 });
    world.handle.forward_to(forwarding(vec![set(&[&url], unchanged())]));
    assert!((world.metric("queue_capacity") - 5.0).abs() < 0.5);
    world.fire(8);
    wait_for("a failed attempt", || !peer.requests.lock().is_empty()).await;
    wait_for("the overflow", || world.metric("dropped_total") >= 3.0).await;
    peer.status.store(200, Ordering::SeqCst);
    wait_for("the rest", || world.metric("queue_length") < 1.0 && peer.hosts().len() >= 5).await;
    let newest = ["\"003\"", "\"004\"", "\"005\"", "\"006\"", "\"007\""];
    assert_eq!(peer.hosts(), newest);
    assert!(peer.requests.lock().iter().all(|request| request.len() <= 2));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_final_and_a_reload_keeps_what_waits() {
    let peer = Peer::default();
    let url = peer.start().await;
    peer.status.store(400, Ordering::SeqCst);
    let world = World::start(ForwardLimits::default());
    world.handle.forward_to(forwarding(vec![set(&[&url], unchanged())]));
    world.fire(1);
    wait_for("the refusal", || (world.metric("dropped_total") - 1.0).abs() < 0.5).await;
    peer.status.store(503, Ordering::SeqCst);
    world.fire(2);
    wait_for("a failed attempt", || peer.requests.lock().len() >= 2).await;
    world.handle.forward_to(forwarding(vec![set(&[&url], unchanged())]));
    peer.status.store(200, Ordering::SeqCst);
    wait_for("what waited", || !peer.hosts().is_empty()).await;
    assert_eq!(peer.hosts().last().map(String::as_str), Some("\"001\""));
    // Nobody is left, and nobody is told.
    world.handle.forward_to(Forwarding::default());
    let count = peer.requests.lock().len();
    world.fire(3);
    wait_for("the alert", || world.handle.active_alerts().len() == 3).await;
    assert_eq!(peer.requests.lock().len(), count);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_is_sent_before_the_end() {
    let peer = Peer::default();
    let url = peer.start().await;
    peer.status.store(503, Ordering::SeqCst);
    let world = World::start(ForwardLimits::default());
    world.handle.forward_to(forwarding(vec![set(&[&url], unchanged())]));
    world.fire(1);
    wait_for("failed attempts", || peer.requests.lock().len() >= 3).await;
    peer.status.store(200, Ordering::SeqCst);
    let (requests, registry) = (peer.requests.clone(), world.registry.clone());
    world.stop().await;
    assert!(requests.lock().len() >= 4, "it was tried once more");
    let families = registry.gather();
    assert!(families.iter().any(|family| family.name() == "prometheus_notifications_sent_total"));
}
