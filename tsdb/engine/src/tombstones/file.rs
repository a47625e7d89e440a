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
//! of the head, from version 2 on:
//! varint   deletions of late samples; each: varint segment and record of the log, zigzag first millisecond,
//!          varint last - first, varint series; each as above
//! 4 bytes  LE checksum (CRC-32) of all before
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use swell_chunk::{Cursor, DecodeError, put_varint, put_zigzag};
use swell_env::{Dir, read_whole};
use swell_model::{Labels, LabelsBuilder};

use super::{HeadTombstones, Intervals, LateDeletion, SUFFIX, Tombstones};
use crate::block::{BlockId, FOLDER, manifest};
use crate::small_file;
use crate::wal::Position;

const MAGIC: &[u8; 8] = b"SWELLTMB";
const VERSION: u32 = 1;
const HEAD_VERSION: u32 = 2;
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
        "{file} has format version {version}, this program reads up to {known}: use a newer version"
    )]
    Newer { file: String, version: u32, known: u32 },
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

/// Replaces the file of a block; without tombstones it goes.
pub(crate) fn write(
    dir: &dyn Dir,
    name: &str,
    block: BlockId,
    tombstones: &Tombstones<u32>,
) -> io::Result<()> {
    let content = || file_of(VERSION, block, |out| put_groups(tombstones, out));
    replace(dir, name, (!tombstones.is_empty()).then(content))
}

/// Replaces the file of the head; without tombstones it goes.
pub(crate) fn write_head(dir: &dyn Dir, tombstones: &HeadTombstones) -> io::Result<()> {
    let content = || {
        file_of(HEAD_VERSION, manifest::HEAD, |out| {
            put_groups(&tombstones.in_order, out);
            put_late(&tombstones.late, out);
        })
    };
    replace(dir, &head_name(), (!tombstones.is_empty()).then(content))
}

fn replace(dir: &dyn Dir, name: &str, content: Option<Vec<u8>>) -> io::Result<()> {
    if let Some(content) = content {
        return small_file::replace(dir, name, &content);
    }
    match dir.remove(name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => dir.sync_dir(FOLDER),
    }
}

/// Reads the file of a block, which is there.
pub(crate) fn read(
    dir: &dyn Dir,
    name: &str,
    block: BlockId,
) -> Result<Tombstones<u32>, ReadTombstonesError> {
    read_file(dir, name, (block, VERSION), |_, cursor| groups(cursor))
}

/// Reads the file of the head, which is there.
pub(crate) fn read_head(dir: &dyn Dir) -> Result<HeadTombstones, ReadTombstonesError> {
    read_file(dir, &head_name(), (manifest::HEAD, HEAD_VERSION), |version, cursor| {
        let in_order = groups(cursor)?;
        let late = if version < HEAD_VERSION { late_of(&in_order) } else { read_late(cursor)? };
        Ok(HeadTombstones { in_order, late })
    })
}

fn read_file<T>(
    dir: &dyn Dir,
    name: &str,
    (owner, known): (BlockId, u32),
    content: impl FnOnce(u32, &mut Cursor<'_>) -> Result<T, DecodeError>,
) -> Result<T, ReadTombstonesError> {
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
    let version = word(8);
    if !(1..=known).contains(&version) {
        return Err(ReadTombstonesError::Newer { file: file(), version, known });
    }
    if bytes[12..HEADER_LEN] != owner.0.to_le_bytes() {
        return Err(damaged(12, "the tombstones belong to another block"));
    }
    let mut cursor = Cursor::new(&bytes[HEADER_LEN..end]);
    let found = content(version, &mut cursor).and_then(|found| cursor.finish().map(|()| found));
    found.map_err(|error| damaged(HEADER_LEN + error.offset, error.what))
}

fn file_of(version: u32, owner: BlockId, put: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&version.to_le_bytes());
    out.extend_from_slice(&owner.0.to_le_bytes());
    put(&mut out);
    out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
    out
}

fn put_groups<K: Key>(tombstones: &Tombstones<K>, out: &mut Vec<u8>) {
    let mut groups: BTreeMap<&Intervals, Vec<&K>> = BTreeMap::new();
    for (key, intervals) in tombstones.iter() {
        groups.entry(intervals).or_default().push(key);
    }
    put_varint(out, groups.len() as u64);
    for (intervals, keys) in groups {
        put_varint(out, intervals.as_slice().len() as u64);
        let mut end: i64 = 0;
        for (from, to) in intervals.as_slice() {
            put_zigzag(out, from.wrapping_sub(end));
            put_varint(out, to.wrapping_sub(*from).cast_unsigned());
            end = *to;
        }
        put_varint(out, keys.len() as u64);
        let mut before = None;
        for key in keys {
            key.put(before, out);
            before = Some(key);
        }
    }
}

