//! Reads a block. Nothing is used before its checksum was verified: the footer at open, directories and index
//! when the block is first asked, frames when a column is.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use rustc_hash::FxHashMap;
use swell_chunk::{
    Cursor, DecodeError, FloatCursors, FloatReader, HISTOGRAMS_MAX, read_histograms, read_times,
};
use swell_env::{Dir, Monotonic, ReadFile};
use swell_index::{IndexError, SliceIndex};
use swell_model::{DurationMs, NativeHistogram};

use super::frames::{self, Frame, Location};
use super::group::{BlockSeries, FloatColumns, Group, GroupDirectory, HistogramColumns};
use super::times::{self, TimesColumn};
use super::{
    BlockId, BlockMeta, CHUNK_LEN, FOLDER, FRAMES, HEADER_LEN, INDEX, MAGIC, MAGIC_END,
    REFERENCE_DEPTH_MAX, ReadBlockError, SECTION_COUNT, SERIES, SERIES_GROUP_LEN, TIMES,
    TRAILER_LEN, VERSION, VERSION_AGGREGATES,
};
use crate::tombstones::{self, ReadTombstonesError, Tombstones};

/// A finished block whose footer is sound.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) meta: BlockMeta,
    pub(crate) name: String,
    file: Arc<dyn ReadFile>,
    sections: [Section; SECTION_COUNT],
    /// Directories and index while the block is in use, with the time it was last asked.
    loaded: Mutex<Option<(Arc<Loaded>, Monotonic)>>,
    /// First damage met; the block takes no part in compaction after that.
    damage: Mutex<Option<(u64, String)>>,
    /// What of the block is deleted; of a block whose tombstones are damaged nothing is read.
    tombstones: RwLock<Result<Arc<Tombstones<u32>>, TombstonesFault>>,
}

/// Where the tombstones of a block are damaged, and how.
#[derive(Clone, Debug)]
pub(crate) struct TombstonesFault {
    pub(crate) file: String,
    pub(crate) offset: u64,
    pub(crate) what: String,
}

#[derive(Clone, Copy, Debug, Default)]
struct Section {
    offset: u64,
    len: u64,
    checksum: u32,
}

impl Block {
    /// Opens a finished block.
    pub(crate) fn open(dir: &dyn Dir, id: BlockId) -> Result<Self, ReadBlockError> {
        let name = format!("{FOLDER}/{}", id.file_name());
        let read_fault = |source| ReadBlockError::Read { file: name.clone(), source };
        let damaged = |offset, what: &str| ReadBlockError::Damaged {
            file: name.clone(),
            offset,
            what: what.to_owned(),
        };
        let file = dir.open(&name).map_err(read_fault)?;
        let file_len = file.len().map_err(read_fault)?;
        let body_end = file_len.checked_sub(TRAILER_LEN as u64);
        let Some(body_end) = body_end.filter(|end| *end >= HEADER_LEN as u64) else {
            return Err(damaged(file_len, "the file is too short for a block"));
        };
        let mut header = [0; HEADER_LEN];
        file.read_at(0, &mut header).map_err(read_fault)?;
        let word = |bytes: &[u8], at: usize| {
            u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
        };
        if header[..8] != *MAGIC || crc32fast::hash(&header[..12]) != word(&header, 12) {
            return Err(damaged(0, "the header is not one of a block"));
        }
        let version = word(&header, 8);
        if version > VERSION_AGGREGATES {
            return Err(ReadBlockError::Newer { file: name, version });
        }
        let mut trailer = [0; TRAILER_LEN];
        file.read_at(body_end, &mut trailer).map_err(read_fault)?;
        if trailer[8..] != *MAGIC_END {
            return Err(damaged(body_end, "the end is not one of a block"));
        }
        let footer_len = u64::from(word(&trailer, 0));
        let footer_start = body_end.checked_sub(footer_len).filter(|at| *at >= HEADER_LEN as u64);
        let Some(footer_start) = footer_start else {
            return Err(damaged(body_end, "the footer is longer than the file"));
        };
        let mut footer = vec![0; usize::try_from(footer_len).expect("below 4 GiB")];
        file.read_at(footer_start, &mut footer).map_err(read_fault)?;
        if crc32fast::hash(&footer) != word(&trailer, 4) {
            return Err(damaged(footer_start, "the checksum of the footer differs"));
        }
        let (mut meta, sections) = read_footer(&footer, footer_start)
            .map_err(|error| damaged(footer_start, &error.to_string()))?;
        if meta.id != id {
            return Err(damaged(footer_start, "the block has the name of another one"));
        }
        if (version == VERSION) != (meta.resolution == DurationMs::ZERO) {
            return Err(damaged(footer_start, "the resolution does not fit the version"));
        }
        meta.file_bytes = file_len;
        meta.index_bytes = sections[INDEX].len;
        Ok(Self {
            meta,
            name,
            file,
            sections,
            loaded: Mutex::default(),
            damage: Mutex::default(),
            tombstones: RwLock::new(Ok(Arc::default())),
        })
    }

