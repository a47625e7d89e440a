//! Tombstones as a file.
//!
//! ```text
//! 8 bytes  "SWELLTMB"
//! 4 bytes  LE version
//! 8 bytes  LE id of the block, 0 for the head
//! varint   groups of series with the same intervals; each:
//!          varint intervals; each: zigzag first millisecond (difference from the end of the one before, the first
//!          from 0), varint last - first
//!          varint series; each in a block: varint position (difference from the one before, the first from 0);
//!          in the head: varint labels; each: name and value as varint length, bytes
//! 4 bytes  LE checksum (CRC-32) of all before
//! ```

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use swell_chunk::{Cursor, DecodeError, put_varint, put_zigzag};
use swell_env::{Dir, read_whole};
use swell_model::{Labels, LabelsBuilder};

use super::{Intervals, SUFFIX, Tombstones};
use crate::block::{BlockId, FOLDER};
use crate::small_file;

const MAGIC: &[u8; 8] = b"SWELLTMB";
const VERSION: u32 = 1;
const HEADER_LEN: usize = 20;
const CHECKSUM_LEN: usize = 4;
/// Ten million series of a block, or a million of the head.
const MAX_BYTES: u64 = 1 << 30;

/// Why tombstones cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadTombstonesError {
    /// The system's error.
    #[error("read {file}")]
    Read { file: String, source: io::Error },
    /// Bytes are not what was written.
    #[error("{file} is damaged at byte {offset}: {what}")]
    Damaged { file: String, offset: u64, what: String },
    /// Written by a newer version of this program.
    #[error(
        "{file} has format version {version}, this program reads up to {VERSION}: use a newer version"
    )]
    Newer { file: String, version: u32 },
}

/// Names a series in its place.
pub(crate) trait Key: Ord + Clone {
    /// Writes the key behind the one before in its group.
    fn put(&self, before: Option<&Self>, out: &mut Vec<u8>);

    /// Reads what [`Key::put`] wrote.
    fn read(before: Option<&Self>, cursor: &mut Cursor<'_>) -> Result<Self, DecodeError>;
}

impl Key for u32 {
    fn put(&self, before: Option<&Self>, out: &mut Vec<u8>) {
        put_varint(out, u64::from(self - before.copied().unwrap_or(0)));
    }

    fn read(before: Option<&Self>, cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let step = cursor.varint_u32()?;
        let idx = before.copied().unwrap_or(0).checked_add(step);
        idx.ok_or_else(|| cursor.fault("a series lies beyond all others"))
    }
}

impl Key for Labels {
    fn put(&self, _before: Option<&Self>, out: &mut Vec<u8>) {
        put_varint(out, self.len() as u64);
        for text in self.iter().flat_map(|(name, value)| [name, value]) {
            put_varint(out, text.len() as u64);
            out.extend_from_slice(text.as_bytes());
        }
    }

    fn read(_before: Option<&Self>, cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let text = |cursor: &mut Cursor<'_>| {
            let len = cursor.count(cursor.remaining())?;
            let text = std::str::from_utf8(cursor.take(len)?).map(str::to_owned);
            text.map_err(|_| cursor.fault("a label is not UTF-8"))
        };
        let mut labels = LabelsBuilder::default();
        for _ in 0..cursor.count(cursor.remaining())? {
            let (name, value) = (text(cursor)?, text(cursor)?);
            labels.set(&name, &value);
        }
        Ok(labels.build())
    }
}

/// The file of a block's tombstones.
pub(crate) fn name_of(block: BlockId) -> String {
    format!("{FOLDER}/{:08}{SUFFIX}", block.0)
}

/// The file of the head's tombstones.
pub(crate) fn head_name() -> String {
    format!("{FOLDER}/head{SUFFIX}")
}

/// Replaces the file; without tombstones it goes.
pub(crate) fn write<K: Key>(
    dir: &dyn Dir,
    name: &str,
    owner: u64,
    tombstones: &Tombstones<K>,
) -> io::Result<()> {
    if !tombstones.is_empty() {
        return small_file::replace(dir, name, &encode(owner, tombstones));
    }
    match dir.remove(name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => dir.sync_dir(FOLDER),
    }
}

/// Reads a file that is there.
pub(crate) fn read<K: Key>(
    dir: &dyn Dir,
    name: &str,
    owner: u64,
) -> Result<Tombstones<K>, ReadTombstonesError> {
    let file = || name.to_owned();
    let bytes = read_whole(dir, name, MAX_BYTES)
        .map_err(|source| ReadTombstonesError::Read { file: file(), source })?;
    let damaged = |offset: usize, what: &str| ReadTombstonesError::Damaged {
        file: file(),
        offset: offset as u64,
        what: what.to_owned(),
    };
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    let end = bytes.len().checked_sub(CHECKSUM_LEN).filter(|end| *end >= HEADER_LEN);
    let Some(end) = end else { return Err(damaged(bytes.len(), "the file ends early")) };
    if bytes[..8] != *MAGIC || crc32fast::hash(&bytes[..end]) != word(end) {
        return Err(damaged(0, "the checksum differs"));
    }
    if word(8) != VERSION {
        return Err(ReadTombstonesError::Newer { file: file(), version: word(8) });
    }
    if bytes[12..HEADER_LEN] != owner.to_le_bytes() {
        return Err(damaged(12, "the tombstones belong to another block"));
    }
    decode(&bytes[HEADER_LEN..end]).map_err(|error| damaged(HEADER_LEN + error.offset, error.what))
}

