//! Upkeep: pack, flush, compact, delete. One run at a time, off the paths of readers and writers.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use swell_env::Monotonic;
use swell_model::{SelectError, SelectHints, TimeRange, TimestampMs};
use swell_telemetry::chain;

use crate::block::{self, Block, BlockId, BlockMeta, Packing, ReadBlockError, WriteBlockError};
use crate::compact::execute::write_block;
use crate::compact::plan::{self, Merge, Window};
use crate::db::{Db, Inner};
use crate::head::HistogramChunk;
use crate::retention;
use crate::select::{load, merge, snapshot};
use crate::status::{Damage, MaintainReport};

/// Directories and index of a block that nobody reads are dropped after this long.
const UNLOAD_AFTER: Duration = Duration::from_secs(300);
/// Waits after failed runs: the first, doubled each time, up to the last.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_LAST: Duration = Duration::from_secs(300);

/// Why a run of [`Db::maintain`] stopped; what it had finished stays, the rest is tried again in a later run.
#[derive(Debug, thiserror::Error)]
pub enum MaintainError {
    /// A file could not be written or removed.
    #[error("{action}")]
    Io {
        /// What was tried.
        action: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// Stored data could not be read.
    #[error("{action}")]
    Read {
        /// What was tried.
        action: String,
        /// File, offset and fault.
        #[source]
        source: SelectError,
    },
    /// A series is too long for one block.
    #[error("merge blocks: {what}")]
    TooLong {
        /// The series and the limit.
        what: String,
    },
}

impl From<WriteBlockError> for MaintainError {
    fn from(error: WriteBlockError) -> Self {
        match error {
            WriteBlockError::Io { action, file, source } => {
                Self::Io { action: format!("{action} {file}"), source }
            }
            WriteBlockError::Source { file, source } => {
                Self::Read { action: format!("read what goes into {file}"), source }
            }
            WriteBlockError::TooLong { .. } => Self::TooLong { what: error.to_string() },
        }
    }
}

/// Keeps failing runs apart.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failed_at: Option<Monotonic>,
    wait: Duration,
    /// Merges that cannot be done; tried again after a restart.
    given_up: Vec<Vec<BlockId>>,
}

impl Backoff {
    fn is_waiting(&self, now: Monotonic) -> bool {
        self.failed_at.is_some_and(|failed_at| now.since(failed_at) < self.wait)
    }

    fn failed(&mut self, now: Monotonic) {
        self.failed_at = Some(now);
        self.wait = (self.wait * 2).clamp(RETRY_FIRST, RETRY_LAST);
    }

    fn succeeded(&mut self) {
        self.failed_at = None;
        self.wait = Duration::ZERO;
    }
}

impl Db {
    /// Packs sealed columns, flushes complete windows into blocks, merges blocks, deletes what retention allows;
    /// call it every few seconds from a thread that may block. After a failure the next runs wait longer and longer.
    ///
    /// What is due follows from the times of the samples, so a clock that jumps moves nothing; `now` is only noted
    /// in the log line of what was done.
    ///
    /// # Errors
    /// [`MaintainError`] of the first step that failed.
    pub fn maintain(&self, now: TimestampMs) -> Result<MaintainReport, MaintainError> {
        let inner = &self.inner;
        let mut backoff = inner.maintenance.lock();
        let started = inner.clock.monotonic();
        if backoff.is_waiting(started) {
            return Ok(MaintainReport::default());
        }
        let mut report = MaintainReport::default();
        let result = inner.run_steps(&mut backoff, &mut report);
        inner.update_gauges();
        match result {
            Ok(()) => {
                backoff.succeeded();
                if report.flushed_block_count + report.compacted_block_count > 0 {
                    tracing::info!(now_ms = now.0, ?report, "blocks were written");
                }
                Ok(report)
            }
            Err(error) => {
                inner.metrics.maintenance_failures.inc();
                backoff.failed(started);
                Err(error)
            }
        }
    }
}

impl Inner {
    fn run_steps(
        &self,
        backoff: &mut Backoff,
        report: &mut MaintainReport,
    ) -> Result<(), MaintainError> {
        self.pack();
        // Retention first: it gives back the space the other steps need.
        self.retire(report)?;
        while self.flush(report)? {}
        report.head_floor = self.state.read().head.read_floor();
        if let Some(merge) = self.next_merge(backoff) {
            self.compact(&merge, report).inspect_err(|error| {
                // What cannot be read or does not fit will not do so next time.
                if !matches!(error, MaintainError::Io { .. }) {
                    backoff.given_up.push(merge.sources.clone());
                }
            })?;
        }
        let now = self.clock.monotonic();
        let blocks = Arc::clone(&self.state.read().blocks);
        blocks.iter().for_each(|block| block.unload_unused(now, UNLOAD_AFTER));
        Ok(())
    }

