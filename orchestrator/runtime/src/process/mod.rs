//! The unprivileged backend: one tree of ordinary processes for each container, under a shim of its own.
//!
//! Nothing of a running container lives in the agent: it can be dropped and opened again on the same
//! state directory at any time. Exits are learnt from a pidfd on each shim, also on adopted ones.

mod adopt;
pub(crate) mod cgroup;
mod container;
mod exec;
pub(crate) mod identity;
pub(crate) mod layout;
pub(crate) mod program;
mod sandbox;
pub(crate) mod tree;
mod watch;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;
use rustix::fs::{FlockOperation, flock};
use rustix::pipe::{PipeFlags, pipe_with};
use swell_env::Clock;
use tokio::sync::{broadcast, watch as cell};
use tokio_util::sync::{CancellationToken, DropGuard};

use self::cgroup::CgroupRoots;
use self::layout::Layout;
pub use self::tree::process_tree;
use crate::runtime::{ContainerRuntime, RuntimeError};
use crate::types::{
    ContainerConfig, ContainerEvent, ContainerId, ContainerStatus, ExecOutput, Isolation,
    RuntimeVersion, SandboxConfig, SandboxId, SandboxStatus,
};

/// Events kept for a receiver that lags; one that lags more looks at everything.
const EVENTS_MAX: usize = 1024;

/// How long another holder of the lock gets to let go, looked at in these steps.
const LOCK_STEP: Duration = Duration::from_millis(20);
const LOCK_STEPS: u32 = 25;

/// How to start a shim: a program that calls [`shim_main`](crate::shim_main) with what follows `args`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShimCommand {
    /// The program; `/proc/self/exe` stays right when the binary is replaced on disk.
    pub program: PathBuf,
    /// Its first arguments, by which it knows that it is a shim.
    pub args: Vec<OsString>,
}

impl ShimCommand {
    /// The running binary with [`SHIM_ARG`](crate::SHIM_ARG).
    #[must_use]
    pub fn own_binary() -> Self {
        Self { program: PathBuf::from("/proc/self/exe"), args: vec![crate::SHIM_ARG.into()] }
    }
}

/// Whether control groups are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupUse {
    /// Where they can be made.
    Auto,
    /// Never.
    Off,
}

/// What [`ProcessRuntime::open`] needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessConfig {
    /// Directory of its own, made when absent; one agent at a time.
    pub state_dir: PathBuf,
    /// How to start a shim.
    pub shim: ShimCommand,
    /// Kill every container when this process ends, however it ends (for the demo).
    pub die_with_parent: bool,
    /// Whether control groups are used.
    pub cgroups: CgroupUse,
    /// Size at which a container's log is rotated; the kubelet's default is 10 MiB.
    pub log_file_bytes_max: u64,
    /// How many files a container's log may have; the kubelet's default is 5.
    pub log_file_count_max: u32,
    /// Soft limit of open files of containers that ask for none; `None` for that of this process. A process that has
    /// raised its own gives what it had before: programs that use `select` break above 1024, and others raise it
    /// themselves, up to the hard limit.
    pub open_files_soft: Option<u64>,
}

impl ProcessConfig {
    /// The kubelet's log bounds, control groups where possible, containers that outlive the agent.
    #[must_use]
    pub fn new(state_dir: PathBuf, shim: ShimCommand) -> Self {
        Self {
            state_dir,
            shim,
            die_with_parent: false,
            cgroups: CgroupUse::Auto,
            log_file_bytes_max: 10 << 20,
            log_file_count_max: 5,
            open_files_soft: None,
        }
    }
}

/// Why the state directory could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenRuntimeError {
    /// The directory or a file in it cannot be used.
    #[error("{doing} {}", .path.display())]
    State {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// Another process uses it.
    #[error("{} is in use by another node agent; stop that one or choose another data directory", .path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
}

/// See the module's documentation. Cheap to clone.
#[derive(Clone)]
pub struct ProcessRuntime {
    inner: Arc<Inner>,
}

