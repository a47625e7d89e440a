//! The shim's loop: output, signals of children, orders of the agent, and the end of the tree.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, setsid};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FlockOperation, OFlags, fcntl_setfl, flock};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::time::{ClockId, Timespec, clock_gettime};
use swell_env::{Clock, Monotonic, SystemClock};
use swell_model::TimestampMs;

use super::child;
use super::log::{LogWriter, Stream};
use super::{NOT_STARTED, STARTED, ShimFault};
use crate::process::identity::ProcessIdentity;
use crate::process::layout::{
    CONTROL_FILE, LOCK_FILE, RunSpec, RunState, SPEC_FILE, STATE_FILE, read_json, write_json,
};
use crate::process::{cgroup, tree};
use crate::types::{Exit, ExitReason};

/// Grace when the shim itself is told to end (shutdown of the machine, an operator's `kill`).
const TERM_GRACE: Duration = Duration::from_secs(10);
/// Pause between two rounds of SIGKILL at first; doubled up to [`KILL_ROUND_MAX`] for what cannot die.
const KILL_ROUND: Duration = Duration::from_millis(5);
const KILL_ROUND_MAX: Duration = Duration::from_secs(1);
/// How long a control group may stay busy after its last process is gone.
const CGROUP_REMOVAL_ROUNDS: u32 = 50;
/// How much of the program's output is taken at once.
const READ_BYTES: usize = 16 * 1024;

/// Runs the container whose files lie in `dir` until all its processes are gone.
pub(super) fn run(dir: &Path) -> Result<(), ShimFault> {
    let _held_until_exit = lock(dir)?;
    setsid().map_err(ShimFault::when("start a session"))?;
    set_child_subreaper(true).map_err(ShimFault::when("become subreaper"))?;
    let mut mask = SigSet::empty();
    for signal in
        [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT]
    {
        mask.add(signal);
    }
    mask.thread_block().map_err(ShimFault::when("block signals"))?;
    let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        .map_err(ShimFault::when("open a signalfd"))?;

    let spec_path = dir.join(SPEC_FILE);
    let spec: RunSpec = read_json(&spec_path)
        .and_then(|spec| spec.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound)))
        .map_err(ShimFault::when(format!("read {}", spec_path.display())))?;
    let control_path = dir.join(CONTROL_FILE);
    // Open for writing as well, so that it never reads as ended.
    let control = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default())
        .open(&control_path)
        .map_err(ShimFault::when(format!("open {}", control_path.display())))?;
    let log = LogWriter::open(spec.log.clone())
        .map_err(ShimFault::when(format!("open log {}", spec.log.path.display())))?;

    let clock = SystemClock::new();
    let state_path = dir.join(STATE_FILE);
    match start(&spec) {
        Err(error) => {
            let exit = start_error(&spec, &error, clock.now());
            remove_cgroups(&spec)?;
            write_state(&state_path, &RunState::Exited { exit })?;
            tell(NOT_STARTED)
        }
        Ok(program) => {
            let started_at = clock.now();
            let running = RunState::Running {
                shim: identity(std::process::id().cast_signed())?,
                root: identity(program.pid)?,
                started_at,
            };
            write_state(&state_path, &running)?;
            tell(STARTED)?;
            let shim = Supervisor {
                log,
                clock,
                signals,
                control,
                control_line: Vec::new(),
                stdout: Some(program.stdout),
                stderr: Some(program.stderr),
                lifeline: spec.die_with_parent.then(io::stdin),
                own_pid: std::process::id().cast_signed(),
                root_pid: program.pid,
                root_end: None,
                none_left: false,
                deadline: None,
                kill_round: None,
                spec,
                started_at,
                state_path,
            };
            shim.supervise()
        }
    }
}

/// Keeps a second shim from running the same container.
fn lock(dir: &Path) -> Result<File, ShimFault> {
    let path = dir.join(LOCK_FILE);
    let file =
        File::create(&path).map_err(ShimFault::when(format!("create {}", path.display())))?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(ShimFault::when(format!(
        "{}: another shim runs this container",
        path.display()
    )))?;
    Ok(file)
}

