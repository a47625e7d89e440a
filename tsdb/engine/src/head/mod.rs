//! The newest samples, in memory: one row of timestamps for each target, one small record for each series.
//!
//! Series that come in one row share a *group*: its timestamps are kept once. When a group has
//! [`SEAL_ROWS`] rows, or fewer that take much, it is sealed into a [`Segment`] and dissolved; the next row forms groups
//! anew, so a target whose series change is followed without bookkeeping. A series that lags behind its group leaves it.
//! Samples that come after a newer one of their series, or for a time that is in blocks already, are kept aside as
//! *late* ones ([`late`]) and merged when they are read.
//!
//! The head is a plain value: [`crate::Db`] guards it with a lock, and the log's writer is the only one that
//! appends. Readers copy what they need ([`Head::snapshot`]) and decode after the lock is gone.

mod ahead;
mod append;
mod arrivals;
mod define;
mod forget;
mod histograms;
mod image;
mod late;
mod newest;
mod repeats;
mod segment;
mod segments;
mod snapshot;

use std::sync::Arc;

use swell_chunk::{Tail, TimesTail};
use swell_index::MemoryIndex;
use swell_model::{Labels, SeriesRef, TimeRange, TimestampMs};

pub(crate) use append::Limits;
pub(crate) use arrivals::Since;
pub(crate) use define::DefinedPairs;
use histograms::HistogramSeries;
pub(crate) use histograms::{
    HistogramChunk, HistogramPoint, HistogramSamples, START_MAX_MS, start_as_float, start_of_float,
};
pub(crate) use image::{Given, HeadReader, Part as HeadPart, SealedSegments};
use late::LateSamples;
pub(crate) use late::{float_wins, histogram_wins};
pub(crate) use newest::Newest;
use newest::NewestSamples;
pub(crate) use repeats::without_repeats;
pub(crate) use segment::Segment;
use segment::SegmentBuilder;
use segments::{ChunkRef, Segments};
pub(crate) use snapshot::{ColumnRef, HeadSeries, NewestSample, OpenColumn, RowCopies};

use crate::tombstones::HeadTombstones;

/// Rows of a group before it is sealed: two bit-packed blocks, four minutes at one row a second.
const SEAL_ROWS: u32 = 256;
/// A group with so many rows, or a multiple of it, is sealed if it takes as many bytes a series: packed it takes half.
const SEAL_ROWS_MIN: u32 = 64;
const SEAL_SERIES_BYTES: usize = 64;

/// Whether a group is to be sealed. `bytes` tells how many the tokens of its columns are, and is asked seldom; it does
/// not depend on how they came, so a head that was read back seals when the one before would have.
fn is_full(rows: u32, series_count: usize, bytes: impl FnOnce() -> usize) -> bool {
    rows >= SEAL_ROWS
        || (rows > 0
            && rows.is_multiple_of(SEAL_ROWS_MIN)
            && bytes() >= series_count * SEAL_SERIES_BYTES)
}

/// No group.
const NONE: u32 = u32::MAX;
/// No time.
const NEVER: i64 = i64::MIN;

/// See the module.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) index: MemoryIndex,
    /// By index; what stands at unused indices has no samples.
    series: Vec<Series>,
    newest: NewestSamples,
    groups: Vec<Group>,
    unused_groups: Vec<u32>,
    /// Groups made so far.
    group_count: u64,
    segments: Segments,
    /// Samples before this are late, since their window is in a block or on its way there.
    accept_floor_ms: i64,
    /// Samples before this are in blocks and not read from here, but for late ones.
    read_floor_ms: i64,
    max_ms: Option<i64>,
    /// Not after the first histogram.
    histograms_from_ms: Option<i64>,
    /// What is deleted of the samples here. Late ones that are deleted are here no more.
    pub(crate) tombstones: HeadTombstones,
    /// Late samples of all series.
    late_count: usize,
    /// How often late samples came or went.
    late_changes: u64,
}

