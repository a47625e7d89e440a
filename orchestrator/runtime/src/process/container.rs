//! Containers of the process backend: prepared here, run by their shim.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::Uid;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::watch as cell;
use tokio::time::timeout;

use super::layout::{
    LogSpec, RunSpec, RunState, SHIM_LOG_FILE, SPEC_FILE, STATE_FILE, read_json, remove_dir,
    write_json,
};
use super::sandbox::state_fault;
use super::{Inner, ProcessRuntime, cgroup, program, watch};
use crate::logs::rotated;
use crate::runtime::RuntimeError;
use crate::shim::supervise::{make_control, order_stop};
use crate::types::{
    CgroupPaths, ContainerConfig, ContainerId, ContainerState, ContainerStatus, Rlimit, RlimitKind,
    START_DEADLINE, SandboxId, is_id_part,
};

/// Environment variable by which a process is known to belong to a container.
pub(super) const CONTAINER_ID_ENV: &str = "SWELL_CONTAINER_ID";
/// Time beyond the grace after which a shim that does not end is taken for stuck.
const STOP_MARGIN: Duration = Duration::from_secs(10);

impl Inner {
    pub(super) fn create_container(
        &self,
        sandbox_id: &SandboxId,
        mut config: ContainerConfig,
    ) -> Result<ContainerStatus, RuntimeError> {
        if let Some(soft) = self.config.open_files_soft
            && config.rlimits.iter().all(|limit| limit.kind != RlimitKind::OpenFiles)
        {
            config.rlimits.push(Rlimit { kind: RlimitKind::OpenFiles, soft, hard: u64::MAX });
        }
        let sandbox = self.sandboxes.lock().get(sandbox_id).cloned().ok_or_else(|| {
            RuntimeError::NotFound { what: "sandbox", id: sandbox_id.as_str().to_owned() }
        })?;
        if !sandbox.ready {
            return Err(RuntimeError::WrongState {
                what: "sandbox",
                id: sandbox_id.as_str().to_owned(),
                state: "stopped",
                needed: "make a new one",
            });
        }
        let pod = sandbox.config.pod.clone();
        let id = ContainerId::of(&pod, &config.name, config.attempt);
        if self.containers.lock().contains_key(&id) {
            return Err(exists(&id));
        }
        let program = check(&config).map_err(|message| RuntimeError::Unrunnable { message })?;

        let dir = self.layout.container_dir(&id);
        match fs::create_dir(&dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(exists(&id)),
            made => made.map_err(state_fault("create", &dir))?,
        }
        let cgroups = self.cgroups.create(id.as_str(), &config.resources).map_err(|error| {
            RuntimeError::Unrunnable {
                message: format!("control group of container {}: {error}", config.name),
            }
        });
        let groups = cgroups.as_ref().ok().cloned();
        let prepared = cgroups.and_then(|cgroups| {
            let log_path =
                sandbox.config.log_dir.join(&config.name).join(format!("{}.log", config.attempt));
            let mut spec = RunSpec {
                id: id.clone(),
                sandbox: sandbox_id.clone(),
                pod: pod.clone(),
                created_at: self.clock.now(),
                config,
                program,
                cgroups,
                log: LogSpec {
                    path: log_path,
                    file_bytes_max: self.config.log_file_bytes_max,
                    file_count_max: self.config.log_file_count_max,
                },
                die_with_parent: self.config.die_with_parent,
            };
            spec.config.env.push((CONTAINER_ID_ENV.to_owned(), id.as_str().to_owned()));
            make_control(&dir).map_err(state_fault("make the control pipe in", &dir))?;
            let path = dir.join(SPEC_FILE);
            write_json(&path, &spec).map_err(state_fault("write", &path))?;
            Ok(spec)
        });
        match prepared {
            Ok(spec) => {
                let status = status_of(&spec, ContainerState::Created, None);
                self.containers.lock().insert(id, cell::Sender::new(status.clone()));
                self.publish(status.clone());
                Ok(status)
            }
            Err(error) => {
                if let Some(groups) = groups {
                    cgroup::remove(&groups)
                        .map_err(state_fault("remove control groups of", &dir))?;
                }
                remove_dir(&dir).map_err(state_fault("remove", &dir))?;
                Err(error)
            }
        }
    }

