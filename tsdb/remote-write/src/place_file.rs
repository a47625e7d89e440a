//! Where each shard of a queue stands in the log, in a file that grows by a record each time, and is written anew before it
//! is long. What is read back is the last record that is whole.
//!
//! ```text
//!   0  8  "SWELLRWP"
//!   8  4  version, 1
//!  12  4  checksum of bytes 0-11
//! records:
//!   0  4  length of the payload
//!   4  4  checksum of the payload
//!   8     payload: varint shards; each: varint segment, varint record, varint point
//! ```

use std::io;
use std::sync::Arc;

use swell_chunk::{Cursor, DecodeError, put_varint};
use swell_env::{AppendFile, Dir, read_whole};

use crate::place::Place;

const MAGIC: &[u8; 8] = b"SWELLRWP";
const VERSION: u32 = 1;
const HEADER_LEN: usize = 16;
const RECORD_HEADER_LEN: usize = 8;
/// A file this long is written anew.
const FILE_MAX_BYTES: usize = 64 << 10;
/// What is read at most: a file, and a record of as many shards as there may be.
const READ_MAX_BYTES: u64 = 16 << 20;
const SUFFIX: &str = ".position";
const SUFFIX_UNFINISHED: &str = ".position.tmp";
/// Letters of a queue's name in its file's name.
const SHOWN_NAME_LEN: usize = 40;

/// Why there is no place to go on at.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlaceFileError {
    /// The system's error.
    #[error("{action} {file}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        file: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// Written by a newer version of this program.
    #[error(
        "{file} has format version {version}, this program reads up to {VERSION}: use a newer version"
    )]
    Newer {
        /// The file.
        file: String,
        /// Its version.
        version: u32,
    },
}

/// What a file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// There is none: the queue is new.
    Nothing,
    /// Where the shards stand.
    Places(Vec<Place>),
    /// No record is whole.
    Damaged,
}

/// The file of one queue.
#[derive(Debug)]
pub(crate) struct PlaceFile {
    dir: Arc<dyn Dir>,
    stem: String,
    file: Option<Arc<dyn AppendFile>>,
    len: usize,
}

/// The name of a queue's file without its ending: letters of the queue's name, and its checksum.
fn stem(queue: &str) -> String {
    let is_plain = |letter: &char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    let shown: String = queue.chars().filter(is_plain).take(SHOWN_NAME_LEN).collect();
    format!("{shown}-{:08x}", crc32fast::hash(queue.as_bytes()))
}

impl PlaceFile {
    /// The file of that queue, and what it says.
    pub(crate) fn open(dir: Arc<dyn Dir>, queue: &str) -> Result<(Self, Found), PlaceFileError> {
        let stem = stem(queue);
        let name = format!("{stem}{SUFFIX}");
        let found = match read_whole(&*dir, &name, READ_MAX_BYTES) {
            Ok(bytes) => read(&bytes)
                .map_err(|version| PlaceFileError::Newer { file: name.clone(), version })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Found::Nothing,
            Err(source) => {
                return Err(PlaceFileError::Io { action: "read", file: name, source });
            }
        };
        Ok((Self { dir, stem, file: None, len: 0 }, found))
    }

    /// Writes down where the shards stand: it outlives this process, and after a sync a power cut.
    pub(crate) fn write(&mut self, places: &[Place]) -> Result<(), PlaceFileError> {
        let mut record = vec![0; RECORD_HEADER_LEN];
        put_varint(&mut record, places.len() as u64);
        for place in places {
            for number in [place.segment, u64::from(place.record), u64::from(place.sample)] {
                put_varint(&mut record, number);
            }
        }
        let payload_len = u32::try_from(record.len() - RECORD_HEADER_LEN).expect("few shards");
        let checksum = crc32fast::hash(&record[RECORD_HEADER_LEN..]);
        record[..4].copy_from_slice(&payload_len.to_le_bytes());
        record[4..RECORD_HEADER_LEN].copy_from_slice(&checksum.to_le_bytes());
        if let Some(file) = self.file.take_if(|_| self.len + record.len() <= FILE_MAX_BYTES) {
            // After a failure half of it may be there: the next one writes the file anew.
            file.append(&record).map_err(self.fault("write", SUFFIX))?;
            self.len += record.len();
            self.file = Some(file);
            return Ok(());
        }
        self.write_anew(&record)
    }

