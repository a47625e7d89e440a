//! Directory entries of series that stand together, kept as columns so that like stands beside like.
//!
//! ```text
//! series section: varint groups; each: varint length of the entries, varint length in the file * 2 + is compressed;
//!                 behind all of these the groups
//! group: varint frame, varint offset: where the first new body of the group stands
//!        varint length of each column but the last, then the columns
//!   series      byte each: has floats (bit 0), has histograms (bit 1), the times of its floats are those of the
//!               floats before it in the group (bit 2), has start timestamps of floats (bit 3), of
//!               histograms (bit 4): chunks of floats behind those of the values, or behind the histograms;
//!               has aggregates (bit 5): the chunks of their columns behind those
//!   times       reference to times (times.rs) of floats, unless bit 2, then of histograms
//!   kinds       of each chunk of floats (docs/format/column.md)
//!   numbers     of each chunk of floats
//!   references  varint distance to an earlier series, of each with a chunk that refers to one
//!   lengths     of each body that there is (of floats, exceptions, histograms): varint length * 2 + stands elsewhere
//!   places      of bodies elsewhere: zigzag difference of the frame's number from that of the last new body (first
//!               the group's), varint offset in the frame
//! ```
//! A body that does not stand elsewhere stands where the last new one ended, at the start of the next frame when its
//! frame ends there. A body at that place or behind is new.

use std::sync::Arc;

use swell_chunk::{
    Cursor, DecodeError, FloatHead, FloatParts, HISTOGRAMS_MAX, put_varint, put_zigzag,
};

use super::aggregates;
use super::frames::{Frame, Location, Place, compressed, decompressed};
use super::times::{TimesColumn, TimesPool, TimesRef, read_ref};
use super::{CHUNK_LEN, SERIES_GROUP_LEN};

const HAS_FLOATS: u8 = 1;
const HAS_HISTOGRAMS: u8 = 1 << 1;
const SAME_TIMES: u8 = 1 << 2;
const HAS_FLOAT_STARTS: u8 = 1 << 3;
const HAS_HISTOGRAM_STARTS: u8 = 1 << 4;
const HAS_AGGREGATES: u8 = 1 << 5;

/// Columns of a group, in the order of the file.
const COLUMN_COUNT: usize = 7;

/// Entries of a group in the making.
#[derive(Debug, Default)]
pub(super) struct GroupWriter {
    series: Vec<u8>,
    times: Vec<u8>,
    /// Kinds and numbers collect here for the group; body and exceptions are those of one chunk.
    pub(super) parts: FloatParts,
    references: Vec<u8>,
    lengths: Vec<u8>,
    places: Vec<u8>,
    start: Place,
    /// Where the next new body is expected.
    next: Place,
    /// Frame of the last new body.
    frame: u32,
    last_times: Option<TimesRef>,
    finished: Vec<FinishedGroup>,
}

#[derive(Debug)]
struct FinishedGroup {
    len: usize,
    is_compressed: bool,
    stored: Vec<u8>,
}

impl GroupWriter {
    /// Starts the entry of a series; `next` is where the next new body will stand.
    pub(super) fn start_series(&mut self, has_floats: bool, has_histograms: bool, next: Place) {
        if self.series.len() == SERIES_GROUP_LEN {
            self.finish_group();
        }
        if self.series.is_empty() {
            (self.start, self.next, self.frame) = (next, next, next.frame);
        }
        let flag = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
        self.series.push(flag(has_floats, HAS_FLOATS) | flag(has_histograms, HAS_HISTOGRAMS));
    }

    /// Chunks of start timestamps follow, of the series' floats or histograms.
    pub(super) fn starts(&mut self, are_of_floats: bool) {
        *self.series.last_mut().expect("a series was started") |=
            if are_of_floats { HAS_FLOAT_STARTS } else { HAS_HISTOGRAM_STARTS };
    }

    /// Chunks of the columns of aggregates follow.
    pub(super) fn aggregates(&mut self) {
        *self.series.last_mut().expect("a series was started") |= HAS_AGGREGATES;
    }

