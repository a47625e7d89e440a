//! The [`ContainerRuntime`] trait, shaped like Kubernetes' CRI, and its backends: [`ProcessRuntime`] runs
//! each container as a tree of ordinary processes under a small shim that outlives the agent;
//! [`FakeRuntime`] simulates containers for scale tests. [`contract`] is the suite both pass.
//!
//! The binary that uses [`ProcessRuntime`] must hand over to [`shim_main`] before anything else when its
//! first argument is [`SHIM_ARG`].

pub mod contract;
mod fake;
mod logs;
mod process;
mod readiness;
mod runtime;
mod shim;
mod types;

pub use fake::{FakeConfig, FakeRuntime};
pub use logs::{LogOptions, LogStream, read_log};
pub use process::{
    CgroupUse, OpenRuntimeError, ProcessConfig, ProcessRuntime, ShimCommand, process_tree,
};
pub use runtime::{ContainerRuntime, RuntimeError};
pub use shim::{SHIM_ARG, shim_main};
pub use types::{
    CgroupPaths, ContainerConfig, ContainerEvent, ContainerId, ContainerState, ContainerStatus,
    EXEC_OUTPUT_BYTES_MAX, ExecOutput, Exit, ExitReason, Isolation, PodIdentity, Resources, Rlimit,
    RlimitKind, RunAs, RuntimeVersion, SandboxConfig, SandboxId, SandboxStatus,
};
