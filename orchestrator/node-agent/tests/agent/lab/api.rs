//! The real API server over a store in memory, and a record of every state that objects went through.

use std::sync::Arc;

use axum::Router;
use futures::StreamExt;
use http::Method;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Event, Node, Pod};
use parking_lot::Mutex;
use serde_json::Value;
use swell_apiserver::User;
use swell_client::{Client, ClientError, ListParams, Object, RawRequest, WatchEvent};
use swell_env::{Clock, SystemClock};
use swell_lab::api_server;
use swell_store::EmbeddedStore;
use swell_telemetry::Registry;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Collections that are recorded.
pub(crate) const PODS: &str = "pods";
pub(crate) const NODES: &str = "nodes";
pub(crate) const EVENTS: &str = "events";
pub(crate) const LEASES: &str = "leases";

pub(crate) struct Api {
    router: Router,
    client: Client,
    record: Arc<Mutex<Vec<Change>>>,
    changed: watch::Receiver<usize>,
    shutdown: CancellationToken,
}

struct Change {
    collection: &'static str,
    deleted: bool,
    object: Value,
}

impl Drop for Api {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl Api {
    pub(crate) async fn start() -> Self {
        let store = EmbeddedStore::in_memory(swell_store::Config::default()).unwrap();
        let (shutdown, registry) = (CancellationToken::new(), Registry::new());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let server = api_server(store, &clock, &registry, &shutdown).await.unwrap();
        let router = server.in_process_router(User::internal("system:test"));
        let client = Client::in_process(router.clone());
        let (bump, changed) = watch::channel(0);
        let record = Arc::new(Mutex::new(Vec::new()));
        let recorder = |collection| Recorder {
            client: client.clone(),
            collection,
            record: Arc::clone(&record),
            bump: bump.clone(),
        };
        let stopped = shutdown.clone();
        let (pods, nodes) = (recorder(PODS).follow::<Pod>(), recorder(NODES).follow::<Node>());
        let (events, leases) =
            (recorder(EVENTS).follow::<Event>(), recorder(LEASES).follow::<Lease>());
        tokio::spawn(stopped.run_until_cancelled_owned(async move {
            tokio::join!(pods, nodes, events, leases);
        }));
        Self { router, client, record, changed, shutdown }
    }

    pub(crate) fn router(&self) -> Router {
        self.router.clone()
    }

    async fn send(&self, method: Method, path: &str, body: &Value) -> Value {
        let kind = if method == Method::PATCH {
            "application/merge-patch+json"
        } else {
            "application/json"
        };
        let body = Some((kind.to_owned(), body.to_string().into()));
        let request =
            RawRequest { method: method.clone(), path: path.to_owned(), accept: None, body };
        let answer = self.client.send(request).await.unwrap();
        let object: Value = serde_json::from_slice(&answer.body).unwrap();
        assert!(answer.status.is_success(), "{method} {path}: {object:#}");
        object
    }

    pub(crate) async fn create(&self, path: &str, object: Value) -> Value {
        self.send(Method::POST, path, &object).await
    }

    pub(crate) async fn patch(&self, path: &str, patch: Value) {
        self.send(Method::PATCH, path, &patch).await;
    }

    pub(crate) async fn delete(&self, path: &str, params: Value) {
        self.send(Method::DELETE, path, &params).await;
    }

    /// The object as last seen.
    pub(crate) fn get(&self, collection: &str, name: &str) -> Option<Value> {
        let record = self.record.lock();
        let last = record.iter().rfind(|change| change.is(collection, name))?;
        (!last.deleted).then(|| last.object.clone())
    }

    /// Every object of a collection as last seen.
    pub(crate) fn list(&self, collection: &str) -> Vec<Value> {
        let names: std::collections::BTreeSet<String> = self
            .record
            .lock()
            .iter()
            .filter(|change| change.collection == collection)
            .filter_map(|change| change.object["metadata"]["name"].as_str().map(str::to_owned))
            .collect();
        names.iter().filter_map(|name| self.get(collection, name)).collect()
    }

    /// Every state an object went through.
    pub(crate) fn history(&self, collection: &str, name: &str) -> Vec<Value> {
        let record = self.record.lock();
        let own = record.iter().filter(|change| change.is(collection, name));
        own.map(|change| change.object.clone()).collect()
    }

    pub(crate) fn changes(&self) -> watch::Receiver<usize> {
        self.changed.clone()
    }
}

impl Change {
    fn is(&self, collection: &str, name: &str) -> bool {
        self.collection == collection && self.object["metadata"]["name"] == name
    }
}

/// Records a collection until it is stopped.
struct Recorder {
    client: Client,
    collection: &'static str,
    record: Arc<Mutex<Vec<Change>>>,
    bump: watch::Sender<usize>,
}

impl Recorder {
    /// A list may be a moment ahead of what can be watched; nothing else may go wrong.
    fn expect_early(&self, error: &ClientError) {
        let early = matches!(error, ClientError::Gone { .. });
        assert!(early, "{}: {}", self.collection, swell_telemetry::chain(error));
    }

    async fn follow<K: Object>(self) {
        let everything = ListParams::default();
        let mut from = self.client.list::<K>(None, &everything).await.unwrap().resource_version;
        loop {
            let events = self.client.watch::<K>(None, &everything, &from).await;
            let mut events = match events {
                Ok(events) => events,
                Err(error) => {
                    self.expect_early(&error);
                    tokio::task::yield_now().await;
                    continue;
                }
            };
            while let Some(event) = events.next().await {
                let event = match event {
                    Ok(event) => event,
                    Err(error) => {
                        self.expect_early(&error);
                        break;
                    }
                };
                let (object, deleted) = match event {
                    WatchEvent::Added(object) | WatchEvent::Modified(object) => (object, false),
                    WatchEvent::Deleted(object) => (object, true),
                    WatchEvent::Bookmark { resource_version } => {
                        from = resource_version;
                        continue;
                    }
                };
                from = object.metadata().resource_version.clone().unwrap();
                let object = object.to_json().unwrap();
                let change = Change { collection: self.collection, deleted, object };
                self.record.lock().push(change);
                self.bump.send_modify(|count| *count += 1);
            }
            // The server ends watches now and then, and all of them when it goes.
            tokio::task::yield_now().await;
        }
    }
}
