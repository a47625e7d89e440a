//! Chores of this repository: `cargo xtask --help`.

mod conformance;
mod tidy;

use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(about = "Chores of this repository")]
struct Args {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Run a conformance suite; exit 1 when a case fails.
    #[command(subcommand)]
    Conformance(conformance::Suite),
    /// Check the rules of the house: layers, purity, inherited lints, refused words.
    Tidy,
}

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a crate stands in a folder");
    let outcome = match Args::parse().chore {
        Chore::Conformance(suite) => suite.run(root),
        Chore::Tidy => tidy::run(root),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
