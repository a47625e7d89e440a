//! Metrics of containers in cAdvisor's names, from cgroup v2, cgroup v1, or the process tree below a
//! root process where the user may not use cgroups.
//!
//! Which containers there are comes from a [`ContainerInventory`], so a series is never written before its
//! labels are known. [`ContainerSource::collect`] writes one tick into a [`swell_model::Pass`]: one scan of
//! `/proc` for all containers, then a few reads of files that stay open. CPU time has nanoseconds
//! wherever the kernel tells them.
//!
//! Absent here: how containers are started (the runtime), timers, sending.

mod cgroup;
mod config;
mod container;
mod inventory;
mod machine;
mod network;
mod process;
mod source;

pub use config::Config;
pub use inventory::{
    CgroupPaths, CgroupV1Paths, ContainerInfo, ContainerInventory, ContainerResources,
};
pub use source::ContainerSource;
pub use swell_source::{ReadError, Stopwatch};
