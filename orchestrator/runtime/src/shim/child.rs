//! Starts the program of a container from a single-threaded process.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::prctl::set_pdeathsig;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{Gid, Pid, Uid, getppid, setgid, setgroups, setsid, setuid};

use crate::process::cgroup;
use crate::process::program::working_dir;
use crate::types::{CgroupPaths, ContainerConfig, Rlimit, RlimitKind, RunAs};

/// Starts `program` as the container configures it and returns its pid; the caller reaps it.
///
/// # Errors
/// When the program cannot be executed or the node refuses what the configuration asks for.
pub(super) fn spawn(
    program: &Path,
    config: &ContainerConfig,
    cgroups: &CgroupPaths,
    stdout: OwnedFd,
    stderr: OwnedFd,
) -> io::Result<i32> {
    let mut command = Command::new(program);
    let mut words = config.command.iter();
    if let Some(name) = words.next() {
        command.arg0(name);
    }
    command
        .args(words)
        .env_clear()
        .envs(config.env.iter().map(|(key, value)| (key, value)))
        .current_dir(working_dir(config))
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr);
    let setup = Setup {
        shim: Pid::this(),
        cgroups: cgroups.clone(),
        rlimits: config.rlimits.clone(),
        run_as: config.run_as.clone(),
    };
    #[expect(unsafe_code, reason = "the one door to code between fork and exec")]
    // SAFETY: the closure runs in the child of a fork. The rule is to call nothing there that another
    // thread of the parent may have left in a half-way state (allocator, locks); the shim has one thread.
    unsafe {
        command.pre_exec(move || setup.apply());
    }
    let child = command.spawn()?;
    i32::try_from(child.id()).map_err(io::Error::other)
}

/// What the child does to itself before it becomes the program.
struct Setup {
    shim: Pid,
    cgroups: CgroupPaths,
    rlimits: Vec<Rlimit>,
    run_as: Option<RunAs>,
}

impl Setup {
    fn apply(&self) -> io::Result<()> {
        SigSet::empty().thread_set_mask()?;
        setsid()?;
        cgroup::join(&self.cgroups)?;
        for limit in &self.rlimits {
            set_limit(*limit)?;
        }
        if let Some(user) = &self.run_as {
            become_user(user)?;
        }
        // After the change of user, which clears it.
        set_pdeathsig(Signal::SIGKILL)?;
        if getppid() != self.shim {
            return Err(io::Error::other("the shim ended during the start"));
        }
        Ok(())
    }
}

fn become_user(user: &RunAs) -> io::Result<()> {
    let current = Uid::effective();
    if current.as_raw() == user.uid && !current.is_root() {
        return Ok(());
    }
    let groups: Vec<Gid> = user.supplementary_gids.iter().copied().map(Gid::from_raw).collect();
    setgroups(&groups)?;
    setgid(Gid::from_raw(user.gid))?;
    setuid(Uid::from_raw(user.uid))?;
    Ok(())
}

fn set_limit(limit: Rlimit) -> io::Result<()> {
    let resource = match limit.kind {
        RlimitKind::OpenFiles => Resource::RLIMIT_NOFILE,
        RlimitKind::CoreBytes => Resource::RLIMIT_CORE,
        RlimitKind::Processes => Resource::RLIMIT_NPROC,
    };
    let (_, ceiling) = getrlimit(resource)?;
    let hard = limit.hard.min(ceiling);
    setrlimit(resource, limit.soft.min(hard), hard)?;
    Ok(())
}
