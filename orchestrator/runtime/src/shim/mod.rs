//! The small process above each container: a re-exec of our own binary, single-threaded, that outlives
//! the agent. It collects orphans of its container (subreaper), writes the log, kills the whole tree when
//! asked, and leaves behind how it ended.

mod child;
mod exec;
mod log;
pub(crate) mod supervise;

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::ExitCode;

pub(crate) use exec::ExecVerdict;

/// First argument by which the binary knows that it is a shim.
pub const SHIM_ARG: &str = "__shim";

/// What the shim writes to its standard output once it is known how the start went; `state.json` has the rest.
pub(crate) const STARTED: &str = "started\n";
/// See [`STARTED`]: the program could not be executed.
pub(crate) const NOT_STARTED: &str = "not started\n";

/// Runs the shim. `args` are those after [`SHIM_ARG`]:
/// `run <container directory>` or `exec <container directory> <timeout in ms> <command…>`.
///
/// The binary calls this before anything else, above all before it starts a thread.
pub fn shim_main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut args = args.into_iter();
    let (mode, dir) = (args.next(), args.next());
    let outcome = match (mode.as_ref().and_then(|mode| mode.to_str()), dir) {
        (Some("run"), Some(dir)) => supervise::run(Path::new(&dir)),
        (Some("exec"), Some(dir)) => exec::run(Path::new(&dir), args),
        _ => Err(ShimFault::usage()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("swell {SHIM_ARG}: {}", swell_telemetry::chain(&fault));
            ExitCode::FAILURE
        }
    }
}

/// Why a shim gave up.
#[derive(Debug, thiserror::Error)]
#[error("{doing}")]
pub(crate) struct ShimFault {
    doing: String,
    #[source]
    source: io::Error,
}

impl ShimFault {
    /// For `map_err`: says what was being done.
    pub(crate) fn when<E: Into<io::Error>>(doing: impl Into<String>) -> impl FnOnce(E) -> Self {
        let doing = doing.into();
        move |source| Self { doing, source: source.into() }
    }

    fn usage() -> Self {
        Self {
            doing: "this command is for the node agent only".to_owned(),
            source: io::Error::new(
                io::ErrorKind::InvalidInput,
                "expected `run DIRECTORY` or `exec DIRECTORY TIMEOUT_MS COMMAND…`",
            ),
        }
    }
}
