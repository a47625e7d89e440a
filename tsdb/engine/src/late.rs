//! Late samples whose window is in a block already: written as a block of their own beside it, which the next merge
//! of overlapping blocks joins with it.

use std::io;

use parking_lot::MutexGuard;

use crate::compact::plan::{FLUSH_SPAN, window_of};
use crate::db::Inner;
use crate::described;
use crate::flush::Flushing;
use crate::head::Head;
use crate::maintain::MaintainError;
use crate::publish::Publishing;
use crate::status::MaintainReport;
use crate::wal::{FlushMark, LogError, WalWriter};

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
    pub(crate) fn flush_late_window(
        &self,
        report: &mut MaintainReport,
    ) -> Result<bool, MaintainError> {
        let flushing = {
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
            Flushing { window, mark, deletions: state.head.tombstones.clone() }
        };
        if let Some(block) = self.put_into_block(flushing, Head::late_series, report)? {
            tracing::info!(block = block.name, "late samples were written to a block");
        }
        Ok(true)
    }

    /// Makes up for what a full disk prevented: removes what is no block, and writes marks to the log.
    pub(crate) fn make_up(&self, publishing: &Publishing<'_>) -> Result<(), MaintainError> {
        self.remove_orphans()?;
        let writer = self.commit.lock();
        if !writer.has_marks() {
            return Ok(());
        }
        self.log_marks(writer)?;
        self.list_blocks(publishing)
    }

    /// As [`Inner::make_up`], for what counts on them: without a mark a start takes samples of a block for samples
    /// of the head, where nothing says what of them was deleted.
    pub(crate) fn need_marks(&self, publishing: &Publishing<'_>) -> Result<(), MaintainError> {
        self.make_up(publishing)?;
        if self.commit.lock().has_marks() {
            let reason = self.writes.refusal().map_or_else(String::new, |refusal| refusal.reason);
            return Err(mark_fault(io::Error::other(reason)));
        }
        Ok(())
    }

    /// Makes all marks durable. A log that is in doubt is left alone: they go with the next start, which reads from it
    /// what there is to read.
    pub(crate) fn log_marks(
        &self,
        mut writer: MutexGuard<'_, WalWriter>,
    ) -> Result<(), MaintainError> {
        if self.writes.refusal().is_some_and(|refusal| !refusal.is_passing) {
            return Ok(());
        }
        let written = writer.write_marks().map_err(|error| {
            if let LogError::Sync(_) = error {
                self.log_failed(&error);
            }
            let (LogError::Write(source) | LogError::Sync(source)) = error;
            mark_fault(source)
        })?;
        let Some(written) = written else { return Ok(()) };
        let record = self.gate.wrote(written.file);
        drop(writer);
        // Nobody adds marks meanwhile: that needs the lock on publishing, which the callers hold.
        self.gate.wait_durable(record).map_err(|reason| {
            let error = self.fail(reason);
            mark_fault(io::Error::other(error.to_string()))
        })?;
        self.commit.lock().marks_are_durable();
        Ok(())
    }

    /// Deletes log segments whose samples are all in blocks and that nobody holds; what else they say is kept in a file
    /// first. On a full disk nobody holds any.
    pub(crate) fn trim_log(&self, is_full: bool) -> Result<(), MaintainError> {
        let (floor, before) = {
            let writer = self.commit.lock();
            let state = self.state.read();
            let Some(floor) = state.head.read_floor() else { return Ok(()) };
            // Late samples are in no block yet.
            let oldest = state.head.oldest_late().map(|position| position.segment_nr);
            let not_held = self.log_not_held_before(&writer, floor, is_full);
            let before = oldest.unwrap_or(u64::MAX).min(not_held);
            if !writer.done(floor).any(|segment| segment.nr < before) {
                return Ok(());
            }
            (floor, before)
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

fn mark_fault(source: io::Error) -> MaintainError {
    MaintainError::Io { action: "note in the log what is in blocks".to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use prometheus::Registry;
    use swell_env::{ManualClock, MemDir};
    use swell_model::{Batch, DurationMs, Labels, Row, SampleSink as _, TimestampMs};

    use super::*;
    use crate::wal::Position;
    use crate::{Config, Db};

    const HOUR: i64 = 3_600_000;

    #[test]
    fn late_samples_before_what_the_head_is_read_from_are_not_in_the_flush_of_its_window() {
        let clock = Arc::new(ManualClock::new(TimestampMs(100 * HOUR)));
        let settings = Config { out_of_order_window: DurationMs(10 * HOUR), ..Config::standard() };
        let db = Db::open(Arc::new(MemDir::new()), settings, clock, &Registry::new());
        let db = db.expect("opens");
        let series = db.resolve(&Labels::from_pairs([("__name__", "up")])).expect("resolves");
        let append = |at_ms: i64| {
            let row = Row::new(TimestampMs(at_ms), vec![series], vec![1.0]);
            db.append(&Batch::of_rows(vec![row])).expect("appends")
        };
        for step in 0..20 {
            append(step * HOUR / 4);
        }
        // As after an open that finds a block with the first hour, which is half a window.
        let below = TimestampMs(HOUR);
        let upto = Position { segment_nr: 0, record_nr: 0 };
        let mark = FlushMark { from: TimestampMs::MIN, below, upto };
        db.inner.state.write().head.forget(&mark, false);
        assert_eq!(append(HOUR / 2 + 1).stored_late, 1);
        let mut report = MaintainReport::default();
        assert!(db.inner.flush(&mut report).expect("writes"));
        assert_eq!(report.flushed_block_count, 1);
        let state = db.inner.state.read();
        let meta = &state.blocks[0].meta;
        assert_eq!((meta.min, meta.sample_count), (below, 4), "the second hour");
        assert_eq!(state.head.late_count(), 1, "it stays for a block of its own");
    }

    #[test]
    fn late_samples_that_wait_are_read_back_when_the_log_begins_with_them() {
        let disk = MemDir::new();
        let open = || {
            let clock = Arc::new(ManualClock::new(TimestampMs(100 * HOUR)));
            let settings =
                Config { out_of_order_window: DurationMs(24 * HOUR), ..Config::standard() };
            let dir = Arc::new(disk.after_kill());
            (Db::open(dir.clone(), settings, clock, &Registry::new()).expect("opens"), dir)
        };
        let (db, dir) = open();
        let append = |name: &str, at_ms: i64| {
            let series = db.resolve(&Labels::from_pairs([("__name__", name)])).expect("resolves");
            let row = Row::new(TimestampMs(at_ms), vec![series], vec![1.0]);
            db.append(&Batch::of_rows(vec![row])).expect("appends")
        };
        for step in 0..6 * 4 {
            append("up", step * HOUR / 4);
            db.maintain(TimestampMs(0)).expect("maintains");
        }
        for step in 6 * 4..11 * 4 {
            append("up", step * HOUR / 4);
            if step == 7 * 4 {
                assert_eq!(append("late", HOUR).stored_late, 1);
            }
        }
        // As in a pause of a merge, and at the next run behind it.
        let mut report = MaintainReport::default();
        while db.inner.flush(&mut report).expect("writes") {}
        assert!(report.flushed_block_count > 0);
        db.inner.trim_log(false).expect("cuts the log");
        let late_count = |db: &Db| db.inner.state.read().head.late_count();
        assert_eq!(late_count(&db), 1, "it waits for the next flush");
        let again = MemDir::after_kill(&dir);
        let clock = Arc::new(ManualClock::new(TimestampMs(100 * HOUR)));
        let db = Db::open(Arc::new(again), Config::standard(), clock, &Registry::new());
        assert_eq!(late_count(&db.expect("reopens")), 1, "after a kill");
    }

    #[test]
    fn a_sample_that_lags_while_its_window_is_written_outlives_a_kill() {
        let dir = Arc::new(MemDir::new());
        let open = |dir: Arc<MemDir>| {
            let clock = Arc::new(ManualClock::new(TimestampMs(100 * HOUR)));
            let settings =
                Config { out_of_order_window: DurationMs(24 * HOUR), ..Config::standard() };
            Db::open(dir, settings, clock, &Registry::new()).expect("opens")
        };
        let db = open(Arc::clone(&dir));
        let append = |name: &str, at_ms: i64| {
            let series = db.resolve(&Labels::from_pairs([("__name__", name)])).expect("resolves");
            let row = Row::new(TimestampMs(at_ms), vec![series], vec![1.0]);
            db.append(&Batch::of_rows(vec![row])).expect("appends")
        };
        for step in 0..5 * 4 {
            append("up", step * HOUR / 4);
        }
        let window = (TimestampMs(0), TimestampMs(2 * HOUR));
        let flushing = db.inner.begin_window(|_| Some(window)).expect("there are samples");
        assert_eq!(append("late", HOUR).stored_late, 1);
        let late_count = |db: &Db| db.inner.state.read().head.late_count();
        let killed = |dir: &MemDir| open(Arc::new(dir.after_kill()));
        assert_eq!(late_count(&killed(&dir)), 1, "killed before the block is there");
        let mut report = MaintainReport::default();
        let block = db.inner.put_into_block(flushing, Head::series, &mut report).expect("writes");
        assert!(block.is_some());
        // Whether the block has it depends on the moment; it waits for the next one anyhow.
        assert_eq!(late_count(&db), 1);
        assert_eq!(late_count(&killed(&dir)), 1, "killed after it");
    }
}
