//! Reads: series of head and blocks merged, columns decoded one series at a time, after all locks are gone.

use std::collections::HashMap;
use std::sync::Arc;

use swell_chunk::{DecodeError, FloatReader, TailColumn};
use swell_model::{
    DurationMs, FloatColumn, HistogramColumn, Labels, Matcher, NativeHistogram, SelectError,
    SelectHints, SeriesData, TimeRange,
};
use swell_telemetry::chain;

use crate::block::{Block, BlockSeries, FrameCache, Loaded, ReadBlockError, TimesRef};
use crate::coarse::{Choice, CoarsePart, CoarseRead};
use crate::head::{
    ColumnRef, Head, HeadSeries, HistogramPoint, HistogramSamples, OpenColumn, float_wins,
    histogram_wins, start_of_float,
};
use crate::tombstones::Intervals;

/// A series with the places its samples are in.
#[derive(Debug, Default)]
pub(crate) struct Selected {
    pub(crate) labels: Labels,
    /// Oldest block first, the head last. Of samples at one time the one counts that wins by the rule of the head's
    /// late samples, whatever part it is in.
    pub(crate) parts: Vec<Part>,
    /// Aggregates of its samples, where blocks of a resolution were given.
    pub(crate) coarse: Vec<CoarsePart>,
}

impl Selected {
    fn has_deletions(&self) -> bool {
        self.parts.iter().any(|part| match part {
            Part::Block(.., deleted) => deleted.is_some(),
            Part::Head(columns) => columns.deleted.is_some(),
        })
    }
}

#[derive(Debug)]
pub(crate) enum Part {
    Block(Arc<Loaded>, BlockSeries, Option<Arc<Intervals>>),
    Head(HeadSeries),
}

/// Series of the blocks given, then of the head's snapshot, merged by labels; only parts that may have samples
/// in the range.
pub(crate) fn merge(
    blocks: &[Arc<Loaded>],
    head: Vec<HeadSeries>,
    matchers: &[Matcher],
    range: TimeRange,
) -> Result<Vec<Selected>, SelectError> {
    let mut selected: Vec<Selected> = Vec::new();
    let mut by_labels: HashMap<Labels, usize> = HashMap::new();
    // With one source nothing can meet, and the map is not needed.
    let source_count = blocks.len() + usize::from(!head.is_empty());
    let mut add = |labels: Labels, found: Found| {
        if source_count == 1 {
            let mut series = Selected { labels, ..Selected::default() };
            found.add_to(&mut series);
            selected.push(series);
            return;
        }
        let idx = *by_labels.entry(labels).or_insert_with_key(|labels| {
            selected.push(Selected { labels: labels.clone(), ..Selected::default() });
            selected.len() - 1
        });
        found.add_to(&mut selected[idx]);
    };
    for loaded in blocks {
        let found = swell_index::select(&loaded.index, matchers)
            .map_err(|error| storage(&loaded.index_fault(error)))?;
        let labels =
            loaded.index.labels(&found).map_err(|error| storage(&loaded.index_fault(error)))?;
        let series = loaded.series(&found).map_err(|error| storage(&error))?;
        let tombstones = loaded.block.tombstones().map_err(|error| storage(&error))?;
        for (idx, (labels, series)) in found.into_iter().zip(labels.into_iter().zip(series)) {
            let deleted = || tombstones.of(&idx).cloned();
            if loaded.block.meta.resolution > DurationMs::ZERO {
                let (loaded, deleted) = (Arc::clone(loaded), deleted());
                add(labels, Found::Coarse(CoarsePart { loaded, series, deleted }));
            } else if may_overlap(&series, range) {
                add(labels, Found::Part(Part::Block(Arc::clone(loaded), series, deleted())));
            }
        }
    }
    for series in head {
        add(series.labels.clone(), Found::Part(Part::Head(series)));
    }
    Ok(selected)
}

/// One place a series was found in.
enum Found {
    Part(Part),
    Coarse(CoarsePart),
}

impl Found {
    fn add_to(self, series: &mut Selected) {
        match self {
            Self::Part(part) => series.parts.push(part),
            Self::Coarse(part) => series.coarse.push(part),
        }
    }
}

fn may_overlap(series: &BlockSeries, range: TimeRange) -> bool {
    let floats = series.floats.as_ref().map(|columns| columns.times);
    let histograms = series.histograms.as_ref().map(|columns| columns.times);
    floats
        .into_iter()
        .chain(histograms)
        .any(|times| times.first_ms <= range.end_incl.0 && times.last_ms >= range.start_incl.0)
}

/// The head's part of a read.
pub(crate) fn snapshot(head: &Head, matchers: &[Matcher], hints: &SelectHints) -> Vec<HeadSeries> {
    let Ok(found) = swell_index::select(&head.index, matchers);
    head.snapshot(&found, hints.range)
}

