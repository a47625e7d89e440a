//! Writes a block, series by series: columns go to the file as frames fill, directories are kept until the end.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use swell_chunk::{
    FloatWriter, HISTOGRAMS_MAX, TIMES_MAX, put_varint, put_zigzag, write_histograms, write_times,
};
use swell_env::{AppendFile, Dir};
use swell_index::write_index;
use swell_model::{Labels, SeriesData, TimestampMs};

use super::{
    BlockId, BlockMeta, CHUNK_LEN, FOLDER, FRAME_BYTES, HEADER_LEN, MAGIC, MAGIC_END,
    SERIES_GROUP_LEN, VERSION,
};

/// Bodies of this many closed frames are remembered, to store equal ones once.
const REMEMBERED_FRAMES: u32 = 64;

/// Why a block was not written; nothing of it is left but perhaps an unfinished file, which the next open removes.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteBlockError {
    /// The system's error.
    #[error("{action} {file}")]
    Io { action: &'static str, file: String, source: io::Error },
    /// What was to be written could not be read.
    #[error("read what goes into {file}")]
    Source { file: String, source: swell_model::SelectError },
    /// A series has more samples than a column may.
    #[error("{series} has {count} samples, a block holds at most {TIMES_MAX} of a series")]
    TooLong { series: String, count: usize },
}

/// A block in the making.
#[derive(Debug)]
pub(crate) struct BlockWriter<'d> {
    dir: &'d dyn Dir,
    file: Arc<dyn AppendFile>,
    meta: BlockMeta,
    name: String,
    frames: Frames,
    times: TimesPool,
    series: Vec<Labels>,
    group_offsets: Vec<u32>,
    entries: Vec<u8>,
    last: Location,
    head: Vec<u8>,
    body: Vec<u8>,
}

/// Where a body stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Location {
    frame: u32,
    offset: u32,
    len: u32,
}

