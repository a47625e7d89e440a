//! Puts the controllers together.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Endpoints, Node, Pod, Service};
use parking_lot::Mutex;
use prometheus::Registry;
use swell_client::{BackOff, Cache, Client, EventRecorder, ListParams, WorkQueue};
use swell_env::Clock;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::changes::Changes;
use crate::config::Config;
use crate::deployment::Deployments;
use crate::endpoints::ServiceEndpoints;
use crate::feed::{Feed, Queues};
use crate::index::PodIndex;
use crate::metrics::Metrics;
use crate::nodes::Nodes;
use crate::pod_gc::PodGc;
use crate::replica_set::ReplicaSets;
use crate::scheduler::Scheduler;
use crate::worker;

/// Namespace of the nodes' heartbeats.
const LEASE_NAMESPACE: &str = "kube-node-lease";

/// Local copies of what the controllers look at. Whoever else in the process looks at the same kinds can share them.
#[derive(Clone, Debug)]
pub struct Caches {
    /// All Deployments.
    pub deployments: Cache<Deployment>,
    /// All ReplicaSets.
    pub replica_sets: Cache<ReplicaSet>,
    /// All Pods.
    pub pods: Cache<Pod>,
    /// All Services.
    pub services: Cache<Service>,
    /// All Endpoints.
    pub endpoints: Cache<Endpoints>,
    /// All Nodes.
    pub nodes: Cache<Node>,
    /// The nodes' heartbeats.
    pub leases: Cache<Lease>,
}

impl Caches {
    /// Starts to follow; must be called inside a tokio runtime.
    #[must_use]
    pub fn start(client: &Client, shutdown: &CancellationToken) -> Self {
        let all = ListParams::default;
        Self {
            deployments: Cache::start(client.clone(), None, all(), shutdown.clone()),
            replica_sets: Cache::start(client.clone(), None, all(), shutdown.clone()),
            pods: Cache::start(client.clone(), None, all(), shutdown.clone()),
            services: Cache::start(client.clone(), None, all(), shutdown.clone()),
            endpoints: Cache::start(client.clone(), None, all(), shutdown.clone()),
            nodes: Cache::start(client.clone(), None, all(), shutdown.clone()),
            leases: Cache::start(client.clone(), Some(LEASE_NAMESPACE), all(), shutdown.clone()),
        }
    }

    /// Waits until every collection was read once; false when one stopped before.
    pub async fn synced(&self) -> bool {
        let (deployments, sets, pods, services, endpoints, nodes, leases) = tokio::join!(
            self.deployments.synced(),
            self.replica_sets.synced(),
            self.pods.synced(),
            self.services.synced(),
            self.endpoints.synced(),
            self.nodes.synced(),
            self.leases.synced(),
        );
        deployments && sets && pods && services && endpoints && nodes && leases
    }
}

/// The controllers of Deployments, ReplicaSets, Endpoints, nodes and lost pods, and the scheduler.
pub struct Controllers {
    config: Config,
    client: Client,
    caches: Caches,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
}

impl std::fmt::Debug for Controllers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Controllers").field("config", &self.config).finish_non_exhaustive()
    }
}

/// A controller that fails inside takes all of them along, so that whoever runs them notices.
fn pass_on_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Some(panic) = ended.err().and_then(|error| error.try_into_panic().ok()) {
        std::panic::resume_unwind(panic);
    }
}

impl Controllers {
    /// Ready to run; registers the self-metrics.
    ///
    /// # Errors
    /// When a metric of the same name is registered already.
    pub fn new(
        config: Config,
        client: Client,
        caches: Caches,
        clock: Arc<dyn Clock>,
        registry: &Registry,
    ) -> Result<Self, prometheus::Error> {
        let metrics = Metrics::register(registry)?;
        Ok(Self { config, client, caches, clock, metrics })
    }

