//! What crosses the [`ContainerRuntime`](crate::ContainerRuntime) border: ids, configurations, states.
//!
//! The configurations are also what the process backend writes into its state directory, so that a
//! restarted agent and the shim read the very values the agent asked for.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use swell_model::TimestampMs;

/// Which pod a sandbox or container belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PodIdentity {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub name: String,
    /// UID the API server gave it; never used again for another pod.
    pub uid: String,
}

impl fmt::Display for PodIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A pod sandbox of one runtime: one for each pod UID and attempt.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SandboxId(String);

/// A container of one runtime: one for each pod UID, container name and attempt. It is made of these
/// three, so that asking twice for the same container cannot make a second one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContainerId(String);

impl SandboxId {
    /// The id of a pod's sandbox.
    #[must_use]
    pub fn of(pod: &PodIdentity, attempt: u32) -> Self {
        Self(format!("{}_{attempt}", pod.uid))
    }

    /// The id as text: letters, digits, `.`, `-` and `_` only.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ContainerId {
    /// The id of a pod's container.
    #[must_use]
    pub fn of(pod: &PodIdentity, name: &str, attempt: u32) -> Self {
        Self(format!("{}_{name}_{attempt}", pod.uid))
    }

    /// The id as text: letters, digits, `.`, `-` and `_` only.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SandboxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether `text` may become part of an id and so of a file name.
pub(crate) fn is_id_part(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 200
        && !text.starts_with('.')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))
}

/// What a pod sandbox is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxConfig {
    /// The pod.
    pub pod: PodIdentity,
    /// Counts the sandboxes of one pod, from 0.
    pub attempt: u32,
    /// The address that belongs to the pod while the sandbox exists; `None` shares the node's.
    pub address: Option<IpAddr>,
    /// Directory that holds `<container>/<attempt>.log` for each container.
    pub log_dir: PathBuf,
    /// Free text the caller wants back after a restart.
    pub labels: BTreeMap<String, String>,
}

/// A user a container runs as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunAs {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Further groups.
    pub supplementary_gids: Vec<u32>,
}

/// Limits and shares; `None` means without.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// CPU asked for, in thousandths of a core: the share under contention.
    pub cpu_request_milli: Option<u64>,
    /// CPU never exceeded, in thousandths of a core.
    pub cpu_limit_milli: Option<u64>,
    /// Memory never exceeded.
    pub memory_limit_bytes: Option<u64>,
    /// Number of processes and threads never exceeded.
    pub pids_limit: Option<u64>,
}

/// Which limit of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RlimitKind {
    /// Open files (`RLIMIT_NOFILE`).
    OpenFiles,
    /// Size of a core dump in bytes (`RLIMIT_CORE`).
    CoreBytes,
    /// Processes of the user (`RLIMIT_NPROC`).
    Processes,
}

/// A soft and a hard limit; each is lowered to the hard limit the node's agent runs under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimit {
    /// Which one.
    pub kind: RlimitKind,
    /// The limit in force.
    pub soft: u64,
    /// How far the process may raise it.
    pub hard: u64,
}

/// What a container is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerConfig {
    /// Name within the pod.
    pub name: String,
    /// Counts the runs of this container in its pod, from 0.
    pub attempt: u32,
    /// Image as the pod names it.
    pub image: String,
    /// Program and arguments; the program is looked up in the container's own `PATH`.
    pub command: Vec<String>,
    /// The whole environment; nothing is inherited.
    pub env: Vec<(String, String)>,
    /// Directory the program starts in; `/` when absent.
    pub working_dir: Option<PathBuf>,
    /// User to run as; the agent's own when absent.
    pub run_as: Option<RunAs>,
    /// Limits and shares.
    pub resources: Resources,
    /// Limits of the process itself.
    pub rlimits: Vec<Rlimit>,
    /// Free text the caller wants back after a restart.
    pub labels: BTreeMap<String, String>,
}

/// Why a container is no longer running.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitReason {
    /// Ended by itself with code 0.
    Completed,
    /// Ended with another code or by a signal.
    Error,
    /// Killed by the kernel for the memory limit.
    OomKilled,
    /// The program could not be executed.
    StartError,
    /// The runtime lost sight of it (its shim was killed, the node was restarted).
    Lost,
}

impl ExitReason {
    /// The word Kubernetes uses in `state.terminated.reason`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "Completed",
            Self::Error => "Error",
            Self::OomKilled => "OOMKilled",
            Self::StartError => "StartError",
            Self::Lost => "ContainerStatusUnknown",
        }
    }
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Exit code; 128 + signal after a signal.
    pub code: i32,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Why.
    pub reason: ExitReason,
    /// More, for people; may be empty.
    pub message: String,
    /// When it had started; `None` when it never did.
    #[serde(with = "timestamp::option")]
    pub started_at: Option<TimestampMs>,
    /// When the last of its processes was gone.
    #[serde(with = "timestamp")]
    pub finished_at: TimestampMs,
}

