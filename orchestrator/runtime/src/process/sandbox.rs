//! Sandboxes of the process backend: a record on disk that holds the pod's address while it exists.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::Inner;
use super::layout::{SandboxRecord, make_private_dir, remove_dir, write_json};
use crate::runtime::RuntimeError;
use crate::types::{SandboxConfig, SandboxId, SandboxStatus, is_id_part};

/// For `map_err`: a file of the state directory.
pub(super) fn state_fault<E: Into<io::Error>>(
    doing: &'static str,
    path: &Path,
) -> impl FnOnce(E) -> RuntimeError {
    let path = path.to_owned();
    move |source| RuntimeError::State { doing, path, source: source.into() }
}

impl Inner {
    pub(super) fn run_sandbox(&self, config: SandboxConfig) -> Result<SandboxStatus, RuntimeError> {
        if !is_id_part(&config.pod.uid) {
            return Err(RuntimeError::Unrunnable {
                message: format!(
                    "pod {} has uid {:?}; a uid is made of letters, digits, - and .",
                    config.pod, config.pod.uid
                ),
            });
        }
        let id = SandboxId::of(&config.pod, config.attempt);
        if self.sandboxes.lock().contains_key(&id) {
            return Err(RuntimeError::AlreadyExists {
                what: "sandbox",
                id: id.as_str().to_owned(),
            });
        }
        let status = SandboxStatus {
            id: id.clone(),
            config: Arc::new(config),
            created_at: self.clock.now(),
            ready: true,
        };
        let dir = self.layout.sandbox_dir(&id);
        make_private_dir(&dir).map_err(state_fault("create", &dir))?;
        self.write_sandbox(&status)?;
        self.sandboxes.lock().insert(id, status.clone());
        Ok(status)
    }

    fn write_sandbox(&self, status: &SandboxStatus) -> Result<(), RuntimeError> {
        let record = SandboxRecord {
            config: SandboxConfig::clone(&status.config),
            created_at: status.created_at,
            ready: status.ready,
        };
        let path = self.layout.sandbox_file(&status.id);
        write_json(&path, &record).map_err(state_fault("write", &path))
    }

    pub(super) fn mark_stopped(&self, id: &SandboxId) -> Result<(), RuntimeError> {
        let Some(mut status) = self.sandboxes.lock().get(id).cloned() else { return Ok(()) };
        if status.ready {
            status.ready = false;
            self.write_sandbox(&status)?;
            self.sandboxes.lock().insert(id.clone(), status);
        }
        Ok(())
    }

    pub(super) fn remove_sandbox(&self, id: &SandboxId) -> Result<(), RuntimeError> {
        let Some(status) = self.sandboxes.lock().get(id).cloned() else { return Ok(()) };
        if status.ready {
            return Err(RuntimeError::WrongState {
                what: "sandbox",
                id: id.as_str().to_owned(),
                state: "ready",
                needed: "stop it first",
            });
        }
        for container in self.statuses(|container| container.sandbox == *id) {
            self.remove_container(&container.id)?;
        }
        let log_dir = &status.config.log_dir;
        remove_dir(log_dir).map_err(state_fault("remove", log_dir))?;
        let dir = self.layout.sandbox_dir(id);
        remove_dir(&dir).map_err(state_fault("remove", &dir))?;
        self.sandboxes.lock().remove(id);
        Ok(())
    }
}
