//! Reading a checkpoint. Nothing of it is used before all of it was read and found sound.

use std::io;

use swell_chunk::{Cursor, DecodeError};
use swell_env::Dir;
use swell_index::MemoryIndex;
use swell_model::{Exemplar, Labels, MetricDescription, TimeRange, TimestampMs};
use swell_telemetry::chain;

use super::file::{CHECKPOINT, Fault, Frames, Kind, NAME};
use super::labels::{self, Named};
use crate::db::Db;
use crate::head::{Head, HeadReader};
use crate::status::Damage;
use crate::wal::{self, Resume};

/// What a checkpoint brings back.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) head: Head,
    /// The file with the labels; older checkpoints have none.
    pub(crate) labels: Option<Named>,
    /// Where the log goes on.
    pub(crate) resume: Resume,
    /// Damage of the log met earlier.
    pub(crate) damage: Vec<Damage>,
    /// In the order they came, each with its series.
    pub(crate) exemplars: Vec<(Labels, Exemplar)>,
    pub(crate) descriptions: Vec<MetricDescription>,
}

/// Why a checkpoint is not used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadCheckpointError {
    /// The system's error.
    #[error("read {file}")]
    Io {
        file: String,
        #[source]
        source: io::Error,
    },
    /// It is not what was written.
    #[error("{file} is damaged at byte {offset}: {what}")]
    Damaged { file: String, offset: u64, what: &'static str },
    /// Written by a newer version of this program.
    #[error(
        "{file} has format version {version}, this program reads up to {known}: use a newer version, or delete the \
         file {NAME}: the log has all of it"
    )]
    Newer { file: String, version: u32, known: u32 },
}

impl ReadCheckpointError {
    /// A fault met in that file.
    pub(super) fn of(file: &str, known: u32, fault: Fault) -> Self {
        let file = file.to_owned();
        match fault {
            Fault::Io(source) => Self::Io { file, source },
            Fault::Damaged { offset, what } => Self::Damaged { file, offset, what },
            Fault::Newer(version) => Self::Newer { file, version, known },
        }
    }

    /// The checkpoint itself is not what was written.
    pub(super) fn damaged(offset: u64, what: &'static str) -> Self {
        Self::Damaged { file: NAME.to_owned(), offset, what }
    }
}

impl From<Fault> for ReadCheckpointError {
    fn from(fault: Fault) -> Self {
        Self::of(NAME, CHECKPOINT.version, fault)
    }
}

impl Db {
    /// Reads all of the checkpoint, if there is one.
    ///
    /// # Errors
    /// What is wrong with it, and what to do.
    pub fn verify_checkpoint(&self) -> Result<(), String> {
        let advice = "nothing is lost, since the log has all of it: delete the file, or let the server replace it";
        match read(&*self.inner.dir) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("{}; {advice}", chain(&error))),
        }
    }
}