fn encode<K: Key>(owner: u64, tombstones: &Tombstones<K>) -> Vec<u8> {
    let mut groups: BTreeMap<&Intervals, Vec<&K>> = BTreeMap::new();
    for (key, intervals) in tombstones.iter() {
        groups.entry(intervals).or_default().push(key);
    }
    let mut out = Vec::new();
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&owner.to_le_bytes());
    put_varint(&mut out, groups.len() as u64);
    for (intervals, keys) in groups {
        put_varint(&mut out, intervals.as_slice().len() as u64);
        let mut end: i64 = 0;
        for (from, to) in intervals.as_slice() {
            put_zigzag(&mut out, from.wrapping_sub(end));
            put_varint(&mut out, to.wrapping_sub(*from).cast_unsigned());
            end = *to;
        }
        put_varint(&mut out, keys.len() as u64);
        let mut before = None;
        for key in keys {
            key.put(before, &mut out);
            before = Some(key);
        }
    }
    out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
    out
}

fn decode<K: Key>(bytes: &[u8]) -> Result<Tombstones<K>, DecodeError> {
    let mut cursor = Cursor::new(bytes);
    let mut all = BTreeMap::new();
    for _ in 0..cursor.count(cursor.remaining())? {
        let mut intervals = Intervals::default();
        let mut end: i64 = 0;
        for _ in 0..cursor.count(cursor.remaining())? {
            let from = end.wrapping_add(cursor.zigzag()?);
            end = from.wrapping_add(cursor.varint()?.cast_signed());
            if !intervals.add(from, end) {
                return Err(cursor.fault("an interval is empty or there already"));
            }
        }
        let intervals = Arc::new(intervals);
        let mut before: Option<K> = None;
        for _ in 0..cursor.count(cursor.remaining())? {
            let key = K::read(before.as_ref(), &mut cursor)?;
            all.insert(key.clone(), Arc::clone(&intervals));
            before = Some(key);
        }
    }
    cursor.finish()?;
    Ok(Tombstones(all))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use swell_env::MemDir;

    use super::*;

    fn folder() -> MemDir {
        let dir = MemDir::new();
        dir.create_folder(FOLDER).expect("folder");
        dir
    }

    fn labels(nr: u32) -> Labels {
        Labels::from_pairs([("__name__", "m"), ("nr", &nr.to_string())])
    }

    proptest! {
        #[test]
        fn tombstones_come_back(deleted in prop::collection::vec((0u32..50, any::<i64>(), 0i64..100_000), 0..40)) {
            let dir = folder();
            let (mut in_block, mut in_head) = (Tombstones::<u32>::default(), Tombstones::<Labels>::default());
            for (nr, from, len) in deleted {
                in_block.add(nr, from, from.saturating_add(len));
                in_head.add(labels(nr), from, from.saturating_add(len));
            }
            let (block, head) = (name_of(BlockId(3)), head_name());
            write(&dir, &block, 3, &in_block).expect("written");
            write(&dir, &head, 0, &in_head).expect("written");
            if in_block.is_empty() {
                prop_assert!(read::<u32>(&dir, &block, 3).is_err(), "no file");
            } else {
                prop_assert_eq!(read(&dir, &block, 3).expect("readable"), in_block);
                prop_assert_eq!(read(&dir, &head, 0).expect("readable"), in_head);
            }
        }
    }

    #[test]
    fn every_flipped_byte_and_every_cut_is_noticed() {
        let dir = folder();
        let mut tombstones = Tombstones::<u32>::default();
        tombstones.add(1, 10, 20);
        tombstones.add(7, 10, 20);
        tombstones.add(9, -5, 5);
        let name = name_of(BlockId(3));
        write(&dir, &name, 3, &tombstones).expect("written");
        let is_damaged = |dir: &MemDir| {
            matches!(read::<u32>(dir, &name, 3), Err(ReadTombstonesError::Damaged { .. }))
        };
        let len = read_whole(&dir, &name, 1000).expect("readable").len();
        for offset in 0..len {
            dir.flip(&name, offset, 1).expect("flipped");
            assert!(is_damaged(&dir), "byte {offset}");
            dir.flip(&name, offset, 1).expect("flipped back");
        }
        assert!(matches!(read::<u32>(&dir, &name, 4), Err(ReadTombstonesError::Damaged { .. })));
        for len in (0..len).rev() {
            dir.lose_end(&name, len).expect("cut");
            assert!(is_damaged(&dir), "{len} bytes");
        }
    }
}
