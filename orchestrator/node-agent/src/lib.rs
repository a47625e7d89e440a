//! Runs the pods of one node: pod state machine, probes, status, logs, adoption after a restart.
//!
//! [`NodeAgent`] registers the node and gives each pod that is bound to it a worker. A worker looks at the
//! pod, the runtime and the probes, decides by [`pod::plan`], which is pure, and acts. Nothing polls: workers
//! sleep until the API server, the runtime, a probe or a timer has news.

mod agent;
mod config;
mod context;
mod inventory;
mod logs;
mod metrics;
mod net;
mod node;
pub mod pod;
pub mod probe;

pub use agent::{AgentError, Dependencies, NodeAgent};
pub use config::{Capacity, Config, PressureLimits};
pub use inventory::{ContainerEntry, Inventory};
