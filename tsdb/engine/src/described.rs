//! What is known of metric families: in the log while it is new, and in a file of its own before the log's segments
//! are deleted.
//!
//! ```text
//! file "metadata"
//!   8 bytes  "SWELLMET"
//!   4 bytes  LE version
//!            descriptions, as in a log record
//!   4 bytes  LE checksum (CRC-32) of all before
//! ```

use std::collections::BTreeMap;
use std::io;

use swell_chunk::Cursor;
use swell_env::{Dir, read_whole};
use swell_model::{MetricDescription, MetricMetadata};

use crate::wal::{put_descriptions, read_descriptions};

/// Name of the file in the data directory.
pub(crate) const NAME: &str = "metadata";
const NAME_UNFINISHED: &str = "metadata.tmp";
const MAGIC: &[u8; 8] = b"SWELLMET";
const VERSION: u32 = 1;
const HEADER_LEN: usize = 12;
const CHECKSUM_LEN: usize = 4;
const FILE_MAX_BYTES: u64 = 1 << 30;

/// Metric families that are remembered.
const FAMILIES_MAX: usize = 100_000;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Described {
    by_name: BTreeMap<String, MetricMetadata>,
    /// Whether the file lacks something.
    has_changed: bool,
}

/// What the file says.
#[derive(Debug)]
pub(crate) enum MetadataFile {
    Read(Described),
    Damaged,
    /// Written by a newer version of this program.
    Newer(u32),
}

impl Described {
    /// Whether this is not known yet, and there is room for it.
    pub(crate) fn is_news(&self, description: &MetricDescription) -> bool {
        match self.by_name.get(&description.metric_name) {
            Some(known) => *known != description.metadata,
            None => self.by_name.len() < FAMILIES_MAX,
        }
    }

    pub(crate) fn learn(&mut self, description: MetricDescription) {
        if self.is_news(&description) {
            self.by_name.insert(description.metric_name, description.metadata);
            self.has_changed = true;
        }
    }

    pub(crate) fn all(&self) -> BTreeMap<String, MetricMetadata> {
        self.by_name.clone()
    }

    /// All, sorted by name.
    pub(crate) fn list(&self) -> Vec<MetricDescription> {
        let description = |(metric_name, metadata): (&String, &MetricMetadata)| MetricDescription {
            metric_name: metric_name.clone(),
            metadata: metadata.clone(),
        };
        self.by_name.iter().map(description).collect()
    }

    /// The file's bytes, when it lacks something; it counts as written from here on.
    pub(crate) fn take_changed(&mut self) -> Option<Vec<u8>> {
        if !std::mem::take(&mut self.has_changed) {
            return None;
        }
        let descriptions = self.list();
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        put_descriptions(&descriptions, &mut bytes);
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        Some(bytes)
    }

    /// The file could not be written after all.
    pub(crate) const fn not_written(&mut self) {
        self.has_changed = true;
    }
}

/// Replaces the file.
pub(crate) fn write(dir: &dyn Dir, bytes: &[u8]) -> io::Result<()> {
    match dir.remove(NAME_UNFINISHED) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = dir.create(NAME_UNFINISHED)?;
    file.append(bytes)?;
    file.sync()?;
    dir.rename(NAME_UNFINISHED, NAME)?;
    dir.sync_dir("")
}

/// Reads the file; nothing is known when there is none.
pub(crate) fn read(dir: &dyn Dir) -> io::Result<MetadataFile> {
    match read_whole(dir, NAME, FILE_MAX_BYTES) {
        Ok(bytes) => Ok(decode(&bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Ok(MetadataFile::Read(Described::default()))
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(MetadataFile::Damaged),
        Err(error) => Err(error),
    }
}

fn decode(bytes: &[u8]) -> MetadataFile {
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    let end = bytes.len().checked_sub(CHECKSUM_LEN).filter(|end| *end >= HEADER_LEN);
    let Some(end) = end.filter(|_| bytes[..8] == *MAGIC) else { return MetadataFile::Damaged };
    if crc32fast::hash(&bytes[..end]) != word(end) {
        return MetadataFile::Damaged;
    }
    if word(8) != VERSION {
        return MetadataFile::Newer(word(8));
    }
    let mut cursor = Cursor::new(&bytes[HEADER_LEN..end]);
    let read = read_descriptions(&mut cursor);
    match read.and_then(|found| cursor.finish().map(|()| found)) {
        Err(_) => MetadataFile::Damaged,
        Ok(found) => {
            let mut described = Described::default();
            found.into_iter().for_each(|description| described.learn(description));
            described.has_changed = false;
            MetadataFile::Read(described)
        }
    }
}

#[cfg(test)]
mod tests {
    use swell_env::MemDir;
    use swell_model::MetricKind;

    use super::*;

    #[test]
    fn what_was_learnt_comes_back_and_damage_is_noticed() {
        let dir = MemDir::new();
        assert!(matches!(read(&dir), Ok(MetadataFile::Read(nothing)) if nothing.all().is_empty()));
        let metadata = MetricMetadata {
            kind: MetricKind::Gauge,
            help: "Grüße.".to_owned(),
            unit: "bytes".to_owned(),
        };
        let mut described = Described::default();
        for metric_name in ["a", "b", "a"] {
            let metric_name = metric_name.to_owned();
            described.learn(MetricDescription { metric_name, metadata: metadata.clone() });
        }
        let bytes = described.take_changed().expect("news");
        assert!(described.take_changed().is_none());
        write(&dir, &bytes).expect("written");
        write(&dir, &bytes).expect("replaced");
        let Ok(MetadataFile::Read(mut back)) = read(&dir) else { panic!("readable") };
        assert_eq!(back.all(), described.all());
        assert!(back.take_changed().is_none());
        for offset in 0..bytes.len() {
            dir.flip(NAME, offset, 4).expect("flipped");
            assert!(matches!(read(&dir), Ok(MetadataFile::Damaged)), "byte {offset}");
            dir.flip(NAME, offset, 4).expect("flipped back");
        }
    }
}
