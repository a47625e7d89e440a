//! HTTP and Docker sources against servers of this process: answers that count, and those that do not.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use swell_discovery::{
    Discovery, DiscoveryConfig, DiscoveryDeps, DiscoveryMetrics, DockerConfig, DockerHost,
    HttpConfig,
};
use swell_http_client::ClientOptions;
use swell_lab::eventually;
use swell_model::DurationMs;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Notify, watch};

/// What the server answers, and the headers of the last question.
type Shared = Arc<(watch::Sender<(StatusCode, &'static str, String)>, watch::Sender<HeaderMap>)>;

async fn answer(State(shared): State<Shared>, request: Request) -> Response {
    shared.1.send_replace(request.headers().clone());
    let (status, content_type, body) = shared.0.borrow().clone();
    (status, [("content-type", content_type)], body).into_response()
}

fn running(configs: &[DiscoveryConfig]) -> (Discovery, prometheus::Registry) {
    let registry = prometheus::Registry::new();
    let metrics = DiscoveryMetrics::register(&registry).expect("new");
    let deps = DiscoveryDeps { metrics, own_cluster: None };
    let mut discovery = Discovery::new("j", deps, Arc::new(Notify::new()));
    discovery.run(configs);
    (discovery, registry)
}

fn targets(discovery: &Discovery) -> Vec<String> {
    let told = discovery.groups();
    told.iter().flat_map(|groups| groups.iter()).flat_map(|it| it.targets.clone()).collect()
}

fn value(registry: &prometheus::Registry, name: &str) -> f64 {
    let families = registry.gather();
    let found = families.iter().find(|family| family.name() == name);
    found.map_or(0.0, |family| {
        let metric = &family.get_metric()[0];
        metric.get_counter().get_value() + metric.get_gauge().get_value()
    })
}

#[tokio::test]
async fn a_list_counts_only_when_the_server_says_it() {
    let json = "application/json";
    let list = |targets: &str| (StatusCode::OK, json, format!(r#"[{{"targets":[{targets}]}}]"#));
    let (content, asked) = (watch::Sender::new(list(r#""a:1""#)), watch::Sender::default());
    let shared: Shared = Arc::new((content, asked));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let addr = listener.local_addr().expect("bound");
    let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let config = HttpConfig {
        url: format!("http://{addr}/list").parse().expect("a URL"),
        refresh: DurationMs(20),
        client: ClientOptions::default(),
    };
    let (discovery, registry) = running(&[DiscoveryConfig::Http(Box::new(config))]);
    let becomes = async |expected: &[&str]| {
        eventually(&format!("{expected:?}"), || {
            let same = targets(&discovery) == expected;
            async move { same }
        })
        .await;
    };
    becomes(&["a:1"]).await;
    assert_eq!(shared.1.borrow()["x-prometheus-refresh-interval-seconds"], "0.02");
    assert_eq!(value(&registry, "prometheus_sd_discovered_targets").to_bits(), 1.0_f64.to_bits());
    // Each of these fails, and changes nothing.
    for odd in [
        (StatusCode::INTERNAL_SERVER_ERROR, json, "[]".to_owned()),
        (StatusCode::NO_CONTENT, json, String::new()),
        (StatusCode::OK, "text/html", "[]".to_owned()),
        (StatusCode::OK, json, "null".to_owned()),
    ] {
        let before = value(&registry, "prometheus_sd_http_failures_total");
        shared.0.send_replace(odd.clone());
        eventually("two failures", || {
            let failed = value(&registry, "prometheus_sd_http_failures_total") >= before + 2.0;
            async move { failed }
        })
        .await;
        assert_eq!(targets(&discovery), ["a:1"], "{odd:?}");
    }
    shared.0.send_replace(list(r#""a:1","b:2""#));
    becomes(&["a:1", "b:2"]).await;
    // An empty list that the server says counts.
    shared.0.send_replace((StatusCode::OK, json, "[]".to_owned()));
    becomes(&[]).await;
}

#[tokio::test]
async fn an_engine_is_asked_over_its_socket() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("docker.sock");
    let listener = UnixListener::bind(&path).expect("a socket");
    let asked = Arc::new(watch::Sender::new(String::new()));
    let kept = Arc::clone(&asked);
    let containers = r#"[{"Id":"c","Names":["/web"],"Ports":[{"PrivatePort":80,"Type":"tcp"}],
        "HostConfig":{"NetworkMode":"bridge"},
        "NetworkSettings":{"Networks":{"bridge":{"NetworkID":"n","IPAddress":"172.17.0.2"}}}}]"#;
    let networks = r#"[{"Id":"n","Name":"bridge","Scope":"local"}]"#;
    let router = Router::new().fallback(move |request: Request| {
        let kept = Arc::clone(&kept);
        async move {
            match request.uri().path() {
                "/containers/json" => {
                    kept.send_replace(request.uri().query().unwrap_or_default().to_owned());
                    containers
                }
                _ => networks,
            }
        }
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    let config = DockerConfig {
        host: DockerHost::Socket(path.clone()),
        port: 80,
        host_networking_host: "localhost".to_owned(),
        match_first_network: true,
        filters: BTreeMap::from([("label".to_owned(), vec!["scrape=yes".to_owned()])]),
        refresh: DurationMs(20),
        client: ClientOptions::default(),
    };
    let (discovery, registry) = running(&[DiscoveryConfig::Docker(Box::new(config))]);
    eventually("the container", || {
        let found = targets(&discovery) == ["172.17.0.2:80"];
        async move { found }
    })
    .await;
    assert_eq!(*asked.borrow(), "filters=%7B%22label%22%3A%5B%22scrape%3Dyes%22%5D%7D");
    assert!(value(&registry, "prometheus_sd_refresh_failures_total") < 1.0);
    // A job that goes leaves nothing of its own behind.
    let told = || {
        let families = registry.gather();
        let of_job = ["discovered_targets", "refresh_failures_total", "refresh_duration_seconds"];
        let of_job = of_job.map(|name| format!("prometheus_sd_{name}"));
        of_job.iter().filter(|name| families.iter().any(|it| it.name() == name.as_str())).count()
    };
    assert_eq!(told(), 3);
    drop(discovery);
    assert_eq!(told(), 0);
}
