//! Parts back into a head. Whatever they say, the head that comes out can be read and appended to.

use std::sync::Arc;

use swell_chunk::{Cursor, DecodeError, HISTOGRAMS_MAX, Tail, read_times};
use swell_index::{ImageReader, IndexError, LabelIndex as _, MemoryIndex};

use super::write::Before;
use super::{HAS_CHUNK, HAS_GENERATION, HAS_SAMPLES, IN_GROUP, LAST_IS_HISTOGRAM, Part};
use crate::head::histograms::{HistogramChunk, HistogramSamples};
use crate::head::late::{LateFloat, LateHistogram, LateSamples};
use crate::head::segment::SegmentParts;
use crate::head::segments::{ChunkRef, Segments};
use crate::head::{Extra, Group, Head, NEVER, NONE, SEAL_ROWS, Segment, Series};
use crate::wal::Position;

/// What is wrong with an image, in a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub(crate) struct ImageFault {
    what: &'static str,
}

impl ImageFault {
    const fn at(what: &'static str) -> Self {
        Self { what }
    }

    pub(crate) const fn what(self) -> &'static str {
        self.what
    }
}

impl From<DecodeError> for ImageFault {
    fn from(error: DecodeError) -> Self {
        Self { what: error.what }
    }
}

impl From<IndexError> for ImageFault {
    fn from(error: IndexError) -> Self {
        Self { what: error.what }
    }
}

/// Makes a head of the parts that [`Head::write_image`] gave, in their order.
#[derive(Debug)]
pub(crate) struct HeadReader {
    head: Head,
    index: Option<MemoryIndex>,
    /// The index of a checkpoint of version 1.
    parts_of_index: ImageReader,
    bytes_max: usize,
    part: Option<Part>,
    series_count: usize,
    group_count: usize,
    segment_count: usize,
    before: Before,
}