    pub(super) fn remove_container(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let Ok(status) = self.status(id) else { return Ok(()) };
        if status.state.is_running() {
            return Err(RuntimeError::WrongState {
                what: "container",
                id: id.as_str().to_owned(),
                state: "running",
                needed: "stop it first",
            });
        }
        // Usually the shim did this; not when it was killed or never started.
        cgroup::remove(&self.cgroups_of(id)?)
            .map_err(state_fault("remove control groups of", &self.layout.container_dir(id)))?;
        remove_log(&status.log_path).map_err(state_fault("remove the log", &status.log_path))?;
        let dir = self.layout.container_dir(id);
        remove_dir(&dir).map_err(state_fault("remove", &dir))?;
        self.containers.lock().remove(id);
        Ok(())
    }

    fn cgroups_of(&self, id: &ContainerId) -> Result<CgroupPaths, RuntimeError> {
        let path = self.layout.container_dir(id).join(SPEC_FILE);
        let spec: Option<RunSpec> = read_json(&path).map_err(state_fault("read", &path))?;
        Ok(spec.map(|spec| spec.cgroups).unwrap_or_default())
    }

    /// The status as the files have it now.
    pub(super) fn read_status(
        &self,
        id: &ContainerId,
    ) -> Result<Option<(ContainerStatus, Option<RunState>)>, RuntimeError> {
        let dir = self.layout.container_dir(id);
        let (spec_path, state_path) = (dir.join(SPEC_FILE), dir.join(STATE_FILE));
        let spec: Option<RunSpec> =
            read_json(&spec_path).map_err(state_fault("read", &spec_path))?;
        let Some(spec) = spec else { return Ok(None) };
        let state: Option<RunState> =
            read_json(&state_path).map_err(state_fault("read", &state_path))?;
        let status = match &state {
            None => status_of(&spec, ContainerState::Created, None),
            Some(RunState::Running { root, started_at, .. }) => status_of(
                &spec,
                ContainerState::Running { started_at: *started_at },
                u32::try_from(root.pid).ok(),
            ),
            Some(RunState::Exited { exit }) => {
                status_of(&spec, ContainerState::Exited(exit.clone()), None)
            }
        };
        Ok(Some((status, state)))
    }

    fn spawn_shim(&self, id: &ContainerId) -> io::Result<Shim> {
        let dir = self.layout.container_dir(id);
        let (answer, answer_of_shim) = pipe_with(PipeFlags::CLOEXEC)?;
        let stdin = match &self.lifeline {
            Some((read_end, _)) => Stdio::from(read_end.try_clone()?),
            None => Stdio::null(),
        };
        let child = Command::new(&self.config.shim.program)
            .args(&self.config.shim.args)
            .arg("run")
            .arg(&dir)
            .env_clear()
            .current_dir("/")
            .stdin(stdin)
            .stdout(answer_of_shim)
            .stderr(File::create(dir.join(SHIM_LOG_FILE))?)
            .spawn()?;
        let pid = Pid::from_raw(child.id().cast_signed())
            .ok_or_else(|| io::Error::other("the kernel gave pid 0"))?;
        // Not reaped before the watch is over, so the number is still that of the shim.
        Ok(Shim { answer, handle: pidfd_open(pid, PidfdFlags::NONBLOCK)? })
    }

    /// What the shim itself wrote when it could not do its work.
    pub(super) fn shim_log(&self, id: &ContainerId) -> String {
        let path = self.layout.container_dir(id).join(SHIM_LOG_FILE);
        match fs::read_to_string(&path) {
            Ok(text) if !text.trim().is_empty() => text.trim().to_owned(),
            Ok(_) => "ended without a word".to_owned(),
            Err(error) => format!("{}: {error}", path.display()),
        }
    }
}