#[derive(Debug)]
struct Series {
    /// Counts the users of this index, so that references are never reused.
    generation: u32,
    group: u32,
    tail: Tail,
    /// The newest sealed column; older ones are found from there.
    chunk: ChunkRef,
    /// What few series have.
    extra: Option<Box<Extra>>,
    /// No flush has passed since the series was made.
    is_new: bool,
    /// Whether the newest sample is a histogram.
    last_is_histogram: bool,
}

/// What only some series have.
#[derive(Debug, Default)]
struct Extra {
    histograms: HistogramSeries,
    /// Start timestamps of the tail's samples, as floats; rows without one are gaps.
    starts: Tail,
    late: LateSamples,
    /// What [`Head::late_changes`] was when the late ones changed last; 0 when they did not since the start.
    late_changed: u64,
}

#[derive(Debug, Default)]
struct Group {
    /// Of all groups that were made the how manyth: places in the list are used again.
    number: u64,
    times: TimesTail,
    first_ms: i64,
    members: Vec<u32>,
}

impl Head {
    /// An empty head.
    pub(crate) fn new() -> Self {
        Self {
            index: MemoryIndex::default(),
            series: Vec::new(),
            newest: NewestSamples::default(),
            groups: Vec::new(),
            unused_groups: Vec::new(),
            group_count: 0,
            segments: Segments::default(),
            accept_floor_ms: NEVER,
            read_floor_ms: NEVER,
            max_ms: None,
            histograms_from_ms: None,
            tombstones: HeadTombstones::default(),
            late_count: 0,
            late_changes: 0,
        }
    }

    /// The series with these labels.
    pub(crate) fn find(&self, labels: &Labels) -> Option<SeriesRef> {
        self.index.find(labels).map(|idx| self.reference(idx))
    }

    /// Finds or makes the series with these labels.
    pub(crate) fn resolve(&mut self, labels: &Labels) -> SeriesRef {
        let idx = self.index.find_or_insert(labels);
        self.reference_of_new(idx)
    }

    /// The reference of an index that may have been given out for the first time.
    fn reference_of_new(&mut self, idx: u32) -> SeriesRef {
        if idx as usize == self.series.len() {
            self.series.push(Series::new(0));
            self.newest.push_series();
        }
        self.reference(idx)
    }

    /// Pairs of a series that is known: number in the index, name, value.
    ///
    /// # Panics
    /// When it is not.
    pub(crate) fn pairs(
        &self,
        series: SeriesRef,
    ) -> impl ExactSizeIterator<Item = (u32, &str, &str)> {
        let idx = self.idx_of(series).expect("references were checked with the batch");
        self.index.pairs(idx).expect("a known reference has labels")
    }

    /// Generation of an index that is in use.
    pub(crate) fn generation(&self, idx: u32) -> Option<u32> {
        self.index.contains(idx).then(|| self.series[idx as usize].generation)
    }

    /// The reference of an index.
    ///
    /// # Panics
    /// When it was never given out.
    pub(crate) fn reference(&self, idx: u32) -> SeriesRef {
        let generation = self.series[idx as usize].generation;
        SeriesRef(u64::from(generation) << 32 | u64::from(idx))
    }

    /// The index behind a reference, while its series is known.
    pub(crate) fn idx_of(&self, series: SeriesRef) -> Option<u32> {
        let idx = u32::try_from(series.0 & u64::from(u32::MAX)).expect("masked to 32 bits");
        let generation = self.series.get(idx as usize)?.generation;
        (u64::from(generation) == series.0 >> 32 && self.index.contains(idx)).then_some(idx)
    }

    /// Labels of a series that is known.
    ///
    /// # Panics
    /// When it is not.
    pub(crate) fn labels(&self, series: SeriesRef) -> Labels {
        let idx = self.idx_of(series).expect("references were checked with the batch");
        self.index.labels(idx).expect("a known reference has labels")
    }

    /// Whether the group can have a row at that time: it has, or all its rows are before.
    fn takes(&self, group: u32, at_ms: i64) -> bool {
        self.groups[group as usize].times.last_ms().is_none_or(|last_ms| last_ms <= at_ms)
    }

