//! Files with explicit sync: what a storage engine needs of a file system, and nothing more.
//!
//! # The contract
//! - Names are relative, parts separated by `/`, without `.` or `..`.
//! - A file is created once, only grows by [`AppendFile::append`] (what is at its end can be taken back), and is read
//!   at offsets. Bytes are visible to readers as soon as `append` returns, and survive the end of the process.
//! - They survive a power cut only after [`AppendFile::sync`]; a created, renamed or removed *name* only
//!   after [`Dir::sync_dir`] of the folder that holds it.
//! - [`Dir::rename`] is atomic; a file replaces its target; both names lie in one folder.
//! - A file may have several names ([`Dir::link`]); its bytes go with the last of them.
//! - An open file stays readable after its name is removed.
//!
//! # The fault model
//! [`FaultDir`] keeps *live* and *durable* state apart and can make these faults, alone or in sequence:
//! - **Power cut.** Of a file the synced prefix survives intact. Of the bytes appended since, any prefix may
//!   survive, cut at any byte; the rest of the file is missing, or has its length but reads as zeros. Of the
//!   names changed in a folder since its last sync, any prefix of the changes survives; folders do not
//!   wait for each other. A file whose name survived may be empty.
//! - **Kill.** The process ends between two operations; everything it wrote is there.
//! - **Disk full, or another error, on append.** The first half of the bytes is in the file, the call fails.
//! - **IO error on sync.** The call fails and what was not yet durable in that file never will be, even if a
//!   later sync of it reports success (the page cache forgets which pages were dirty).
//! - **Hang.** Operations wait until the device answers again.
//! - **Read-only file system, no more descriptors.** As an IO error, told as what it is.
//! - **IO error on any other operation.** The operation has no effect.
//! - **Decay.** Bytes of a file change, or its end goes missing, while nobody looks.
//!
//! Not modelled: a synced prefix that is lost (a disk that lies), writes that land in another file, reads that
//! return different bytes at each try.

pub mod contract;
mod fault;
mod fs;
mod mem;

use std::fmt;
use std::io;
use std::sync::Arc;

pub use fault::{Fault, FaultDir};
pub use fs::FsDir;
pub use mem::MemDir;

/// A file that only grows, but for bytes at its end that are taken back.
pub trait AppendFile: Send + Sync + fmt::Debug {
    /// Adds bytes at the end.
    ///
    /// # Errors
    /// The system's error; part of the bytes may be in the file.
    fn append(&self, bytes: &[u8]) -> io::Result<()>;

    /// Makes everything appended so far survive a power cut.
    ///
    /// # Errors
    /// The system's error; afterwards nothing appended since the last success may be trusted to be durable.
    fn sync(&self) -> io::Result<()>;

    /// Takes bytes at the end back, so that `len_bytes` are left; the next [`AppendFile::sync`] makes that durable.
    ///
    /// # Errors
    /// `InvalidInput` when the file is shorter, or the system's error; then the file is as it was.
    fn cut(&self, len_bytes: u64) -> io::Result<()>;
}

/// A file that is read at offsets.
pub trait ReadFile: Send + Sync + fmt::Debug {
    /// Bytes in the file now.
    ///
    /// # Errors
    /// The system's error.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file has no bytes.
    ///
    /// # Errors
    /// The system's error.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills `into` with the bytes from `offset`.
    ///
    /// # Errors
    /// `UnexpectedEof` when the file ends before, or the system's error.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()>;
}

/// One name in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// Last part of the name.
    pub name: String,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// Size of a file, 0 for a folder.
    pub len_bytes: u64,
}

/// Keeps others out while it lives; dropped with its process at the latest.
pub trait DirLock: Send + Sync + fmt::Debug {}

/// Why a lock was not given.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Someone else holds it.
    #[error("{path} is locked by {holder}: stop that process, or use another directory")]
    Held {
        /// The lock file.
        path: String,
        /// "process 123", or what else is known of the holder.
        holder: String,
    },
    /// The lock file cannot be made or read.
    #[error("cannot lock {path}: check that the directory exists and is writable by this user")]
    Io {
        /// The lock file.
        path: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
}

