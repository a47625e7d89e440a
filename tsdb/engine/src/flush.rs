//! Samples on their way from the head to a block: all of a window, or the late ones of a window that is in a block already
//! (`late.rs`).

use std::sync::Arc;

use swell_model::{DurationMs, TimeRange, TimestampMs};

use crate::block::{Block, Packing};
use crate::compact::execute::{Job, Reads, discard, fill};
use crate::compact::plan::{self, Window};
use crate::compact::sources::{HeadSlices, Sliced};
use crate::db::Inner;
use crate::head::Head;
use crate::maintain::MaintainError;
use crate::publish::Publishing;
use crate::select::Columns;
use crate::status::MaintainReport;
use crate::tombstones::HeadTombstones;
use crate::wal::FlushMark;

/// A window of which a block is being made.
#[derive(Debug)]
pub(crate) struct Flushing {
    pub(crate) window: Window,
    /// Of the samples that the block will have.
    pub(crate) mark: FlushMark,
    /// What was deleted of the head when it began.
    pub(crate) deletions: HeadTombstones,
}

impl Inner {
    /// Writes the oldest complete window of the head as a block, and exchanges the two. Gives whether there was such
    /// a window.
    pub(crate) fn flush(&self, report: &mut MaintainReport) -> Result<bool, MaintainError> {
        // Samples that only a clock explains that jumped make no window complete.
        let until = self.times().held + self.config.future_limit;
        self.flush_window(report, |head| {
            plan::flush(TimeRange { end_incl: head.end_incl.min(until), ..head })
        })
    }

    /// Writes the window of the head that `choose` names, given the times that are there.
    pub(crate) fn flush_window(
        &self,
        report: &mut MaintainReport,
        choose: impl FnOnce(TimeRange) -> Option<Window>,
    ) -> Result<bool, MaintainError> {
        let Some(flushing) = self.begin_window(choose) else { return Ok(false) };
        // Late samples before what the head is read from stay there: another flush writes them.
        self.put_into_block(flushing, Head::series, report)?;
        Ok(true)
    }

    /// Begins to flush the window that `choose` names: from here on nothing is added to it, nor before it, but late samples.
    pub(crate) fn begin_window(
        &self,
        choose: impl FnOnce(TimeRange) -> Option<Window>,
    ) -> Option<Flushing> {
        // No batch is between its check against the floor and its being in the head.
        let mut writer = self.commit.lock();
        let mut state = self.state.write();
        let window = state.head.flushable().and_then(choose)?;
        let from = state.head.read_floor().unwrap_or(TimestampMs::MIN).max(window.0);
        let mark = FlushMark { from, below: window.1, upto: writer.position() };
        writer.late_below(window.1);
        state.head.raise_accept_floor(window.1);
        Some(Flushing { window, mark, deletions: state.head.tombstones.clone() })
    }

    /// Makes the block of the series that `series_of` names, and shows it in place of their samples. There is none where
    /// nothing was to be written, or something of it was deleted meanwhile.
    pub(crate) fn put_into_block(
        &self,
        Flushing { window, mark, deletions }: Flushing,
        series_of: impl FnOnce(&Head) -> Vec<u32>,
        report: &mut MaintainReport,
    ) -> Result<Option<Arc<Block>>, MaintainError> {
        let range = TimeRange { start_incl: mark.from, end_incl: mark.below - DurationMs(1) };
        let slices = HeadSlices::new(self, range, series_of);
        let series = Sliced::new(slices, Columns::samples(Vec::new(), range));
        let job = Job {
            id: self.next_id(),
            window,
            resolution: DurationMs::ZERO,
            sources: Vec::new(),
            reads: Reads::Samples,
            packing: Packing::Plain,
        };
        let filled = fill(&*self.dir, job, series, &mut Some)?;
        let Some((writer, conflicts)) = filled else { return Err(MaintainError::Stopped) };
        let publishing = self.publishing.lock();
        if self.state.read().head.tombstones != deletions {
            // Something was deleted meanwhile, and the new block still has it.
            discard(writer);
            return Ok(None);
        }
        let block = self.finish(writer, &publishing)?;
        if block.is_some() {
            report.flushed_block_count += 1;
            self.metrics.flushes.inc();
        }
        self.metrics.merge_conflicts.inc_by(conflicts);
        self.publish(block.clone(), &mark, report, &publishing)?;
        Ok(block)
    }

    /// Shows readers the block in place of the head's samples, and notes in the log that it has them.
    pub(crate) fn publish(
        &self,
        block: Option<Arc<Block>>,
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
            let forgotten = state.head.forget(mark, false);
            self.metrics.theirs.series_removed.inc_by(forgotten as u64);
            report.forgotten_series_count += forgotten;
        }
        writer.note(*mark);
        self.log_marks(writer)?;
        self.list_blocks(publishing)
    }
}
