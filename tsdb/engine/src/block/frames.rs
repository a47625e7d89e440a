//! Bodies side by side, cut into frames that have a checksum each.
//!
//! ```text
//! frame section: varint frames; each: varint length of its bodies, varint length in the file * 2 + is compressed,
//!                4 bytes checksum of the bytes in the file
//! ```

use std::collections::HashMap;

use swell_chunk::{Cursor, DecodeError, put_varint};

use super::{FRAME_BYTES, HEADER_LEN, Packing};

/// Bodies of this many closed frames are remembered, to store equal ones once.
const REMEMBERED_FRAMES: u32 = 64;
/// Fast enough to keep up with merging; higher levels gain little on packed columns.
const ZSTD_LEVEL: i32 = 3;
/// No frame is larger: the largest body is a column of `TIMES_MAX` times of eight bytes and some.
const FRAME_MAX_BYTES: usize = 256 << 20;

/// Where a body stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Location {
    pub(super) frame: u32,
    pub(super) offset: u32,
    pub(super) len: u32,
}

impl Location {
    /// The place right behind.
    pub(super) const fn end(self) -> Place {
        Place { frame: self.frame, offset: self.offset.saturating_add(self.len) }
    }
}

/// A position among the bodies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) frame: u32,
    pub(super) offset: u32,
}

/// Frames in the making.
#[derive(Debug)]
pub(super) struct FrameWriter {
    packing: Packing,
    compressor: Compressor,
    open: Vec<u8>,
    full: Vec<Vec<u8>>,
    closed: Vec<Frame>,
    file_offset: u64,
    recent: HashMap<Box<[u8]>, Location>,
}

impl FrameWriter {
    pub(super) fn new(packing: Packing) -> Self {
        Self {
            packing,
            compressor: Compressor::default(),
            open: Vec::new(),
            full: Vec::new(),
            closed: Vec::new(),
            file_offset: HEADER_LEN as u64,
            recent: HashMap::new(),
        }
    }

    /// The place of a body, where an equal one stands if it is not long gone.
    pub(super) fn put(&mut self, body: &[u8]) -> Location {
        if let Some(location) = self.recent.get(body) {
            return *location;
        }
        let Place { frame, offset } = self.next();
        let len = u32::try_from(body.len()).expect("columns are below 4 GiB");
        let location = Location { frame, offset, len };
        self.open.extend_from_slice(body);
        self.recent.insert(body.into(), location);
        if self.open.len() >= FRAME_BYTES {
            self.close();
        }
        location
    }

    /// Where the next new body will stand.
    pub(super) fn next(&self) -> Place {
        let offset = u32::try_from(self.open.len()).expect("frames are small");
        Place { frame: self.open_idx(), offset }
    }

    /// The place behind a body.
    pub(super) fn after(&self, location: Location) -> Place {
        let end = location.end();
        match self.closed.get(end.frame as usize) {
            Some(frame) if end.offset >= frame.bodies_len => {
                Place { frame: end.frame + 1, offset: 0 }
            }
            _ => end,
        }
    }

    fn open_idx(&self) -> u32 {
        u32::try_from(self.closed.len()).expect("below 2^32 frames")
    }

    fn close(&mut self) {
        let bodies = std::mem::take(&mut self.open);
        let bodies_len = u32::try_from(bodies.len()).expect("frames are small");
        let packed = match self.packing {
            Packing::Plain => None,
            Packing::Compressed => self.compressor.compressed(&bodies),
        };
        let is_compressed = packed.is_some();
        let stored = packed.unwrap_or(bodies);
        let stored_len = u32::try_from(stored.len()).expect("frames are small");
        let checksum = crc32fast::hash(&stored);
        let offset = self.file_offset;
        self.file_offset += u64::from(stored_len);
        self.closed.push(Frame { offset, bodies_len, stored_len, is_compressed, checksum });
        self.full.push(stored);
        if self.open_idx().is_multiple_of(REMEMBERED_FRAMES) {
            let oldest = self.open_idx() - REMEMBERED_FRAMES / 2;
            self.recent.retain(|_, location| location.frame >= oldest);
        }
    }

    /// Bytes for the file of the oldest frame that is full.
    pub(super) fn take_full(&mut self) -> Option<Vec<u8>> {
        (!self.full.is_empty()).then(|| self.full.remove(0))
    }

    /// The same, with what is left as the last frame.
    pub(super) fn take_rest(&mut self) -> Option<Vec<u8>> {
        if !self.open.is_empty() {
            self.close();
        }
        self.take_full()
    }

    /// The frame section.
    pub(super) fn directory(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, self.closed.len() as u64);
        for frame in &self.closed {
            put_varint(&mut out, u64::from(frame.bodies_len));
            put_varint(&mut out, u64::from(frame.stored_len) * 2 + u64::from(frame.is_compressed));
            out.extend_from_slice(&frame.checksum.to_le_bytes());
        }
        out
    }
}

/// Compresses, in working memory that is made once for a block: it is a megabyte, and what is compressed is short.
pub(super) struct Compressor(zstd::bulk::Compressor<'static>);

impl Default for Compressor {
    fn default() -> Self {
        Self(zstd::bulk::Compressor::new(ZSTD_LEVEL).expect("memory has room for a megabyte"))
    }
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Compressor").finish_non_exhaustive()
    }
}

impl Compressor {
    /// The bytes compressed, if that is any shorter.
    pub(super) fn compressed(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let packed = self.0.compress(bytes).expect("memory has room for a frame");
        (packed.len() < bytes.len()).then_some(packed)
    }
}

/// Inverse of [`Compressor::compressed`]; `None` when the bytes are not what it made of `len` bytes.
pub(super) fn decompressed(packed: &[u8], len: usize) -> Option<Vec<u8>> {
    if len > FRAME_MAX_BYTES {
        return None;
    }
    zstd::bulk::decompress(packed, len).ok().filter(|bytes| bytes.len() == len)
}

/// One frame in the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) offset: u64,
    pub(super) bodies_len: u32,
    pub(super) stored_len: u32,
    pub(super) is_compressed: bool,
    pub(super) checksum: u32,
}

impl Frame {
    /// The bodies in the verified bytes of the file; `None` when they are not there.
    pub(super) fn bodies(self, stored: Vec<u8>) -> Option<Vec<u8>> {
        if self.is_compressed {
            decompressed(&stored, self.bodies_len as usize)
        } else {
            Some(stored)
        }
    }
}

/// Reads the frame section; the frames end at `end`.
pub(super) fn read_directory(bytes: &[u8], end: u64) -> Result<Vec<Frame>, DecodeError> {
    let mut cursor = Cursor::new(bytes);
    let count = cursor.count(bytes.len())?;
    let mut frames = Vec::with_capacity(count);
    let mut offset = HEADER_LEN as u64;
    for _ in 0..count {
        let bodies_len = cursor.varint_u32()?;
        let stored = cursor.varint()?;
        let is_compressed = stored & 1 == 1;
        let stored_len = u32::try_from(stored >> 1).ok();
        let stored_len = stored_len
            .filter(|len| is_compressed || *len == bodies_len)
            .ok_or_else(|| cursor.fault("the length of a frame is impossible"))?;
        let checksum = cursor.u32()?;
        frames.push(Frame { offset, bodies_len, stored_len, is_compressed, checksum });
        offset += u64::from(stored_len);
    }
    cursor.finish()?;
    if offset == end { Ok(frames) } else { Err(cursor.fault("the frames do not fill their part")) }
}
