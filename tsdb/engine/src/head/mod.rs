//! The newest samples, in memory: one row of timestamps for each target, one small record for each series.
//!
//! Series that come in one row share a *group*: its timestamps are kept once. When a group has
//! [`SEAL_ROWS`] rows it is sealed into a [`Segment`] and dissolved; the next row forms groups anew, so a
//! target whose series change is followed without bookkeeping. A series that lags behind its group leaves it.
//!
//! The head is a plain value: [`crate::Db`] guards it with a lock, and the log's writer is the only one that
//! appends. Readers copy what they need ([`Head::snapshot`]) and decode after the lock is gone.

mod histograms;
mod newest;
mod segment;
mod snapshot;

use std::sync::Arc;

use swell_chunk::{Tail, TimesTail};
use swell_index::MemoryIndex;
use swell_model::{
    AppendReport, HistogramSample, Labels, NativeHistogram, Row, SeriesRef, TimeRange, TimestampMs,
};

use histograms::HistogramSeries;
pub(crate) use histograms::{HistogramChunk, HistogramSamples};
pub(crate) use newest::Newest;
use newest::NewestSamples;
pub(crate) use segment::Segment;
use segment::SegmentBuilder;
pub(crate) use snapshot::{HeadSeries, OpenRows};

use crate::tombstones::Tombstones;

/// Rows of a group before it is sealed: two bit-packed blocks, four minutes at one row a second.
const SEAL_ROWS: u32 = 256;

/// No group, no time.
const NONE: u32 = u32::MAX;
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
    segments: Vec<Option<Arc<Segment>>>,
    unused_segments: Vec<u32>,
    /// Samples before this are refused.
    accept_floor_ms: i64,
    /// Samples before this are in blocks, and not read from here.
    read_floor_ms: i64,
    max_ms: Option<i64>,
    /// Not after the first histogram.
    histograms_from_ms: Option<i64>,
    /// What is deleted of the samples here.
    pub(crate) tombstones: Tombstones<Labels>,
}

#[derive(Debug)]
struct Series {
    /// Counts the users of this index, so that references are never reused.
    generation: u32,
    group: u32,
    tail: Tail,
    last_ms: i64,
    /// Segments that have samples of this series, oldest first, and its member number there.
    chunks: Vec<(u32, u32)>,
    histograms: Option<Box<HistogramSeries>>,
    /// No flush has passed since the series was made.
    is_new: bool,
    /// Whether the sample at `last_ms` is a histogram.
    last_is_histogram: bool,
}

#[derive(Debug, Default)]
struct Group {
    times: TimesTail,
    first_ms: i64,
    members: Vec<u32>,
}

/// What became of one sample.
enum Verdict {
    Store,
    Duplicate,
    OutOfOrder,
    TooOld,
}

impl Verdict {
    fn count(&self, report: &mut AppendReport) {
        *match self {
            Self::Store => &mut report.stored,
            Self::Duplicate => &mut report.duplicates,
            Self::OutOfOrder => &mut report.out_of_order,
            Self::TooOld => &mut report.too_old,
        } += 1;
    }
}

impl Head {
    /// An empty head that takes samples from `floor_ms` on.
    pub(crate) fn new(floor_ms: Option<TimestampMs>) -> Self {
        let floor_ms = floor_ms.map_or(NEVER, |floor| floor.0);
        Self {
            index: MemoryIndex::default(),
            series: Vec::new(),
            newest: NewestSamples::default(),
            groups: Vec::new(),
            unused_groups: Vec::new(),
            segments: Vec::new(),
            unused_segments: Vec::new(),
            accept_floor_ms: floor_ms,
            read_floor_ms: floor_ms,
            max_ms: None,
            histograms_from_ms: None,
            tombstones: Tombstones::default(),
        }
    }

    /// The series with these labels.
    pub(crate) fn find(&self, labels: &Labels) -> Option<SeriesRef> {
        self.index.find(labels).map(|idx| self.reference(idx))
    }

    /// Finds or makes the series with these labels.
    pub(crate) fn resolve(&mut self, labels: &Labels) -> SeriesRef {
        if let Some(found) = self.find(labels) {
            return found;
        }
        let idx = self.index.insert(labels);
        if idx as usize == self.series.len() {
            self.series.push(Series::new(0));
            self.newest.push_series();
        }
        self.reference(idx)
    }

