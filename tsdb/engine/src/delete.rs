//! Deletion of series and times: tombstones now, rewritten blocks later.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use swell_model::{DurationMs, Labels, Matcher, SelectError, TimeRange, TimestampMs, stretch_end};

use crate::block::{Block, BlockSeries, Loaded};
use crate::coarse::may_have;
use crate::compact::plan;
use crate::db::{Db, Inner};
use crate::maintain::{Backoff, MaintainError};
use crate::publish::Publishing;
use crate::retention::RetentionPlan;
use crate::select::storage;
use crate::status::{DeleteReport, MaintainReport};
use crate::tombstones::{LateDeletion, Tombstones};

impl Db {
    /// Deletes what is stored now of the series that satisfy all matchers, inside the range: hidden from readers when
    /// this returns, durable then, and taken out of the files by compaction, or by [`Db::clean_tombstones`].
    /// Samples that are appended later are not touched.
    ///
    /// # Errors
    /// [`MaintainError`]: part of it may be deleted already; the same call deletes the rest.
    pub fn delete_series(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<DeleteReport, MaintainError> {
        let inner = &self.inner;
        inner.check_replayed("delete series")?;
        let publishing = inner.publishing.lock();
        let report = inner.with_reserve(|| inner.delete(matchers, range, &publishing))?;
        if report.series_count > 0 {
            inner.metrics.deletions.inc();
            tracing::info!(?report, "series were deleted");
        }
        Ok(report)
    }

    /// Writes every block anew of which something is deleted, so that it is gone from the files too.
    ///
    /// # Errors
    /// [`MaintainError`] of the first block that failed.
    pub fn clean_tombstones(&self) -> Result<MaintainReport, MaintainError> {
        let inner = &self.inner;
        inner.check_replayed("take out what was deleted")?;
        let mut backoff = inner.maintenance.lock();
        let mut report = MaintainReport::default();
        for rewrite in plan::clean(&inner.candidates()) {
            inner.rewrite(&rewrite, &mut backoff, &mut report)?;
        }
        inner.update_gauges();
        Ok(report)
    }
}

impl Inner {
    fn delete(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        publishing: &Publishing<'_>,
    ) -> Result<DeleteReport, MaintainError> {
        self.need_marks(publishing)?;
        let mut report = DeleteReport::default();
        let from = range.start_incl.max(TimestampMs(TimestampMs::MIN.0 + 1));
        let (blocks, floor, head, upto) = {
            // No batch is between its place in the log and the head.
            let writer = self.commit.lock();
            let state = self.state.read();
            let Ok(found) = swell_index::select(&state.head.index, matchers);
            let of_head: Vec<(Labels, TimestampMs, bool)> = found
                .into_iter()
                .filter_map(|idx| {
                    let late = state.head.last_late_of(idx);
                    let last = state.head.last_of(idx).max(late)?;
                    let has_late = state.head.has_late_in(idx, from.0, range.end_incl.0);
                    Some((state.head.index.labels(idx)?, last, has_late))
                })
                .collect();
            (state.all_blocks(), state.head.read_floor(), of_head, writer.position())
        };
        // The head first: what is flushed from it waits for the lock that is held here.
        let mut tombstones = self.state.read().head.tombstones.clone();
        let mut late =
            LateDeletion { upto, from_ms: from.0, to_ms: from.0, series: BTreeSet::new() };
        for (labels, last, has_late) in head {
            let to = range.end_incl.min(last);
            if has_late {
                late.to_ms = late.to_ms.max(to.0);
                late.series.insert(labels.clone());
            }
            // What is before the floor is in blocks, but for late samples.
            let is_new = (Some(to) >= floor || has_late) && tombstones.add(labels, from.0, to.0);
            report.series_count += usize::from(is_new || has_late);
        }
        if report.series_count > 0 {
            if !late.series.is_empty() {
                // After a power cut no other record may have the place up to which they are deleted.
                self.gate.sync_all().map_err(|reason| {
                    let source = io::Error::other(self.fail(reason));
                    MaintainError::Io { action: "delete late samples".to_owned(), source }
                })?;
                tombstones.add_late(late.clone());
            }
            self.write_head_tombstones(&tombstones, publishing)?;
            let mut state = self.state.write();
            state.head.tombstones = tombstones;
            state.head.forget_late(&late);
        }
        for block in blocks.iter().filter(|block| may_have(&block.meta, range)) {
            let select = |loaded: &Loaded| -> Result<Vec<u32>, SelectError> {
                swell_index::select(&loaded.index, matchers)
                    .map_err(|error| storage(&loaded.index_fault(error)))
            };
            let count = self.delete_from(block, &select, range, publishing)?;
            report.series_count += count;
            report.block_count += usize::from(count > 0);
        }
        if report.series_count > 0 {
            self.list_blocks(publishing)?;
        }
        Ok(report)
    }