/// A failed read of a block as the reader sees it.
pub(crate) fn storage(error: &ReadBlockError) -> SelectError {
    let way_out = match error {
        ReadBlockError::Damaged { .. } => ": move the file away, or restore it from a backup",
        ReadBlockError::Read { .. } | ReadBlockError::Newer { .. } => "",
    };
    SelectError::Storage { what: format!("{}{way_out}", chain(error)) }
}

pub(crate) fn head_fault(error: DecodeError) -> SelectError {
    SelectError::Storage { what: format!("a column in memory: {}", chain(&error)) }
}

/// Decodes selected series one by one; series without samples in the range are passed over.
pub(crate) struct Columns {
    selected: std::vec::IntoIter<Selected>,
    read: CoarseRead,
    /// Aggregates are wanted, and nothing else.
    aggregates_only: bool,
    labels_only: bool,
    newest_only: bool,
    left: usize,
    decoder: Decoder,
}

impl Columns {
    /// The head's samples before `head_from_ms` are in blocks.
    pub(crate) fn new(
        selected: Vec<Selected>,
        hints: &SelectHints,
        choice: Choice,
        head_from_ms: i64,
    ) -> Self {
        let (coarse, range) = (hints.coarse, hints.range);
        Self {
            selected: selected.into_iter(),
            read: CoarseRead { choice, coarse, range, head_from_ms },
            aggregates_only: false,
            labels_only: hints.labels_only,
            newest_only: hints.newest_only,
            left: if hints.limit == 0 { usize::MAX } else { hints.limit },
            decoder: Decoder::default(),
        }
    }

    /// All samples of these times.
    pub(crate) fn samples(selected: Vec<Selected>, range: TimeRange) -> Self {
        Self::new(selected, &SelectHints::range(range), Choice::default(), i64::MIN)
    }

    /// All aggregates, as they are stored.
    pub(crate) fn aggregates(selected: Vec<Selected>) -> Self {
        Self { aggregates_only: true, ..Self::samples(selected, TimeRange::ALL) }
    }

    fn decode(&mut self, series: Selected) -> Result<SeriesData, SelectError> {
        let CoarseRead { range, head_from_ms, .. } = self.read;
        if self.aggregates_only {
            self.decoder.aggregates(series)
        } else if !series.coarse.is_empty() {
            self.decoder.with_coarse(series, &self.read)
        } else if self.newest_only && !series.has_deletions() {
            // Of a series of which something is deleted all samples are read: the newest may be among it.
            self.decoder.newest(series, range, head_from_ms)
        } else {
            self.decoder.series(series, range, head_from_ms)
        }
    }
}

