//! Native histograms of one series in the head: the newest as they came, older ones packed.

use std::sync::Arc;

use swell_chunk::{
    Cursor, DecodeError, HISTOGRAMS_MAX, read_histograms, read_times, write_histograms, write_times,
};
use swell_model::NativeHistogram;

use crate::starts::{put_starts, read_starts};

/// A histogram and its start timestamp, 0 for none.
#[derive(Clone, Debug)]
pub(crate) struct HistogramPoint {
    pub(crate) value: Arc<NativeHistogram>,
    pub(crate) start_ms: i64,
}

pub(crate) type HistogramSamples = Vec<(i64, HistogramPoint)>;

/// Histograms of one series, times rising.
#[derive(Debug, Default)]
pub(crate) struct HistogramSeries {
    pub(crate) chunks: Vec<Arc<HistogramChunk>>,
    pub(crate) open: HistogramSamples,
    /// The newest one, also when it is packed.
    pub(crate) last: Option<Arc<NativeHistogram>>,
}

/// A full column of histograms.
#[derive(Debug)]
pub(crate) struct HistogramChunk {
    pub(crate) first_ms: i64,
    pub(crate) last_ms: i64,
    pub(crate) count: usize,
    times: Box<[u8]>,
    values: Box<[u8]>,
    starts: Box<[u8]>,
}

impl HistogramChunk {
    pub(crate) fn new(samples: &[(i64, HistogramPoint)]) -> Self {
        let timestamps: Vec<i64> = samples.iter().map(|(at, _)| *at).collect();
        let histograms: Vec<Arc<NativeHistogram>> =
            samples.iter().map(|(_, point)| Arc::clone(&point.value)).collect();
        let (mut times, mut values, mut starts) = (Vec::new(), Vec::new(), Vec::new());
        write_times(&timestamps, &mut times);
        write_histograms(&histograms, &mut values);
        put_starts(samples.iter().map(|(_, point)| point.start_ms), &mut starts);
        Self {
            first_ms: timestamps[0],
            last_ms: timestamps[timestamps.len() - 1],
            count: samples.len(),
            times: times.into(),
            values: values.into(),
            starts: starts.into(),
        }
    }

    /// Times, values and start timestamps.
    pub(crate) const fn columns(&self) -> [&[u8]; 3] {
        [&self.times, &self.values, &self.starts]
    }

    /// From what [`HistogramChunk::columns`] gave; `None` for no histograms. Values are judged when they are read.
    pub(crate) fn of_columns(
        count: usize,
        [times, values, starts]: [&[u8]; 3],
    ) -> Result<Option<Self>, DecodeError> {
        let timestamps = read_times(times, count)?;
        let span = timestamps.first().zip(timestamps.last());
        Ok(span.map(|(first_ms, last_ms)| Self {
            first_ms: *first_ms,
            last_ms: *last_ms,
            count,
            times: times.into(),
            values: values.into(),
            starts: starts.into(),
        }))
    }

    pub(crate) fn read(&self, out: &mut HistogramSamples) -> Result<(), DecodeError> {
        let times = read_times(&self.times, self.count)?;
        let values = read_histograms(&self.values, self.count)?;
        let starts = read_starts(&mut Cursor::new(&self.starts), self.count)?;
        let points = values.into_iter().zip(starts);
        let points = points.map(|(value, start_ms)| HistogramPoint { value, start_ms });
        out.extend(times.into_iter().zip(points));
        Ok(())
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.times.len() + self.values.len() + self.starts.len()
    }
}

/// Start timestamps that a float column can hold without loss.
pub(crate) const START_MAX_MS: i64 = (1 << 53) - 1;

/// A start timestamp as a value of a float column: exact up to [`START_MAX_MS`], which is checked before.
#[expect(clippy::cast_precision_loss, reason = "exact below 2^53")]
pub(crate) const fn start_as_float(start_ms: i64) -> f64 {
    start_ms as f64
}

/// The start timestamp of such a value.
#[expect(clippy::cast_possible_truncation, reason = "whole numbers below 2^53 were written")]
pub(crate) const fn start_of_float(value: f64) -> i64 {
    value as i64
}

impl HistogramSeries {
    pub(crate) const fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.open.is_empty()
    }

    /// The oldest samples that fill a chunk, if there are so many.
    pub(crate) fn full(&self) -> Option<HistogramSamples> {
        self.open.get(..HISTOGRAMS_MAX).map(<[_]>::to_vec)
    }

    /// Puts the chunk in place of the samples it was made of.
    pub(crate) fn pack(&mut self, chunk: HistogramChunk) {
        let is_front = self.open.first().is_some_and(|(at, _)| *at == chunk.first_ms);
        if is_front && self.open.len() >= chunk.count {
            self.open.drain(..chunk.count);
            self.chunks.push(Arc::new(chunk));
        }
    }

    /// Forgets whole chunks, and open samples, before `floor_ms`.
    pub(crate) fn truncate(&mut self, floor_ms: i64) {
        self.chunks.retain(|chunk| chunk.last_ms >= floor_ms);
        let kept_from = self.open.partition_point(|(at, _)| *at < floor_ms);
        self.open.drain(..kept_from);
    }

    pub(crate) fn sample_count(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.count as u64).sum::<u64>() + self.open.len() as u64
    }

    pub(crate) fn chunk_count(&self) -> usize {
        self.chunks.len() + usize::from(!self.open.is_empty())
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.heap_bytes()).sum()
    }

    pub(crate) fn first_ms(&self) -> Option<i64> {
        let open = self.open.first().map(|(at, _)| *at);
        self.chunks.first().map(|chunk| chunk.first_ms).or(open)
    }
}
