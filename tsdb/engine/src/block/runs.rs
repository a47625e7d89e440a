//! Runs of native histograms as columns: what a block of a resolution holds of them in place of samples.
//!
//! The histograms' times are those of the last one of each run, the histograms these last ones. Behind them stand the
//! sums of the runs of several, in their order, and of all runs how many histograms they have.

use std::sync::Arc;

use swell_chunk::{FloatReader, HISTOGRAM_BUCKETS_MAX};
use swell_model::{HistogramRun, NativeHistogram, SeriesData, by_stretch, histogram_runs};

use super::ReadBlockError;
use super::aggregates::{Depth, whole};
use super::columns::FrameCache;
use super::group::HistogramColumns;
use super::reader::Loaded;

/// Replaces the samples of a series by what is kept of stretches of that length.
pub(crate) fn aggregate(series: &mut SeriesData, resolution_ms: i64) {
    let (floats, histograms) =
        (std::mem::take(&mut series.floats), std::mem::take(&mut series.histograms));
    series.aggregates = by_stretch(&floats.timestamps, &floats.values, resolution_ms);
    let (times, values) = (&histograms.timestamps, &histograms.values);
    series.histogram_runs = histogram_runs(times, values, resolution_ms, HISTOGRAM_BUCKETS_MAX);
}

impl Loaded {
    /// Runs at the positions `[from, to)` of a series; `times` are those of its last histograms there. With
    /// [`Depth::Last`] each run is its last histogram.
    pub(crate) fn runs(
        &self,
        series: &HistogramColumns,
        (from, to): (usize, usize),
        times: &[i64],
        depth: Depth,
        frames: &mut FrameCache,
        reader: &mut FloatReader,
    ) -> Result<Vec<HistogramRun>, ReadBlockError> {
        let mut last: Vec<Arc<NativeHistogram>> = Vec::with_capacity(to - from);
        self.histograms(series, (from, to), frames, &mut last)?;
        let alone = times.iter().zip(&last).map(|(at_ms, it)| HistogramRun::of_sample(*at_ms, it));
        let mut runs: Vec<HistogramRun> = alone.collect();
        if depth == Depth::Last {
            return Ok(runs);
        }
        let counts = series.counts().ok_or_else(|| self.not_aggregated())?;
        // Which sums belong to the positions is known from the counts before them.
        let mut read = Vec::with_capacity(to);
        self.floats(&counts, (0, to), frames, reader, &mut read)?;
        let has_sum = |count: &&f64| **count > 1.0;
        let first_sum = read[..from].iter().filter(has_sum).count();
        let sum_count = read[from..].iter().filter(has_sum).count();
        let end_sum = first_sum + sum_count;
        if end_sum > series.sum_count() {
            return Err(self.series_fault(0, "a run of histograms has no sum"));
        }
        let mut sums: Vec<Arc<NativeHistogram>> = Vec::with_capacity(sum_count);
        let chunk = |idx| series.sums_chunk(idx);
        let positions = (first_sum, end_sum);
        self.histogram_chunks(series.sum_count(), chunk, positions, frames, &mut sums)?;
        let mut sums = sums.into_iter();
        for (run, count) in runs.iter_mut().zip(&read[from..]) {
            run.count = whole(*count).unsigned_abs();
            if *count > 1.0
                && let Some(sum) = sums.next()
            {
                run.sum = sum;
            }
        }
        Ok(runs)
    }
}
