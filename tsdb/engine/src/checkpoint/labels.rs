//! The file with the labels of the series in memory. It is written slice by slice while series come and samples are
//! appended; a checkpoint that names it adds the series that are not in it.

use std::io;

use swell_chunk::{Cursor, DecodeError, put_varint, put_zigzag};
use swell_env::Dir;
use swell_index::{Mark, MemoryIndex, TableReader};

use super::file::{Fault, FrameWriter, Frames, Image, Kind, LABELS, Seal, remove};
use super::read::ReadCheckpointError;
use crate::db::Inner;
use crate::head::{DefinedPairs, Head};
use crate::pace::Pacer;
use crate::wal::{DefinedSeries, Definitions};

/// What the names of these files begin with; a number follows.
const PREFIX: &str = "labels-";
/// The file is written anew once as many series came since as this part of it, and at least [`SINCE_MIN`]: what came
/// since is read more slowly, and written with each checkpoint.
const SINCE_PART: usize = 16;
const SINCE_MIN: usize = 1000;
/// Series in a frame of those that came since.
const FRAME_SERIES: usize = 4096;

/// A file that this process wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LabelsFile {
    nr: u64,
    mark: Mark,
    pub(super) seal: Seal,
}

fn name_of(nr: u64) -> String {
    format!("{PREFIX}{nr:08}")
}

fn nr_of(name: &str) -> Option<u64> {
    let nr = name.strip_prefix(PREFIX)?.parse().ok()?;
    // Behind the greatest number there is no next one.
    (nr < u64::MAX && name_of(nr) == name).then_some(nr)
}

fn numbers(dir: &dyn Dir) -> io::Result<Vec<u64>> {
    Ok(dir.list("")?.iter().filter_map(|entry| nr_of(&entry.name)).collect())
}

/// Removes all such files but that one; gives whether there were others.
pub(super) fn remove_others(dir: &dyn Dir, than: Option<LabelsFile>) -> io::Result<bool> {
    remove_all_but(dir, than.map(|file| file.nr))
}

fn remove_all_but(dir: &dyn Dir, kept: Option<u64>) -> io::Result<bool> {
    let others = others(dir, kept)?;
    others.iter().try_for_each(|nr| remove(dir, &name_of(*nr)))?;
    Ok(!others.is_empty())
}

fn others(dir: &dyn Dir, kept: Option<u64>) -> io::Result<Vec<u64>> {
    Ok(numbers(dir)?.into_iter().filter(|nr| Some(*nr) != kept).collect())
}

/// At a start that uses the checkpoint on disk, or found none: removes the files that it does not name, which were being
/// written, or were to be removed, when the process ended. `named` is that of the checkpoint.
pub(crate) fn remove_unnamed(dir: &dyn Dir, named: Option<u64>) -> io::Result<()> {
    if others(dir, named)?.is_empty() {
        return Ok(());
    }
    // After a power cut the checkpoint must still be the one that is there now, not one before it that names another.
    dir.sync_dir("")?;
    remove_all_but(dir, named).map(drop)
}

/// Removes a file that no checkpoint names.
pub(super) fn discard(dir: &dyn Dir, file: LabelsFile) -> io::Result<()> {
    remove(dir, &name_of(file.nr))
}

impl LabelsFile {
    /// Whether a checkpoint of the head may name it: no series was removed, and few came.
    fn serves(&self, index: &MemoryIndex) -> bool {
        let allowed = SINCE_MIN.max(self.mark.bound() as usize / SINCE_PART);
        index.since(&self.mark).is_some_and(|since| since.len() <= allowed)
    }

    /// Gives the image the name of the file, and the series that are not in it; `false` when it does not serve the head.
    pub(super) fn put(&self, head: &Head, image: &mut Image) -> bool {
        let Some(since) = head.index.since(&self.mark) else { return false };
        let mut content = Vec::new();
        put_varint(&mut content, self.nr);
        put_varint(&mut content, self.seal.bytes);
        content.extend_from_slice(&self.seal.digest.to_le_bytes());
        image.push(Kind::Labels, &content);
        for part in since.chunks(FRAME_SERIES) {
            content.clear();
            put_varint(&mut content, part.len() as u64);
            let mut before = 0;
            for idx in part {
                put_zigzag(&mut content, i64::from(*idx) - before);
                before = i64::from(*idx);
            }
            let mut labels = Definitions::default();
            part.iter().for_each(|idx| labels.add(head.pairs(head.reference(*idx))));
            labels.put(&mut content);
            image.push(Kind::LabelsSince, &content);
        }
        true
    }
}