    /// Refers to the times of the series' floats.
    pub(super) fn float_times(&mut self, times: TimesRef, pool: &TimesPool) {
        if self.last_times == Some(times) {
            *self.series.last_mut().expect("a series was started") |= SAME_TIMES;
        } else {
            pool.write_ref(times, &mut self.times);
            self.last_times = Some(times);
        }
    }

    /// Refers to the times of the series' histograms.
    pub(super) fn histogram_times(&mut self, times: TimesRef, pool: &TimesPool) {
        pool.write_ref(times, &mut self.times);
    }

    /// Refers to an earlier series.
    pub(super) fn reference(&mut self, distance: u32) {
        put_varint(&mut self.references, u64::from(distance));
    }

    /// Notes where a body stands, and the place behind it.
    pub(super) fn body(&mut self, location: Location, after: Place) {
        let place = Place { frame: location.frame, offset: location.offset };
        let is_elsewhere = place != self.next;
        put_varint(&mut self.lengths, u64::from(location.len) * 2 + u64::from(is_elsewhere));
        if is_elsewhere {
            let distance = i64::from(location.frame) - i64::from(self.frame);
            put_zigzag(&mut self.places, distance);
            put_varint(&mut self.places, u64::from(location.offset));
        }
        if place >= self.next {
            (self.next, self.frame) = (after, location.frame);
        }
    }

    fn finish_group(&mut self) {
        let mut entries = Vec::new();
        put_varint(&mut entries, u64::from(self.start.frame));
        put_varint(&mut entries, u64::from(self.start.offset));
        let columns = [
            &mut self.series,
            &mut self.times,
            &mut self.parts.kinds,
            &mut self.parts.numbers,
            &mut self.references,
            &mut self.lengths,
            &mut self.places,
        ];
        for column in &columns[..COLUMN_COUNT - 1] {
            put_varint(&mut entries, column.len() as u64);
        }
        for column in columns {
            entries.append(column);
        }
        self.last_times = None;
        let packed = compressed(&entries);
        self.finished.push(FinishedGroup {
            len: entries.len(),
            is_compressed: packed.is_some(),
            stored: packed.unwrap_or(entries),
        });
    }

    /// The series section.
    pub(super) fn finish(mut self) -> Vec<u8> {
        if !self.series.is_empty() {
            self.finish_group();
        }
        let mut out = Vec::new();
        put_varint(&mut out, self.finished.len() as u64);
        for group in &self.finished {
            put_varint(&mut out, group.len as u64);
            put_varint(&mut out, group.stored.len() as u64 * 2 + u64::from(group.is_compressed));
        }
        self.finished.iter().for_each(|group| out.extend_from_slice(&group.stored));
        out
    }
}

/// Where each group stands in the series section.
#[derive(Debug)]
pub(super) struct GroupDirectory {
    section: Vec<u8>,
    groups: Vec<GroupPlace>,
}

#[derive(Clone, Copy, Debug)]
struct GroupPlace {
    start: usize,
    stored_len: usize,
    len: usize,
    is_compressed: bool,
}

/// Entries are far below; a larger length is damage.
const GROUP_MAX_BYTES: usize = 1 << 28;

