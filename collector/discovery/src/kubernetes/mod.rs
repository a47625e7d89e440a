//! `kubernetes_sd_configs`: objects of a cluster, followed by list and watch.

mod behind;
mod cluster;
mod connect;
mod endpoints;
mod ingress;
mod labels;
mod node;
mod pod;
mod service;
mod slice;

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{join_all, select_all};
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Endpoints, Namespace, Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::Ingress;
use prometheus::IntCounter;
use swell_client::{Cache, Client, ListParams, Object, ObjectKey};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::{KubernetesConfig, KubernetesServer, Role};
use crate::discovery::{Output, StartError};
use crate::metrics::DiscoveryMetrics;

use cluster::{Cluster, Objects};

/// Changes that come together are looked at together.
const SETTLE: Duration = Duration::from_millis(200);
/// Looking at the whole cluster takes at most this part of the time.
const WORK_SHARE: u32 = 10;

/// Follows one role in one cluster.
pub(crate) struct KubernetesSource {
    config: KubernetesConfig,
    client: Client,
    /// Namespaces to follow; `None` stands for all of them.
    namespaces: Vec<Option<String>>,
    /// Lists and watches that failed.
    failures: IntCounter,
}

impl KubernetesSource {
    pub(crate) fn new(
        config: &KubernetesConfig,
        own: Option<&Client>,
        metrics: &DiscoveryMetrics,
    ) -> Result<Self, StartError> {
        let client = connect::connect(config, own)?;
        let mut names = config.namespaces.names.clone();
        if config.namespaces.own
            && let KubernetesServer::InCluster { account, .. } = &config.server
        {
            let path = account.join("namespace");
            let own = fs::read_to_string(&path).map_err(|error| StartError::Kubeconfig {
                path: path.clone(),
                why: error.to_string(),
            })?;
            names.push(own.trim().to_owned());
        }
        names.sort();
        names.dedup();
        let namespaces =
            if names.is_empty() { vec![None] } else { names.into_iter().map(Some).collect() };
        let failures = metrics.kubernetes_failures_total.clone();
        Ok(Self { config: config.clone(), client, namespaces, failures })
    }

    pub(crate) async fn run(self, output: Output) {
        let stop = CancellationToken::new();
        let _ends_with_us = stop.clone().drop_guard();
        let caches = Caches::start(&self, &stop);
        let changes = caches.changes();
        // What is not read in full yet would look like what is not there.
        join_all(changes.iter().map(|changed| {
            let mut changed = changed.clone();
            async move { changed.wait_for(|count| *count > 0).await.is_ok() }
        }))
        .await;
        let mut changes = changes;
        loop {
            for changed in &mut changes {
                changed.borrow_and_update();
            }
            let began = Instant::now();
            let (caches, config) = (caches.clone(), self.config.clone());
            let looked = tokio::task::spawn_blocking(move || {
                caches.cluster().groups(config.role, config.attach)
            });
            match looked.await {
                Ok(groups) => output.tell(groups),
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            }
            let rest = SETTLE.max(began.elapsed() * (WORK_SHARE - 1));
            let next = select_all(changes.iter_mut().map(|it| it.changed().boxed()));
            if next.await.0.is_err() {
                return;
            }
            tokio::time::sleep(rest).await;
        }
    }

    /// Follows one kind of object in all namespaces that count.
    fn follow<K: Object>(&self, kind: Role, stop: &CancellationToken) -> Vec<Cache<K>> {
        let selector = self.config.selectors.iter().find(|selector| selector.role == kind);
        let params = ListParams {
            label_selector: selector.and_then(|it| it.label.clone()),
            field_selector: selector.and_then(|it| it.field.clone()),
        };
        self.in_namespaces(&params, stop)
    }

    fn in_namespaces<K: Object>(
        &self,
        params: &ListParams,
        stop: &CancellationToken,
    ) -> Vec<Cache<K>> {
        self.namespaces.iter().map(|it| self.cache(it.as_deref(), params.clone(), stop)).collect()
    }

