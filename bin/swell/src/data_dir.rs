//! The data directory: one process at a time, and where each part of it is.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use rustix::fs::{FlockOperation, flock};

/// A data directory that this process holds.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    /// Held while the process lives; the kernel lets go of it however the process ends.
    _lock: File,
}

impl DataDir {
    /// Creates the directory if it is not there and takes it for this process.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .with_context(|| format!("create the data directory {}", path.display()))?;
        let file = path.join("lock");
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&file)
            .with_context(|| {
                format!("open {}: is the data directory writable for this user?", file.display())
            })?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut holder = String::new();
            lock.read_to_string(&mut holder).context("read the lock file")?;
            let holder = holder.trim();
            let holder = if holder.is_empty() { "unknown" } else { holder };
            bail!(
                "the data directory {} is in use by process {holder}: stop it, or choose another directory with --data-dir",
                path.display()
            );
        }
        lock.set_len(0).and_then(|()| lock.rewind()).context("empty the lock file")?;
        writeln!(lock, "{}", std::process::id()).context("write the lock file")?;
        let path = path.canonicalize().with_context(|| format!("resolve {}", path.display()))?;
        Ok(Self { path, _lock: lock })
    }

    /// The directory itself.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A part of it.
    pub(crate) fn join(&self, part: &str) -> PathBuf {
        self.path.join(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_process_is_told_who_holds_the_directory() {
        let folder = tempfile::tempdir().expect("a folder");
        let held = DataDir::open(&folder.path().join("data")).expect("free");
        let refused = DataDir::open(held.path()).expect_err("held").to_string();
        assert!(refused.contains(&std::process::id().to_string()), "{refused}");
        assert!(refused.contains("--data-dir"), "{refused}");
        drop(held);
        DataDir::open(&folder.path().join("data")).expect("free again");
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("data");
        fs::write(&path, "in the way").expect("written");
        let error = format!("{:#}", DataDir::open(&path).expect_err("a file"));
        assert!(error.contains(&path.display().to_string()), "{error}");
    }
}