/// A directory tree; see the module for the contract.
pub trait Dir: Send + Sync + fmt::Debug {
    /// Where the tree is, for messages.
    fn location(&self) -> &str;

    /// Makes a new, empty file.
    ///
    /// # Errors
    /// `AlreadyExists`, or the system's error.
    fn create(&self, name: &str) -> io::Result<Arc<dyn AppendFile>>;

    /// Opens a file for reading.
    ///
    /// # Errors
    /// `NotFound`, or the system's error.
    fn open(&self, name: &str) -> io::Result<Arc<dyn ReadFile>>;

    /// Cuts a file to its first `len_bytes` bytes and makes that durable.
    ///
    /// # Errors
    /// `InvalidInput` when the file is shorter, or the system's error.
    fn truncate(&self, name: &str, len_bytes: u64) -> io::Result<()>;

    /// What is in a folder (`""` for the root), sorted by name.
    ///
    /// # Errors
    /// `NotFound`, or the system's error.
    fn list(&self, folder: &str) -> io::Result<Vec<DirEntry>>;

    /// Makes a folder unless it is there; its parent must be.
    ///
    /// # Errors
    /// The system's error.
    fn create_folder(&self, name: &str) -> io::Result<()>;

    /// Removes the name of an empty folder.
    ///
    /// # Errors
    /// `NotFound`, `DirectoryNotEmpty`, or the system's error.
    fn remove_folder(&self, name: &str) -> io::Result<()>;

    /// Renames a file, replacing a file of the new name, or a folder, where nothing has the new name.
    ///
    /// # Errors
    /// `InvalidInput` across folders, `NotFound`, or the system's error.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Gives a file a second name, in any folder of the tree.
    ///
    /// # Errors
    /// `NotFound`, `AlreadyExists`, or the system's error.
    fn link(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file's name.
    ///
    /// # Errors
    /// `NotFound`, or the system's error.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes the names in a folder (`""` for the root) survive a power cut.
    ///
    /// # Errors
    /// The system's error.
    fn sync_dir(&self, folder: &str) -> io::Result<()>;

    /// Takes the exclusive lock of that name, at once or not at all. A lock whose holder died is free.
    ///
    /// # Errors
    /// [`LockError`].
    fn lock(&self, name: &str) -> Result<Box<dyn DirLock>, LockError>;
}

/// Reads a whole file that is not longer than `len_max_bytes`.
///
/// # Errors
/// `InvalidData` when it is longer, or the system's error.
pub fn read_whole(dir: &dyn Dir, name: &str, len_max_bytes: u64) -> io::Result<Vec<u8>> {
    let file = dir.open(name)?;
    let len = file.len()?;
    let len = usize::try_from(len).ok().filter(|_| len <= len_max_bytes).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{name} has {len} bytes, more than {len_max_bytes}"),
        )
    })?;
    let mut bytes = vec![0; len];
    file.read_at(0, &mut bytes)?;
    Ok(bytes)
}

/// Removes a folder and what is in it, folders inside included; one that is not there is no error.
///
/// # Errors
/// The system's error.
pub fn remove_tree(dir: &dyn Dir, folder: &str) -> io::Result<()> {
    let entries = match dir.list(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let name = format!("{folder}/{}", entry.name);
        if entry.is_folder { remove_tree(dir, &name)? } else { dir.remove(&name)? }
    }
    dir.remove_folder(folder)
}

/// Whether an operation failed since the process, or the machine, may open no more files.
#[must_use]
pub fn lacks_descriptors(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let codes = [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error);
    error.raw_os_error().is_some_and(|code| codes.contains(&code))
}

fn invalid_name(name: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("{name:?} is not a relative name without . and .."),
    )
}

/// The folder and the last part of a checked name.
fn split_name(name: &str) -> io::Result<(&str, &str)> {
    let is_part =
        |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\0');
    if !name.split('/').all(is_part) {
        return Err(invalid_name(name));
    }
    Ok(name.rsplit_once('/').unwrap_or(("", name)))
}