    /// Reads the file of what is deleted of this block. Damage there hides the block: what it would show might
    /// be deleted.
    pub(crate) fn open_tombstones(&self, dir: &dyn Dir) -> Result<(), ReadTombstonesError> {
        let found = tombstones::read(dir, &tombstones::name_of(self.meta.id), self.meta.id.0);
        *self.tombstones.write() = match found {
            Ok(found) => Ok(Arc::new(found)),
            Err(ReadTombstonesError::Damaged { file, offset, what }) => {
                Err(TombstonesFault { file, offset, what })
            }
            Err(error) => return Err(error),
        };
        Ok(())
    }

    /// The file of what is deleted of this block should be there and is not.
    pub(crate) fn miss_tombstones(&self) {
        let file = tombstones::name_of(self.meta.id);
        let what = "the file is missing: samples that were deleted would be shown".to_owned();
        *self.tombstones.write() = Err(TombstonesFault { file, offset: 0, what });
    }

    /// What of the block is deleted.
    pub(crate) fn tombstones(&self) -> Result<Arc<Tombstones<u32>>, ReadBlockError> {
        self.tombstones.read().clone().map_err(|TombstonesFault { file, offset, what }| {
            ReadBlockError::Damaged { file, offset, what }
        })
    }

    /// Whether a part of the block is deleted.
    pub(crate) fn has_tombstones(&self) -> bool {
        self.tombstones.read().as_ref().map_or(true, |tombstones| !tombstones.is_empty())
    }

    /// Damage of the file of what is deleted.
    pub(crate) fn tombstones_fault(&self) -> Option<TombstonesFault> {
        self.tombstones.read().as_ref().err().cloned()
    }

    /// Hides more of the block from readers.
    pub(crate) fn set_tombstones(&self, tombstones: Tombstones<u32>) {
        *self.tombstones.write() = Ok(Arc::new(tombstones));
    }

    /// Directories and index, read now if they are not there.
    pub(crate) fn load(self: &Arc<Self>, now: Monotonic) -> Result<Arc<Loaded>, ReadBlockError> {
        let mut slot = self.loaded.lock();
        if let Some((loaded, used)) = slot.as_mut() {
            *used = now;
            return Ok(Arc::clone(loaded));
        }
        let loaded = Arc::new(self.read_directories()?);
        *slot = Some((Arc::clone(&loaded), now));
        Ok(loaded)
    }

    /// Gives the memory of directories and index back when nobody asked for them since `before`.
    pub(crate) fn unload_unused(&self, now: Monotonic, idle: std::time::Duration) {
        let mut slot = self.loaded.lock();
        if slot.as_ref().is_some_and(|(_, used)| now.since(*used) >= idle) {
            *slot = None;
        }
    }

    /// The first damage that was met, with its offset.
    pub(crate) fn damage(&self) -> Option<(u64, String)> {
        self.damage.lock().clone()
    }

