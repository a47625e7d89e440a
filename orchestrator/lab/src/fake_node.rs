//! A node without machine, for tests: it reports itself, and its pods run and stop because it says so.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::json;
use swell_client::{Cache, Client, ClientError, DeleteParams, ListParams, ObjectKey};
use swell_env::Clock;
use swell_model::TimestampMs;
use tokio_util::sync::CancellationToken;

/// How often the node says that it lives.
const LEASE_EVERY: Duration = Duration::from_secs(5);

/// A node whose pods are ready `start_time` after they were bound, and gone as soon as they are deleted.
#[derive(Clone)]
pub struct FakeNode {
    /// Name.
    pub name: String,
    /// CPU that pods may request, in cores.
    pub cpu_cores: u32,
    /// How long a pod takes to become ready.
    pub start_time: Duration,
    /// The API server.
    pub client: Client,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for FakeNode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FakeNode").field("name", &self.name).finish_non_exhaustive()
    }
}

impl FakeNode {
    /// Registers and plays kubelet until `shutdown`.
    ///
    /// # Errors
    /// [`ClientError`] when the node cannot be registered or a pod's status not be written.
    ///
    /// # Panics
    /// When the objects made here are none: a fault of this file.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), ClientError> {
        self.register().await?;
        let bound = ListParams::fields(format!("spec.nodeName={}", self.name));
        let pods: Cache<Pod> = Cache::start(self.client.clone(), None, bound, shutdown.clone());
        let mut changed = pods.changed();
        let mut seen: BTreeMap<ObjectKey, TimestampMs> = BTreeMap::new();
        let mut lease_due = tokio::time::Instant::now();
        loop {
            if lease_due <= tokio::time::Instant::now() {
                self.renew().await?;
                lease_due = tokio::time::Instant::now() + LEASE_EVERY;
            }
            let mut next = lease_due;
            for pod in pods.list() {
                let wait = self.tend(&pod, &mut seen).await?;
                next = next.min(tokio::time::Instant::now() + wait.unwrap_or(LEASE_EVERY));
            }
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = tokio::time::sleep_until(next) => {}
                alive = changed.changed() => if alive.is_err() { return Ok(()) },
            }
        }
    }

    async fn register(&self) -> Result<(), ClientError> {
        let resources = json!({"cpu": self.cpu_cores.to_string(), "memory": "16Gi", "pods": "110"});
        let node = json!({
            "metadata": {"name": self.name, "labels": {"kubernetes.io/hostname": self.name}},
            "status": {"capacity": resources, "allocatable": resources,
                "runtimeHandlers": [{"name": "process"}],
                "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]},
        });
        let node: Node = serde_json::from_value(node).expect("a node");
        let mut created = self.client.create(&node).await?;
        created.status = node.status;
        created.metadata.resource_version = None;
        self.client.replace_status(&created).await?;
        let lease = json!({
            "metadata": {"name": self.name, "namespace": "kube-node-lease"},
            "spec": {"holderIdentity": self.name, "renewTime": swell_reconcile::micro_time(self.clock.now())},
        });
        let lease: Lease = serde_json::from_value(lease).expect("a lease");
        self.client.create(&lease).await.map(|_| ())
    }

    async fn renew(&self) -> Result<(), ClientError> {
        let patch = json!({"spec": {"renewTime": swell_reconcile::micro_time(self.clock.now())}});
        let namespace = Some("kube-node-lease");
        self.client.patch_merge::<Lease>(namespace, &self.name, None, &patch).await.map(|_| ())
    }

    /// Moves one pod on; answers when it needs another look.
    async fn tend(
        &self,
        pod: &Pod,
        seen: &mut BTreeMap<ObjectKey, TimestampMs>,
    ) -> Result<Option<Duration>, ClientError> {
        let key = ObjectKey::of(pod);
        let namespace = Some(key.namespace.as_str());
        if pod.metadata.deletion_timestamp.is_some() {
            let now = DeleteParams { grace_period_s: Some(0), ..DeleteParams::default() };
            seen.remove(&key);
            return match self.client.delete::<Pod>(namespace, &key.name, &now).await {
                Ok(()) | Err(ClientError::NotFound { .. }) => Ok(None),
                Err(error) => Err(error),
            };
        }
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        if phase == Some("Running") {
            return Ok(None);
        }
        let now = self.clock.now();
        let since = *seen.entry(key.clone()).or_insert(now);
        let age = now.since(since).to_std();
        if age < self.start_time {
            return Ok(Some(self.start_time - age));
        }
        let number = u32::try_from(seen.len()).unwrap_or(0);
        let time = swell_reconcile::time(now);
        let patch = json!({"status": {
            "phase": "Running", "podIP": format!("127.64.0.{}", 2 + number % 250), "startTime": time,
            "conditions": [
                {"type": "Ready", "status": "True", "lastTransitionTime": time},
                {"type": "PodScheduled", "status": "True", "lastTransitionTime": time}],
        }});
        match self.client.patch_merge::<Pod>(namespace, &key.name, Some("status"), &patch).await {
            Ok(_) | Err(ClientError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
