//! Native histograms of one series in the head: the newest as they came, older ones packed.

use std::sync::Arc;

use swell_chunk::{
    DecodeError, HISTOGRAMS_MAX, read_histograms, read_times, write_histograms, write_times,
};
use swell_model::NativeHistogram;

pub(crate) type HistogramSamples = Vec<(i64, Arc<NativeHistogram>)>;

/// Histograms of one series, times rising.
#[derive(Debug, Default)]
pub(crate) struct HistogramSeries {
    pub(crate) chunks: Vec<Arc<HistogramChunk>>,
    pub(crate) open: HistogramSamples,
}

/// A full column of histograms.
#[derive(Debug)]
pub(crate) struct HistogramChunk {
    pub(crate) first_ms: i64,
    pub(crate) last_ms: i64,
    pub(crate) count: usize,
    times: Box<[u8]>,
    values: Box<[u8]>,
}

impl HistogramChunk {
    pub(crate) fn new(samples: &[(i64, Arc<NativeHistogram>)]) -> Self {
        let timestamps: Vec<i64> = samples.iter().map(|(at, _)| *at).collect();
        let histograms: Vec<Arc<NativeHistogram>> =
            samples.iter().map(|(_, histogram)| Arc::clone(histogram)).collect();
        let (mut times, mut values) = (Vec::new(), Vec::new());
        write_times(&timestamps, &mut times);
        write_histograms(&histograms, &mut values);
        Self {
            first_ms: timestamps[0],
            last_ms: timestamps[timestamps.len() - 1],
            count: samples.len(),
            times: times.into(),
            values: values.into(),
        }
    }

    pub(crate) fn read(&self, out: &mut HistogramSamples) -> Result<(), DecodeError> {
        let times = read_times(&self.times, self.count)?;
        out.extend(times.into_iter().zip(read_histograms(&self.values, self.count)?));
        Ok(())
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.times.len() + self.values.len()
    }
}

impl HistogramSeries {
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

    pub(crate) fn first_ms(&self) -> Option<i64> {
        let open = self.open.first().map(|(at, _)| *at);
        self.chunks.first().map(|chunk| chunk.first_ms).or(open)
    }
}
