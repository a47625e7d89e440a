//! Directory entries read.

use std::sync::Arc;

use swell_chunk::{Cursor, DecodeError, FloatHead, FloatStatistics, HISTOGRAMS_MAX};

use super::{
    COLUMN_COUNT, ColumnKind, HAS_AGGREGATES, HAS_FLOAT_STARTS, HAS_FLOATS, HAS_HISTOGRAM_STARTS,
    HAS_HISTOGRAMS, HAS_RUNS, SAME_TIMES, STATISTICS_MIN,
};
use crate::block::aggregates;
use crate::block::frames::{Frame, Location, Place, decompressed};
use crate::block::times::{TimesColumn, TimesRef, read_ref};
use crate::block::{CHUNK_LEN, SERIES_GROUP_LEN};

/// Where each group stands in the series section.
#[derive(Debug)]
pub(in crate::block) struct GroupDirectory {
    section: Vec<u8>,
    has_statistics: bool,
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
    /// Reads the directory of the series section; `has_statistics` says whether figures of chunks stand in it.
    pub(in crate::block) fn new(
        section: Vec<u8>,
        has_statistics: bool,
    ) -> Result<Self, DecodeError> {
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
        Ok(Self { section, has_statistics, groups })
    }

    /// Number of groups.
    pub(in crate::block) fn len(&self) -> usize {
        self.groups.len()
    }

    /// Reads a group of `series_count` series.
    pub(in crate::block) fn read(
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
        Group::read(entries, self.has_statistics, (first_series, series_count), times, frames)
            .map_err(|error| DecodeError { offset: place.start, what: error.what })
    }
}

/// The entries of a group, read.
#[derive(Debug)]
pub(in crate::block) struct Group {
    bytes: Vec<u8>,
    kinds_end: usize,
    numbers_end: usize,
    statistics_end: usize,
    chunks: Vec<FloatChunk>,
    histograms: Vec<Location>,
    series: Vec<SeriesEntry>,
}

/// Where the parts of a chunk of floats stand.
#[derive(Clone, Copy, Debug)]
pub(in crate::block) struct FloatChunk {
    kinds_start: usize,
    numbers_start: usize,
    pub(in crate::block) body: Location,
    pub(in crate::block) exceptions: Location,
    pub(in crate::block) is_referring: bool,
    /// Where its figures stand, if they are kept.
    statistics_start: Option<u32>,
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
    runs: Option<Runs>,
}

/// What stands behind histograms that are the last ones of runs.
#[derive(Clone, Copy, Debug)]
struct Runs {
    /// First chunk of the sums, and their number.
    first_sum: usize,
    sum_count: usize,
    /// First chunk of the counts, among those of floats.
    counts: usize,
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
    pub(in crate::block) series: u32,
    /// The series that its chunks refer to.
    pub(in crate::block) reference: Option<u32>,
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
    runs: Option<Runs>,
}

impl FloatColumns {
    /// The start timestamps of the samples, as a column of floats.
    pub(crate) fn starts(&self) -> Option<Self> {
        let first_chunk = self.starts?;
        Some(Self { first_chunk, reference: None, starts: None, aggregates: None, ..self.clone() })
    }

    /// A column of aggregates behind the values, which are the last ones of each stretch.
    pub(in crate::block) fn aggregate(&self, idx: usize) -> Option<Self> {
        let first_chunk = self.aggregates? + idx * self.times.len.div_ceil(CHUNK_LEN);
        Some(Self { first_chunk, reference: None, starts: None, aggregates: None, ..self.clone() })
    }

    pub(in crate::block) fn chunk(&self, idx: usize) -> FloatChunk {
        self.group.chunks[self.first_chunk + idx]
    }

    /// What is known of a chunk without its body.
    pub(crate) fn statistics(&self, idx: usize) -> Result<Option<FloatStatistics>, DecodeError> {
        let chunk = self.chunk(idx);
        let (kinds, numbers) = self.head(chunk);
        let known = chunk
            .statistics_start
            .map(|start| Cursor::new(&self.group.bytes[start as usize..self.group.statistics_end]));
        let count = CHUNK_LEN.min(self.times.len - idx * CHUNK_LEN);
        FloatStatistics::read(kinds, numbers, known, count)
    }

