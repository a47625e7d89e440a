//! Carries out what was planned: blocks are read, written as one, exchanged, and the old files removed.

use std::sync::Arc;

use swell_model::{DurationMs, SeriesData, TimeRange, TimestampMs};

use super::downsample;
use super::execute::{Job, Reads, discard, fill};
use super::plan::{self, Candidate, Reason, Rewrite};
use super::sources::{BlockSlices, Sliced};
use crate::block::{Block, BlockId, BlockMeta, Packing};
use crate::db::Inner;
use crate::maintain::{Backoff, MaintainError};
use crate::pace::Pacer;
use crate::select::{Columns, OnDamage, load};
use crate::status::MaintainReport;
use crate::tombstones::Tombstones;

impl Inner {
    /// Blocks as planning sees them; damaged ones take no part.
    pub(crate) fn candidates(&self) -> Vec<Candidate> {
        let blocks = self.state.read().all_blocks();
        let candidate = |block: &Arc<Block>| {
            let tombstones = block.tombstones().ok()?;
            block.damage().is_none().then(|| Candidate {
                meta: block.meta.clone(),
                deleted_series_count: tombstones.series_count() as u64,
            })
        };
        blocks.iter().filter_map(candidate).collect()
    }

    /// The next rewrite that is due.
    pub(crate) fn next_rewrite(&self, backoff: &Backoff) -> Option<Rewrite> {
        let floor = self.state.read().head.read_floor();
        let kept = self.retention().longest();
        let next = plan::next(&self.candidates(), floor, kept, &backoff.given_up);
        match next {
            Some(next) if next.is_of_fresh_blocks() => Some(next),
            // Before large merges and before what is deleted goes: samples wait for it.
            next if self.lacks_blocks() => next,
            next => self.due_downsampling(backoff).into_iter().next().or(next),
        }
    }

    /// Whether blocks are damaged or not there. A day that is aggregated without them would count as done, also when
    /// they come back.
    pub(crate) fn lacks_blocks(&self) -> bool {
        let is_whole = |block: &Arc<Block>| block.damage().is_none() && block.tombstones().is_ok();
        !self.missing_blocks.is_empty() || !self.state.read().all_blocks().iter().all(is_whole)
    }

    /// Days that are to be aggregated, oldest first.
    pub(crate) fn due_downsampling(&self, backoff: &Backoff) -> Vec<Rewrite> {
        if self.config.tiers.is_empty() {
            return Vec::new();
        }
        let (settled, coarse) = {
            let state = self.state.read();
            let coarse: Vec<BlockMeta> =
                state.coarse.iter().map(|block| block.meta.clone()).collect();
            let Some(floor) = state.head.read_floor() else { return Vec::new() };
            // Late samples may still come for what is younger, or wait in memory.
            let in_head = state.head.range().map(|range| range.end_incl);
            let in_blocks = state.blocks.iter().map(|block| block.meta.max).max();
            let Some(newest) = in_head.max(in_blocks) else { return Vec::new() };
            let late_from = state.head.late_range().map(|range| range.start_incl);
            let newest = newest.min(self.times().held + self.config.future_limit);
            let settled = floor.min(newest - self.tuned().out_of_order_window);
            (late_from.map_or(settled, |late_from| late_from.min(settled)), coarse)
        };
        let samples: Vec<Candidate> = self
            .candidates()
            .into_iter()
            .filter(|block| block.meta.resolution == DurationMs::ZERO && self.is_come(&block.meta))
            .collect();
        downsample::due(&samples, &coarse, &self.config.tiers, settled, &backoff.given_up)
    }

    /// Carries the rewrite out, at the pace of background work; the head is flushed in the pauses.
    pub(crate) fn rewrite(
        &self,
        plan: &Rewrite,
        backoff: &mut Backoff,
        report: &mut MaintainReport,
    ) -> Result<(), MaintainError> {
        backoff.pacer.begins(self.clock.monotonic());
        let result = self.try_rewrite(plan, backoff, report);
        backoff.pacer.count(self.clock.monotonic(), 0);
        // What cannot be read or does not fit will not do so next time.
        if let Err(MaintainError::Read { .. } | MaintainError::TooLong { .. }) = &result {
            backoff.given_up.push(plan.clone());
            let count = i64::try_from(backoff.given_up.len()).unwrap_or(i64::MAX);
            self.metrics.rewrites_given_up.set(count);
        }
        result
    }

