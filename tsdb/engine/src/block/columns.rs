//! Columns of a block decoded: frames are read as they are needed, and verified before anything in them is used.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use swell_chunk::{
    Cursor, DecodeError, FloatCursors, FloatReader, FloatStatistics, HISTOGRAMS_MAX,
    read_histograms, read_times,
};
use swell_model::NativeHistogram;

use super::frames::{Frame, Location};
use super::group::{FloatColumns, HistogramColumns};
use super::reader::Loaded;
use super::{BlockId, CHUNK_LEN, REFERENCE_DEPTH_MAX, ReadBlockError, SERIES};

impl Loaded {
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
            self.chunk(columns, chunk_idx, frames, reader, &mut out[written..])?;
            out.truncate(written + (to - start).min(len));
            if from > start {
                out.drain(written..written + (from - start).min(len));
            }
        }
        Ok(())
    }

    /// Values of a chunk; `out` has room for all of them and no more.
    pub(crate) fn chunk(
        &self,
        columns: &FloatColumns,
        chunk_idx: usize,
        frames: &mut FrameCache,
        reader: &mut FloatReader,
        out: &mut [f64],
    ) -> Result<(), ReadBlockError> {
        let reference = self.reference(columns, chunk_idx, frames, reader, 0)?;
        let reference = reference.as_deref();
        self.decode(columns, chunk_idx, frames, |from| reader.read(from, reference, out))?;
        if reference.is_some()
            && let Some(mantissas) = reader.mantissas()
        {
            // The next bucket is likely to refer to this one.
            frames.keep_mantissas(self.mantissas_key(columns.series, chunk_idx), mantissas);
        }
        Ok(())
    }

    /// What is known of a chunk of values without reading it.
    pub(crate) fn statistics(
        &self,
        columns: &FloatColumns,
        chunk_idx: usize,
    ) -> Result<Option<FloatStatistics>, ReadBlockError> {
        columns.statistics(chunk_idx).map_err(|error| self.series_fault(error.offset, error.what))
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
        let chunk = |idx| columns.chunk(idx);
        self.histogram_chunks(columns.times.len, chunk, (from, to), frames, out)
    }

    /// Those at the positions `[from, to)` of a column of `count` histograms, whose chunks `chunk` gives.
    pub(super) fn histogram_chunks(
        &self,
        count: usize,
        chunk: impl Fn(usize) -> Location,
        (from, to): (usize, usize),
        frames: &mut FrameCache,
        out: &mut Vec<Arc<NativeHistogram>>,
    ) -> Result<(), ReadBlockError> {
        for chunk_idx in from / HISTOGRAMS_MAX..to.div_ceil(HISTOGRAMS_MAX) {
            let body = self.body(chunk(chunk_idx), frames)?;
            let start = chunk_idx * HISTOGRAMS_MAX;
            let len = HISTOGRAMS_MAX.min(count - start);
            let chunk = read_histograms(body.bytes(), len)
                .map_err(|error| self.block.damaged(body.file_offset, error.to_string()))?;
            let wanted = from.saturating_sub(start)..(to - start).min(len);
            out.extend(chunk[wanted].iter().cloned());
        }
        Ok(())
    }

    fn body(&self, location: Location, frames: &mut FrameCache) -> Result<Body, ReadBlockError> {
        if location.len == 0 {
            let file_offset = self.block.section_offset(SERIES);
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
