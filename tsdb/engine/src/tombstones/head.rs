//! What is deleted of the head.

use std::collections::BTreeSet;
use std::sync::Arc;

use swell_model::Labels;

use super::{Intervals, Tombstones};
use crate::wal::Position;

/// What is deleted of the samples in the head. Of those in the order of time a deletion ends at the newest one, so that
/// it hides none that comes later. A late sample that comes later may have any time: that it does is told by its place
/// in the log, and the deleted ones are taken out of memory, also when the log is read back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HeadTombstones {
    pub(super) in_order: Tombstones<Labels>,
    pub(super) late: Vec<LateDeletion>,
}

/// Late samples that are deleted: of these series, with times from `from_ms` to `to_ms`, logged up to `upto`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LateDeletion {
    pub(crate) upto: Position,
    pub(crate) from_ms: i64,
    pub(crate) to_ms: i64,
    pub(crate) series: BTreeSet<Labels>,
}

impl HeadTombstones {
    pub(crate) fn is_empty(&self) -> bool {
        self.in_order.is_empty() && self.late.is_empty()
    }

    /// Series of which something is deleted.
    pub(crate) fn series_count(&self) -> usize {
        self.in_order.series_count()
    }

    /// What is deleted of a series, late samples aside.
    pub(crate) fn of(&self, labels: &Labels) -> Option<&Arc<Intervals>> {
        self.in_order.of(labels)
    }

    /// Whether that time of the series is deleted, late samples aside.
    pub(crate) fn hides(&self, labels: impl FnOnce() -> Labels, at_ms: i64) -> bool {
        !self.in_order.is_empty()
            && self.of(&labels()).is_some_and(|deleted| deleted.contains_all(at_ms, at_ms))
    }

    /// Whether a late sample, logged at that place, is deleted.
    pub(crate) fn hides_late(
        &self,
        labels: impl FnOnce() -> Labels,
        at_ms: i64,
        position: Position,
    ) -> bool {
        let holds = |deletion: &&LateDeletion| {
            position <= deletion.upto && (deletion.from_ms..=deletion.to_ms).contains(&at_ms)
        };
        let mut holding = self.late.iter().filter(holds).peekable();
        if holding.peek().is_none() {
            return false;
        }
        let labels = labels();
        holding.any(|deletion| deletion.series.contains(&labels))
    }

    /// Deletes an interval of a series, late samples aside; gives whether that is new.
    pub(crate) fn add(&mut self, labels: Labels, from_ms: i64, to_ms: i64) -> bool {
        self.in_order.add(labels, from_ms, to_ms)
    }

    /// Deletes late samples.
    pub(crate) fn add_late(&mut self, deletion: LateDeletion) {
        self.late.push(deletion);
    }

    /// What is deleted of late samples.
    pub(crate) fn late(&self) -> &[LateDeletion] {
        &self.late
    }

    /// Deletes no late samples that are logged behind that place: it is the end of the log, and what names a later one is
    /// about a log that is gone, or told no place. Gives whether there was such a one.
    pub(crate) fn end_at(&mut self, end: Position) -> bool {
        let mut is_changed = false;
        for deletion in self.late.iter_mut().filter(|deletion| deletion.upto > end) {
            deletion.upto = end;
            is_changed = true;
        }
        is_changed
    }

    /// Forgets what lies before `floor_ms`; gives whether that was anything.
    pub(crate) fn drop_before(&mut self, floor_ms: i64) -> bool {
        let late_count = self.late.len();
        self.late.retain(|deletion| deletion.to_ms >= floor_ms);
        self.in_order.drop_before(floor_ms) || self.late.len() < late_count
    }
}