impl HeadReader {
    /// A reader of parts that have `bytes_max` bytes together at most.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            head: Head::new(),
            index: None,
            parts_of_index: ImageReader::new(bytes_max),
            bytes_max,
            part: None,
            series_count: 0,
            group_count: 0,
            segment_count: 0,
            before: Before::default(),
        }
    }

    /// Takes the label index, which comes before all parts; without it the parts have it.
    pub(crate) fn set_index(&mut self, index: MemoryIndex) {
        self.index = Some(index);
    }

    /// Takes a part.
    ///
    /// # Errors
    /// [`ImageFault`] when it is none, or does not follow the ones before.
    pub(crate) fn take(&mut self, part: Part, bytes: &[u8]) -> Result<(), ImageFault> {
        let is_in_place = match self.part {
            None => part == Part::Scalars,
            Some(last) => part >= last && part != Part::Scalars,
        };
        if !is_in_place {
            return Err(ImageFault::at("a part of the head is out of place"));
        }
        if part > Part::Groups && self.part <= Some(Part::Groups) {
            self.whole(self.head.groups.len() == self.group_count)?;
        }
        if part > Part::Segments && self.part <= Some(Part::Segments) {
            self.whole(self.head.segments.slots().len() == self.segment_count)?;
        }
        self.part = Some(part);
        let mut cursor = Cursor::new(bytes);
        match part {
            Part::Scalars => self.scalars(&mut cursor),
            Part::Index => Ok(self.parts_of_index.take(bytes)?),
            Part::Groups => self.groups(&mut cursor),
            Part::Segments => self.segments(&mut cursor),
            Part::Series => self.series(&mut cursor),
            Part::Extras => self.extras(&mut cursor),
        }
    }

    fn whole(&self, is_whole: bool) -> Result<(), ImageFault> {
        if is_whole { Ok(()) } else { Err(ImageFault::at("a part of the head is missing")) }
    }

    /// The head, when all parts were taken.
    ///
    /// # Errors
    /// [`ImageFault`] when some are missing, or do not fit each other.
    pub(crate) fn finish(self) -> Result<Head, ImageFault> {
        self.whole(self.part.is_some())?;
        self.whole(self.head.groups.len() == self.group_count)?;
        self.whole(self.head.segments.slots().len() == self.segment_count)?;
        self.whole(self.head.series.len() == self.series_count)?;
        let mut head = self.head;
        head.index = match self.index {
            Some(index) => index,
            None => self.parts_of_index.finish()?,
        };
        if head.index.bound() as usize != head.series.len() {
            return Err(ImageFault::at("the head has other series than its index"));
        }
        for (idx, group) in (0u32..).zip(&head.groups) {
            if group.times.count() == 0 {
                head.unused_groups.push(idx);
            }
        }
        Ok(head)
    }

    fn scalars(&mut self, cursor: &mut Cursor<'_>) -> Result<(), ImageFault> {
        self.head.accept_floor_ms = cursor.zigzag()?;
        self.head.read_floor_ms = cursor.zigzag()?;
        self.head.max_ms = if cursor.u8()? == 0 { None } else { Some(cursor.zigzag()?) };
        self.series_count = cursor.count(self.bytes_max)?;
        self.group_count = cursor.count(self.bytes_max)?;
        self.head.segments = Segments::starting_at(cursor.varint_u32()?);
        self.segment_count = cursor.count(self.bytes_max)?;
        cursor.finish()?;
        self.head.series.reserve_exact(self.series_count);
        self.head.newest.reserve(self.series_count);
        Ok(())
    }

    fn groups(&mut self, cursor: &mut Cursor<'_>) -> Result<(), ImageFault> {
        while cursor.remaining() > 0 {
            let mut group = Group { number: self.head.group_count, ..Group::default() };
            self.head.group_count += 1;
            let count = cursor.count(SEAL_ROWS as usize)?;
            if count > 0 {
                let len = cursor.count(cursor.remaining())?;
                let times = read_times(cursor.take(len)?, count)?;
                group.first_ms = times[0];
                times.into_iter().for_each(|at_ms| group.times.push(at_ms));
            }
            self.head.groups.push(group);
        }
        Ok(())
    }

    fn segments(&mut self, cursor: &mut Cursor<'_>) -> Result<(), ImageFault> {
        while cursor.remaining() > 0 {
            let row_count = cursor.count(SEAL_ROWS as usize)?;
            let segment = match row_count {
                0 => None,
                _ => Some(self.segment(row_count, cursor)?),
            };
            let is_room = self.head.segments.slots().len() < self.segment_count;
            if !is_room || !self.head.segments.has_next() {
                return Err(ImageFault::at("there are more segments than said"));
            }
            self.head.segments.push_slot(segment);
        }
        Ok(())
    }

    fn segment(&self, rows: usize, cursor: &mut Cursor<'_>) -> Result<Segment, ImageFault> {
        let len = cursor.count(cursor.remaining())?;
        let packed_times = cursor.take(len)?;
        let times = read_times(packed_times, rows)?;
        let sample_count = cursor.varint()?;
        let member_count = cursor.count(cursor.remaining().saturating_mul(2) + 1)?;
        let (member_count, is_packed) = (member_count / 2, member_count % 2 == 1);
        let mut ends: Vec<u32> = Vec::with_capacity(member_count.min(cursor.remaining()));
        for _ in 0..member_count {
            let end = ends.last().copied().unwrap_or(0).checked_add(cursor.varint_u32()?);
            ends.push(end.ok_or(ImageFault::at("a segment is too long"))?);
        }
        let mut last = (0, 0);
        let mut before = Vec::with_capacity(member_count.min(cursor.remaining()));
        for _ in 0..member_count {
            before.push(self.chunk(&mut last, cursor)?);
        }
        let bytes = cursor.take(ends.last().copied().unwrap_or(0) as usize)?;
        if sample_count > rows as u64 * member_count as u64 {
            return Err(ImageFault::at("a segment has more samples than rows"));
        }
        let parts = SegmentParts {
            times: packed_times.into(),
            ends: ends.into(),
            before: before.into(),
            bytes,
            sample_count,
            is_packed,
        };
        Ok(Segment::of_parts(parts, &times))
    }

    /// A column in a segment that was read before, if that is still there.
    fn chunk(
        &self,
        before: &mut (u32, u32),
        cursor: &mut Cursor<'_>,
    ) -> Result<ChunkRef, ImageFault> {
        let Some(difference) = cursor.varint()?.checked_sub(1) else { return Ok(ChunkRef::NONE) };
        let segment = add(before.0, unzigzag(difference))?;
        let member = add(before.1, cursor.zigzag()?.saturating_add(2))?;
        *before = (segment, member);
        let chunk = ChunkRef::of_numbers(segment, member);
        // Numbers that were given out and are gone are forgotten; ones that come later would be a loop.
        let fits = match self.head.segments.get(chunk) {
            Some(found) => {
                let last = chunk.starts_member().unwrap_or(chunk.member());
                (last as usize) < found.member_count()
            }
            None => segment < self.head.segments.next_id(),
        };
        if fits { Ok(chunk) } else { Err(ImageFault::at("a column is in no segment")) }
    }

    fn series(&mut self, cursor: &mut Cursor<'_>) -> Result<(), ImageFault> {
        while cursor.remaining() > 0 {
            if self.head.series.len() == self.series_count {
                return Err(ImageFault::at("there are more series than said"));
            }
            let bits = cursor.u8()?;
            let mut series = Series::new(0);
            series.is_new = false;
            let mut last_ms = NEVER;
            if bits & HAS_GENERATION != 0 {
                series.generation = cursor.varint_u32()?;
            }
            if bits & HAS_SAMPLES != 0 {
                self.before.last_ms = self.before.last_ms.wrapping_add(cursor.zigzag()?);
                last_ms = self.before.last_ms;
                series.last_is_histogram = bits & LAST_IS_HISTOGRAM != 0;
            }
            if bits & IN_GROUP != 0 {
                self.before.group = add(self.before.group, cursor.zigzag()?)?;
                series.group = self.before.group;
            }
            if bits & HAS_CHUNK != 0 {
                let mut before = self.before.chunk;
                series.chunk = self.chunk(&mut before, cursor)?;
                self.before.chunk = before;
            }
            series.tail = Tail::read(cursor)?;
            self.push(series, last_ms)?;
        }
        Ok(())
    }

    fn push(&mut self, series: Series, last_ms: i64) -> Result<(), ImageFault> {
        let idx = self.head.series.len();
        if series.group == NONE {
            fits(&series.tail, last_ms, None)?;
        } else {
            let group = self.head.groups.get_mut(series.group as usize);
            let group = group.filter(|group| group.times.count() > 0);
            let group = group.ok_or(ImageFault::at("a series is in no group"))?;
            fits(&series.tail, last_ms, Some(group))?;
            group.members.push(u32::try_from(idx).expect("series are counted by u32"));
        }
        self.head.newest.push_series();
        if last_ms != NEVER {
            if series.last_is_histogram {
                self.head.newest.set_histogram(idx, last_ms);
            } else {
                self.head.newest.set_float(idx, last_ms, series.tail.last_value());
            }
        }
        self.head.series.push(series);
        Ok(())
    }

    fn extras(&mut self, cursor: &mut Cursor<'_>) -> Result<(), ImageFault> {
        while cursor.remaining() > 0 {
            let idx = cursor.count(self.head.series.len().saturating_sub(1))?;
            let extra = read_extra(cursor)?;
            let head = &mut self.head;
            let series = head.series.get_mut(idx).filter(|series| series.extra.is_none());
            let series = series.ok_or(ImageFault::at("samples belong to no series"))?;
            let group = head.groups.get(series.group as usize);
            fits(&extra.starts, head.newest.at_ms(idx), group)?;
            head.late_count += extra.late.count();
            let from = head.histograms_from_ms.into_iter().chain(extra.histograms.first_ms());
            head.histograms_from_ms = from.min();
            series.extra = Some(Box::new(extra));
        }
        Ok(())
    }
}