    fn write_anew(&mut self, record: &[u8]) -> Result<(), PlaceFileError> {
        let (name, unfinished) =
            (format!("{}{SUFFIX}", self.stem), format!("{}{SUFFIX_UNFINISHED}", self.stem));
        self.file = None;
        match self.dir.remove(&unfinished) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(self.fault("remove", SUFFIX_UNFINISHED)(source));
            }
            _ => {}
        }
        let file = self.dir.create(&unfinished).map_err(self.fault("make", SUFFIX_UNFINISHED))?;
        let mut bytes = header().to_vec();
        bytes.extend_from_slice(record);
        file.append(&bytes)
            .and_then(|()| file.sync())
            .and_then(|()| self.dir.rename(&unfinished, &name))
            .and_then(|()| self.dir.sync_dir(""))
            .map_err(self.fault("write", SUFFIX))?;
        self.len = bytes.len();
        self.file = Some(file);
        Ok(())
    }

    /// Makes what was written survive a power cut.
    pub(crate) fn sync(&self) -> Result<(), PlaceFileError> {
        match &self.file {
            Some(file) => file.sync().map_err(self.fault("sync", SUFFIX)),
            None => Ok(()),
        }
    }

    fn fault(
        &self,
        action: &'static str,
        suffix: &str,
    ) -> impl FnOnce(io::Error) -> PlaceFileError + use<> {
        let file = format!("{}{suffix}", self.stem);
        move |source| PlaceFileError::Io { action, file, source }
    }
}

/// Removes the files of queues that are none of these; gives their names.
pub(crate) fn remove_others<'q>(
    dir: &dyn Dir,
    queues: impl Iterator<Item = &'q str>,
) -> Result<Vec<String>, PlaceFileError> {
    // Those that run may be writing theirs.
    let names =
        |queue| [SUFFIX, SUFFIX_UNFINISHED].map(|suffix| format!("{}{suffix}", stem(queue)));
    let kept: Vec<String> = queues.flat_map(names).collect();
    let fault = |action, file: &str| {
        let file = file.to_owned();
        move |source| PlaceFileError::Io { action, file, source }
    };
    let entries = dir.list("").map_err(fault("list", "the folder of places"))?;
    let is_other = |name: &String| {
        (name.ends_with(SUFFIX) || name.ends_with(SUFFIX_UNFINISHED)) && !kept.contains(name)
    };
    let others: Vec<String> =
        entries.into_iter().map(|entry| entry.name).filter(is_other).collect();
    for name in &others {
        match dir.remove(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            outcome => outcome.map_err(fault("remove", name))?,
        }
    }
    Ok(others)
}

fn header() -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    let checksum = crc32fast::hash(&header[..12]);
    header[12..].copy_from_slice(&checksum.to_le_bytes());
    header
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// What the bytes of a file say, or its version when that is a newer one.
fn read(bytes: &[u8]) -> Result<Found, u32> {
    let is_whole = bytes.len() >= HEADER_LEN
        && bytes[..8] == *MAGIC
        && word(bytes, 12) == Some(crc32fast::hash(&bytes[..12]));
    if !is_whole {
        return Ok(Found::Damaged);
    }
    if let Some(version) = word(bytes, 8).filter(|version| *version != VERSION) {
        return Err(version);
    }
    let mut found = Found::Damaged;
    let mut at = HEADER_LEN;
    while let (Some(len), Some(checksum)) = (word(bytes, at), word(bytes, at + 4)) {
        let start = at + RECORD_HEADER_LEN;
        let payload = usize::try_from(len).ok().and_then(|len| bytes.get(start..start + len));
        let Some(payload) = payload.filter(|payload| crc32fast::hash(payload) == checksum) else {
            break;
        };
        let Ok(places) = read_places(payload) else { break };
        found = Found::Places(places);
        at = start + payload.len();
    }
    Ok(found)
}

