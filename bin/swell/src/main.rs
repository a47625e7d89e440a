//! The one binary: composition root of every role.
//!
//! `main` reads the command line and hands over: to a role (`server`, `agent`, `demo`), to a client verb, or to
//! a tool that works on files. Only here are environment and exit status known.

mod adapters;
mod agent;
mod allocator;
mod args;
mod check;
mod collect;
mod config;
mod data_dir;
mod demo;
mod doctor;
#[cfg(feature = "archive")]
mod exchange;
mod identity;
mod node;
mod open_files;
mod server;
mod shutdown;
mod test_rules;
mod tsdb_tools;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{CommandFactory as _, Parser as _};
use swell_cli::CliError;
use swell_telemetry::LogFormat;

use args::{Cli, LogForm, OutputForm, TestVerb, Verb};
use demo::ServiceConfig;

/// Exit status of findings that are failures, as of `doctor`.
const FAILED: u8 = 1;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    if args.get(1).is_some_and(|first| first == swell_runtime::SHIM_ARG) {
        return swell_runtime::shim_main(args.into_iter().skip(2));
    }
    let cli = Cli::parse_from(args);
    let format = match cli.log_format {
        LogForm::Text => LogFormat::Text,
        LogForm::Json => LogFormat::Json,
    };
    if let Err(error) = swell_telemetry::init_logging(&cli.log, format) {
        eprintln!("swell: {}", swell_telemetry::chain(&error));
        return ExitCode::from(2);
    }
    match run(cli.verb) {
        Ok(code) => code,
        Err(error) => report(&error),
    }
}

/// Prints an error with its causes; its kind decides the exit status.
fn report(error: &anyhow::Error) -> ExitCode {
    if let Some(cli) = error.downcast_ref::<CliError>() {
        if cli.is_broken_pipe() {
            return ExitCode::SUCCESS;
        }
        eprintln!("swell: {error:#}");
        return ExitCode::from(cli.exit_status() as u8);
    }
    eprintln!("swell: {error:#}");
    ExitCode::from(FAILED)
}

fn run(verb: Verb) -> anyhow::Result<ExitCode> {
    match verb {
        Verb::Demo(args) => multi_threaded()?.block_on(demo::run(&args)),
        Verb::Server(args) => {
            multi_threaded()?.block_on(server::run(&args))?;
            Ok(ExitCode::SUCCESS)
        }
        Verb::Agent(args) => {
            multi_threaded()?.block_on(agent::run(&args))?;
            Ok(ExitCode::SUCCESS)
        }
        Verb::Client(verb) => {
            single_threaded()?.block_on(swell_cli::run(verb, &mut io::stdout().lock()))?;
            Ok(ExitCode::SUCCESS)
        }
        Verb::Check(verb) => Ok(verdict(check::run(&verb))),
        Verb::Test(TestVerb::Rules(args)) => Ok(verdict(test_rules::run(&args))),
        Verb::Tsdb(verb) => Ok(verdict(tsdb_tools::run(&verb)?)),
        Verb::Token(args) => print(&server::join_token(&args.data_dir)?.to_line()),
        Verb::Kubeconfig(args) => {
            let path = args.data_dir.join("kubeconfig");
            let text = std::fs::read_to_string(&path).with_context(|| {
                format!("read {}: has `swell server` run with this data directory?", path.display())
            })?;
            print(text.trim_end())
        }
        Verb::Doctor(args) => Ok(ExitCode::from(doctor::run(&args)?)),
        Verb::Completion { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "swell", &mut io::stdout());
            Ok(ExitCode::SUCCESS)
        }
        Verb::Version(args) => match args.output {
            OutputForm::Text => print(&format!("swell {}", swell_telemetry::VERSION)),
            OutputForm::Json => {
                print(&serde_json::json!({"version": swell_telemetry::VERSION}).to_string())
            }
        },
        Verb::DemoService(args) => {
            let cost = Duration::from_micros(args.cost_us);
            single_threaded()?
                .block_on(demo::serve(ServiceConfig { listen: args.listen, cost }))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn print(line: &str) -> anyhow::Result<ExitCode> {
    writeln!(io::stdout(), "{line}").map_err(CliError::Write)?;
    Ok(ExitCode::SUCCESS)
}

fn verdict(good: bool) -> ExitCode {
    if good { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
}

fn multi_threaded() -> anyhow::Result<tokio::runtime::Runtime> {
    open_files::raise();
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the asynchronous runtime")
}

fn single_threaded() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the asynchronous runtime")
}
