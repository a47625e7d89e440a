//! What a collector is.

use std::path::{Path, PathBuf};

use swell_model::{Pass, TimestampMs};
use swell_source::{JobLabels, KernelFile, ReadError, Scratch};

/// What a collector may touch in one tick.
pub(crate) struct Tick<'tick> {
    pub(crate) now: TimestampMs,
    pub(crate) pass: &'tick mut Pass,
    pub(crate) scratch: &'tick mut Scratch,
    pub(crate) labels: &'tick JobLabels,
    /// `/proc/stat`, which two collectors read.
    pub(crate) proc_stat: &'tick mut SharedFile,
}

/// One subject of the machine. The names it records are node_exporter's.
pub(crate) trait Collector: Send {
    /// Label `collector` of its success series; node_exporter's name.
    fn name(&self) -> &'static str;

    /// Records one tick. Series recorded before an error stay in the pass.
    fn collect(&mut self, tick: &mut Tick<'_>) -> Result<(), CollectError>;
}

/// Why a collector failed in a tick.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// A file it needs cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A file does not look as documented.
    #[error("{path}: {what}")]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What is missing or wrong in it.
        what: &'static str,
    },
}

impl CollectError {
    pub(crate) fn malformed(path: &Path, what: &'static str) -> Self {
        Self::Malformed { path: path.to_owned(), what }
    }
}

/// A file that several collectors use in a tick and that is read once.
#[derive(Debug)]
pub(crate) struct SharedFile {
    file: KernelFile,
    content: Scratch,
    len: Option<usize>,
}

impl SharedFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { file: KernelFile::new(path), content: Scratch::default(), len: None }
    }

    /// Forgets the last tick's content.
    pub(crate) fn begin_tick(&mut self) {
        self.len = None;
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.file.path().to_owned()
    }

    /// The content as of the first read in this tick.
    pub(crate) fn text(&mut self) -> Result<&[u8], ReadError> {
        if self.len.is_none() {
            self.len = Some(self.file.read(&mut self.content)?.len());
        }
        Ok(self.content.filled(self.len.unwrap_or_default()))
    }
}