/// Reads the checkpoint; `None` when there is none.
pub(crate) fn read(dir: &dyn Dir) -> Result<Option<Loaded>, ReadCheckpointError> {
    let mut frames = match Frames::open(dir, NAME, &CHECKPOINT) {
        Err(Fault::Io(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        frames => frames?,
    };
    let mut reader = Reader {
        head: HeadReader::new(usize::try_from(frames.file_len()).unwrap_or(usize::MAX)),
        index: None,
        labels: None,
        log: None,
        exemplars: Vec::new(),
        descriptions: Vec::new(),
    };
    while let Some((kind, content)) = frames.next()? {
        if kind == Kind::Labels {
            let (index, named) = labels::read(&mut Cursor::new(content), dir)?;
            (reader.index, reader.labels) = (Some(index), Some(named));
            continue;
        }
        let taken = reader.take(kind, content);
        taken.map_err(|what| ReadCheckpointError::damaged(frames.frame_start(), what))?;
    }
    let offset = frames.frame_start();
    reader.finish().map(Some).map_err(|what| ReadCheckpointError::damaged(offset, what))
}

struct Reader {
    head: HeadReader,
    /// Series from the file with the labels, until the head begins.
    index: Option<MemoryIndex>,
    labels: Option<Named>,
    log: Option<(Vec<Damage>, Resume)>,
    exemplars: Vec<(Labels, Exemplar)>,
    descriptions: Vec<MetricDescription>,
}

impl Reader {
    fn take(&mut self, kind: Kind, content: &[u8]) -> Result<(), &'static str> {
        let mut cursor = Cursor::new(content);
        let taken = match (kind, &mut self.log) {
            (Kind::LabelsSince, _) => {
                let index = self.index.as_mut().ok_or("labels are out of place")?;
                return labels::read_since(&mut cursor, index);
            }
            (Kind::Head(part), _) => {
                if let Some(mut index) = self.index.take() {
                    index.settle();
                    self.head.set_index(index);
                }
                return self.head.take(part, content).map_err(|fault| fault.what());
            }
            (Kind::Log, log) => read_log(&mut cursor).map(|read| *log = Some(read)),
            (Kind::LogSeries, Some((_, resume))) => resume.read_series(&mut cursor),
            (Kind::LogSeries, None) => return Err("series stand before their segment"),
            (Kind::Exemplars, _) => read_exemplars(&mut cursor, &mut self.exemplars),
            (Kind::Descriptions, _) => wal::read_descriptions(&mut cursor)
                .and_then(|read| cursor.finish().map(|()| self.descriptions.extend(read))),
            (Kind::Labels | Kind::Table | Kind::End, _) => {
                return Err("the kind of a frame is none of this file");
            }
        };
        taken.map_err(|fault| fault.what)
    }

    fn finish(self) -> Result<Loaded, &'static str> {
        let (damage, resume) = self.log.ok_or("the place in the log is missing")?;
        let head = self.head.finish().map_err(|fault| fault.what())?;
        let is_known = |idx: &Option<u32>| idx.is_none_or(|idx| head.generation(idx).is_some());
        if !resume.is_whole() || !resume.known.iter().all(is_known) {
            return Err("the log's series are not those of the head");
        }
        let Self { labels, exemplars, descriptions, .. } = self;
        Ok(Loaded { head, labels, resume, damage, exemplars, descriptions })
    }
}

fn read_log(cursor: &mut Cursor<'_>) -> Result<(Vec<Damage>, Resume), DecodeError> {
    let mut damage = Vec::new();
    for _ in 0..cursor.count(cursor.remaining())? {
        let file = wal::read_text(cursor)?.to_owned();
        let offset = cursor.varint()?;
        let what = wal::read_text(cursor)?.to_owned();
        let range = match cursor.u8()? {
            0 => None,
            _ => Some(TimeRange {
                start_incl: TimestampMs(cursor.zigzag()?),
                end_incl: TimestampMs(cursor.zigzag()?),
            }),
        };
        damage.push(Damage { file, offset, what, range });
    }
    Ok((damage, Resume::read(cursor)?))
}

fn read_exemplars(
    cursor: &mut Cursor<'_>,
    out: &mut Vec<(Labels, Exemplar)>,
) -> Result<(), DecodeError> {
    let mut known: Vec<Labels> = Vec::new();
    while cursor.remaining() > 0 {
        let number = cursor.count(known.len())?;
        if number == known.len() {
            known.push(read_labels(cursor)?);
        }
        let (timestamp, value) = (TimestampMs(cursor.zigzag()?), f64::from_bits(cursor.u64()?));
        let labels = read_labels(cursor)?;
        out.push((known[number].clone(), Exemplar { labels, value, timestamp }));
    }
    Ok(())
}

fn read_labels(cursor: &mut Cursor<'_>) -> Result<Labels, DecodeError> {
    let mut pairs = Vec::new();
    for _ in 0..cursor.count(cursor.remaining())? {
        pairs.push((wal::read_text(cursor)?, wal::read_text(cursor)?));
    }
    Ok(Labels::from_pairs(pairs))
}
