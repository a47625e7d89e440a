//! The write-ahead log: one checksummed record a batch, in segments that are deleted once their samples are in
//! blocks.

mod definitions;
mod described;
mod frame;
mod record;
mod replay;
mod resume;
mod scan;
mod sync;
mod tail;
mod values;
mod writer;

pub(crate) use definitions::{DefinedSeries, Definitions};
pub(crate) use described::{put as put_descriptions, read as read_descriptions};
pub(crate) use frame::SEGMENT_HEADER_LEN;
pub(crate) use record::BatchRecord;
pub(crate) use record::read_text;
pub(crate) use record::{FlushMark, Position, Record};
pub use record::{RecordHistogram, RecordRow};
pub(crate) use replay::{ReplayError, Replayed, replay};
pub(crate) use resume::Resume;
pub(crate) use sync::SyncGate;
pub(crate) use tail::{Tail, TailItem};
pub(crate) use writer::{LogError, Segment, WalWriter};

/// Folder of the segments in the data directory.
pub(crate) const FOLDER: &str = "wal";
const SUFFIX: &str = ".wal";
/// Ending of a copy of damaged bytes.
const SUFFIX_DAMAGED: &str = ".damaged";

pub(crate) fn segment_name(segment_nr: u64) -> String {
    format!("{FOLDER}/{segment_nr:08}{SUFFIX}")
}

/// Whether a name in the data directory is that of a segment.
pub(crate) fn is_segment_name(name: &str) -> bool {
    name.strip_prefix(FOLDER)
        .and_then(|name| name.strip_prefix('/'))
        .is_some_and(|file_name| segment_nr(file_name).is_some())
}

/// The number in the file name of a segment. The greatest one is none: no other could follow.
pub(crate) fn segment_nr(file_name: &str) -> Option<u64> {
    let nr = file_name.strip_suffix(SUFFIX)?.parse().ok()?;
    (nr < u64::MAX && segment_name(nr).ends_with(&format!("/{file_name}"))).then_some(nr)
}