/// Where a container is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContainerState {
    /// Made, never started.
    Created,
    /// Its program runs.
    Running {
        /// Since when.
        started_at: TimestampMs,
    },
    /// All its processes are gone.
    Exited(Exit),
}

impl ContainerState {
    /// Whether the program runs.
    #[must_use]
    pub const fn is_running(&self) -> bool {
        matches!(self, Self::Running { .. })
    }
}

/// The control groups of a container; empty when the runtime may make none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupPaths {
    /// Directory in the unified (v2) hierarchy.
    pub unified: Option<PathBuf>,
    /// Directory in each version 1 hierarchy, by controller (`cpu`, `cpuacct`, `memory`, `pids`).
    pub v1: BTreeMap<String, PathBuf>,
}

impl CgroupPaths {
    /// Every directory once.
    pub fn directories(&self) -> impl Iterator<Item = &PathBuf> {
        let mut seen = std::collections::BTreeSet::new();
        self.unified.iter().chain(self.v1.values()).filter(move |path| seen.insert(*path))
    }
}

/// A container as the runtime sees it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerStatus {
    /// Its id.
    pub id: ContainerId,
    /// Its sandbox.
    pub sandbox: SandboxId,
    /// Its pod.
    pub pod: PodIdentity,
    /// What it was made of.
    pub config: Arc<ContainerConfig>,
    /// When it was made.
    pub created_at: TimestampMs,
    /// Where it is in its life.
    pub state: ContainerState,
    /// Process ids at the root of its trees while it runs; empty for simulated ones.
    pub root_pids: Vec<u32>,
    /// Its control groups while it runs.
    pub cgroups: CgroupPaths,
    /// Its log in Kubernetes' CRI format; older parts lie beside it as `<name>.1` and up.
    pub log_path: PathBuf,
}

/// A sandbox as the runtime sees it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxStatus {
    /// Its id.
    pub id: SandboxId,
    /// What it was made of.
    pub config: Arc<SandboxConfig>,
    /// When it was made.
    pub created_at: TimestampMs,
    /// Whether containers may run in it; false once it is stopped.
    pub ready: bool,
}

/// A wake-up: something about this container changed; look at its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerEvent {
    /// UID of its pod.
    pub pod_uid: String,
    /// The container.
    pub container: ContainerId,
}

/// What a command run inside a container gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecOutput {
    /// Exit code; 128 + signal after a signal.
    pub exit_code: i32,
    /// Both output streams as they came, cut at [`EXEC_OUTPUT_BYTES_MAX`].
    pub output: Vec<u8>,
}

/// How much of a command's output [`ExecOutput`] keeps, as the kubelet does for exec probes.
pub const EXEC_OUTPUT_BYTES_MAX: usize = 10 * 1024;

/// Name and version of a runtime, and how well it isolates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeVersion {
    /// Name, also the scheme of container ids in pod status (`process://…`).
    pub name: &'static str,
    /// Version.
    pub version: &'static str,
    /// Runs programs of the node under the image name `host` and no other image.
    pub host_image_only: bool,
    /// What the containers of this node do not get.
    pub isolation: Isolation,
}

/// What a runtime keeps apart and what not, in words for the node's condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Isolation {
    /// Whether pods are kept apart as Kubernetes expects of containers.
    pub complete: bool,
    /// What is shared or not enforced, and why.
    pub message: String,
}

/// How long a container may take to start before the runtime calls it failed.
pub(crate) const START_DEADLINE: Duration = Duration::from_secs(10);

/// `TimestampMs` as a number of milliseconds.
pub(crate) mod timestamp {
    use serde::{Deserialize, Deserializer, Serializer};
    use swell_model::TimestampMs;

    pub(crate) fn serialize<S: Serializer>(at: &TimestampMs, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_i64(at.0)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<TimestampMs, D::Error> {
        i64::deserialize(from).map(TimestampMs)
    }

    pub(crate) mod option {
        use serde::{Deserialize, Deserializer, Serialize, Serializer};
        use swell_model::TimestampMs;

        pub(crate) fn serialize<S: Serializer>(
            at: &Option<TimestampMs>,
            to: S,
        ) -> Result<S::Ok, S::Error> {
            at.map(|at| at.0).serialize(to)
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
            from: D,
        ) -> Result<Option<TimestampMs>, D::Error> {
            Ok(Option::<i64>::deserialize(from)?.map(TimestampMs))
        }
    }
}
