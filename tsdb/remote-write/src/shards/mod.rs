//! Which points are sent when, and over how many shards: decisions without clock or network.

mod plan;
mod state;

pub(crate) use plan::{Ewma, Load, desired};
pub(crate) use state::{Limits, Outcome, Shards, Start};
