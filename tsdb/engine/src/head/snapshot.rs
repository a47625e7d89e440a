//! What a reader takes out of the head while it holds the lock: references to sealed parts, copies of open ones.

use std::collections::HashMap;
use std::sync::Arc;

use swell_chunk::TimesTail;
use swell_model::{Labels, TimeRange};

use super::{Head, HistogramChunk, HistogramSamples, NONE, Newest, Segment};
use crate::tombstones::Intervals;

/// One series as it stood when the snapshot was taken.
#[derive(Debug, Default)]
pub(crate) struct HeadSeries {
    pub(crate) labels: Labels,
    /// Sealed columns, oldest first, with the member number there.
    pub(crate) chunks: Vec<(Arc<Segment>, u32)>,
    /// The open end: the group's rows, and tokens.
    pub(crate) open: Option<(Arc<OpenRows>, Box<[u8]>)>,
    pub(crate) histogram_chunks: Vec<Arc<HistogramChunk>>,
    pub(crate) histograms: HistogramSamples,
    /// Time and value of the newest sample in the range, instead of all the others where no more is wanted.
    pub(crate) newest: Option<(i64, f64)>,
    /// What is deleted of all these.
    pub(crate) deleted: Option<Arc<Intervals>>,
}

/// Rows of a group that is not sealed.
#[derive(Debug)]
pub(crate) struct OpenRows(pub(crate) TimesTail);

impl HeadSeries {
    fn is_empty(&self) -> bool {
        self.chunks.is_empty()
            && self.open.is_none()
            && self.histogram_chunks.is_empty()
            && self.histograms.is_empty()
    }
}

/// Copies of the rows of groups, each made once; `None` for a group without rows in the range.
type Groups = HashMap<u32, Option<Arc<OpenRows>>>;

impl Head {
    /// Parts of the given series that may have samples in the range and are read from here; series without such
    /// parts are left out.
    pub(crate) fn snapshot(&self, indices: &[u32], range: TimeRange) -> Vec<HeadSeries> {
        let window = self.clipped(range);
        let mut groups = Groups::new();
        let taken = indices.iter().filter_map(|idx| {
            let columns = self.columns(*idx, window, &mut groups)?;
            let labels = self.labels_at(*idx);
            let deleted = self.tombstones.of(&labels).cloned();
            Some(HeadSeries { labels, deleted, ..columns })
        });
        taken.collect()
    }

    /// As [`Head::snapshot`], for readers that look at the newest sample in the range only.
    pub(crate) fn newest_snapshot(&self, indices: &[u32], range: TimeRange) -> Vec<HeadSeries> {
        let window = self.clipped(range);
        let mut groups = Groups::new();
        let taken = indices.iter().filter_map(|idx| {
            let newest = self.newest(*idx, window);
            if newest == Newest::Before {
                return None;
            }
            let labels = self.labels_at(*idx);
            let deleted = self.tombstones.of(&labels).cloned();
            let taken = match newest {
                Newest::Float(at_ms, value) if deleted.is_none() => {
                    HeadSeries { newest: Some((at_ms, value)), ..HeadSeries::default() }
                }
                _ => self.columns(*idx, window, &mut groups)?,
            };
            Some(HeadSeries { labels, deleted, ..taken })
        });
        taken.collect()
    }

    /// As [`Head::snapshot`], without labels, of series each with something to know it by.
    pub(crate) fn unlabelled<T: Copy>(
        &self,
        series: &[(u32, T)],
        range: TimeRange,
    ) -> Vec<(HeadSeries, T)> {
        let window = self.clipped(range);
        let mut groups = Groups::new();
        let taken = series
            .iter()
            .filter_map(|(idx, mark)| Some((self.columns(*idx, window, &mut groups)?, *mark)));
        taken.collect()
    }

    fn labels_at(&self, idx: u32) -> Labels {
        self.index.labels(idx).expect("indices come from the index")
    }

    /// Columns of a series, without its labels.
    fn columns(
        &self,
        idx: u32,
        (from_ms, to_ms): (i64, i64),
        groups: &mut Groups,
    ) -> Option<HeadSeries> {
        if from_ms > to_ms {
            return None;
        }
        let series = &self.series[idx as usize];
        let mut taken = HeadSeries::default();
        for (segment, member) in &series.chunks {
            let segment = self.segments[*segment as usize].as_ref();
            let segment = segment.expect("chunks refer to segments that are there");
            if segment.first_ms <= to_ms && segment.last_ms >= from_ms {
                taken.chunks.push((Arc::clone(segment), *member));
            }
        }
        if series.group != NONE && series.tail.count() > 0 {
            let rows = groups.entry(series.group).or_insert_with(|| {
                let group = &self.groups[series.group as usize];
                let overlaps = group.first_ms <= to_ms && group.times.last_ms() >= Some(from_ms);
                overlaps.then(|| Arc::new(OpenRows(group.times.clone())))
            });
            if let Some(rows) = rows {
                let mut tokens = Vec::with_capacity(series.tail.heap_bytes() + 2);
                series.tail.copy_tokens(&mut tokens);
                taken.open = Some((Arc::clone(rows), tokens.into()));
            }
        }
        if let Some(histograms) = &series.histograms {
            let overlapping =
                |chunk: &&Arc<HistogramChunk>| chunk.first_ms <= to_ms && chunk.last_ms >= from_ms;
            taken.histogram_chunks =
                histograms.chunks.iter().filter(overlapping).cloned().collect();
            let start = histograms.open.partition_point(|(at, _)| *at < from_ms);
            let end = histograms.open.partition_point(|(at, _)| *at <= to_ms);
            taken.histograms = histograms.open[start..end].to_vec();
        }
        (!taken.is_empty()).then_some(taken)
    }

    /// The range without what is in blocks, as first and last millisecond.
    pub(crate) fn clipped(&self, range: TimeRange) -> (i64, i64) {
        (range.start_incl.0.max(self.read_floor_ms), range.end_incl.0)
    }
}
