//! Damage that an operator has acknowledged: it is listed, and no longer warned of.
//!
//! The content of the file "acknowledged" (`small_file.rs`): varint entries, each a varint length of what tells the damage
//! apart, its bytes, and zigzag when it was acknowledged.
//!
//! A file that is damaged acknowledges nothing: there are warnings again.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use swell_chunk::{Cursor, DecodeError, put_varint, put_zigzag};
use swell_env::Dir;
use swell_model::TimestampMs;

use crate::block::{self, manifest};
use crate::db::Db;
use crate::described;
use crate::small_file::{self, Format, Found};
use crate::status::Damage;
use crate::{tombstones, wal};

/// Name of the file in the data directory.
pub(crate) const NAME: &str = "acknowledged";
const FORMAT: Format = Format { magic: b"SWELLACK", version: 1, bytes_max: 64 << 20 };

/// When which damage was acknowledged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Acknowledged(BTreeMap<String, TimestampMs>);

/// What the file says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum AcknowledgedFile {
    Read(Acknowledged),
    Damaged,
    /// Written by a newer version of this program.
    Newer(u32),
}

/// Damage, and when it was acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcknowledgedDamage {
    /// What was met.
    pub damage: Damage,
    /// When an operator acknowledged it.
    pub at: TimestampMs,
}

/// Which damage is acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhichDamage {
    /// All that is known now.
    All,
    /// What is known now of these files, named as in [`Damage::file`].
    Files(Vec<String>),
}

/// Why damage was not acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum AcknowledgeError {
    /// Nothing is known to be damaged in this file.
    #[error("{file}: no damage is known there that was not acknowledged")]
    Unknown {
        /// As it was named.
        file: String,
    },
    /// It cannot be written down.
    #[error("write {NAME}")]
    Io {
        /// The system's error.
        #[source]
        source: io::Error,
    },
}

/// What tells damage apart from other damage, also when a later start names it otherwise. A block is told by its file,
/// since reads meet its damage at one place or another; so are tombstones. Of the log it is the place in a segment, of
/// the list of blocks what is missing.
fn key(damage: &Damage) -> String {
    let Damage { file, offset, what, .. } = damage;
    let whole = file.strip_suffix(block::SUFFIX_DAMAGED).unwrap_or(file);
    if let Some((segment, copied_from)) =
        whole.rsplit_once('-').filter(|it| wal::is_segment_name(it.0))
    {
        return format!("{segment} {copied_from}");
    }
    if wal::is_segment_name(file) {
        return format!("{file} {offset}");
    }
    if *file == manifest::name() || file == described::NAME {
        return format!("{file} {what}");
    }
    whole.to_owned()
}

impl Acknowledged {
    /// When this was acknowledged.
    pub(crate) fn of(&self, damage: &Damage) -> Option<TimestampMs> {
        self.0.get(&key(damage)).copied()
    }

    /// Forgets what is not there any more, so that damage which comes later under the same name is told: all that is not
    /// found now, but for files of blocks and the log that are still there and whose damage only reads meet. Durably, and
    /// at a start, before names are given out again.
    pub(crate) fn forget_gone(&mut self, dir: &dyn Dir, found: &[Damage]) -> io::Result<()> {
        let found: BTreeSet<String> = found.iter().map(key).collect();
        let before = self.0.len();
        let mut gone = Vec::new();
        for key in self.0.keys().filter(|key| !found.contains(*key)) {
            if !is_there(dir, key)? {
                gone.push(key.clone());
            }
        }
        self.0.retain(|key, _| !gone.contains(key));
        if self.0.len() == before { Ok(()) } else { self.write(dir) }
    }

    fn write(&self, dir: &dyn Dir) -> io::Result<()> {
        let mut content = Vec::new();
        put_varint(&mut content, self.0.len() as u64);
        for (key, at) in &self.0 {
            put_varint(&mut content, key.len() as u64);
            content.extend_from_slice(key.as_bytes());
            put_zigzag(&mut content, at.0);
        }
        small_file::replace(dir, NAME, &FORMAT.sealed(&content))
    }
}

