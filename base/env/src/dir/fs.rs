//! The machine's file system.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};

use super::{AppendFile, Dir, DirEntry, DirLock, LockError, ReadFile, split_name};

/// A directory of the machine's file system.
#[derive(Debug)]
pub struct FsDir {
    root: PathBuf,
    location: String,
}

impl FsDir {
    /// The tree under `root`, which is made (readable by its owner only) when it is missing.
    ///
    /// # Errors
    /// The system's error, when `root` cannot be made or is no directory.
    pub fn open(root: &Path) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(root)?;
        Ok(Self { root: root.to_owned(), location: root.display().to_string() })
    }

    fn path(&self, name: &str) -> io::Result<PathBuf> {
        split_name(name)?;
        Ok(self.root.join(name))
    }

    fn folder(&self, name: &str) -> io::Result<PathBuf> {
        if name.is_empty() { Ok(self.root.clone()) } else { self.path(name) }
    }

    fn take_lock(&self, name: &str) -> Result<Result<FsLock, String>, io::Error> {
        let path = self.path(name)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                file.take(LOCK_TEXT_MAX_BYTES).read_to_string(&mut holder)?;
                return Ok(Err(holder.trim().to_owned()));
            }
            Err(errno) => return Err(errno.into()),
        }
        file.set_len(0)?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Ok(FsLock { _file: file }))
    }
}

/// A lock file holds a process id and a line end.
const LOCK_TEXT_MAX_BYTES: u64 = 32;

#[derive(Debug)]
struct FsAppend(File);

impl AppendFile for FsAppend {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        (&self.0).write_all(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn cut(&self, len_bytes: u64) -> io::Result<()> {
        cut(&self.0, len_bytes)
    }
}

fn cut(file: &File, len_bytes: u64) -> io::Result<()> {
    let len = file.metadata()?.len();
    if len < len_bytes {
        let what = format!("a file of {len} bytes cannot be cut to {len_bytes}");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    file.set_len(len_bytes)
}

#[derive(Debug)]
struct FsRead(File);

impl ReadFile for FsRead {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(into, offset)
    }
}

/// The lock goes with the open file, so the system frees it when the process ends in any way.
#[derive(Debug)]
struct FsLock {
    _file: File,
}

impl DirLock for FsLock {}

impl Dir for FsDir {
    fn location(&self) -> &str {
        &self.location
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn AppendFile>> {
        let file =
            OpenOptions::new().append(true).create_new(true).mode(0o600).open(self.path(name)?)?;
        Ok(Arc::new(FsAppend(file)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn ReadFile>> {
        Ok(Arc::new(FsRead(File::open(self.path(name)?)?)))
    }

    fn truncate(&self, name: &str, len_bytes: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(self.path(name)?)?;
        cut(&file, len_bytes)?;
        file.sync_all()
    }

    fn list(&self, folder: &str) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(self.folder(folder)?)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry.file_name().into_string() {
                let is_folder = metadata.is_dir();
                let len_bytes = if is_folder { 0 } else { metadata.len() };
                entries.push(DirEntry { name, is_folder, len_bytes });
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn create_folder(&self, name: &str) -> io::Result<()> {
        match fs::DirBuilder::new().mode(0o700).create(self.path(name)?) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if self.path(name)?.is_dir() { Ok(()) } else { Err(error) }
            }
            other => other,
        }
    }

    fn remove_folder(&self, name: &str) -> io::Result<()> {
        fs::remove_dir(self.path(name)?)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        if split_name(from)?.0 != split_name(to)?.0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{from} and {to} lie in different folders"),
            ));
        }
        fs::rename(self.path(from)?, self.path(to)?)
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        fs::hard_link(self.path(from)?, self.path(to)?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name)?)
    }

    fn sync_dir(&self, folder: &str) -> io::Result<()> {
        File::open(self.folder(folder)?)?.sync_all()
    }

    fn lock(&self, name: &str) -> Result<Box<dyn DirLock>, LockError> {
        let path = self.root.join(name).display().to_string();
        match self.take_lock(name) {
            Ok(Ok(lock)) => Ok(Box::new(lock)),
            Ok(Err(pid)) if pid.is_empty() => {
                Err(LockError::Held { path, holder: "another process".to_owned() })
            }
            Ok(Err(pid)) => Err(LockError::Held { path, holder: format!("process {pid}") }),
            Err(source) => Err(LockError::Io { path, source }),
        }
    }
}
