//! What is known of metric families: in the log while it is new, and in a file of its own before the log's segments
//! are deleted.
//!
//! The content of the file "metadata" (`small_file.rs`) are descriptions, as in a log record.

use std::collections::BTreeMap;
use std::io;

use swell_chunk::Cursor;
use swell_env::Dir;
use swell_model::{MetricDescription, MetricMetadata};

use crate::small_file::{self, Format, Found};
use crate::wal::{put_descriptions, read_descriptions};

/// Name of the file in the data directory.
pub(crate) const NAME: &str = "metadata";
const FORMAT: Format = Format { magic: b"SWELLMET", version: 1, bytes_max: 1 << 30 };

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
        let mut content = Vec::new();
        put_descriptions(&descriptions, &mut content);
        Some(FORMAT.sealed(&content))
    }

    /// The file could not be written after all.
    pub(crate) const fn not_written(&mut self) {
        self.has_changed = true;
    }
}

/// Replaces the file.
pub(crate) fn write(dir: &dyn Dir, bytes: &[u8]) -> io::Result<()> {
    small_file::replace(dir, NAME, bytes)
}

/// Reads the file; nothing is known when there is none.
pub(crate) fn read(dir: &dyn Dir) -> io::Result<MetadataFile> {
    Ok(match FORMAT.read(dir, NAME)? {
        Found::Absent => MetadataFile::Read(Described::default()),
        Found::Content(content) => decode(&content),
        Found::Damaged => MetadataFile::Damaged,
        Found::Newer(version) => MetadataFile::Newer(version),
    })
}

fn decode(content: &[u8]) -> MetadataFile {
    let mut cursor = Cursor::new(content);
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
