//! A command inside a running container (exec probes, hooks, `kubectl exec`): same environment, user,
//! limits and control groups; its whole tree is killed when it takes too long.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, setsid};
use rustix::event::{PollFd, PollFlags};
use serde::{Deserialize, Serialize};
use swell_env::{Clock, SystemClock};

use super::supervise::wait;
use super::{ShimFault, child};
use crate::process::layout::{RunSpec, SPEC_FILE, read_json};
use crate::process::{program, tree};
use crate::types::ContainerConfig;

/// What the shim writes, as JSON, to its standard error at the end; standard output is the command's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ExecVerdict {
    /// It ended by itself with this code (128 + signal after a signal).
    Ended(i32),
    /// It was killed for taking too long.
    TimedOut,
    /// It could not be started.
    Refused(String),
}

/// Pause between rounds of SIGKILL for what the command left behind.
const KILL_ROUND: Duration = Duration::from_millis(5);

pub(super) fn run(dir: &Path, args: impl Iterator<Item = OsString>) -> Result<(), ShimFault> {
    let usage = |_| ShimFault::usage();
    let mut args = args.map(OsString::into_string);
    let timeout_ms = args.next().and_then(Result::ok).and_then(|text| text.parse().ok());
    let command = args.collect::<Result<Vec<String>, _>>().map_err(usage)?;
    let Some(timeout) = timeout_ms.map(Duration::from_millis).filter(|_| !command.is_empty())
    else {
        return Err(ShimFault::usage());
    };
    let spec: RunSpec = read_json(&dir.join(SPEC_FILE))
        .and_then(|spec| spec.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound)))
        .map_err(ShimFault::when("read the container's specification"))?;
    let config = ContainerConfig { command, ..spec.config.clone() };
    let verdict = match program::resolve(&config) {
        Err(message) => ExecVerdict::Refused(message),
        Ok(program) => supervise(&program, &config, &spec, timeout)
            .map_err(ShimFault::when("run the command"))?,
    };
    let text = serde_json::to_vec(&verdict)
        .map_err(|error| ShimFault::when("encode the verdict")(io::Error::from(error)))?;
    io::stderr().write_all(&text).map_err(ShimFault::when("report the verdict"))
}

fn supervise(
    program: &Path,
    config: &ContainerConfig,
    spec: &RunSpec,
    timeout: Duration,
) -> io::Result<ExecVerdict> {
    setsid()?;
    set_child_subreaper(true)?;
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGCHLD);
    mask.thread_block()?;
    let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    let output = || io::stdout().as_fd().try_clone_to_owned();
    let root_pid = match child::spawn(program, config, &spec.cgroups, output()?, output()?) {
        Ok(pid) => pid,
        Err(error) => return Ok(ExecVerdict::Refused(error.to_string())),
    };
    let clock = SystemClock::new();
    let deadline = clock.monotonic().after(timeout);
    let own_pid = std::process::id().cast_signed();
    let mut verdict = None;
    loop {
        let none_left = reap(root_pid, &mut verdict)?;
        if none_left {
            return Ok(verdict.unwrap_or(ExecVerdict::Ended(137)));
        }
        if verdict.is_none() && clock.monotonic() >= deadline {
            verdict = Some(ExecVerdict::TimedOut);
        }
        let span = if verdict.is_some() {
            tree::signal_descendants(own_pid, Signal::SIGKILL)?;
            KILL_ROUND
        } else {
            deadline.since(clock.monotonic())
        };
        wait(&mut [PollFd::new(&signals, PollFlags::IN)], Some(span))?;
        while signals.read_signal()?.is_some() {}
    }
}

/// Reaps what has ended; true when nothing is left. The first end of the command itself is the verdict.
fn reap(root_pid: i32, verdict: &mut Option<ExecVerdict>) -> io::Result<bool> {
    loop {
        let (pid, code) = match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) => (pid, code),
            Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, 128 + signal as i32),
            Ok(WaitStatus::StillAlive) => return Ok(false),
            Ok(_) | Err(Errno::EINTR) => continue,
            Err(Errno::ECHILD) => return Ok(true),
            Err(errno) => return Err(errno.into()),
        };
        if pid.as_raw() == root_pid && verdict.is_none() {
            *verdict = Some(ExecVerdict::Ended(code));
        }
    }
}
