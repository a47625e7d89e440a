//! Blocks of Prometheus' TSDB, read only: index version 2, chunks of floats and of integer and float histograms,
//! tombstones. Every stretch that is used is checked against its CRC-32C first.
//!
//! Formats: `tsdb/docs/format/{index,chunks,tombstones}.md` and `tsdb/chunkenc` in Prometheus' repository.

mod block;
mod bytes;
mod index;
mod tombstones;

use std::io;
use std::path::PathBuf;

pub use block::{PrometheusBlock, prometheus_blocks};

/// A block cannot be read; nothing of what is damaged is used.
#[derive(Debug, thiserror::Error)]
pub enum PrometheusError {
    /// A file cannot be read.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// Bytes are not what the format says, or fail their checksum.
    #[error("{} is damaged at byte {offset}: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// What is wrong.
        what: String,
    },
    /// The file is of a version or has a chunk that this program does not know.
    #[error("{}, byte {offset}: {what}, which is not known: convert the block with the Prometheus that wrote it", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// Version or encoding.
        what: String,
    },
    /// There is no block at that path.
    #[error("{} is neither a block (it has no meta.json) nor a folder with blocks", path.display())]
    NoBlock {
        /// The path.
        path: PathBuf,
    },
}
