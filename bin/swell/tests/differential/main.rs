//! The same samples in Debian's Prometheus and in Swell, the same questions to both, and the answers side by side.
//!
//! Prometheus 2.42 is the reference; what 3.x answers otherwise is left out by name, and times lie between samples,
//! since ranges of 2.x are closed on the left and those of 3.x are open.
#![expect(clippy::disallowed_methods, reason = "tests of the binary measure real time")]

#[path = "../harness/mod.rs"]
mod harness;

mod answers;
mod dashboards;
mod demo_metrics;
mod invented;
mod pair;
mod recorded;
mod shared;
