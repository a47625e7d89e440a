//! Reads a block. Nothing is used before its checksum was verified: the footer at open, directories and index
//! when the block is first asked, frames when a column is.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};
use swell_chunk::{Cursor, DecodeError};
use swell_env::{Dir, Monotonic, ReadFile};
use swell_index::{Identity, IndexError, KnownTexts, SliceIndex, SymbolHashes};
use swell_model::{DurationMs, TimeRange};

use super::frames::{self, Frame};
use super::group::{BlockSeries, Group, GroupDirectory};
use super::times::{self, TimesColumn};
use super::{
    BlockId, BlockMeta, FOLDER, FRAMES, HEADER_LEN, INDEX, MAGIC, MAGIC_END, ReadBlockError,
    SECTION_COUNT, SERIES, SERIES_GROUP_LEN, TIMES, TRAILER_LEN, VERSION_AGGREGATES, VERSION_PLAIN,
    VERSION_RUNS, VERSION_STATISTICS,
};
use crate::status::Damage;
use crate::tombstones::{self, ReadTombstonesError, Tombstones};

/// A finished block whose footer is sound.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) meta: BlockMeta,
    pub(crate) name: String,
    file: Arc<dyn ReadFile>,
    sections: [Section; SECTION_COUNT],
    has_statistics: bool,
    kept: Mutex<Kept>,
    /// First damage met; the block takes no part in compaction after that. Shared with [`Departed`].
    damage: Arc<Mutex<Option<(u64, String)>>>,
    /// What of the block is deleted; of a block whose tombstones are damaged nothing is read.
    tombstones: RwLock<Result<Arc<Tombstones<u32>>, TombstonesFault>>,
}

/// What a block keeps in memory. It holds the block in turn, so that one that is gone must not keep it: its file would
/// stay open, and its space taken, for ever.
#[derive(Debug, Default)]
struct Kept {
    /// Directories and index while the block is in use, with the time it was last asked.
    loaded: Option<(Arc<Loaded>, Monotonic)>,
    is_gone: bool,
}

/// An answer may take this long after the last read of a block.
const ANSWERS_WITHIN: std::time::Duration = std::time::Duration::from_secs(600);

/// A block that is gone: a read that began before may still meet damage in its file, or has met it and is to be told.
#[derive(Debug)]
pub(crate) struct Departed {
    file: String,
    range: TimeRange,
    damage: Arc<Mutex<Option<(u64, String)>>>,
    /// When it was last seen in use.
    used: Monotonic,
}

impl Departed {
    pub(crate) fn of(block: &Block, now: Monotonic) -> Self {
        let (file, range) = (block.name.clone(), block.meta.range());
        Self { file, range, damage: Arc::clone(&block.damage), used: now }
    }

    /// Whether answers may still be of it: a read has it, or had it a while ago.
    pub(crate) fn is_answering(&mut self, now: Monotonic) -> bool {
        if Arc::strong_count(&self.damage) > 1 {
            self.used = now;
        }
        now.since(self.used) < ANSWERS_WITHIN
    }