fn read_places(payload: &[u8]) -> Result<Vec<Place>, DecodeError> {
    let mut cursor = Cursor::new(payload);
    let count = cursor.count(cursor.remaining())?;
    let mut places = Vec::new();
    for _ in 0..count {
        let (segment, record, sample) =
            (cursor.varint()?, cursor.varint_u32()?, cursor.varint_u32()?);
        places.push(Place { segment, record, sample });
    }
    cursor.finish()?;
    if places.is_empty() { Err(cursor.fault("there is no shard")) } else { Ok(places) }
}

#[cfg(test)]
mod tests {
    use swell_env::MemDir;

    use super::*;

    fn place(record: u32) -> Place {
        Place { segment: 7, record, sample: u32::MAX }
    }

    fn open(dir: &MemDir) -> (PlaceFile, Found) {
        PlaceFile::open(Arc::new(dir.clone()), "a queue/é").expect("opens")
    }

    fn name(dir: &MemDir) -> String {
        dir.list("").expect("there")[0].name.clone()
    }

    #[test]
    fn the_last_places_are_read_back_however_often_they_are_written() {
        let dir = MemDir::new();
        let (mut file, found) = open(&dir);
        assert_eq!(found, Found::Nothing);
        for nr in 0..20_000 {
            file.write(&[place(nr), place(nr + 1), Place::default()]).expect("written");
        }
        file.sync().expect("synced");
        let len = dir.list("").expect("there")[0].len_bytes;
        assert!(len <= FILE_MAX_BYTES as u64, "{len} bytes");
        let expected = vec![place(19_999), place(20_000), Place::default()];
        assert_eq!(open(&dir).1, Found::Places(expected));
    }

    #[test]
    fn what_is_cut_short_or_damaged_gives_the_record_before() {
        let dir = MemDir::new();
        let (mut file, _) = open(&dir);
        file.write(&[place(1)]).expect("written");
        let first_len = file.len;
        file.write(&[place(2)]).expect("written");
        let bytes = read_whole(&dir, &name(&dir), 1000).expect("readable");
        for len in 0..bytes.len() {
            let expected = match len {
                len if len < first_len => Found::Damaged,
                _ => Found::Places(vec![place(1)]),
            };
            assert_eq!(read(&bytes[..len]), Ok(expected), "{len} bytes");
        }
        for at in 0..bytes.len() {
            let mut hurt = bytes.clone();
            hurt[at] ^= 0x40;
            let found = read(&hurt).expect("no newer version: the checksum differs");
            let expected = [Found::Damaged, Found::Places(vec![place(1)])];
            assert!(expected.contains(&found), "byte {at}: {found:?}");
        }
    }

    #[test]
    fn a_newer_file_is_refused() {
        let mut bytes = header().to_vec();
        bytes[8] = 2;
        let checksum = crc32fast::hash(&bytes[..12]);
        bytes[12..].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(read(&bytes), Err(2));
    }

    #[test]
    fn files_of_queues_that_are_gone_are_removed() {
        let dir = MemDir::new();
        for queue in ["a", "b"] {
            let (mut file, _) = PlaceFile::open(Arc::new(dir.clone()), queue).expect("opens");
            file.write(&[place(1)]).expect("written");
        }
        let gone = remove_others(&dir, ["b"].into_iter()).expect("removed");
        assert_eq!(gone, [format!("{}{SUFFIX}", stem("a"))]);
        assert_eq!(dir.list("").expect("there").len(), 1);
        let places = Found::Places(vec![place(1)]);
        assert_eq!(PlaceFile::open(Arc::new(dir), "b").expect("opens").1, places);
    }
}
