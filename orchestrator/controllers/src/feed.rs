//! From changes in the caches to the keys that need a look.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Endpoints, Node, Pod, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use swell_api_types::LabelSelector;
use swell_client::{Cache, ObjectKey, WorkQueue};
use swell_reconcile::controller_of;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::changes::{Change, Changes};
use crate::index::PodIndex;
use crate::nodes::AllNodes;
use crate::pod_gc::AllPods;

/// Where looks are asked for.
#[derive(Clone)]
pub(crate) struct Queues {
    pub(crate) deployments: WorkQueue<ObjectKey>,
    pub(crate) sets: WorkQueue<ObjectKey>,
    pub(crate) endpoints: WorkQueue<ObjectKey>,
    pub(crate) nodes: WorkQueue<AllNodes>,
    pub(crate) pod_gc: WorkQueue<AllPods>,
}

impl Queues {
    pub(crate) fn close(&self) {
        self.deployments.close();
        self.sets.close();
        self.endpoints.close();
        self.nodes.close();
        self.pod_gc.close();
    }
}

/// Follows the caches. One task: the index of pods is up to date before anybody is asked to look.
pub(crate) struct Feed {
    pub(crate) deployments: Changes<Deployment>,
    pub(crate) sets: Changes<ReplicaSet>,
    pub(crate) pods: Changes<Pod>,
    pub(crate) services: Changes<Service>,
    pub(crate) endpoints: Changes<Endpoints>,
    pub(crate) nodes: Changes<Node>,
    /// To find the Services that select a pod.
    pub(crate) all_services: Cache<Service>,
    pub(crate) index: PodIndex,
    pub(crate) queues: Queues,
    pub(crate) wake_scheduler: watch::Sender<u64>,
}

impl Feed {
    /// Runs until a cache stops or `shutdown`.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        self.look();
        self.queues.nodes.add(AllNodes);
        self.queues.pod_gc.add(AllPods);
        loop {
            let alive = tokio::select! {
                () = shutdown.cancelled() => return,
                alive = self.deployments.wait() => alive,
                alive = self.sets.wait() => alive,
                alive = self.pods.wait() => alive,
                alive = self.services.wait() => alive,
                alive = self.endpoints.wait() => alive,
                alive = self.nodes.wait() => alive,
            };
            if !alive {
                return;
            }
            self.look();
        }
    }

    fn look(&mut self) {
        let pods = self.pods.take();
        self.index.note(&pods);
        let mut wake_scheduler = false;
        for change in &pods {
            wake_scheduler |= self.route_pod(change);
        }
        for change in self.deployments.take() {
            self.queues.deployments.add(change.key);
        }
        for change in self.sets.take() {
            for set in change.states() {
                add_owner(&self.queues.deployments, &set.metadata);
            }
            self.queues.sets.add(change.key);
        }
        for change in self.services.take() {
            self.queues.endpoints.add(change.key);
        }
        for change in self.endpoints.take() {
            self.queues.endpoints.add(change.key);
        }
        let nodes = self.nodes.take();
        if !nodes.is_empty() {
            self.queues.nodes.add(AllNodes);
            wake_scheduler = true;
        }
        if nodes.iter().any(|change| change.after.is_none()) {
            self.queues.pod_gc.add(AllPods);
        }
        if wake_scheduler && self.index.has_waiting() {
            self.wake_scheduler.send_modify(|count| *count += 1);
        }
    }

    /// Asks for the looks that a changed pod needs; answers whether it may let a pod be placed.
    fn route_pod(&self, change: &Change<Pod>) -> bool {
        for pod in change.states() {
            add_owner(&self.queues.sets, &pod.metadata);
        }
        let gone_or_going =
            change.after.as_ref().is_none_or(|pod| pod.metadata.deletion_timestamp.is_some());
        if gone_or_going {
            self.wake_recreating(change);
        }
        if let Some(after) = &change.after {
            let unplaced = node_of(after).is_empty();
            let stranded = !unplaced && !self.nodes.has_name(node_of(after));
            if stranded || (unplaced && after.metadata.deletion_timestamp.is_some()) {
                self.queues.pod_gc.add(AllPods);
            }
        }
        for service in self.all_services.list_namespace(&change.key.namespace) {
            let selector = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
            let Some(selector) = selector.filter(|selector| !selector.is_empty()) else { continue };
            let selector = LabelSelector::from_map(selector);
            if change.states().any(|pod| selector.matches(pod.metadata.labels.as_ref())) {
                self.queues.endpoints.add(ObjectKey::of(&*service));
            }
        }
        let frees_room = change.after.as_ref().is_none_or(|pod| {
            let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
            matches!(phase, Some("Succeeded" | "Failed"))
        });
        let appears = change.after.as_ref().is_some_and(|pod| node_of(pod).is_empty());
        frees_room || appears
    }

    /// A Deployment that recreates its pods waits for the last old one to go.
    fn wake_recreating(&self, change: &Change<Pod>) {
        let owners = change.states().filter_map(|pod| controller_of(&pod.metadata));
        for owner in owners.filter(|owner| owner.kind == "ReplicaSet") {
            let key = ObjectKey::new(change.key.namespace.clone(), owner.name.clone());
            if let Some(set) = self.sets.get(&key) {
                add_owner(&self.queues.deployments, &set.metadata);
            }
        }
    }
}

fn node_of(pod: &Pod) -> &str {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default()
}

fn add_owner(queue: &WorkQueue<ObjectKey>, metadata: &ObjectMeta) {
    if let Some(owner) = controller_of(metadata) {
        let namespace = metadata.namespace.clone().unwrap_or_default();
        queue.add(ObjectKey::new(namespace, owner.name.clone()));
    }
}