struct Program {
    pid: i32,
    stdout: OwnedFd,
    stderr: OwnedFd,
}

fn start(spec: &RunSpec) -> io::Result<Program> {
    let (stdout, stdout_of_child) = pipe_with(PipeFlags::CLOEXEC)?;
    let (stderr, stderr_of_child) = pipe_with(PipeFlags::CLOEXEC)?;
    for ours in [&stdout, &stderr] {
        fcntl_setfl(ours, OFlags::NONBLOCK)?;
    }
    let pid =
        child::spawn(&spec.program, &spec.config, &spec.cgroups, stdout_of_child, stderr_of_child)?;
    Ok(Program { pid, stdout, stderr })
}

fn start_error(spec: &RunSpec, error: &io::Error, now: TimestampMs) -> Exit {
    let hint = match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOEXEC) => "; is it built for this machine?",
        Some(Errno::ENOENT) => "; the interpreter its first line names, or its loader, is missing",
        _ => "",
    };
    Exit {
        code: 128,
        signal: None,
        reason: ExitReason::StartError,
        message: format!("execute {}: {error}{hint}", spec.program.display()),
        started_at: None,
        finished_at: now,
    }
}

fn identity(pid: i32) -> Result<ProcessIdentity, ShimFault> {
    ProcessIdentity::of(pid).map_err(ShimFault::when(format!("identify process {pid}")))
}

fn write_state(path: &Path, state: &RunState) -> Result<(), ShimFault> {
    write_json(path, state).map_err(ShimFault::when(format!("write {}", path.display())))
}

/// Tells the agent how the start went and lets go of the pipe to it. An agent that died meanwhile is no
/// reason to end: it will read the state file when it is back.
fn tell(word: &str) -> Result<(), ShimFault> {
    match io::stdout().write_all(word.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            return Err(ShimFault { doing: "report the start".to_owned(), source: error });
        }
        _ => {}
    }
    let null = OpenOptions::new()
        .write(true)
        .open("/dev/null")
        .map_err(ShimFault::when("open /dev/null"))?;
    rustix::stdio::dup2_stdout(&null).map_err(ShimFault::when("let go of standard output"))
}

fn remove_cgroups(spec: &RunSpec) -> Result<(), ShimFault> {
    let mut round = 0;
    loop {
        match cgroup::remove(&spec.cgroups) {
            Err(error)
                if error.kind() == io::ErrorKind::ResourceBusy && round < CGROUP_REMOVAL_ROUNDS =>
            {
                round += 1;
                pause(KILL_ROUND)?;
            }
            outcome => return outcome.map_err(ShimFault::when("remove control groups")),
        }
    }
}

fn pause(span: Duration) -> Result<(), ShimFault> {
    wait(&mut [], Some(span)).map_err(ShimFault::when("pause"))
}

