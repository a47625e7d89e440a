//! What a fresh agent finds in the state directory of an earlier one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use tokio::sync::watch as cell;

use super::layout::{
    LOCK_FILE, RunSpec, RunState, SPEC_FILE, STATE_FILE, read_json, read_sandbox, remove_dir,
    subdirectories,
};
use super::{Inner, OpenRuntimeError, cgroup, watch};
use crate::runtime::RuntimeError;
use crate::types::{ContainerState, SandboxId, SandboxStatus};

/// How long a shim that an earlier agent had only just started gets to report; looked at in these steps.
const STARTING_STEP: Duration = Duration::from_millis(5);
const STARTING_STEPS: u32 = 400;

/// Loads every sandbox and container. Running ones are watched, those whose shim is gone are concluded, and
/// those that never ran are removed: a shim that comes late finds nothing to run.
pub(super) async fn adopt(inner: &Arc<Inner>) -> Result<(), OpenRuntimeError> {
    let sandboxes_dir = inner.layout.sandboxes_dir();
    for dir in subdirectories(&sandboxes_dir).map_err(fault("list", &sandboxes_dir))? {
        match read_sandbox(&dir).map_err(fault("read the sandbox in", &dir))? {
            Some(record) => {
                let id = SandboxId::of(&record.config.pod, record.config.attempt);
                let status = SandboxStatus {
                    id: id.clone(),
                    config: Arc::new(record.config),
                    created_at: record.created_at,
                    ready: record.ready,
                };
                inner.sandboxes.lock().insert(id, status);
            }
            None => remove_dir(&dir).map_err(fault("remove the unfinished", &dir))?,
        }
    }
    let containers_dir = inner.layout.containers_dir();
    for dir in subdirectories(&containers_dir).map_err(fault("list", &containers_dir))? {
        adopt_container(inner, &dir).await?;
    }
    Ok(())
}

async fn adopt_container(inner: &Arc<Inner>, dir: &Path) -> Result<(), OpenRuntimeError> {
    let spec_path = dir.join(SPEC_FILE);
    let spec: Option<RunSpec> = read_json(&spec_path).map_err(fault("read", &spec_path))?;
    let state = state_of_started(dir).await?;
    let (Some(spec), Some(state)) = (spec.as_ref(), state) else {
        if let Some(spec) = spec {
            cgroup::remove(&spec.cgroups).map_err(fault("remove control groups of", dir))?;
        }
        return remove_dir(dir).map_err(fault("remove the unfinished", dir));
    };
    let Some((status, _)) = inner.read_status(&spec.id).map_err(unreadable(dir))? else {
        return Ok(());
    };
    let id = spec.id.clone();
    inner.containers.lock().insert(id.clone(), cell::Sender::new(status.clone()));
    let RunState::Running { shim, .. } = state else { return Ok(()) };
    match shim.open().map_err(fault("look for the shim of", dir))? {
        Some(handle) => {
            tracing::info!(container = %id, "adopted a running container");
            watch::watch(inner, id, handle);
        }
        None => {
            let ended = watch::settle(inner, &id).await.map_err(unreadable(dir))?;
            debug_assert!(matches!(ended.state, ContainerState::Exited(_)));
            tracing::warn!(container = %id, "a container ended while no agent ran");
        }
    }
    Ok(())
}

/// The state, waiting for a shim that is alive and has not written one yet.
async fn state_of_started(dir: &Path) -> Result<Option<RunState>, OpenRuntimeError> {
    let (state_path, lock_path) = (dir.join(STATE_FILE), dir.join(LOCK_FILE));
    for _ in 0..STARTING_STEPS {
        let starting = is_locked(&lock_path)?;
        // Read after the look at the lock: a shim that let go of it has written its state before.
        let state = read_json(&state_path).map_err(fault("read", &state_path))?;
        if state.is_some() || !starting {
            return Ok(state);
        }
        tokio::time::sleep(STARTING_STEP).await;
    }
    Ok(None)
}

fn is_locked(path: &Path) -> Result<bool, OpenRuntimeError> {
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(fault("open", path)(error)),
    };
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(fault("look at the lock", path)(error.into())),
    }
}

fn fault(
    doing: &'static str,
    path: &Path,
) -> impl FnOnce(std::io::Error) -> OpenRuntimeError + use<> {
    let path: PathBuf = path.to_owned();
    move |source| OpenRuntimeError::State { doing, path, source }
}

fn unreadable(dir: &Path) -> impl FnOnce(RuntimeError) -> OpenRuntimeError + use<> {
    let path = dir.to_owned();
    move |error| OpenRuntimeError::State {
        doing: "adopt the container in",
        path,
        source: std::io::Error::other(error),
    }
}
