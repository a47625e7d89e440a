//! Native histograms that are gone, out of the runs that are kept of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use swell_model::{
    CounterResetHint, HistogramColumn, HistogramRun, NativeHistogram, SelectError, SeriesData,
    Thinned, stretch_end,
};

use super::{CoarsePart, CoarseRead, thinned_to};
use crate::block::{Depth, HistogramColumns, ReadBlockError};
use crate::select::{Decoder, Selected, storage};

impl Decoder {
    /// Puts what is kept of stretches in front of histograms, where these are gone: runs for a reader that folds, the
    /// newest histogram of each stretch for others.
    pub(super) fn fill_gone_histograms(
        &mut self,
        coarse: &[CoarsePart],
        read: &CoarseRead,
        data: &mut SeriesData,
        thinned: &mut Option<Thinned>,
    ) -> Result<(), SelectError> {
        let is_folded = read.coarse.takes_stretches();
        let first_sample = data.histograms.timestamps.first().copied();
        let mut known_from = first_sample.unwrap_or(i64::MAX);
        let mut all: Vec<HistogramRun> = Vec::new();
        for parts in coarse.chunk_by(|a, b| a.meta().resolution == b.meta().resolution) {
            let resolution = parts[0].meta().resolution;
            // Of a stretch that reaches into what is known only that is read.
            let upto_ms = match known_from {
                i64::MAX => i64::MAX,
                known => known - known.rem_euclid(resolution.0),
            };
            let (start_ms, end_ms) = (read.range.start_incl.0, read.range.end_incl.0);
            let from_ms = if is_folded { start_ms } else { start_ms.saturating_sub(resolution.0) };
            let depth = if is_folded { Depth::All } else { Depth::Last };
            let last_end_ms = end_ms.saturating_add(resolution.0).min(upto_ms);
            let mut gone = Vec::new();
            for part in parts {
                self.runs_of(part, (from_ms, last_end_ms), depth, &mut gone)
                    .map_err(|error| storage(&error))?;
            }
            if !is_folded {
                gone = newest_of_stretches(&gone, resolution.0);
            }
            gone.retain(|run| (from_ms..=end_ms).contains(&run.last_ms));
            let (Some(first), Some(last)) = (gone.first(), gone.last()) else { continue };
            thinned_to(thinned, last.last_ms, resolution);
            known_from = stretch_end(first.last_ms, resolution.0) - resolution.0;
            // A sample at the very end of a stretch is part of it.
            if first_sample == Some(last.last_ms) {
                drop_first(&mut data.histograms);
            }
            all.splice(0..0, gone);
        }
        if is_folded {
            data.histogram_runs = all;
        } else {
            put_in_front(&mut data.histograms, all);
        }
        Ok(())
    }

    /// Runs of stretches that end in a range.
    fn runs_of(
        &mut self,
        part: &CoarsePart,
        (from_ms, to_ms): (i64, i64),
        depth: Depth,
        out: &mut Vec<HistogramRun>,
    ) -> Result<(), ReadBlockError> {
        let Some(histograms) = &part.series.histograms else { return Ok(()) };
        let windows = match &part.deleted {
            None => vec![(from_ms, to_ms)],
            Some(deleted) => deleted.rest_of(from_ms, to_ms),
        };
        for window in windows {
            self.runs_in(part, histograms, window, depth, out)?;
        }
        Ok(())
    }

    fn runs_in(
        &mut self,
        part: &CoarsePart,
        histograms: &HistogramColumns,
        (from_ms, to_ms): (i64, i64),
        depth: Depth,
        out: &mut Vec<HistogramRun>,
    ) -> Result<(), ReadBlockError> {
        let end = |at_ms: &i64| stretch_end(*at_ms, part.meta().resolution.0);
        let times = self.block_times(&part.loaded, histograms.times)?;
        let from = times.partition_point(|at_ms| end(at_ms) < from_ms);
        let to = times.partition_point(|at_ms| end(at_ms) <= to_ms);
        if from < to {
            let times = times[from..to].to_vec();
            let (frames, reader) = (&mut self.frames, &mut self.reader);
            let positions = (from, to);
            out.extend(part.loaded.runs(histograms, positions, &times, depth, frames, reader)?);
        }
        Ok(())
    }

    /// All runs of a series: those of a later block count where two have the same stretch.
    pub(super) fn all_runs(&mut self, series: &Selected) -> Result<Vec<HistogramRun>, SelectError> {
        let mut by_stretch: BTreeMap<i64, Vec<HistogramRun>> = BTreeMap::new();
        for part in &series.coarse {
            let mut of_part = Vec::new();
            self.runs_of(part, (i64::MIN, i64::MAX), Depth::All, &mut of_part)
                .map_err(|error| storage(&error))?;
            let end = |run: &HistogramRun| stretch_end(run.last_ms, part.meta().resolution.0);
            for runs in of_part.chunk_by(|a, b| end(a) == end(b)) {
                by_stretch.insert(end(&runs[0]), runs.to_vec());
            }
        }
        Ok(by_stretch.into_values().flatten().collect())
    }
}

/// The last run of each stretch. It says that a counter was reset since the last of the stretch before if any run of
/// its own says so.
fn newest_of_stretches(runs: &[HistogramRun], resolution_ms: i64) -> Vec<HistogramRun> {
    let end = |run: &HistogramRun| stretch_end(run.last_ms, resolution_ms);
    let of_stretch = |runs: &[HistogramRun]| {
        let mut last = runs[runs.len() - 1].clone();
        let hints = || runs.iter().map(|run| run.last.reset_hint);
        let hint = match last.last.reset_hint {
            CounterResetHint::Gauge => CounterResetHint::Gauge,
            _ if hints().any(|hint| hint == CounterResetHint::Reset) => CounterResetHint::Reset,
            _ if hints().all(|hint| hint == CounterResetHint::NotReset) => {
                CounterResetHint::NotReset
            }
            _ => CounterResetHint::Unknown,
        };
        if hint != last.last.reset_hint {
            let value = NativeHistogram::clone(&last.last);
            last.last = Arc::new(NativeHistogram { reset_hint: hint, ..value });
        }
        last
    };
    runs.chunk_by(|a, b| end(a) == end(b)).map(of_stretch).collect()
}

fn drop_first(histograms: &mut HistogramColumn) {
    histograms.timestamps.remove(0);
    histograms.values.remove(0);
    if let Some(starts) = &mut histograms.starts {
        starts.remove(0);
    }
}

fn put_in_front(histograms: &mut HistogramColumn, runs: Vec<HistogramRun>) {
    if let Some(starts) = &mut histograms.starts {
        starts.splice(0..0, std::iter::repeat_n(0, runs.len()));
    }
    histograms.timestamps.splice(0..0, runs.iter().map(|run| run.last_ms));
    histograms.values.splice(0..0, runs.into_iter().map(|run| run.last));
}
