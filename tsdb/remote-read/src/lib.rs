//! Reads samples that others have, by Prometheus' remote read.
//!
//! [`RemoteReaders`] asks each server that may have something to a selection (`plan`), takes what it answers, samples or
//! chunks (`collect`), and gives it as series. A server that does not answer, or not rightly, adds nothing: the reader is
//! warned, as by Prometheus, and the answer is what the others have.

mod collect;
mod config;
mod exchange;
mod failures;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod metrics;
mod plan;
mod readers;

pub use config::RemoteReadConfig;
pub use readers::{Asked, Prepared, RemoteReaders};
