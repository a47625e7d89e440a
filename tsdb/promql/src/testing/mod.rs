//! Runs PromQL test scripts: `load` series, `eval` queries, compare results. The language is that of Prometheus'
//! `promqltest` package at version 3.14.
//!
//! Storage is a [`TestStorage`] made per script (and per `clear`): [`memory_storage`] here, the real engine elsewhere.

mod compare;
mod expect;
mod nhcb;
mod run;
mod script;
mod storage;
mod strict;
mod values;
mod ways;

pub use run::{EvalFailure, FileReport, RunOptions, run_script};
pub use storage::{
    LoadedSample, LoadedSeries, StorageFactory, TestStorage, append_batch, memory_storage,
};