    fn try_rewrite(
        &self,
        plan: &Rewrite,
        backoff: &mut Backoff,
        report: &mut MaintainReport,
    ) -> Result<(), MaintainError> {
        let find = |ids: &[BlockId]| -> Vec<Arc<Block>> {
            let blocks = self.state.read().all_blocks();
            blocks.iter().filter(|block| ids.contains(&block.meta.id)).cloned().collect()
        };
        let sources = find(&plan.sources);
        let fault = |source| MaintainError::Read { action: "merge blocks".to_owned(), source };
        let deleted = |blocks: &[Arc<Block>]| -> Result<Vec<Arc<Tombstones<u32>>>, _> {
            let of = |block: &Arc<Block>| block.tombstones();
            blocks.iter().map(of).collect::<Result<_, _>>().map_err(|e| crate::select::storage(&e))
        };
        let deleted_before = deleted(&sources).map_err(fault)?;
        let is_downsampling = plan.reason == Reason::Downsample;
        let samples_in = if is_downsampling {
            // Stretches hold their end and not their start.
            (plan.window.0 + DurationMs(1), plan.window.1 + DurationMs(1))
        } else {
            (TimestampMs::MIN, TimestampMs::MAX)
        };
        let range = TimeRange { start_incl: samples_in.0, end_incl: samples_in.1 - DurationMs(1) };
        let loaded =
            load(&sources, range, self.clock.monotonic(), OnDamage::Fail).map_err(fault)?;
        let slices = BlockSlices::new(loaded, range).map_err(fault)?;
        let is_of_samples = is_downsampling || plan.resolution == DurationMs::ZERO;
        let job = Job {
            id: self.next_id(),
            window: plan.window,
            resolution: plan.resolution,
            sources: if is_downsampling { Vec::new() } else { plan.sources.clone() },
            reads: if is_of_samples { Reads::Samples } else { Reads::Aggregates },
            packing: Packing::Compressed,
        };
        let columns = match job.reads {
            Reads::Samples => Columns::samples(Vec::new(), range),
            Reads::Aggregates => Columns::aggregates(Vec::new()),
        };
        let bytes_per_sample = bytes_per_sample(&sources);
        let mut inside: Result<(), MaintainError> = Ok(());
        let (pacer, is_full) = (&mut backoff.pacer, backoff.is_full);
        let mut turn = |series: SeriesData| {
            let floats = series.floats.values.len() + series.aggregates.len();
            let samples = floats + series.histograms.values.len() + series.histogram_runs.len();
            inside = self.pause_if_due((pacer, is_full), samples as u64 * bytes_per_sample, report);
            inside.is_ok().then_some(series)
        };
        let filled = fill(&*self.dir, job, Sliced::new(slices, columns), &mut turn)?;
        inside?;
        let Some((writer, conflicts)) = filled else { return Err(MaintainError::Stopped) };
        let publishing = self.publishing.lock();
        let deleted_now = deleted(&sources).map_err(fault);
        let is_stale = deleted_now.as_ref().map_or(true, |now| {
            !now.iter().zip(&deleted_before).all(|(now, before)| Arc::ptr_eq(now, before))
        });
        if is_stale {
            // Something was deleted meanwhile, and the new block still has it: the next run begins anew.
            discard(writer);
            return deleted_now.map(drop);
        }
        let block = self.finish(writer, &publishing)?;
        if is_downsampling {
            if block.is_none() {
                // Nothing but staleness markers: there is no block to tell that it was looked at.
                backoff.given_up.push(plan.clone());
                return Ok(());
            }
            self.exchange(&[], block);
            report.downsampled_block_count += 1;
            self.metrics.downsampled.inc();
            return self.list_blocks(&publishing);
        }
        if block.is_none() && is_of_samples && self.is_newest(plan) {
            // Its end tells at the next open which samples of the log are not to be read again.
            return Ok(());
        }
        self.exchange(&plan.sources, block);
        backoff.garbage.extend(sources);
        match plan.reason {
            Reason::Tombstones => report.rewritten_block_count += 1,
            Reason::Overlap | Reason::Level | Reason::Downsample => {
                report.compacted_block_count += 1;
            }
        }
        self.metrics.compactions.inc();
        self.metrics.merge_conflicts.inc_by(conflicts);
        self.sweep(&mut backoff.garbage, &publishing)
    }

    /// Whether no block ends later.
    fn is_newest(&self, plan: &Rewrite) -> bool {
        let blocks = Arc::clone(&self.state.read().blocks);
        blocks.iter().all(|block| block.meta.end <= plan.window.1)
    }

    /// Pauses as the share of background work asks. In the pauses the head is flushed when that is due, so that
    /// a long merge does not hold it up, but on a full disk: what room there is belongs to the rewrite that makes more.
    fn pause_if_due(
        &self,
        (pacer, is_full): (&mut Pacer, bool),
        moved_bytes: u64,
        report: &mut MaintainReport,
    ) -> Result<(), MaintainError> {
        if self.rest.is_over() {
            return Err(MaintainError::Stopped);
        }
        let mut due = pacer.worked(self.clock.monotonic(), moved_bytes);
        while let Some(pause) = due {
            while !is_full && self.flush(report)? {}
            self.metrics.background_pauses.inc_by(pause.as_secs_f64());
            if !self.rest.pause(pause) {
                return Err(MaintainError::Stopped);
            }
            pacer.paused(pause, self.clock.monotonic());
            due = pacer.owes();
        }
        Ok(())
    }
}

/// What reading a sample and writing it again moves, rounded up.
fn bytes_per_sample(sources: &[Arc<Block>]) -> u64 {
    let bytes: u64 = sources.iter().map(|block| block.meta.file_bytes).sum();
    let samples: u64 = sources.iter().map(|block| block.meta.sample_count).sum();
    (2 * bytes).div_ceil(samples.max(1))
}
