//! Removes pods that nobody will finish.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use parking_lot::Mutex;
use swell_client::{Cache, Client, ClientError, DeleteParams};
use swell_env::Clock;
use swell_model::TimestampMs;
use swell_reconcile::pod_gc::{Observed, reconcile};

use crate::error::ReconcileError;
use crate::worker::Reconciler;

pub(crate) struct PodGc {
    pub(crate) client: Client,
    pub(crate) nodes: Cache<Node>,
    pub(crate) pods: Cache<Pod>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Since when nodes that pods name are missing; only the one worker takes the lock.
    pub(crate) missing_since: Mutex<BTreeMap<String, TimestampMs>>,
}

/// All pods are looked at together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct AllPods;

impl std::fmt::Display for AllPods {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("all pods")
    }
}

impl Reconciler for PodGc {
    type Key = AllPods;
    const NAME: &'static str = "pod-gc";

    async fn reconcile(&self, _: &AllPods) -> Result<Option<Duration>, ReconcileError> {
        let now = self.clock.now();
        let nodes: BTreeSet<String> =
            self.nodes.list().iter().filter_map(|node| node.metadata.name.clone()).collect();
        let pods = self.pods.list();
        let named = pods
            .iter()
            .filter_map(|pod| pod.spec.as_ref().and_then(|spec| spec.node_name.clone()))
            .filter(|name| !name.is_empty() && !nodes.contains(name))
            .collect::<BTreeSet<_>>();
        let missing_since = {
            let mut missing = self.missing_since.lock();
            missing.retain(|name, _| named.contains(name));
            for name in named {
                missing.entry(name).or_insert(now);
            }
            missing.clone()
        };
        let observed = Observed { pods: &pods, nodes: &nodes, missing_since: &missing_since };
        let plan = reconcile(&observed, now);
        let mut first_failure = None;
        for pod in plan.remove {
            let params = DeleteParams {
                grace_period_s: Some(0),
                uid: Some(pod.uid),
                ..DeleteParams::default()
            };
            match self.client.delete::<Pod>(Some(&pod.namespace), &pod.name, &params).await {
                Ok(()) | Err(ClientError::NotFound { .. } | ClientError::Conflict { .. }) => {}
                // The others are removed all the same.
                Err(error) => {
                    let failure = ReconcileError::write("remove pod", &pod.name)(error);
                    first_failure.get_or_insert(failure);
                }
            }
        }
        match first_failure {
            Some(failure) => Err(failure),
            None => Ok(plan.recheck_after.map(swell_model::DurationMs::to_std)),
        }
    }
}
