//! What the database tells about itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use swell_model::{DurationMs, METRIC_NAME, TimeRange, TimestampMs};

use crate::acknowledged;
use crate::block::Block;
use crate::db::Db;
use crate::described;
use crate::head::Head;
use crate::writes::Refusal;

/// State and size of the database at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// Samples not yet in blocks.
    pub head: HeadStatus,
    /// Samples in blocks.
    pub blocks: BlocksStatus,
    /// Aggregates beside the samples, finest first.
    pub tiers: Vec<TierStatus>,
    /// The log in front of the head.
    pub wal: WalStatus,
    /// Samples stored since the database was opened.
    pub samples_appended: u64,
    /// Bytes of blocks over samples in blocks, or of the head when there are no blocks; 0 without samples.
    pub bytes_per_sample: f64,
    /// Exemplars in memory.
    pub exemplar_count: usize,
    /// Times a new series found no room since the database was opened: [`Status::cardinality`] tells who uses it up.
    pub series_shed: u64,
    /// Largest contributors to the number of series in the head.
    pub cardinality: Cardinality,
    /// Why no writes are taken, if so.
    pub read_only: Option<String>,
    /// Files and ranges that failed their checksums and were set aside.
    pub damage: Vec<Damage>,
}

/// The part in memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeadStatus {
    /// Series.
    pub series_count: usize,
    /// Distinct pairs of label name and value.
    pub label_pair_count: usize,
    /// Chunks: one for each series in each sealed segment and each open tail.
    pub chunk_count: usize,
    /// Samples.
    pub sample_count: u64,
    /// Of these, samples that came after a newer one of their series, or for a time that is in a block.
    pub late_sample_count: usize,
    /// Bytes of sample columns.
    pub bytes: u64,
    /// Times covered, both ends included; `None` without samples.
    pub range: Option<TimeRange>,
}

/// The part on disk.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BlocksStatus {
    /// Blocks.
    pub block_count: usize,
    /// Series, counted once in each block that has them.
    pub series_count: u64,
    /// Chunks.
    pub chunk_count: u64,
    /// Samples.
    pub sample_count: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Bytes of the files that hold label indexes.
    pub index_bytes: u64,
    /// Series of which something is deleted and still in the file, counted once in each block.
    pub deleted_series_count: u64,
    /// Times covered, both ends included; `None` without blocks.
    pub range: Option<TimeRange>,
}

/// Blocks of aggregates of one resolution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TierStatus {
    /// Length of the stretches that are one aggregate each.
    pub resolution: DurationMs,
    /// Blocks.
    pub block_count: usize,
    /// Series, counted once in each block that has them.
    pub series_count: u64,
    /// Aggregates.
    pub aggregate_count: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// From the start of the first stretch to the end of the last one.
    pub range: TimeRange,
}

/// The write-ahead log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WalStatus {
    /// Segment files.
    pub segment_count: usize,
    /// Bytes of all segments.
    pub bytes: u64,
    /// Whether what was in memory is still being read back: see [`Db::begin`].
    pub is_replaying: bool,
    /// Records read back at the last open.
    pub replayed_record_count: u64,
    /// Bytes cut from a torn end at the last open.
    pub torn_bytes: u64,
    /// Bytes in memory for each series that the current segment defines.
    pub memory_bytes: usize,
    /// Bytes of the checkpoint and of the labels that it names, 0 when there is none.
    pub checkpoint_bytes: u64,
    /// Whether the last open began at a checkpoint.
    pub began_at_checkpoint: bool,
    /// Why the last open did not use the checkpoint that was there, if so: it read all of the log, and nothing is lost.
    pub checkpoint_fault: Option<String>,
}

/// Who makes the series many: each list falls by count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cardinality {
    /// Series by metric name.
    pub series_by_metric: Vec<(String, usize)>,
    /// Distinct values by label name.
    pub values_by_label: Vec<(String, usize)>,
    /// Bytes of distinct values by label name.
    pub value_bytes_by_label: Vec<(String, usize)>,
    /// Series by `name=value`.
    pub series_by_pair: Vec<(String, usize)>,
}

/// Bytes that failed their checksum, or could not be read. They are kept aside and never returned as data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// File in the data directory.
    pub file: String,
    /// Where in the file.
    pub offset: u64,
    /// What is wrong, and what it costs.
    pub what: String,
    /// Times whose answers may be incomplete, if known.
    pub range: Option<TimeRange>,
}

