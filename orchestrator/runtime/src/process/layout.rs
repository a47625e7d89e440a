//! The state directory: which file lies where, and how one is written so that a reader never sees half of it.
//!
//! ```text
//! <root>/lock                                held (flock) by the agent that uses the directory
//! <root>/sandboxes/<sandbox id>/sandbox.json SandboxRecord
//! <root>/containers/<container id>/spec.json RunSpec, written by the agent before the start
//!                                  state.json RunState, written by the shim
//!                                  lock       held (flock) by the shim as long as it lives
//!                                  control    FIFO; the agent writes `stop <grace ms>`, a line each
//!                                  shim.log   what the shim itself had to say
//! ```
//!
//! Files are replaced by rename and not synced: after a crash of the machine none of the processes they
//! speak of exists, and the boot id in them tells so.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use swell_model::TimestampMs;

use crate::process::identity::ProcessIdentity;
use crate::types::{
    CgroupPaths, ContainerConfig, ContainerId, Exit, PodIdentity, SandboxConfig, SandboxId,
    timestamp,
};

/// Names of the files of one container.
pub(crate) const SPEC_FILE: &str = "spec.json";
pub(crate) const STATE_FILE: &str = "state.json";
pub(crate) const LOCK_FILE: &str = "lock";
pub(crate) const CONTROL_FILE: &str = "control";
pub(crate) const SHIM_LOG_FILE: &str = "shim.log";
const SANDBOX_FILE: &str = "sandbox.json";

/// Where logs go and how much of them is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogSpec {
    pub(crate) path: PathBuf,
    pub(crate) file_bytes_max: u64,
    pub(crate) file_count_max: u32,
}

/// All a shim needs to know to run one container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunSpec {
    pub(crate) id: ContainerId,
    pub(crate) sandbox: SandboxId,
    pub(crate) pod: PodIdentity,
    #[serde(with = "timestamp")]
    pub(crate) created_at: TimestampMs,
    pub(crate) config: ContainerConfig,
    /// The program with the container's `PATH` already searched.
    pub(crate) program: PathBuf,
    pub(crate) cgroups: CgroupPaths,
    pub(crate) log: LogSpec,
    /// Standard input of the shim is a pipe that ends when the agent dies; then everything is killed.
    pub(crate) die_with_parent: bool,
}

/// What the shim tells about its container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "phase")]
pub(crate) enum RunState {
    /// The program runs.
    Running {
        shim: ProcessIdentity,
        root: ProcessIdentity,
        #[serde(with = "timestamp")]
        started_at: TimestampMs,
    },
    /// All its processes are gone.
    Exited { exit: Exit },
}

/// A sandbox on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SandboxRecord {
    pub(crate) config: SandboxConfig,
    #[serde(with = "timestamp")]
    pub(crate) created_at: TimestampMs,
    pub(crate) ready: bool,
}

/// Paths below the root.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(crate) fn create(root: &Path) -> io::Result<Self> {
        let layout = Self { root: root.to_owned() };
        make_private_dir(&layout.sandboxes_dir())?;
        make_private_dir(&layout.containers_dir())?;
        Ok(layout)
    }

    pub(crate) fn lock_file(&self) -> PathBuf {
        self.root.join(LOCK_FILE)
    }

    pub(crate) fn sandboxes_dir(&self) -> PathBuf {
        self.root.join("sandboxes")
    }

    pub(crate) fn containers_dir(&self) -> PathBuf {
        self.root.join("containers")
    }

    pub(crate) fn sandbox_dir(&self, id: &SandboxId) -> PathBuf {
        self.sandboxes_dir().join(id.as_str())
    }

    pub(crate) fn sandbox_file(&self, id: &SandboxId) -> PathBuf {
        self.sandbox_dir(id).join(SANDBOX_FILE)
    }

    pub(crate) fn container_dir(&self, id: &ContainerId) -> PathBuf {
        self.containers_dir().join(id.as_str())
    }
}

/// The subdirectories of `dir`.
pub(crate) fn subdirectories(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// The sandbox recorded in directory `dir`; `None` when the record was never completed.
pub(crate) fn read_sandbox(dir: &Path) -> io::Result<Option<SandboxRecord>> {
    read_json(&dir.join(SANDBOX_FILE))
}

/// Makes `dir` and its parents for the agent's user alone: environments hold secrets.
pub(crate) fn make_private_dir(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Replaces `path` with the value, whole or not at all.
pub(crate) fn write_json<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(value)?;
    bytes.push(b'\n');
    let temporary = path.with_extension("tmp");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(&bytes)?;
    fs::rename(&temporary, path)
}

/// Reads a value; `None` when there is no such file.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// `remove_dir_all` that calls an absent directory a success.
pub(crate) fn remove_dir(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::ExitReason;

    #[test]
    fn a_state_reads_back_as_written_and_leaves_no_temporary_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(STATE_FILE);
        assert_eq!(read_json::<RunState>(&path).unwrap(), None);
        let state = RunState::Exited {
            exit: Exit {
                code: 137,
                signal: Some(9),
                reason: ExitReason::OomKilled,
                message: String::new(),
                started_at: Some(TimestampMs(5)),
                finished_at: TimestampMs(9),
            },
        };
        write_json(&path, &state).unwrap();
        write_json(&path, &state).unwrap();
        assert_eq!(read_json(&path).unwrap(), Some(state));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn garbage_is_an_error_and_not_an_absence() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(STATE_FILE);
        fs::write(&path, b"{\"phase\":\"runn").unwrap();
        assert!(read_json::<RunState>(&path).is_err());
    }
}