impl<'d> BlockWriter<'d> {
    /// Starts the unfinished file of a block that is responsible for `[start, end)`.
    pub(crate) fn create(
        dir: &'d dyn Dir,
        id: BlockId,
        (start, end): (TimestampMs, TimestampMs),
        sources: Vec<BlockId>,
    ) -> Result<Self, WriteBlockError> {
        let name = format!("{FOLDER}/{}", id.unfinished_name());
        let fault = |action| {
            let file = name.clone();
            move |source| WriteBlockError::Io { action, file, source }
        };
        let file = dir.create(&name).map_err(fault("create"))?;
        let mut header = Vec::with_capacity(HEADER_LEN);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&crc32fast::hash(&header).to_le_bytes());
        file.append(&header).map_err(fault("write"))?;
        let meta = BlockMeta {
            id,
            start,
            end,
            min: TimestampMs::MAX,
            max: TimestampMs::MIN,
            series_count: 0,
            chunk_count: 0,
            sample_count: 0,
            sources,
            file_bytes: 0,
            index_bytes: 0,
        };
        Ok(Self {
            dir,
            file,
            meta,
            name,
            frames: Frames::default(),
            times: TimesPool::default(),
            series: Vec::new(),
            group_offsets: Vec::new(),
            entries: Vec::new(),
            last: Location::default(),
            head: Vec::new(),
            body: Vec::new(),
        })
    }

    /// Adds a series; series come in the order of their labels, each once, and have samples.
    pub(crate) fn add(&mut self, series: &SeriesData) -> Result<(), WriteBlockError> {
        let (floats, histograms) = (&series.floats, &series.histograms);
        if self.series.len().is_multiple_of(SERIES_GROUP_LEN) {
            let offset = u32::try_from(self.entries.len()).expect("series section below 4 GiB");
            self.group_offsets.push(offset);
            self.last = Location::default();
        }
        assert_eq!(floats.timestamps.len(), floats.values.len(), "columns of one length");
        assert_eq!(histograms.timestamps.len(), histograms.values.len(), "columns of one length");
        let count = floats.timestamps.len().max(histograms.timestamps.len());
        if count > TIMES_MAX {
            let series = series.labels.to_string();
            return Err(WriteBlockError::TooLong { series, count });
        }
        let has_floats = !floats.timestamps.is_empty();
        let has_histograms = !histograms.timestamps.is_empty();
        self.entries.push(u8::from(has_floats) | u8::from(has_histograms) << 1);
        if has_floats {
            self.add_times(&floats.timestamps)?;
            for values in floats.values.chunks(CHUNK_LEN) {
                self.head.clear();
                self.body.clear();
                FloatWriter::new(values).write(&mut self.head, &mut self.body);
                put_varint(&mut self.entries, self.head.len() as u64);
                self.entries.extend_from_slice(&self.head);
                self.put_body()?;
            }
        }
        if has_histograms {
            self.add_times(&histograms.timestamps.as_slice().into())?;
            for values in histograms.values.chunks(HISTOGRAMS_MAX) {
                self.body.clear();
                write_histograms(values, &mut self.body);
                self.put_body()?;
            }
        }
        self.series.push(series.labels.clone());
        Ok(())
    }

    /// Writes the reference to a column of times, and the column where it is new.
    fn add_times(&mut self, timestamps: &Arc<[i64]>) -> Result<(), WriteBlockError> {
        let (first_ms, last_ms) = (timestamps[0], timestamps[timestamps.len() - 1]);
        self.meta.min = self.meta.min.min(TimestampMs(first_ms));
        self.meta.max = self.meta.max.max(TimestampMs(last_ms));
        self.meta.sample_count += timestamps.len() as u64;
        let found = match self.times.find(timestamps) {
            Some(found) => found,
            None => {
                self.body.clear();
                write_times(timestamps, &mut self.body);
                let location = self.frames.put(&self.body);
                self.flush_frames()?;
                self.times.add(timestamps, location)
            }
        };
        let column = &self.times.columns[found.column];
        let is_whole = column.len == timestamps.len();
        put_varint(&mut self.entries, found.column as u64 * 2 + u64::from(!is_whole));
        if !is_whole {
            put_varint(&mut self.entries, found.first as u64);
            put_varint(&mut self.entries, timestamps.len() as u64);
            put_varint(&mut self.entries, first_ms.wrapping_sub(column.first_ms).cast_unsigned());
            put_varint(&mut self.entries, last_ms.wrapping_sub(first_ms).cast_unsigned());
        }
        Ok(())
    }

    /// Stores the body, and writes its length and place.
    fn put_body(&mut self) -> Result<(), WriteBlockError> {
        self.meta.chunk_count += 1;
        put_varint(&mut self.entries, self.body.len() as u64);
        if self.body.is_empty() {
            return Ok(());
        }
        let location = self.frames.put(&self.body);
        let last = std::mem::replace(&mut self.last, location);
        if location.frame == last.frame && location.offset == last.offset + last.len {
            put_varint(&mut self.entries, 0);
        } else {
            let distance = i64::from(location.frame) - i64::from(last.frame);
            // Zigzag plus one: 0 says "right behind the last".
            let folded = ((distance << 1) ^ (distance >> 63)).cast_unsigned();
            put_varint(&mut self.entries, folded + 1);
            put_varint(&mut self.entries, u64::from(location.offset));
        }
        self.flush_frames()
    }

    fn flush_frames(&mut self) -> Result<(), WriteBlockError> {
        while let Some(frame) = self.frames.take_full() {
            self.append(&frame)?;
        }
        Ok(())
    }

    fn append(&self, bytes: &[u8]) -> Result<(), WriteBlockError> {
        self.file.append(bytes).map_err(|source| self.fault("write", source))
    }

    fn fault(&self, action: &'static str, source: io::Error) -> WriteBlockError {
        WriteBlockError::Io { action, file: self.name.clone(), source }
    }

    /// Ends the file, syncs it and gives it its name. `None` when no series was added: then there is no block.
    pub(crate) fn finish(mut self) -> Result<Option<BlockMeta>, WriteBlockError> {
        if self.series.is_empty() {
            self.dir.remove(&self.name).map_err(|source| self.fault("remove", source))?;
            return Ok(None);
        }
        if let Some(frame) = self.frames.take_rest() {
            self.append(&frame)?;
        }
        let mut index = Vec::new();
        write_index(&self.series, &mut index);
        let mut series: Vec<u8> =
            self.group_offsets.iter().flat_map(|offset| offset.to_le_bytes()).collect();
        series.append(&mut self.entries);
        self.meta.series_count = self.series.len() as u64;
        let mut footer = Vec::new();
        self.meta.write(&mut footer);
        let sections = [self.frames.directory(), self.times.directory(), series, index];
        for section in &sections {
            put_varint(&mut footer, section.len() as u64);
            footer.extend_from_slice(&crc32fast::hash(section).to_le_bytes());
            self.append(section)?;
        }
        let footer_len = u32::try_from(footer.len()).expect("a footer has few entries");
        let checksum = crc32fast::hash(&footer);
        footer.extend_from_slice(&footer_len.to_le_bytes());
        footer.extend_from_slice(&checksum.to_le_bytes());
        footer.extend_from_slice(MAGIC_END);
        self.append(&footer)?;
        self.file.sync().map_err(|source| self.fault("sync", source))?;
        let finished = format!("{FOLDER}/{}", self.meta.id.file_name());
        self.dir.rename(&self.name, &finished).map_err(|source| self.fault("rename", source))?;
        self.dir.sync_dir(FOLDER).map_err(|source| self.fault("sync the folder of", source))?;
        Ok(Some(self.meta))
    }

    /// Removes the unfinished file after a failure.
    pub(crate) fn discard(self) -> Result<(), WriteBlockError> {
        self.dir.remove(&self.name).map_err(|source| self.fault("remove", source))
    }
}

