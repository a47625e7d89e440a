//! The agent: registers the node, and gives each of its pods a worker.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use parking_lot::Mutex;
use swell_client::{Cache, Client, EventRecorder, ListParams};
use swell_env::Clock;
use swell_http::{BindError, HttpMetrics, NoRandomness, SecretToken, Server};
use swell_runtime::{ContainerEvent, ContainerRuntime};
use swell_telemetry::Registry;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, broadcast, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::context::Context;
use crate::inventory::{ContainerEntry, Inventory};
use crate::logs::{LogService, router};
use crate::metrics::Metrics;
use crate::net::AddressPool;
use crate::node::Registrar;
use crate::pod::spec::Offer;
use crate::pod::{Assignment, PodWorker, remove_pod};

/// How long pods may take to end when the agent takes them along.
const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(15);
/// Pause before an unknown pod that could not be removed is tried again.
const FENCE_RETRY: Duration = Duration::from_secs(1);

/// What the agent works with.
pub struct Dependencies {
    /// The API server.
    pub client: Client,
    /// What runs containers.
    pub runtime: Arc<dyn ContainerRuntime>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// For the agent's own metrics.
    pub registry: Registry,
    /// Metrics of HTTP listeners, shared by all of the process.
    pub http_metrics: HttpMetrics,
}

impl std::fmt::Debug for Dependencies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dependencies").field("runtime", &self.runtime).finish_non_exhaustive()
    }
}

/// Why an agent could not be made or could not run.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The metrics are registered already: one agent for each registry.
    #[error("register the node agent's metrics")]
    Metrics(#[from] prometheus::Error),
    /// The log endpoint cannot listen.
    #[error("log endpoint of the node agent")]
    Listen(#[source] BindError),
    /// The log endpoint cannot tell where it listens.
    #[error("address of the node agent's log endpoint")]
    Address(#[source] std::io::Error),
    /// No randomness for the token.
    #[error("take in the node agent's token")]
    Token(#[source] NoRandomness),
}

/// One node's agent. Cheap to share: everything takes `&self`.
pub struct NodeAgent {
    config: Config,
    client: Client,
    runtime: Arc<dyn ContainerRuntime>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    http_metrics: HttpMetrics,
    inventory: Inventory,
}

impl std::fmt::Debug for NodeAgent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeAgent").field("config", &self.config).finish_non_exhaustive()
    }
}

impl NodeAgent {
    /// An agent that does nothing yet.
    ///
    /// # Errors
    /// [`AgentError::Metrics`].
    pub fn new(config: Config, dependencies: Dependencies) -> Result<Self, AgentError> {
        let Dependencies { client, runtime, clock, registry, http_metrics } = dependencies;
        let metrics = Metrics::register(&registry)?;
        let inventory = Inventory::default();
        inventory.renew(runtime.as_ref());
        Ok(Self { config, client, runtime, clock, metrics, http_metrics, inventory })
    }

    /// The containers that run now: one atomic load.
    #[must_use]
    pub fn inventory(&self) -> Arc<Vec<ContainerEntry>> {
        self.inventory.load()
    }

    /// The same for those who do not keep the agent: it stays current while the agent runs.
    #[must_use]
    pub fn inventory_handle(&self) -> Inventory {
        self.inventory.clone()
    }

    /// Runs until told to shut down. Pods stay, unless the configuration says otherwise.
    ///
    /// # Errors
    /// [`AgentError`] when the log endpoint cannot be opened; everything later is tried again.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), AgentError> {
        let listener = swell_http::bind(self.config.logs_listen, "swell.agent.logs_listen")
            .await
            .map_err(AgentError::Listen)?;
        let logs_at = listener.local_addr().map_err(AgentError::Address)?;
        let token = SecretToken::new(&self.config.logs_token).map_err(AgentError::Token)?;
        let name = self.config.node_name.clone();
        // Events outlive the shutdown signal for as long as pods are being stopped.
        let recording = CancellationToken::new();
        let _stop_recording = recording.clone().drop_guard();
        let recorder = EventRecorder::start(
            self.client.clone(),
            Arc::clone(&self.clock),
            "kubelet",
            Some(&name),
            recording.clone(),
        );
        let context = Arc::new(Context {
            config: self.config.clone(),
            client: self.client.clone(),
            runtime: Arc::clone(&self.runtime),
            clock: Arc::clone(&self.clock),
            recorder,
            metrics: self.metrics.clone(),
            offer: Offer {
                runtime_class: self.config.runtime_class.clone(),
                host_image_only: self.runtime.version().host_image_only,
            },
            addresses: Mutex::new(None),
            addresses_changed: watch::Sender::new(0),
        });
        let service = LogService {
            context: Arc::clone(&context),
            token: Arc::new(token),
            shutdown: shutdown.clone(),
        };
        let server = Server::new("agent-logs", listener, router(service), &self.http_metrics);
        let mut tasks = JoinSet::new();
        tasks.spawn(server.run(shutdown.clone()));

        let own_node = ListParams::fields(format!("metadata.name={name}"));
        let nodes = Cache::start(self.client.clone(), None, own_node, recording.clone());
        let mut registrar = Registrar::new(Arc::clone(&context), logs_at, nodes.clone());
        if registrar.register(&shutdown).await {
            tasks.spawn(registrar.run(shutdown.clone()));
            let pods = Pods::new(context, self.inventory.clone(), nodes, recording);
            pods.run(shutdown).await;
        }
        while tasks.join_next().await.is_some() {}
        Ok(())
    }
}

