//! Reads the log back at open: whole records are handed on, a torn end is cut, damage before the end is kept
//! aside and named.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use swell_env::{Dir, ReadFile};
use swell_model::{TimeRange, TimestampMs};

use super::frame::{RECORD_HEADER_LEN, SEGMENT_HEADER_LEN, VERSION, segment_version};
use super::record::{self, Position, Record};
use super::resume::Resume;
use super::scan::{Scan, Stretch};
use super::values::Bases;
use super::writer::Segment;
use super::{FOLDER, SUFFIX_DAMAGED, segment_name, segment_nr};
use crate::status::Damage;

/// What a log had to say.
#[derive(Debug, Default)]
pub(crate) struct Replayed {
    pub(crate) segments: Vec<Segment>,
    pub(crate) next_nr: u64,
    pub(crate) record_count: u64,
    /// Bytes that were read for them.
    pub(crate) read_bytes: u64,
    pub(crate) torn_bytes: u64,
    pub(crate) damage: Vec<Damage>,
}

/// Why a log cannot be read back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplayError {
    /// The system's error.
    #[error("{action} {file}")]
    Io { action: &'static str, file: String, source: io::Error },
    /// Written by a newer version of this program.
    #[error(
        "{file} has format version {version}, this program reads up to {VERSION}: use a newer version"
    )]
    Newer { file: String, version: u32 },
}

impl ReplayError {
    fn io(action: &'static str, file: &str) -> impl FnOnce(io::Error) -> Self {
        let file = file.to_owned();
        move |source| Self::Io { action, file, source }
    }
}

/// Bytes of damage copied at once.
const COPY_BYTES: u64 = 1 << 20;