impl Damage {
    /// Whether samples of these times may be missing. What is known of metric families, or acknowledged, is no sample.
    fn touches(&self, range: TimeRange) -> bool {
        let is_of_samples = ![described::NAME, acknowledged::NAME].contains(&&*self.file);
        is_of_samples && self.range.is_none_or(|hurt| hurt.overlaps(&range))
    }

    /// File, place and times for who reads an answer.
    fn sentence(&self) -> String {
        let Self { file, offset, what, range } = self;
        let times = match range {
            None => "samples of any time".to_owned(),
            Some(range) if range.start_incl == TimestampMs::MIN => {
                format!("samples up to {}", shown(range.end_incl))
            }
            Some(range) => {
                format!("samples from {} to {}", shown(range.start_incl), shown(range.end_incl))
            }
        };
        format!("data may be missing: {file} at byte {offset}: {what} ({times})")
    }
}

/// As RFC 3339; in milliseconds where that has no such year.
fn shown(at: TimestampMs) -> String {
    jiff::Timestamp::from_millisecond(at.0)
        .map_or_else(|_| format!("{} ms", at.0), |time| time.to_string())
}

/// What one run of [`crate::Db::maintain`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MaintainReport {
    /// Blocks written from the head.
    pub flushed_block_count: usize,
    /// Blocks written from others.
    pub compacted_block_count: usize,
    /// Blocks of aggregates written from samples.
    pub downsampled_block_count: usize,
    /// Blocks written anew without what was deleted of them.
    pub rewritten_block_count: usize,
    /// Blocks deleted by retention.
    pub retired_block_count: usize,
    /// Series of which a rule of retention deleted samples, counted once in each block.
    pub cut_series_count: usize,
    /// Series forgotten by the head.
    pub forgotten_series_count: usize,
    /// Samples older than this are in blocks only.
    pub head_floor: Option<TimestampMs>,
}

/// What [`crate::Db::delete_series`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeleteReport {
    /// Series of which something is deleted now that was not before, counted once in each block and in the head.
    pub series_count: usize,
    /// Blocks that hold some of these.
    pub block_count: usize,
}

/// Entries in each list of [`Status::cardinality`].
const STATUS_TOP: usize = 10;

impl Db {
    /// State and size at this moment. Walks over all series in memory: for a status page, not for each request.
    #[must_use]
    pub fn status(&self) -> Status {
        let inner = &self.inner;
        let outcome = inner.replayed.get();
        let wal = {
            let writer = inner.commit.lock();
            WalStatus {
                segment_count: writer.segments().count(),
                bytes: writer.segments().map(|segment| segment.bytes).sum(),
                is_replaying: outcome.is_none(),
                replayed_record_count: outcome.map_or(0, |it| it.record_count),
                torn_bytes: outcome.map_or(0, |it| it.torn_bytes),
                memory_bytes: writer.heap_bytes(),
                checkpoint_bytes: {
                    let saved = inner.saved.lock();
                    saved.file_bytes.map_or(0, |bytes| bytes + saved.labels_bytes)
                },
                began_at_checkpoint: outcome.is_some_and(|it| it.began_at_checkpoint),
                checkpoint_fault: outcome.and_then(|it| it.checkpoint_fault.clone()),
            }
        };
        let (head, cardinality, blocks, coarse) = {
            let state = inner.state.read();
            let head = head_status(&state.head);
            let cardinality = Cardinality::of(&state.head, STATUS_TOP);
            (head, cardinality, Arc::clone(&state.blocks), Arc::clone(&state.coarse))
        };
        let blocks = blocks_status(&blocks);
        let (bytes, samples) = if blocks.sample_count > 0 {
            (blocks.bytes, blocks.sample_count)
        } else {
            (head.bytes, head.sample_count)
        };
        Status {
            bytes_per_sample: ratio(bytes, samples),
            head,
            blocks,
            tiers: tiers_status(&coarse),
            wal,
            samples_appended: inner.samples_appended.load(Ordering::Relaxed),
            exemplar_count: inner.exemplars.read().len(),
            series_shed: inner.metrics.shed_total(),
            cardinality,
            read_only: inner.writes.refusal().map(|refusal| refusal.reason),
            damage: inner.open_damage(),
        }
    }

    /// Damage that was met and not acknowledged.
    #[must_use]
    pub fn damage(&self) -> Vec<Damage> {
        self.inner.open_damage()
    }

