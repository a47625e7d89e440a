//! Registers the node and keeps its lease and status fresh.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Namespace, Node, NodeStatus, NodeSystemInfo};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use serde_json::json;
use swell_client::{BackOff, Cache, ClientError};
use swell_runtime::RuntimeVersion;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::machine::{Pressure, pressure, system_info};
use super::object::{Report, differs, labels, node, status};
use crate::context::Context;

/// Namespace of leases of nodes, as in Kubernetes.
const LEASE_NAMESPACE: &str = "kube-node-lease";
/// A lease is good for so many intervals.
const LEASE_INTERVALS: u32 = 4;
/// A status that does not change is sent again after so long, as by the kubelet.
const STATUS_REPEAT: Duration = Duration::from_secs(300);

/// See the module's documentation.
pub(crate) struct Registrar {
    context: Arc<Context>,
    info: NodeSystemInfo,
    runtime: RuntimeVersion,
    logs_at: SocketAddr,
    /// The node as the API has it.
    nodes: Cache<Node>,
    sent: Option<(NodeStatus, tokio::time::Instant)>,
}

impl Registrar {
    pub(crate) fn new(context: Arc<Context>, logs_at: SocketAddr, nodes: Cache<Node>) -> Self {
        let runtime = context.runtime.version();
        let info = system_info(runtime.name, runtime.version);
        Self { context, info, runtime, logs_at, nodes, sent: None }
    }

    /// Registers, trying until it works; false when told to shut down before.
    pub(crate) async fn register(&mut self, shutdown: &CancellationToken) -> bool {
        let mut failures = 0;
        loop {
            let error = match self.try_register().await {
                Ok(()) => return true,
                Err(error) => error,
            };
            failures += 1;
            let wait = BackOff::RECONNECT.delay_with_jitter(failures);
            tracing::warn!(
                node = %self.context.config.node_name,
                error = %swell_telemetry::chain(&error),
                wait_ms = wait.as_millis(),
                "the node could not be registered"
            );
            tokio::select! {
                () = shutdown.cancelled() => return false,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    async fn try_register(&mut self) -> Result<(), ClientError> {
        let config = &self.context.config;
        let name = &config.node_name;
        let client = &self.context.client;
        match client.get::<Node>(None, name).await {
            Ok(found) => {
                let wanted = labels(config, &self.info);
                let has = found.metadata.labels.clone().unwrap_or_default();
                if wanted.iter().any(|(key, value)| has.get(key) != Some(value)) {
                    let patch = json!({"metadata": {"labels": wanted}});
                    client.patch_merge::<Node>(None, name, None, &patch).await?;
                }
            }
            Err(ClientError::NotFound { .. }) => {
                match client.create(&node(config, &self.info)).await {
                    Ok(_) | Err(ClientError::AlreadyExists { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            Err(error) => return Err(error),
        }
        self.sent = None;
        self.send_status().await?;
        self.renew_lease().await
    }

    /// Keeps lease and status fresh until told to shut down.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(self.context.config.lease_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let renewed = match self.renew_lease().await {
                Ok(()) => self.send_status().await,
                Err(error) => Err(error),
            };
            match renewed {
                Ok(()) => {}
                Err(ClientError::NotFound { .. }) => {
                    tracing::warn!(node = %self.context.config.node_name, "the node was deleted; it registers again");
                    if !self.register(&shutdown).await {
                        return;
                    }
                }
                Err(error) => {
                    self.context.metrics.lease_failures.inc();
                    tracing::warn!(
                        node = %self.context.config.node_name,
                        error = %swell_telemetry::chain(&error),
                        "lease and status of the node were not renewed"
                    );
                }
            }
        }
    }

    async fn send_status(&mut self) -> Result<(), ClientError> {
        let config = &self.context.config;
        let now = self.context.now();
        let pressure = match pressure(&config.data_dir, &config.pressure) {
            Ok(pressure) => pressure,
            Err(error) => {
                tracing::warn!(%error, "cannot read what the node has left");
                Pressure::default()
            }
        };
        // While nothing changes this costs no request: what was sent last is what is compared with.
        let last = self.sent.as_ref().map(|(status, _)| status);
        let before = last.and_then(|status| status.conditions.clone()).unwrap_or_default();
        let report = |before| Report {
            config,
            info: &self.info,
            runtime: &self.runtime,
            pressure,
            logs_at: self.logs_at,
            before,
        };
        let unchanged = last.is_some_and(|last| !differs(last, &status(&report(&before), now)));
        let recent = self.sent.as_ref().is_some_and(|(_, at)| at.elapsed() < STATUS_REPEAT);
        if unchanged && recent && !self.is_overwritten() {
            return Ok(());
        }
        let found = self.context.client.get::<Node>(None, &config.node_name).await?;
        let before = found.status.and_then(|status| status.conditions).unwrap_or_default();
        let fresh = status(&report(&before), now);
        let patch = json!({"status": fresh});
        self.context
            .client
            .patch_merge::<Node>(None, &config.node_name, Some("status"), &patch)
            .await?;
        self.sent = Some((fresh, tokio::time::Instant::now()));
        Ok(())
    }

    /// Whether the API shows other conditions than those sent: whoever did not hear from us for a while declared
    /// the node lost, and goes on to think so until we say otherwise.
    fn is_overwritten(&self) -> bool {
        let Some((sent, _)) = &self.sent else { return false };
        let Some(node) = self.nodes.get("", &self.context.config.node_name) else { return false };
        let stored = node.status.as_ref().and_then(|status| status.conditions.as_deref());
        sent.conditions.iter().flatten().any(|own| {
            let shown = stored.unwrap_or_default().iter().find(|shown| shown.type_ == own.type_);
            shown.is_none_or(|shown| shown.status != own.status)
        })
    }

    async fn renew_lease(&self) -> Result<(), ClientError> {
        let client = &self.context.client;
        let name = &self.context.config.node_name;
        let renewed_at = Timestamp::from_millisecond(self.context.now().0).unwrap_or_default();
        let duration = self.context.config.lease_interval * LEASE_INTERVALS;
        let spec = json!({
            "holderIdentity": name,
            "leaseDurationSeconds": duration.as_secs().max(1),
            "renewTime": format!("{renewed_at:.6}"),
        });
        let patch = json!({ "spec": spec });
        match client.patch_merge::<Lease>(Some(LEASE_NAMESPACE), name, None, &patch).await {
            Err(ClientError::NotFound { .. }) => self.create_lease(patch).await,
            outcome => outcome.map(drop),
        }
    }

    async fn create_lease(&self, mut lease: serde_json::Value) -> Result<(), ClientError> {
        let client = &self.context.client;
        let name = &self.context.config.node_name;
        lease["metadata"] = json!({"name": name, "namespace": LEASE_NAMESPACE});
        let lease: Lease = serde_json::from_value(lease).map_err(|source| ClientError::Encode {
            path: format!("lease of node {name}"),
            source,
        })?;
        match client.create(&lease).await {
            Err(ClientError::NotFound { .. }) => {
                let metadata =
                    ObjectMeta { name: Some(LEASE_NAMESPACE.to_owned()), ..ObjectMeta::default() };
                let namespace = Namespace { metadata, ..Namespace::default() };
                match client.create(&namespace).await {
                    Ok(_) | Err(ClientError::AlreadyExists { .. }) => {}
                    Err(error) => return Err(error),
                }
                client.create(&lease).await.map(drop)
            }
            Err(ClientError::AlreadyExists { .. }) => Ok(()),
            outcome => outcome.map(drop),
        }
    }
}
