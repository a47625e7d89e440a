//! `swell-client` against a real server: in process and over TLS.

mod harness;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use futures::StreamExt as _;
use harness::{Harness, deployment, pod};
use http::Request;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Event, Pod};
use serde_json::json;
use swell_client::{
    BackOff, Cache, Client, ClientConfig, ClientError, Credentials, DeleteParams, EventRecorder,
    EventType, ListParams, LogParams, ObjectKey, WatchEvent, WorkQueue,
};
use swell_env::{Clock as _, SystemClock};
use swell_http::pki::{Authority, ClientAuth, server_config};
use swell_http::{HttpMetrics, Server, bind};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

const DEADLINE: Duration = Duration::from_secs(10);
const NS: Option<&str> = Some("default");

fn typed<K: serde::de::DeserializeOwned>(value: serde_json::Value) -> K {
    serde_json::from_value(value).expect("an object")
}

fn new_pod(name: &str) -> Pod {
    let mut pod: Pod = typed(pod(name));
    pod.metadata.namespace = NS.map(str::to_owned);
    pod
}

/// Waits until `found` holds, looking whenever the cache changes.
async fn eventually<K>(cache: &Cache<K>, what: &str, found: impl Fn(&Cache<K>) -> bool)
where
    K: swell_client::Object,
{
    let mut changed = cache.changed();
    let wait = async {
        while !found(cache) {
            changed.changed().await.expect("the cache runs");
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

#[tokio::test]
async fn errors_are_told_apart() {
    let api = Harness::start().await;
    let client = Client::in_process(api.router.clone());
    let missing = client.get::<Pod>(NS, "p").await;
    assert!(matches!(missing, Err(ClientError::NotFound { .. })), "{missing:?}");
    let created = client.create(&new_pod("p")).await.expect("creates");
    let twice = client.create(&new_pod("p")).await;
    assert!(matches!(twice, Err(ClientError::AlreadyExists { .. })), "{twice:?}");
    let patch = json!({"metadata": {"labels": {"a": "b"}}});
    let patched = client.patch_merge::<Pod>(NS, "p", None, &patch).await.expect("patches");
    assert_ne!(patched.metadata.resource_version, created.metadata.resource_version);
    let stale = client.replace(&created).await;
    assert!(matches!(stale, Err(ClientError::Conflict { .. })), "{stale:?}");
    let mut invalid = patched.clone();
    invalid.metadata.labels.get_or_insert_default().insert("bad key".to_owned(), String::new());
    let refused = client.replace(&invalid).await;
    assert!(matches!(refused, Err(ClientError::Invalid { .. })), "{refused:?}");
    let mut running = patched;
    running.status.get_or_insert_default().phase = Some("Running".to_owned());
    let running = client.replace_status(&running).await.expect("writes the status");
    assert_eq!(running.status.and_then(|status| status.phase).as_deref(), Some("Running"));
    client.bind("default", "p", "n1").await.expect("binds");
    let twice = client.bind("default", "p", "n2").await;
    assert!(matches!(twice, Err(ClientError::Conflict { .. })), "{twice:?}");
    let another = DeleteParams { uid: Some("another".to_owned()), ..DeleteParams::default() };
    let refused = client.delete::<Pod>(NS, "p", &another).await;
    assert!(matches!(refused, Err(ClientError::Conflict { .. })), "{refused:?}");
    let now = DeleteParams { grace_period_s: Some(0), ..DeleteParams::default() };
    client.delete::<Pod>(NS, "p", &now).await.expect("deletes");
    let guest = api.server.in_process_router(swell_apiserver::User::new("guest", "guests"));
    let denied = Client::in_process(guest).get::<Pod>(NS, "p").await;
    assert!(matches!(denied, Err(ClientError::Denied { code: 403, .. })), "{denied:?}");
}

#[tokio::test]
async fn lists_watches_and_scales() {
    let api = Harness::start().await;
    let client = Client::in_process(api.router.clone());
    let mut web: Deployment = typed(deployment("web", 2));
    web.metadata.namespace = NS.map(str::to_owned);
    client.create(&web).await.expect("creates");
    let scaled = client.set_scale::<Deployment>("default", "web", 5).await.expect("scales");
    assert_eq!(scaled.spec.and_then(|spec| spec.replicas), Some(5));
    let scale = client.get_scale::<Deployment>("default", "web").await.expect("reads");
    assert_eq!(scale.status.and_then(|status| status.selector).as_deref(), Some("app=web"));

    for name in ["a", "b", "c"] {
        client.create(&new_pod(name)).await.expect("creates");
    }
    let list = client.list::<Pod>(NS, &ListParams::labels("run in (a,c)")).await.expect("lists");
    let names: Vec<_> = list.items.iter().filter_map(|pod| pod.metadata.name.as_deref()).collect();
    assert_eq!(names, ["a", "c"]);
    let all = ListParams::default();
    let mut events = client.watch::<Pod>(NS, &all, &list.resource_version).await.expect("watches");
    client.delete::<Pod>(NS, "a", &DeleteParams::default()).await.expect("deletes");
    let event = tokio::time::timeout(DEADLINE, events.next()).await.expect("in time");
    assert!(matches!(event, Some(Ok(WatchEvent::Deleted(_)))), "{event:?}");
    api.store.compact(api.store.revision()).await.expect("compacts");
    let mut old = client.watch::<Pod>(NS, &all, "1").await.expect("opens");
    let gone = tokio::time::timeout(DEADLINE, old.next()).await.expect("in time");
    assert!(matches!(gone, Some(Err(ClientError::Gone { .. }))), "{gone:?}");
}

/// A router whose watches end after one event, so that a cache has to resume.
fn short_watches(inner: Router) -> Router {
    Router::new().fallback(move |request: Request<Body>| {
        let inner = inner.clone();
        async move {
            let watches = request.uri().query().is_some_and(|query| query.contains("watch=true"));
            let response = inner.oneshot(request).await.expect("infallible");
            if !watches {
                return response;
            }
            response.map(|body| Body::from_stream(body.into_data_stream().take(1)))
        }
    })
}

#[tokio::test]
async fn a_cache_follows_resumes_and_lists_again_when_too_old() {
    let api = Harness::start().await;
    let client = Client::in_process(api.router.clone());
    client.create(&new_pod("first")).await.expect("creates");
    let shutdown = CancellationToken::new();
    let broken = Client::in_process(short_watches(api.router.clone()));
    let cache = Cache::<Pod>::start(broken, None, ListParams::default(), shutdown.clone());
    assert!(cache.synced().await);
    assert!(cache.get("default", "first").is_some());
    for round in 0..20 {
        let name = format!("p{round}");
        client.create(&new_pod(&name)).await.expect("creates");
        if round % 5 == 4 {
            api.store.compact(api.store.revision()).await.expect("compacts");
        }
    }
    eventually(&cache, "all pods seen", |cache| cache.list().len() == 21).await;
    client.delete::<Pod>(NS, "p3", &DeleteParams::default()).await.expect("deletes");
    eventually(&cache, "the deletion seen", |cache| {
        cache.get_key(&ObjectKey::new("default", "p3")).is_none()
    })
    .await;
    assert_eq!(cache.list_namespace("default").len(), 20);
    assert_eq!(cache.list_namespace("defaul").len(), 0);
    shutdown.cancel();
}

#[tokio::test]
async fn a_cache_outlives_the_end_of_all_watches() {
    let api = Harness::start().await;
    let client = Client::in_process(api.router.clone());
    let cache =
        Cache::<Pod>::start(client.clone(), None, ListParams::default(), CancellationToken::new());
    assert!(cache.synced().await);
    let mut changed = cache.changed();
    drop(cache);
    let ended = tokio::time::timeout(DEADLINE, async { while changed.changed().await.is_ok() {} });
    ended.await.expect("the last handle dropped ends the follower");
}

#[tokio::test]
async fn a_queue_fed_by_a_cache_sees_every_key() {
    let api = Harness::start().await;
    let client = Client::in_process(api.router.clone());
    let cache =
        Cache::<Pod>::start(client.clone(), None, ListParams::default(), CancellationToken::new());
    let queue = WorkQueue::new(BackOff::CONTROLLER);
    for name in ["a", "b"] {
        client.create(&new_pod(name)).await.expect("creates");
    }
    eventually(&cache, "both seen", |cache| cache.list().len() == 2).await;
    for pod in cache.list() {
        queue.add(ObjectKey::of(&*pod));
    }
    let mut seen = Vec::new();
    for _ in 0..2 {
        let item =
            tokio::time::timeout(DEADLINE, queue.next()).await.expect("in time").expect("open");
        seen.push(item.key().to_string());
        item.done();
    }
    assert_eq!(seen, ["default/a", "default/b"]);
}

#[tokio::test]
async fn repeated_events_are_counted() {
    let api = Harness::start().await;
    let client = Client::in_process(api.router.clone());
    let pod = client.create(&new_pod("p")).await.expect("creates");
    let shutdown = CancellationToken::new();
    let clock = Arc::new(SystemClock::new());
    let recorder =
        EventRecorder::start(client.clone(), clock, "test-controller", None, shutdown.clone());
    for _ in 0..3 {
        recorder.record(&pod, EventType::Warning, "BackOff", "restarting failed container");
    }
    recorder.record(&pod, EventType::Normal, "Started", "started");
    let cache = Cache::<Event>::start(client, NS, ListParams::default(), shutdown.clone());
    eventually(&cache, "two events, one of them thrice", |cache| {
        let mut counts: Vec<_> = cache.list().iter().filter_map(|event| event.count).collect();
        counts.sort_unstable();
        counts == [1, 3]
    })
    .await;
    let events = cache.list();
    let warning = events.iter().find(|event| event.type_.as_deref() == Some("Warning"));
    let warning = warning.expect("there");
    assert_eq!(warning.involved_object.uid, pod.metadata.uid);
    assert_eq!(
        warning.source.as_ref().and_then(|source| source.component.as_deref()),
        Some("test-controller")
    );
    shutdown.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_tokens_and_certificates_are_shown_and_authorities_checked() {
    let api = Harness::start().await;
    let now = SystemClock::new().now();
    let authority = Authority::in_memory(now).expect("an authority");
    let identity = authority.issue_server("swell", &["127.0.0.1"], now).expect("a certificate");
    let tls = server_config(&identity, authority.certificate_pem(), ClientAuth::Optional);
    let listener = bind(([127, 0, 0, 1], 0).into(), "--listen-kube").await.expect("a free port");
    let metrics = HttpMetrics::register(&api.registry).expect("registers once");
    let server =
        Server::new("kube", listener, api.server.router(), &metrics).tls(tls.expect("TLS"));
    let base_url = format!("https://{}", server.local_addr().expect("bound"));
    tokio::spawn(server.run(api.shutdown.clone()));
    let ca_pem = authority.certificate_pem().to_owned();
    let config = |credentials| ClientConfig {
        base_url: base_url.clone(),
        ca_pem: ca_pem.clone(),
        credentials,
    };
    let admin = authority.issue_client("admin", "system:masters", now).expect("a certificate");
    let certificate = Credentials::Certificate {
        cert_pem: admin.certificate_pem().to_owned(),
        key_pem: admin.key_pem().to_owned(),
    };
    for credentials in [certificate, Credentials::Bearer(harness::TOKEN.to_owned())] {
        let client = Client::https(&config(credentials)).expect("builds");
        client.list::<Pod>(NS, &ListParams::default()).await.expect("lists");
        let cache = Cache::<Pod>::start(
            client.clone(),
            NS,
            ListParams::default(),
            CancellationToken::new(),
        );
        assert!(cache.synced().await);
        client.create(&new_pod("p")).await.expect("creates");
        eventually(&cache, "the pod seen over TLS", |cache| cache.list().len() == 1).await;
        client.delete::<Pod>(NS, "p", &DeleteParams::default()).await.expect("deletes");
    }
    let anonymous = Client::https(&config(Credentials::Anonymous)).expect("builds");
    let denied = anonymous.list::<Pod>(NS, &ListParams::default()).await;
    assert!(matches!(denied, Err(ClientError::Denied { code: 401, .. })), "{denied:?}");
    let other = Authority::in_memory(now).expect("another authority");
    let config = ClientConfig {
        ca_pem: other.certificate_pem().to_owned(),
        ..config(Credentials::Anonymous)
    };
    let distrusts = Client::https(&config).expect("builds");
    let refused = distrusts.list::<Pod>(NS, &ListParams::default()).await;
    assert!(matches!(refused, Err(ClientError::Transport { .. })), "{refused:?}");
    let log = anonymous.logs("default", "p", &LogParams::default()).await;
    assert!(log.is_err());
    for base_url in ["http://127.0.0.1:1", "127.0.0.1:1", "https://127.0.0.1:1/path", ""] {
        let config = ClientConfig { base_url: base_url.to_owned(), ..config.clone() };
        assert!(Client::https(&config).is_err(), "{base_url}");
    }
}
