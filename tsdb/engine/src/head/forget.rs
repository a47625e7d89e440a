//! What the head gives back once it is in blocks.

use super::segments::ChunkRef;
use super::{Group, Head, NEVER, NONE, Series};
use crate::tombstones::LateDeletion;
use crate::wal::FlushMark;

impl Head {
    /// Forgets samples that are in a block now. Series that have no others are forgotten with them; gives their
    /// number. With `keep_series` none is, since a log that is being read back still names them.
    pub(crate) fn forget(&mut self, mark: &FlushMark, keep_series: bool) -> usize {
        let floor_ms = mark.below.0;
        self.raise_accept_floor(mark.below);
        self.read_floor_ms = self.read_floor_ms.max(floor_ms);
        self.segments.truncate(floor_ms);
        for group_idx in 0..self.groups.len() {
            let group = &mut self.groups[group_idx];
            let (series, newest) = (&mut self.series, &self.newest);
            group.members.retain(|idx| {
                let stays = newest.at_ms(*idx as usize) >= floor_ms;
                if !stays {
                    let series = &mut series[*idx as usize];
                    series.tail.clear();
                    if let Some(extra) = &mut series.extra {
                        extra.starts.clear();
                    }
                    series.group = NONE;
                }
                stays
            });
            if group.members.is_empty() && group.times.count() > 0 {
                *group = Group::default();
                self.unused_groups
                    .push(u32::try_from(group_idx).expect("groups are counted by u32"));
            }
        }
        self.histograms_from_ms = None;
        for (idx, series) in self.series.iter_mut().enumerate() {
            if self.newest.at_ms(idx) < floor_ms || self.segments.get(series.chunk).is_none() {
                series.chunk = ChunkRef::NONE;
            }
            let Some(extra) = &mut series.extra else { continue };
            extra.histograms.truncate(floor_ms);
            let known = self.histograms_from_ms.into_iter();
            self.histograms_from_ms = known.chain(extra.histograms.first_ms()).min();
            let forgotten = extra.late.forget((mark.from.0, floor_ms), mark.upto);
            self.late_count -= forgotten;
            if forgotten > 0 {
                self.late_changes += 1;
                extra.late_changed = self.late_changes;
            }
            let is_empty = extra.histograms.is_empty() && extra.late.is_empty();
            if is_empty && extra.starts.count() == 0 && !series.last_is_histogram {
                series.extra = None;
            }
        }
        if keep_series { 0 } else { self.forget_series() }
    }

    /// Forgets the late samples of a deletion.
    pub(crate) fn forget_late(&mut self, deletion: &LateDeletion) {
        let LateDeletion { from_ms, to_ms, upto, series } = deletion;
        for idx in series.iter().filter_map(|labels| self.index.find(labels)) {
            let Some(extra) = &mut self.series[idx as usize].extra else { continue };
            let forgotten = extra.late.forget((*from_ms, to_ms.saturating_add(1)), *upto);
            if forgotten > 0 {
                self.late_count -= forgotten;
                self.late_changes += 1;
                extra.late_changed = self.late_changes;
            }
        }
    }

    /// Forgets series without samples, but for those that were made since the last time and wait for their first.
    pub(crate) fn forget_series(&mut self) -> usize {
        let mut forgotten = Vec::new();
        for idx in 0..u32::try_from(self.series.len()).expect("series are counted by u32") {
            let series = &mut self.series[idx as usize];
            let waits_for_first =
                std::mem::take(&mut series.is_new) && self.newest.at_ms(idx as usize) == NEVER;
            if !series.has_samples() && !waits_for_first && self.index.contains(idx) {
                *series = Series::new(series.generation.wrapping_add(1));
                self.newest.forget(idx as usize);
                forgotten.push(idx);
            }
        }
        self.index.remove(&forgotten);
        forgotten.len()
    }
}

impl Series {
    fn has_samples(&self) -> bool {
        let extra = self.extra.as_ref();
        self.tail.count() > 0
            || self.chunk != ChunkRef::NONE
            || extra.is_some_and(|extra| !extra.histograms.is_empty() || !extra.late.is_empty())
    }
}
