//! One pod: what it wants, what is known of it, what to do next, and the task that does it.

mod back_off;
mod env;
mod listening;
pub mod plan;
mod probing;
mod publish;
pub mod spec;
mod start;
pub mod state;
mod status;
mod stop;
mod worker;

pub use back_off::{BackOff, BackOffLimits};
pub(crate) use status::time;
pub(crate) use stop::remove_pod;
pub(crate) use worker::{Assignment, PodWorker};