    fn reference(&self, idx: u32) -> SeriesRef {
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

    /// Appends a row whose series are known.
    pub(crate) fn append_row(&mut self, row: &Row, report: &mut AppendReport) {
        let at_ms = row.timestamp.0;
        let mut accepted = Vec::with_capacity(row.series.len());
        let mut home = NONE;
        for (series, value) in row.series.iter().zip(&row.values) {
            let idx = self.idx_of(*series).expect("references were checked with the batch");
            let verdict = self.judge(idx, at_ms, |series| {
                !series.last_is_histogram && series.tail.last_value().to_bits() == value.to_bits()
            });
            verdict.count(report);
            if matches!(verdict, Verdict::Store) {
                accepted.push((idx, *value));
                let group = self.series[idx as usize].group;
                if home == NONE && group != NONE && self.takes(group, at_ms) {
                    home = group;
                }
            }
        }
        let mut touched = Vec::new();
        for (idx, value) in accepted {
            // A row names each series once; if one does not, its first value counts.
            if self.series[idx as usize].last_ms == at_ms {
                report.stored -= 1;
                report.out_of_order += 1;
                continue;
            }
            let mut group = self.series[idx as usize].group;
            if group != NONE && !self.takes(group, at_ms) {
                self.leave(idx);
                group = NONE;
            }
            if group == NONE {
                if home == NONE {
                    home = self.new_group(at_ms);
                }
                group = home;
                self.series[idx as usize].group = group;
                self.groups[group as usize].members.push(idx);
            }
            let times = &mut self.groups[group as usize].times;
            if times.last_ms() != Some(at_ms) {
                times.push(at_ms);
                touched.push(group);
            }
            let series = &mut self.series[idx as usize];
            series.tail.push(times.count() - 1, value);
            series.last_ms = at_ms;
            series.last_is_histogram = false;
            self.newest.set_float(idx, at_ms, value);
            self.max_ms = self.max_ms.max(Some(at_ms));
        }
        for group in touched {
            if self.groups[group as usize].times.count() >= SEAL_ROWS {
                self.seal(group);
            }
        }
    }

    /// Appends a histogram of a known series.
    pub(crate) fn append_histogram(&mut self, sample: &HistogramSample, report: &mut AppendReport) {
        let at_ms = sample.timestamp.0;
        let idx = self.idx_of(sample.series).expect("references were checked with the batch");
        let verdict = self.judge(idx, at_ms, |series| {
            series.last_is_histogram
                && series
                    .histograms
                    .as_ref()
                    .and_then(|histograms| histograms.open.last())
                    .is_some_and(|(_, last)| same_bits(last, &sample.value))
        });
        verdict.count(report);
        if matches!(verdict, Verdict::Store) {
            let series = &mut self.series[idx as usize];
            let histograms = series.histograms.get_or_insert_default();
            histograms.open.push((at_ms, Arc::clone(&sample.value)));
            series.last_ms = at_ms;
            series.last_is_histogram = true;
            self.newest.set_histogram(idx, at_ms);
            self.max_ms = self.max_ms.max(Some(at_ms));
            self.histograms_from_ms =
                Some(self.histograms_from_ms.map_or(at_ms, |from| from.min(at_ms)));
        }
    }

    fn judge(&self, idx: u32, at_ms: i64, is_same: impl FnOnce(&Series) -> bool) -> Verdict {
        let series = &self.series[idx as usize];
        if series.last_ms != NEVER && at_ms <= series.last_ms {
            let duplicate = at_ms == series.last_ms && is_same(series);
            if duplicate { Verdict::Duplicate } else { Verdict::OutOfOrder }
        } else if at_ms < self.accept_floor_ms || at_ms == NEVER {
            Verdict::TooOld
        } else {
            Verdict::Store
        }
    }

    /// Whether the group can have a row at that time: it has, or all its rows are before.
    fn takes(&self, group: u32, at_ms: i64) -> bool {
        self.groups[group as usize].times.last_ms().is_none_or(|last_ms| last_ms <= at_ms)
    }

    fn new_group(&mut self, first_ms: i64) -> u32 {
        let group = Group { first_ms, ..Group::default() };
        if let Some(idx) = self.unused_groups.pop() {
            self.groups[idx as usize] = group;
            idx
        } else {
            self.groups.push(group);
            u32::try_from(self.groups.len() - 1).expect("no more groups than series")
        }
    }

    fn new_segment(&mut self, segment: Segment) -> u32 {
        let segment = Some(Arc::new(segment));
        if let Some(idx) = self.unused_segments.pop() {
            self.segments[idx as usize] = segment;
            idx
        } else {
            self.segments.push(segment);
            u32::try_from(self.segments.len() - 1).expect("below 2^32 segments")
        }
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
        let mut numbers = Vec::with_capacity(members.len());
        for idx in members {
            let tail = &mut self.series[*idx as usize].tail;
            numbers.push(builder.add(tail.count(), |out| tail.copy_tokens(out)));
            tail.clear();
        }
        let segment = self.new_segment(builder.finish(times, first_ms));
        for (idx, number) in members.iter().zip(numbers) {
            let series = &mut self.series[*idx as usize];
            series.chunks.push((segment, number));
            series.group = NONE;
        }
    }

    /// Times of the samples that are read from here, both ends included.
    pub(crate) fn range(&self) -> Option<TimeRange> {
        let segments = self.segments.iter().flatten().map(|segment| segment.first_ms);
        let groups = self.groups.iter().filter(|group| group.times.count() > 0);
        let floats_from_ms = segments.chain(groups.map(|group| group.first_ms)).min();
        let first_ms = floats_from_ms.into_iter().chain(self.histograms_from_ms).min()?;
        let (start, end) = (first_ms.max(self.read_floor_ms), self.max_ms?);
        (start <= end)
            .then_some(TimeRange { start_incl: TimestampMs(start), end_incl: TimestampMs(end) })
    }

    /// As [`Head::range`], but from the first sample and not before: what is to be flushed next. A clock that jumped
    /// leaves years without samples, which are passed over by this.
    pub(crate) fn flushable(&self) -> Option<TimeRange> {
        let range = self.range()?;
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
        let segments = self.segments.iter().flatten().filter(|segment| segment.last_ms >= floor);
        let groups = self.groups.iter().filter(|group| group.times.count() > 0);
        let first = segments
            .filter_map(of_segment)
            .chain(groups.filter_map(of_group))
            .chain(self.histograms_from_ms)
            .min()?;
        Some(TimeRange { start_incl: TimestampMs(first.max(range.start_incl.0)), ..range })
    }

    /// Refuses samples before `floor` from now on.
    pub(crate) fn raise_accept_floor(&mut self, floor: TimestampMs) {
        self.accept_floor_ms = self.accept_floor_ms.max(floor.0);
    }

    /// Samples before this are refused.
    pub(crate) fn accept_floor(&self) -> TimestampMs {
        TimestampMs(self.accept_floor_ms)
    }

    /// Samples before this are in blocks.
    pub(crate) fn read_floor(&self) -> Option<TimestampMs> {
        (self.read_floor_ms != NEVER).then_some(TimestampMs(self.read_floor_ms))
    }

    /// Forgets samples before `floor`, which are in a block now, and series that have no others. Gives the
    /// number of these.
    pub(crate) fn truncate(&mut self, floor: TimestampMs) -> usize {
        self.raise_accept_floor(floor);
        self.read_floor_ms = self.read_floor_ms.max(floor.0);
        for (idx, segment) in (0u32..).zip(&mut self.segments) {
            if segment.as_ref().is_some_and(|segment| segment.last_ms < floor.0) {
                *segment = None;
                self.unused_segments.push(idx);
            }
        }
        for group_idx in 0..self.groups.len() {
            let group = &mut self.groups[group_idx];
            let series = &mut self.series;
            group.members.retain(|idx| {
                let series = &mut series[*idx as usize];
                let stays = series.last_ms >= floor.0;
                if !stays {
                    series.tail.clear();
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
        let mut forgotten = Vec::new();
        self.histograms_from_ms = None;
        for idx in 0..u32::try_from(self.series.len()).expect("series are counted by u32") {
            let series = &mut self.series[idx as usize];
            let is_old = series.last_ms < floor.0;
            series
                .chunks
                .retain(|(segment, _)| !is_old && self.segments[*segment as usize].is_some());
            if let Some(histograms) = &mut series.histograms {
                histograms.truncate(floor.0);
                let first_ms = histograms.first_ms();
                if first_ms.is_none() {
                    series.histograms = None;
                }
                let known = self.histograms_from_ms.into_iter();
                self.histograms_from_ms = known.chain(first_ms).min();
            }
            let has_samples =
                series.tail.count() > 0 || !series.chunks.is_empty() || series.histograms.is_some();
            let waits_for_first = std::mem::take(&mut series.is_new) && series.last_ms == NEVER;
            if !has_samples && !waits_for_first && self.index.contains(idx) {
                *series = Series::new(series.generation.wrapping_add(1));
                self.newest.forget(idx);
                forgotten.push(idx);
            }
        }
        self.index.remove(&forgotten);
        forgotten.len()
    }

    /// Segments that are not packed yet, with their number.
    pub(crate) fn unpacked(&self) -> Vec<(u32, Arc<Segment>)> {
        let segments = (0u32..).zip(&self.segments);
        segments
            .filter_map(|(idx, segment)| Some((idx, Arc::clone(segment.as_ref()?))))
            .filter(|(_, segment)| !segment.is_packed())
            .collect()
    }

    /// Puts the packed form in place of the segment it was made of, unless that is gone.
    pub(crate) fn replace(&mut self, idx: u32, was: &Arc<Segment>, packed: Segment) {
        if let Some(segment) = &mut self.segments[idx as usize]
            && Arc::ptr_eq(segment, was)
        {
            *segment = Arc::new(packed);
        }
    }

    /// The time of the newest sample of a series.
    pub(crate) fn last_of(&self, idx: u32) -> Option<TimestampMs> {
        let last_ms = self.series[idx as usize].last_ms;
        (last_ms != NEVER).then_some(TimestampMs(last_ms))
    }

    /// Series with enough open histograms to fill a chunk, with these.
    pub(crate) fn full_histograms(&self) -> Vec<(SeriesRef, HistogramSamples)> {
        (0u32..)
            .zip(&self.series)
            .filter_map(|(idx, series)| {
                Some((self.reference(idx), series.histograms.as_ref()?.full()?))
            })
            .collect()
    }

    /// Puts a chunk in place of the open histograms it was made of.
    pub(crate) fn pack_histograms(&mut self, series: SeriesRef, chunk: HistogramChunk) {
        if let Some(idx) = self.idx_of(series)
            && let Some(histograms) = &mut self.series[idx as usize].histograms
        {
            histograms.pack(chunk);
        }
    }

    /// Samples, chunks and bytes of columns.
    pub(crate) fn sizes(&self) -> (u64, usize, u64) {
        let (mut samples, mut chunks, mut bytes) = (0, 0, 0);
        for segment in self.segments.iter().flatten() {
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
            if let Some(histograms) = &series.histograms {
                samples += histograms.sample_count();
                chunks += histograms.chunks.len() + usize::from(!histograms.open.is_empty());
                bytes += histograms.chunks.iter().map(|chunk| chunk.heap_bytes()).sum::<usize>();
            }
        }
        (samples, chunks, bytes as u64)
    }
}

impl Series {
    fn new(generation: u32) -> Self {
        Self {
            generation,
            group: NONE,
            tail: Tail::default(),
            last_ms: NEVER,
            chunks: Vec::new(),
            histograms: None,
            is_new: true,
            last_is_histogram: false,
        }
    }
}

/// Equal bit for bit, so that a NaN equals itself.
fn same_bits(a: &NativeHistogram, b: &NativeHistogram) -> bool {
    let lists_equal = |a: &[f64], b: &[f64]| {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
    };
    let scalars =
        |h: &NativeHistogram| [h.zero_threshold, h.zero_count, h.count, h.sum].map(f64::to_bits);
    (a.schema, a.reset_hint, scalars(a)) == (b.schema, b.reset_hint, scalars(b))
        && (&a.positive_spans, &a.negative_spans) == (&b.positive_spans, &b.negative_spans)
        && lists_equal(&a.positive_buckets, &b.positive_buckets)
        && lists_equal(&a.negative_buckets, &b.negative_buckets)
        && lists_equal(&a.custom_bounds, &b.custom_bounds)
}
