//! Columns of times, each stored once; a stretch of one that is there is a reference into it.
//!
//! ```text
//! times section: varint columns; each: varint timestamps, zigzag first, varint last - first,
//!                varint frame, varint offset in the frame, varint length
//! ```

use std::collections::HashMap;
use std::sync::Arc;

use swell_chunk::{Cursor, DecodeError, TIMES_MAX, put_varint, put_zigzag};

use super::frames::Location;

/// Columns that are searched for a stretch.
const RECENT_COLUMNS: usize = 8;

/// One column and where its body stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimesColumn {
    pub(super) len: usize,
    pub(super) first_ms: i64,
    pub(super) last_ms: i64,
    pub(super) location: Location,
}

/// A stretch of a column of times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimesRef {
    pub(crate) column: u32,
    pub(crate) first: usize,
    pub(crate) len: usize,
    pub(crate) first_ms: i64,
    pub(crate) last_ms: i64,
}

/// The columns of a block in the making.
#[derive(Debug, Default)]
pub(super) struct TimesPool {
    columns: Vec<TimesColumn>,
    whole: HashMap<Arc<[i64]>, usize>,
    /// The columns used last, newest first: candidates to contain a stretch.
    recent: Vec<(usize, Arc<[i64]>)>,
}

impl TimesPool {
    /// Where these timestamps stand, if they do; they are not empty.
    pub(super) fn find(&mut self, timestamps: &Arc<[i64]>) -> Option<TimesRef> {
        let position = self.recent.iter().position(|(_, column)| {
            Arc::ptr_eq(column, timestamps) || stretch(column, timestamps).is_some()
        });
        if let Some(position) = position {
            self.recent[..=position].rotate_right(1);
            let (column, times) = &self.recent[0];
            let first =
                if Arc::ptr_eq(times, timestamps) { 0 } else { stretch(times, timestamps)? };
            return Some(reference(*column, first, timestamps));
        }
        let column = *self.whole.get(timestamps)?;
        self.remember(column, timestamps);
        Some(reference(column, 0, timestamps))
    }

    /// Adds a column whose body was stored.
    pub(super) fn add(&mut self, timestamps: &Arc<[i64]>, location: Location) -> TimesRef {
        let column = self.columns.len();
        let added = reference(column, 0, timestamps);
        self.columns.push(TimesColumn {
            len: timestamps.len(),
            first_ms: added.first_ms,
            last_ms: added.last_ms,
            location,
        });
        self.whole.insert(Arc::clone(timestamps), column);
        self.remember(column, timestamps);
        added
    }

    fn remember(&mut self, column: usize, timestamps: &Arc<[i64]>) {
        self.recent.truncate(RECENT_COLUMNS - 1);
        self.recent.insert(0, (column, Arc::clone(timestamps)));
    }

    /// Appends a reference: varint column * 2 + is part of it; if part: varint first position, varint count,
    /// varint first time - column's first, varint last time - first time.
    pub(super) fn write_ref(&self, times: TimesRef, out: &mut Vec<u8>) {
        let column = &self.columns[times.column as usize];
        let is_part = column.len != times.len;
        put_varint(out, u64::from(times.column) * 2 + u64::from(is_part));
        if is_part {
            put_varint(out, times.first as u64);
            put_varint(out, times.len as u64);
            put_varint(out, times.first_ms.wrapping_sub(column.first_ms).cast_unsigned());
            put_varint(out, times.last_ms.wrapping_sub(times.first_ms).cast_unsigned());
        }
    }

    /// The times section.
    pub(super) fn directory(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, self.columns.len() as u64);
        for column in &self.columns {
            put_varint(&mut out, column.len as u64);
            put_zigzag(&mut out, column.first_ms);
            put_varint(&mut out, column.last_ms.wrapping_sub(column.first_ms).cast_unsigned());
            let Location { frame, offset, len } = column.location;
            for part in [frame, offset, len] {
                put_varint(&mut out, u64::from(part));
            }
        }
        out
    }
}

fn reference(column: usize, first: usize, timestamps: &[i64]) -> TimesRef {
    TimesRef {
        column: u32::try_from(column).expect("no more columns than series"),
        first,
        len: timestamps.len(),
        first_ms: timestamps[0],
        last_ms: timestamps[timestamps.len() - 1],
    }
}

/// Where in `column` all of `part` stands.
fn stretch(column: &[i64], part: &[i64]) -> Option<usize> {
    let first = column.binary_search(part.first()?).ok()?;
    (column.get(first..first + part.len())? == part).then_some(first)
}

/// Reads the times section.
pub(super) fn read_directory(bytes: &[u8]) -> Result<Vec<TimesColumn>, DecodeError> {
    let mut cursor = Cursor::new(bytes);
    let count = cursor.count(bytes.len())?;
    let mut columns = Vec::with_capacity(count);
    for _ in 0..count {
        let len = cursor.count(TIMES_MAX)?;
        let first_ms = cursor.zigzag()?;
        let last_ms = first_ms.wrapping_add(cursor.varint()?.cast_signed());
        let location = Location {
            frame: cursor.varint_u32()?,
            offset: cursor.varint_u32()?,
            len: cursor.varint_u32()?,
        };
        columns.push(TimesColumn { len, first_ms, last_ms, location });
    }
    cursor.finish()?;
    Ok(columns)
}

/// Reads what [`TimesPool::write_ref`] wrote.
pub(super) fn read_ref(
    cursor: &mut Cursor<'_>,
    columns: &[TimesColumn],
) -> Result<TimesRef, DecodeError> {
    let header = cursor.varint()?;
    let column = u32::try_from(header / 2).ok();
    let known = column.and_then(|idx| Some((idx, columns.get(idx as usize)?)));
    let (column, known) = known.ok_or_else(|| cursor.fault("a column of times is missing"))?;
    if header & 1 == 0 {
        let TimesColumn { len, first_ms, last_ms, .. } = *known;
        return Ok(TimesRef { column, first: 0, len, first_ms, last_ms });
    }
    let first = cursor.count(known.len)?;
    let len = cursor.count(known.len - first)?;
    let first_ms = known.first_ms.wrapping_add(cursor.varint()?.cast_signed());
    let last_ms = first_ms.wrapping_add(cursor.varint()?.cast_signed());
    Ok(TimesRef { column, first, len, first_ms, last_ms })
}
