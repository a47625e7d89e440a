//! What is known of a block without opening its columns.

use swell_chunk::{Cursor, DecodeError, put_varint, put_zigzag};
use swell_model::{DurationMs, TimeRange, TimestampMs};

use super::{SUFFIX, SUFFIX_UNFINISHED};

/// Names a block in its directory; never given out twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct BlockId(pub(crate) u64);

impl BlockId {
    pub(crate) fn file_name(self) -> String {
        format!("{:08}{SUFFIX}", self.0)
    }

    pub(crate) fn unfinished_name(self) -> String {
        format!("{:08}{SUFFIX_UNFINISHED}", self.0)
    }

    /// The id in the name of a finished block.
    pub(crate) fn of_file_name(name: &str) -> Option<Self> {
        let digits = name.strip_suffix(SUFFIX)?;
        digits.parse().ok().map(Self).filter(|id| id.file_name() == name)
    }
}

/// Times, sizes and descent of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BlockMeta {
    pub(crate) id: BlockId,
    /// First millisecond the block is responsible for.
    pub(crate) start: TimestampMs,
    /// The millisecond after the last one it is responsible for.
    pub(crate) end: TimestampMs,
    /// Distance of the aggregates it holds; zero when it holds samples as they came.
    pub(crate) resolution: DurationMs,
    /// Of its samples.
    pub(crate) min: TimestampMs,
    /// Of its samples.
    pub(crate) max: TimestampMs,
    pub(crate) series_count: u64,
    pub(crate) chunk_count: u64,
    pub(crate) sample_count: u64,
    /// Blocks that were merged into this one and must not be read beside it.
    pub(crate) sources: Vec<BlockId>,
    /// Of the whole file; not part of the written form.
    pub(crate) file_bytes: u64,
    /// Of the label index; not part of the written form.
    pub(crate) index_bytes: u64,
}

impl BlockMeta {
    pub(crate) fn range(&self) -> TimeRange {
        TimeRange { start_incl: self.min, end_incl: self.max }
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        put_varint(out, self.id.0);
        for at in [self.start, self.end, self.min, self.max] {
            put_zigzag(out, at.0);
        }
        put_varint(out, self.resolution.0.unsigned_abs());
        for count in [self.series_count, self.chunk_count, self.sample_count] {
            put_varint(out, count);
        }
        put_varint(out, self.sources.len() as u64);
        self.sources.iter().for_each(|source| put_varint(out, source.0));
    }

    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let id = BlockId(cursor.varint()?);
        let mut times = [TimestampMs(0); 4];
        for at in &mut times {
            *at = TimestampMs(cursor.zigzag()?);
        }
        let resolution = i64::try_from(cursor.varint()?);
        let resolution = resolution.map_err(|_| cursor.fault("a resolution is out of range"))?;
        let mut counts = [0; 3];
        for count in &mut counts {
            *count = cursor.varint()?;
        }
        let source_count = cursor.count(cursor.remaining())?;
        let sources: Result<Vec<BlockId>, DecodeError> =
            (0..source_count).map(|_| cursor.varint().map(BlockId)).collect();
        let ([start, end, min, max], [series_count, chunk_count, sample_count]) = (times, counts);
        Ok(Self {
            id,
            start,
            end,
            resolution: DurationMs(resolution),
            min,
            max,
            series_count,
            chunk_count,
            sample_count,
            sources: sources?,
            file_bytes: 0,
            index_bytes: 0,
        })
    }
}