    /// Packs sealed segments and full histogram columns, with the lock held only to look and to exchange.
    fn pack(&self) {
        let unpacked = self.state.read().head.unpacked();
        for (idx, segment) in unpacked {
            match segment.packed() {
                Ok(packed) => self.state.write().head.replace(idx, &segment, packed),
                Err(error) => {
                    tracing::error!(error = chain(&error), "a column in memory cannot be read");
                }
            }
        }
        let full = self.state.read().head.full_histograms();
        for (series, samples) in full {
            let chunk = HistogramChunk::new(&samples);
            self.state.write().head.pack_histograms(series, chunk);
        }
    }

    /// Writes the oldest complete window of the head as a block, exchanges the two, and deletes the log before it.
    /// Gives whether there was such a window.
    fn flush(&self, report: &mut MaintainReport) -> Result<bool, MaintainError> {
        let (window, from, head) = {
            // No batch is between its check against the floor and its being in the head.
            let _between_batches = self.commit.lock();
            let mut state = self.state.write();
            let Some(window) = plan::flush(state.head.range()) else { return Ok(false) };
            // From here on nothing is added to the window, nor before it.
            state.head.raise_accept_floor(window.1);
            let from = state.head.read_floor().unwrap_or(TimestampMs::MIN).max(window.0);
            (window, from, snapshot(&state.head, &[], &SelectHints::range(range_of(window))))
        };
        let fault = |source| MaintainError::Read { action: "read the head".to_owned(), source };
        let selected = merge(&[], head, &[], range_of(window)).map_err(fault)?;
        let meta = self.write(window, Vec::new(), selected, (from, window.1), Packing::Plain)?;
        let block = meta.map(|meta| self.open_block(meta.id)).transpose()?;
        if block.is_some() {
            report.flushed_block_count += 1;
            self.metrics.flushes.inc();
        }
        // References to series that are forgotten here must not be in a batch between check and append.
        let mut writer = self.commit.lock();
        let forgotten = {
            let mut state = self.state.write();
            if let Some(block) = block {
                let mut blocks = Vec::clone(&state.blocks);
                blocks.push(block);
                blocks.sort_by_key(|block| (block.meta.start, block.meta.id));
                state.blocks = Arc::new(blocks);
            }
            state.head.truncate(window.1)
        };
        report.forgotten_series_count += forgotten;
        let fault = |source| MaintainError::Io { action: "delete old log".to_owned(), source };
        writer.delete_before(window.1).map_err(fault)?;
        drop(writer);
        self.list_blocks()?;
        Ok(true)
    }

    fn next_merge(&self, backoff: &Backoff) -> Option<Merge> {
        let state = self.state.read();
        let sound: Vec<BlockMeta> = state
            .blocks
            .iter()
            .filter(|block| block.damage().is_none())
            .map(|block| block.meta.clone())
            .collect();
        plan::merge(&sound, state.head.read_floor())
            .filter(|merge| !backoff.given_up.contains(&merge.sources))
    }

    /// Merges blocks into one, exchanges them, and deletes the old files.
    fn compact(&self, plan: &Merge, report: &mut MaintainReport) -> Result<(), MaintainError> {
        let blocks = Arc::clone(&self.state.read().blocks);
        let sources: Vec<Arc<Block>> =
            blocks.iter().filter(|b| plan.sources.contains(&b.meta.id)).cloned().collect();
        let fault = |source| MaintainError::Read { action: "merge blocks".to_owned(), source };
        let loaded = load(&sources, TimeRange::ALL, self.clock.monotonic()).map_err(fault)?;
        let selected = merge(&loaded, Vec::new(), &[], TimeRange::ALL).map_err(fault)?;
        let everything = (TimestampMs::MIN, TimestampMs::MAX);
        let sources_of_new = plan.sources.clone();
        let packing = Packing::Compressed;
        let meta = self.write(plan.window, sources_of_new, selected, everything, packing)?;
        let merged = meta.map(|meta| self.open_block(meta.id)).transpose()?;
        self.exchange(&plan.sources, merged);
        self.list_blocks()?;
        report.compacted_block_count += 1;
        self.metrics.compactions.inc();
        self.remove(&sources)
    }

