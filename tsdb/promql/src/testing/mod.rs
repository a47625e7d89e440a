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

/// The functions that aggregates can answer, for tests that storages give such aggregates as samples give.
pub const FOLDED_FUNCTIONS: [&str; 15] = [
    "count_over_time",
    "sum_over_time",
    "avg_over_time",
    "min_over_time",
    "max_over_time",
    "first_over_time",
    "last_over_time",
    "present_over_time",
    "ts_of_first_over_time",
    "ts_of_last_over_time",
    "rate",
    "increase",
    "delta",
    "resets",
    "changes",
];

pub use run::{EvalFailure, FileReport, RunOptions, run_script};
pub use storage::{
    LoadedSample, LoadedSeries, StorageFactory, TestStorage, append_batch, memory_storage,
};
