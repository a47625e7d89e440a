//! The samples of one series, decoded from the columns they are in.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use swell_chunk::{DecodeError, FloatReader, TailColumn};
use swell_model::{FloatColumn, SelectError, SeriesData, TimeRange};

use super::join::{histogram_column, positions, some_starts, with_late, without_times};
use super::{Part, Selected, head_fault, storage};
use crate::block::{BlockSeries, FrameCache, Loaded, ReadBlockError, TimesRef};
use crate::head::{
    ColumnRef, HeadSeries, HistogramPoint, HistogramSamples, OpenColumn, start_of_float,
};
use crate::tombstones::Intervals;

/// Decoded columns of times, and buffers. Series of one target share their times, so each is decoded once.
#[derive(Default)]
pub(crate) struct Decoder {
    pub(crate) frames: FrameCache,
    pub(crate) reader: FloatReader,
    pub(crate) column: TailColumn,
    /// By the address of what holds the column (which lives as long as the read) and its number there.
    pub(crate) times: FxHashMap<(usize, u32), Arc<[i64]>>,
    /// Timestamps in `times`.
    times_len: usize,
    /// The stretches the last series was made of, their concatenation, and whether that rises.
    last: (Vec<Stretch>, Arc<[i64]>, bool),
    stretches: Vec<Stretch>,
    pub(crate) values: Vec<f64>,
    /// The last column of one time.
    pub(crate) single: Option<Arc<[i64]>>,
    /// Start timestamps of `values`, as far as any were met.
    starts: Vec<i64>,
    has_starts: bool,
    /// Start timestamps of the column at hand, as floats, and by row.
    starts_column: TailColumn,
    start_by_row: Vec<i64>,
    /// Late floats of the series at hand: time, value, start.
    late: Vec<(i64, f64, i64)>,
    /// Times of which a series had several values; one was taken.
    pub(super) conflict_count: u64,
}

/// Positions `[first, first + len)` of a column of times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stretch {
    column: (usize, u32),
    first: usize,
    len: usize,
}

/// Timestamps kept decoded, 8 MiB; a read over more decodes some of them again.
const TIMES_KEPT: usize = 1 << 20;

impl Decoder {
    pub(crate) fn series(
        &mut self,
        series: &Selected,
        range: TimeRange,
        head_from_ms: i64,
    ) -> Result<SeriesData, SelectError> {
        self.begin();
        let mut histograms = HistogramSamples::new();
        for part in &series.parts {
            match part {
                Part::Block(loaded, columns, deleted) => {
                    for window in kept(deleted.as_ref(), range.start_incl.0, range.end_incl.0) {
                        self.block_floats(loaded, columns, window).map_err(|e| storage(&e))?;
                        self.block_histograms(loaded, columns, window, &mut histograms)
                            .map_err(|e| storage(&e))?;
                    }
                }
                Part::Head(columns) => {
                    self.head_samples(columns, range, head_from_ms, &mut histograms)
                        .map_err(head_fault)?;
                }
            }
        }
        Ok(SeriesData { labels: series.labels.clone(), ..self.columns(histograms) })
    }

    /// Makes ready for another series.
    pub(super) fn begin(&mut self) {
        self.stretches.clear();
        self.values.clear();
        self.starts.clear();
        self.late.clear();
        self.has_starts = false;
        if self.times_len > TIMES_KEPT {
            self.times.clear();
            self.times_len = 0;
        }
    }

    fn head_samples(
        &mut self,
        columns: &HeadSeries,
        range: TimeRange,
        head_from_ms: i64,
        histograms: &mut HistogramSamples,
    ) -> Result<(), DecodeError> {
        let from_ms = range.start_incl.0.max(head_from_ms);
        let (start_ms, end_ms) = (range.start_incl.0, range.end_incl.0);
        if columns.deleted.is_none() {
            self.head_window(columns, (from_ms, end_ms), histograms)?;
        } else {
            for window in kept(columns.deleted.as_ref(), from_ms, end_ms) {
                self.head_window(columns, window, histograms)?;
            }
        }
        self.late_in(columns, (start_ms, end_ms), histograms);
        Ok(())
    }

    fn head_window(
        &mut self,
        columns: &HeadSeries,
        window: (i64, i64),
        histograms: &mut HistogramSamples,
    ) -> Result<(), DecodeError> {
        self.head_floats(columns, window)?;
        if columns.has_histograms() { head_histograms(columns, window, histograms) } else { Ok(()) }
    }

