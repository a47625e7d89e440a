//! Upkeep: pack, flush, compact, delete. One run at a time, off the paths of readers and writers.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use swell_env::Monotonic;
use swell_model::{SelectError, TimestampMs};
use swell_telemetry::chain;

use crate::block::{self, Block, BlockId, BlockMeta, Departed, WriteBlockError};
use crate::compact::plan::Rewrite;
use crate::db::{Db, Inner};
use crate::head::HistogramChunk;
use crate::metrics::PrometheusNames;
use crate::pace::{BackgroundShare, Pacer};
use crate::reserve;
use crate::retention::{self, Limits};
use crate::status::{Damage, MaintainReport};

/// Directories and index of a block that nobody reads are dropped after this long.
const UNLOAD_AFTER: Duration = Duration::from_secs(300);
/// Waits after failed runs: the first, doubled each time, up to the last.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_LAST: Duration = Duration::from_secs(300);
/// Longest wait while the disk is full: space may come back at any time.
const RETRY_FULL: Duration = Duration::from_secs(5);

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
    /// [`Db::stop_maintenance`] was called.
    #[error("the database is closing")]
    Stopped,
}

impl MaintainError {
    /// Whether the disk is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Io { source, .. } if reserve::is_full(source))
    }
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

/// Keeps failing attempts apart.
#[derive(Debug, Default)]
pub(crate) struct Retry {
    failed_at: Option<Monotonic>,
    wait: Duration,
}

impl Retry {
    pub(crate) fn is_waiting(&self, now: Monotonic) -> bool {
        self.failed_at.is_some_and(|failed_at| now.since(failed_at) < self.wait)
    }

    const fn has_failed(&self) -> bool {
        self.failed_at.is_some()
    }

    /// `longest` is the longest wait.
    fn failed(&mut self, now: Monotonic, longest: Duration) {
        self.failed_at = Some(now);
        self.wait = (self.wait * 2).clamp(RETRY_FIRST, longest);
    }

    /// Notes how an attempt ended that began at `now`.
    pub(crate) fn note<T, E>(&mut self, now: Monotonic, outcome: &Result<T, E>) {
        match outcome {
            Ok(_) => *self = Self::default(),
            Err(_) => self.failed(now, RETRY_LAST),
        }
    }
}

/// What runs know of each other.
#[derive(Debug)]
pub(crate) struct Backoff {
    steps: Retry,
    /// Of checkpoints, which hold up nothing else when they fail.
    pub(crate) checkpoints: Retry,
    /// The last run found the disk full.
    pub(crate) is_full: bool,
    /// What cannot be done; tried again after a restart.
    pub(crate) given_up: Vec<Rewrite>,
    pub(crate) pacer: Pacer,
    /// Blocks that readers see no more and whose files are still there.
    pub(crate) garbage: Vec<Arc<Block>>,
    /// Up to where the rules of retention were followed.
    pub(crate) cuts_done: Vec<Option<TimestampMs>>,
}

impl Backoff {
    pub(crate) fn new(share: Option<BackgroundShare>, now: Monotonic) -> Self {
        Self {
            steps: Retry::default(),
            checkpoints: Retry::default(),
            is_full: false,
            given_up: Vec::new(),
            pacer: Pacer::new(share, now),
            garbage: Vec::new(),
            cuts_done: Vec::new(),
        }
    }

    fn failed(&mut self, now: Monotonic, is_full: bool) {
        self.is_full = is_full;
        self.steps.failed(now, if is_full { RETRY_FULL } else { RETRY_LAST });
    }

    fn succeeded(&mut self) {
        self.steps = Retry::default();
        self.is_full = false;
    }
}

