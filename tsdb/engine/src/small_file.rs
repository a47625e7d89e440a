//! Small files that are read and replaced as a whole.
//!
//! ```text
//! 8 bytes  what the file is
//! 4 bytes  LE version
//!          content
//! 4 bytes  LE checksum (CRC-32) of all before
//! ```

use std::io;

use swell_env::{Dir, read_whole};

const MAGIC_LEN: usize = 8;
const HEADER_LEN: usize = MAGIC_LEN + 4;
const CHECKSUM_LEN: usize = 4;

/// What is written behind the name of a file while it is not finished.
const SUFFIX_UNFINISHED: &str = ".tmp";

/// What all files of one kind have around their content.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Format {
    pub(crate) magic: &'static [u8; MAGIC_LEN],
    pub(crate) version: u32,
    /// Longer files are damaged.
    pub(crate) bytes_max: u64,
}

/// What a file is found to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Absent,
    Content(Vec<u8>),
    /// The bytes are not what was written.
    Damaged,
    /// Written by a newer version of this program.
    Newer(u32),
}

impl Format {
    /// The bytes of a file with that content.
    pub(crate) fn sealed(&self, content: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_LEN + content.len() + CHECKSUM_LEN);
        bytes.extend_from_slice(self.magic);
        bytes.extend_from_slice(&self.version.to_le_bytes());
        bytes.extend_from_slice(content);
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    /// Reads a file.
    pub(crate) fn read(&self, dir: &dyn Dir, name: &str) -> io::Result<Found> {
        match read_whole(dir, name, self.bytes_max) {
            Ok(bytes) => Ok(self.opened(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::Absent),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(Found::Damaged),
            Err(error) => Err(error),
        }
    }

    fn opened(&self, mut bytes: Vec<u8>) -> Found {
        let word =
            |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let end = bytes.len().checked_sub(CHECKSUM_LEN).filter(|end| *end >= HEADER_LEN);
        let Some(end) = end.filter(|_| bytes[..MAGIC_LEN] == *self.magic) else {
            return Found::Damaged;
        };
        if crc32fast::hash(&bytes[..end]) != word(end) {
            return Found::Damaged;
        }
        let version = word(MAGIC_LEN);
        if version != self.version {
            return Found::Newer(version);
        }
        bytes.truncate(end);
        bytes.drain(..HEADER_LEN);
        Found::Content(bytes)
    }
}

/// Replaces a file: after a kill or a power cut it is the one before or this one.
pub(crate) fn replace(dir: &dyn Dir, name: &str, bytes: &[u8]) -> io::Result<()> {
    let unfinished = format!("{name}{SUFFIX_UNFINISHED}");
    match dir.remove(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = dir.create(&unfinished)?;
    file.append(bytes)?;
    file.sync()?;
    dir.rename(&unfinished, name)?;
    dir.sync_dir(name.rsplit_once('/').map_or("", |(folder, _)| folder))
}