    fn new_group(&mut self, first_ms: i64) -> u32 {
        let group = Group { number: self.group_count, first_ms, ..Group::default() };
        self.group_count += 1;
        if let Some(idx) = self.unused_groups.pop() {
            self.groups[idx as usize] = group;
            idx
        } else {
            self.groups.push(group);
            u32::try_from(self.groups.len() - 1).expect("no more groups than series")
        }
    }

    fn is_full(&self, group: u32) -> bool {
        let Group { times, members, .. } = &self.groups[group as usize];
        let column = |idx: &u32| self.series[*idx as usize].tail.token_bytes();
        is_full(times.count(), members.len(), || members.iter().map(column).sum())
    }

    /// Makes a segment of all that the group has, and dissolves the group.
    fn seal(&mut self, group_idx: u32) {
        let group = std::mem::take(&mut self.groups[group_idx as usize]);
        self.unused_groups.push(group_idx);
        self.seal_members(&group.members, group.times, group.first_ms);
    }

    /// Takes a series out of its group, with a segment of its own.
    fn leave(&mut self, idx: u32) {
        let group_idx = self.series[idx as usize].group as usize;
        let group = &mut self.groups[group_idx];
        group.members.retain(|member| *member != idx);
        let (times, first_ms) = (group.times.clone(), group.first_ms);
        self.seal_members(&[idx], times, first_ms);
    }

    fn seal_members(&mut self, members: &[u32], times: TimesTail, first_ms: i64) {
        let mut builder = SegmentBuilder::default();
        let segment = self.segments.next_id();
        for idx in members {
            let series = &mut self.series[*idx as usize];
            let tail = &mut series.tail;
            let mut starts = series.extra.as_mut().map(|extra| &mut extra.starts);
            starts = starts.filter(|starts| starts.count() > 0);
            let member = builder.add(tail.count(), series.chunk, |out| tail.copy_tokens(out));
            series.chunk = ChunkRef::new(segment, member, starts.is_some());
            tail.clear();
            if let Some(starts) = starts {
                builder.add(0, ChunkRef::NONE, |out| starts.copy_tokens(out));
                starts.clear();
            }
            series.group = NONE;
        }
        self.segments.push(builder.finish(times, first_ms));
    }

    /// Times of the samples that are read from here, both ends included, without the late ones.
    pub(crate) fn range(&self) -> Option<TimeRange> {
        let segments = self.segments.iter().map(|(_, segment)| segment.first_ms);
        let groups = self.groups.iter().filter(|group| group.times.count() > 0);
        let floats_from_ms = segments.chain(groups.map(|group| group.first_ms)).min();
        let first_ms = floats_from_ms.into_iter().chain(self.histograms_from_ms).min()?;
        let (start, end) = (first_ms.max(self.read_floor_ms), self.max_ms?);
        (start <= end)
            .then_some(TimeRange { start_incl: TimestampMs(start), end_incl: TimestampMs(end) })
    }

    /// Late samples are measured from this time, or a later one.
    pub(crate) fn has_seen(&mut self, newest: TimestampMs) {
        self.max_ms = self.max_ms.max(Some(newest.0));
    }

    /// Takes samples before `floor` as late ones from now on.
    pub(crate) fn raise_accept_floor(&mut self, floor: TimestampMs) {
        self.accept_floor_ms = self.accept_floor_ms.max(floor.0);
    }

    /// Samples before this are in blocks.
    pub(crate) fn read_floor(&self) -> Option<TimestampMs> {
        (self.read_floor_ms != NEVER).then_some(TimestampMs(self.read_floor_ms))
    }

    /// Segments that are not packed yet, with their number.
    pub(crate) fn unpacked(&self) -> Vec<(u32, Arc<Segment>)> {
        let unpacked = self.segments.iter().filter(|(_, segment)| !segment.is_packed());
        unpacked.map(|(id, segment)| (id, Arc::clone(segment))).collect()
    }

    /// Puts the packed form in place of the segment it was made of, unless that is gone.
    pub(crate) fn replace(&mut self, id: u32, was: &Arc<Segment>, packed: Segment) {
        self.segments.replace(id, was, packed);
    }