    fn late_in(
        &mut self,
        columns: &HeadSeries,
        window: (i64, i64),
        histograms: &mut HistogramSamples,
    ) {
        let inside = |at: &i64| (window.0..=window.1).contains(at);
        self.late.extend(columns.late_floats.iter().filter(|(at, ..)| inside(at)));
        histograms.extend(columns.late_histograms.iter().filter(|(at, _)| inside(at)).cloned());
    }

    /// What was read of the series at hand, without labels.
    fn columns(&mut self, histograms: HistogramSamples) -> SeriesData {
        let histograms = histogram_column(histograms, &mut self.conflict_count);
        let mut floats = self.concatenated();
        if !histograms.timestamps.is_empty() && !floats.timestamps.is_empty() {
            floats = without_times(floats, &histograms.timestamps, &mut self.conflict_count);
        }
        SeriesData { floats, histograms, ..SeriesData::default() }
    }

    fn block_floats(
        &mut self,
        loaded: &Arc<Loaded>,
        columns: &BlockSeries,
        window: (i64, i64),
    ) -> Result<(), ReadBlockError> {
        let Some(floats) = &columns.floats else { return Ok(()) };
        let times = floats.times;
        if times.first_ms > window.1 || times.last_ms < window.0 {
            return Ok(());
        }
        let stretch = self.block_times(loaded, times)?;
        let (from, to) = positions(stretch, window);
        if from < to {
            if let Some(starts) = floats.starts() {
                self.starts.resize(self.values.len(), 0);
                self.has_starts = true;
                let mut read = Vec::new();
                loaded.floats(
                    &starts,
                    (from, to),
                    &mut self.frames,
                    &mut self.reader,
                    &mut read,
                )?;
                self.starts.extend(read.into_iter().map(start_of_float));
            }
            loaded.floats(
                floats,
                (from, to),
                &mut self.frames,
                &mut self.reader,
                &mut self.values,
            )?;
            let column = (Arc::as_ptr(loaded) as usize, times.column);
            self.stretches.push(Stretch { column, first: times.first + from, len: to - from });
        }
        Ok(())
    }

    /// The times that a reference names, decoded now or before.
    pub(crate) fn block_times(
        &mut self,
        loaded: &Arc<Loaded>,
        times: TimesRef,
    ) -> Result<&[i64], ReadBlockError> {
        let column = (Arc::as_ptr(loaded) as usize, times.column);
        if !self.times.contains_key(&column) {
            let decoded = loaded.times(times.column, &mut self.frames)?;
            self.keep_times(column, decoded);
        }
        Ok(&self.times[&column][times.first..times.first + times.len])
    }

    fn block_histograms(
        &mut self,
        loaded: &Arc<Loaded>,
        columns: &BlockSeries,
        window: (i64, i64),
        out: &mut HistogramSamples,
    ) -> Result<(), ReadBlockError> {
        let Some(histograms) = &columns.histograms else { return Ok(()) };
        let times = histograms.times;
        if times.first_ms > window.1 || times.last_ms < window.0 {
            return Ok(());
        }
        let stretch = self.block_times(loaded, times)?;
        let (from, to) = positions(stretch, window);
        if from < to {
            let stretch = stretch[from..to].to_vec();
            let mut values = Vec::with_capacity(to - from);
            loaded.histograms(histograms, (from, to), &mut self.frames, &mut values)?;
            let mut starts = Vec::new();
            match histograms.starts() {
                Some(columns) => {
                    let (frames, reader) = (&mut self.frames, &mut self.reader);
                    loaded.floats(&columns, (from, to), frames, reader, &mut starts)?;
                }
                None => starts.resize(values.len(), 0.0),
            }
            let points = values.into_iter().zip(starts);
            let points = points
                .map(|(value, start)| HistogramPoint { value, start_ms: start_of_float(start) });
            out.extend(stretch.into_iter().zip(points));
        }
        Ok(())
    }

    fn head_floats(&mut self, columns: &HeadSeries, window: (i64, i64)) -> Result<(), DecodeError> {
        for chunk in &columns.chunks {
            let column = self.read_sealed(chunk)?;
            if let Some(member) = chunk.starts_member {
                chunk.segment.read(member, &mut self.reader, &mut self.starts_column)?;
            }
            self.take_column(column, window, chunk.starts_member.is_some());
        }
        if let Some(open) = &columns.open {
            let column = self.read_open(open)?;
            if let Some(starts) = &open.starts {
                self.starts_column.read(starts, open.rows.0.count())?;
            }
            self.take_column(column, window, open.starts.is_some());
        }
        Ok(())
    }

