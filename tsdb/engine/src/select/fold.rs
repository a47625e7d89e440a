//! Samples folded where they are decoded, for readers that look at no more than figures of windows that do not overlap:
//! no column is put together, and none is copied.

use std::sync::Arc;

use swell_chunk::{DecodeError, Falls, FloatStatistics};
use swell_model::{
    Aggregate, ExactSum, Figures, SelectError, TimeRange, WindowGrid, changes, falls, greatest,
    has_stale, is_change, is_stale_nan, least,
};

use super::join::positions;
use super::{Decoder, Part, Selected, head_fault, storage};
use crate::block::{BlockSeries, CHUNK_LEN, Loaded, ReadBlockError};
use crate::head::HeadSeries;

/// What is looked at: windows, and which of their figures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Folding {
    /// No time lies in two of them.
    pub(crate) windows: WindowGrid,
    pub(crate) figures: Figures,
}

/// Runs of one series at most. One that falls more often is no counter, and its samples are smaller than its runs.
const RUNS_MAX: usize = 64;
/// The same where each run is of one value: of series that change often this is found out soon.
const CONSTANT_RUNS_MAX: usize = 16;

/// Runs of the samples of one series, which come in the order of time.
#[derive(Debug)]
struct Runs {
    folding: Folding,
    all: Vec<Aggregate>,
    /// The last of `all`, still without its sum, and its window.
    open: Option<(i64, ExactSum)>,
    /// Time of the last sample, staleness markers included.
    last_ms: i64,
    /// Samples are not in order, or do not fit runs: they are to be read as they are.
    has_failed: bool,
    runs_max: usize,
}

impl Runs {
    fn of(folding: Folding) -> Self {
        let of_one_window = match folding.figures {
            Figures::Changes => CONSTANT_RUNS_MAX,
            Figures::Ends | Figures::Sums | Figures::Extremes | Figures::Falls => RUNS_MAX,
        };
        let runs_max = of_one_window.max(folding.windows.count);
        let (all, open) = (Vec::with_capacity(1), None);
        Self { folding, all, open, last_ms: i64::MIN, has_failed: false, runs_max }
    }

    /// Takes samples that follow those taken before.
    fn take(&mut self, times: &[i64], values: &[f64]) {
        let ([first_ms, ..], [.., last_ms]) = (times, times) else { return };
        if *first_ms <= self.last_ms {
            self.has_failed = true;
        }
        self.last_ms = *last_ms;
        let mut from = 0;
        while from < times.len() && !self.has_failed {
            let Some((nr, start_ms, end_ms)) = self.window_of(times[from]) else { return };
            let low = from + times[from..].partition_point(|at| *at <= start_ms);
            let high = low + times[low..].partition_point(|at| *at <= end_ms);
            if low < high {
                self.take_in_window(nr, &times[low..high], &values[low..high]);
            }
            from = high;
        }
    }

    /// The first window that does not end before a time: its number, start and end.
    fn window_of(&self, at_ms: i64) -> Option<(i64, i64, i64)> {
        let WindowGrid { first_end, step, count, range } = self.folding.windows;
        let behind_ms = at_ms.saturating_sub(first_end.0).max(0);
        let nr = if count == 1 { 0 } else { (behind_ms - 1).div_euclid(step.0) + 1 };
        let end_ms = first_end.0.saturating_add(nr.saturating_mul(step.0));
        let is_there = usize::try_from(nr).is_ok_and(|nr| nr < count) && at_ms <= end_ms;
        is_there.then(|| (nr, end_ms.saturating_sub(range.0), end_ms))
    }

    /// Takes the figures of samples that follow those taken before; `false` where they do not lie in one window, or fall
    /// more often than a run may: then they are to be taken one by one.
    fn take_known(
        &mut self,
        (first_ms, last_ms): (i64, i64),
        count: usize,
        known: &FloatStatistics,
    ) -> bool {
        let Some((nr, start_ms, end_ms)) = self.window_of(first_ms) else { return false };
        if first_ms <= start_ms || last_ms > end_ms || first_ms <= self.last_ms {
            return false;
        }
        let figures = self.folding.figures;
        if figures == Figures::Changes && is_change(known.min, known.max) {
            return false;
        }
        let lost = match known.falls {
            _ if figures != Figures::Falls => None,
            Falls::Never => None,
            Falls::Once(before) => Some(before),
            Falls::More => return false,
        };
        if lost.is_some() && self.all.last().is_some_and(|run| run.reset_count > 0) {
            self.close();
        }
        self.last_ms = last_ms;
        let Some((run, sum)) = self.run_with(nr, first_ms, known.first) else { return false };
        run.count += count as u64;
        (run.last_ms, run.last) = (last_ms, known.last);
        if let Some(before) = lost {
            run.reset_count += 1;
            run.before_resets += before;
        }
        match figures {
            Figures::Sums => sum.add_units(known.sum.0, known.sum.1),
            Figures::Extremes => {
                run.min = least(&[run.min, known.min]);
                run.max = greatest(&[run.max, known.max]);
            }
            Figures::Ends | Figures::Falls | Figures::Changes => {}
        }
        true
    }