    fn retire(&self, report: &mut MaintainReport) -> Result<(), MaintainError> {
        let blocks = Arc::clone(&self.state.read().blocks);
        let metas: Vec<BlockMeta> = blocks.iter().map(|block| block.meta.clone()).collect();
        let config = &self.config;
        let plan = retention::plan(&metas, config.retention_time, config.retention_size_bytes);
        self.metrics.retention_held_back.set(i64::from(plan.held_back_by_gap.is_some()));
        if plan.delete.is_empty() {
            return Ok(());
        }
        self.exchange(&plan.delete, None);
        self.list_blocks()?;
        report.retired_block_count += plan.delete.len();
        self.metrics.blocks_deleted.inc_by(plan.delete.len() as u64);
        let retired: Vec<Arc<Block>> =
            blocks.iter().filter(|block| plan.delete.contains(&block.meta.id)).cloned().collect();
        self.remove(&retired)
    }

    fn write(
        &self,
        window: Window,
        sources: Vec<BlockId>,
        selected: Vec<crate::select::Selected>,
        samples_in: Window,
        packing: Packing,
    ) -> Result<Option<BlockMeta>, MaintainError> {
        let id = BlockId(self.next_block.fetch_add(1, Ordering::Relaxed));
        Ok(write_block(&*self.dir, id, window, sources, selected, samples_in, packing)?)
    }

    fn open_block(&self, id: BlockId) -> Result<Arc<Block>, MaintainError> {
        let fault = |error: ReadBlockError| MaintainError::Read {
            action: format!("read back the new block {}", id.file_name()),
            source: crate::select::storage(&error),
        };
        Ok(Arc::new(Block::open(&*self.dir, id).map_err(fault)?))
    }

    /// Shows readers the blocks without `gone`, and with `new`. Reads that began before go on with what they have.
    fn exchange(&self, gone: &[BlockId], new: Option<Arc<Block>>) {
        let mut state = self.state.write();
        let kept = state.blocks.iter().filter(|block| !gone.contains(&block.meta.id));
        let mut blocks: Vec<Arc<Block>> = kept.cloned().chain(new).collect();
        blocks.sort_by_key(|block| (block.meta.start, block.meta.id));
        state.blocks = Arc::new(blocks);
    }

    /// Writes down which blocks there are, so that a missing one is noticed at the next open.
    fn list_blocks(&self) -> Result<(), MaintainError> {
        let blocks = Arc::clone(&self.state.read().blocks);
        let there = blocks.iter().map(|block| block.meta.id);
        let ids: Vec<BlockId> = there.chain(self.missing_blocks.iter().copied()).collect();
        block::manifest::write(&*self.dir, &ids).map_err(|source| MaintainError::Io {
            action: format!("write {}", block::manifest::name()),
            source,
        })
    }

    fn remove(&self, blocks: &[Arc<Block>]) -> Result<(), MaintainError> {
        for block in blocks {
            let fault =
                |source| MaintainError::Io { action: format!("remove {}", block.name), source };
            self.dir.remove(&block.name).map_err(fault)?;
        }
        let action = || "sync the folder of the blocks".to_owned();
        self.dir
            .sync_dir(block::FOLDER)
            .map_err(|source| MaintainError::Io { action: action(), source })
    }

    /// All damage known: met at open, and met by reads since.
    pub(crate) fn all_damage(&self) -> Vec<Damage> {
        let blocks = Arc::clone(&self.state.read().blocks);
        let of_block = |block: &Arc<Block>| {
            let (offset, what) = block.damage()?;
            let range = Some(block.meta.range());
            Some(Damage { file: block.name.clone(), offset, what, range })
        };
        self.damage.iter().cloned().chain(blocks.iter().filter_map(of_block)).collect()
    }

    pub(crate) fn update_gauges(&self) {
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let (series_count, head_bytes, blocks) = {
            let state = self.state.read();
            let (_, _, bytes) = state.head.sizes();
            (state.head.index.series_count(), bytes, Arc::clone(&state.blocks))
        };
        let metrics = &self.metrics;
        metrics.head_series.set(gauge(series_count as u64));
        metrics.head_bytes.set(gauge(head_bytes));
        metrics.blocks.set(gauge(blocks.len() as u64));
        metrics.block_bytes.set(gauge(blocks.iter().map(|b| b.meta.file_bytes).sum()));
        metrics.block_samples.set(gauge(blocks.iter().map(|b| b.meta.sample_count).sum()));
        metrics.damage.set(gauge(self.all_damage().len() as u64));
        let wal_bytes = self.commit.lock().segments().map(|segment| segment.bytes).sum();
        metrics.wal_bytes.set(gauge(wal_bytes));
    }
}

fn range_of(window: Window) -> TimeRange {
    TimeRange { start_incl: window.0, end_incl: window.1 - swell_model::DurationMs(1) }
}