/// Removes a log with its older parts.
fn remove_log(path: &Path) -> io::Result<()> {
    for generation in 0.. {
        match fs::remove_file(rotated(path, generation)) {
            Ok(()) => {}
            // Rotation may be between two names at the moment the program ended, hence one gap.
            Err(error) if error.kind() == io::ErrorKind::NotFound && generation < 2 => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A shim that was just started.
struct Shim {
    answer: OwnedFd,
    handle: OwnedFd,
}

fn exists(id: &ContainerId) -> RuntimeError {
    RuntimeError::AlreadyExists { what: "container", id: id.as_str().to_owned() }
}

/// What can be known before the start.
fn check(config: &ContainerConfig) -> Result<PathBuf, String> {
    let name = &config.name;
    if !is_id_part(name) {
        return Err(format!("container name {name:?} is not made of letters, digits and - alone"));
    }
    let own = Uid::effective();
    if let Some(user) =
        config.run_as.as_ref().filter(|user| !own.is_root() && user.uid != own.as_raw())
    {
        return Err(format!(
            "container {name} asks for runAsUser {}, but the node agent runs as user {own} and may not \
             change users; run the agent as root or remove runAsUser",
            user.uid
        ));
    }
    program::resolve(config)
}

fn status_of(spec: &RunSpec, state: ContainerState, root_pid: Option<u32>) -> ContainerStatus {
    let cgroups = if matches!(state, ContainerState::Exited(_)) {
        CgroupPaths::default()
    } else {
        spec.cgroups.clone()
    };
    ContainerStatus {
        id: spec.id.clone(),
        sandbox: spec.sandbox.clone(),
        pod: spec.pod.clone(),
        config: Arc::new(spec.config.clone()),
        created_at: spec.created_at,
        state,
        root_pids: root_pid.into_iter().collect(),
        cgroups,
        log_path: spec.log.path.clone(),
    }
}

pub(super) async fn start(
    runtime: &ProcessRuntime,
    id: &ContainerId,
) -> Result<ContainerStatus, RuntimeError> {
    let status = runtime.inner.status(id)?;
    if status.state != ContainerState::Created {
        return Err(RuntimeError::WrongState {
            what: "container",
            id: id.as_str().to_owned(),
            state: if status.state.is_running() { "running" } else { "exited" },
            needed: "make a new one with the next attempt",
        });
    }
    let shim_fault = |message: String| RuntimeError::Shim { id: id.clone(), message };
    let wanted = id.clone();
    let shim = runtime
        .blocking(move |inner| {
            inner.spawn_shim(&wanted).map_err(|error| RuntimeError::Shim {
                id: wanted,
                message: format!("start {}: {error}", inner.config.shim.program.display()),
            })
        })
        .await?;
    let mut answer = pipe::Receiver::from_owned_fd(shim.answer)
        .map_err(|error| shim_fault(format!("listen to it: {error}")))?;
    let mut word = String::new();
    match timeout(START_DEADLINE, answer.read_to_string(&mut word)).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => return Err(shim_fault(format!("listen to it: {error}"))),
        Err(_) => {
            pidfd_send_signal(&shim.handle, Signal::KILL)
                .map_err(|error| shim_fault(format!("kill it: {error}")))?;
            return Err(shim_fault(format!("said nothing for {START_DEADLINE:?} and was killed")));
        }
    }
    if word != crate::shim::STARTED {
        // It ends now: the program could not be executed, or the shim itself failed.
        watch::reap(shim.handle, id).await;
        return watch::settle(&runtime.inner, id).await;
    }
    let wanted = id.clone();
    let status = runtime
        .blocking(move |inner| Ok(inner.read_status(&wanted)?.map(|(status, _)| status)))
        .await?
        .ok_or_else(|| shim_fault("left no state".to_owned()))?;
    runtime.inner.publish(status.clone());
    watch::watch(&runtime.inner, id.clone(), shim.handle);
    Ok(status)
}

pub(super) async fn stop(
    runtime: &ProcessRuntime,
    id: &ContainerId,
    grace: Duration,
) -> Result<(), RuntimeError> {
    let Some(mut state) = runtime.inner.containers.lock().get(id).map(cell::Sender::subscribe)
    else {
        return Ok(());
    };
    if !state.borrow_and_update().state.is_running() {
        return Ok(());
    }
    let wanted = id.clone();
    runtime
        .blocking(move |inner| {
            let dir = inner.layout.container_dir(&wanted);
            // A shim that cannot hear is about to end or gone: the watch will tell.
            order_stop(&dir, grace)
                .map(drop)
                .map_err(state_fault("write to the control pipe in", &dir))
        })
        .await?;
    let ended = state.wait_for(|status| matches!(status.state, ContainerState::Exited(_)));
    match timeout(grace + STOP_MARGIN, ended).await {
        Ok(Ok(_)) => Ok(()),
        // Removed by another call meanwhile, hence stopped.
        Ok(Err(_)) => Ok(()),
        Err(_) => Err(RuntimeError::Shim {
            id: id.clone(),
            message: format!(
                "its processes are still there {STOP_MARGIN:?} after the grace of {grace:?}; one that \
                 waits for a device cannot be killed"
            ),
        }),
    }
}