    fn take_in_window(&mut self, window: i64, times: &[i64], values: &[f64]) {
        if has_stale(values) {
            let samples = times.iter().zip(values).filter(|(_, value)| !is_stale_nan(**value));
            let (times, values): (Vec<i64>, Vec<f64>) = samples.unzip();
            if !times.is_empty() {
                self.take_in_window(window, &times, &values);
            }
            return;
        }
        let figures = self.folding.figures;
        let is_one_run = match figures {
            Figures::Falls => !falls(values),
            Figures::Changes => !changes(values),
            Figures::Ends | Figures::Sums | Figures::Extremes => true,
        };
        if is_one_run {
            self.extend(window, times, values);
            return;
        }
        // Each run ends before a fall, or a change.
        let is_end =
            |to: &usize| values.get(*to).is_none_or(|v| ends_run(figures, values[to - 1], *v));
        let mut from = 0;
        for to in (1..=values.len()).filter(is_end) {
            self.extend(window, &times[from..to], &values[from..to]);
            from = to;
            if self.all.len() > self.runs_max {
                self.has_failed = true;
                return;
            }
        }
    }

    /// The run that a sample goes to with those behind it: the open one, or a new one where that is of another window, or
    /// the sample falls.
    fn run_with(
        &mut self,
        window: i64,
        at_ms: i64,
        first: f64,
    ) -> Option<(&mut Aggregate, &mut ExactSum)> {
        let figures = self.folding.figures;
        let continues = match (&self.open, self.all.last()) {
            (Some((open, _)), Some(run)) => *open == window && !ends_run(figures, run.last, first),
            _ => false,
        };
        if !continues {
            self.close();
            let begun = Aggregate { count: 0, ..Aggregate::of_sample(at_ms, first) };
            self.all.push(Aggregate { min: f64::NAN, max: f64::NAN, ..begun });
            self.open = Some((window, ExactSum::default()));
        }
        Some((self.all.last_mut()?, &mut self.open.as_mut()?.1))
    }

    /// Adds samples, among which no run ends, to a run.
    fn extend(&mut self, window: i64, times: &[i64], values: &[f64]) {
        let figures = self.folding.figures;
        let Some((run, sum)) = self.run_with(window, times[0], values[0]) else { return };
        run.count += values.len() as u64;
        (run.last_ms, run.last) = (times[times.len() - 1], values[values.len() - 1]);
        match figures {
            Figures::Sums => sum.add_all(values),
            Figures::Extremes => {
                run.min = least(&[run.min, least(values)]);
                run.max = greatest(&[run.max, greatest(values)]);
            }
            Figures::Ends | Figures::Falls | Figures::Changes => {}
        }
    }

    /// Ends the open run.
    fn close(&mut self) {
        let (Some((_, sum)), Some(run)) = (self.open.take(), self.all.last_mut()) else { return };
        if self.folding.figures == Figures::Sums {
            match sum.in_two() {
                Some([rounded, lost]) => (run.sum, run.sum_lost) = (rounded, lost),
                None => self.has_failed = true,
            }
        }
    }

    /// All runs; `None` where samples are to be read instead.
    fn finish(mut self) -> Option<Vec<Aggregate>> {
        self.close();
        (!self.has_failed).then_some(self.all)
    }
}

/// Whether a run ends between two values.
fn ends_run(figures: Figures, before: f64, now: f64) -> bool {
    match figures {
        Figures::Falls => now < before,
        Figures::Changes => is_change(before, now),
        Figures::Ends | Figures::Sums | Figures::Extremes => false,
    }
}

