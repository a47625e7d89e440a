//! Samples that are ahead of the clock, since it was ahead itself when they came and has been set right. They are
//! stored, and must not stand in the way of others: they go into blocks of their own, after which the head takes the samples
//! of the present in order again, and nothing is measured from them until their time has come.

use swell_model::{DurationMs, TimestampMs};
use swell_telemetry::chain;

use crate::block::BlockMeta;
use crate::compact::plan::{FLUSH_SPAN, window_of};
use crate::db::Inner;
use crate::maintain::MaintainError;
use crate::status::MaintainReport;
use crate::timeline::Times;
use crate::wal::LogError;

impl Inner {
    pub(crate) fn times(&self) -> Times {
        self.timeline.times(&*self.clock)
    }

    /// The newest time of which a sample would be taken.
    pub(crate) fn allowed(&self) -> TimestampMs {
        self.times().latest() + self.config.future_limit
    }

    /// Whether a block's time has come. One that lies ahead of the clock is no measure of what is old.
    pub(crate) fn is_come(&self, meta: &BlockMeta) -> bool {
        meta.min <= self.times().held + self.config.future_limit
    }

    /// Empties the head when it has samples of which none would be taken now, and has it go on in the present.
    pub(crate) fn come_back(&self, report: &mut MaintainReport) -> Result<(), MaintainError> {
        let allowed = self.allowed();
        // A log that is in doubt is left alone.
        if self.writes.refusal().is_some() || !self.state.read().head.is_ahead_of(allowed) {
            return Ok(());
        }
        while self.flush_window(report, |head| Some(window_of(head.start_incl, FLUSH_SPAN)))? {}
        // Late ones of times ahead as well: below the new floor they would wait, and hold the log, until these times come.
        while self.flush_late_window(report)? {}
        let mut writer = self.commit.lock();
        let mut state = self.state.write();
        let late_ahead = state.head.late_range().is_some_and(|range| range.end_incl > allowed);
        if late_ahead || state.head.flushable().is_some() {
            // Came meanwhile, for a window that began meanwhile: the next run sees to it.
            return Ok(());
        }
        let come = state.blocks.iter().map(|block| block.meta.max).filter(|max| *max <= allowed);
        let floor = come.max().map(|newest| newest + DurationMs(1));
        if let Err(error) = writer.come_back(floor) {
            if let LogError::Sync(_) = error {
                self.log_failed(&error);
            }
            let source = std::io::Error::other(chain(&error));
            return Err(MaintainError::Io {
                action: "end a segment of the log".to_owned(),
                source,
            });
        }
        state.head.come_back(floor, allowed);
        self.metrics.returns.inc();
        tracing::warn!(
            allowed_ms = allowed.0,
            "samples that are ahead of the clock, which was set back, are in blocks of their own"
        );
        Ok(())
    }
}
