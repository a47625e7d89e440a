//! A server: its configuration, what it is given, and its two doors.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::Request;
use prometheus::Registry;
use serde_json::json;
use swell_api_types::by_plural;
use swell_env::Clock;
use swell_model::DurationMs;
use swell_store::{ListOptions, Store};
use tokio_util::sync::CancellationToken;

use crate::addresses::{ServiceAddresses, ServiceRange};
use crate::agent_logs::AgentLogs;
use crate::auth::{TokenUser, User};
use crate::create::create;
use crate::delete::SYSTEM_NAMESPACES;
use crate::failure::Failure;
use crate::lifecycle;
use crate::metrics::Metrics;
use crate::object::{decode, prefix};
use crate::query::{FieldValidation, WriteOptions};
use crate::route::Target;
use crate::serve::serve;
use crate::shared::Shared;
use crate::usage::UsageSource;

/// How a server behaves.
#[derive(Debug)]
pub struct Config {
    /// Bearer tokens that are taken.
    pub tokens: Vec<TokenUser>,
    /// What node agents demand of those who read logs from them.
    pub agent_token: Option<String>,
    /// Where services get their addresses from.
    pub service_range: ServiceRange,
    /// Events are removed this long after they happened last.
    pub event_lifetime: DurationMs,
}

/// What a server is given.
pub struct ApiServerDeps<'r> {
    /// Where objects are kept.
    pub store: Arc<dyn Store>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Takes the server's own metrics.
    pub registry: &'r Registry,
    /// Measures pods and nodes for `kubectl top`, if anybody does.
    pub usage: Option<Arc<dyn UsageSource>>,
    /// Ends watches and upkeep.
    pub shutdown: CancellationToken,
}

impl std::fmt::Debug for ApiServerDeps<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiServerDeps").finish_non_exhaustive()
    }
}

/// Why a server cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Its metrics are registered already.
    #[error("register the metrics of the API server")]
    Metrics(#[from] prometheus::Error),
    /// The agents' token cannot be sent in a header.
    #[error("the agents' token holds characters that a header may not")]
    AgentToken(#[from] http::header::InvalidHeaderValue),
    /// The store cannot be read or written.
    #[error("prepare the object store: {message}")]
    Store {
        /// What it said.
        message: String,
    },
}

impl From<Failure> for BuildError {
    fn from(failure: Failure) -> Self {
        Self::Store { message: failure.message }
    }
}

/// A Kubernetes-style API server. Cheap to clone; clones are the same server.
#[derive(Clone)]
pub struct ApiServer {
    shared: Arc<Shared>,
    event_lifetime: DurationMs,
}

impl std::fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiServer").finish_non_exhaustive()
    }
}

impl ApiServer {
    /// Prepares a server: makes the namespaces that must be there and reads which addresses are taken.
    ///
    /// # Errors
    /// [`BuildError`].
    pub async fn build(config: Config, deps: ApiServerDeps<'_>) -> Result<Self, BuildError> {
        let shared = Arc::new(Shared {
            store: deps.store,
            clock: deps.clock,
            tokens: config.tokens,
            addresses: ServiceAddresses::new(config.service_range),
            usage: deps.usage,
            agent_logs: AgentLogs::new(config.agent_token.as_deref())?,
            metrics: Metrics::register(deps.registry)?,
            shutdown: deps.shutdown,
        });
        make_namespaces(&shared).await?;
        note_addresses(&shared).await?;
        Ok(Self { shared, event_lifetime: config.event_lifetime })
    }

    /// For listeners: who asks is told by token or certificate.
    pub fn router(&self) -> Router {
        self.routes(None)
    }

    /// For parts of this process: all requests are `user`'s.
    pub fn in_process_router(&self, user: User) -> Router {
        self.routes(Some(user))
    }

    fn routes(&self, trusted: Option<User>) -> Router {
        let shared = Arc::clone(&self.shared);
        Router::new().fallback(move |request: Request<Body>| {
            serve(Arc::clone(&shared), trusted.clone(), request)
        })
    }

    /// Keeps order until the token of [`ApiServerDeps`] is cancelled: deletes what has lost its owners,
    /// finishes deletions that wait for dependents, empties namespaces, removes old events.
    pub async fn run(&self) {
        lifecycle::run(Arc::clone(&self.shared), self.event_lifetime).await;
    }
}

const QUIET: WriteOptions = WriteOptions {
    dry_run: false,
    validation: FieldValidation::Ignore,
    manager: None,
    force: false,
};

async fn make_namespaces(shared: &Shared) -> Result<(), Failure> {
    let resource = by_plural("", "v1", "namespaces").ok_or_else(Failure::no_such_path)?;
    let target = Target { resource, namespace: None, name: None, subresource: None };
    for name in SYSTEM_NAMESPACES {
        let namespace = json!({"metadata": {"name": name}});
        match create(shared, &target, namespace, &QUIET).await {
            Err(failure) if failure.reason != "AlreadyExists" => return Err(failure),
            _ => {}
        }
    }
    Ok(())
}

async fn note_addresses(shared: &Shared) -> Result<(), Failure> {
    let resource = by_plural("", "v1", "services").ok_or_else(Failure::no_such_path)?;
    let page = shared.store.list(&prefix(resource, None), ListOptions::default()).await?;
    for entry in &page.entries {
        shared.addresses.note(&decode(entry)?);
    }
    Ok(())
}
