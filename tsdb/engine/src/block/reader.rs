//! Reads a block. Nothing is used before its checksum was verified: the footer at open, directories and index
//! when the block is first asked, frames when a column is.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use swell_chunk::{
    Cursor, DecodeError, FloatReader, HISTOGRAMS_MAX, TIMES_MAX, read_histograms, read_times,
};
use swell_env::{Dir, Monotonic, ReadFile};
use swell_index::{IndexError, SliceIndex};
use swell_model::NativeHistogram;

use super::{
    BlockId, BlockMeta, CHUNK_LEN, FOLDER, FRAMES, HEADER_LEN, INDEX, MAGIC, MAGIC_END,
    ReadBlockError, SECTION_COUNT, SERIES, SERIES_GROUP_LEN, TIMES, TRAILER_LEN, VERSION,
};

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
        if word(&header, 8) != VERSION {
            return Err(ReadBlockError::Newer { file: name, version: word(&header, 8) });
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
        meta.file_bytes = file_len;
        meta.index_bytes = sections[INDEX].len;
        Ok(Self { meta, name, file, sections, loaded: Mutex::default(), damage: Mutex::default() })
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
        let frames =
            read_frames(&self.section(FRAMES)?, at(FRAMES)).map_err(decode_fault(FRAMES))?;
        let times = read_times_directory(&self.section(TIMES)?).map_err(decode_fault(TIMES))?;
        let series = self.section(SERIES)?;
        let index = SliceIndex::new(self.section(INDEX)?)
            .map_err(|error| self.damaged(at(INDEX), error.to_string()))?;
        let group_count = (index.series_count() as usize).div_ceil(SERIES_GROUP_LEN);
        if series.len() < group_count * 4
            || u64::from(index.series_count()) != self.meta.series_count
        {
            return Err(self.damaged(at(SERIES), "the series do not fit the index"));
        }
        Ok(Loaded { block: Arc::clone(self), frames, times, series, index, group_count })
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

#[derive(Clone, Copy, Debug)]
struct Frame {
    offset: u64,
    len: u32,
    checksum: u32,
}

fn read_frames(bytes: &[u8], end: u64) -> Result<Vec<Frame>, DecodeError> {
    let mut cursor = Cursor::new(bytes);
    let count = cursor.count(bytes.len())?;
    let mut frames = Vec::with_capacity(count);
    let mut offset = HEADER_LEN as u64;
    for _ in 0..count {
        let len = cursor.varint_u32()?;
        frames.push(Frame { offset, len, checksum: cursor.u32()? });
        offset += u64::from(len);
    }
    cursor.finish()?;
    if offset == end { Ok(frames) } else { Err(cursor.fault("the frames do not fill their part")) }
}

/// Where a body stands.
#[derive(Clone, Copy, Debug, Default)]
struct Location {
    frame: u32,
    offset: u32,
    len: u32,
}

#[derive(Clone, Copy, Debug)]
struct TimesColumn {
    len: usize,
    first_ms: i64,
    last_ms: i64,
    location: Location,
}

fn read_times_directory(bytes: &[u8]) -> Result<Vec<TimesColumn>, DecodeError> {
    let mut cursor = Cursor::new(bytes);
    let count = cursor.count(bytes.len())?;
    let mut columns = Vec::with_capacity(count);
    for _ in 0..count {
        let len = cursor.count(TIMES_MAX)?;
        let first_ms = cursor.zigzag()?;
        let last_ms = first_ms.wrapping_add(cursor.varint()?.cast_signed());
        let location = Location {
            frame: cursor.varint_u32()?,
            offset: cursor.varint_u32()?,
            len: cursor.varint_u32()?,
        };
        columns.push(TimesColumn { len, first_ms, last_ms, location });
    }
    cursor.finish()?;
    Ok(columns)
}

/// Directories and index of a block, verified.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) block: Arc<Block>,
    frames: Vec<Frame>,
    times: Vec<TimesColumn>,
    series: Vec<u8>,
    pub(crate) index: SliceIndex<Vec<u8>>,
    group_count: usize,
}

/// One series: where its columns stand.
#[derive(Clone, Debug, Default)]
pub(crate) struct BlockSeries {
    pub(crate) floats: Option<FloatColumns>,
    pub(crate) histograms: Option<HistogramColumns>,
}

/// A stretch of a column of times.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimesRef {
    pub(crate) column: u32,
    pub(crate) first: usize,
    pub(crate) len: usize,
    pub(crate) first_ms: i64,
    pub(crate) last_ms: i64,
}

/// Chunks of values, of [`CHUNK_LEN`] each but the last.
#[derive(Clone, Debug)]
pub(crate) struct FloatColumns {
    pub(crate) times: TimesRef,
    /// Head (place in the series section) and body of each chunk.
    chunks: Vec<((usize, usize), Location)>,
}

