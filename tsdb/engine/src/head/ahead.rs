//! What is to leave the head next, and how it comes back to the present after it had samples that were ahead of the clock.

use std::sync::Arc;

use swell_model::{TimeRange, TimestampMs};

use super::late::LateSamples;
use super::segment::Segment;
use super::{Group, Head, NEVER, Series};
use crate::wal::Position;

impl Head {
    /// As [`Head::range`], but from the first sample and not before, late ones included that no block stands beside: what
    /// is to be flushed next. A clock that jumped leaves years without samples, which are passed over by this.
    pub(crate) fn flushable(&self) -> Option<TimeRange> {
        let first_ms = self.first_in_order().into_iter().chain(self.first_late_ms()).min()?;
        let (start, end) = (first_ms.max(self.read_floor_ms), self.max_ms?);
        (start <= end)
            .then_some(TimeRange { start_incl: TimestampMs(start), end_incl: TimestampMs(end) })
    }

    fn first_in_order(&self) -> Option<i64> {
        let floor = self.read_floor_ms;
        let first_of = |times: &[i64]| times.get(times.partition_point(|at| *at < floor)).copied();
        let of_segment = |segment: &Arc<Segment>| {
            let is_cut = segment.first_ms < floor && segment.last_ms >= floor;
            // Columns that cannot be read are told by the flush that reads all of them.
            if is_cut { first_of(&segment.times().ok()?) } else { Some(segment.first_ms) }
        };
        let of_group = |group: &Group| {
            let is_cut = group.first_ms < floor;
            if is_cut { first_of(&group.times.to_vec()) } else { Some(group.first_ms) }
        };
        let segments = self
            .segments
            .iter()
            .map(|(_, segment)| segment)
            .filter(|segment| segment.last_ms >= floor);
        let groups = self.groups.iter().filter(|group| group.times.count() > 0);
        segments
            .filter_map(of_segment)
            .chain(groups.filter_map(of_group))
            .chain(self.histograms_from_ms)
            .min()
    }

    fn late(&self) -> impl Iterator<Item = &LateSamples> {
        let series = if self.late_count > 0 { self.series.as_slice() } else { &[] };
        series.iter().filter_map(|series| series.extra.as_ref()).map(|extra| &extra.late)
    }

    /// The first late sample that is not before what the head is read from.
    fn first_late_ms(&self) -> Option<i64> {
        self.late().filter_map(|late| late.first_from_ms(self.read_floor_ms)).min()
    }

    /// The place in the log of the oldest late sample.
    pub(crate) fn oldest_late(&self) -> Option<Position> {
        self.late().filter_map(LateSamples::oldest).min()
    }

    /// Whether there are samples after `allowed`, or nothing before it would be taken in order.
    pub(crate) fn is_ahead_of(&self, allowed: TimestampMs) -> bool {
        self.max_ms.is_some_and(|max_ms| max_ms > allowed.0) || self.accept_floor_ms > allowed.0
    }

    /// Takes samples from `floor` on, also of series that had newer ones, which are all in blocks.
    ///
    /// # Panics
    /// When there are samples that are not late ones.
    pub(crate) fn come_back(&mut self, floor: Option<TimestampMs>, allowed: TimestampMs) {
        let has_samples = |series: &Series| {
            let extra = series.extra.as_ref();
            series.tail.count() > 0 || extra.is_some_and(|extra| !extra.histograms.is_empty())
        };
        assert!(!self.series.iter().any(has_samples), "samples that were taken in order stay");
        let floor_ms = floor.map_or(NEVER, |floor| floor.0);
        self.accept_floor_ms = floor_ms;
        self.read_floor_ms = floor_ms;
        self.max_ms = self.max_ms.map(|max_ms| max_ms.min(allowed.0));
        for (idx, series) in self.series.iter_mut().enumerate() {
            if self.newest.at_ms(idx) < floor_ms {
                continue;
            }
            self.newest.forget(idx);
            series.last_is_histogram = false;
            if let Some(extra) = &mut series.extra {
                extra.histograms.last = None;
            }
        }
    }
}