impl Iterator for Columns {
    type Item = Result<SeriesData, SelectError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        while let Some(series) = self.selected.next() {
            match self.decode(series) {
                Ok(data)
                    if data.floats.timestamps.is_empty()
                        && data.histograms.timestamps.is_empty()
                        && data.aggregates.is_empty() => {}
                Ok(data) => {
                    self.left -= 1;
                    return Some(Ok(if self.labels_only {
                        SeriesData { labels: data.labels, ..SeriesData::default() }
                    } else {
                        data
                    }));
                }
                Err(error) => {
                    self.left = 0;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

/// Decoded columns of times, and buffers. Series of one target share their times, so each is decoded once.
#[derive(Default)]
pub(crate) struct Decoder {
    pub(crate) frames: FrameCache,
    pub(crate) reader: FloatReader,
    pub(crate) column: TailColumn,
    /// By the address of what holds the column (which lives as long as the read) and its number there.
    pub(crate) times: HashMap<(usize, u32), Arc<[i64]>>,
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
        series: Selected,
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
        Ok(SeriesData { labels: series.labels, ..self.columns(histograms) })
    }

    /// The samples of a series that is in the head alone.
    pub(crate) fn head_series(
        &mut self,
        series: HeadSeries,
        range: TimeRange,
        head_from_ms: i64,
    ) -> Result<SeriesData, SelectError> {
        self.begin();
        let mut histograms = HistogramSamples::new();
        self.head_samples(&series, range, head_from_ms, &mut histograms).map_err(head_fault)?;
        Ok(SeriesData { labels: series.labels, ..self.columns(histograms) })
    }

    /// Makes ready for another series.
    fn begin(&mut self) {
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
            self.late_in(columns, (start_ms, end_ms), histograms);
            return Ok(());
        }
        for window in kept(columns.deleted.as_ref(), from_ms, end_ms) {
            self.head_window(columns, window, histograms)?;
        }
        for window in kept(columns.deleted.as_ref(), start_ms, end_ms) {
            self.late_in(columns, window, histograms);
        }
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
        let histograms = histogram_column(histograms);
        let mut floats = self.concatenated();
        if !histograms.timestamps.is_empty() && !floats.timestamps.is_empty() {
            floats = without_times(floats, &histograms.timestamps);
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
                stretches => stretches
                    .iter()
                    .flat_map(|s| &self.times[&s.column][s.first..s.first + s.len])
                    .copied()
                    .collect(),
            };
            let rises = timestamps.is_sorted_by(|a, b| a < b);
            self.last = (self.stretches.clone(), timestamps, rises);
        }
        let timestamps = Arc::clone(&self.last.1);
        if self.last.2 && self.late.is_empty() {
            let starts = some_starts(&self.starts);
            return FloatColumn { timestamps, values: self.values[..].into(), starts };
        }
        let starts = self.starts.iter().copied().chain(std::iter::repeat(0));
        let stored = timestamps.iter().copied().zip(self.values.iter().copied()).zip(starts);
        let mut samples: Vec<(i64, f64, i64)> =
            stored.map(|((at, value), start)| (at, value, start)).collect();
        samples.extend_from_slice(&self.late);
        samples.sort_by_key(|(at, ..)| *at);
        samples.dedup_by(|next, kept| {
            let is_same_time = next.0 == kept.0;
            if is_same_time && float_wins(next.1, kept.1) {
                *kept = *next;
            }
            is_same_time
        });
        let starts: Vec<i64> = samples.iter().map(|(.., start)| *start).collect();
        FloatColumn {
            timestamps: samples.iter().map(|(at, ..)| *at).collect(),
            values: samples.iter().map(|(_, value, _)| *value).collect(),
            starts: some_starts(&starts),
        }
    }
}

/// Start timestamps as a column has them: absent when there are none.
fn some_starts(starts: &[i64]) -> Option<Arc<[i64]>> {
    starts.iter().any(|start| *start != 0).then(|| starts.into())
}

/// The floats at other times than these, which have a histogram each.
fn without_times(floats: FloatColumn, times: &[i64]) -> FloatColumn {
    let is_kept = |at: &i64| times.binary_search(at).is_err();
    if floats.timestamps.iter().all(is_kept) {
        return floats;
    }
    let kept = || floats.timestamps.iter().map(is_kept);
    let pick = |values: &[i64]| -> Arc<[i64]> {
        values.iter().zip(kept()).filter(|(_, kept)| *kept).map(|(value, _)| *value).collect()
    };
    let values = floats.values.iter().zip(kept()).filter(|(_, kept)| *kept);
    FloatColumn {
        timestamps: pick(&floats.timestamps),
        values: values.map(|(value, _)| *value).collect(),
        starts: floats.starts.as_deref().map(pick),
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

fn histogram_column(mut samples: HistogramSamples) -> HistogramColumn {
    if !samples.is_sorted_by(|a, b| a.0 < b.0) {
        samples.sort_by_key(|(at, _)| *at);
        samples.dedup_by(|next, kept| {
            let is_same_time = next.0 == kept.0;
            if is_same_time && histogram_wins(&next.1.value, &kept.1.value) {
                *kept = next.clone();
            }
            is_same_time
        });
        // What is known of resets holds between neighbours, and these are others now.
        for idx in (1..samples.len()).rev() {
            let reset_hint = samples[idx].1.value.hint_after(Some(&samples[idx - 1].1.value));
            if reset_hint != samples[idx].1.value.reset_hint {
                let value = NativeHistogram::clone(&samples[idx].1.value);
                samples[idx].1.value = Arc::new(NativeHistogram { reset_hint, ..value });
            }
        }
    }
    let starts: Vec<i64> = samples.iter().map(|(_, point)| point.start_ms).collect();
    let (timestamps, values) = samples.into_iter().map(|(at, point)| (at, point.value)).unzip();
    let starts = starts.iter().any(|start| *start != 0).then_some(starts);
    HistogramColumn { timestamps, values, starts }
}

/// First position in the window, and the one after the last.
pub(crate) fn positions(times: &[i64], (from_ms, to_ms): (i64, i64)) -> (usize, usize) {
    (times.partition_point(|at| *at < from_ms), times.partition_point(|at| *at <= to_ms))
}

/// Blocks that may have samples in the range, loaded.
pub(crate) fn load(
    blocks: &[Arc<Block>],
    range: TimeRange,
    now: swell_env::Monotonic,
) -> Result<Vec<Arc<Loaded>>, SelectError> {
    blocks
        .iter()
        .filter(|block| {
            // What stretches hold may be older than their ends.
            block.meta.resolution > DurationMs::ZERO || block.meta.range().overlaps(&range)
        })
        .map(|block| block.load(now).map_err(|error| storage(&error)))
        .collect()
}