/// Hands each sound record to `take` with its place, segment by segment; series numbers start anew in each. `take`
/// gives the number of samples it could not attribute. With `resume` only what was written behind it is read.
pub(crate) fn replay(
    dir: &dyn Dir,
    mut resume: Option<Resume>,
    take: &mut dyn FnMut(Position, Record<'_>) -> u64,
) -> Result<Replayed, ReplayError> {
    let first_nr = resume.as_ref().map_or(0, |resume| resume.segment_nr);
    let mut replayed = Replayed { next_nr: first_nr.max(1), ..Replayed::default() };
    let entries = dir.list(FOLDER).map_err(ReplayError::io("list", FOLDER))?;
    let numbers: Vec<u64> = entries.iter().filter_map(|entry| segment_nr(&entry.name)).collect();
    for entry in &entries {
        let Some(nr) = segment_nr(&entry.name).filter(|nr| *nr < first_nr) else { continue };
        let known = resume.as_ref().and_then(|resume| resume.segment(nr)).copied();
        replayed.segments.extend(known.map(|known| Segment { bytes: entry.len_bytes, ..known }));
    }
    for nr in numbers.iter().filter(|nr| **nr >= first_nr) {
        let is_last = Some(nr) == numbers.last();
        let from = if *nr == first_nr { resume.take() } else { None };
        replay_segment(dir, *nr, (is_last, from), take, &mut replayed)?;
        replayed.next_nr = nr + 1;
    }
    for copy in entries.iter().filter(|entry| entry.name.ends_with(SUFFIX_DAMAGED)) {
        let segment = copy.name.split('.').next().and_then(|digits| digits.parse().ok());
        if segment.is_none_or(|nr| !numbers.contains(&nr)) {
            replayed.damage.push(Damage {
                file: format!("{FOLDER}/{}", copy.name),
                offset: 0,
                what: "a damaged part of the log was set aside at an earlier start: delete the file to forget it"
                    .to_owned(),
                range: None,
            });
        }
    }
    Ok(replayed)
}

fn replay_segment(
    dir: &dyn Dir,
    nr: u64,
    (is_last, from): (bool, Option<Resume>),
    take: &mut dyn FnMut(Position, Record<'_>) -> u64,
    replayed: &mut Replayed,
) -> Result<(), ReplayError> {
    let name = segment_name(nr);
    let file = dir.open(&name).map_err(ReplayError::io("read", &name))?;
    let file_len = file.len().map_err(ReplayError::io("read", &name))?;
    let version = read_version(&*file, file_len).map_err(ReplayError::io("read", &name))?;
    if let Some(version) = version.filter(|version| !(1..=VERSION).contains(version)) {
        return Err(ReplayError::Newer { file: name, version });
    }
    // Behind a checkpoint the header says nothing that is needed.
    let resumed = from.filter(|from| from.offset > 0);
    let span = resumed.as_ref().and_then(|from| from.segment(nr)?.span);
    let start = match &resumed {
        Some(from) => from.offset,
        None if version.is_some() => SEGMENT_HEADER_LEN as u64,
        None => 0,
    };
    let mut record_count = resumed.as_ref().map_or(0, |from| from.record_nr);
    let mut bases = resumed.map_or_else(Bases::default, |from| from.bases);
    let mut scan = Scan::new(Arc::clone(&file), start).map_err(ReplayError::io("read", &name))?;
    let mut segment = Segment { nr, bytes: file_len, span };
    let before = span.map(|(_, last)| last);
    let mut faults = Faults { dir, file: &*file, name: &name, found: Vec::new(), before };
    let mut unattributed = 0;
    let mut torn = None;
    while let Some(stretch) = scan.next().map_err(ReplayError::io("read", &name))? {
        match stretch {
            // Whatever stands at the end of the newest segment without being a record was not finished.
            Stretch::Damaged { bytes } if is_last && bytes.end == file_len => torn = Some(bytes),
            Stretch::Damaged { bytes } => faults.add(bytes, "the checksum differs")?,
            Stretch::Record { offset, record_nr, payload } => {
                record_count += 1;
                match record::read(payload, &mut bases) {
                    Ok(record) => {
                        if let Record::Batch(batch) = &record {
                            let span = batch.span();
                            faults.pass(span);
                            if let Some((first, last)) = span {
                                let (from, to) = segment.span.unwrap_or((first, last));
                                segment.span = Some((from.min(first), to.max(last)));
                            }
                        }
                        replayed.record_count += 1;
                        unattributed += take(Position { segment_nr: nr, record_nr }, record);
                    }
                    Err(error) => {
                        let end = offset + (RECORD_HEADER_LEN + payload.len()) as u64;
                        faults.add(offset..end, &error.to_string())?;
                    }
                }
            }
        }
    }
    let kept_len = torn.map_or(file_len, |torn| {
        replayed.torn_bytes += torn.end - torn.start;
        torn.start
    });
    segment.bytes = kept_len;
    replayed.read_bytes += kept_len.saturating_sub(start);
    let is_empty = record_count == 0 && faults.found.is_empty();
    if is_empty || (is_last && record_count == 0 && version.is_none()) {
        return dir.remove(&name).map_err(ReplayError::io("remove", &name));
    }
    if kept_len < file_len {
        dir.truncate(&name, kept_len).map_err(ReplayError::io("cut the torn end of", &name))?;
    }
    if unattributed > 0 {
        let what = format!("{unattributed} samples belong to series whose definition is damaged");
        let range = segment.span.map(|(start_incl, end_incl)| TimeRange { start_incl, end_incl });
        faults.found.push(Damage { file: name.clone(), offset: 0, what, range });
    }
    replayed.damage.append(&mut faults.found);
    replayed.segments.push(segment);
    Ok(())
}

pub(super) fn read_version(file: &dyn ReadFile, file_len: u64) -> io::Result<Option<u32>> {
    let mut header = [0; SEGMENT_HEADER_LEN];
    if file_len < header.len() as u64 {
        return Ok(None);
    }
    file.read_at(0, &mut header)?;
    Ok(segment_version(&header))
}

/// Damage met in one segment, with the times of the records around it.
struct Faults<'a> {
    dir: &'a dyn Dir,
    file: &'a dyn ReadFile,
    name: &'a str,
    found: Vec<Damage>,
    before: Option<TimestampMs>,
}

impl Faults<'_> {
    /// Names the damage and keeps a copy of the bytes beside the segment.
    fn add(&mut self, bytes: Range<u64>, what: &str) -> Result<(), ReplayError> {
        let offset = bytes.start;
        let copy = format!("{}-{offset}{SUFFIX_DAMAGED}", self.name);
        match self.dir.create(&copy) {
            Ok(into) => {
                let mut at = bytes.start;
                while at < bytes.end {
                    let len = COPY_BYTES.min(bytes.end - at);
                    let mut piece = vec![0; usize::try_from(len).expect("a megabyte")];
                    self.file
                        .read_at(at, &mut piece)
                        .map_err(ReplayError::io("read", self.name))?;
                    into.append(&piece).map_err(ReplayError::io("write", &copy))?;
                    at += len;
                }
                into.sync().map_err(ReplayError::io("write", &copy))?;
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(ReplayError::io("create", &copy)(source)),
        }
        let range = TimeRange {
            start_incl: self.before.unwrap_or(TimestampMs::MIN),
            end_incl: TimestampMs::MAX,
        };
        let lost = bytes.end - bytes.start;
        let what = format!("{lost} bytes of the log are lost, {what}; copied to {copy}");
        let file = self.name.to_owned();
        self.found.push(Damage { file, offset, what, range: Some(range) });
        Ok(())
    }

    /// A sound record ends the range of damage before it.
    fn pass(&mut self, span: Option<(TimestampMs, TimestampMs)>) {
        let Some((first, last)) = span else { return };
        for damage in &mut self.found {
            if let Some(range) = &mut damage.range
                && range.end_incl == TimestampMs::MAX
            {
                range.end_incl = first.max(range.start_incl);
            }
        }
        self.before = Some(self.before.map_or(last, |before| before.max(last)));
    }
}
