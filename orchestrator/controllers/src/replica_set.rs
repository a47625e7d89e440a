//! Creates and deletes the pods of ReplicaSets.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use parking_lot::Mutex;
use swell_client::{Cache, Client, ClientError, DeleteParams, EventRecorder, EventType, ObjectKey};
use swell_env::Clock;
use swell_reconcile::replica_set::{Observed, Plan, reconcile};
use swell_reconcile::{Expectations, uid_of};

use crate::error::ReconcileError;
use crate::index::PodIndex;
use crate::worker::Reconciler;

/// Writes of one ReplicaSet under way at once.
const WRITES_AT_ONCE: usize = 32;

pub(crate) struct ReplicaSets {
    pub(crate) client: Client,
    pub(crate) sets: Cache<ReplicaSet>,
    pub(crate) pods: PodIndex,
    pub(crate) events: EventRecorder,
    pub(crate) clock: Arc<dyn Clock>,
    /// By ReplicaSet. A key is with one worker at a time; the lock is held for map operations only.
    pub(crate) memory: Mutex<HashMap<ObjectKey, Memory>>,
}

#[derive(Default)]
pub(crate) struct Memory {
    /// Whose memory it is: another object of the same name starts afresh.
    uid: String,
    expectations: Expectations,
    failure: Option<(&'static str, String)>,
}

impl Reconciler for ReplicaSets {
    type Key = ObjectKey;
    const NAME: &'static str = "replicaset";

    async fn reconcile(&self, key: &ObjectKey) -> Result<Option<Duration>, ReconcileError> {
        let Some(set) = self.sets.get_key(key) else {
            self.memory.lock().remove(key);
            return Ok(None);
        };
        let now = self.clock.now();
        let uid = uid_of(&set.metadata);
        let owned = self.pods.owned_by(uid);
        let (pods, failure) = {
            let mut memory = self.memory.lock();
            let memory = memory.entry(key.clone()).or_default();
            if memory.uid != uid {
                *memory = Memory { uid: uid.to_owned(), ..Memory::default() };
            }
            (memory.expectations.apply(owned, now), memory.failure.clone())
        };
        let failure = failure.as_ref().map(|(reason, message)| (*reason, message.as_str()));
        let plan = reconcile(&Observed { replica_set: &set, pods: &pods, failure }, now);
        self.carry_out(key, &set, plan).await
    }
}

impl ReplicaSets {
    /// Pods first: the status follows when they show in the cache.
    async fn carry_out(
        &self,
        key: &ObjectKey,
        set: &ReplicaSet,
        plan: Plan,
    ) -> Result<Option<Duration>, ReconcileError> {
        let writes_pods = plan.create_count > 0 || !plan.delete.is_empty();
        let created = self.create(key, set, &plan).await;
        let deleted = self.delete(key, set, plan.delete).await;
        let failure = match (&created, &deleted) {
            (Err(error), _) => Some(("FailedCreate", error.to_string())),
            (_, Err(error)) => Some(("FailedDelete", error.to_string())),
            _ => None,
        };
        let new_failure = {
            let mut memory = self.memory.lock();
            let memory = memory.entry(key.clone()).or_default();
            let differs = memory.failure != failure;
            memory.failure = failure;
            differs
        };
        if let Some(status) = plan.status
            && (!writes_pods || new_failure)
        {
            let mut set = set.clone();
            set.status = Some(*status);
            self.client
                .replace_status(&set)
                .await
                .map_err(ReconcileError::write("write the status of replica set", key))?;
        }
        created.map_err(ReconcileError::write("create a pod of replica set", key))?;
        deleted.map_err(ReconcileError::write("delete a pod of replica set", key))?;
        let expected =
            self.memory.lock().get(key).and_then(|memory| memory.expectations.recheck_after());
        let recheck_after = plan.recheck_after.into_iter().chain(expected).min();
        Ok(recheck_after.map(swell_model::DurationMs::to_std))
    }

    /// Creates all; answers the first failure.
    async fn create(
        &self,
        key: &ObjectKey,
        set: &ReplicaSet,
        plan: &Plan,
    ) -> Result<(), ClientError> {
        let Some(template) = plan.template.as_deref() else { return Ok(()) };
        let attempts = (0..plan.create_count).map(|_| self.client.create::<Pod>(template));
        let mut attempts = futures::stream::iter(attempts).buffer_unordered(WRITES_AT_ONCE);
        let mut first_failure = None;
        while let Some(result) = attempts.next().await {
            match result {
                Ok(pod) => {
                    let name = pod.metadata.name.clone().unwrap_or_default();
                    self.expect(key, |expectations, now| {
                        expectations.pod_created(Arc::new(pod), now);
                    });
                    let message = format!("Created pod: {name}");
                    self.events.record(set, EventType::Normal, "SuccessfulCreate", message);
                }
                Err(error) => {
                    if first_failure.is_none() {
                        let message = format!("Error creating: {error}");
                        self.events.record(set, EventType::Warning, "FailedCreate", message);
                        first_failure = Some(error);
                    }
                }
            }
        }
        first_failure.map_or(Ok(()), Err)
    }

    /// Deletes all; answers the first failure. A pod that is gone already is a success.
    async fn delete(
        &self,
        key: &ObjectKey,
        set: &ReplicaSet,
        pods: Vec<(String, String)>,
    ) -> Result<(), ClientError> {
        let attempts = pods.into_iter().map(|(name, uid)| async move {
            let params = DeleteParams { uid: Some(uid.clone()), ..DeleteParams::default() };
            let result = self.client.delete::<Pod>(Some(&key.namespace), &name, &params).await;
            (name, uid, result)
        });
        let mut attempts = futures::stream::iter(attempts).buffer_unordered(WRITES_AT_ONCE);
        let mut first_failure = None;
        while let Some((name, uid, result)) = attempts.next().await {
            match result {
                Ok(()) => {
                    self.expect(key, |expectations, now| expectations.pod_deleted(&uid, now));
                    let message = format!("Deleted pod: {name}");
                    self.events.record(set, EventType::Normal, "SuccessfulDelete", message);
                }
                Err(ClientError::NotFound { .. } | ClientError::Conflict { .. }) => {
                    self.expect(key, |expectations, now| expectations.pod_deleted(&uid, now));
                }
                Err(error) => {
                    if first_failure.is_none() {
                        let message = format!("Error deleting: {error}");
                        self.events.record(set, EventType::Warning, "FailedDelete", message);
                        first_failure = Some(error);
                    }
                }
            }
        }
        first_failure.map_or(Ok(()), Err)
    }

    fn expect(
        &self,
        key: &ObjectKey,
        note: impl FnOnce(&mut Expectations, swell_model::TimestampMs),
    ) {
        let now = self.clock.now();
        note(&mut self.memory.lock().entry(key.clone()).or_default().expectations, now);
    }
}