/// Bodies side by side, cut into pieces that have a checksum each.
#[derive(Debug, Default)]
struct Frames {
    open: Vec<u8>,
    full: Vec<Vec<u8>>,
    /// Length and checksum of each closed frame.
    closed: Vec<(u32, u32)>,
    recent: HashMap<Box<[u8]>, Location>,
}

impl Frames {
    /// The place of a body, where an equal one stands if it is not long gone.
    fn put(&mut self, body: &[u8]) -> Location {
        if let Some(location) = self.recent.get(body) {
            return *location;
        }
        let location = Location {
            frame: self.open_idx(),
            offset: u32::try_from(self.open.len()).expect("frames are small"),
            len: u32::try_from(body.len()).expect("columns are below 4 GiB"),
        };
        self.open.extend_from_slice(body);
        self.recent.insert(body.into(), location);
        if self.open.len() >= FRAME_BYTES {
            self.close();
        }
        location
    }

    fn open_idx(&self) -> u32 {
        u32::try_from(self.closed.len()).expect("below 2^32 frames")
    }

    fn close(&mut self) {
        let frame = std::mem::take(&mut self.open);
        let len = u32::try_from(frame.len()).expect("frames are small");
        self.closed.push((len, crc32fast::hash(&frame)));
        self.full.push(frame);
        if self.open_idx().is_multiple_of(REMEMBERED_FRAMES) {
            let oldest = self.open_idx() - REMEMBERED_FRAMES / 2;
            self.recent.retain(|_, location| location.frame >= oldest);
        }
    }

    fn take_full(&mut self) -> Option<Vec<u8>> {
        self.full.pop()
    }

    fn take_rest(&mut self) -> Option<Vec<u8>> {
        if !self.open.is_empty() {
            self.close();
        }
        self.full.pop()
    }

    fn directory(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, self.closed.len() as u64);
        for (len, checksum) in &self.closed {
            put_varint(&mut out, u64::from(*len));
            out.extend_from_slice(&checksum.to_le_bytes());
        }
        out
    }
}

/// Columns of times, each stored once; a stretch of one that is there is a reference into it.
#[derive(Debug, Default)]
struct TimesPool {
    columns: Vec<TimesColumn>,
    whole: HashMap<Arc<[i64]>, usize>,
    /// The columns used last, newest first: candidates to contain a stretch.
    recent: Vec<(usize, Arc<[i64]>)>,
}

#[derive(Debug)]
struct TimesColumn {
    len: usize,
    first_ms: i64,
    last_ms: i64,
    location: Location,
}

struct FoundTimes {
    column: usize,
    first: usize,
}

/// Columns that are searched for a stretch.
const RECENT_COLUMNS: usize = 8;

impl TimesPool {
    fn find(&mut self, timestamps: &Arc<[i64]>) -> Option<FoundTimes> {
        let position = self.recent.iter().position(|(_, column)| {
            Arc::ptr_eq(column, timestamps) || stretch(column, timestamps).is_some()
        });
        if let Some(position) = position {
            self.recent[..=position].rotate_right(1);
            let (column, times) = &self.recent[0];
            let first =
                if Arc::ptr_eq(times, timestamps) { 0 } else { stretch(times, timestamps)? };
            return Some(FoundTimes { column: *column, first });
        }
        let column = *self.whole.get(timestamps)?;
        self.remember(column, timestamps);
        Some(FoundTimes { column, first: 0 })
    }

    fn add(&mut self, timestamps: &Arc<[i64]>, location: Location) -> FoundTimes {
        let column = self.columns.len();
        self.columns.push(TimesColumn {
            len: timestamps.len(),
            first_ms: timestamps[0],
            last_ms: timestamps[timestamps.len() - 1],
            location,
        });
        self.whole.insert(Arc::clone(timestamps), column);
        self.remember(column, timestamps);
        FoundTimes { column, first: 0 }
    }

    fn remember(&mut self, column: usize, timestamps: &Arc<[i64]>) {
        self.recent.truncate(RECENT_COLUMNS - 1);
        self.recent.insert(0, (column, Arc::clone(timestamps)));
    }

    fn directory(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, self.columns.len() as u64);
        for column in &self.columns {
            put_varint(&mut out, column.len as u64);
            put_zigzag(&mut out, column.first_ms);
            put_varint(&mut out, column.last_ms.wrapping_sub(column.first_ms).cast_unsigned());
            for part in [column.location.frame, column.location.offset, column.location.len] {
                put_varint(&mut out, u64::from(part));
            }
        }
        out
    }
}

/// Where in `column` all of `part` stands.
fn stretch(column: &[i64], part: &[i64]) -> Option<usize> {
    let first = column.binary_search(part.first()?).ok()?;
    (column.get(first..first + part.len())? == part).then_some(first)
}