/// A column's rows are rows of its group; one that has the newest of them has no later sample to come for it.
fn fits(tail: &Tail, last_ms: i64, group: Option<&Group>) -> Result<(), ImageFault> {
    let (rows, newest_ms) = match group {
        Some(group) => (group.times.count(), group.times.last_ms()),
        None => (0, None),
    };
    let next_row = tail.next_row();
    if next_row > rows || tail.count() > next_row {
        return Err(ImageFault::at("a column has more rows than its group"));
    }
    if next_row == rows && newest_ms > Some(last_ms) {
        return Err(ImageFault::at("a column is newer than its series"));
    }
    Ok(())
}

fn add(number: u32, difference: i64) -> Result<u32, ImageFault> {
    let sum = i64::from(number).checked_add(difference).and_then(|sum| u32::try_from(sum).ok());
    sum.ok_or(ImageFault::at("a number is out of range"))
}

const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

fn read_extra(cursor: &mut Cursor<'_>) -> Result<Extra, ImageFault> {
    let mut extra = Extra { starts: Tail::read(cursor)?, ..Extra::default() };
    for _ in 0..cursor.count(cursor.remaining())? {
        extra.histograms.chunks.push(Arc::new(read_histograms(cursor)?));
    }
    let before = extra.histograms.chunks.iter().map(|chunk| (chunk.first_ms, chunk.last_ms));
    let mut last_ms = rising(before, NEVER)?;
    extra.histograms.open = read_samples(cursor)?;
    let open = extra.histograms.open.iter().map(|(at_ms, _)| (*at_ms, *at_ms));
    last_ms = rising(open, last_ms)?;
    let last = read_samples(cursor)?;
    extra.histograms.last = last.into_iter().next().map(|(_, point)| point.value);
    if last_ms != NEVER && extra.histograms.last.is_none() {
        return Err(ImageFault::at("the newest histogram is missing"));
    }
    extra.late = read_late(cursor)?;
    Ok(extra)
}

