//! Which containers run on this node, for collectors: a snapshot that costs one atomic load.

use std::sync::Arc;

use arc_swap::ArcSwap;
use swell_model::TimestampMs;
use swell_runtime::{CgroupPaths, ContainerRuntime, ContainerState};

/// One running container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerEntry {
    /// Namespace of its pod.
    pub namespace: String,
    /// Name of its pod.
    pub pod: String,
    /// UID of its pod.
    pub pod_uid: String,
    /// Its name within the pod.
    pub container: String,
    /// Its id.
    pub id: String,
    /// Its image.
    pub image: String,
    /// The process at the root of its tree; `None` for a simulated one.
    pub root_pid: Option<u32>,
    /// Its control groups; empty where none could be made.
    pub cgroups: CgroupPaths,
    /// Since when it runs.
    pub started_at: TimestampMs,
    /// CPU limit in thousandths of a core.
    pub cpu_limit_milli: Option<u64>,
    /// Memory limit.
    pub memory_limit_bytes: Option<u64>,
}

/// The snapshot, shared between the agent that renews it and those who read it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Inventory(Arc<ArcSwap<Vec<ContainerEntry>>>);

impl Default for Inventory {
    fn default() -> Self {
        Self(Arc::new(ArcSwap::from_pointee(Vec::new())))
    }
}

impl Inventory {
    /// The running containers, in the order of their ids.
    #[must_use]
    pub fn load(&self) -> Arc<Vec<ContainerEntry>> {
        self.0.load_full()
    }

    /// Takes over what runs now.
    pub(crate) fn renew(&self, runtime: &dyn ContainerRuntime) {
        let entries = runtime.list().into_iter().filter_map(|status| {
            let ContainerState::Running { started_at } = status.state else { return None };
            Some(ContainerEntry {
                namespace: status.pod.namespace,
                pod: status.pod.name,
                pod_uid: status.pod.uid,
                container: status.config.name.clone(),
                id: status.id.as_str().to_owned(),
                image: status.config.image.clone(),
                root_pid: status.root_pids.first().copied(),
                cgroups: status.cgroups,
                started_at,
                cpu_limit_milli: status.config.resources.cpu_limit_milli,
                memory_limit_bytes: status.config.resources.memory_limit_bytes,
            })
        });
        self.0.store(Arc::new(entries.collect()));
    }
}