fn groups<K: Key>(cursor: &mut Cursor<'_>) -> Result<Tombstones<K>, DecodeError> {
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
            let key = K::read(before.as_ref(), cursor)?;
            all.insert(key.clone(), Arc::clone(&intervals));
            before = Some(key);
        }
    }
    Ok(Tombstones(all))
}

fn put_late(deletions: &[LateDeletion], out: &mut Vec<u8>) {
    put_varint(out, deletions.len() as u64);
    for LateDeletion { upto, from_ms, to_ms, series } in deletions {
        put_varint(out, upto.segment_nr);
        put_varint(out, upto.record_nr);
        put_zigzag(out, *from_ms);
        put_varint(out, to_ms.wrapping_sub(*from_ms).cast_unsigned());
        put_varint(out, series.len() as u64);
        series.iter().for_each(|labels| labels.put(None, out));
    }
}

fn read_late(cursor: &mut Cursor<'_>) -> Result<Vec<LateDeletion>, DecodeError> {
    let mut all = Vec::new();
    for _ in 0..cursor.count(cursor.remaining())? {
        let upto = Position { segment_nr: cursor.varint()?, record_nr: cursor.varint()? };
        let from_ms = cursor.zigzag()?;
        let to_ms = from_ms.wrapping_add(cursor.varint()?.cast_signed());
        if to_ms < from_ms {
            return Err(cursor.fault("an interval is empty"));
        }
        let mut series = BTreeSet::new();
        for _ in 0..cursor.count(cursor.remaining())? {
            series.insert(Labels::read(None, cursor)?);
        }
        all.push(LateDeletion { upto, from_ms, to_ms, series });
    }
    Ok(all)
}

