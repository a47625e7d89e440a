//! Learns from pidfds that shims ended, and what became of their containers.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Weak};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid,
};
use rustix::time::Timespec;

use super::Inner;
use super::container::CONTAINER_ID_ENV;
use super::identity::is_gone;
use super::layout::{RunState, STATE_FILE, write_json};
use super::sandbox::state_fault;
use crate::readiness::Watched;
use crate::runtime::RuntimeError;
use crate::types::{ContainerId, ContainerState, ContainerStatus, Exit, ExitReason};

/// How long killed leftovers of a dead shim may take to disappear.
const LEFTOVER_DEADLINE: Duration = Duration::from_secs(5);

/// Publishes the end of a container once its shim is gone. Holds no strong reference meanwhile.
pub(super) fn watch(inner: &Arc<Inner>, id: ContainerId, handle: OwnedFd) {
    let weak = Arc::downgrade(inner);
    let cancelled = inner.watching.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = cancelled.cancelled() => {}
            () = reap(handle, &id) => conclude(&weak, &id).await,
        }
    });
}

async fn conclude(inner: &Weak<Inner>, id: &ContainerId) {
    let Some(inner) = inner.upgrade() else { return };
    if let Err(error) = settle(&inner, id).await {
        // The container is gone all the same; without a state it is reported as lost.
        tracing::error!(container = %id, error = %swell_telemetry::chain(&error), "container state unreadable");
        if let Ok(mut status) = inner.status(id) {
            status.state =
                ContainerState::Exited(lost(&inner, &status.state, "its state file is unreadable"));
            status.root_pids.clear();
            inner.publish(status);
        }
    }
}

/// Waits until the process is gone, and reaps it when it is our child.
pub(super) async fn reap(handle: OwnedFd, id: &ContainerId) {
    let handle = match Watched::new(handle) {
        Ok(handle) => handle,
        Err(error) => {
            tracing::error!(container = %id, %error, "cannot watch a shim");
            return;
        }
    };
    if let Err(error) = handle.readable().await {
        tracing::error!(container = %id, %error, "cannot wait for a shim");
    }
    match waitid(WaitId::PidFd(handle.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
        // Not our child: adopted from an earlier agent, reaped by init.
        Ok(_) | Err(rustix::io::Errno::CHILD) => {}
        Err(error) => tracing::error!(container = %id, %error, "cannot reap a shim"),
    }
}

/// Reads how a container without shim ended, and publishes it. What a killed shim left behind is killed.
pub(super) async fn settle(
    inner: &Arc<Inner>,
    id: &ContainerId,
) -> Result<ContainerStatus, RuntimeError> {
    let (worker, wanted) = (Arc::clone(inner), id.clone());
    let status = tokio::task::spawn_blocking(move || worker.final_status(&wanted))
        .await
        .expect("reading a state does not panic and is not cancelled")?;
    inner.publish(status.clone());
    Ok(status)
}

impl Inner {
    /// The status of a container whose shim is known to be gone.
    pub(super) fn final_status(&self, id: &ContainerId) -> Result<ContainerStatus, RuntimeError> {
        let Some((mut status, state)) = self.read_status(id)? else {
            return Err(RuntimeError::NotFound { what: "container", id: id.as_str().to_owned() });
        };
        if matches!(state, Some(RunState::Exited { .. })) {
            return Ok(status);
        }
        let dir = self.layout.container_dir(id);
        kill_leftovers(id).map_err(state_fault("kill what is left of", &dir))?;
        let exit = match state {
            None => Exit {
                code: 128,
                signal: None,
                reason: ExitReason::StartError,
                message: format!("shim failed: {}", self.shim_log(id)),
                started_at: None,
                finished_at: self.clock.now(),
            },
            Some(_) => lost(
                self,
                &status.state,
                "its shim was killed or the node restarted; how it ended is not known",
            ),
        };
        let path = dir.join(STATE_FILE);
        write_json(&path, &RunState::Exited { exit: exit.clone() })
            .map_err(state_fault("write", &path))?;
        status.state = ContainerState::Exited(exit);
        status.root_pids.clear();
        status.cgroups = crate::types::CgroupPaths::default();
        Ok(status)
    }
}

fn lost(inner: &Inner, state: &ContainerState, why: &str) -> Exit {
    let started_at = match state {
        ContainerState::Running { started_at } => Some(*started_at),
        _ => None,
    };
    Exit {
        code: 137,
        signal: Some(9),
        reason: ExitReason::Lost,
        message: why.to_owned(),
        started_at,
        finished_at: inner.clock.now(),
    }
}

/// Kills every process that carries the container's mark in its environment and waits for it to go.
fn kill_leftovers(id: &ContainerId) -> io::Result<()> {
    let mark = format!("{CONTAINER_ID_ENV}={id}");
    let mut killed = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok())
        else {
            continue;
        };
        let Some(raw) = Pid::from_raw(pid) else { continue };
        // The handle first, so that what is looked at is what is killed.
        let handle = match pidfd_open(raw, PidfdFlags::NONBLOCK) {
            Ok(handle) => handle,
            Err(rustix::io::Errno::SRCH | rustix::io::Errno::INVAL) => continue,
            Err(error) => return Err(error.into()),
        };
        let environment = match std::fs::read(format!("/proc/{pid}/environ")) {
            Ok(environment) => environment,
            // A process of another user is not ours.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => continue,
            Err(error) if is_gone(&error) => continue,
            Err(error) => return Err(error),
        };
        if environment.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes()) {
            match pidfd_send_signal(&handle, Signal::KILL) {
                Ok(()) => killed.push(handle),
                Err(rustix::io::Errno::SRCH) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    let deadline = Timespec::try_from(LEFTOVER_DEADLINE).map_err(io::Error::other)?;
    for handle in &killed {
        let ended = poll(&mut [PollFd::new(handle, PollFlags::IN)], Some(&deadline))?;
        if ended == 0 {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "a killed process does not end"));
        }
    }
    Ok(())
}
