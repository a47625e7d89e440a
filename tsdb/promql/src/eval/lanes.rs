//! Selections evaluated in parts, side by side. Each part has a lane of its own, which gathers what is to be said and
//! counted; lanes come together in the order of the parts, so that the answer does not depend on their number.

use std::sync::{Mutex, MutexGuard, PoisonError};

use swell_model::{Matcher, SelectError, SelectHints, SeriesData, SeriesIter, Split};

use super::held::Shared;
use super::selector::{keep_figures, raw_weight};
use super::{Evaluator, Held, RangeSeries, Tally};
use crate::annotations::Annotations;
use crate::error::EvalError;
use crate::params::Budget;
use crate::workers::Workers;

/// What one part of a selection is evaluated with.
#[derive(Debug)]
pub(crate) struct Lane<'a> {
    pub(crate) annotations: Annotations,
    pub(crate) budget: &'a Budget,
    /// Samples looked at.
    pub(crate) tally: Tally,
    /// Samples read from storage.
    samples_read: u64,
    series_selected: usize,
    /// What the query holds, over all lanes.
    shared: &'a Shared,
    /// Most samples of one series that was looked at.
    raw_max: usize,
}

impl Lane<'_> {
    /// Counts what is held from now on.
    pub(crate) fn hold(&self, more: Held) -> Result<(), EvalError> {
        self.shared.add(more).check(self.budget)
    }

    /// Counts a series from storage.
    pub(crate) fn select(&mut self) -> Result<(), EvalError> {
        self.series_selected += 1;
        self.shared.select(self.budget)
    }

    /// Counts samples that were read from storage.
    pub(crate) fn read(&mut self, samples: usize) {
        self.samples_read += samples as u64;
    }

    /// Counts samples of a series that were read, and that are held while it is looked at.
    pub(crate) fn look_at(&mut self, samples: usize) -> Result<(), EvalError> {
        self.read(samples);
        self.raw_max = self.raw_max.max(samples);
        (self.shared.now() + Held::samples(samples)).check(self.budget)
    }

    /// Begins with a series of a range vector: one from storage is counted while it is looked at, one of a subquery is
    /// held already.
    pub(crate) fn begin(&mut self, series: &RangeSeries) -> Result<(), EvalError> {
        if !series.is_selected {
            return Ok(());
        }
        self.select()?;
        self.look_at(series.weight())
    }

    /// Ends with a series of a range vector: what a subquery gave of it is no longer held.
    pub(crate) fn end(&self, series: &RangeSeries) {
        if !series.is_selected {
            self.shared.remove(Held::samples(series.weight()));
        }
    }
}

impl<'a> Evaluator<'a> {
    /// How selections are cut.
    pub(crate) fn split(&self) -> Split {
        let workers = &self.budget.workers;
        Split { parts_max: workers.width(), series_min: workers.series_min() }
    }

    /// Selects series in parts. What the query names more than once is kept, against the budget.
    pub(crate) fn selected_parts(
        &mut self,
        matchers: &[Matcher],
        hints: SelectHints,
        figures_only: bool,
    ) -> Result<Vec<SeriesIter<'a>>, EvalError> {
        let source = self.source;
        let split = self.split();
        let figures = move |read: Result<SeriesData, SelectError>| {
            read.map(|mut series| {
                if figures_only {
                    keep_figures(&mut series);
                }
                series
            })
        };
        let Some(key) = self.shared.key(matchers, &hints, figures_only) else {
            let parts = source.select_parts(matchers, &hints, split)?;
            return Ok(parts
                .into_iter()
                .map(|part| -> SeriesIter<'a> { Box::new(part.map(figures)) })
                .collect());
        };
        let kept = match self.shared.get(&key) {
            Some(kept) => kept,
            None => {
                let mut kept = Vec::new();
                // What is kept may serve a reader that looks at more.
                let hints = SelectHints { coarse: hints.coarse, ..SelectHints::range(hints.range) };
                for series in source.select(matchers, &hints)? {
                    self.budget.check_cancelled()?;
                    let series = figures(series)?;
                    self.hold(Held::samples(raw_weight(&series)))?;
                    kept.push(series);
                }
                self.shared.put(key, kept.clone());
                kept
            }
        };
        let part_len = split.part_len(kept.len());
        let mut parts: Vec<SeriesIter<'a>> = Vec::new();
        let mut kept = kept.into_iter();
        while kept.len() > 0 {
            let part: Vec<SeriesData> = kept.by_ref().take(part_len).collect();
            parts.push(Box::new(part.into_iter().map(Ok)));
        }
        Ok(parts)
    }

    /// Does the work on each part, and gives what came of them in their order. `None` of a part ends it all: then
    /// nothing was done.
    pub(crate) fn in_lanes<P: Send, T: Send>(
        &mut self,
        parts: Vec<P>,
        work: impl Fn(P, &mut Lane<'_>) -> Result<Option<T>, EvalError> + Sync,
    ) -> Result<Option<Vec<T>>, EvalError> {
        let budget = self.budget;
        let shared = Shared::new(self.held, self.stats.series_selected);
        let tally = self.tally.emptied();
        let lane = || Lane {
            annotations: Annotations::default(),
            budget,
            tally: tally.clone(),
            samples_read: 0,
            series_selected: 0,
            shared: &shared,
            raw_max: 0,
        };
        let do_part = |part: P| {
            let mut lane = lane();
            (work(part, &mut lane), lane)
        };
        let done = if parts.len() == 1 {
            parts.into_iter().map(do_part).collect()
        } else {
            side_by_side(&*budget.workers, parts, do_part)
        };
        let mut results = Vec::with_capacity(done.len());
        let mut gathered = Vec::with_capacity(done.len());
        for (outcome, lane) in done {
            match outcome? {
                Some(result) => results.push(result),
                None => return Ok(None),
            }
            gathered.push(lane);
        }
        let mut raw_max = 0;
        for lane in gathered {
            self.annotations.merge(lane.annotations);
            self.tally.merge(&lane.tally);
            self.stats.samples_read += lane.samples_read;
            self.stats.series_selected += lane.series_selected;
            raw_max = raw_max.max(lane.raw_max);
        }
        // The most that could be held at a time, in whichever order the parts were done.
        self.held = shared.now();
        self.hold(Held::samples(raw_max))?;
        self.release(Held::samples(raw_max));
        Ok(Some(results))
    }
}

/// Does the work on each part, and gives what came of them in their order.
fn side_by_side<P: Send, D: Send>(
    workers: &dyn Workers,
    parts: Vec<P>,
    work: impl Fn(P) -> D + Sync,
) -> Vec<D> {
    struct Slot<P, D> {
        part: Mutex<Option<P>>,
        done: Mutex<Option<D>>,
    }
    let slots: Vec<Slot<P, D>> = parts
        .into_iter()
        .map(|part| Slot { part: Mutex::new(Some(part)), done: Mutex::new(None) })
        .collect();
    workers.each(slots.len(), &|idx| {
        let taken = locked(&slots[idx].part).take();
        let part = taken.expect("each number comes once");
        *locked(&slots[idx].done) = Some(work(part));
    });
    let done = slots.iter().map(|slot| locked(&slot.done).take());
    done.map(|done| done.expect("all work is done")).collect()
}

/// A panic while the lock is held is the caller's by then.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
