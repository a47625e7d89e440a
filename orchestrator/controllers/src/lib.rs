//! Runs reconcile and schedule: cache, queue, plan, apply, status, event.
//!
//! One task (in `feed`) looks at what changed in the caches and asks for a look at the keys concerned; the workers of
//! each controller read the caches, have a plan made by `swell-reconcile`, and carry it out. Nothing polls: without
//! changes and without a deadline nothing runs. All decisions are elsewhere, as pure functions.

mod changes;
mod config;
mod deployment;
mod endpoints;
mod error;
mod feed;
mod index;
mod metrics;
mod nodes;
mod pod_gc;
mod replica_set;
mod run;
mod scheduler;
mod worker;

pub use config::Config;
pub use run::{Caches, Controllers};
