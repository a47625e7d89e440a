//! The trait every backend implements, and what may go wrong behind it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::broadcast;

use crate::types::{
    ContainerConfig, ContainerEvent, ContainerId, ContainerStatus, ExecOutput, RuntimeVersion,
    SandboxConfig, SandboxId, SandboxStatus,
};

/// Runs the containers of one node. Shaped like the Kubernetes CRI (`RuntimeService`), minus images.
///
/// Contract, checked for each backend by [`contract`](crate::contract):
/// - `stop_*` and `remove_*` are idempotent: what is stopped or gone already is a success.
/// - `create_container` and `run_sandbox` with ids that exist fail with [`RuntimeError::AlreadyExists`].
/// - A container is [`Exited`](crate::ContainerState::Exited) only when *all* its processes are gone.
/// - Every change of a container's state is followed by an event; events are wake-ups and may be lost
///   when a receiver lags, so a receiver that lagged looks at everything.
pub trait ContainerRuntime: Send + Sync + fmt::Debug {
    /// Name, version and what is not isolated.
    fn version(&self) -> RuntimeVersion;

    /// Makes the sandbox of a pod.
    fn run_sandbox(
        &self,
        config: SandboxConfig,
    ) -> BoxFuture<'_, Result<SandboxStatus, RuntimeError>>;

    /// Kills what still runs in the sandbox (without grace) and marks it not ready.
    fn stop_sandbox<'a>(&'a self, id: &'a SandboxId) -> BoxFuture<'a, Result<(), RuntimeError>>;

    /// Removes a stopped sandbox with all its containers; frees its address.
    fn remove_sandbox<'a>(&'a self, id: &'a SandboxId) -> BoxFuture<'a, Result<(), RuntimeError>>;

    /// Prepares a container; checks what can be checked before it starts.
    fn create_container<'a>(
        &'a self,
        sandbox: &'a SandboxId,
        config: ContainerConfig,
    ) -> BoxFuture<'a, Result<ContainerStatus, RuntimeError>>;

    /// Starts a created container and returns once its program runs. A program that cannot be executed
    /// is no error of this call: the container is then exited with
    /// [`StartError`](crate::ExitReason::StartError) and code 128, as containerd reports it.
    fn start_container<'a>(
        &'a self,
        id: &'a ContainerId,
    ) -> BoxFuture<'a, Result<ContainerStatus, RuntimeError>>;

    /// Ends a container: SIGTERM, after `grace` SIGKILL to whatever is left of its processes. Returns
    /// when all of them are gone. A second call with a shorter grace shortens the first.
    fn stop_container<'a>(
        &'a self,
        id: &'a ContainerId,
        grace: Duration,
    ) -> BoxFuture<'a, Result<(), RuntimeError>>;

    /// Forgets a container that does not run, and its log.
    fn remove_container<'a>(
        &'a self,
        id: &'a ContainerId,
    ) -> BoxFuture<'a, Result<(), RuntimeError>>;

    /// Every sandbox.
    fn sandboxes(&self) -> Vec<SandboxStatus>;

    /// Every container of every sandbox, exited ones included, in the order of their ids.
    fn list(&self) -> Vec<ContainerStatus>;

    /// The containers of one pod, exited ones included.
    fn list_pod(&self, pod_uid: &str) -> Vec<ContainerStatus>;

    /// One container.
    ///
    /// # Errors
    /// [`RuntimeError::NotFound`].
    fn container_status(&self, id: &ContainerId) -> Result<ContainerStatus, RuntimeError>;

    /// Runs a command with the environment, user and control groups of a running container.
    fn exec<'a>(
        &'a self,
        id: &'a ContainerId,
        command: Vec<String>,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<ExecOutput, RuntimeError>>;

    /// Wake-ups from now on.
    fn events(&self) -> broadcast::Receiver<ContainerEvent>;
}

/// Why a runtime did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// There is no such container or sandbox.
    #[error("no {what} {id}")]
    NotFound {
        /// `container` or `sandbox`.
        what: &'static str,
        /// Its id.
        id: String,
    },
    /// It is there already.
    #[error("{what} {id} exists already")]
    AlreadyExists {
        /// `container` or `sandbox`.
        what: &'static str,
        /// Its id.
        id: String,
    },
    /// The call does not fit the state of the container or sandbox.
    #[error("{what} {id} is {state}; {needed}")]
    WrongState {
        /// `container` or `sandbox`.
        what: &'static str,
        /// Its id.
        id: String,
        /// What it is.
        state: &'static str,
        /// What the call needs.
        needed: &'static str,
    },
    /// The configuration cannot run on this node; the message says what to change.
    #[error("{message}")]
    Unrunnable {
        /// What is wrong, where, and how to mend it.
        message: String,
    },
    /// The command inside the container took too long; it was killed.
    #[error("command timed out after {timeout:?}")]
    ExecTimeout {
        /// The time it had.
        timeout: Duration,
    },
    /// Another process uses the state directory.
    #[error("{} is in use by another node agent; stop that one or choose another data directory", .path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// A file of the state directory cannot be used.
    #[error("{doing} {}", .path.display())]
    State {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// The container's shim does not do its part.
    #[error("shim of container {id}: {message}")]
    Shim {
        /// The container.
        id: ContainerId,
        /// What it does or said.
        message: String,
    },
}
