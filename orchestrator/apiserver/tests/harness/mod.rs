//! A server in memory, and requests to it.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use prometheus::Registry;
use serde_json::{Value, json};
use swell_apiserver::{
    ADMIN_GROUP, ApiServer, ApiServerDeps, Config, ServiceRange, TokenUser, User,
};
use swell_env::{Clock, SystemClock};
use swell_http::SecretToken;
use swell_model::DurationMs;
use swell_store::{Config as StoreConfig, EmbeddedStore, Store};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// The administrator's token.
pub(crate) const TOKEN: &str = "admin-token-of-the-test";

/// A server with its upkeep running.
pub(crate) struct Harness {
    pub(crate) server: ApiServer,
    pub(crate) router: Router,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) registry: Registry,
    pub(crate) shutdown: CancellationToken,
}

impl Drop for Harness {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl Harness {
    pub(crate) async fn start() -> Self {
        Self::with_agent_token(None).await
    }

    pub(crate) async fn with_agent_token(agent_token: Option<String>) -> Self {
        let store = EmbeddedStore::in_memory(StoreConfig::default()).expect("memory");
        Self::over(Arc::new(store), Arc::new(SystemClock::new()), agent_token).await
    }

    pub(crate) async fn over(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        agent_token: Option<String>,
    ) -> Self {
        let shutdown = CancellationToken::new();
        let registry = Registry::new();
        let token = SecretToken::new(TOKEN).expect("randomness");
        let config = Config {
            tokens: vec![TokenUser { token, user: User::new("admin", ADMIN_GROUP) }],
            agent_token,
            service_range: ServiceRange::LOOPBACK,
            event_lifetime: DurationMs::from_secs(3600),
        };
        let deps = ApiServerDeps {
            store: Arc::clone(&store),
            clock,
            registry: &registry,
            usage: None,
            shutdown: shutdown.clone(),
        };
        let server = ApiServer::build(config, deps).await.expect("builds");
        let upkeep = server.clone();
        tokio::spawn(async move { upkeep.run().await });
        let router = server.in_process_router(User::internal("test"));
        Self { server, router, store, registry, shutdown }
    }

    /// Sends a request and returns status and JSON (null when the body is none).
    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        self.call_as(method, path, "application/json", "application/json", body).await
    }

    pub(crate) async fn call_as(
        &self,
        method: &str,
        path: &str,
        accept: &str,
        content_type: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("accept", accept)
            .header("content-type", content_type)
            .body(body)
            .expect("a request");
        let answer = self.router.clone().oneshot(request).await.expect("infallible");
        let status = answer.status();
        let bytes = answer.into_body().collect().await.expect("readable").to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    /// Sends a request that must succeed.
    pub(crate) async fn must(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let (status, answer) = self.call(method, path, body).await;
        assert!(status.is_success(), "{method} {path}: {status} {answer}");
        answer
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.must("GET", path, None).await
    }

    /// Waits until a GET answers with this status.
    pub(crate) async fn wait_for(&self, path: &str, wanted: StatusCode) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        loop {
            let (status, answer) = self.call("GET", path, None).await;
            if status == wanted {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "{path}: still {status} {answer}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// A deployment of the process runtime.
pub(crate) fn deployment(name: &str, replicas: i64) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"runtimeClassName": "process", "containers": [
                    {"name": "main", "image": "host", "command": ["sleep", "60"], "resources": {"requests": {"cpu": "100m"}}}
                ]}
            }
        }
    })
}

/// A pod of its own.
pub(crate) fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"run": name}},
        "spec": {"containers": [{"name": "main", "image": "host", "command": ["sleep", "60"]}]}
    })
}

pub(crate) const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
pub(crate) const PODS: &str = "/api/v1/namespaces/default/pods";
