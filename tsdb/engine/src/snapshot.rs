//! A copy of the database as it is at one moment, made while it is written to, and its way back.
//!
//! Blocks and ended log segments never change, so the copy shares their bytes by hard links; of the segment that
//! grows, what was written up to the moment is copied. A copy is a data directory like any other. It appears under
//! its name once it is whole.

use std::io;

use swell_env::{Dir, remove_tree};

use crate::block;
use crate::block::manifest::{self, Listed};
use crate::db::Db;
use crate::restore::STILL_READING;
use crate::tombstones;
use crate::wal;

/// Folder of the snapshots in the data directory.
pub(crate) const FOLDER: &str = "snapshots";
/// Ending of a snapshot that is being made.
const SUFFIX_UNFINISHED: &str = ".tmp";
/// Copied at a time.
const PIECE_BYTES: u64 = 1 << 20;

/// What a snapshot holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotReport {
    /// Blocks, by hard links.
    pub block_count: usize,
    /// Log segments.
    pub segment_count: usize,
    /// Bytes of all files.
    pub bytes: u64,
}

/// Why a snapshot was not made or not restored; nothing of it is left but what the next start removes.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The name cannot be one of a folder.
    #[error("{name:?} is no name for a snapshot: use letters, digits, and - _ . inside")]
    Name {
        /// The name as given.
        name: String,
    },
    /// There is one of that name.
    #[error("there is a snapshot {name} already: remove it, or choose another name")]
    Exists {
        /// The name.
        name: String,
    },
    /// The target of a restore has files.
    #[error("{location} is not empty: restore into a new directory")]
    NotEmpty {
        /// The directory.
        location: String,
    },
    /// The source of a restore is none.
    #[error("{location} is no snapshot: there is no folder {folder}")]
    NoSnapshot {
        /// The directory.
        location: String,
        /// What is missing.
        folder: &'static str,
    },
    /// A file could not be linked, read or written.
    #[error("{action}")]
    Io {
        /// What was tried.
        action: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
}

fn fault(action: impl Into<String>) -> impl FnOnce(io::Error) -> SnapshotError {
    let action = action.into();
    move |source| SnapshotError::Io { action, source }
}

/// Whether a name can be one of a folder, and leads nowhere else.
pub(crate) fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !name.is_empty()
        && name.len() <= 200
        && name.bytes().all(is_plain)
        && !name.starts_with('.')
        && !name.ends_with(SUFFIX_UNFINISHED)
}

impl Db {
    /// Makes a snapshot: all that was acknowledged when this began, and nothing that was not appended when it
    /// ends. Without the head only blocks are in it. Neither readers nor writers wait for it.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub fn snapshot(&self, name: &str, with_head: bool) -> Result<SnapshotReport, SnapshotError> {
        if !is_name(name) {
            return Err(SnapshotError::Name { name: name.to_owned() });
        }
        if !self.inner.is_replayed() {
            let source = io::Error::new(io::ErrorKind::ResourceBusy, STILL_READING);
            return Err(fault("make a snapshot")(source));
        }
        let dir = &*self.inner.dir;
        let (unfinished, finished) =
            (format!("{FOLDER}/{name}{SUFFIX_UNFINISHED}"), format!("{FOLDER}/{name}"));
        dir.create_folder(FOLDER).map_err(fault(format!("make the folder {FOLDER}")))?;
        let existing = dir.list(FOLDER).map_err(fault("list the snapshots"))?;
        if existing.iter().any(|entry| entry.name == name) {
            return Err(SnapshotError::Exists { name: name.to_owned() });
        }
        remove_tree(dir, &unfinished).map_err(fault(format!("remove {unfinished}")))?;
        let made = self.fill_snapshot(&unfinished, with_head).and_then(|report| {
            dir.rename(&unfinished, &finished).map_err(fault(format!("rename {unfinished}")))?;
            dir.sync_dir(FOLDER).map_err(fault("sync the folder of the snapshots"))?;
            dir.sync_dir("").map_err(fault("sync the directory"))?;
            Ok(report)
        });
        if made.is_err()
            && let Err(left) = remove_tree(dir, &unfinished)
        {
            tracing::warn!(snapshot = name, error = %left, "an unfinished snapshot stays until the next start");
        }
        made
    }

    fn fill_snapshot(&self, into: &str, with_head: bool) -> Result<SnapshotReport, SnapshotError> {
        let inner = &self.inner;
        let dir = &*inner.dir;
        let (blocks_folder, wal_folder) =
            (format!("{into}/{}", block::FOLDER), format!("{into}/{}", wal::FOLDER));
        for folder in [into, &blocks_folder, &wal_folder] {
            dir.create_folder(folder).map_err(fault(format!("make the folder {folder}")))?;
        }
        let mut report = SnapshotReport::default();
        // From here on no block comes or goes, and no log is deleted.
        let publishing = inner.publishing.lock();
        let segments: Vec<wal::Segment> =
            if with_head { inner.commit.lock().segments().copied().collect() } else { Vec::new() };
        let link = |name: &str| {
            let target = format!("{into}/{name}");
            dir.link(name, &target).map_err(fault(format!("link {name} as {target}")))
        };
        let blocks = inner.state.read().all_blocks();
        for block in &blocks {
            link(&block.name)?;
            report.block_count += 1;
            report.bytes += block.meta.file_bytes;
            if block.has_tombstones() && block.tombstones_fault().is_none() {
                link(&tombstones::name_of(block.meta.id))?;
            }
        }
        let listed: Vec<Listed> = inner
            .listed()
            .into_iter()
            .filter(|entry| with_head || entry.id != manifest::HEAD)
            .collect();
        if listed.iter().any(|entry| entry.id == manifest::HEAD) {
            link(&tombstones::head_name())?;
        }
        if let Some((current, ended)) = segments.split_last() {
            for segment in ended {
                link(&wal::segment_name(segment.nr))?;
            }
            let name = wal::segment_name(current.nr);
            copy(dir, &name, dir, &format!("{into}/{name}"), Some(current.bytes))?;
        }
        drop(publishing);
        report.segment_count = segments.len();
        report.bytes += segments.iter().map(|segment| segment.bytes).sum::<u64>();
        manifest::write(dir, &blocks_folder, &listed)
            .map_err(fault("write the snapshot's list of blocks"))?;
        for folder in [&blocks_folder, &wal_folder, into] {
            dir.sync_dir(folder).map_err(fault(format!("sync the folder {folder}")))?;
        }
        Ok(report)
    }
}