    /// Hides the range of the series that `select` finds; gives how many have something to hide.
    fn delete_from(
        &self,
        block: &Arc<Block>,
        select: &dyn Fn(&Loaded) -> Result<Vec<u32>, SelectError>,
        range: TimeRange,
        publishing: &Publishing<'_>,
    ) -> Result<usize, MaintainError> {
        let fault = |source| MaintainError::Read {
            action: format!("look for what is to be deleted in {}", block.name),
            source,
        };
        let loaded = block.load(self.clock.monotonic()).map_err(|e| fault(storage(&e)))?;
        let found = select(&loaded).map_err(fault)?;
        let series = loaded.series(&found).map_err(|e| fault(storage(&e)))?;
        let before = block.tombstones().map_err(|e| fault(storage(&e)))?;
        let mut tombstones = Tombstones::clone(&before);
        // A stretch goes when any of its samples is to go; it stands at its end.
        let stretch = DurationMs((block.meta.resolution.0 - 1).max(0));
        let range = TimeRange { end_incl: range.end_incl + stretch, ..range };
        let mut count = 0;
        for (idx, series) in found.into_iter().zip(series) {
            if let Some((from, to)) = overlap(&series, block.meta.resolution, range) {
                count += usize::from(tombstones.add(idx, from, to));
            }
        }
        if count > 0 {
            self.bury(block, tombstones, publishing)?;
        }
        Ok(count)
    }

    /// Deletes what the rules of retention say, series by series, of blocks that stay.
    pub(crate) fn cut(
        &self,
        plan: &RetentionPlan,
        backoff: &mut Backoff,
        publishing: &Publishing<'_>,
    ) -> Result<usize, MaintainError> {
        let wanted = [&plan.cuts[..], &plan.coarse_cuts].concat();
        if backoff.cuts_done == wanted {
            return Ok(0);
        }
        let blocks = self.state.read().all_blocks();
        let mut count = 0;
        for block in blocks.iter().filter(|block| block.damage().is_none()) {
            let is_of_samples = block.meta.resolution == DurationMs::ZERO;
            let cuts = if is_of_samples { &plan.cuts } else { &plan.coarse_cuts };
            for (idx, cut) in cuts.iter().enumerate() {
                let Some(cut) = cut.filter(|cut| block.meta.min < *cut) else { continue };
                let end_incl = TimestampMs(cut.0 - 1);
                let range = TimeRange { start_incl: TimestampMs::MIN, end_incl };
                let select = |loaded: &Loaded| self.named_by_rule(loaded, idx);
                count += self.delete_from(block, &select, range, publishing)?;
            }
        }
        if count > 0 {
            self.list_blocks(publishing)?;
        }
        backoff.cuts_done = wanted;
        Ok(count)
    }

    /// Series of a block that belong to a rule of retention, the first that names them; behind the last rule those
    /// that none names.
    fn named_by_rule(&self, loaded: &Loaded, rule_idx: usize) -> Result<Vec<u32>, SelectError> {
        let select = |matchers: &[Matcher]| {
            swell_index::select(&loaded.index, matchers)
                .map_err(|error| storage(&loaded.index_fault(error)))
        };
        let rules = &self.config.retention_rules;
        let mut found = match rules.get(rule_idx) {
            Some(rule) => select(&rule.matchers)?,
            None => select(&[])?,
        };
        for earlier in rules.iter().take(rule_idx) {
            found = swell_index::subtract(&found, &select(&earlier.matchers)?);
        }
        Ok(found)
    }
}

/// The part of the range that the series may have samples in.
fn overlap(series: &BlockSeries, resolution: DurationMs, range: TimeRange) -> Option<(i64, i64)> {
    let floats = series.floats.as_ref().map(|columns| columns.times);
    let histograms = series.histograms.as_ref().map(|columns| columns.times);
    let times = || floats.into_iter().chain(histograms);
    // Runs of histograms have the times of samples, and stand at the ends of their stretches all the same.
    let end = |at_ms: i64| stretch_end(at_ms, resolution.0.max(1));
    let first = times().map(|times| end(times.first_ms)).min()?.max(range.start_incl.0);
    let last = times().map(|times| end(times.last_ms)).max()?.min(range.end_incl.0);
    (first <= last).then_some((first, last))
}