impl Db {
    /// Packs sealed columns, flushes complete windows into blocks, merges blocks, deletes what retention allows;
    /// call it every few seconds from a thread that may block. After a failure the next runs wait longer and longer; a
    /// checkpoint that fails comes last, is told, and holds up no later run.
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
        if backoff.steps.is_waiting(started) || !inner.is_replayed() {
            return Ok(MaintainReport::default());
        }
        let mut report = MaintainReport::default();
        let result = inner.run_steps(&mut backoff, &mut report);
        // Last, since nothing waits for it.
        let written = match result {
            Ok(()) if !inner.rest.is_over() => inner.write_checkpoint_if_due(&mut backoff),
            _ => Ok(()),
        };
        inner.update_gauges();
        let is_failing = result.is_err() || backoff.checkpoints.has_failed();
        inner.metrics.maintenance_failing.set(i64::from(is_failing));
        match result {
            Err(MaintainError::Stopped) => Ok(report),
            Ok(()) => {
                backoff.succeeded();
                if report.flushed_block_count + report.compacted_block_count > 0 {
                    tracing::info!(now_ms = now.0, ?report, "blocks were written");
                }
                written.map(|()| report)
            }
            Err(error) => {
                inner.metrics.maintenance_failures.inc();
                backoff.failed(started, error.is_full());
                Err(error)
            }
        }
    }

    /// Packs sealed columns, and writes what is in memory down when the log has grown enough since the last time; to be
    /// called more often than [`Db::maintain`], since a start after a kill reads all that was logged since, and columns
    /// that are not packed take twice the memory. Does nothing while upkeep runs.
    ///
    /// # Errors
    /// [`MaintainError`] when a file could not be written; the next looks wait longer and longer.
    pub fn settle(&self) -> Result<(), MaintainError> {
        let inner = &self.inner;
        let Some(mut backoff) = inner.maintenance.try_lock() else { return Ok(()) };
        if !inner.is_replayed() || inner.rest.is_over() {
            return Ok(());
        }
        inner.pack();
        inner.write_checkpoint_if_due(&mut backoff)
    }

    /// Ends background work soon: a rewrite that is under way is given up, and its sources stay. Later runs of
    /// [`Db::maintain`] do not merge any more.
    pub fn stop_maintenance(&self) {
        self.inner.rest.end();
    }
}

impl Inner {
    fn run_steps(
        &self,
        backoff: &mut Backoff,
        report: &mut MaintainReport,
    ) -> Result<(), MaintainError> {
        self.pack();
        let made_up = self.make_up(&self.publishing.lock());
        // Retention first: it gives back the space the other steps need.
        let theirs = &self.metrics.theirs;
        let retired = self.with_reserve(|| self.retire(backoff, report));
        PrometheusNames::tried(&theirs.reloads, &theirs.reloads_failures, &retired);
        retired?;
        if backoff.is_full {
            self.make_room(backoff, report)?;
        }
        made_up?;
        self.come_back(report)?;
        while self.flush(report)? {}
        self.flush_late(report)?;
        let trimmed = self.trim_log(backoff.is_full);
        PrometheusNames::tried(&theirs.wal_truncations, &theirs.wal_truncations_failed, &trimmed);
        trimmed?;
        report.head_floor = self.state.read().head.read_floor();
        if !self.rest.is_over()
            && let Some(rewrite) = self.next_rewrite(backoff)
        {
            self.rewrite(&rewrite, backoff, report)?;
        }
        let fault = |source| {
            let action = format!("keep {} bytes back for a full disk", self.config.reserve_bytes);
            MaintainError::Io { action, source }
        };
        self.ensure_reserve().map_err(fault)?;
        let now = self.clock.monotonic();
        let blocks = self.state.read().all_blocks();
        blocks.iter().for_each(|block| block.unload_unused(now, UNLOAD_AFTER));
        Ok(())
    }

    /// On a full disk: days whose samples have served their time, and that only wait to be aggregated, are, out of the
    /// reserve if need be. Aggregates take a small part of the space that the samples give back.
    fn make_room(
        &self,
        backoff: &mut Backoff,
        report: &mut MaintainReport,
    ) -> Result<(), MaintainError> {
        while let Some(rewrite) = self.next_held(backoff) {
            if self.rest.is_over() {
                break;
            }
            self.with_reserve(|| self.rewrite(&rewrite, backoff, report))?;
            self.with_reserve(|| self.retire(backoff, report))?;
        }
        Ok(())
    }

