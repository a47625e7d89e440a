//! A cluster in one process, for tests and measurements: the real API server over the real store, the real
//! controllers, and nodes that only pretend ([`FakeNode`]). Nothing that is shipped depends on it.

mod fake_node;
pub mod tools;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use prometheus::Registry;
use swell_apiserver::{ApiServer, ApiServerDeps, BuildError, ServiceRange, User};
use swell_client::Client;
use swell_controllers::{Caches, Controllers};
use swell_env::{Clock, SystemClock};
use swell_model::DurationMs;
use swell_store::{EmbeddedStore, OpenError};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use fake_node::FakeNode;

/// Longest that anything may take which [`eventually`] waits for; in practice it is milliseconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why there is no lab.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// No store.
    #[error("open the lab's object store")]
    Store(#[from] OpenError),
    /// No API server.
    #[error("build the lab's API server")]
    Server(#[from] BuildError),
    /// No controllers.
    #[error("register the metrics of the lab's controllers")]
    Metrics(#[from] prometheus::Error),
}

/// An API server that nobody needs a token for: requests come from inside.
///
/// # Errors
/// [`LabError::Server`].
pub async fn api_server(
    store: EmbeddedStore,
    clock: &Arc<dyn Clock>,
    registry: &Registry,
    shutdown: &CancellationToken,
) -> Result<ApiServer, LabError> {
    let config = swell_apiserver::Config {
        tokens: Vec::new(),
        agent_token: None,
        service_range: ServiceRange::LOOPBACK,
        event_lifetime: DurationMs::from_secs(3600),
    };
    let deps = ApiServerDeps {
        store: Arc::new(store),
        clock: Arc::clone(clock),
        registry,
        usage: None,
        shutdown: shutdown.clone(),
    };
    Ok(ApiServer::build(config, deps).await?)
}

/// A running cluster without nodes; it stops when it is dropped.
pub struct Lab {
    /// Acts as the controllers do.
    pub client: Client,
    /// What the controllers see.
    pub caches: Caches,
    /// The real time.
    pub clock: Arc<dyn Clock>,
    /// Metrics of all parts.
    pub registry: Registry,
    shutdown: CancellationToken,
    _stop: DropGuard,
}

impl std::fmt::Debug for Lab {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lab").finish_non_exhaustive()
    }
}

impl Lab {
    /// A cluster that forgets everything.
    ///
    /// # Errors
    /// [`LabError`].
    pub async fn in_memory() -> Result<Self, LabError> {
        Self::over(EmbeddedStore::in_memory(swell_store::Config::default())?).await
    }

    /// A cluster over a store.
    ///
    /// # Errors
    /// [`LabError`].
    pub async fn over(store: EmbeddedStore) -> Result<Self, LabError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let registry = Registry::new();
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone().drop_guard();
        let server = api_server(store, &clock, &registry, &shutdown).await?;
        let user = User::internal("system:kube-controller-manager");
        let client = Client::in_process(server.in_process_router(user));
        tokio::spawn(async move { server.run().await });
        let caches = Caches::start(&client, &shutdown);
        let controllers = Controllers::new(
            swell_controllers::Config::default(),
            client.clone(),
            caches.clone(),
            Arc::clone(&clock),
            &registry,
        )?;
        tokio::spawn(controllers.run(shutdown.clone()));
        Ok(Self { client, caches, clock, registry, shutdown, _stop: stop })
    }

    /// Ends with the lab.
    #[must_use]
    pub fn shutdown(&self) -> CancellationToken {
        self.shutdown.clone()
    }

    /// Adds a node whose pods are ready `start_time` after they were bound. It falls silent when the token is
    /// cancelled.
    ///
    /// # Panics
    /// In its own task, when the node cannot report.
    pub fn add_node(&self, name: &str, cpu_cores: u32, start_time: Duration) -> CancellationToken {
        let node = FakeNode {
            name: name.to_owned(),
            cpu_cores,
            start_time,
            client: self.client.clone(),
            clock: Arc::clone(&self.clock),
        };
        let token = self.shutdown.child_token();
        let stop = token.clone();
        tokio::spawn(async move { node.run(stop).await.expect("the node reports") });
        token
    }
}

/// Looks again and again until `condition` holds.
///
/// # Panics
/// When it does not in half a minute; says `what`.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