    /// Follows a kind that is in no namespace.
    fn cluster_wide<K: Object>(
        &self,
        kind: Option<Role>,
        stop: &CancellationToken,
    ) -> Vec<Cache<K>> {
        let selector = self.config.selectors.iter().find(|it| Some(it.role) == kind);
        let params = ListParams {
            label_selector: selector.and_then(|it| it.label.clone()),
            field_selector: selector.and_then(|it| it.field.clone()),
        };
        vec![self.cache(None, params, stop)]
    }

    fn cache<K: Object>(
        &self,
        namespace: Option<&str>,
        params: ListParams,
        stop: &CancellationToken,
    ) -> Cache<K> {
        let failures = self.failures.clone();
        let failed = move || failures.inc();
        Cache::start_counted(self.client.clone(), namespace, params, stop.clone(), failed)
    }
}

/// Copies of the kinds that a role needs.
#[derive(Clone, Default)]
struct Caches {
    nodes: Vec<Cache<Node>>,
    namespaces: Vec<Cache<Namespace>>,
    pods: Vec<Cache<Pod>>,
    services: Vec<Cache<Service>>,
    endpoints: Vec<Cache<Endpoints>>,
    slices: Vec<Cache<EndpointSlice>>,
    ingresses: Vec<Cache<Ingress>>,
    replica_sets: Vec<Cache<ReplicaSet>>,
    jobs: Vec<Cache<Job>>,
}

impl Caches {
    fn start(source: &KubernetesSource, stop: &CancellationToken) -> Self {
        let mut caches = Self::default();
        let (role, attach) = (source.config.role, source.config.attach);
        let has_pods = matches!(role, Role::Pod | Role::Endpoints | Role::EndpointSlice);
        match role {
            Role::Node => {}
            Role::Pod => {}
            Role::Service => {}
            Role::Endpoints => caches.endpoints = source.follow(Role::Endpoints, stop),
            Role::EndpointSlice => caches.slices = source.follow(Role::EndpointSlice, stop),
            Role::Ingress => caches.ingresses = source.follow(Role::Ingress, stop),
        }
        if has_pods {
            caches.pods = source.follow(Role::Pod, stop);
        }
        if matches!(role, Role::Service | Role::Endpoints | Role::EndpointSlice) {
            caches.services = source.follow(Role::Service, stop);
        }
        if role == Role::Node || (has_pods && attach.node) {
            caches.nodes = source.cluster_wide(Some(Role::Node), stop);
        }
        if role != Role::Node && attach.namespace {
            caches.namespaces = source.cluster_wide(None, stop);
        }
        if has_pods && attach.deployment {
            caches.replica_sets = source.in_namespaces(&ListParams::default(), stop);
        }
        if has_pods && attach.cron_job {
            caches.jobs = source.in_namespaces(&ListParams::default(), stop);
        }
        caches
    }

    fn changes(&self) -> Vec<watch::Receiver<u64>> {
        fn of<K: Object>(caches: &[Cache<K>]) -> impl Iterator<Item = watch::Receiver<u64>> {
            caches.iter().map(Cache::changed).collect::<Vec<_>>().into_iter()
        }
        of(&self.nodes)
            .chain(of(&self.namespaces))
            .chain(of(&self.pods))
            .chain(of(&self.services))
            .chain(of(&self.endpoints))
            .chain(of(&self.slices))
            .chain(of(&self.ingresses))
            .chain(of(&self.replica_sets))
            .chain(of(&self.jobs))
            .collect()
    }

    fn cluster(&self) -> Cluster {
        Cluster {
            nodes: objects(&self.nodes),
            namespaces: objects(&self.namespaces),
            pods: objects(&self.pods),
            services: objects(&self.services),
            endpoints: objects(&self.endpoints),
            slices: objects(&self.slices),
            ingresses: objects(&self.ingresses),
            replica_sets: objects(&self.replica_sets),
            jobs: objects(&self.jobs),
        }
    }
}

fn objects<K: Object>(caches: &[Cache<K>]) -> Objects<K> {
    let all = caches.iter().flat_map(Cache::list);
    all.map(|object: Arc<K>| (ObjectKey::of(object.as_ref()), object)).collect()
}

#[cfg(test)]
mod tests;