    /// Does work that must be possible on a full disk: when there is no room for it, the reserve is given back and
    /// the work done again.
    pub(crate) fn with_reserve<T>(
        &self,
        mut work: impl FnMut() -> Result<T, MaintainError>,
    ) -> Result<T, MaintainError> {
        match work() {
            Err(error) if error.is_full() => {
                tracing::warn!(
                    error = chain(&error),
                    "the disk is full: space that was kept back is used"
                );
                let action = || format!("remove {}", reserve::NAME);
                // Work takes other locks, so none of the reserve's is held meanwhile.
                let _in_use = self
                    .reserve
                    .release(&*self.dir)
                    .map_err(|source| MaintainError::Io { action: action(), source })?;
                work()
            }
            done => done,
        }
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

    /// The first day that is to be aggregated of which a block is kept for that alone.
    fn next_held(&self, backoff: &Backoff) -> Option<Rewrite> {
        if self.lacks_blocks() {
            return None;
        }
        let blocks = Arc::clone(&self.state.read().blocks);
        let come = blocks.iter().map(|block| &block.meta).filter(|meta| self.is_come(meta));
        let metas: Vec<BlockMeta> = come.cloned().collect();
        let aged = retention::plan(&metas, &self.retention(), &[]).delete;
        let mut due = self.due_downsampling(backoff).into_iter();
        due.find(|rewrite| rewrite.sources.iter().any(|id| aged.contains(id)))
    }

    fn retire(
        &self,
        backoff: &mut Backoff,
        report: &mut MaintainReport,
    ) -> Result<(), MaintainError> {
        let publishing = self.publishing.lock();
        if !backoff.garbage.is_empty() {
            self.sweep(&mut backoff.garbage, &publishing)?;
        }
        let blocks = Arc::clone(&self.state.read().blocks);
        let come = blocks.iter().map(|block| &block.meta).filter(|meta| self.is_come(meta));
        let metas: Vec<BlockMeta> = come.cloned().collect();
        let coarse: Vec<BlockMeta> =
            self.state.read().coarse.iter().map(|block| block.meta.clone()).collect();
        let coarse_bytes: u64 = coarse.iter().map(|meta| meta.file_bytes).sum();
        let ahead = blocks.iter().map(|block| &block.meta).filter(|meta| !self.is_come(meta));
        let ahead_bytes: u64 = ahead.map(|meta| meta.file_bytes).sum();
        let limits = self.retention();
        // Aggregates, and what lies ahead of the clock, have half at most: what they take above goes from them or waits,
        // and not from samples.
        let others = coarse_bytes + ahead_bytes;
        let size_bytes = limits.size_bytes.map(|limit| limit - others.min(limit / 2));
        // What is not aggregated yet stays until it is.
        let due = self.due_downsampling(backoff);
        let first_due = due.iter().map(|rewrite| rewrite.window.0).min();
        let held: Vec<BlockId> = due.into_iter().flat_map(|rewrite| rewrite.sources).collect();
        let mut plan = retention::plan(&metas, &Limits { size_bytes, ..limits }, &held);
        if let (Some(Some(cut)), Some(first_due)) = (plan.cuts.last_mut(), first_due) {
            *cut = (*cut).min(first_due);
        }
        let held_from = TimestampMs(self.hold_from_ms.load(Ordering::Relaxed));
        let is_held = |id: &BlockId| metas.iter().any(|it| it.id == *id && it.max >= held_from);
        plan.delete.retain(|id| !is_held(id));
        self.metrics.retention_held_back.set(i64::from(plan.held_back_by_gap.is_some()));
        if plan.held_back_by_gap.is_none()
            && let Some(newest) = metas.iter().map(|meta| meta.max).max()
        {
            plan.delete.extend(retention::plan_coarse(
                &coarse,
                &self.config.tiers,
                &limits,
                newest,
            ));
        }
        if !plan.delete.is_empty() {
            let (count, of) = (plan.delete.len(), metas.len() + coarse.len());
            let blocks = self.state.read().all_blocks();
            tracing::info!(count, of, "blocks have served their time");
            self.exchange(&plan.delete, None);
            report.retired_block_count += plan.delete.len();
            self.metrics.blocks_deleted.inc_by(plan.delete.len() as u64);
            let retired = blocks.iter().filter(|block| plan.delete.contains(&block.meta.id));
            backoff.garbage.extend(retired.cloned());
            self.sweep(&mut backoff.garbage, &publishing)?;
        }
        report.cut_series_count += self.cut(&plan, backoff, &publishing)?;
        Ok(())
    }

    /// Damage that nobody acknowledged.
    pub(crate) fn open_damage(&self) -> Vec<Damage> {
        let mut damage = self.all_damage();
        let acknowledged = self.acknowledged.read();
        damage.retain(|found| acknowledged.of(found).is_none());
        damage
    }

    /// Damage of blocks that are gone which an answer given now may lack samples for.
    pub(crate) fn departed_damage(&self) -> Vec<Damage> {
        let now = self.clock.monotonic();
        let mut departed = self.departed.lock();
        departed.retain_mut(|block| block.is_answering(now));
        let mut damage: Vec<Damage> = departed.iter().filter_map(Departed::damage).collect();
        drop(departed);
        let acknowledged = self.acknowledged.read();
        damage.retain(|found| acknowledged.of(found).is_none());
        damage
    }

    /// All damage known: met at open, and met by reads since.
    pub(crate) fn all_damage(&self) -> Vec<Damage> {
        let blocks = self.state.read().all_blocks();
        let of_block = |block: &Arc<Block>| {
            let (offset, what) = block.damage()?;
            let range = Some(block.meta.range());
            Some(Damage { file: block.name.clone(), offset, what, range })
        };
        let of_tombstones = |block: &Arc<Block>| {
            let fault = block.tombstones_fault()?;
            let what = format!(
                "{}; the block is not read: restore the file, or delete it and {} to show what was deleted again",
                fault.what,
                block::manifest::name()
            );
            let range = Some(block.meta.range());
            Some(Damage { file: fault.file, offset: fault.offset, what, range })
        };
        let met = blocks.iter().filter_map(of_block);
        let hidden = blocks.iter().filter_map(of_tombstones);
        let outcome = self.replayed.get();
        let at_open = self.damage.iter().map(|found| match outcome {
            Some(outcome) => outcome.reach.bound(found),
            None => found.clone(),
        });
        let of_log = outcome.into_iter().flat_map(|outcome| outcome.damage.iter().cloned());
        at_open.chain(of_log).chain(met).chain(hidden).collect()
    }

    pub(crate) fn update_gauges(&self) {
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let (series_count, (_, chunk_count, head_bytes), in_head, times, blocks) = {
            let state = self.state.read();
            let in_head = state.head.tombstones.series_count();
            let blocks = Arc::clone(&state.blocks);
            let (sizes, times) = (state.head.sizes(), state.head.range());
            (state.head.index.series_count(), sizes, in_head, times, blocks)
        };
        let metrics = &self.metrics;
        metrics.theirs.head_chunks.set(gauge(chunk_count as u64));
        metrics.theirs.times(times, blocks.iter().map(|block| block.meta.min).min());
        metrics.head_series.set(gauge(series_count as u64));
        metrics.head_bytes.set(gauge(head_bytes));
        let coarse = Arc::clone(&self.state.read().coarse);
        metrics.downsampled_bytes.set(gauge(coarse.iter().map(|b| b.meta.file_bytes).sum()));
        metrics.blocks.set(gauge(blocks.len() as u64));
        metrics.block_bytes.set(gauge(blocks.iter().map(|b| b.meta.file_bytes).sum()));
        metrics.block_samples.set(gauge(blocks.iter().map(|b| b.meta.sample_count).sum()));
        let deleted = |block: &Arc<Block>| block.tombstones().map_or(0, |it| it.series_count());
        let deleted: usize = blocks.iter().map(deleted).sum();
        metrics.tombstone_series.set(gauge(deleted as u64 + in_head as u64));
        metrics.damage.set(gauge(self.open_damage().len() as u64));
        let wal_bytes = self.commit.lock().segments().map(|segment| segment.bytes).sum();
        metrics.wal_bytes.set(gauge(wal_bytes));
    }
}