    /// Decodes a column of a segment, and its times if they are not known yet.
    pub(crate) fn read_sealed(&mut self, chunk: &ColumnRef) -> Result<(usize, u32), DecodeError> {
        let segment = &chunk.segment;
        let column = (Arc::as_ptr(segment) as usize, 0);
        if !self.times.contains_key(&column) {
            self.keep_times(column, segment.times()?);
        }
        segment.read(chunk.member, &mut self.reader, &mut self.column)?;
        Ok(column)
    }

    /// Decodes an open column, and its times if they are not known yet.
    pub(crate) fn read_open(&mut self, open: &OpenColumn) -> Result<(usize, u32), DecodeError> {
        let rows = &open.rows;
        let column = (Arc::as_ptr(rows) as usize, 0);
        if !self.times.contains_key(&column) {
            self.keep_times(column, rows.0.to_vec());
        }
        self.column.read(&open.tokens, rows.0.count())?;
        Ok(column)
    }

    fn keep_times(&mut self, column: (usize, u32), times: Vec<i64>) {
        self.times_len += times.len();
        self.times.insert(column, times.into());
    }

    /// Takes those values of the column just decoded that lie in the window, with their start timestamps.
    fn take_column(&mut self, column: (usize, u32), window: (i64, i64), has_starts: bool) {
        let times = &self.times[&column];
        if has_starts {
            self.has_starts = true;
            self.starts.resize(self.values.len(), 0);
            self.start_by_row.clear();
            self.start_by_row.resize(times.len(), 0);
            let mut starts = self.starts_column.values.iter();
            for (first, len) in &self.starts_column.runs {
                let rows = &mut self.start_by_row[*first as usize..(first + len) as usize];
                rows.iter_mut()
                    .zip(&mut starts)
                    .for_each(|(row, start)| *row = start_of_float(*start));
            }
        }
        let mut consumed = 0;
        for (first, len) in &self.column.runs {
            let (first, len) = (*first as usize, *len as usize);
            let (from, to) = positions(&times[first..first + len], window);
            if from < to {
                self.values.extend_from_slice(&self.column.values[consumed + from..consumed + to]);
                if has_starts {
                    self.starts.extend_from_slice(&self.start_by_row[first + from..first + to]);
                }
                self.stretches.push(Stretch { column, first: first + from, len: to - from });
            }
            consumed += len;
        }
    }

    /// The stretches and values of one series as a column.
    fn concatenated(&mut self) -> FloatColumn {
        if self.stretches.is_empty() && self.late.is_empty() {
            return FloatColumn::default();
        }
        if self.has_starts {
            self.starts.resize(self.values.len(), 0);
        }
        if self.last.0 != self.stretches {
            let timestamps: Arc<[i64]> = match &self.stretches[..] {
                [only] if only.len == self.times[&only.column].len() => {
                    Arc::clone(&self.times[&only.column])
                }
                stretches => {
                    let mut joined = Vec::with_capacity(self.values.len());
                    for Stretch { column, first, len } in stretches {
                        joined.extend_from_slice(&self.times[column][*first..first + len]);
                    }
                    joined.into()
                }
            };
            let rises = timestamps.is_sorted_by(|a, b| a < b);
            self.last = (self.stretches.clone(), timestamps, rises);
        }
        let timestamps = Arc::clone(&self.last.1);
        if self.last.2 && self.late.is_empty() {
            let starts = some_starts(&self.starts);
            return FloatColumn { timestamps, values: self.values[..].into(), starts };
        }
        let conflicts = &mut self.conflict_count;
        with_late(&timestamps, &self.values, &self.starts, &self.late, conflicts)
    }
}

/// What is left of a window when the deleted intervals are taken out.
fn kept(deleted: Option<&Arc<Intervals>>, from_ms: i64, to_ms: i64) -> Vec<(i64, i64)> {
    deleted.map_or_else(|| vec![(from_ms, to_ms)], |deleted| deleted.rest_of(from_ms, to_ms))
}

pub(crate) fn head_histograms(
    columns: &HeadSeries,
    window: (i64, i64),
    out: &mut HistogramSamples,
) -> Result<(), DecodeError> {
    let mut samples = HistogramSamples::new();
    for chunk in &columns.histogram_chunks {
        chunk.read(&mut samples)?;
    }
    samples.extend(columns.histograms.iter().cloned());
    out.extend(samples.into_iter().filter(|(at, _)| (window.0..=window.1).contains(at)));
    Ok(())
}
