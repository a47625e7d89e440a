//! Decoders of this crate that take a target's bytes: for the fuzz targets.

use crate::fetch::BodySink;

/// A body of this encoding that comes in pieces, unpacked; none when it is refused.
#[must_use]
pub fn unpacked(encoding: &str, body: &[u8], piece_len: usize, limit: u64) -> Option<Vec<u8>> {
    let mut sink = BodySink::new(encoding, limit, true).ok()?;
    body.chunks(piece_len).try_for_each(|piece| sink.take(piece)).ok()?;
    sink.finish().ok()
}