/// Whether a file is there whose damage need not be known yet.
fn is_there(dir: &dyn Dir, key: &str) -> io::Result<bool> {
    let is_tombstones_of_head = key == tombstones::head_name();
    let files = match key.split_once(' ') {
        Some((segment, offset)) if wal::is_segment_name(segment) => {
            [segment.to_owned(), format!("{segment}-{offset}{}", block::SUFFIX_DAMAGED)]
        }
        None if key.contains('/') && !is_tombstones_of_head => {
            [key.to_owned(), format!("{key}{}", block::SUFFIX_DAMAGED)]
        }
        Some(_) | None => return Ok(false),
    };
    for file in files {
        match dir.open(&file) {
            Ok(_) => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// Reads the file; nothing is acknowledged when there is none.
pub(crate) fn read(dir: &dyn Dir) -> io::Result<AcknowledgedFile> {
    Ok(match FORMAT.read(dir, NAME)? {
        Found::Absent => AcknowledgedFile::Read(Acknowledged::default()),
        Found::Content(content) => entries(&content)
            .map_or(AcknowledgedFile::Damaged, |it| AcknowledgedFile::Read(Acknowledged(it))),
        Found::Damaged => AcknowledgedFile::Damaged,
        Found::Newer(version) => AcknowledgedFile::Newer(version),
    })
}

fn entries(bytes: &[u8]) -> Result<BTreeMap<String, TimestampMs>, DecodeError> {
    let mut cursor = Cursor::new(bytes);
    let count = cursor.count(bytes.len())?;
    let mut entries = BTreeMap::new();
    for _ in 0..count {
        let len = cursor.count(bytes.len())?;
        let key = String::from_utf8(cursor.take(len)?.to_vec());
        let key = key.map_err(|_| cursor.fault("a name is no text"))?;
        entries.insert(key, TimestampMs(cursor.zigzag()?));
    }
    cursor.finish()?;
    Ok(entries)
}

impl Db {
    /// Notes durably that an operator knows of this damage: answers that it touches carry no warning from then on. It
    /// stays in the files and in [`Db::acknowledged_damage`], what is lost stays lost, and damage of other files that is met
    /// later is told as ever: a block counts as a whole. Gives what was acknowledged by this call.
    ///
    /// # Errors
    /// [`AcknowledgeError`]; then nothing is acknowledged by this call.
    pub fn acknowledge_damage(&self, which: &WhichDamage) -> Result<Vec<Damage>, AcknowledgeError> {
        let inner = &self.inner;
        // One at a time, from reading to writing.
        let _publishing = inner.publishing.lock();
        let mut found = inner.open_damage();
        if let WhichDamage::Files(files) = which {
            let unknown = files.iter().find(|file| !found.iter().any(|it| it.file == **file));
            if let Some(file) = unknown {
                return Err(AcknowledgeError::Unknown { file: file.clone() });
            }
            found.retain(|it| files.contains(&it.file));
        }
        if found.is_empty() {
            return Ok(found);
        }
        let at = inner.clock.now();
        let mut acknowledged = inner.acknowledged.read().clone();
        acknowledged.0.extend(found.iter().map(|damage| (key(damage), at)));
        acknowledged.write(&*inner.dir).map_err(|source| AcknowledgeError::Io { source })?;
        *inner.acknowledged.write() = acknowledged;
        inner.update_gauges();
        for Damage { file, offset, what, .. } in &found {
            tracing::info!(file, offset, what, "damage was acknowledged");
        }
        Ok(found)
    }

    /// Damage that was acknowledged and is still there.
    #[must_use]
    pub fn acknowledged_damage(&self) -> Vec<AcknowledgedDamage> {
        let inner = &self.inner;
        let all = inner.all_damage().into_iter();
        let acknowledged = inner.acknowledged.read();
        all.filter_map(|damage| {
            let at = acknowledged.of(&damage)?;
            Some(AcknowledgedDamage { damage, at })
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use swell_env::{MemDir, read_whole};

    use super::*;

    fn damage(file: &str, offset: u64, what: &str) -> Damage {
        Damage { file: file.to_owned(), offset, what: what.to_owned(), range: None }
    }

    #[test]
    fn what_later_starts_name_otherwise_is_the_same_damage() {
        let at = |file: &str, offset| key(&damage(file, offset, "it differs"));
        // A block that was set aside, and one whose reads meet another place first.
        assert_eq!(at("blocks/00000003.blk", 17), at("blocks/00000003.blk.damaged", 0));
        assert_eq!(at("blocks/00000003.blk", 17), at("blocks/00000003.blk", 4000));
        assert_ne!(at("blocks/00000003.blk", 17), at("blocks/00000004.blk", 17));
        assert_ne!(at("blocks/00000003.blk", 17), at("blocks/00000003.tomb", 17));
        // A part of the log, and its copy once the segment is gone.
        assert_eq!(at("wal/00000003.wal", 170), at("wal/00000003.wal-170.damaged", 0));
        assert_ne!(at("wal/00000003.wal", 170), at("wal/00000003.wal", 171));
        // Of two missing blocks each is acknowledged alone.
        let missing = |what| key(&damage(&manifest::name(), 0, what));
        assert_ne!(missing("block 1.blk is missing"), missing("block 2.blk is missing"));
    }

    #[test]
    fn what_is_gone_is_forgotten_and_its_name_is_free() {
        let dir = MemDir::new();
        dir.create_folder("blocks").expect("made");
        dir.create_folder("wal").expect("made");
        for there in
            ["blocks/00000001.blk", "blocks/00000002.blk.damaged", "wal/00000003.wal-7.damaged"]
        {
            dir.create(there).expect("made");
        }
        let files = [
            ("blocks/00000001.blk", 4, true),
            ("blocks/00000002.blk", 4, true),
            ("blocks/00000009.blk", 4, false),
            ("wal/00000003.wal", 7, true),
            ("wal/00000003.wal", 9, false),
            (&*tombstones::head_name(), 0, false),
            (&*manifest::name(), 0, false),
            (NAME, 0, false),
        ];
        let all = files.map(|(file, offset, _)| damage(file, offset, "it differs"));
        let mut acknowledged = Acknowledged::default();
        acknowledged.0.extend(all.iter().map(|it| (key(it), TimestampMs(1))));
        let mut none_gone = acknowledged.clone();
        none_gone.forget_gone(&dir, &all).expect("nothing to write");
        assert_eq!(none_gone, acknowledged, "all of it is found");
        acknowledged.forget_gone(&dir, &[]).expect("written");
        for (it, (_, _, stays)) in all.iter().zip(files) {
            assert_eq!(acknowledged.of(it).is_some(), stays, "{it:?}");
        }
        assert_eq!(read(&dir).expect("readable"), AcknowledgedFile::Read(acknowledged));
    }

    #[test]
    fn what_was_acknowledged_comes_back_and_every_flipped_byte_is_noticed() {
        let dir = MemDir::new();
        let nothing = AcknowledgedFile::Read(Acknowledged::default());
        assert_eq!(read(&dir).expect("readable"), nothing);
        let mut acknowledged = Acknowledged::default();
        for nr in 0..3 {
            let hurt = damage(&format!("blocks/{nr}.blk"), 5, "it differs");
            acknowledged.0.insert(key(&hurt), TimestampMs(nr * 1000 - 1));
            acknowledged.write(&dir).expect("written");
            let back = AcknowledgedFile::Read(acknowledged.clone());
            assert_eq!(read(&dir).expect("readable"), back);
            assert_eq!(acknowledged.of(&hurt), Some(TimestampMs(nr * 1000 - 1)));
        }
        let len = read_whole(&dir, NAME, u64::MAX).expect("readable").len();
        for offset in 0..len {
            dir.flip(NAME, offset, 4).expect("flipped");
            assert_eq!(read(&dir).expect("readable"), AcknowledgedFile::Damaged, "byte {offset}");
            dir.flip(NAME, offset, 4).expect("flipped back");
        }
    }
}
