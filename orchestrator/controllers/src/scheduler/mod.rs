//! Binds waiting pods to nodes.

mod translate;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{Node, Pod, PodCondition};
use swell_client::{BackOff, Cache, Client, ClientError, EventRecorder, EventType, ObjectKey};
use swell_env::Clock;
use swell_reconcile::uid_of;
use swell_schedule::{NodeFacts, Problem, solve};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::translate::{node_facts, pod_needs};
use crate::index::PodIndex;
use crate::metrics::Metrics;

/// Bindings under way at once.
const BINDINGS_AT_ONCE: usize = 32;

/// Waits until something changed that may let a pod be placed, then places all that fit.
pub(crate) struct Scheduler {
    pub(crate) client: Client,
    pub(crate) nodes: Cache<Node>,
    pub(crate) pods: Cache<Pod>,
    pub(crate) index: PodIndex,
    pub(crate) events: EventRecorder,
    pub(crate) metrics: Metrics,
    pub(crate) clock: Arc<dyn Clock>,
    /// Bindings that the cache may not show yet, by uid.
    pub(crate) assumed: HashMap<String, String>,
    /// Binding failures in a row.
    pub(crate) failures: u32,
}

impl Scheduler {
    /// Runs until `wake` is closed or `shutdown`.
    pub(crate) async fn run(mut self, mut wake: watch::Receiver<u64>, shutdown: CancellationToken) {
        let mut retry: Option<Duration> = None;
        loop {
            let again = async {
                match retry {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = again => {}
                changed = wake.changed() => if changed.is_err() { return },
            }
            wake.mark_unchanged();
            retry = self.pass().await;
        }
    }

    /// One look at all waiting pods; answers when to look again after a failure.
    async fn pass(&mut self) -> Option<Duration> {
        let waiting = self.index.waiting();
        let waiting_uids: HashSet<&str> = waiting.iter().map(|pod| uid_of(&pod.metadata)).collect();
        self.assumed.retain(|uid, _| waiting_uids.contains(uid.as_str()));
        let open: BTreeMap<String, Arc<Pod>> = waiting
            .into_iter()
            .filter(|pod| !self.assumed.contains_key(uid_of(&pod.metadata)))
            .map(|pod| (ObjectKey::of(&*pod).to_string(), pod))
            .collect();
        if open.is_empty() {
            return None;
        }
        let start = self.clock.monotonic();
        let problem = Problem {
            nodes: self.node_facts(),
            pods: open.values().map(|pod| pod_needs(pod)).collect(),
        };
        let assignment = solve(&problem);
        let mut bindings: Vec<(Arc<Pod>, String)> = Vec::with_capacity(assignment.placed.len());
        for placement in assignment.placed {
            if let Some(pod) = open.get(&placement.pod) {
                bindings.push((Arc::clone(pod), placement.node));
            }
        }
        let client = &self.client;
        let mut attempts =
            futures::stream::iter(bindings.into_iter().map(|(pod, node)| async move {
                let key = ObjectKey::of(&*pod);
                let result = client.bind(&key.namespace, &key.name, &node).await;
                (pod, node, result)
            }))
            .buffer_unordered(BINDINGS_AT_ONCE);
        let mut failed = false;
        while let Some((pod, node, result)) = attempts.next().await {
            let key = ObjectKey::of(&*pod);
            match result {
                Ok(()) => {
                    self.assumed.insert(uid_of(&pod.metadata).to_owned(), node.clone());
                    self.metrics.scheduled.with_label_values(&["scheduled"]).inc();
                    let message = format!("Successfully assigned {key} to {node}");
                    self.events.record(&*pod, EventType::Normal, "Scheduled", message);
                }
                // Bound or deleted meanwhile: the cache will show it.
                Err(ClientError::Conflict { .. } | ClientError::NotFound { .. }) => {
                    self.metrics.scheduled.with_label_values(&["stale"]).inc();
                }
                Err(error) => {
                    failed = true;
                    self.metrics.scheduled.with_label_values(&["failed"]).inc();
                    tracing::warn!(pod = %key, node, error = swell_telemetry::chain(&error), "binding failed");
                }
            }
        }
        drop(attempts);
        for (name, explanation) in &assignment.unplaced {
            if let Some(pod) = open.get(name) {
                self.metrics.scheduled.with_label_values(&["unschedulable"]).inc();
                failed |= !self.note_unschedulable(pod, &explanation.to_string()).await;
            }
        }
        self.metrics.schedule_seconds.observe(self.clock.monotonic().since(start).as_secs_f64());
        self.failures = if failed { self.failures.saturating_add(1) } else { 0 };
        failed.then(|| BackOff::CONTROLLER.delay_with_jitter(self.failures))
    }

    /// All nodes with what stands on them, bindings under way included.
    fn node_facts(&self) -> Vec<NodeFacts> {
        let mut nodes: BTreeMap<String, NodeFacts> = self
            .nodes
            .list()
            .iter()
            .map(|node| {
                let facts = node_facts(node);
                (facts.name.clone(), facts)
            })
            .collect();
        for pod in self.pods.list() {
            let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
            if matches!(phase, Some("Succeeded" | "Failed")) {
                continue;
            }
            let bound = pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref());
            let node = bound
                .filter(|node| !node.is_empty())
                .or_else(|| self.assumed.get(uid_of(&pod.metadata)));
            if let Some(facts) = node.and_then(|node| nodes.get_mut(node)) {
                facts.take(&pod_needs(&pod));
            }
        }
        nodes.into_values().collect()
    }

    /// Says on the pod why it waits, if it does not say so already; false when that failed.
    async fn note_unschedulable(&self, pod: &Pod, message: &str) -> bool {
        let mut pod = pod.clone();
        let status = pod.status.get_or_insert_default();
        let conditions = status.conditions.get_or_insert_default();
        let known = conditions.iter().find(|condition| condition.type_ == "PodScheduled");
        if known.is_some_and(|known| {
            known.status == "False" && known.message.as_deref() == Some(message)
        }) {
            return true;
        }
        let since = known
            .filter(|known| known.status == "False")
            .and_then(|known| known.last_transition_time.clone())
            .unwrap_or_else(|| swell_reconcile::time(self.clock.now()));
        conditions.retain(|condition| condition.type_ != "PodScheduled");
        conditions.push(PodCondition {
            type_: "PodScheduled".to_owned(),
            status: "False".to_owned(),
            reason: Some("Unschedulable".to_owned()),
            message: Some(message.to_owned()),
            last_transition_time: Some(since),
            ..PodCondition::default()
        });
        self.events.record(&pod, EventType::Warning, "FailedScheduling", message);
        match self.client.replace_status(&pod).await {
            Ok(_) | Err(ClientError::Conflict { .. } | ClientError::NotFound { .. }) => true,
            Err(error) => {
                tracing::warn!(
                    pod = %ObjectKey::of(&pod),
                    error = swell_telemetry::chain(&error),
                    "the reason for waiting could not be written"
                );
                false
            }
        }
    }
}