    fn damaged(&self, offset: u64, what: impl Into<String>) -> ReadBlockError {
        let what = what.into();
        self.damage.lock().get_or_insert_with(|| (offset, what.clone()));
        ReadBlockError::Damaged { file: self.name.clone(), offset, what }
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<(), ReadBlockError> {
        match self.file.read_at(offset, into) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(self.damaged(offset, "the file ends early"))
            }
            Err(source) => Err(ReadBlockError::Read { file: self.name.clone(), source }),
        }
    }

    fn section(&self, idx: usize) -> Result<Vec<u8>, ReadBlockError> {
        let section = self.sections[idx];
        let mut bytes = vec![0; usize::try_from(section.len).expect("sections fit the file")];
        self.read_at(section.offset, &mut bytes)?;
        if crc32fast::hash(&bytes) == section.checksum {
            Ok(bytes)
        } else {
            Err(self.damaged(section.offset, "the checksum of a section differs"))
        }
    }

    fn read_directories(self: &Arc<Self>) -> Result<Loaded, ReadBlockError> {
        let at = |idx: usize| self.sections[idx].offset;
        let decode_fault = |idx| move |error: DecodeError| self.damaged(at(idx), error.to_string());
        let frames = frames::read_directory(&self.section(FRAMES)?, at(FRAMES))
            .map_err(decode_fault(FRAMES))?;
        let times = times::read_directory(&self.section(TIMES)?).map_err(decode_fault(TIMES))?;
        let groups = GroupDirectory::new(self.section(SERIES)?).map_err(decode_fault(SERIES))?;
        let index = SliceIndex::new(self.section(INDEX)?)
            .map_err(|error| self.damaged(at(INDEX), error.to_string()))?;
        let series_count = index.series_count() as usize;
        if groups.len() != series_count.div_ceil(SERIES_GROUP_LEN)
            || series_count as u64 != self.meta.series_count
        {
            return Err(self.damaged(at(SERIES), "the series do not fit the index"));
        }
        let block = Arc::clone(self);
        let recent = Mutex::default();
        Ok(Loaded { block, frames, times, groups, series_count, index, recent })
    }
}

fn read_footer(
    footer: &[u8],
    footer_start: u64,
) -> Result<(BlockMeta, [Section; SECTION_COUNT]), DecodeError> {
    let mut cursor = Cursor::new(footer);
    let meta = BlockMeta::read(&mut cursor)?;
    let mut sections = [Section::default(); SECTION_COUNT];
    for section in &mut sections {
        section.len = cursor.varint()?;
        section.checksum = cursor.u32()?;
    }
    cursor.finish()?;
    // Sections stand one behind the other, the last right before the footer.
    let mut end = footer_start;
    for section in sections.iter_mut().rev() {
        section.offset = end
            .checked_sub(section.len)
            .filter(|offset| *offset >= HEADER_LEN as u64)
            .ok_or_else(|| cursor.fault("the sections are longer than the file"))?;
        end = section.offset;
    }
    Ok((meta, sections))
}

/// Directories and index of a block, verified.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) block: Arc<Block>,
    frames: Vec<Frame>,
    times: Vec<TimesColumn>,
    groups: GroupDirectory,
    series_count: usize,
    pub(crate) index: SliceIndex<Vec<u8>>,
    /// Groups read last, newest first.
    recent: Mutex<VecDeque<(usize, Arc<Group>)>>,
}

/// Groups of series kept as they were read, some ten kilobytes each.
const GROUPS_KEPT: usize = 16;

impl Loaded {
    /// Finds the columns of series; fast when the indices rise.
    pub(crate) fn series(&self, indices: &[u32]) -> Result<Vec<BlockSeries>, ReadBlockError> {
        let mut out = Vec::with_capacity(indices.len());
        let mut last: Option<(usize, Arc<Group>)> = None;
        for idx in indices {
            let position = *idx as usize;
            let group_idx = position / SERIES_GROUP_LEN;
            let group = match last.take() {
                Some((last_idx, group)) if last_idx == group_idx => group,
                _ => self.group(group_idx)?,
            };
            if position >= self.series_count {
                return Err(self.series_fault(0, "a series lies outside the block"));
            }
            out.push(group.series(position % SERIES_GROUP_LEN, *idx));
            last = Some((group_idx, group));
        }
        Ok(out)
    }

    /// A block of aggregates holds a series without any.
    pub(super) fn not_aggregated(&self) -> ReadBlockError {
        self.series_fault(0, "a series has no aggregates")
    }

    fn series_fault(&self, offset: usize, what: &str) -> ReadBlockError {
        self.block.damaged(self.block.sections[SERIES].offset + offset as u64, what)
    }

    fn group(&self, idx: usize) -> Result<Arc<Group>, ReadBlockError> {
        if let Some((_, group)) = self.recent.lock().iter().find(|(other, _)| *other == idx) {
            return Ok(Arc::clone(group));
        }
        let first = idx * SERIES_GROUP_LEN;
        let count = SERIES_GROUP_LEN.min(self.series_count.saturating_sub(first));
        let group = self
            .groups
            .read(idx, count, &self.times, &self.frames)
            .map_err(|error| self.series_fault(error.offset, error.what))?;
        let group = Arc::new(group);
        let mut recent = self.recent.lock();
        recent.truncate(GROUPS_KEPT - 1);
        recent.push_front((idx, Arc::clone(&group)));
        Ok(group)
    }