impl GroupDirectory {
    /// Reads the directory of the series section.
    pub(super) fn new(section: Vec<u8>) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(&section);
        let count = cursor.count(section.len())?;
        let mut groups = Vec::with_capacity(count);
        for _ in 0..count {
            let len = cursor.count(GROUP_MAX_BYTES)?;
            let stored = cursor.count(GROUP_MAX_BYTES)?;
            let (stored_len, is_compressed) = (stored / 2, stored & 1 == 1);
            groups.push(GroupPlace { start: 0, stored_len, len, is_compressed });
        }
        let mut start = cursor.offset();
        for group in &mut groups {
            group.start = start;
            start += group.stored_len;
        }
        if start != section.len() {
            return Err(cursor.fault("the groups do not fill the section"));
        }
        Ok(Self { section, groups })
    }

    /// Number of groups.
    pub(super) fn len(&self) -> usize {
        self.groups.len()
    }

    /// Reads a group of `series_count` series.
    pub(super) fn read(
        &self,
        idx: usize,
        series_count: usize,
        times: &[TimesColumn],
        frames: &[Frame],
    ) -> Result<Group, DecodeError> {
        let fault = |offset, what| DecodeError { offset, what };
        let place = *self.groups.get(idx).ok_or(fault(0, "a group of series is missing"))?;
        let stored = &self.section[place.start..place.start + place.stored_len];
        let entries = if place.is_compressed {
            decompressed(stored, place.len)
        } else {
            Some(stored.to_vec())
        };
        let entries =
            entries.ok_or(fault(place.start, "a group of series is not compressed as said"))?;
        let first_series = u32::try_from(idx * SERIES_GROUP_LEN).expect("below 2^32 series");
        Group::read(entries, first_series, series_count, times, frames)
            .map_err(|error| DecodeError { offset: place.start, what: error.what })
    }
}

/// The entries of a group, read.
#[derive(Debug)]
pub(super) struct Group {
    bytes: Vec<u8>,
    kinds_end: usize,
    numbers_end: usize,
    chunks: Vec<FloatChunk>,
    histograms: Vec<Location>,
    series: Vec<SeriesEntry>,
}

/// Where the parts of a chunk of floats stand.
#[derive(Clone, Copy, Debug)]
pub(super) struct FloatChunk {
    kinds_start: usize,
    numbers_start: usize,
    pub(super) body: Location,
    pub(super) exceptions: Location,
    pub(super) is_referring: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct SeriesEntry {
    floats: Option<FloatEntry>,
    histograms: Option<HistogramEntry>,
}

#[derive(Clone, Copy, Debug)]
struct FloatEntry {
    times: TimesRef,
    first_chunk: usize,
    reference: Option<u32>,
    /// First chunk of the start timestamps.
    starts: Option<usize>,
    /// First chunk of the columns of aggregates.
    aggregates: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
struct HistogramEntry {
    times: TimesRef,
    first_chunk: usize,
    /// First chunk of the start timestamps, among those of floats.
    starts: Option<usize>,
}

/// One series: where its columns stand.
#[derive(Clone, Debug, Default)]
pub(crate) struct BlockSeries {
    pub(crate) floats: Option<FloatColumns>,
    pub(crate) histograms: Option<HistogramColumns>,
}

/// Chunks of values, of [`CHUNK_LEN`] each but the last.
#[derive(Clone, Debug)]
pub(crate) struct FloatColumns {
    pub(crate) times: TimesRef,
    /// Series of the block.
    pub(super) series: u32,
    /// The series that its chunks refer to.
    pub(super) reference: Option<u32>,
    group: Arc<Group>,
    first_chunk: usize,
    starts: Option<usize>,
    aggregates: Option<usize>,
}

/// Chunks of histograms, of [`HISTOGRAMS_MAX`] each but the last.
#[derive(Clone, Debug)]
pub(crate) struct HistogramColumns {
    pub(crate) times: TimesRef,
    series: u32,
    group: Arc<Group>,
    first_chunk: usize,
    starts: Option<usize>,
}

impl FloatColumns {
    /// The start timestamps of the samples, as a column of floats.
    pub(crate) fn starts(&self) -> Option<Self> {
        let first_chunk = self.starts?;
        Some(Self { first_chunk, reference: None, starts: None, aggregates: None, ..self.clone() })
    }

    /// A column of aggregates behind the values, which are the last ones of each stretch.
    pub(super) fn aggregate(&self, idx: usize) -> Option<Self> {
        let first_chunk = self.aggregates? + idx * self.times.len.div_ceil(CHUNK_LEN);
        Some(Self { first_chunk, reference: None, starts: None, aggregates: None, ..self.clone() })
    }

    pub(super) fn chunk(&self, idx: usize) -> FloatChunk {
        self.group.chunks[self.first_chunk + idx]
    }