    /// Runs until `shutdown`; writes under way are finished first.
    ///
    /// # Panics
    /// When a controller does: the others would go on with half of the work undone.
    pub async fn run(self, shutdown: CancellationToken) {
        let synced = tokio::select! {
            () = shutdown.cancelled() => false,
            synced = self.caches.synced() => synced,
        };
        if !synced {
            return;
        }
        let queues = Queues {
            deployments: WorkQueue::new(BackOff::CONTROLLER),
            sets: WorkQueue::new(BackOff::CONTROLLER),
            endpoints: WorkQueue::new(BackOff::CONTROLLER),
            nodes: WorkQueue::new(BackOff::CONTROLLER),
            pod_gc: WorkQueue::new(BackOff::CONTROLLER),
        };
        let index = PodIndex::default();
        let (wake_scheduler, scheduler_wake) = watch::channel(0);
        let mut tasks = JoinSet::new();
        self.start_workers(&mut tasks, &queues, &index, &shutdown);
        let scheduler = Scheduler {
            client: self.client.clone(),
            nodes: self.caches.nodes.clone(),
            pods: self.caches.pods.clone(),
            index: index.clone(),
            events: self.recorder("default-scheduler", &shutdown),
            metrics: self.metrics.clone(),
            clock: Arc::clone(&self.clock),
            assumed: HashMap::new(),
            failures: 0,
        };
        tasks.spawn(scheduler.run(scheduler_wake, shutdown.clone()));
        let feed = Feed {
            deployments: Changes::of(&self.caches.deployments),
            sets: Changes::of(&self.caches.replica_sets),
            pods: Changes::of(&self.caches.pods),
            services: Changes::of(&self.caches.services),
            endpoints: Changes::of(&self.caches.endpoints),
            nodes: Changes::of(&self.caches.nodes),
            all_services: self.caches.services.clone(),
            index,
            queues: queues.clone(),
            wake_scheduler,
        };
        tokio::select! {
            () = feed.run(shutdown) => {}
            Some(ended) = tasks.join_next() => pass_on_panic(ended),
        }
        queues.close();
        while let Some(ended) = tasks.join_next().await {
            pass_on_panic(ended);
        }
    }

    fn recorder(&self, component: &str, shutdown: &CancellationToken) -> EventRecorder {
        let clock = Arc::clone(&self.clock);
        EventRecorder::start(self.client.clone(), clock, component, None, shutdown.clone())
    }

    fn start_workers(
        &self,
        tasks: &mut JoinSet<()>,
        queues: &Queues,
        index: &PodIndex,
        shutdown: &CancellationToken,
    ) {
        let (caches, clock, metrics) = (&self.caches, &self.clock, &self.metrics);
        let deployments = Deployments {
            client: self.client.clone(),
            deployments: caches.deployments.clone(),
            sets: caches.replica_sets.clone(),
            pods: index.clone(),
            events: self.recorder("deployment-controller", shutdown),
            clock: Arc::clone(clock),
        };
        let workers = self.config.workers;
        worker::start(tasks, deployments, &queues.deployments, workers, metrics, clock);
        let sets = ReplicaSets {
            client: self.client.clone(),
            sets: caches.replica_sets.clone(),
            pods: index.clone(),
            events: self.recorder("replicaset-controller", shutdown),
            clock: Arc::clone(clock),
            memory: Mutex::new(HashMap::new()),
        };
        worker::start(tasks, sets, &queues.sets, workers, metrics, clock);
        let endpoints = ServiceEndpoints {
            client: self.client.clone(),
            services: caches.services.clone(),
            endpoints: caches.endpoints.clone(),
            pods: caches.pods.clone(),
        };
        worker::start(tasks, endpoints, &queues.endpoints, workers, metrics, clock);
        let nodes = Nodes {
            client: self.client.clone(),
            nodes: caches.nodes.clone(),
            leases: caches.leases.clone(),
            pods: caches.pods.clone(),
            events: self.recorder("node-controller", shutdown),
            clock: Arc::clone(clock),
            rules: self.config.nodes,
            listening_since: clock.now(),
        };
        worker::start(tasks, nodes, &queues.nodes, 1, metrics, clock);
        let pod_gc = PodGc {
            client: self.client.clone(),
            nodes: caches.nodes.clone(),
            pods: caches.pods.clone(),
            clock: Arc::clone(clock),
            missing_since: Mutex::new(BTreeMap::new()),
        };
        worker::start(tasks, pod_gc, &queues.pod_gc, 1, metrics, clock);
    }
}