/// Chunks of histograms, of [`HISTOGRAMS_MAX`] each but the last.
#[derive(Clone, Debug)]
pub(crate) struct HistogramColumns {
    pub(crate) times: TimesRef,
    chunks: Vec<Location>,
}

impl Loaded {
    /// Finds the columns of series; fast when the indices rise.
    pub(crate) fn series(&self, indices: &[u32]) -> Result<Vec<BlockSeries>, ReadBlockError> {
        let mut out = Vec::with_capacity(indices.len());
        let mut position: Option<Position<'_>> = None;
        for idx in indices {
            let idx = *idx as usize;
            let group = idx / SERIES_GROUP_LEN;
            let mut at = match position.take() {
                Some(at) if at.group == group && at.next <= idx => at,
                _ => self.position(group)?,
            };
            let mut series = BlockSeries::default();
            while at.next <= idx {
                series = self.read_series(&mut at).map_err(|error| self.entry_fault(error))?;
                at.next += 1;
            }
            out.push(series);
            position = Some(at);
        }
        Ok(out)
    }

    fn entry_fault(&self, error: DecodeError) -> ReadBlockError {
        self.block.damaged(self.block.sections[SERIES].offset, error.to_string())
    }

    fn position(&self, group: usize) -> Result<Position<'_>, ReadBlockError> {
        let outside = || {
            let at = self.block.sections[SERIES].offset;
            self.block.damaged(at, "a group of series lies outside its section")
        };
        if group >= self.group_count {
            return Err(outside());
        }
        let offset = &self.series[group * 4..group * 4 + 4];
        let offset = u32::from_le_bytes(offset.try_into().expect("four bytes")) as usize;
        let start = self.group_count * 4 + offset;
        let entries = self.series.get(start..).ok_or_else(outside)?;
        Ok(Position {
            group,
            next: group * SERIES_GROUP_LEN,
            cursor: Cursor::new(entries),
            start,
            last: Location::default(),
        })
    }

    fn read_series(&self, at: &mut Position<'_>) -> Result<BlockSeries, DecodeError> {
        let kinds = at.cursor.u8()?;
        let mut series = BlockSeries::default();
        if kinds & 1 != 0 {
            let times = self.read_times_ref(&mut at.cursor)?;
            let mut chunks = Vec::new();
            for _ in 0..times.len.div_ceil(CHUNK_LEN) {
                let head_len = at.cursor.count(at.cursor.remaining())?;
                let head_start = at.start + at.cursor.offset();
                at.cursor.take(head_len)?;
                chunks.push(((head_start, head_start + head_len), at.location()?));
            }
            series.floats = Some(FloatColumns { times, chunks });
        }
        if kinds & 2 != 0 {
            let times = self.read_times_ref(&mut at.cursor)?;
            let mut chunks = Vec::new();
            for _ in 0..times.len.div_ceil(HISTOGRAMS_MAX) {
                chunks.push(at.location()?);
            }
            series.histograms = Some(HistogramColumns { times, chunks });
        }
        Ok(series)
    }

    fn read_times_ref(&self, cursor: &mut Cursor<'_>) -> Result<TimesRef, DecodeError> {
        let header = cursor.varint()?;
        let column = u32::try_from(header / 2).ok();
        let known = column.and_then(|idx| Some((idx, self.times.get(idx as usize)?)));
        let (column, known) = known.ok_or_else(|| cursor.fault("a column of times is missing"))?;
        if header & 1 == 0 {
            let TimesColumn { len, first_ms, last_ms, .. } = *known;
            return Ok(TimesRef { column, first: 0, len, first_ms, last_ms });
        }
        let first = cursor.count(known.len)?;
        let len = cursor.count(known.len - first)?;
        let first_ms = known.first_ms.wrapping_add(cursor.varint()?.cast_signed());
        let last_ms = first_ms.wrapping_add(cursor.varint()?.cast_signed());
        Ok(TimesRef { column, first, len, first_ms, last_ms })
    }

    /// A column of times.
    pub(crate) fn times(
        &self,
        column: u32,
        frames: &mut FrameCache,
    ) -> Result<Vec<i64>, ReadBlockError> {
        let column = self.times[column as usize];
        let (bytes, offset) = self.body(column.location, frames)?;
        let times = read_times(bytes, column.len)
            .map_err(|error| self.block.damaged(offset, error.to_string()))?;
        if times.first() != Some(&column.first_ms) || times.last() != Some(&column.last_ms) {
            return Err(self.block.damaged(offset, "a column of times differs from its directory"));
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
            let (head, location) = columns.chunks[chunk_idx];
            let (body, offset) = self.body(location, frames)?;
            let start = chunk_idx * CHUNK_LEN;
            let len = CHUNK_LEN.min(columns.times.len - start);
            let written = out.len();
            out.resize(written + len, 0.0);
            let mut head = Cursor::new(&self.series[head.0..head.1]);
            let mut body = Cursor::new(body);
            reader
                .read(&mut head, &mut body, &mut out[written..])
                .and_then(|()| head.finish())
                .and_then(|()| body.finish())
                .map_err(|error| self.block.damaged(offset, error.to_string()))?;
            out.truncate(written + (to - start).min(len));
            if from > start {
                out.drain(written..written + (from - start).min(len));
            }
        }
        Ok(())
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
            let (body, offset) = self.body(columns.chunks[chunk_idx], frames)?;
            let start = chunk_idx * HISTOGRAMS_MAX;
            let len = HISTOGRAMS_MAX.min(columns.times.len - start);
            let chunk = read_histograms(body, len)
                .map_err(|error| self.block.damaged(offset, error.to_string()))?;
            let wanted = from.saturating_sub(start)..(to - start).min(len);
            out.extend(chunk[wanted].iter().cloned());
        }
        Ok(())
    }

    /// The bytes of a body and where they stand in the file.
    fn body<'f>(
        &self,
        location: Location,
        frames: &'f mut FrameCache,
    ) -> Result<(&'f [u8], u64), ReadBlockError> {
        if location.len == 0 {
            return Ok((&[], self.block.sections[SERIES].offset));
        }
        let series_offset = self.block.sections[SERIES].offset;
        let frame = self.frames.get(location.frame as usize).copied();
        let frame = frame
            .ok_or_else(|| self.block.damaged(series_offset, "a column lies in a missing frame"))?;
        let bytes = frames.get(self, location.frame, frame)?;
        let start = location.offset as usize;
        let body = bytes.get(start..start + location.len as usize);
        let body = body
            .ok_or_else(|| self.block.damaged(series_offset, "a column lies outside its frame"))?;
        Ok((body, frame.offset + u64::from(location.offset)))
    }
}