/// Lock order: `sandboxes` before `containers`; neither is held across an await or a file operation.
struct Inner {
    layout: Layout,
    config: ProcessConfig,
    clock: Arc<dyn Clock>,
    cgroups: CgroupRoots,
    /// Read end for the shims, write end that closes with this process.
    lifeline: Option<(OwnedFd, OwnedFd)>,
    sandboxes: Mutex<BTreeMap<SandboxId, SandboxStatus>>,
    containers: Mutex<BTreeMap<ContainerId, cell::Sender<ContainerStatus>>>,
    events: broadcast::Sender<ContainerEvent>,
    /// Ends the tasks that watch shims.
    watching: CancellationToken,
    _stop_watching: DropGuard,
    _held_while_open: File,
}

impl fmt::Debug for ProcessRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessRuntime").field("config", &self.inner.config).finish_non_exhaustive()
    }
}

impl ProcessRuntime {
    /// Opens a state directory and adopts what still runs in it. Call within a tokio runtime.
    ///
    /// # Errors
    /// [`OpenRuntimeError`].
    pub async fn open(
        config: ProcessConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenRuntimeError> {
        let fault = |doing| {
            let path = config.state_dir.clone();
            move |source: io::Error| OpenRuntimeError::State { doing, path, source }
        };
        let layout = Layout::create(&config.state_dir).map_err(fault("create"))?;
        let lock = lock(&layout).await?;
        let lifeline = if config.die_with_parent {
            Some(pipe_with(PipeFlags::CLOEXEC).map_err(|e| fault("make a pipe for")(e.into()))?)
        } else {
            None
        };
        let cgroups = match config.cgroups {
            CgroupUse::Auto => CgroupRoots::discover(),
            CgroupUse::Off => CgroupRoots::off("control groups are switched off"),
        };
        let watching = CancellationToken::new();
        let inner = Arc::new(Inner {
            layout,
            config,
            clock,
            cgroups,
            lifeline,
            sandboxes: Mutex::default(),
            containers: Mutex::default(),
            events: broadcast::channel(EVENTS_MAX).0,
            _stop_watching: watching.clone().drop_guard(),
            watching,
            _held_while_open: lock,
        });
        adopt::adopt(&inner).await?;
        Ok(Self { inner })
    }

    /// Runs file and process work off the async threads.
    async fn blocking<T, F>(&self, work: F) -> Result<T, RuntimeError>
    where
        T: Send + 'static,
        F: FnOnce(&Inner) -> Result<T, RuntimeError> + Send + 'static,
    {
        let inner = Arc::clone(&self.inner);
        tokio::task::spawn_blocking(move || work(&inner))
            .await
            .expect("work on the state directory does not panic and is not cancelled")
    }
}

/// Takes the directory's lock. An agent that was killed in the middle of a start may seem to hold it
/// until its last child has become another program.
async fn lock(layout: &Layout) -> Result<File, OpenRuntimeError> {
    let path = layout.lock_file();
    let fault = |source| OpenRuntimeError::State { doing: "lock", path: path.clone(), source };
    let file = File::create(&path).map_err(fault)?;
    for _ in 0..LOCK_STEPS {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) => tokio::time::sleep(LOCK_STEP).await,
            Err(error) => return Err(fault(error.into())),
        }
    }
    Err(OpenRuntimeError::Locked { path })
}

impl Inner {
    /// Publishes a new state of a container and wakes who waits for one.
    fn publish(&self, status: ContainerStatus) {
        let event =
            ContainerEvent { pod_uid: status.pod.uid.clone(), container: status.id.clone() };
        if let Some(cell) = self.containers.lock().get(&status.id) {
            cell.send_replace(status);
        }
        // Nobody listening is fine: a later listener looks at everything first.
        drop(self.events.send(event));
    }

    fn status(&self, id: &ContainerId) -> Result<ContainerStatus, RuntimeError> {
        self.containers
            .lock()
            .get(id)
            .map(|cell| cell.borrow().clone())
            .ok_or_else(|| RuntimeError::NotFound { what: "container", id: id.as_str().to_owned() })
    }