    /// Kinds and numbers of a chunk.
    pub(in crate::block) fn head(&self, chunk: FloatChunk) -> (Cursor<'_>, Cursor<'_>) {
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

    /// Of how many histograms each is the last, as a column of floats; `None` when they are no runs.
    pub(in crate::block) fn counts(&self) -> Option<FloatColumns> {
        let first_chunk = self.runs?.counts;
        let floats = FloatColumns {
            times: self.times,
            series: self.series,
            reference: None,
            group: Arc::clone(&self.group),
            first_chunk,
            starts: None,
            aggregates: None,
        };
        Some(floats)
    }

    /// How many runs have a sum of their own.
    pub(in crate::block) fn sum_count(&self) -> usize {
        self.runs.map_or(0, |runs| runs.sum_count)
    }

    pub(in crate::block) fn sums_chunk(&self, idx: usize) -> Location {
        self.group.histograms[self.runs.map_or(0, |runs| runs.first_sum) + idx]
    }

    pub(in crate::block) fn chunk(&self, idx: usize) -> Location {
        self.group.histograms[self.first_chunk + idx]
    }
}

impl Group {
    fn read(
        bytes: Vec<u8>,
        has_statistics: bool,
        (first_series, series_count): (u32, usize),
        times: &[TimesColumn],
        frames: &[Frame],
    ) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(&bytes);
        let next = Place { frame: cursor.varint_u32()?, offset: cursor.varint_u32()? };
        let mut lens = [0; COLUMN_COUNT];
        for (nr, len) in lens[..COLUMN_COUNT - 1].iter_mut().enumerate() {
            if has_statistics || nr != ColumnKind::Statistics as usize {
                *len = cursor.count(bytes.len())?;
            }
        }
        let mut starts = [0; COLUMN_COUNT];
        let mut columns: [Cursor<'_>; COLUMN_COUNT] = std::array::from_fn(|_| Cursor::new(&[]));
        for ((column, len), start) in columns.iter_mut().zip(lens).zip(&mut starts) {
            *start = cursor.offset();
            *column = Cursor::new(cursor.take(len)?);
        }
        let last = COLUMN_COUNT - 1;
        columns[last] = Cursor::new(cursor.take(cursor.remaining())?);
        let frame = next.frame;
        let mut reading = Reading { columns, next, frame, frames, starts, has_statistics };
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
        let end = |kind: ColumnKind| starts[kind as usize] + lens[kind as usize];
        let (kinds_end, numbers_end) = (end(ColumnKind::Kinds), end(ColumnKind::Numbers));
        let statistics_end = end(ColumnKind::Statistics);
        Ok(Self { kinds_end, numbers_end, statistics_end, chunks, histograms, series, bytes })
    }

    /// The series at a position of the group; `series` is its number in the block.
    pub(in crate::block) fn series(self: &Arc<Self>, position: usize, series: u32) -> BlockSeries {
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
                runs: entry.runs,
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
    /// Where each column starts.
    starts: [usize; COLUMN_COUNT],
    has_statistics: bool,
}

impl<'b> Reading<'b> {
    const fn column(&mut self, kind: ColumnKind) -> &mut Cursor<'b> {
        &mut self.columns[kind as usize]
    }

