//! The head into parts.

use std::io;
use std::sync::Arc;

use swell_chunk::{HISTOGRAMS_MAX, put_varint, put_zigzag, write_times};

use super::{
    HAS_CHUNK, HAS_GENERATION, HAS_SAMPLES, IN_GROUP, LAST_IS_HISTOGRAM, PART_BYTES, Part,
};
use crate::head::histograms::{HistogramChunk, HistogramPoint};
use crate::head::late::{LateFloat, LateHistogram};
use crate::head::segments::ChunkRef;
use crate::head::{Extra, Group, Head, NEVER, NONE, Segment, Series};
use crate::wal::Position;

/// What is given of the image.
#[derive(Debug)]
pub(crate) enum Given<'g> {
    /// A part.
    Bytes(Part, &'g [u8]),
    /// The parts of the sealed segments, not written yet.
    Segments(SealedSegments),
}

/// Where parts go.
type Put<'p> = dyn FnMut(Given<'_>) + 'p;

/// Sealed segments as they were at the moment of the image. They do not change, so that they are shared with the head and
/// written when there is time.
#[derive(Debug)]
pub(crate) struct SealedSegments(Vec<Option<Arc<Segment>>>);

impl SealedSegments {
    /// Gives the parts of [`Part::Segments`] to `put`, and gives up each segment when it is written.
    ///
    /// # Errors
    /// Those of `put`.
    pub(crate) fn write(self, put: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut bytes = Vec::new();
        for segment in self.0 {
            match segment {
                None => put_varint(&mut bytes, 0),
                Some(segment) => put_segment(&segment, &mut bytes),
            }
            if bytes.len() >= PART_BYTES {
                put(&bytes)?;
                bytes.clear();
            }
        }
        if bytes.is_empty() { Ok(()) } else { put(&bytes) }
    }
}

/// Collects items of one kind into parts.
struct Parts<'p, 'q> {
    part: Part,
    bytes: Vec<u8>,
    put: &'q mut Put<'p>,
}

impl<'p, 'q> Parts<'p, 'q> {
    fn new(part: Part, put: &'q mut Put<'p>) -> Self {
        Self { part, bytes: Vec::new(), put }
    }

    fn end_item(&mut self) {
        if self.bytes.len() >= PART_BYTES {
            self.end();
        }
    }

    fn end(&mut self) {
        if !self.bytes.is_empty() {
            (self.put)(Given::Bytes(self.part, &self.bytes));
            self.bytes.clear();
        }
    }
}

impl Head {
    /// Gives the head without its label index to `put`, part by part in the order of [`Part`], for [`super::HeadReader`].
    pub(crate) fn write_image(&self, put: &mut Put<'_>) {
        let mut scalars = Vec::new();
        put_zigzag(&mut scalars, self.accept_floor_ms);
        put_zigzag(&mut scalars, self.read_floor_ms);
        put_time(self.max_ms, &mut scalars);
        put_varint(&mut scalars, self.series.len() as u64);
        put_varint(&mut scalars, self.groups.len() as u64);
        put_varint(&mut scalars, u64::from(self.segments.first_id()));
        put_varint(&mut scalars, self.segments.slots().len() as u64);
        put(Given::Bytes(Part::Scalars, &scalars));
        self.write_groups(Parts::new(Part::Groups, put));
        put(Given::Segments(SealedSegments(self.segments.slots().iter().cloned().collect())));
        self.write_series(Parts::new(Part::Series, put));
        self.write_extras(Parts::new(Part::Extras, put));
    }

    fn write_groups(&self, mut parts: Parts<'_, '_>) {
        for group in &self.groups {
            put_group(group, &mut parts.bytes);
            parts.end_item();
        }
        parts.end();
    }

    fn write_series(&self, mut parts: Parts<'_, '_>) {
        let mut before = Before::default();
        for (idx, series) in self.series.iter().enumerate() {
            put_series(series, self.newest.at_ms(idx), &mut before, &mut parts.bytes);
            parts.end_item();
        }
        parts.end();
    }

    fn write_extras(&self, mut parts: Parts<'_, '_>) {
        for (idx, series) in (0u32..).zip(&self.series) {
            if let Some(extra) = &series.extra {
                put_varint(&mut parts.bytes, u64::from(idx));
                put_extra(extra, &mut parts.bytes);
                parts.end_item();
            }
        }
        parts.end();
    }
}

/// Of the series before: most series differ little from it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Before {
    pub(super) group: u32,
    pub(super) last_ms: i64,
    pub(super) chunk: (u32, u32),
}

fn put_time(at_ms: Option<i64>, out: &mut Vec<u8>) {
    out.push(u8::from(at_ms.is_some()));
    if let Some(at_ms) = at_ms {
        put_zigzag(out, at_ms);
    }
}

fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_group(group: &Group, out: &mut Vec<u8>) {
    put_varint(out, u64::from(group.times.count()));
    if group.times.count() > 0 {
        let mut times = Vec::new();
        write_times(&group.times.to_vec(), &mut times);
        put_bytes(&times, out);
    }
}

fn put_segment(segment: &Segment, out: &mut Vec<u8>) {
    put_varint(out, u64::from(segment.row_count));
    let parts = segment.parts();
    put_bytes(&parts.times, out);
    put_varint(out, segment.sample_count);
    put_varint(out, parts.ends.len() as u64 * 2 + u64::from(segment.is_packed()));
    let mut start = 0;
    for end in parts.ends.iter() {
        put_varint(out, u64::from(end - start));
        start = *end;
    }
    let mut before = (0, 0);
    for chunk in parts.before.iter() {
        put_chunk(*chunk, &mut before, out);
    }
    out.extend_from_slice(parts.bytes);
}

/// Zero for none; else the segment as difference from the one of the column before, plus one, and the member.
fn put_chunk(chunk: ChunkRef, before: &mut (u32, u32), out: &mut Vec<u8>) {
    if chunk == ChunkRef::NONE {
        return put_varint(out, 0);
    }
    let (segment, member) = chunk.numbers();
    let difference = i64::from(segment) - i64::from(before.0);
    put_varint(out, zigzag(difference) + 1);
    // Members of one segment follow each other, two numbers apart.
    put_zigzag(out, i64::from(member) - i64::from(before.1) - 2);
    *before = (segment, member);
}

const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

fn put_series(series: &Series, last_ms: i64, before: &mut Before, out: &mut Vec<u8>) {
    let bit = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
    let bits = bit(series.group != NONE, IN_GROUP)
        | bit(series.chunk != ChunkRef::NONE, HAS_CHUNK)
        | bit(series.last_is_histogram, LAST_IS_HISTOGRAM)
        | bit(last_ms != NEVER, HAS_SAMPLES)
        | bit(series.generation != 0, HAS_GENERATION);
    out.push(bits);
    if bits & HAS_GENERATION != 0 {
        put_varint(out, u64::from(series.generation));
    }
    if bits & HAS_SAMPLES != 0 {
        put_zigzag(out, last_ms.wrapping_sub(before.last_ms));
        before.last_ms = last_ms;
    }
    if bits & IN_GROUP != 0 {
        put_zigzag(out, i64::from(series.group) - i64::from(before.group));
        before.group = series.group;
    }
    if bits & HAS_CHUNK != 0 {
        put_chunk(series.chunk, &mut before.chunk, out);
    }
    series.tail.write(out);
}

fn put_extra(extra: &Extra, out: &mut Vec<u8>) {
    extra.starts.write(out);
    let histograms = &extra.histograms;
    put_varint(out, histograms.chunks.len() as u64);
    histograms.chunks.iter().for_each(|chunk| put_histograms(chunk, out));
    let open = histograms.open.chunks(HISTOGRAMS_MAX).map(HistogramChunk::new);
    put_all(open, out);
    let last = histograms.last.iter().map(|value| {
        HistogramChunk::new(&[(0, HistogramPoint { value: value.clone(), start_ms: 0 })])
    });
    put_all(last, out);
    put_varint(out, extra.late.floats().len() as u64);
    for LateFloat { at_ms, value, start_ms, position } in extra.late.floats() {
        put_zigzag(out, *at_ms);
        out.extend_from_slice(&value.to_bits().to_le_bytes());
        put_zigzag(out, *start_ms);
        put_position(*position, out);
    }
    let late = extra.late.histograms();
    put_all(late.chunks(HISTOGRAMS_MAX).map(late_chunk), out);
    late.iter().for_each(|sample| put_position(sample.position, out));
}

fn late_chunk(samples: &[LateHistogram]) -> HistogramChunk {
    let samples: Vec<(i64, HistogramPoint)> =
        samples.iter().map(|sample| (sample.at_ms, sample.point.clone())).collect();
    HistogramChunk::new(&samples)
}

fn put_position(position: Position, out: &mut Vec<u8>) {
    put_varint(out, position.segment_nr);
    put_varint(out, position.record_nr);
}

fn put_all(chunks: impl ExactSizeIterator<Item = HistogramChunk>, out: &mut Vec<u8>) {
    put_varint(out, chunks.len() as u64);
    chunks.for_each(|chunk| put_histograms(&chunk, out));
}

fn put_histograms(chunk: &HistogramChunk, out: &mut Vec<u8>) {
    put_varint(out, chunk.count as u64);
    chunk.columns().into_iter().for_each(|bytes| put_bytes(bytes, out));
}
