//! One file of `/proc`, `/sys` or a cgroup, opened once and read from its start each tick.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Room a file is read into when nothing larger was seen yet; most kernel files fit.
const SCRATCH_BYTES_MIN: usize = 8 * 1024;

/// A file larger than this is not one of the kernel's counters; reading stops with an error.
const FILE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A buffer that reads share, so that a tick allocates nothing once it has grown to the largest file.
#[derive(Debug, Default)]
pub struct Scratch {
    bytes: Vec<u8>,
}

impl Scratch {
    /// The first `len` bytes of the last read, for an owner that keeps a buffer to one file.
    #[must_use]
    pub fn filled(&self, len: usize) -> &[u8] {
        &self.bytes[..len.min(self.bytes.len())]
    }
}

/// Why a kernel file gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It could not be opened or read.
    #[error("read {path}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It holds more than any file of counters.
    #[error("{path} holds more than {limit_bytes} bytes")]
    TooLarge {
        /// Which file.
        path: PathBuf,
        /// The limit.
        limit_bytes: usize,
    },
}

impl ReadError {
    /// Whether the file or what it describes does not exist (any more), which is often no fault.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        // a process that is gone answers ESRCH, a removed cgroup ENODEV
        const ESRCH: i32 = rustix::io::Errno::SRCH.raw_os_error();
        const ENODEV: i32 = rustix::io::Errno::NODEV.raw_os_error();
        match self {
            Self::Io { source, .. } => {
                source.kind() == io::ErrorKind::NotFound
                    || matches!(source.raw_os_error(), Some(ESRCH | ENODEV))
            }
            Self::TooLarge { .. } => false,
        }
    }
}

/// A kernel file: opened at the first read, kept open, read from offset 0 each time. After an error it
/// is closed and opened again at the next read.
#[derive(Debug)]
pub struct KernelFile {
    path: PathBuf,
    file: Option<File>,
}

impl KernelFile {
    /// A file not opened yet.
    #[must_use]
    pub const fn new(path: PathBuf) -> Self {
        Self { path, file: None }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Closes it; the next read opens it again. For owners of more files than may stay open.
    pub fn close(&mut self) {
        self.file = None;
    }

    /// The whole content.
    ///
    /// # Errors
    /// [`ReadError`] with the path and the system's answer.
    pub fn read<'scratch>(
        &mut self,
        scratch: &'scratch mut Scratch,
    ) -> Result<&'scratch [u8], ReadError> {
        self.read_until(scratch, |_| false)
    }

    /// The content of a file that the kernel hands over in a single read (one value, or a cgroup's or
    /// process' file): saves the read that would only confirm the end.
    ///
    /// # Errors
    /// [`ReadError`] with the path and the system's answer.
    pub fn read_once<'scratch>(
        &mut self,
        scratch: &'scratch mut Scratch,
    ) -> Result<&'scratch [u8], ReadError> {
        self.read_until(scratch, |room_left| room_left)
    }

    fn read_until<'scratch>(
        &mut self,
        scratch: &'scratch mut Scratch,
        is_done: impl Fn(bool) -> bool,
    ) -> Result<&'scratch [u8], ReadError> {
        let bytes = &mut scratch.bytes;
        if bytes.len() < SCRATCH_BYTES_MIN {
            bytes.resize(SCRATCH_BYTES_MIN, 0);
        }
        let mut filled = 0;
        loop {
            match self.read_at(&mut bytes[filled..], filled) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(source) if source.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => {
                    self.file = None;
                    return Err(ReadError::Io { path: self.path.clone(), source });
                }
            }
            if is_done(filled < bytes.len()) {
                break;
            }
            if filled == bytes.len() {
                if filled >= FILE_BYTES_MAX {
                    self.file = None;
                    let path = self.path.clone();
                    return Err(ReadError::TooLarge { path, limit_bytes: FILE_BYTES_MAX });
                }
                bytes.resize(filled * 2, 0);
            }
        }
        Ok(&scratch.bytes[..filled])
    }

    fn read_at(&mut self, into: &mut [u8], offset: usize) -> io::Result<usize> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(File::open(&self.path)?),
        };
        file.read_at(into, offset as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_whole_each_time_and_again_after_it_came_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("counters");
        let mut file = KernelFile::new(path.clone());
        let mut scratch = Scratch::default();
        assert!(file.read(&mut scratch).unwrap_err().is_absent());

        let long = vec![b'x'; 3 * SCRATCH_BYTES_MIN + 1];
        std::fs::write(&path, &long).unwrap();
        assert_eq!(file.read(&mut scratch).unwrap(), long);
        assert_eq!(file.read_once(&mut scratch).unwrap(), long);
        std::fs::write(&path, b"short").unwrap();
        assert_eq!(file.read(&mut scratch).unwrap(), b"short", "the same open file");
        assert_eq!(file.read_once(&mut scratch).unwrap(), b"short");
    }

    #[test]
    fn what_is_no_counter_file_is_refused() {
        let mut file = KernelFile::new(PathBuf::from("/dev/zero"));
        let error = file.read(&mut Scratch::default()).unwrap_err();
        assert_eq!(error.to_string(), "/dev/zero holds more than 16777216 bytes");
        let mut dir = KernelFile::new(PathBuf::from("/proc"));
        let error = dir.read(&mut Scratch::default()).unwrap_err();
        assert!(!error.is_absent() && error.to_string() == "read /proc");
    }
}
