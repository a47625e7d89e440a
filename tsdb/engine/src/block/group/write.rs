//! Directory entries written.

use swell_chunk::{FloatParts, FloatWriter, put_varint, put_zigzag};

use super::{
    COLUMN_COUNT, ColumnKind, HAS_AGGREGATES, HAS_FLOAT_STARTS, HAS_FLOATS, HAS_HISTOGRAM_STARTS,
    HAS_HISTOGRAMS, HAS_RUNS, SAME_TIMES, STATISTICS_MIN,
};
use crate::block::SERIES_GROUP_LEN;
use crate::block::frames::{Compressor, Location, Place};
use crate::block::times::{TimesPool, TimesRef};

/// Entries of a group in the making.
#[derive(Debug, Default)]
pub(in crate::block) struct GroupWriter {
    series: Vec<u8>,
    times: Vec<u8>,
    /// Kinds and numbers collect here for the group; body and exceptions are those of one chunk.
    pub(in crate::block) parts: FloatParts,
    references: Vec<u8>,
    statistics: Vec<u8>,
    /// Whether figures of chunks are kept.
    has_statistics: bool,
    lengths: Vec<u8>,
    places: Vec<u8>,
    start: Place,
    /// Where the next new body is expected.
    next: Place,
    /// Frame of the last new body.
    frame: u32,
    last_times: Option<TimesRef>,
    compressor: Compressor,
    finished: Vec<FinishedGroup>,
}

#[derive(Debug)]
struct FinishedGroup {
    len: usize,
    is_compressed: bool,
    stored: Vec<u8>,
}

impl GroupWriter {
    /// With figures of chunks or without.
    pub(in crate::block) fn new(has_statistics: bool) -> Self {
        Self { has_statistics, ..Self::default() }
    }

    /// Starts the entry of a series; `next` is where the next new body will stand.
    pub(in crate::block) fn start_series(
        &mut self,
        has_floats: bool,
        has_histograms: bool,
        next: Place,
    ) {
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
    pub(in crate::block) fn starts(&mut self, are_of_floats: bool) {
        *self.series.last_mut().expect("a series was started") |=
            if are_of_floats { HAS_FLOAT_STARTS } else { HAS_HISTOGRAM_STARTS };
    }

    /// Chunks of the columns of aggregates follow.
    pub(in crate::block) fn aggregates(&mut self) {
        *self.series.last_mut().expect("a series was started") |= HAS_AGGREGATES;
    }

    /// Refers to the times of the series' floats.
    pub(in crate::block) fn float_times(&mut self, times: TimesRef, pool: &TimesPool) {
        if self.last_times == Some(times) {
            *self.series.last_mut().expect("a series was started") |= SAME_TIMES;
        } else {
            pool.write_ref(times, &mut self.times);
            self.last_times = Some(times);
        }
    }

    /// Refers to the times of the series' histograms.
    pub(in crate::block) fn histogram_times(&mut self, times: TimesRef, pool: &TimesPool) {
        pool.write_ref(times, &mut self.times);
    }

    /// The series' histograms are runs, so many of them with a sum of their own: their chunks follow, and those of counts.
    pub(in crate::block) fn runs(&mut self, sum_count: usize) {
        *self.series.last_mut().expect("a series was started") |= HAS_RUNS;
        put_varint(&mut self.times, sum_count as u64);
    }

    /// Refers to an earlier series.
    pub(in crate::block) fn reference(&mut self, distance: u32) {
        put_varint(&mut self.references, u64::from(distance));
    }

    /// Keeps the figures of a chunk of `count` values.
    pub(in crate::block) fn statistics(&mut self, chunk: &FloatWriter<'_>, count: usize) {
        if self.has_statistics && count >= STATISTICS_MIN {
            chunk.write_statistics(&mut self.statistics);
        }
    }

    /// Notes where a body stands, and the place behind it.
    pub(in crate::block) fn body(&mut self, location: Location, after: Place) {
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
            &mut self.statistics,
            &mut self.lengths,
            &mut self.places,
        ];
        for (nr, column) in columns[..COLUMN_COUNT - 1].iter().enumerate() {
            if self.has_statistics || nr != ColumnKind::Statistics as usize {
                put_varint(&mut entries, column.len() as u64);
            }
        }
        for column in columns {
            entries.append(column);
        }
        self.last_times = None;
        let packed = self.compressor.compressed(&entries);
        self.finished.push(FinishedGroup {
            len: entries.len(),
            is_compressed: packed.is_some(),
            stored: packed.unwrap_or(entries),
        });
    }

    /// The series section.
    pub(in crate::block) fn finish(mut self) -> Vec<u8> {
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
