//! What a reader takes out of the head while it holds the lock: references to sealed parts, copies of open ones.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use swell_chunk::{Tail, TimesTail};
use swell_index::LabelIndex as _;
use swell_model::{Labels, TimeRange};

use super::{Head, HistogramChunk, HistogramSamples, NONE, Newest, Segment, Series};
use crate::tombstones::Intervals;

/// One series as it stood when the snapshot was taken.
#[derive(Debug, Default)]
pub(crate) struct HeadSeries {
    pub(crate) labels: Labels,
    /// Sealed columns, oldest first.
    pub(crate) chunks: Vec<ColumnRef>,
    /// The open end.
    pub(crate) open: Option<OpenColumn>,
    pub(crate) histogram_chunks: Vec<Arc<HistogramChunk>>,
    pub(crate) histograms: HistogramSamples,
    /// Late floats as time, value, start timestamp.
    pub(crate) late_floats: Vec<(i64, f64, i64)>,
    pub(crate) late_histograms: HistogramSamples,
    /// Time and value of the newest sample in the range, instead of all the others where no more is wanted.
    pub(crate) newest: Option<(i64, f64)>,
    /// What is deleted of these, but for the late ones.
    pub(crate) deleted: Option<Arc<Intervals>>,
}

/// The newest sample of a series in a range.
#[derive(Clone, Debug)]
pub(crate) struct NewestSample {
    pub(crate) labels: Labels,
    pub(crate) at_ms: i64,
    pub(crate) value: f64,
}

impl From<NewestSample> for HeadSeries {
    fn from(NewestSample { labels, at_ms, value }: NewestSample) -> Self {
        Self { labels, newest: Some((at_ms, value)), ..Self::default() }
    }
}

/// A column of a sealed segment.
#[derive(Clone, Debug)]
pub(crate) struct ColumnRef {
    pub(crate) segment: Arc<Segment>,
    pub(crate) member: u32,
    /// The member that has the start timestamps.
    pub(crate) starts_member: Option<u32>,
}

/// A column that still grows: its group's rows, and tokens of values and start timestamps.
#[derive(Debug)]
pub(crate) struct OpenColumn {
    pub(crate) rows: Arc<OpenRows>,
    pub(crate) tokens: Box<[u8]>,
    pub(crate) starts: Option<Box<[u8]>>,
}

/// Rows of a group that is not sealed.
#[derive(Debug)]
pub(crate) struct OpenRows(pub(crate) TimesTail);

impl HeadSeries {
    pub(crate) fn has_histograms(&self) -> bool {
        !(self.histogram_chunks.is_empty()
            && self.histograms.is_empty()
            && self.late_histograms.is_empty())
    }

    fn is_empty(&self) -> bool {
        self.chunks.is_empty()
            && self.open.is_none()
            && self.histogram_chunks.is_empty()
            && self.histograms.is_empty()
            && self.late_floats.is_empty()
            && self.late_histograms.is_empty()
    }
}

/// Copies of the rows of groups for reads of one range, each made once while the group stays as it is.
#[derive(Debug, Default)]
pub(crate) struct RowCopies {
    /// By place: number of the group, its rows, and the copy; `None` for a group without rows in the range.
    by_place: FxHashMap<u32, (u64, u32, Option<Arc<OpenRows>>)>,
    /// Copies that grew old. Who decodes knows columns by their address, so they stay as long as the others.
    replaced: Vec<Arc<OpenRows>>,
}

impl RowCopies {
    fn of(&mut self, head: &Head, place: u32, window: (i64, i64)) -> Option<Arc<OpenRows>> {
        let group = &head.groups[place as usize];
        let stands_for = (group.number, group.times.count());
        match self.by_place.get(&place) {
            Some((number, rows, copy)) if (*number, *rows) == stands_for => copy.clone(),
            _ => {
                let copy = head.open_rows(place, window);
                let entry = (stands_for.0, stands_for.1, copy.clone());
                let before = self.by_place.insert(place, entry);
                self.replaced.extend(before.and_then(|(.., copy)| copy));
                copy
            }
        }
    }
}

impl Head {
    /// Parts of the given series that may have samples in the range and are read from here; series without such
    /// parts are left out.
    pub(crate) fn snapshot(&self, indices: &[u32], range: TimeRange) -> Vec<HeadSeries> {
        self.snapshot_with(indices, range, &mut RowCopies::default())
    }

    /// The same, with copies of rows that an earlier call of the same range made.
    pub(crate) fn snapshot_with(
        &self,
        indices: &[u32],
        range: TimeRange,
        rows: &mut RowCopies,
    ) -> Vec<HeadSeries> {
        let taken = indices.iter().filter_map(|idx| {
            let columns = self.columns(*idx, range, rows)?;
            let labels = self.labels_at(*idx);
            let deleted = self.tombstones.of(&labels).cloned();
            Some(HeadSeries { labels, deleted, ..columns })
        });
        taken.collect()
    }

