//! Reads the log back at open: whole records are handed on, a torn end is cut, damage before the end is kept
//! aside and named.

use std::io;

use swell_env::{Dir, read_whole};
use swell_model::{TimeRange, TimestampMs};

use super::record::{Record, SEGMENT_HEADER_LEN, Stretch, VERSION, scan, segment_version};
use super::writer::Segment;
use super::{FOLDER, SUFFIX_DAMAGED, segment_name, segment_nr};
use crate::status::Damage;

/// What a log had to say.
#[derive(Debug, Default)]
pub(crate) struct Replayed {
    pub(crate) segments: Vec<Segment>,
    pub(crate) next_nr: u64,
    pub(crate) record_count: u64,
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

/// Longest segment that is read: one record above the size at which segments end.
const SEGMENT_READ_MAX_BYTES: u64 = 1 << 33;

/// Hands each sound record to `take`, segment by segment; `take` is told when a segment starts, since series
/// numbers start anew there, and gives the number of samples it could not attribute.
pub(crate) fn replay(
    dir: &dyn Dir,
    take: &mut dyn FnMut(u64, Record) -> u64,
) -> Result<Replayed, ReplayError> {
    let mut replayed = Replayed { next_nr: 1, ..Replayed::default() };
    let entries = dir.list(FOLDER).map_err(ReplayError::io("list", FOLDER))?;
    let numbers: Vec<u64> = entries.iter().filter_map(|entry| segment_nr(&entry.name)).collect();
    for nr in &numbers {
        let is_last = Some(nr) == numbers.last();
        replay_segment(dir, *nr, is_last, take, &mut replayed)?;
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
    is_last: bool,
    take: &mut dyn FnMut(u64, Record) -> u64,
    replayed: &mut Replayed,
) -> Result<(), ReplayError> {
    let name = segment_name(nr);
    let bytes =
        read_whole(dir, &name, SEGMENT_READ_MAX_BYTES).map_err(ReplayError::io("read", &name))?;
    let version = segment_version(&bytes);
    if let Some(version) = version.filter(|version| *version != VERSION) {
        return Err(ReplayError::Newer { file: name, version });
    }
    let mut stretches = scan(&bytes, if version.is_some() { SEGMENT_HEADER_LEN } else { 0 });
    let mut kept_len = bytes.len();
    if is_last && let Some(Stretch::Damaged { bytes: torn }) = stretches.last().cloned() {
        stretches.pop();
        kept_len = torn.start;
        replayed.torn_bytes += torn.len() as u64;
        cut(dir, &name, kept_len)?;
    }
    let has_records = stretches.iter().any(|stretch| matches!(stretch, Stretch::Record { .. }));
    if stretches.is_empty() || (is_last && !has_records && version.is_none()) {
        if kept_len > 0 {
            dir.remove(&name).map_err(ReplayError::io("remove", &name))?;
        }
        return Ok(());
    }
    let mut segment = Segment { nr, bytes: kept_len as u64, span: None };
    let mut faults = Faults { dir, name: &name, found: Vec::new(), before: None };
    let mut unattributed = 0;
    for stretch in &stretches {
        match stretch {
            Stretch::Damaged { bytes: range } => {
                faults.add(range.start, &bytes[range.clone()], "the checksum differs")?;
            }
            Stretch::Record { payload } => match Record::decode(&bytes[payload.clone()]) {
                Ok(record) => {
                    let span = record.span();
                    faults.pass(span);
                    if let Some((first, last)) = span {
                        let (from, to) = segment.span.unwrap_or((first, last));
                        segment.span = Some((from.min(first), to.max(last)));
                    }
                    replayed.record_count += 1;
                    unattributed += take(nr, record);
                }
                Err(error) => {
                    faults.add(payload.start, &bytes[payload.clone()], &error.to_string())?;
                }
            },
        }
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

/// Cuts a torn end off; a segment of which nothing is left goes.
fn cut(dir: &dyn Dir, name: &str, kept_len: usize) -> Result<(), ReplayError> {
    if kept_len == 0 {
        dir.remove(name).map_err(ReplayError::io("remove", name))
    } else {
        dir.truncate(name, kept_len as u64).map_err(ReplayError::io("cut the torn end of", name))
    }
}

/// Damage met in one segment, with the times of the records around it.
struct Faults<'a> {
    dir: &'a dyn Dir,
    name: &'a str,
    found: Vec<Damage>,
    before: Option<TimestampMs>,
}

impl Faults<'_> {
    /// Names the damage and keeps a copy of the bytes beside the segment.
    fn add(&mut self, offset: usize, bytes: &[u8], what: &str) -> Result<(), ReplayError> {
        let copy = format!("{}-{offset}{SUFFIX_DAMAGED}", self.name);
        match self.dir.create(&copy) {
            Ok(file) => file
                .append(bytes)
                .and_then(|()| file.sync())
                .map_err(ReplayError::io("write", &copy))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(ReplayError::io("create", &copy)(source)),
        }
        let range = TimeRange {
            start_incl: self.before.unwrap_or(TimestampMs::MIN),
            end_incl: TimestampMs::MAX,
        };
        let what = format!("{} bytes of the log are lost, {what}; copied to {copy}", bytes.len());
        let (file, offset) = (self.name.to_owned(), offset as u64);
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
