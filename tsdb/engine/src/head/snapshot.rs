//! What a reader takes out of the head while it holds the lock: references to sealed parts, copies of open ones.

use std::collections::HashMap;
use std::sync::Arc;

use swell_chunk::TimesTail;
use swell_model::{Labels, TimeRange};

use super::{Head, HistogramChunk, HistogramSamples, NONE, Segment};

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

impl Head {
    /// Parts of the given series that may have samples in the range and are read from here; series without such
    /// parts are left out.
    pub(crate) fn snapshot(&self, indices: &[u32], range: TimeRange) -> Vec<HeadSeries> {
        let (from_ms, to_ms) = self.clipped(range);
        if from_ms > to_ms {
            return Vec::new();
        }
        let mut groups: HashMap<u32, Option<Arc<OpenRows>>> = HashMap::new();
        let mut out = Vec::new();
        for idx in indices {
            let series = &self.series[*idx as usize];
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
                    let overlaps =
                        group.first_ms <= to_ms && group.times.last_ms() >= Some(from_ms);
                    overlaps.then(|| Arc::new(OpenRows(group.times.clone())))
                });
                if let Some(rows) = rows {
                    let mut tokens = Vec::with_capacity(series.tail.heap_bytes() + 2);
                    series.tail.copy_tokens(&mut tokens);
                    taken.open = Some((Arc::clone(rows), tokens.into()));
                }
            }
            if let Some(histograms) = &series.histograms {
                let overlapping = |chunk: &&Arc<HistogramChunk>| {
                    chunk.first_ms <= to_ms && chunk.last_ms >= from_ms
                };
                taken.histogram_chunks =
                    histograms.chunks.iter().filter(overlapping).cloned().collect();
                let start = histograms.open.partition_point(|(at, _)| *at < from_ms);
                let end = histograms.open.partition_point(|(at, _)| *at <= to_ms);
                taken.histograms = histograms.open[start..end].to_vec();
            }
            if !taken.is_empty() {
                taken.labels = self.index.labels(*idx).expect("indices come from the index");
                out.push(taken);
            }
        }
        out
    }

    /// The range without what is in blocks, as first and last millisecond.
    pub(crate) fn clipped(&self, range: TimeRange) -> (i64, i64) {
        (range.start_incl.0.max(self.read_floor_ms), range.end_incl.0)
    }
}