/// First and last times must rise; gives the last.
fn rising(spans: impl Iterator<Item = (i64, i64)>, after: i64) -> Result<i64, ImageFault> {
    spans.into_iter().try_fold(after, |last, (first_ms, last_ms)| match first_ms > last {
        true => Ok(last_ms),
        false => Err(ImageFault::at("histograms do not rise")),
    })
}

fn read_late(cursor: &mut Cursor<'_>) -> Result<LateSamples, ImageFault> {
    let mut floats = Vec::new();
    for _ in 0..cursor.count(cursor.remaining())? {
        let (at_ms, value) = (cursor.zigzag()?, f64::from_bits(cursor.u64()?));
        let (start_ms, position) = (cursor.zigzag()?, read_position(cursor)?);
        floats.push(LateFloat { at_ms, value, start_ms, position });
    }
    let samples = read_samples(cursor)?;
    let mut histograms = Vec::with_capacity(samples.len());
    for (at_ms, point) in samples {
        histograms.push(LateHistogram { at_ms, point, position: read_position(cursor)? });
    }
    let rises = floats.is_sorted_by(|a, b| a.at_ms < b.at_ms)
        && histograms.is_sorted_by(|a, b| a.at_ms < b.at_ms);
    let late = rises.then(|| LateSamples::of_sorted(floats, histograms));
    late.ok_or(ImageFault::at("late samples do not rise"))
}

fn read_position(cursor: &mut Cursor<'_>) -> Result<Position, ImageFault> {
    Ok(Position { segment_nr: cursor.varint()?, record_nr: cursor.varint()? })
}

fn read_samples(cursor: &mut Cursor<'_>) -> Result<HistogramSamples, ImageFault> {
    let mut samples = HistogramSamples::new();
    for _ in 0..cursor.count(cursor.remaining())? {
        read_histograms(cursor)?.read(&mut samples)?;
    }
    Ok(samples)
}

fn read_histograms(cursor: &mut Cursor<'_>) -> Result<HistogramChunk, ImageFault> {
    let count = cursor.count(HISTOGRAMS_MAX)?;
    let mut columns = [&[][..]; 3];
    for column in &mut columns {
        let len = cursor.count(cursor.remaining())?;
        *column = cursor.take(len)?;
    }
    let chunk = HistogramChunk::of_columns(count, columns)?;
    chunk.ok_or(ImageFault::at("a column has no histograms"))
}