impl Decoder {
    /// Runs of the samples of a series, each in one window; `None` where its samples have to be read instead.
    pub(crate) fn folded(
        &mut self,
        series: &Selected,
        folding: Folding,
        range: TimeRange,
        head_from_ms: i64,
    ) -> Result<Option<Vec<Aggregate>>, SelectError> {
        if !series.coarse.is_empty() || !series.parts.iter().all(Part::is_foldable) {
            return Ok(None);
        }
        // In memory nothing is known of chunks, and series that change would be read twice.
        let is_in_blocks = || series.parts.iter().any(|part| matches!(part, Part::Block(..)));
        if folding.figures == Figures::Changes && !is_in_blocks() {
            return Ok(None);
        }
        self.begin();
        let mut runs = Runs::of(folding);
        for part in &series.parts {
            if runs.has_failed {
                break;
            }
            match part {
                Part::Block(loaded, columns, _) => {
                    let window = (range.start_incl.0, range.end_incl.0);
                    self.fold_block(loaded, columns, window, &mut runs)
                        .map_err(|error| storage(&error))?;
                }
                Part::Head(columns) => {
                    let window = (range.start_incl.0.max(head_from_ms), range.end_incl.0);
                    self.fold_head(columns, window, &mut runs).map_err(head_fault)?;
                }
            }
        }
        Ok(runs.finish())
    }

    fn fold_block(
        &mut self,
        loaded: &Arc<Loaded>,
        columns: &BlockSeries,
        window: (i64, i64),
        runs: &mut Runs,
    ) -> Result<(), ReadBlockError> {
        let Some(floats) = &columns.floats else { return Ok(()) };
        let times = floats.times;
        if times.first_ms > window.1 || times.last_ms < window.0 {
            return Ok(());
        }
        let is_inside = times.first_ms >= window.0 && times.last_ms <= window.1;
        if is_inside && times.len <= CHUNK_LEN {
            // Neither its times nor its values are needed.
            let known = loaded.statistics(floats, 0)?;
            let ends = (times.first_ms, times.last_ms);
            if known.is_some_and(|known| runs.take_known(ends, times.len, &known)) {
                return Ok(());
            }
        }
        self.block_times(loaded, times)?;
        let column = (Arc::as_ptr(loaded) as usize, times.column);
        let times = &self.times[&column][times.first..times.first + times.len];
        let (from, to) = positions(times, window);
        for chunk_idx in from / CHUNK_LEN..to.div_ceil(CHUNK_LEN) {
            if runs.has_failed {
                break;
            }
            let start = chunk_idx * CHUNK_LEN;
            let end = times.len().min(start + CHUNK_LEN);
            if from <= start && end <= to && times.len() > CHUNK_LEN {
                let known = loaded.statistics(floats, chunk_idx)?;
                let ends = (times[start], times[end - 1]);
                if known.is_some_and(|known| runs.take_known(ends, end - start, &known)) {
                    continue;
                }
            }
            self.values.clear();
            self.values.resize(end - start, 0.0);
            let (frames, reader) = (&mut self.frames, &mut self.reader);
            loaded.chunk(floats, chunk_idx, frames, reader, &mut self.values)?;
            let (low, high) = (from.max(start), to.min(end));
            runs.take(&times[low..high], &self.values[low - start..high - start]);
        }
        Ok(())
    }

    fn fold_head(
        &mut self,
        columns: &HeadSeries,
        window: (i64, i64),
        runs: &mut Runs,
    ) -> Result<(), DecodeError> {
        for chunk in &columns.chunks {
            let column = self.read_sealed(chunk)?;
            self.fold_column(column, window, runs);
        }
        if let Some(open) = &columns.open {
            let column = self.read_open(open)?;
            self.fold_column(column, window, runs);
        }
        Ok(())
    }

    /// Folds those values of the column just decoded that lie in the window.
    fn fold_column(&self, column: (usize, u32), window: (i64, i64), runs: &mut Runs) {
        let times = &self.times[&column];
        let mut values = &self.column.values[..];
        for (first, len) in &self.column.runs {
            let (first, len) = (*first as usize, *len as usize);
            let times = &times[first..first + len];
            let (from, to) = positions(times, window);
            runs.take(&times[from..to], &values[from..to]);
            values = &values[len..];
        }
    }
}

impl Part {
    /// Whether there are floats in the order of time and nothing else.
    fn is_foldable(&self) -> bool {
        match self {
            Self::Block(_, columns, deleted) => columns.histograms.is_none() && deleted.is_none(),
            Self::Head(columns) => {
                !columns.has_histograms()
                    && columns.late_floats.is_empty()
                    && columns.newest.is_none()
                    && columns.deleted.is_none()
            }
        }
    }
}