    /// Kinds and numbers of a chunk.
    pub(super) fn head(&self, chunk: FloatChunk) -> (Cursor<'_>, Cursor<'_>) {
        let Group { bytes, kinds_end, numbers_end, .. } = &*self.group;
        (
            Cursor::new(&bytes[chunk.kinds_start..*kinds_end]),
            Cursor::new(&bytes[chunk.numbers_start..*numbers_end]),
        )
    }
}

impl HistogramColumns {
    /// The start timestamps of the samples, as a column of floats.
    pub(crate) fn starts(&self) -> Option<FloatColumns> {
        Some(FloatColumns {
            times: self.times,
            series: self.series,
            reference: None,
            group: Arc::clone(&self.group),
            first_chunk: self.starts?,
            starts: None,
            aggregates: None,
        })
    }

    pub(super) fn chunk(&self, idx: usize) -> Location {
        self.group.histograms[self.first_chunk + idx]
    }
}

impl Group {
    fn read(
        bytes: Vec<u8>,
        first_series: u32,
        series_count: usize,
        times: &[TimesColumn],
        frames: &[Frame],
    ) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(&bytes);
        let next = Place { frame: cursor.varint_u32()?, offset: cursor.varint_u32()? };
        let mut lens = [0; COLUMN_COUNT];
        for len in &mut lens[..COLUMN_COUNT - 1] {
            *len = cursor.count(bytes.len())?;
        }
        let mut starts = [0; COLUMN_COUNT];
        let mut columns: [Cursor<'_>; COLUMN_COUNT] = std::array::from_fn(|_| Cursor::new(&[]));
        for ((column, len), start) in columns.iter_mut().zip(lens).zip(&mut starts) {
            *start = cursor.offset();
            *column = Cursor::new(cursor.take(len)?);
        }
        let last = COLUMN_COUNT - 1;
        columns[last] = Cursor::new(cursor.take(cursor.remaining())?);
        let (kinds_start, numbers_start) = (starts[2], starts[3]);
        let frame = next.frame;
        let mut reading = Reading { columns, next, frame, frames, kinds_start, numbers_start };
        let mut series = Vec::with_capacity(series_count);
        let (mut chunks, mut histograms) = (Vec::new(), Vec::new());
        let mut last_times = None;
        for idx in (first_series..).take(series_count) {
            let entry =
                reading.series(idx, times, &mut last_times, &mut chunks, &mut histograms)?;
            series.push(entry);
        }
        for column in &reading.columns {
            column.finish()?;
        }
        let (kinds_end, numbers_end) = (kinds_start + lens[2], numbers_start + lens[3]);
        Ok(Self { kinds_end, numbers_end, chunks, histograms, series, bytes })
    }