struct Position<'a> {
    group: usize,
    /// Series that the cursor stands before.
    next: usize,
    cursor: Cursor<'a>,
    /// Of the cursor's bytes in the series section.
    start: usize,
    last: Location,
}

impl Position<'_> {
    fn location(&mut self) -> Result<Location, DecodeError> {
        let len = self.cursor.varint_u32()?;
        if len == 0 {
            return Ok(Location::default());
        }
        let outside = |cursor: &Cursor<'_>| cursor.fault("a column lies beyond all frames");
        let step = self.cursor.varint()?;
        let location = if step == 0 {
            let offset = self.last.offset.checked_add(self.last.len);
            let offset = offset.ok_or_else(|| outside(&self.cursor))?;
            Location { offset, len, ..self.last }
        } else {
            let folded = step - 1;
            let distance = (folded >> 1).cast_signed() ^ -(folded & 1).cast_signed();
            let frame = i64::from(self.last.frame).checked_add(distance);
            let frame = frame.and_then(|frame| u32::try_from(frame).ok());
            let frame = frame.ok_or_else(|| outside(&self.cursor))?;
            Location { frame, offset: self.cursor.varint_u32()?, len }
        };
        self.last = location;
        Ok(location)
    }
}

/// Frames of the blocks one read touches, the last few of them.
#[derive(Debug, Default)]
pub(crate) struct FrameCache {
    frames: HashMap<(BlockId, u32), Vec<u8>>,
}

/// Frames kept: a megabyte. Series sorted by name share frames with their neighbours.
const FRAMES_KEPT: usize = 64;

impl FrameCache {
    fn get(&mut self, loaded: &Loaded, idx: u32, frame: Frame) -> Result<&[u8], ReadBlockError> {
        let key = (loaded.block.meta.id, idx);
        if !self.frames.contains_key(&key) {
            if self.frames.len() >= FRAMES_KEPT {
                self.frames.clear();
            }
            let mut bytes = vec![0; frame.len as usize];
            loaded.block.read_at(frame.offset, &mut bytes)?;
            if crc32fast::hash(&bytes) != frame.checksum {
                return Err(loaded.block.damaged(frame.offset, "the checksum of a frame differs"));
            }
            self.frames.insert(key, bytes);
        }
        Ok(&self.frames[&key])
    }
}

impl Loaded {
    /// An error of the index, with its place.
    pub(crate) fn index_fault(&self, error: IndexError) -> ReadBlockError {
        self.block.damaged(self.block.sections[INDEX].offset, error.to_string())
    }
}
