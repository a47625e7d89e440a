//! Sizes and makes the ReplicaSets of Deployments.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use serde_json::{Map, Value, json};
use swell_client::{
    Cache, Client, ClientError, DeleteParams, EventRecorder, EventType, ObjectKey, Propagation,
};
use swell_env::Clock;
use swell_reconcile::deployment::{Observed, Plan, SetChange, reconcile};
use swell_reconcile::{is_controlled_by, uid_of};

use crate::error::ReconcileError;
use crate::index::PodIndex;
use crate::worker::Reconciler;

pub(crate) struct Deployments {
    pub(crate) client: Client,
    pub(crate) deployments: Cache<Deployment>,
    pub(crate) sets: Cache<ReplicaSet>,
    pub(crate) pods: PodIndex,
    pub(crate) events: EventRecorder,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Reconciler for Deployments {
    type Key = ObjectKey;
    const NAME: &'static str = "deployment";

    async fn reconcile(&self, key: &ObjectKey) -> Result<Option<Duration>, ReconcileError> {
        let Some(deployment) = self.deployments.get_key(key) else { return Ok(None) };
        let sets = self.sets.list_namespace(&key.namespace);
        let (own, others): (Vec<_>, Vec<_>) = sets
            .iter()
            .map(|set| &**set)
            .partition(|set| is_controlled_by(&set.metadata, &deployment.metadata));
        let taken_names: Vec<&str> =
            others.iter().filter_map(|set| set.metadata.name.as_deref()).collect();
        let observed = Observed {
            deployment: &deployment,
            replica_sets: &own,
            taken_names: &taken_names,
            old_pod_count: self.old_pod_count(&deployment, &own),
        };
        let plan = reconcile(&observed, self.clock.now())?;
        self.carry_out(key, &deployment, plan).await
    }
}

impl Deployments {
    /// Pods of ReplicaSets that want none: what a `Recreate` waits for.
    fn old_pod_count(&self, deployment: &Deployment, own: &[&ReplicaSet]) -> usize {
        let strategy = deployment.spec.as_ref().and_then(|spec| spec.strategy.as_ref());
        if strategy.and_then(|strategy| strategy.type_.as_deref()) != Some("Recreate") {
            return 0;
        }
        let template = deployment.spec.as_ref().map(|spec| &spec.template);
        own.iter()
            .filter(|set| !swell_reconcile::deployment::is_of_template(set, template))
            .map(|set| self.pods.owned_by(uid_of(&set.metadata)).len())
            .sum()
    }

    async fn carry_out(
        &self,
        key: &ObjectKey,
        deployment: &Deployment,
        plan: Plan,
    ) -> Result<Option<Duration>, ReconcileError> {
        if let Some(set) = &plan.create {
            match self.client.create(&**set).await {
                Ok(_) | Err(ClientError::AlreadyExists { .. }) => {}
                Err(error) => {
                    let name = set.metadata.name.as_deref().unwrap_or_default();
                    let message = format!("Failed to create new replica set \"{name}\": {error}");
                    let reason = "ReplicaSetCreateError";
                    self.events.record(deployment, EventType::Warning, reason, message);
                    return Err(ReconcileError::write("create a replica set of deployment", key)(
                        error,
                    ));
                }
            }
        }
        for change in &plan.change {
            self.client
                .patch_merge::<ReplicaSet>(
                    Some(&key.namespace),
                    &change.name,
                    None,
                    &patch_of(change),
                )
                .await
                .map_err(ReconcileError::write("change a replica set of deployment", key))?;
        }
        for note in &plan.notes {
            let event_type = if note.warning { EventType::Warning } else { EventType::Normal };
            self.events.record(deployment, event_type, note.reason, note.message.clone());
        }
        for (name, uid) in &plan.delete {
            let params = DeleteParams {
                uid: Some(uid.clone()),
                propagation: Some(Propagation::Background),
                ..DeleteParams::default()
            };
            match self.client.delete::<ReplicaSet>(Some(&key.namespace), name, &params).await {
                Ok(()) | Err(ClientError::NotFound { .. }) => {}
                Err(error) => {
                    return Err(ReconcileError::write(
                        "delete an old replica set of deployment",
                        key,
                    )(error));
                }
            }
        }
        let mut current = None;
        if !plan.annotate.is_empty() {
            let patch = json!({"metadata": {"annotations": plan.annotate}});
            let patched = self
                .client
                .patch_merge::<Deployment>(Some(&key.namespace), &key.name, None, &patch)
                .await
                .map_err(ReconcileError::write("annotate deployment", key))?;
            // Somebody else's change of the specification must not be reported as observed.
            let same = patched.metadata.generation == deployment.metadata.generation;
            if !same {
                return Ok(None);
            }
            current = Some(patched);
        }
        if let Some(status) = plan.status {
            let mut deployment = current.unwrap_or_else(|| deployment.clone());
            deployment.status = Some(*status);
            self.client
                .replace_status(&deployment)
                .await
                .map_err(ReconcileError::write("write the status of deployment", key))?;
        }
        Ok(plan.recheck_after.map(swell_model::DurationMs::to_std))
    }
}

fn patch_of(change: &SetChange) -> Value {
    let mut metadata = Map::new();
    if let Some(version) = &change.resource_version {
        metadata.insert("resourceVersion".to_owned(), json!(version));
    }
    if !change.annotations.is_empty() {
        metadata.insert("annotations".to_owned(), json!(change.annotations));
    }
    let mut spec = Map::new();
    if let Some(replicas) = change.replicas {
        spec.insert("replicas".to_owned(), json!(replicas));
    }
    if let Some(seconds) = change.min_ready_seconds {
        spec.insert("minReadySeconds".to_owned(), json!(seconds));
    }
    json!({"metadata": metadata, "spec": spec})
}