/// A file of version 1 does not tell when its deletions were made: they hold for all late samples that the log has. The
/// start that reads it writes the end of the log into it ([`HeadTombstones::end_at`]).
fn late_of(in_order: &Tombstones<Labels>) -> Vec<LateDeletion> {
    let upto = Position { segment_nr: u64::MAX, record_nr: u64::MAX };
    let mut by_interval: BTreeMap<(i64, i64), BTreeSet<Labels>> = BTreeMap::new();
    for (labels, intervals) in in_order.iter() {
        for interval in intervals.as_slice() {
            by_interval.entry(*interval).or_default().insert(labels.clone());
        }
    }
    by_interval
        .into_iter()
        .map(|((from_ms, to_ms), series)| LateDeletion { upto, from_ms, to_ms, series })
        .collect()
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;
    use proptest::prelude::*;
    use swell_env::{ManualClock, MemDir};
    use swell_model::{Batch, DurationMs, Row, SampleSink as _, TimestampMs};

    use super::*;
    use crate::{Config, Db};

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
            let (mut in_block, mut in_head) = (Tombstones::<u32>::default(), HeadTombstones::default());
            for (nr, from, len) in deleted {
                let to = from.saturating_add(len);
                in_block.add(nr, from, to);
                in_head.add(labels(nr), from, to);
                let upto = Position { segment_nr: u64::from(nr), record_nr: len.cast_unsigned() };
                in_head.add_late(LateDeletion { upto, from_ms: from, to_ms: to, series: [labels(nr)].into() });
            }
            let block = name_of(BlockId(3));
            write(&dir, &block, BlockId(3), &in_block).expect("written");
            write_head(&dir, &in_head).expect("written");
            if in_block.is_empty() {
                prop_assert!(read(&dir, &block, BlockId(3)).is_err(), "no file");
            } else {
                prop_assert_eq!(read(&dir, &block, BlockId(3)).expect("readable"), in_block);
                prop_assert_eq!(read_head(&dir).expect("readable"), in_head);
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
        write(&dir, &name, BlockId(3), &tombstones).expect("written");
        let is_damaged = |dir: &MemDir| {
            matches!(read(dir, &name, BlockId(3)), Err(ReadTombstonesError::Damaged { .. }))
        };
        let len = read_whole(&dir, &name, 1000).expect("readable").len();
        for offset in 0..len {
            dir.flip(&name, offset, 1).expect("flipped");
            assert!(is_damaged(&dir), "byte {offset}");
            dir.flip(&name, offset, 1).expect("flipped back");
        }
        assert!(matches!(read(&dir, &name, BlockId(4)), Err(ReadTombstonesError::Damaged { .. })));
        for len in (0..len).rev() {
            dir.lose_end(&name, len).expect("cut");
            assert!(is_damaged(&dir), "{len} bytes");
        }
    }

    #[test]
    fn damage_of_what_is_deleted_of_the_head_is_noticed_and_newer_versions_are_told() {
        let dir = folder();
        let mut tombstones = HeadTombstones::default();
        tombstones.add(labels(1), 10, 20);
        let upto = Position { segment_nr: 7, record_nr: 300 };
        let series = [labels(1), labels(2)].into();
        tombstones.add_late(LateDeletion { upto, from_ms: -5, to_ms: 5, series });
        write_head(&dir, &tombstones).expect("written");
        let name = head_name();
        let is_damaged =
            |dir: &MemDir| matches!(read_head(dir), Err(ReadTombstonesError::Damaged { .. }));
        let len = read_whole(&dir, &name, 1000).expect("readable").len();
        for offset in 0..len {
            dir.flip(&name, offset, 1).expect("flipped");
            assert!(is_damaged(&dir), "byte {offset}");
            dir.flip(&name, offset, 1).expect("flipped back");
        }
        assert_eq!(read_head(&dir).expect("sound"), tombstones);
        let put = |version: u32, owner: BlockId, name: &str| {
            let bytes = file_of(version, owner, |out| put_varint(out, 0));
            small_file::replace(&dir, name, &bytes).expect("written");
        };
        put(HEAD_VERSION + 1, manifest::HEAD, &name);
        assert!(matches!(read_head(&dir), Err(ReadTombstonesError::Newer { version: 3, .. })));
        let block = name_of(BlockId(3));
        put(VERSION + 1, BlockId(3), &block);
        let told = read(&dir, &block, BlockId(3));
        assert!(matches!(told, Err(ReadTombstonesError::Newer { version: 2, .. })));
        let late = |out: &mut Vec<u8>| {
            // No groups; one deletion at a place, from 5 to 4, of no series.
            out.extend_from_slice(&[0, 1, 0, 0]);
            put_zigzag(out, 5);
            put_varint(out, (-1i64).cast_unsigned());
            put_varint(out, 0);
        };
        small_file::replace(&dir, &name, &file_of(HEAD_VERSION, manifest::HEAD, late)).expect("ok");
        assert!(is_damaged(&dir), "an empty interval");
    }

    #[test]
    fn deletions_of_the_first_version_hold_for_all_late_samples() {
        let dir = folder();
        let mut in_order = Tombstones::default();
        in_order.add(labels(1), 10, 20);
        let bytes = file_of(VERSION, manifest::HEAD, |out| put_groups(&in_order, out));
        small_file::replace(&dir, &head_name(), &bytes).expect("written");
        let found = read_head(&dir).expect("readable");
        let far = Position { segment_nr: 1 << 40, record_nr: 0 };
        assert!(found.hides_late(|| labels(1), 20, far) && found.of(&labels(1)).is_some());
        assert!(
            !found.hides_late(|| labels(1), 21, far) && !found.hides_late(|| labels(2), 20, far)
        );
    }

    #[test]
    fn deletions_of_the_first_version_hide_nothing_that_is_sent_after_the_first_start() {
        const HOUR: i64 = 3_600_000;
        let dir = Arc::new(MemDir::new());
        let open = |dir: Arc<MemDir>| {
            let clock = Arc::new(ManualClock::new(TimestampMs(100 * HOUR)));
            let settings =
                Config { out_of_order_window: DurationMs(24 * HOUR), ..Config::standard() };
            Db::open(dir, settings, clock, &Registry::new()).expect("opens")
        };
        let append = |db: &Db, at_ms: i64| {
            let series = db.resolve(&labels(1)).expect("resolves");
            let row = Row::new(TimestampMs(at_ms), vec![series], vec![1.0]);
            db.append(&Batch::of_rows(vec![row])).expect("appends").stored_late
        };
        let db = open(Arc::clone(&dir));
        append(&db, 5 * HOUR);
        assert_eq!(append(&db, HOUR), 1);
        drop(db);
        let mut in_order = Tombstones::default();
        in_order.add(labels(1), 0, 2 * HOUR);
        let bytes = file_of(VERSION, manifest::HEAD, |out| put_groups(&in_order, out));
        small_file::replace(&*dir, &head_name(), &bytes).expect("written");
        let late_count = |db: &Db| db.inner.state.read().head.late_count();
        let db = open(Arc::clone(&dir));
        assert_eq!(late_count(&db), 0, "it is deleted");
        assert_eq!(append(&db, HOUR + 1), 1);
        let mut disk = dir;
        for start in 2..4 {
            disk = Arc::new(disk.after_kill());
            assert_eq!(late_count(&open(Arc::clone(&disk))), 1, "start {start}");
        }
    }
}