    fn statuses(&self, keep: impl Fn(&ContainerStatus) -> bool) -> Vec<ContainerStatus> {
        self.containers
            .lock()
            .values()
            .map(cell::Sender::borrow)
            .filter(|status| keep(status))
            .map(|status| status.clone())
            .collect()
    }
}

impl ContainerRuntime for ProcessRuntime {
    fn version(&self) -> RuntimeVersion {
        let shared = "pods are ordinary processes of this node and share its file system, network, \
                      process list and users";
        let message = match self.inner.cgroups.shortcomings() {
            Some(shortcomings) => format!("{shared}; {shortcomings}"),
            None => {
                format!("{shared}; limits on cpu, memory and pids are enforced by control groups")
            }
        };
        RuntimeVersion {
            name: "process",
            version: swell_telemetry::VERSION,
            host_image_only: true,
            isolation: Isolation { complete: false, message },
        }
    }

    fn run_sandbox(
        &self,
        config: SandboxConfig,
    ) -> BoxFuture<'_, Result<SandboxStatus, RuntimeError>> {
        self.blocking(move |inner| inner.run_sandbox(config)).boxed()
    }

    fn stop_sandbox<'a>(&'a self, id: &'a SandboxId) -> BoxFuture<'a, Result<(), RuntimeError>> {
        async move {
            let running = self.inner.statuses(|c| c.sandbox == *id && c.state.is_running());
            let stops = running.iter().map(|c| self.stop_container(&c.id, Duration::ZERO));
            futures::future::try_join_all(stops).await?;
            let id = id.clone();
            self.blocking(move |inner| inner.mark_stopped(&id)).await
        }
        .boxed()
    }

    fn remove_sandbox<'a>(&'a self, id: &'a SandboxId) -> BoxFuture<'a, Result<(), RuntimeError>> {
        let id = id.clone();
        self.blocking(move |inner| inner.remove_sandbox(&id)).boxed()
    }

    fn create_container<'a>(
        &'a self,
        sandbox: &'a SandboxId,
        config: ContainerConfig,
    ) -> BoxFuture<'a, Result<ContainerStatus, RuntimeError>> {
        let sandbox = sandbox.clone();
        self.blocking(move |inner| inner.create_container(&sandbox, config)).boxed()
    }

    fn start_container<'a>(
        &'a self,
        id: &'a ContainerId,
    ) -> BoxFuture<'a, Result<ContainerStatus, RuntimeError>> {
        container::start(self, id).boxed()
    }

    fn stop_container<'a>(
        &'a self,
        id: &'a ContainerId,
        grace: Duration,
    ) -> BoxFuture<'a, Result<(), RuntimeError>> {
        container::stop(self, id, grace).boxed()
    }

    fn remove_container<'a>(
        &'a self,
        id: &'a ContainerId,
    ) -> BoxFuture<'a, Result<(), RuntimeError>> {
        let id = id.clone();
        self.blocking(move |inner| inner.remove_container(&id)).boxed()
    }

    fn sandboxes(&self) -> Vec<SandboxStatus> {
        self.inner.sandboxes.lock().values().cloned().collect()
    }

    fn list(&self) -> Vec<ContainerStatus> {
        self.inner.statuses(|_| true)
    }

    fn list_pod(&self, pod_uid: &str) -> Vec<ContainerStatus> {
        self.inner.statuses(|container| container.pod.uid == pod_uid)
    }

    fn container_status(&self, id: &ContainerId) -> Result<ContainerStatus, RuntimeError> {
        self.inner.status(id)
    }

    fn exec<'a>(
        &'a self,
        id: &'a ContainerId,
        command: Vec<String>,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<ExecOutput, RuntimeError>> {
        exec::exec(self, id, command, timeout).boxed()
    }

    fn events(&self) -> broadcast::Receiver<ContainerEvent> {
        self.inner.events.subscribe()
    }
}