    /// Damage that may make answers for these times incomplete, as sentences for the reader.
    #[must_use]
    pub fn warnings(&self, range: TimeRange) -> Vec<String> {
        // Blocks first: one that goes meanwhile is among the departed.
        let mut damage = self.inner.open_damage();
        damage.extend(self.inner.departed_damage());
        let touching = damage.iter().filter(|damage| damage.touches(range));
        let mut warnings: Vec<String> = touching.map(Damage::sentence).collect();
        if !self.inner.is_replayed() {
            warnings.push("the newest data is missing: it is still being read back".to_owned());
        }
        warnings
    }

    /// Why batches are refused, if they are.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        self.inner.writes.refusal()
    }

    /// The `limit` largest contributors to the number of series in memory.
    #[must_use]
    pub fn cardinality(&self, limit: usize) -> Cardinality {
        Cardinality::of(&self.inner.state.read().head, limit)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn ratio(bytes: u64, samples: u64) -> f64 {
    if samples == 0 { 0.0 } else { bytes as f64 / samples as f64 }
}

fn head_status(head: &Head) -> HeadStatus {
    let (sample_count, chunk_count, bytes) = head.sizes();
    HeadStatus {
        series_count: head.index.series_count(),
        label_pair_count: head.index.pair_count(),
        chunk_count,
        sample_count,
        late_sample_count: head.late_count(),
        bytes,
        range: head.range(),
    }
}

fn blocks_status(blocks: &[Arc<Block>]) -> BlocksStatus {
    let metas = || blocks.iter().map(|block| &block.meta);
    let start = metas().map(|meta| meta.min).min();
    let end = metas().map(|meta| meta.max).max();
    BlocksStatus {
        block_count: blocks.len(),
        series_count: metas().map(|meta| meta.series_count).sum(),
        chunk_count: metas().map(|meta| meta.chunk_count).sum(),
        sample_count: metas().map(|meta| meta.sample_count).sum(),
        bytes: metas().map(|meta| meta.file_bytes).sum(),
        index_bytes: metas().map(|meta| meta.index_bytes).sum(),
        deleted_series_count: blocks
            .iter()
            .map(|block| block.tombstones().map_or(0, |deleted| deleted.series_count() as u64))
            .sum(),
        range: start.zip(end).map(|(start_incl, end_incl)| TimeRange { start_incl, end_incl }),
    }
}

fn tiers_status(coarse: &[Arc<Block>]) -> Vec<TierStatus> {
    let mut tiers: Vec<TierStatus> = Vec::new();
    for meta in coarse.iter().map(|block| &block.meta) {
        let start_incl = meta.min - meta.resolution;
        let range = TimeRange { start_incl, end_incl: meta.max };
        let idx = tiers.iter().position(|tier| tier.resolution == meta.resolution);
        let idx = idx.unwrap_or_else(|| {
            let resolution = meta.resolution;
            let (block_count, series_count, aggregate_count, bytes) = (0, 0, 0, 0);
            tiers.push(TierStatus {
                resolution,
                block_count,
                series_count,
                aggregate_count,
                bytes,
                range,
            });
            tiers.len() - 1
        });
        let tier = &mut tiers[idx];
        tier.block_count += 1;
        tier.series_count += meta.series_count;
        tier.aggregate_count += meta.sample_count;
        tier.bytes += meta.file_bytes;
        tier.range.start_incl = tier.range.start_incl.min(range.start_incl);
        tier.range.end_incl = tier.range.end_incl.max(range.end_incl);
    }
    tiers.sort_by_key(|tier| tier.resolution);
    tiers
}

impl Cardinality {
    fn of(head: &Head, limit: usize) -> Self {
        let index = &head.index;
        let names = || index.names().map(str::to_owned);
        let values = |name: &String| index.values(name).count();
        let value_bytes = |name: &String| index.values(name).map(|(value, _)| value.len()).sum();
        let pairs = index.names().flat_map(|name| {
            index.values(name).map(move |(value, series)| (format!("{name}={value}"), series))
        });
        let by_metric = index.values(METRIC_NAME).map(|(name, series)| (name.to_owned(), series));
        Self {
            series_by_metric: top(limit, by_metric),
            values_by_label: top(limit, names().map(|name| (values(&name), name)).map(swapped)),
            value_bytes_by_label: top(
                limit,
                names().map(|name| (value_bytes(&name), name)).map(swapped),
            ),
            series_by_pair: top(limit, pairs),
        }
    }
}

fn swapped((count, name): (usize, String)) -> (String, usize) {
    (name, count)
}

/// The entries with the largest counts, falling; equal ones by name.
fn top(limit: usize, entries: impl Iterator<Item = (String, usize)>) -> Vec<(String, usize)> {
    let mut entries: Vec<(String, usize)> = entries.collect();
    entries.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    entries.truncate(limit);
    entries
}