struct Worker {
    assignment: watch::Sender<Assignment>,
    runtime_changed: Arc<Notify>,
    pod: Option<Arc<Pod>>,
}

/// The pods of the node and their workers.
struct Pods {
    context: Arc<Context>,
    inventory: Inventory,
    nodes: Cache<Node>,
    cache: Cache<Pod>,
    workers: BTreeMap<String, Worker>,
    running: JoinSet<String>,
    /// Pods that are done with and that the cache may still show for a moment.
    done: BTreeSet<String>,
}

impl Pods {
    fn new(
        context: Arc<Context>,
        inventory: Inventory,
        nodes: Cache<Node>,
        following: CancellationToken,
    ) -> Self {
        let bound = ListParams::fields(format!("spec.nodeName={}", context.config.node_name));
        Self {
            nodes,
            cache: Cache::start(context.client.clone(), None, bound, following),
            inventory,
            workers: BTreeMap::new(),
            running: JoinSet::new(),
            done: BTreeSet::new(),
            context,
        }
    }

    async fn run(mut self, shutdown: CancellationToken) {
        let mut events = self.context.runtime.events();
        let (mut nodes_changed, mut pods_changed) = (self.nodes.changed(), self.cache.changed());
        tokio::select! {
            () = shutdown.cancelled() => return,
            synced = self.cache.synced() => if !synced { return },
        }
        self.learn_addresses();
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = self.fence() => {}
        }
        pods_changed.mark_unchanged();
        self.assign();
        self.inventory.renew(self.context.runtime.as_ref());
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                Ok(()) = nodes_changed.changed() => self.learn_addresses(),
                Ok(()) = pods_changed.changed() => self.assign(),
                Some(ended) = self.running.join_next() => {
                    let uid = ended.expect("workers do not panic and are not cancelled");
                    self.workers.remove(&uid);
                    self.done.insert(uid);
                    self.assign();
                }
                event = events.recv() => self.runtime_changed(event, &mut events),
            }
        }
        if self.context.config.stop_pods_on_shutdown {
            self.stop_all().await;
        }
    }

    /// The node's range and the addresses of pods that were there before.
    fn learn_addresses(&self) {
        let node = self.nodes.get("", &self.context.config.node_name);
        let spec = node.and_then(|node| node.spec.clone());
        let Some(cidr) = spec.and_then(|spec| spec.pod_cidr).filter(|cidr| !cidr.is_empty()) else {
            return;
        };
        let mut pool = self.context.addresses.lock();
        let fresh = match pool.as_ref() {
            Some(pool) if pool.cidr() == cidr => return,
            Some(pool) => pool.moved_to(&cidr),
            None => AddressPool::new(&cidr),
        };
        match fresh {
            Ok(mut fresh) => {
                for sandbox in self.context.runtime.sandboxes() {
                    if let Some(address) = sandbox.config.address {
                        fresh.reserve(address, &sandbox.config.pod.uid);
                    }
                }
                *pool = Some(fresh);
                self.context.addresses_changed.send_modify(|count| *count += 1);
            }
            Err(error) => tracing::error!(%error, "pods get no address"),
        }
    }

    /// Removes what runs here and belongs to no pod of this node, before anything else is started.
    async fn fence(&self) {
        let known: BTreeSet<String> =
            self.cache.list().iter().filter_map(|pod| pod.metadata.uid.clone()).collect();
        for sandbox in self.context.runtime.sandboxes() {
            let pod = &sandbox.config.pod;
            if known.contains(&pod.uid) {
                continue;
            }
            tracing::warn!(%pod, uid = %pod.uid, "removing a pod that is not this node's any more");
            while let Err(error) = remove_pod(&self.context, pod).await {
                let error = swell_telemetry::chain(&error);
                tracing::error!(%pod, %error, "it could not be removed");
                tokio::time::sleep(FENCE_RETRY).await;
            }
        }
    }

    /// Gives every pod a worker, and every worker its pod as it is now.
    fn assign(&mut self) {
        let pods: BTreeMap<String, Arc<Pod>> = self
            .cache
            .list()
            .into_iter()
            .filter_map(|pod| Some((pod.metadata.uid.clone()?, pod)))
            .collect();
        self.done.retain(|uid| pods.contains_key(uid));
        for (uid, worker) in &mut self.workers {
            match pods.get(uid) {
                Some(pod) => {
                    let known = worker.pod.as_ref().is_some_and(|known| Arc::ptr_eq(known, pod));
                    if !known {
                        worker.pod = Some(Arc::clone(pod));
                        worker.assignment.send_replace(Assignment::Pod(Arc::clone(pod)));
                    }
                }
                None if worker.pod.take().is_some() => {
                    worker.assignment.send_replace(Assignment::Gone);
                }
                None => {}
            }
        }
        for (uid, pod) in pods {
            if !self.workers.contains_key(&uid) && !self.done.contains(&uid) {
                self.start_worker(uid, pod);
            }
        }
        self.context.metrics.pods.set(i64::try_from(self.workers.len()).unwrap_or(i64::MAX));
    }

    fn start_worker(&mut self, uid: String, pod: Arc<Pod>) {
        let (assignment, assigned) = watch::channel(Assignment::Pod(Arc::clone(&pod)));
        let runtime_changed = Arc::new(Notify::new());
        let worker = PodWorker::new(
            Arc::clone(&self.context),
            Arc::clone(&pod),
            assigned,
            Arc::clone(&runtime_changed),
        );
        self.running.spawn(worker.run());
        self.workers.insert(uid, Worker { assignment, runtime_changed, pod: Some(pod) });
    }

    /// Wakes the workers that events speak of, then renews the inventory once for all that came together.
    fn runtime_changed(
        &self,
        first: Result<ContainerEvent, RecvError>,
        events: &mut broadcast::Receiver<ContainerEvent>,
    ) {
        let mut next = first;
        loop {
            match next {
                Ok(event) => {
                    if let Some(worker) = self.workers.get(&event.pod_uid) {
                        worker.runtime_changed.notify_one();
                    }
                }
                Err(_) => {
                    self.workers.values().for_each(|worker| worker.runtime_changed.notify_one());
                }
            }
            match events.try_recv() {
                Ok(event) => next = Ok(event),
                Err(broadcast::error::TryRecvError::Lagged(count)) => {
                    next = Err(RecvError::Lagged(count));
                }
                Err(_) => break,
            }
        }
        self.inventory.renew(self.context.runtime.as_ref());
    }

    async fn stop_all(mut self) {
        for worker in self.workers.values() {
            worker.assignment.send_replace(Assignment::Shutdown);
        }
        let mut events = self.context.runtime.events();
        let ended = async {
            while !self.running.is_empty() {
                tokio::select! {
                    _ = self.running.join_next() => {}
                    Ok(event) = events.recv() => {
                        if let Some(worker) = self.workers.get(&event.pod_uid) {
                            worker.runtime_changed.notify_one();
                        }
                    }
                }
            }
        };
        if tokio::time::timeout(SHUTDOWN_DEADLINE, ended).await.is_err() {
            tracing::error!(left = self.running.len(), "pods did not end in time");
        }
        self.inventory.renew(self.context.runtime.as_ref());
    }
}