    /// A column of times.
    pub(crate) fn times(
        &self,
        column: u32,
        frames: &mut FrameCache,
    ) -> Result<Vec<i64>, ReadBlockError> {
        let column = self.times[column as usize];
        let body = self.body(column.location, frames)?;
        let times = read_times(body.bytes(), column.len)
            .map_err(|error| self.block.damaged(body.file_offset, error.to_string()))?;
        if times.first() != Some(&column.first_ms) || times.last() != Some(&column.last_ms) {
            let what = "a column of times differs from its directory";
            return Err(self.block.damaged(body.file_offset, what));
        }
        Ok(times)
    }

    /// Values at the positions `[from, to)` of a series, appended to `out`.
    pub(crate) fn floats(
        &self,
        columns: &FloatColumns,
        (from, to): (usize, usize),
        frames: &mut FrameCache,
        reader: &mut FloatReader,
        out: &mut Vec<f64>,
    ) -> Result<(), ReadBlockError> {
        for chunk_idx in from / CHUNK_LEN..to.div_ceil(CHUNK_LEN) {
            let start = chunk_idx * CHUNK_LEN;
            let len = CHUNK_LEN.min(columns.times.len - start);
            let written = out.len();
            out.resize(written + len, 0.0);
            let reference = self.reference(columns, chunk_idx, frames, reader, 0)?;
            let reference = reference.as_deref();
            self.decode(columns, chunk_idx, frames, |from| {
                reader.read(from, reference, &mut out[written..])
            })?;
            if reference.is_some()
                && let Some(mantissas) = reader.mantissas()
            {
                // The next bucket is likely to refer to this one.
                frames.keep_mantissas(self.mantissas_key(columns.series, chunk_idx), mantissas);
            }
            out.truncate(written + (to - start).min(len));
            if from > start {
                out.drain(written..written + (from - start).min(len));
            }
        }
        Ok(())
    }