    /// The time of the newest sample of a series.
    pub(crate) fn last_of(&self, idx: u32) -> Option<TimestampMs> {
        let last_ms = self.newest.at_ms(idx as usize);
        (last_ms != NEVER).then_some(TimestampMs(last_ms))
    }

    /// The time of the newest late sample of a series.
    pub(crate) fn last_late_of(&self, idx: u32) -> Option<TimestampMs> {
        let extra = self.series[idx as usize].extra.as_ref()?;
        Some(TimestampMs(extra.late.span_ms()?.1))
    }

    /// Whether a series has late samples of these times, both ends included.
    pub(crate) fn has_late_in(&self, idx: u32, from_ms: i64, to_ms: i64) -> bool {
        let extra = self.series[idx as usize].extra.as_ref();
        let first_ms = extra.and_then(|extra| extra.late.first_from_ms(from_ms));
        first_ms.is_some_and(|first_ms| first_ms <= to_ms)
    }

    /// Whether the sample of that time that came in order is deleted.
    pub(super) fn is_deleted(&self, series: SeriesRef, at_ms: i64) -> bool {
        self.tombstones.hides(|| self.labels(series), at_ms)
    }

    /// Whether a series has native histograms here.
    pub(crate) fn has_histograms(&self, idx: u32) -> bool {
        let extra = self.series[idx as usize].extra.as_ref();
        extra.is_some_and(|extra| {
            extra.histograms.last.is_some() || !extra.late.histograms().is_empty()
        })
    }

    /// Series with enough open histograms to fill a chunk, with these.
    pub(crate) fn full_histograms(&self) -> Vec<(SeriesRef, HistogramSamples)> {
        if self.histograms_from_ms.is_none() {
            return Vec::new();
        }
        (0u32..)
            .zip(&self.series)
            .filter_map(|(idx, series)| {
                Some((self.reference(idx), series.extra.as_ref()?.histograms.full()?))
            })
            .collect()
    }

    /// Puts a chunk in place of the open histograms it was made of.
    pub(crate) fn pack_histograms(&mut self, series: SeriesRef, chunk: HistogramChunk) {
        if let Some(idx) = self.idx_of(series)
            && let Some(extra) = &mut self.series[idx as usize].extra
        {
            extra.histograms.pack(chunk);
        }
    }

    /// Samples, chunks and bytes of columns.
    pub(crate) fn sizes(&self) -> (u64, usize, u64) {
        let (mut samples, mut chunks, mut bytes) = (0, 0, 0);
        for (_, segment) in self.segments.iter() {
            samples += segment.sample_count;
            chunks += segment.member_count();
            bytes += segment.heap_bytes();
        }
        for group in &self.groups {
            bytes += group.times.heap_bytes();
        }
        for series in &self.series {
            samples += u64::from(series.tail.count());
            chunks += usize::from(series.tail.count() > 0);
            bytes += series.tail.heap_bytes();
            if let Some(extra) = &series.extra {
                samples += extra.histograms.sample_count() + extra.late.count() as u64;
                chunks += extra.histograms.chunk_count();
                bytes += extra.histograms.heap_bytes() + extra.late.heap_bytes();
                bytes += extra.starts.heap_bytes();
            }
        }
        (samples, chunks, bytes as u64)
    }

    /// Late samples that are not in blocks.
    pub(crate) const fn late_count(&self) -> usize {
        self.late_count
    }
}

impl Series {
    fn new(generation: u32) -> Self {
        Self {
            generation,
            group: NONE,
            tail: Tail::default(),
            chunk: ChunkRef::NONE,
            extra: None,
            is_new: true,
            last_is_histogram: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_sealed_when_it_is_long_or_takes_much() {
        let check = |rows, bytes| is_full(rows, 10, || bytes);
        assert!(check(256, 0) && check(300, 0), "long");
        assert!(check(64, 640) && check(192, 640), "takes much");
        assert!(!check(64, 639) && !check(63, 10_000) && !check(65, 10_000) && !check(0, 0));
        let asked = std::cell::Cell::new(false);
        is_full(100, 10, || {
            asked.set(true);
            0
        });
        assert!(!asked.get(), "columns are not looked at with each row");
    }
}
