//! Makes remote write requests once, and pushes them as often as wanted: what `compare.py` measures servers with.
//!
//! Making and pushing are two commands, so that every server gets the same bytes and the work of making them is not
//! measured beside it.

mod make;
mod send;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Pushes generated series by remote write.
#[derive(Debug, Parser)]
#[command(name = "swell-push")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Write requests into a folder, a file for each connection
    Make(MakeArgs),
    /// Push the requests of a folder, as fast as they are taken
    Send(SendArgs),
}

/// What to make.
#[derive(Args, Debug)]
pub(crate) struct MakeArgs {
    /// Folder for the requests; made if it is not there
    #[arg(long)]
    out: PathBuf,
    /// Series at least
    #[arg(long)]
    series: usize,
    /// Samples of each series
    #[arg(long)]
    rows: usize,
    /// Milliseconds between two samples of a series
    #[arg(long)]
    step_ms: i64,
    /// Time of the first row, in milliseconds
    #[arg(long)]
    start_ms: i64,
    /// Connections that will push, each its own series
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// Samples of one request
    #[arg(long, default_value_t = 5_000)]
    request_samples: usize,
    /// Share of the pods that is replaced in an hour
    #[arg(long, default_value_t = 0.0)]
    churn_per_hour: f64,
    /// Equal seeds give equal requests
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What to push, and where.
#[derive(Args, Debug)]
pub(crate) struct SendArgs {
    /// Folder that `make` wrote
    #[arg(long)]
    from: PathBuf,
    /// Address of the server
    #[arg(long)]
    to: String,
    /// Path of its receiver
    #[arg(long, default_value = "/api/v1/write")]
    path: String,
    /// Stop after so many seconds, in the middle of everything
    #[arg(long)]
    seconds_max: Option<f64>,
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().verb {
        Verb::Make(args) => make::run(&args),
        Verb::Send(args) => send::run(&args),
    }
}
