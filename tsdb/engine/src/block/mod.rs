//! Immutable blocks: one file each, columns first, then what is needed to find them. `docs/format/block.md` has
//! the layout; the constants are here.

mod aggregates;
mod columns;
mod frames;
mod group;
pub(crate) mod manifest;
mod meta;
mod reader;
mod references;
mod runs;
mod times;
mod writer;

#[cfg(test)]
mod tests;

use std::io;

pub(crate) use aggregates::Depth;
pub(crate) use columns::FrameCache;
pub(crate) use group::{BlockSeries, HistogramColumns};
pub(crate) use meta::{BlockId, BlockMeta};
pub(crate) use reader::{Block, Departed, Loaded};
pub(crate) use runs::aggregate;
pub(crate) use times::TimesRef;
pub(crate) use writer::{BlockWriter, WriteBlockError};

/// Folder of the blocks in the data directory.
pub(crate) const FOLDER: &str = "blocks";
/// Ending of a finished block.
pub(crate) const SUFFIX: &str = ".blk";
/// Ending of a block that is being written.
pub(crate) const SUFFIX_UNFINISHED: &str = ".tmp";
/// Ending of a block that was set aside.
pub(crate) const SUFFIX_DAMAGED: &str = ".damaged";

const MAGIC: &[u8; 8] = b"SWELLBLK";
const MAGIC_END: &[u8; 8] = b"SWELLEND";
/// Of blocks of samples without figures of chunks, which are no longer written.
const VERSION_PLAIN: u32 = 1;
/// Of blocks of aggregates without histograms, which are no longer written.
const VERSION_AGGREGATES: u32 = 2;
/// Of blocks of samples with figures of chunks.
const VERSION_STATISTICS: u32 = 3;
/// Of blocks of aggregates, of histograms as well.
const VERSION_RUNS: u32 = 4;
/// Magic, version, checksum of both.
const HEADER_LEN: usize = 16;
/// Length of the footer, its checksum, magic.
const TRAILER_LEN: usize = 16;

/// Values of one series in one chunk.
pub(crate) const CHUNK_LEN: usize = 2048;
/// A frame is closed once it has this many bytes: what a read of a single chunk has to verify.
const FRAME_BYTES: usize = 16 << 10;
/// Series whose entries stand together: what a read of a single series has to go through.
const SERIES_GROUP_LEN: usize = 256;
/// Columns that may have to be read before one can be, each referring to the next.
const REFERENCE_DEPTH_MAX: u8 = 16;

/// How frames are kept in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    /// As they are: for blocks that will be merged soon.
    Plain,
    /// Compressed with zstd, where that is shorter: a tenth smaller, a quarter slower to read.
    Compressed,
}

/// Number of sections behind the frames.
const SECTION_COUNT: usize = 4;
/// Their order in the file.
const FRAMES: usize = 0;
const TIMES: usize = 1;
const SERIES: usize = 2;
const INDEX: usize = 3;

/// Why a block cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadBlockError {
    /// The system's error.
    #[error("read {file}")]
    Read { file: String, source: io::Error },
    /// Bytes are not what was written.
    #[error("{file} is damaged at byte {offset}: {what}")]
    Damaged { file: String, offset: u64, what: String },
    /// Written by a newer version of this program.
    #[error(
        "{file} has format version {version}, this program reads up to {VERSION_RUNS}: use a newer version"
    )]
    Newer { file: String, version: u32 },
}