    /// Gives the parts of a chunk to `read`, and checks that it reads them to their ends.
    fn decode(
        &self,
        columns: &FloatColumns,
        chunk_idx: usize,
        frames: &mut FrameCache,
        read: impl FnOnce(&mut FloatCursors<'_>) -> Result<(), DecodeError>,
    ) -> Result<(), ReadBlockError> {
        let chunk = columns.chunk(chunk_idx);
        let body = self.body(chunk.body, frames)?;
        let exceptions = self.body(chunk.exceptions, frames)?;
        let (kinds, numbers) = columns.head(chunk);
        let mut from = FloatCursors {
            kinds,
            numbers,
            body: Cursor::new(body.bytes()),
            exceptions: Cursor::new(exceptions.bytes()),
        };
        read(&mut from)
            .and_then(|()| from.body.finish())
            .and_then(|()| from.exceptions.finish())
            .map_err(|error| self.block.damaged(body.file_offset, error.to_string()))
    }

    fn mantissas_key(&self, series: u32, chunk_idx: usize) -> (BlockId, u32, usize) {
        (self.block.meta.id, series, chunk_idx)
    }

    /// Mantissas that a chunk refers to, if it does.
    fn reference(
        &self,
        columns: &FloatColumns,
        chunk_idx: usize,
        frames: &mut FrameCache,
        reader: &mut FloatReader,
        depth: u8,
    ) -> Result<Option<Arc<[i64]>>, ReadBlockError> {
        let Some(other) = columns.reference.filter(|_| columns.chunk(chunk_idx).is_referring)
        else {
            return Ok(None);
        };
        let key = self.mantissas_key(other, chunk_idx);
        if let Some(mantissas) = frames.mantissas.get(&key) {
            return Ok(Some(Arc::clone(mantissas)));
        }
        let found = self.series(&[other])?.pop().and_then(|series| series.floats);
        let found =
            found.filter(|found| found.times == columns.times && depth < REFERENCE_DEPTH_MAX);
        let found =
            found.ok_or_else(|| self.series_fault(0, "a series refers to one that it cannot"))?;
        let reference = self.reference(&found, chunk_idx, frames, reader, depth + 1)?;
        let len = CHUNK_LEN.min(found.times.len - chunk_idx * CHUNK_LEN);
        self.decode(&found, chunk_idx, frames, |from| {
            reader.read_mantissas(from, reference.as_deref(), len)
        })?;
        let mantissas = reader.mantissas().unwrap_or_default();
        Ok(Some(frames.keep_mantissas(key, mantissas)))
    }

    /// Histograms at the positions `[from, to)` of a series, appended to `out`.
    pub(crate) fn histograms(
        &self,
        columns: &HistogramColumns,
        (from, to): (usize, usize),
        frames: &mut FrameCache,
        out: &mut Vec<Arc<NativeHistogram>>,
    ) -> Result<(), ReadBlockError> {
        for chunk_idx in from / HISTOGRAMS_MAX..to.div_ceil(HISTOGRAMS_MAX) {
            let body = self.body(columns.chunk(chunk_idx), frames)?;
            let start = chunk_idx * HISTOGRAMS_MAX;
            let len = HISTOGRAMS_MAX.min(columns.times.len - start);
            let chunk = read_histograms(body.bytes(), len)
                .map_err(|error| self.block.damaged(body.file_offset, error.to_string()))?;
            let wanted = from.saturating_sub(start)..(to - start).min(len);
            out.extend(chunk[wanted].iter().cloned());
        }
        Ok(())
    }

    fn body(&self, location: Location, frames: &mut FrameCache) -> Result<Body, ReadBlockError> {
        if location.len == 0 {
            let file_offset = self.block.sections[SERIES].offset;
            return Ok(Body { frame: None, start: 0, end: 0, file_offset });
        }
        let frame = self.frames.get(location.frame as usize).copied();
        let frame =
            frame.ok_or_else(|| self.series_fault(0, "a column lies in a missing frame"))?;
        let bytes = frames.get(self, location.frame, frame)?;
        let start = location.offset as usize;
        let end = start + location.len as usize;
        if end > bytes.len() {
            return Err(self.series_fault(0, "a column lies outside its frame"));
        }
        Ok(Body { frame: Some(bytes), start, end, file_offset: frame.offset })
    }

    /// An error of the index, with its place.
    pub(crate) fn index_fault(&self, error: IndexError) -> ReadBlockError {
        self.block.damaged(self.block.sections[INDEX].offset, error.to_string())
    }
}

/// The bytes of a body, and where its frame stands in the file.
struct Body {
    frame: Option<Arc<Vec<u8>>>,
    start: usize,
    end: usize,
    file_offset: u64,
}

impl Body {
    fn bytes(&self) -> &[u8] {
        self.frame.as_ref().map_or(&[], |frame| &frame[self.start..self.end])
    }
}

/// Frames of the blocks one read touches, the last few of them, and mantissas that columns refer to.
#[derive(Debug, Default)]
pub(crate) struct FrameCache {
    frames: FxHashMap<(BlockId, u32), Arc<Vec<u8>>>,
    /// By block, series and chunk.
    mantissas: FxHashMap<(BlockId, u32, usize), Arc<[i64]>>,
    mantissa_count: usize,
}

/// Frames kept: a megabyte. Series sorted by name share frames with their neighbours.
const FRAMES_KEPT: usize = 64;
/// Mantissas kept: two megabytes, 128 full chunks or some thousand short ones.
const MANTISSAS_KEPT: usize = 256 << 10;

impl FrameCache {
    fn get(
        &mut self,
        loaded: &Loaded,
        idx: u32,
        frame: Frame,
    ) -> Result<Arc<Vec<u8>>, ReadBlockError> {
        let key = (loaded.block.meta.id, idx);
        if let Some(bodies) = self.frames.get(&key) {
            return Ok(Arc::clone(bodies));
        }
        if self.frames.len() >= FRAMES_KEPT {
            self.frames.clear();
        }
        let mut stored = vec![0; frame.stored_len as usize];
        loaded.block.read_at(frame.offset, &mut stored)?;
        if crc32fast::hash(&stored) != frame.checksum {
            return Err(loaded.block.damaged(frame.offset, "the checksum of a frame differs"));
        }
        let bodies = frame.bodies(stored).ok_or_else(|| {
            loaded.block.damaged(frame.offset, "a frame is not compressed as its directory says")
        })?;
        let bodies = Arc::new(bodies);
        self.frames.insert(key, Arc::clone(&bodies));
        Ok(bodies)
    }

    fn keep_mantissas(&mut self, key: (BlockId, u32, usize), mantissas: &[i64]) -> Arc<[i64]> {
        if self.mantissa_count >= MANTISSAS_KEPT {
            self.mantissas.clear();
            self.mantissa_count = 0;
        }
        self.mantissa_count += mantissas.len();
        let kept: Arc<[i64]> = mantissas.into();
        self.mantissas.insert(key, Arc::clone(&kept));
        kept
    }
}
