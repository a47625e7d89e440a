//! Late samples whose window is in a block already: written as a block of their own beside it, which the next merge
//! of overlapping blocks joins with it.

use std::sync::Arc;

use swell_model::{DurationMs, SelectHints, TimeRange};

use crate::block::Packing;
use crate::compact::execute::{Job, Reads, Turn, discard, fill};
use crate::compact::plan::{FLUSH_SPAN, window_of};
use crate::db::Inner;
use crate::described;
use crate::maintain::MaintainError;
use crate::publish::Publishing;
use crate::select::{merge, snapshot};
use crate::status::MaintainReport;
use crate::wal::FlushMark;
use crate::wal::LogError;

/// So many late samples in memory are written out without waiting for the next flush of a window.
const LATE_SAMPLES_MAX: usize = 1 << 18;

impl Inner {
    /// Writes late samples of the times that are in blocks, when a window was flushed or there are many.
    pub(crate) fn flush_late(&self, report: &mut MaintainReport) -> Result<(), MaintainError> {
        let is_due = {
            let late_count = self.state.read().head.late_count();
            late_count >= LATE_SAMPLES_MAX || (late_count > 0 && report.flushed_block_count > 0)
        };
        while is_due && self.flush_late_window(report)? {}
        Ok(())
    }

    /// Writes those of the oldest window; gives whether there was one.
    fn flush_late_window(&self, report: &mut MaintainReport) -> Result<bool, MaintainError> {
        let (window, mark, head, deletions) = {
            let writer = self.commit.lock();
            let state = self.state.read();
            let (late, floor) = (state.head.late_range(), state.head.read_floor());
            let Some((late, floor)) = late.zip(floor) else { return Ok(false) };
            if late.start_incl >= floor {
                return Ok(false);
            }
            let window = window_of(late.start_incl, FLUSH_SPAN);
            let below = window.1.min(floor);
            let mark = FlushMark { from: window.0, below, upto: writer.position() };
            let range = TimeRange { start_incl: window.0, end_incl: below - DurationMs(1) };
            let head = snapshot(&state.head, &[], &SelectHints::range(range));
            (window, mark, head, state.head.tombstones.clone())
        };
        let fault = |source| MaintainError::Read { action: "read the head".to_owned(), source };
        let range = TimeRange { start_incl: mark.from, end_incl: mark.below - DurationMs(1) };
        let selected = merge(&[], head, &[], range).map_err(fault)?;
        let job = Job {
            id: self.next_id(),
            window,
            resolution: DurationMs::ZERO,
            sources: Vec::new(),
            samples_in: (mark.from, mark.below),
            reads: Reads::Samples,
            packing: Packing::Plain,
        };
        let filled = fill(&*self.dir, job, selected, &mut Turn::Write)?;
        let Some(writer) = filled else { return Err(MaintainError::Stopped) };
        let publishing = self.publishing.lock();
        if self.state.read().head.tombstones != deletions {
            // Something was deleted meanwhile, and the new block still has it.
            discard(writer);
            return Ok(true);
        }
        let block = self.finish(writer, &publishing)?;
        if let Some(block) = &block {
            report.flushed_block_count += 1;
            self.metrics.flushes.inc();
            tracing::info!(block = block.name, "late samples were written to a block");
        }
        self.publish(block, &mark, report, &publishing)?;
        Ok(true)
    }

    /// Shows readers the block in place of the head's samples, and notes in the log that it has them.
    pub(crate) fn publish(
        &self,
        block: Option<Arc<crate::block::Block>>,
        mark: &FlushMark,
        report: &mut MaintainReport,
        publishing: &Publishing<'_>,
    ) -> Result<(), MaintainError> {
        // References to series that are forgotten here must not be in a batch between check and append.
        let mut writer = self.commit.lock();
        {
            let mut state = self.state.write();
            if let Some(block) = block {
                let mut blocks = Vec::clone(&state.blocks);
                blocks.push(block);
                blocks.sort_by_key(|block| (block.meta.start, block.meta.id));
                state.blocks = Arc::new(blocks);
            }
            report.forgotten_series_count += state.head.forget(mark, false);
        }
        let written = writer.write_mark(mark).map_err(|error| {
            if let LogError::Sync(_) = error {
                self.log_failed(&error);
            }
            let action = "note in the log what is in blocks".to_owned();
            let (LogError::Write(source) | LogError::Sync(source)) = error;
            MaintainError::Io { action, source }
        })?;
        self.gate.wrote(written.file);
        drop(writer);
        self.list_blocks(publishing)
    }

    /// Deletes log segments whose samples are all in blocks; what else they say is kept in a file first.
    pub(crate) fn trim_log(&self) -> Result<(), MaintainError> {
        let (floor, before) = {
            let writer = self.commit.lock();
            let state = self.state.read();
            let Some(floor) = state.head.read_floor() else { return Ok(()) };
            let waits = state.head.late_range().is_some_and(|late| late.start_incl < floor);
            if waits || !writer.has_done(floor) {
                return Ok(());
            }
            (floor, writer.current_nr())
        };
        self.save_descriptions()?;
        self.renew_checkpoint()?;
        let publishing = self.publishing.lock();
        let mut writer = self.commit.lock();
        writer
            .delete_before(floor, before)
            .map_err(|source| MaintainError::Io { action: "delete old log".to_owned(), source })?;
        // While the log has deleted samples, the next open must know of them: nothing else might.
        let logged = writer.segments().filter_map(|segment| Some(segment.span?.0)).min();
        let logged_ms = logged.map_or(i64::MAX, |first| first.0);
        let fewer_deletions = self.state.write().head.tombstones.drop_before(logged_ms);
        drop(writer);
        if fewer_deletions {
            // Off the list first, so that the file is not missed if this is cut short.
            self.list_blocks(&publishing)?;
            let tombstones = self.state.read().head.tombstones.clone();
            self.write_head_tombstones(&tombstones, &publishing)?;
        }
        Ok(())
    }

    fn save_descriptions(&self) -> Result<(), MaintainError> {
        let Some(bytes) = self.metadata.write().take_changed() else { return Ok(()) };
        described::write(&*self.dir, &bytes).map_err(|source| {
            self.metadata.write().not_written();
            MaintainError::Io { action: format!("write {}", described::NAME), source }
        })
    }
}
