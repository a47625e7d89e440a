//! A checkpoint: the head as it stood at one place of the log, so that a start reads it and only the log behind it.
//!
//! It is an aid and no more: the log keeps what a checkpoint has until that is in blocks. One that is missing or damaged
//! costs a longer start, and nothing else. Three rules make it so:
//! - the log is synced up to a checkpoint's place before the checkpoint gets its name;
//! - before log segments are deleted, the checkpoint is replaced by one that knows of the flush, or removed: an old one
//!   would bring back what was deleted from blocks since;
//! - one whose segment of the log is gone is not used.
//!
//! Labels change seldom, and are most of it for series with few samples: they stand in a file of their own that is
//! written anew once enough series came since ([`labels`]). Checkpoints name that file, and add the series that came. Files
//! that the checkpoint does not name go behind the next one, or at a start.

mod file;
mod labels;
mod read;
mod write;

use labels::LabelsFile;

pub(crate) use file::{NAME, NAME_UNFINISHED};
pub(crate) use labels::{Named, remove_unnamed};
pub(crate) use read::{Loaded, ReadCheckpointError, read};

/// What is known of the file on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Saved {
    /// Its bytes, if there is one.
    pub(crate) file_bytes: Option<u64>,
    /// Bytes of the file with the labels that it names.
    pub(crate) labels_bytes: u64,
    /// That file, when this process wrote it.
    labels: Option<LabelsFile>,
    /// What [`crate::wal::WalWriter::logged_bytes`] said when it was made.
    pub(crate) logged_bytes: u64,
}

impl Saved {
    /// What a start found, or nothing.
    pub(crate) fn found(file_bytes: Option<u64>, labels_bytes: u64) -> Self {
        Self { file_bytes, labels_bytes, ..Self::default() }
    }

    /// Whether the log has grown enough for the next one: by `log_bytes`, and by half of what the last one took, so that
    /// checkpoints never write more than two bytes for one of the log, and labels.
    pub(crate) fn is_due(&self, logged_bytes: u64, log_bytes: u64) -> bool {
        let grown = logged_bytes.saturating_sub(self.logged_bytes);
        log_bytes > 0 && grown >= log_bytes.max(self.file_bytes.unwrap_or(0) / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_one_is_due_when_the_log_has_grown_by_half_of_the_last() {
        let none = Saved::default();
        assert!(!none.is_due(99, 100) && none.is_due(100, 100));
        assert!(!none.is_due(u64::MAX, 0), "0 makes none");
        let large = Saved { logged_bytes: 50, ..Saved::found(Some(1000), 9000) };
        assert!(!large.is_due(549, 100) && large.is_due(550, 100));
    }
}