    pub(crate) fn damage(&self) -> Option<Damage> {
        let (offset, what) = self.damage.lock().clone()?;
        Some(Damage { file: self.file.clone(), offset, what, range: Some(self.range) })
    }
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
        Self::open_in(dir, FOLDER, id)
    }

    /// Opens a finished block in a folder, which may be one of another storage. Its tombstones are not looked for.
    pub(crate) fn open_in(
        dir: &dyn Dir,
        folder: &str,
        id: BlockId,
    ) -> Result<Self, ReadBlockError> {
        let name = format!("{folder}/{}", id.file_name());
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
        if version > VERSION_RUNS {
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
        let is_of_samples = meta.resolution == DurationMs::ZERO;
        let fits = match version {
            VERSION_PLAIN | VERSION_STATISTICS => is_of_samples,
            version => matches!(version, VERSION_AGGREGATES | VERSION_RUNS) && !is_of_samples,
        };
        if !fits {
            return Err(damaged(footer_start, "the resolution does not fit the version"));
        }
        meta.file_bytes = file_len;
        meta.index_bytes = sections[INDEX].len;
        Ok(Self {
            meta,
            name,
            file,
            sections,
            has_statistics: version == VERSION_STATISTICS,
            kept: Mutex::default(),
            damage: Arc::default(),
            tombstones: RwLock::new(Ok(Arc::default())),
        })
    }

    /// Reads the file of what is deleted of this block. Damage there hides the block: what it would show might
    /// be deleted.
    pub(crate) fn open_tombstones(&self, dir: &dyn Dir) -> Result<(), ReadTombstonesError> {
        let found = tombstones::read(dir, &tombstones::name_of(self.meta.id), self.meta.id);
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
        let mut kept = self.kept.lock();
        if let Some((loaded, used)) = kept.loaded.as_mut() {
            *used = now;
            return Ok(Arc::clone(loaded));
        }
        let loaded = Arc::new(self.read_directories()?);
        if !kept.is_gone {
            kept.loaded = Some((Arc::clone(&loaded), now));
        }
        Ok(loaded)
    }

    /// Directories and index, where they are in memory.
    pub(crate) fn in_use(&self) -> Option<Arc<Loaded>> {
        self.kept.try_lock()?.loaded.as_ref().map(|(loaded, _)| Arc::clone(loaded))
    }

    /// Gives the memory of directories and index back when nobody asked for them since `before`.
    pub(crate) fn unload_unused(&self, now: Monotonic, idle: std::time::Duration) {
        let mut kept = self.kept.lock();
        if kept.loaded.as_ref().is_some_and(|(_, used)| now.since(*used) >= idle) {
            kept.loaded = None;
        }
    }

    /// The block is read by nobody but who has it: its file is closed with the last of them.
    pub(crate) fn let_go(&self) {
        *self.kept.lock() = Kept { loaded: None, is_gone: true };
    }

    /// The first damage that was met, with its offset.
    pub(crate) fn damage(&self) -> Option<(u64, String)> {
        self.damage.lock().clone()
    }

    pub(crate) fn damaged(&self, offset: u64, what: impl Into<String>) -> ReadBlockError {
        let what = what.into();
        self.damage.lock().get_or_insert_with(|| (offset, what.clone()));
        ReadBlockError::Damaged { file: self.name.clone(), offset, what }
    }

    pub(super) fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<(), ReadBlockError> {
        match self.file.read_at(offset, into) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(self.damaged(offset, "the file ends early"))
            }
            Err(source) => Err(ReadBlockError::Read { file: self.name.clone(), source }),
        }
    }

    /// Where a section starts in the file.
    pub(super) const fn section_offset(&self, idx: usize) -> u64 {
        self.sections[idx].offset
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
        let groups = GroupDirectory::new(self.section(SERIES)?, self.has_statistics)
            .map_err(decode_fault(SERIES))?;
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
        let symbol_hashes = OnceLock::new();
        Ok(Loaded { block, frames, times, groups, series_count, index, symbol_hashes, recent })
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
    pub(super) frames: Vec<Frame>,
    pub(super) times: Vec<TimesColumn>,
    groups: GroupDirectory,
    series_count: usize,
    pub(crate) index: SliceIndex<Vec<u8>>,
    /// Made when series or values are first looked for in other blocks as well, and given back with the rest.
    symbol_hashes: OnceLock<SymbolHashes>,
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

    /// What tells the series apart from those of other blocks; fast when the indices rise.
    pub(crate) fn identities(&self, indices: &[u32]) -> Result<Vec<Identity>, ReadBlockError> {
        let hashes = self.hashes()?;
        self.index.identities(indices, hashes).map_err(|error| self.index_fault(error))
    }

    /// Values of a label that are not known yet from other blocks.
    pub(crate) fn new_values(
        &self,
        name: &str,
        known: &mut KnownTexts,
    ) -> Result<Vec<String>, ReadBlockError> {
        let values = self.index.new_values(name, self.hashes()?, known);
        values.map_err(|error| self.index_fault(error))
    }

    fn hashes(&self) -> Result<&SymbolHashes, ReadBlockError> {
        if let Some(hashes) = self.symbol_hashes.get() {
            return Ok(hashes);
        }
        let hashes = self.index.symbol_hashes().map_err(|error| self.index_fault(error))?;
        Ok(self.symbol_hashes.get_or_init(|| hashes))
    }

    /// A block of aggregates holds a series without any.
    pub(super) fn not_aggregated(&self) -> ReadBlockError {
        self.series_fault(0, "a series has no aggregates")
    }

    pub(super) fn series_fault(&self, offset: usize, what: &str) -> ReadBlockError {
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

    /// An error of the index, with its place.
    pub(crate) fn index_fault(&self, error: IndexError) -> ReadBlockError {
        self.block.damaged(self.block.sections[INDEX].offset, error.to_string())
    }
}
