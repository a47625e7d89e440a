//! What every task of the agent shares.

use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use parking_lot::Mutex;
use swell_client::{Client, EventRecorder, EventType};
use swell_env::Clock;
use swell_model::TimestampMs;
use swell_runtime::ContainerRuntime;
use tokio::sync::watch;

use crate::config::Config;
use crate::metrics::Metrics;
use crate::net::AddressPool;
use crate::pod::spec::Offer;

/// See the module's documentation.
pub(crate) struct Context {
    pub(crate) config: Config,
    pub(crate) client: Client,
    pub(crate) runtime: Arc<dyn ContainerRuntime>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) recorder: EventRecorder,
    pub(crate) metrics: Metrics,
    pub(crate) offer: Offer,
    /// `None` until the node has a podCIDR. Held for a single operation.
    pub(crate) addresses: Mutex<Option<AddressPool>>,
    /// Rises when the pool comes or changes, for pods that wait for an address.
    pub(crate) addresses_changed: watch::Sender<u64>,
}

impl Context {
    pub(crate) fn now(&self) -> TimestampMs {
        self.clock.now()
    }

    pub(crate) fn host(&self) -> IpAddr {
        self.config.address
    }

    /// Records an event about a pod.
    pub(crate) fn pod_event(&self, pod: &Pod, kind: EventType, reason: &str, message: String) {
        self.recorder.record(pod, kind, reason, message);
    }

    /// Records an event about a container of a pod, as the kubelet addresses it.
    pub(crate) fn container_event(
        &self,
        pod: &Pod,
        container: &str,
        kind: EventType,
        reason: &str,
        message: String,
    ) {
        let is_init = pod
            .spec
            .iter()
            .flat_map(|spec| spec.init_containers.iter().flatten())
            .any(|init| init.name == container);
        let list = if is_init { "initContainers" } else { "containers" };
        let about = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: pod.metadata.namespace.clone(),
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid.clone(),
            resource_version: pod.metadata.resource_version.clone(),
            field_path: Some(format!("spec.{list}{{{container}}}")),
        };
        self.recorder.record_about(about, kind, reason, message);
    }
}
