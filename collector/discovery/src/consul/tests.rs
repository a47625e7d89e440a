//! Against a pretended agent that answers blocking queries as the protocol has them.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, Request, State};
use axum::response::{IntoResponse as _, Response};
use parking_lot::Mutex;
use serde_json::{Value, json};
use swell_http_client::{ClientOptions, Secret};
use swell_model::DurationMs;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::config::DiscoveryConfig;
use crate::discovery::{Discovery, DiscoveryDeps};

use super::*;

/// A condition that does not hold after so long will not.
const PATIENCE: Duration = Duration::from_secs(20);

/// Services with their instances, at an index.
#[derive(Clone, Debug)]
struct Registered {
    index: u64,
    services: Vec<(&'static str, Vec<u16>)>,
    failing: bool,
    /// This service cannot be asked for.
    failing_service: &'static str,
}

#[derive(Clone)]
struct Agent {
    catalogue: Arc<watch::Sender<Registered>>,
    asked: Arc<Mutex<Vec<String>>>,
}

fn entry(name: &str, port: u16) -> Value {
    json!({"Node": {"Node": "n", "Address": "10.0.0.1", "Datacenter": "dc1"},
           "Service": {"ID": format!("{name}-{port}"), "Service": name, "Port": port, "Tags": ["t"]},
           "Checks": []})
}

async fn answer(
    State(agent): State<Agent>,
    Query(query): Query<Vec<(String, String)>>,
    request: Request,
) -> Response {
    let token = request.headers().get("x-consul-token").and_then(|it| it.to_str().ok());
    let told = format!("{} {}", request.uri(), token.unwrap_or_default());
    agent.asked.lock().push(told);
    let path = request.uri().path().to_owned();
    let mut follow = agent.catalogue.subscribe();
    let asked = query.iter().find(|(name, _)| name == "index");
    let asked: u64 = asked.and_then(|(_, index)| index.parse().ok()).unwrap_or(0);
    // A question with an index waits until the state is newer.
    let now = follow.wait_for(|now| now.index > asked || now.failing).await.expect("it lives");
    let now = now.clone();
    let service = path.strip_prefix("/v1/health/service/");
    if now.failing || service == Some(now.failing_service) {
        return (axum::http::StatusCode::INTERNAL_SERVER_ERROR, "No cluster leader")
            .into_response();
    }
    let body = match service {
        Some(name) => {
            let found = now.services.iter().find(|(service, _)| *service == name);
            let ports = found.map(|(_, ports)| ports.as_slice()).unwrap_or_default();
            json!(ports.iter().map(|port| entry(name, *port)).collect::<Vec<_>>())
        }
        None if path == "/v1/catalog/services" => {
            let named = now.services.iter().map(|(name, _)| (name.to_string(), json!(["t"])));
            Value::Object(named.collect())
        }
        None => json!({"Config": {"Datacenter": "dc1"}}),
    };
    ([("x-consul-index", now.index.to_string())], body.to_string()).into_response()
}

async fn agent(services: Vec<(&'static str, Vec<u16>)>) -> (Agent, Url) {
    let catalogue = Registered { index: 7, services, failing: false, failing_service: "" };
    let agent = Agent {
        catalogue: Arc::new(watch::Sender::new(catalogue)),
        asked: Arc::new(Mutex::new(Vec::new())),
    };
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let addr = listener.local_addr().expect("bound");
    let router = Router::new().fallback(answer).with_state(agent.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (agent, format!("http://{addr}").parse().expect("a URL"))
}

impl Agent {
    fn becomes(&self, change: impl FnOnce(&mut Registered)) {
        self.catalogue.send_modify(|catalogue| {
            catalogue.index += 1;
            change(catalogue);
        });
    }
}

fn config(url: Url) -> ConsulConfig {
    ConsulConfig {
        url,
        token: Some(Secret::Text("abc".to_owned())),
        datacenter: None,
        namespace: None,
        partition: None,
        tag_separator: ",".to_owned(),
        services: Vec::new(),
        tags: Vec::new(),
        node_meta: BTreeMap::from([("rack".to_owned(), "7".to_owned())]),
        filter: None,
        health_filter: None,
        allow_stale: true,
        refresh: DurationMs(10),
        client: ClientOptions::default(),
    }
}

fn targets(discovery: &Discovery) -> Vec<String> {
    let told = discovery.groups();
    told.iter().flat_map(|groups| groups.iter()).flat_map(|group| group.targets.clone()).collect()
}

async fn until(discovery: &Discovery, expected: &[&str]) {
    let wait = async {
        while targets(discovery) != expected {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    if tokio::time::timeout(PATIENCE, wait).await.is_err() {
        panic!("wanted {expected:?}, have {:?}", targets(discovery));
    }
}

#[tokio::test]
async fn services_are_followed() {
    let (agent, url) = agent(vec![("web", vec![80]), ("db", vec![5432])]).await;
    let registry = prometheus::Registry::new();
    let metrics = DiscoveryMetrics::register(&registry).expect("new");
    let deps = DiscoveryDeps { metrics, own_cluster: None };
    let changed = Arc::new(tokio::sync::Notify::new());
    let mut discovery = Discovery::new("j", deps, changed);
    discovery.run(&[DiscoveryConfig::Consul(Box::new(config(url)))]);
    until(&discovery, &["10.0.0.1:5432", "10.0.0.1:80"]).await;
    agent.becomes(|now| now.services[0].1.push(81));
    until(&discovery, &["10.0.0.1:5432", "10.0.0.1:80", "10.0.0.1:81"]).await;
    agent.becomes(|now| now.services.truncate(1));
    until(&discovery, &["10.0.0.1:80", "10.0.0.1:81"]).await;
    // A cluster without a leader says nothing: what it told stays.
    agent.becomes(|now| now.failing = true);
    let failures = || {
        let families = registry.gather();
        let found =
            families.iter().find(|it| it.name() == "prometheus_sd_consul_rpc_failures_total");
        found.expect("registered").get_metric()[0].get_counter().get_value()
    };
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while failures() < 2.0 {
        assert!(tokio::time::Instant::now() < deadline, "it is asked");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(targets(&discovery), ["10.0.0.1:80", "10.0.0.1:81"]);
    let asked = agent.asked.lock().clone();
    let has = |part: &str| asked.iter().any(|it| it.contains(part) && it.ends_with(" abc"));
    assert!(has("/v1/agent/self"), "{asked:?}");
    assert!(has("/v1/catalog/services?wait=120000ms&stale=&node-meta=rack%3A7"), "{asked:?}");
    assert!(has("/v1/health/service/web?wait=120000ms&index=7&stale="), "{asked:?}");
    // Another source of the same kind, at an address where nobody listens, begins with what this one told.
    let nobody = "http://127.0.0.1:1".parse().expect("a URL");
    discovery.run(&[DiscoveryConfig::Consul(Box::new(config(nobody)))]);
    assert_eq!(targets(&discovery).len(), 2);
    discovery.run(&[]);
    assert!(targets(&discovery).is_empty());
}

#[tokio::test]
async fn a_source_that_starts_anew_keeps_what_was_told_of_services_that_fail() {
    let (agent, url) = agent(vec![("web", vec![80]), ("db", vec![5432])]).await;
    let metrics = DiscoveryMetrics::register(&prometheus::Registry::new()).expect("new");
    let deps = DiscoveryDeps { metrics, own_cluster: None };
    let mut discovery = Discovery::new("j", deps, Arc::new(tokio::sync::Notify::new()));
    discovery.run(&[DiscoveryConfig::Consul(Box::new(config(url.clone())))]);
    until(&discovery, &["10.0.0.1:5432", "10.0.0.1:80"]).await;
    agent.becomes(|now| {
        now.failing_service = "db";
        now.services[0].1.push(81);
    });
    let other = ConsulConfig { tag_separator: ";".to_owned(), ..config(url) };
    discovery.run(&[DiscoveryConfig::Consul(Box::new(other))]);
    until(&discovery, &["10.0.0.1:5432", "10.0.0.1:80", "10.0.0.1:81"]).await;
    agent.becomes(|now| {
        now.failing_service = "";
        now.services.truncate(1);
    });
    until(&discovery, &["10.0.0.1:80", "10.0.0.1:81"]).await;
}