/// Copies a snapshot into an empty directory, where it can be opened.
///
/// # Errors
/// [`SnapshotError`].
pub fn restore(from: &dyn Dir, to: &dyn Dir) -> Result<SnapshotReport, SnapshotError> {
    if !to.list("").map_err(fault("list the target"))?.is_empty() {
        return Err(SnapshotError::NotEmpty { location: to.location().to_owned() });
    }
    let folders = from.list("").map_err(fault("list the snapshot"))?;
    let mut report = SnapshotReport::default();
    for folder in [block::FOLDER, wal::FOLDER] {
        if !folders.iter().any(|entry| entry.is_folder && entry.name == folder) {
            return Err(SnapshotError::NoSnapshot { location: from.location().to_owned(), folder });
        }
        to.create_folder(folder).map_err(fault(format!("make the folder {folder}")))?;
        for entry in from.list(folder).map_err(fault(format!("list {folder}")))? {
            let name = format!("{folder}/{}", entry.name);
            if entry.is_folder {
                continue;
            }
            copy(from, &name, to, &name, None)?;
            report.bytes += entry.len_bytes;
            report.block_count += usize::from(entry.name.ends_with(block::SUFFIX));
            report.segment_count += usize::from(folder == wal::FOLDER);
        }
        to.sync_dir(folder).map_err(fault(format!("sync the folder {folder}")))?;
    }
    to.sync_dir("").map_err(fault("sync the target"))?;
    Ok(report)
}

/// Removes what an earlier process left unfinished.
pub(crate) fn remove_unfinished(dir: &dyn Dir) -> io::Result<()> {
    let entries = match dir.list(FOLDER) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries.iter().filter(|entry| entry.name.ends_with(SUFFIX_UNFINISHED)) {
        remove_tree(dir, &format!("{FOLDER}/{}", entry.name))?;
    }
    Ok(())
}

/// Copies a file, or its first bytes, and syncs the copy.
fn copy(
    from: &dyn Dir,
    name: &str,
    to: &dyn Dir,
    target: &str,
    len: Option<u64>,
) -> Result<(), SnapshotError> {
    let source = from.open(name).map_err(fault(format!("open {name}")))?;
    let len = match len {
        Some(len) => len,
        None => source.len().map_err(fault(format!("measure {name}")))?,
    };
    let file = to.create(target).map_err(fault(format!("create {target}")))?;
    let mut at = 0;
    let mut piece = Vec::new();
    while at < len {
        let piece_len = usize::try_from(PIECE_BYTES.min(len - at)).expect("a piece fits");
        piece.resize(piece_len, 0);
        source.read_at(at, &mut piece).map_err(fault(format!("read {name}")))?;
        file.append(&piece).map_err(fault(format!("write {target}")))?;
        at += piece_len as u64;
    }
    file.sync().map_err(fault(format!("sync {target}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside_their_folder() {
        for name in ["a", "20171210T211224Z-2be650b6d019eb54", "before_1.2"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", ".", "..", "a/b", "../x", "a b", "x.tmp", ".hidden", "ä"] {
            assert!(!is_name(name), "{name:?}");
        }
    }
}
