//! The blocks on disk, one by one.

use swell_model::{DurationMs, TimeRange};

use crate::block::BlockMeta;
use crate::db::Db;

/// One block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockListing {
    /// Its number; never given out twice.
    pub number: u64,
    /// Name of its file.
    pub file: String,
    /// Times of its samples, both ends included.
    pub range: TimeRange,
    /// Distance of the aggregates it holds; zero when it holds samples as they came.
    pub resolution: DurationMs,
    /// Series.
    pub series_count: u64,
    /// Chunks.
    pub chunk_count: u64,
    /// Samples, or aggregates.
    pub sample_count: u64,
    /// Numbers of the blocks that were merged into this one; none for one that was written from memory.
    pub sources: Vec<u64>,
    /// Bytes of its file.
    pub bytes: u64,
}

impl From<&BlockMeta> for BlockListing {
    fn from(meta: &BlockMeta) -> Self {
        Self {
            number: meta.id.0,
            file: meta.id.file_name(),
            range: meta.range(),
            resolution: meta.resolution,
            series_count: meta.series_count,
            chunk_count: meta.chunk_count,
            sample_count: meta.sample_count,
            sources: meta.sources.iter().map(|source| source.0).collect(),
            bytes: meta.file_bytes,
        }
    }
}

impl Db {
    /// The blocks that readers see, oldest first: those of samples, then those of aggregates.
    #[must_use]
    pub fn blocks(&self) -> Vec<BlockListing> {
        let blocks = self.inner.state.read().all_blocks();
        blocks.iter().map(|block| BlockListing::from(&block.meta)).collect()
    }
}