/// `poll` that goes on after a signal.
pub(super) fn wait(fds: &mut [PollFd<'_>], span: Option<Duration>) -> io::Result<()> {
    let timeout = span
        .map(Timespec::try_from)
        .transpose()
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    match poll(fds, timeout.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// How the program itself ended.
#[derive(Clone, Copy, Debug)]
struct RootEnd {
    code: i32,
    signal: Option<i32>,
}

struct Supervisor {
    spec: RunSpec,
    clock: SystemClock,
    log: LogWriter,
    signals: SignalFd,
    control: File,
    control_line: Vec<u8>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    lifeline: Option<io::Stdin>,
    own_pid: i32,
    root_pid: i32,
    root_end: Option<RootEnd>,
    /// No process of the container is left.
    none_left: bool,
    /// When everything is killed; set once a stop was asked for.
    deadline: Option<Monotonic>,
    /// Pause until the next round of SIGKILL; set once killing began.
    kill_round: Option<Duration>,
    started_at: TimestampMs,
    state_path: PathBuf,
}

impl Supervisor {
    fn supervise(mut self) -> Result<(), ShimFault> {
        while !self.none_left {
            self.step().map_err(ShimFault::when("supervise the container"))?;
        }
        self.drain();
        self.log.finish(now_ns());
        let end = self.root_end.unwrap_or(RootEnd { code: 137, signal: Some(9) });
        let reason = if end.code == 0 {
            ExitReason::Completed
        } else if cgroup::oom_kill_count(&self.spec.cgroups) > 0 {
            ExitReason::OomKilled
        } else {
            ExitReason::Error
        };
        let exit = Exit {
            code: end.code,
            signal: end.signal,
            reason,
            message: String::new(),
            started_at: Some(self.started_at),
            finished_at: self.clock.now(),
        };
        write_state(&self.state_path, &RunState::Exited { exit })?;
        remove_cgroups(&self.spec)
    }

    fn step(&mut self) -> io::Result<()> {
        let timeout = match (self.kill_round, self.deadline) {
            (Some(round), _) => Some(round),
            (None, Some(deadline)) => Some(deadline.since(self.clock.monotonic())),
            (None, None) => None,
        };
        let [signalled, ordered, out, err, cut] = self.poll(timeout)?;
        if out {
            self.read(Stream::Stdout)?;
        }
        if err {
            self.read(Stream::Stderr)?;
        }
        if ordered {
            self.obey()?;
        }
        if cut {
            self.lifeline = None;
            self.stop(Duration::ZERO)?;
        }
        if signalled {
            while let Some(info) = self.signals.read_signal()? {
                if info.ssi_signo != Signal::SIGCHLD as u32 {
                    self.stop(TERM_GRACE)?;
                }
            }
            self.reap()?;
        }
        let overdue = self.deadline.is_some_and(|deadline| self.clock.monotonic() >= deadline);
        if !self.none_left && (overdue || self.kill_round.is_some()) {
            self.kill_all()?;
        }
        Ok(())
    }

    /// Waits; what is ready: signals, control, standard output, standard error, end of the lifeline.
    fn poll(&self, timeout: Option<Duration>) -> io::Result<[bool; 5]> {
        let sources = [
            Some(self.signals.as_fd()),
            Some(self.control.as_fd()),
            self.stdout.as_ref().map(AsFd::as_fd),
            self.stderr.as_ref().map(AsFd::as_fd),
            self.lifeline.as_ref().map(AsFd::as_fd),
        ];
        let mut fds: Vec<PollFd<'_>> = Vec::with_capacity(sources.len());
        for fd in sources.iter().flatten() {
            fds.push(PollFd::from_borrowed_fd(*fd, PollFlags::IN));
        }
        wait(&mut fds, timeout)?;
        let mut polled = fds.iter();
        Ok(sources.map(|source| {
            source.is_some() && polled.next().is_some_and(|fd| !fd.revents().is_empty())
        }))
    }

    fn read(&mut self, stream: Stream) -> io::Result<bool> {
        let source = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        let Some(fd) = source else { return Ok(false) };
        let mut buffer = [0_u8; READ_BYTES];
        match rustix::io::read(fd, &mut buffer) {
            Ok(0) => {
                *source = None;
                Ok(false)
            }
            Ok(count) => {
                self.log.push(stream, &buffer[..count], now_ns());
                Ok(true)
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes what is still in the pipes. Their writers are gone; one that was handed out of the tree does
    /// not keep us.
    fn drain(&mut self) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            while self.read(stream).unwrap_or(false) {}
        }
    }

    fn obey(&mut self) -> io::Result<()> {
        let mut buffer = [0_u8; 256];
        match self.control.read(&mut buffer) {
            Ok(count) => self.control_line.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        while let Some(end) = self.control_line.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.control_line.drain(..=end).collect();
            match parse_stop(&line) {
                Some(grace) => self.stop(grace)?,
                None => eprintln!("unknown order {:?}", String::from_utf8_lossy(&line)),
            }
        }
        Ok(())
    }

    /// Begins the end, or brings it nearer: SIGTERM to the program, SIGKILL to all after `grace`.
    fn stop(&mut self, grace: Duration) -> io::Result<()> {
        let first = self.deadline.is_none();
        let deadline = self.clock.monotonic().after(grace);
        self.deadline = Some(self.deadline.map_or(deadline, |earlier| earlier.min(deadline)));
        if grace.is_zero() {
            self.kill_all()
        } else if first && self.root_end.is_none() {
            tree::send(self.root_pid, Signal::SIGTERM)
        } else {
            Ok(())
        }
    }

    fn kill_all(&mut self) -> io::Result<()> {
        let next = self.kill_round.map_or(KILL_ROUND, |round| (round * 2).min(KILL_ROUND_MAX));
        self.kill_round = Some(next);
        cgroup::kill_members(&self.spec.cgroups)?;
        // Stopped first, a tree that forks faster than it is walked cannot outrun the walk for long.
        tree::signal_descendants(self.own_pid, Signal::SIGSTOP)?;
        tree::signal_descendants(self.own_pid, Signal::SIGKILL)?;
        Ok(())
    }

    fn reap(&mut self) -> io::Result<()> {
        loop {
            let (pid, end) = match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, RootEnd { code, signal: None }),
                Ok(WaitStatus::Signaled(pid, signal, _)) => {
                    let signal = signal as i32;
                    (pid, RootEnd { code: 128 + signal, signal: Some(signal) })
                }
                Ok(WaitStatus::StillAlive) => return Ok(()),
                Ok(_) | Err(Errno::EINTR) => continue,
                Err(Errno::ECHILD) => {
                    self.none_left = true;
                    return Ok(());
                }
                Err(errno) => return Err(errno.into()),
            };
            if pid.as_raw() == self.root_pid {
                self.root_end = Some(end);
                self.after_root()?;
            }
        }
    }

    /// The program is gone. What it left behind goes with it, as in a pid namespace; in a stop it may
    /// first use up the grace, since only now was it its turn to be told.
    fn after_root(&mut self) -> io::Result<()> {
        let grace_left = self.deadline.is_some_and(|deadline| self.clock.monotonic() < deadline);
        if grace_left {
            tree::signal_descendants(self.own_pid, Signal::SIGTERM).map(drop)
        } else if tree::descendants(self.own_pid)?.is_empty() {
            Ok(())
        } else {
            self.kill_all()
        }
    }
}

fn now_ns() -> Timespec {
    clock_gettime(ClockId::Realtime)
}

fn parse_stop(line: &[u8]) -> Option<Duration> {
    let text = std::str::from_utf8(line).ok()?;
    let grace_ms = text.trim_end().strip_prefix("stop ")?.parse().ok()?;
    Some(Duration::from_millis(grace_ms))
}

/// Asks the shim in `dir` to stop; false when there is none to hear it.
pub(crate) fn order_stop(dir: &Path, grace: Duration) -> io::Result<bool> {
    let path = dir.join(CONTROL_FILE);
    let opened = OpenOptions::new()
        .write(true)
        .custom_flags(i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default())
        .open(&path);
    match opened {
        Ok(mut control) => {
            control.write_all(format!("stop {}\n", grace.as_millis()).as_bytes()).map(|()| true)
        }
        Err(error)
            if error.kind() == io::ErrorKind::NotFound
                || error.raw_os_error() == Some(Errno::ENXIO as i32) =>
        {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Makes the FIFO for [`order_stop`].
pub(crate) fn make_control(dir: &Path) -> io::Result<()> {
    let path = dir.join(CONTROL_FILE);
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::from_bits_truncate(0o600))?;
    // A umask that hides it from ourselves would make the container unstoppable.
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_parse() {
        for (line, expected) in [
            ("stop 0\n", Some(Duration::ZERO)),
            ("stop 1500\n", Some(Duration::from_millis(1500))),
            ("stop\n", None),
            ("stop -1\n", None),
            ("halt 3\n", None),
        ] {
            assert_eq!(parse_stop(line.as_bytes()), expected, "{line:?}");
        }
    }
}
