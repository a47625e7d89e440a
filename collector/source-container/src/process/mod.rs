//! Containers as process trees: which processes belong to which root, and what they used.

mod account;
mod cpu_clock;
mod one;
mod stat;
mod tree;

pub(crate) use account::{CpuAccount, CpuUse};
pub(crate) use one::{Process, Reading};
pub(crate) use tree::ProcessTree;
