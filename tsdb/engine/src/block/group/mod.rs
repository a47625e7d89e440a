//! Directory entries of series that stand together, kept as columns so that like stands beside like.
//!
//! ```text
//! series section: varint groups; each: varint length of the entries, varint length in the file * 2 + is compressed;
//!                 behind all of these the groups
//! group: varint frame, varint offset: where the first new body of the group stands
//!        varint length of each column but the last, then the columns
//!   series      byte each: has floats (bit 0), has histograms (bit 1), the times of its floats are those of the
//!               floats before it in the group (bit 2), has start timestamps of floats (bit 3), of
//!               histograms (bit 4): chunks of floats behind those of the values, or behind the histograms;
//!               has aggregates (bit 5): the chunks of their columns behind those; its histograms are runs (bit 6):
//!               the chunks of their sums behind the histograms, then those of their counts
//!   times       reference to times (times.rs) of floats, unless bit 2, then of histograms; of runs behind that the
//!               varint number of those with a sum of their own
//!   kinds       of each chunk of floats (docs/format/column.md)
//!   numbers     of each chunk of floats
//!   references  varint distance to an earlier series, of each with a chunk that refers to one
//!   statistics  of each chunk of values of [`STATISTICS_MIN`] and more (docs/format/column.md); only in version 3
//!   lengths     of each body that there is (of floats, exceptions, histograms): varint length * 2 + stands elsewhere
//!   places      of bodies elsewhere: zigzag difference of the frame's number from that of the last new body (first
//!               the group's), varint offset in the frame
//! ```
//! A body that does not stand elsewhere stands where the last new one ended, at the start of the next frame when its
//! frame ends there. A body at that place or behind is new.

mod read;
mod write;

pub(crate) use read::BlockSeries;
pub(crate) use read::HistogramColumns;
pub(super) use read::{FloatColumns, Group, GroupDirectory};
pub(super) use write::GroupWriter;

const HAS_FLOATS: u8 = 1;
const HAS_HISTOGRAMS: u8 = 1 << 1;
const SAME_TIMES: u8 = 1 << 2;
const HAS_FLOAT_STARTS: u8 = 1 << 3;
const HAS_HISTOGRAM_STARTS: u8 = 1 << 4;
const HAS_AGGREGATES: u8 = 1 << 5;
const HAS_RUNS: u8 = 1 << 6;

/// Values that a chunk has at least for its figures to be kept: they take some ten bytes, and fewer values are soon read.
pub(super) const STATISTICS_MIN: usize = 240;

/// Columns of a group, in the order of the file.
#[derive(Clone, Copy)]
enum ColumnKind {
    Series,
    Times,
    Kinds,
    Numbers,
    References,
    Statistics,
    Lengths,
    Places,
}

const COLUMN_COUNT: usize = 8;
