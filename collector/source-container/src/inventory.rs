//! What the owner of the containers tells about them.

use std::path::PathBuf;
use std::sync::Arc;

use swell_model::{ByteCount, CpuMilli, TimestampMs};

/// Knows the containers of this node. Implemented over the node agent's state.
pub trait ContainerInventory: Send + Sync {
    /// Containers that have been started and not been removed. Asked each tick: returns the same `Arc` as
    /// before when nothing changed. A restarted container has another [`ContainerInfo::name`].
    fn containers(&self) -> Arc<[ContainerInfo]>;
}

/// One started container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerInfo {
    /// Label `namespace`.
    pub namespace: String,
    /// Label `pod`.
    pub pod: String,
    /// Label `container`.
    pub container: String,
    /// Label `id`: the path of its cgroup, or a path made up in its place.
    pub id: String,
    /// Label `name`: the runtime's id, another one after each start.
    pub name: String,
    /// Label `image`.
    pub image: String,
    /// Process all others of the container descend from; `None` when it is not known (any more).
    pub root_pid: Option<u32>,
    /// Its cgroup, where it has one of its own.
    pub cgroup: Option<CgroupPaths>,
    /// When it was started.
    pub started_at: Option<TimestampMs>,
    /// What was asked for.
    pub resources: ContainerResources,
}

/// Requests and limits of a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContainerResources {
    /// `requests.cpu`.
    pub cpu_request: Option<CpuMilli>,
    /// `limits.cpu`.
    pub cpu_limit: Option<CpuMilli>,
    /// `requests.memory`.
    pub memory_request: Option<ByteCount>,
    /// `limits.memory`.
    pub memory_limit: Option<ByteCount>,
}

/// Directories of a container's cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CgroupPaths {
    /// The one directory of the unified hierarchy.
    V2(PathBuf),
    /// One directory per controller.
    V1(CgroupV1Paths),
}

/// Directories of a container in the hierarchies of cgroup v1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CgroupV1Paths {
    /// Below `cpuacct`.
    pub cpuacct: PathBuf,
    /// Below `cpu`, for throttling.
    pub cpu: Option<PathBuf>,
    /// Below `memory`.
    pub memory: Option<PathBuf>,
    /// Below `pids`.
    pub pids: Option<PathBuf>,
}