    fn series(
        &mut self,
        idx: u32,
        times: &[TimesColumn],
        last_times: &mut Option<TimesRef>,
        chunks: &mut Vec<FloatChunk>,
        histograms: &mut Vec<Location>,
    ) -> Result<SeriesEntry, DecodeError> {
        let flags = self.column(ColumnKind::Series).u8()?;
        let mut entry = SeriesEntry::default();
        if flags & HAS_FLOATS != 0 {
            let float_times = if flags & SAME_TIMES == 0 {
                read_ref(self.column(ColumnKind::Times), times)?
            } else {
                last_times.ok_or_else(|| {
                    self.column(ColumnKind::Series).fault("there are no times to repeat")
                })?
            };
            *last_times = Some(float_times);
            let first_chunk = chunks.len();
            self.chunks(float_times.len, self.has_statistics, chunks)?;
            let refers = chunks[first_chunk..].iter().any(|chunk| chunk.is_referring);
            let reference = if refers { Some(self.reference(idx)?) } else { None };
            let starts = (flags & HAS_FLOAT_STARTS != 0).then_some(chunks.len());
            if starts.is_some() {
                self.chunks(float_times.len, false, chunks)?;
            }
            let aggregates = (flags & HAS_AGGREGATES != 0).then_some(chunks.len());
            if aggregates.is_some() {
                for _ in 0..aggregates::COLUMN_COUNT {
                    self.chunks(float_times.len, false, chunks)?;
                }
            }
            let times = float_times;
            entry.floats = Some(FloatEntry { times, first_chunk, reference, starts, aggregates });
        }
        if flags & HAS_HISTOGRAMS != 0 {
            let times = read_ref(self.column(ColumnKind::Times), times)?;
            let first_chunk = histograms.len();
            self.histograms(times.len, histograms)?;
            let starts = (flags & HAS_HISTOGRAM_STARTS != 0).then_some(chunks.len());
            if starts.is_some() {
                self.chunks(times.len, false, chunks)?;
            }
            let mut runs = None;
            if flags & HAS_RUNS != 0 {
                let sum_count = self.column(ColumnKind::Times).count(times.len)?;
                let (first_sum, counts) = (histograms.len(), chunks.len());
                self.histograms(sum_count, histograms)?;
                self.chunks(times.len, false, chunks)?;
                runs = Some(Runs { first_sum, sum_count, counts });
            }
            entry.histograms = Some(HistogramEntry { times, first_chunk, starts, runs });
        }
        Ok(entry)
    }

    /// Chunks of so many histograms.
    fn histograms(&mut self, count: usize, out: &mut Vec<Location>) -> Result<(), DecodeError> {
        for _ in 0..count.div_ceil(HISTOGRAMS_MAX) {
            out.push(self.location()?);
        }
        Ok(())
    }

    /// Chunks of so many floats.
    fn chunks(
        &mut self,
        mut left: usize,
        with_statistics: bool,
        out: &mut Vec<FloatChunk>,
    ) -> Result<(), DecodeError> {
        while left > 0 {
            let count = left.min(CHUNK_LEN);
            out.push(self.chunk(count, with_statistics && count >= STATISTICS_MIN)?);
            left -= count;
        }
        Ok(())
    }

    fn chunk(&mut self, count: usize, has_statistics: bool) -> Result<FloatChunk, DecodeError> {
        let start_of =
            |kind: ColumnKind| self.starts[kind as usize] + self.columns[kind as usize].offset();
        let [kinds_start, numbers_start, statistics_start] =
            [ColumnKind::Kinds, ColumnKind::Numbers, ColumnKind::Statistics].map(start_of);
        let [_, _, kinds, numbers, _, statistics, ..] = &mut self.columns;
        let kinds_before = kinds.clone();
        let head = FloatHead::skip(kinds, numbers, count)?;
        if has_statistics {
            FloatStatistics::skip(kinds_before, statistics)?;
        }
        let outside = DecodeError { offset: 0, what: "figures of chunks take more than 4 GiB" };
        let statistics_start = u32::try_from(statistics_start).map_err(|_| outside)?;
        let mut chunk = FloatChunk {
            kinds_start,
            numbers_start,
            body: Location::default(),
            exceptions: Location::default(),
            is_referring: head.is_referring,
            statistics_start: has_statistics.then_some(statistics_start),
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
        let references = self.column(ColumnKind::References);
        let distance = references.varint_u32()?;
        idx.checked_sub(distance)
            .filter(|_| distance > 0)
            .ok_or_else(|| references.fault("a series refers to none before it"))
    }

    fn location(&mut self) -> Result<Location, DecodeError> {
        let header = self.column(ColumnKind::Lengths).varint()?;
        let outside = DecodeError { offset: 0, what: "a column lies beyond all frames" };
        let len = u32::try_from(header >> 1).map_err(|_| outside)?;
        let place = if header & 1 == 0 {
            self.next
        } else {
            let last_frame = i64::from(self.frame);
            let places = self.column(ColumnKind::Places);
            let frame = last_frame.checked_add(places.zigzag()?);
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
