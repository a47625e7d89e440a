//! Watches over nodes: addresses, taints, lost nodes and their pods.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::json;
use swell_client::{Cache, Client, ClientError, DeleteParams, EventRecorder, EventType, ObjectKey};
use swell_env::Clock;
use swell_model::TimestampMs;
use swell_reconcile::node_lifecycle::{NodePlan, Observed, PodKey, Rules, reconcile};

use crate::error::ReconcileError;
use crate::worker::Reconciler;

pub(crate) struct Nodes {
    pub(crate) client: Client,
    pub(crate) nodes: Cache<Node>,
    pub(crate) leases: Cache<Lease>,
    pub(crate) pods: Cache<Pod>,
    pub(crate) events: EventRecorder,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rules: Rules,
    pub(crate) listening_since: TimestampMs,
}

/// All nodes are looked at together: ranges of addresses must not overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct AllNodes;

impl std::fmt::Display for AllNodes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("all nodes")
    }
}

impl Reconciler for Nodes {
    type Key = AllNodes;
    const NAME: &'static str = "node-lifecycle";

    async fn reconcile(&self, _: &AllNodes) -> Result<Option<Duration>, ReconcileError> {
        let nodes = self.nodes.list();
        let leases: BTreeMap<String, Arc<Lease>> = self
            .leases
            .list()
            .into_iter()
            .map(|lease| (ObjectKey::of(&*lease).name, lease))
            .collect();
        let pods = self.pods.list();
        let observed = Observed {
            nodes: &nodes,
            leases: &leases,
            pods: &pods,
            listening_since: self.listening_since,
        };
        let plan = reconcile(&observed, &self.rules, self.clock.now());
        for name in &plan.without_range {
            tracing::error!(node = name, range = %self.rules.pod_range, "no addresses are left for the pods of a node");
        }
        if plan.holds_evictions {
            tracing::warn!(
                "most nodes are silent: the fault is taken to be ours, and no pod is evicted"
            );
        }
        // One node that cannot be written keeps nobody from the others.
        let mut first_failure = None;
        for node_plan in &plan.nodes {
            let node = nodes
                .iter()
                .find(|node| node.metadata.name.as_deref() == Some(node_plan.node.as_str()));
            if let Some(node) = node
                && let Err(failure) = self.carry_out(node, node_plan).await
            {
                first_failure.get_or_insert(failure);
            }
        }
        match first_failure {
            Some(failure) => Err(failure),
            None => Ok(plan.recheck_after.map(swell_model::DurationMs::to_std)),
        }
    }
}

impl Nodes {
    async fn carry_out(&self, node: &Node, plan: &NodePlan) -> Result<(), ReconcileError> {
        let name = &plan.node;
        for note in &plan.notes {
            let event_type = if note.warning { EventType::Warning } else { EventType::Normal };
            self.events.record(node, event_type, note.reason, note.message.clone());
        }
        let mut version = node.metadata.resource_version.clone();
        if plan.pod_cidr.is_some() || plan.taints.is_some() {
            let mut spec = serde_json::Map::new();
            if let Some(cidr) = &plan.pod_cidr {
                spec.insert("podCIDR".to_owned(), json!(cidr));
                spec.insert("podCIDRs".to_owned(), json!([cidr]));
            }
            if let Some(taints) = &plan.taints {
                spec.insert("taints".to_owned(), json!(taints));
            }
            let patch = json!({"metadata": {"resourceVersion": version}, "spec": spec});
            let patched = self
                .client
                .patch_merge::<Node>(None, name, None, &patch)
                .await
                .map_err(ReconcileError::write("change node", name))?;
            version = patched.metadata.resource_version;
        }
        if let Some(conditions) = &plan.conditions {
            let mut node = node.clone();
            node.metadata.resource_version = version;
            node.status.get_or_insert_default().conditions = Some(conditions.clone());
            self.client
                .replace_status(&node)
                .await
                .map_err(ReconcileError::write("write the status of node", name))?;
        }
        for pod in &plan.not_ready_pods {
            self.mark_not_ready(pod).await?;
        }
        for pod in &plan.evict {
            self.evict(pod).await?;
        }
        Ok(())
    }

    async fn mark_not_ready(&self, key: &PodKey) -> Result<(), ReconcileError> {
        let Some(pod) = self.pods.get(&key.namespace, &key.name) else { return Ok(()) };
        let mut pod = (*pod).clone();
        let now = swell_reconcile::time(self.clock.now());
        for condition in
            pod.status.iter_mut().flat_map(|status| status.conditions.iter_mut().flatten())
        {
            if condition.type_ == "Ready" {
                condition.status = "False".to_owned();
                condition.reason = Some("NodeNotReady".to_owned());
                condition.last_transition_time = Some(now.clone());
            }
        }
        self.events.record(&pod, EventType::Warning, "NodeNotReady", "Node is not ready");
        match self.client.replace_status(&pod).await {
            Ok(_) | Err(ClientError::NotFound { .. }) => Ok(()),
            Err(error) => Err(ReconcileError::write("mark as not ready pod", &key.name)(error)),
        }
    }

    async fn evict(&self, key: &PodKey) -> Result<(), ReconcileError> {
        if let Some(pod) = self.pods.get(&key.namespace, &key.name) {
            let message = format!("Marking for deletion Pod {}/{}", key.namespace, key.name);
            self.events.record(&*pod, EventType::Normal, "TaintManagerEviction", message);
        }
        let params = DeleteParams { uid: Some(key.uid.clone()), ..DeleteParams::default() };
        match self.client.delete::<Pod>(Some(&key.namespace), &key.name, &params).await {
            Ok(()) | Err(ClientError::NotFound { .. } | ClientError::Conflict { .. }) => Ok(()),
            Err(error) => Err(ReconcileError::write("evict pod", &key.name)(error)),
        }
    }
}