impl Inner {
    /// A file with the labels of most series: the last one, or a new one. Gives whether it is new.
    pub(super) fn labels_file(
        &self,
        known: Option<LabelsFile>,
        mut pacer: Option<&mut Pacer>,
    ) -> io::Result<(LabelsFile, bool)> {
        if let Some(known) = known
            && known.serves(&self.state.read().head.index)
        {
            return Ok((known, false));
        }
        let first = self.new_labels_file(pacer.as_deref_mut())?;
        if first.serves(&self.state.read().head.index) {
            return Ok((first, true));
        }
        // Many series came while it was written. Once more is enough: then most are there, or it would never end.
        match self.new_labels_file(pacer) {
            Ok(second) => {
                if let Err(left) = discard(&*self.dir, first) {
                    tracing::warn!(error = %left, "a file of labels stays until the next checkpoint");
                }
                Ok((second, true))
            }
            Err(error) => {
                tracing::warn!(%error, "labels were not written once more: the next start takes longer");
                Ok((first, true))
            }
        }
    }

    fn new_labels_file(&self, pacer: Option<&mut Pacer>) -> io::Result<LabelsFile> {
        let nr = numbers(&*self.dir)?.into_iter().max().unwrap_or(0) + 1;
        let name = name_of(nr);
        match self.write_labels(&name, pacer) {
            Ok((mark, seal)) => Ok(LabelsFile { nr, mark, seal }),
            Err(error) => {
                if let Err(left) = remove(&*self.dir, &name) {
                    tracing::warn!(error = %left, "an unfinished file of labels stays");
                }
                Err(error)
            }
        }
    }

    fn write_labels(&self, name: &str, mut pacer: Option<&mut Pacer>) -> io::Result<(Mark, Seal)> {
        let mut writer = FrameWriter::create(&*self.dir, name, &LABELS)?;
        let mut table = self.state.read().head.index.table();
        let mut part = Vec::new();
        // Writers wait for one part, not for all.
        while self.state.read().head.index.write_part(&mut table, &mut part) {
            let written = writer.put_content(Kind::Table, &part)?;
            part.clear();
            self.pause(pacer.as_deref_mut(), written);
        }
        Ok((table.mark(), writer.end()?))
    }
}

/// What a checkpoint says of the file with its labels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Named {
    pub(crate) nr: u64,
    pub(crate) bytes: u64,
}

/// Reads the file that a checkpoint names.
pub(super) fn read(
    content: &mut Cursor<'_>,
    dir: &dyn Dir,
) -> Result<(MemoryIndex, Named), ReadCheckpointError> {
    let (nr, seal) =
        read_name(content).map_err(|fault| ReadCheckpointError::damaged(0, fault.what))?;
    let name = name_of(nr);
    let in_file = |fault: Fault| ReadCheckpointError::of(&name, LABELS.version, fault);
    let mut frames = Frames::open(dir, &name, &LABELS).map_err(in_file)?;
    let mut reader = TableReader::default();
    while let Some((kind, part)) = frames.next().map_err(in_file)? {
        let taken = match kind {
            Kind::Table => reader.take(part).map_err(|error| error.what),
            _ => Err("the kind of a frame is none of this file"),
        };
        taken.map_err(|what| in_file(Fault::Damaged { offset: frames.frame_start(), what }))?;
    }
    let damaged = |what| in_file(Fault::Damaged { offset: 0, what });
    if frames.seal() != seal {
        return Err(damaged("it is another file than the checkpoint names"));
    }
    let index = reader.finish().map_err(|error| damaged(error.what))?;
    Ok((index, Named { nr, bytes: seal.bytes }))
}

fn read_name(content: &mut Cursor<'_>) -> Result<(u64, Seal), DecodeError> {
    let (nr, bytes, digest) = (content.varint()?, content.varint()?, content.u32()?);
    content.finish()?;
    Ok((nr, Seal { bytes, digest }))
}

/// Reads series that came since the file was written.
pub(super) fn read_since(
    content: &mut Cursor<'_>,
    index: &mut MemoryIndex,
) -> Result<(), &'static str> {
    let what = |fault: DecodeError| fault.what;
    let count = content.count(content.remaining()).map_err(what)?;
    let mut indices = Vec::with_capacity(count);
    let mut before: i64 = 0;
    for _ in 0..count {
        before = before.wrapping_add(content.zigzag().map_err(what)?);
        indices.push(u32::try_from(before).map_err(|_| "a series number is out of range")?);
    }
    let defined = DefinedSeries::read(content).map_err(what)?;
    content.finish().map_err(what)?;
    if defined.len() != count {
        return Err("series and their numbers are not as many");
    }
    let mut pairs = DefinedPairs::new(&defined);
    for (nr, idx) in indices.into_iter().enumerate() {
        let put = match pairs.numbers(nr, index) {
            Some(numbers) => index.put_back_pairs(idx, numbers),
            None => index.put_back(idx, &defined.labels(nr)),
        };
        put.map_err(|error| error.what)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_numbers() {
        assert_eq!(nr_of(&name_of(7)), Some(7));
        for name in ["labels-7", "labels-0000000x", "labels-00000007.tmp", "checkpoint"] {
            assert_eq!(nr_of(name), None, "{name}");
        }
    }
}