    /// As [`Head::snapshot`], for readers that look at the newest sample in the range only: those samples that are known
    /// as they are, and the other series.
    pub(crate) fn newest_snapshot(
        &self,
        indices: &[u32],
        range: TimeRange,
    ) -> (Vec<NewestSample>, Vec<HeadSeries>) {
        let window = self.clipped(range);
        let mut rows = RowCopies::default();
        let mut known = Vec::with_capacity(indices.len());
        let mut others = Vec::new();
        for idx in indices {
            let newest = self.newest(*idx, window);
            if newest == Newest::Before {
                continue;
            }
            let labels = self.labels_at(*idx);
            let deleted = self.tombstones.of(&labels).cloned();
            if let (Newest::Float(at_ms, value), None) = (newest, &deleted) {
                known.push(NewestSample { labels, at_ms, value });
            } else if let Some(columns) = self.columns(*idx, range, &mut rows) {
                others.push(HeadSeries { labels, deleted, ..columns });
            }
        }
        (known, others)
    }

    /// As [`Head::snapshot`], without labels, of series each with something to know it by.
    pub(crate) fn unlabelled<T>(
        &self,
        series: impl IntoIterator<Item = (u32, T)>,
        range: TimeRange,
    ) -> Vec<(HeadSeries, T)> {
        let mut rows = RowCopies::default();
        let taken = series
            .into_iter()
            .filter_map(|(idx, mark)| Some((self.columns(idx, range, &mut rows)?, mark)));
        taken.collect()
    }

    fn labels_at(&self, idx: u32) -> Labels {
        self.index.labels(idx).expect("indices come from the index")
    }

    /// Columns of a series, without its labels.
    pub(crate) fn columns(
        &self,
        idx: u32,
        range: TimeRange,
        rows: &mut RowCopies,
    ) -> Option<HeadSeries> {
        let window = self.clipped(range);
        let series = &self.series[idx as usize];
        let mut taken = HeadSeries::default();
        if window.0 <= window.1 {
            taken.chunks = self.sealed_columns(series, window);
            if series.group != NONE && series.tail.count() > 0 {
                let rows = rows.of(self, series.group, window);
                taken.open = rows.map(|rows| open_column(series, rows));
            }
        }
        if let Some(extra) = &series.extra {
            let (from_ms, to_ms) = window;
            let histograms = &extra.histograms;
            let overlapping = |chunk: &&Arc<HistogramChunk>| {
                from_ms <= to_ms && chunk.first_ms <= to_ms && chunk.last_ms >= from_ms
            };
            taken.histogram_chunks =
                histograms.chunks.iter().filter(overlapping).cloned().collect();
            let start = histograms.open.partition_point(|(at, _)| *at < from_ms);
            let end = histograms.open.partition_point(|(at, _)| *at <= to_ms);
            taken.histograms = histograms.open.get(start..end).unwrap_or_default().to_vec();
            let whole = (range.start_incl.0, range.end_incl.0);
            taken.late_floats = extra.late.floats_in(whole);
            taken.late_histograms = extra.late.histograms_in(whole);
        }
        (!taken.is_empty()).then_some(taken)
    }

    /// Indices of all series.
    pub(crate) fn series(&self) -> Vec<u32> {
        let Ok(all) = self.index.all();
        all
    }

    /// Indices of the series with late samples.
    pub(crate) fn late_series(&self) -> Vec<u32> {
        self.series().into_iter().filter(|idx| self.has_late(*idx)).collect()
    }

    /// Whether the series has late samples.
    pub(super) fn has_late(&self, idx: u32) -> bool {
        self.series[idx as usize].extra.as_ref().is_some_and(|extra| !extra.late.is_empty())
    }

    fn sealed_columns(&self, series: &Series, (from_ms, to_ms): (i64, i64)) -> Vec<ColumnRef> {
        let mut columns = Vec::new();
        let mut chunk = series.chunk;
        while let Some(segment) = self.segments.get(chunk) {
            if segment.first_ms <= to_ms && segment.last_ms >= from_ms {
                columns.push(ColumnRef {
                    segment: Arc::clone(segment),
                    member: chunk.member(),
                    starts_member: chunk.starts_member(),
                });
            }
            chunk = segment.before(chunk.member());
        }
        columns.reverse();
        columns
    }

    fn open_rows(&self, group: u32, (from_ms, to_ms): (i64, i64)) -> Option<Arc<OpenRows>> {
        let group = &self.groups[group as usize];
        let overlaps = group.first_ms <= to_ms && group.times.last_ms() >= Some(from_ms);
        overlaps.then(|| Arc::new(OpenRows(group.times.clone())))
    }

    /// The range without what is in blocks, as first and last millisecond.
    pub(crate) fn clipped(&self, range: TimeRange) -> (i64, i64) {
        (range.start_incl.0.max(self.read_floor_ms), range.end_incl.0)
    }

    /// Times of the late samples, both ends included.
    pub(crate) fn late_range(&self) -> Option<TimeRange> {
        if self.late_count == 0 {
            return None;
        }
        let extras = self.series.iter().filter_map(|series| series.extra.as_ref());
        let spans = extras.filter_map(|extra| extra.late.span_ms());
        let span = spans.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))?;
        Some(TimeRange {
            start_incl: swell_model::TimestampMs(span.0),
            end_incl: swell_model::TimestampMs(span.1),
        })
    }
}

fn open_column(series: &Series, rows: Arc<OpenRows>) -> OpenColumn {
    let starts = series.extra.as_ref().map(|extra| &extra.starts);
    OpenColumn {
        rows,
        tokens: tokens(&series.tail),
        starts: starts.filter(|starts| starts.count() > 0).map(tokens),
    }
}

fn tokens(tail: &Tail) -> Box<[u8]> {
    let mut tokens = Vec::with_capacity(tail.token_bytes() + 3);
    tail.copy_tokens(&mut tokens);
    tokens.into()
}
