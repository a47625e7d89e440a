//! Start timestamps as bytes, in the log and in packed columns of the head.
//!
//! ```text
//! runs of equal ones until all are there: zigzag value - value of the run before (the first from 0), varint length - 1
//! ```

use swell_chunk::{Cursor, DecodeError, put_varint, put_zigzag};

/// Appends start timestamps: those of one process are the same, and those of one series seldom change.
pub(crate) fn put_starts(starts: impl Iterator<Item = i64>, out: &mut Vec<u8>) {
    let starts: Vec<i64> = starts.collect();
    let mut last = 0;
    for run in starts.chunk_by(|a, b| a == b) {
        put_zigzag(out, run[0].wrapping_sub(last));
        put_varint(out, run.len() as u64 - 1);
        last = run[0];
    }
}

/// Reads `count` of them.
pub(crate) fn read_starts(cursor: &mut Cursor<'_>, count: usize) -> Result<Vec<i64>, DecodeError> {
    let mut starts = Vec::new();
    let mut last: i64 = 0;
    while starts.len() < count {
        last = last.wrapping_add(cursor.zigzag()?);
        let more = cursor.count(count - starts.len() - 1)?;
        starts.resize(starts.len() + more + 1, last);
    }
    Ok(starts)
}
