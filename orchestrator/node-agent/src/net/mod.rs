//! Addresses of pods, and who listens where.

mod address;
mod listeners;

pub(crate) use address::AddressPool;
pub(crate) use listeners::{misbound, port_conflict};
