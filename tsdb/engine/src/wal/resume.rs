//! Where the log goes on behind a checkpoint: what a reader must know of the segment it starts in the middle of.
//!
//! ```text
//! varint  number of the segment, offset in it, number of the next record
//! varint  segments before it; of these and of itself: varint number, bytes; byte 1 and zigzag first and last time of
//!         its samples, or byte 0
//! varint  series that it defines so far
//! ```
//! and in parts, of each series it defines, by number: varint 0 when the head does not know it any more, else its index
//! as zigzag difference from the one before, + 1; its base (`values.rs`).

use swell_chunk::{Cursor, DecodeError, put_varint, put_zigzag};
use swell_model::TimestampMs;

use super::record::LocalId;
use super::values::{Bases, unzigzag, zigzag};
use super::writer::Segment;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Resume {
    /// Segment, offset and record that come next.
    pub(crate) segment_nr: u64,
    pub(crate) offset: u64,
    pub(crate) record_nr: u64,
    /// What was known of the segments up to this one.
    pub(crate) segments: Vec<Segment>,
    /// The head's indices of the series that the segment defines so far.
    pub(crate) known: Vec<Option<u32>>,
    pub(crate) bases: Bases,
    defined_count: usize,
}

impl Resume {
    /// A place behind the segments that are given.
    pub(super) fn at(
        (segment_nr, offset, record_nr): (u64, u64, u64),
        segments: Vec<Segment>,
        defined_count: LocalId,
    ) -> Self {
        let defined_count = defined_count as usize;
        Self { segment_nr, offset, record_nr, segments, defined_count, ..Self::default() }
    }

    /// Appends all but the series.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        for number in [self.segment_nr, self.offset, self.record_nr] {
            put_varint(out, number);
        }
        put_varint(out, self.segments.len() as u64);
        for segment in &self.segments {
            put_varint(out, segment.nr);
            put_varint(out, segment.bytes);
            out.push(u8::from(segment.span.is_some()));
            if let Some((first, last)) = segment.span {
                put_zigzag(out, first.0);
                put_zigzag(out, last.0);
            }
        }
        put_varint(out, self.defined_count as u64);
    }

    /// Reads what [`Resume::put`] gave.
    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let (segment_nr, offset, record_nr) =
            (cursor.varint()?, cursor.varint()?, cursor.varint()?);
        let mut segments = Vec::new();
        for _ in 0..cursor.count(cursor.remaining())? {
            let (nr, bytes) = (cursor.varint()?, cursor.varint()?);
            let span = match cursor.u8()? {
                0 => None,
                _ => Some((TimestampMs(cursor.zigzag()?), TimestampMs(cursor.zigzag()?))),
            };
            segments.push(Segment { nr, bytes, span });
        }
        let defined_count = cursor.varint_u32()?;
        cursor.finish()?;
        Ok(Self::at((segment_nr, offset, record_nr), segments, defined_count))
    }

    /// Reads a part of the series.
    pub(crate) fn read_series(&mut self, cursor: &mut Cursor<'_>) -> Result<(), DecodeError> {
        let mut before = self.known.iter().rev().copied().flatten().next().unwrap_or(0);
        while cursor.remaining() > 0 {
            let code = cursor.varint()?;
            let idx = match code.checked_sub(1) {
                None => None,
                Some(difference) => {
                    let difference = unzigzag(difference);
                    let idx = i64::from(before).checked_add(difference);
                    let idx = idx.and_then(|idx| u32::try_from(idx).ok());
                    Some(idx.ok_or_else(|| cursor.fault("a series number is out of range"))?)
                }
            };
            before = idx.unwrap_or(before);
            self.known.push(idx);
            self.bases.read(cursor)?;
        }
        Ok(())
    }

    /// Whether all series were read.
    pub(crate) fn is_whole(&self) -> bool {
        self.known.len() == self.defined_count
    }

    /// What is known of a segment.
    pub(crate) fn segment(&self, nr: u64) -> Option<&Segment> {
        self.segments.iter().find(|segment| segment.nr == nr)
    }
}

/// Appends a series of the segment: the head's index, and the base. `before` is the index of the one before.
pub(super) fn put_series(
    idx: Option<u32>,
    before: u32,
    (id, bases): (LocalId, &Bases),
    out: &mut Vec<u8>,
) {
    match idx {
        None => put_varint(out, 0),
        Some(idx) => put_varint(out, zigzag(i64::from(idx) - i64::from(before)) + 1),
    }
    bases.put(id, out);
}