    /// The series at a position of the group; `series` is its number in the block.
    pub(super) fn series(self: &Arc<Self>, position: usize, series: u32) -> BlockSeries {
        let entry = self.series[position];
        let group = || Arc::clone(self);
        BlockSeries {
            floats: entry.floats.map(|entry| FloatColumns {
                times: entry.times,
                series,
                reference: entry.reference,
                group: group(),
                first_chunk: entry.first_chunk,
                starts: entry.starts,
                aggregates: entry.aggregates,
            }),
            histograms: entry.histograms.map(|entry| HistogramColumns {
                times: entry.times,
                series,
                group: group(),
                first_chunk: entry.first_chunk,
                starts: entry.starts,
            }),
        }
    }
}

struct Reading<'b> {
    columns: [Cursor<'b>; COLUMN_COUNT],
    /// Where the next new body is expected.
    next: Place,
    /// Frame of the last new body.
    frame: u32,
    frames: &'b [Frame],
    kinds_start: usize,
    numbers_start: usize,
}

impl Reading<'_> {
    fn series(
        &mut self,
        idx: u32,
        times: &[TimesColumn],
        last_times: &mut Option<TimesRef>,
        chunks: &mut Vec<FloatChunk>,
        histograms: &mut Vec<Location>,
    ) -> Result<SeriesEntry, DecodeError> {
        let flags = self.columns[0].u8()?;
        let mut entry = SeriesEntry::default();
        if flags & HAS_FLOATS != 0 {
            let float_times = if flags & SAME_TIMES == 0 {
                read_ref(&mut self.columns[1], times)?
            } else {
                last_times.ok_or_else(|| self.columns[0].fault("there are no times to repeat"))?
            };
            *last_times = Some(float_times);
            let first_chunk = chunks.len();
            self.chunks(float_times.len, chunks)?;
            let refers = chunks[first_chunk..].iter().any(|chunk| chunk.is_referring);
            let reference = if refers { Some(self.reference(idx)?) } else { None };
            let starts = (flags & HAS_FLOAT_STARTS != 0).then_some(chunks.len());
            if starts.is_some() {
                self.chunks(float_times.len, chunks)?;
            }
            let aggregates = (flags & HAS_AGGREGATES != 0).then_some(chunks.len());
            if aggregates.is_some() {
                for _ in 0..aggregates::COLUMN_COUNT {
                    self.chunks(float_times.len, chunks)?;
                }
            }
            let times = float_times;
            entry.floats = Some(FloatEntry { times, first_chunk, reference, starts, aggregates });
        }
        if flags & HAS_HISTOGRAMS != 0 {
            let times = read_ref(&mut self.columns[1], times)?;
            let first_chunk = histograms.len();
            for _ in 0..times.len.div_ceil(HISTOGRAMS_MAX) {
                histograms.push(self.location()?);
            }
            let starts = (flags & HAS_HISTOGRAM_STARTS != 0).then_some(chunks.len());
            if starts.is_some() {
                self.chunks(times.len, chunks)?;
            }
            entry.histograms = Some(HistogramEntry { times, first_chunk, starts });
        }
        Ok(entry)
    }

    /// Chunks of so many floats.
    fn chunks(&mut self, mut left: usize, out: &mut Vec<FloatChunk>) -> Result<(), DecodeError> {
        while left > 0 {
            let count = left.min(CHUNK_LEN);
            out.push(self.chunk(count)?);
            left -= count;
        }
        Ok(())
    }

    fn chunk(&mut self, count: usize) -> Result<FloatChunk, DecodeError> {
        let kinds_start = self.kinds_start + self.columns[2].offset();
        let numbers_start = self.numbers_start + self.columns[3].offset();
        let [_, _, kinds, numbers, ..] = &mut self.columns;
        let head = FloatHead::skip(kinds, numbers, count)?;
        let mut chunk = FloatChunk {
            kinds_start,
            numbers_start,
            body: Location::default(),
            exceptions: Location::default(),
            is_referring: head.is_referring,
        };
        if head.has_body {
            chunk.body = self.location()?;
        }
        if head.has_exceptions {
            chunk.exceptions = self.location()?;
        }
        Ok(chunk)
    }

    fn reference(&mut self, idx: u32) -> Result<u32, DecodeError> {
        let distance = self.columns[4].varint_u32()?;
        idx.checked_sub(distance)
            .filter(|_| distance > 0)
            .ok_or_else(|| self.columns[4].fault("a series refers to none before it"))
    }

    fn location(&mut self) -> Result<Location, DecodeError> {
        let header = self.columns[5].varint()?;
        let outside = DecodeError { offset: 0, what: "a column lies beyond all frames" };
        let len = u32::try_from(header >> 1).map_err(|_| outside)?;
        let place = if header & 1 == 0 {
            self.next
        } else {
            let places = &mut self.columns[6];
            let frame = i64::from(self.frame).checked_add(places.zigzag()?);
            let frame = frame.and_then(|frame| u32::try_from(frame).ok()).ok_or(outside)?;
            Place { frame, offset: places.varint_u32()? }
        };
        let location = Location { frame: place.frame, offset: place.offset, len };
        if place >= self.next {
            self.frame = place.frame;
            self.next = location.end();
            let frame = self.frames.get(place.frame as usize).ok_or(outside)?;
            if self.next.offset >= frame.bodies_len {
                self.next = Place { frame: place.frame.checked_add(1).ok_or(outside)?, offset: 0 };
            }
        }
        Ok(location)
    }
}
