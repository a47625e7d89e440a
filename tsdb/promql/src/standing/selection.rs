//! A selection that is kept: its series with the samples of the window, brought up to date from what arrived.

use std::sync::Arc;

use swell_model::{
    Arrivals, FloatColumn, Grouping, Labels, Matcher, SelectError, SeriesData, SeriesSource,
    TimeRange, Tracked, label_order,
};

use super::decide::What;
use super::groups::Groups;
use super::ring::Ring;

/// A series without samples weighs as many as this: its labels and what is noted of it.
const SERIES_WEIGHT: usize = 32;
/// Groupings that are kept of one selection: rules over the same series may group them differently.
const GROUPINGS_MAX: usize = 4;

/// See the module.
#[derive(Debug)]
pub(super) struct Selection {
    what: What,
    tracked: Tracked,
    /// In the source's order.
    series: Vec<Kept>,
    /// Places of the series in the order of their labels, so that nobody has to sort them again.
    by_labels: Vec<u32>,
    groupings: Vec<Arc<Groups>>,
}

#[derive(Debug)]
struct Kept {
    labels: Labels,
    ring: Ring,
}

impl Selection {
    /// Nothing yet.
    pub(super) fn new(what: What) -> Self {
        Self {
            what,
            tracked: Tracked::default(),
            series: Vec::new(),
            by_labels: Vec::new(),
            groupings: Vec::new(),
        }
    }

    /// One that takes that much.
    #[cfg(test)]
    pub(super) fn of_weight(what: What, weight: usize) -> Self {
        let mut ring = Ring::new(what, &FloatColumn::default());
        (0..).take(weight - SERIES_WEIGHT).for_each(|at| ring.push(at, 0.0));
        let series = vec![Kept { labels: Labels::empty(), ring }];
        Self { series, ..Self::new(what) }
    }

    /// What it takes, in samples.
    pub(super) fn weight(&self) -> usize {
        let samples: usize = self.series.iter().map(|series| series.ring.weight()).sum();
        samples + self.series.len() * SERIES_WEIGHT
    }

    /// Takes what arrived, and moves the window on to a range; `false` when the source cannot tell what arrived, or samples
    /// have what is not kept: then nothing here counts.
    pub(super) fn update(
        &mut self,
        source: &dyn SeriesSource,
        matchers: &[Matcher],
        range: TimeRange,
        samples_max: usize,
    ) -> Result<bool, SelectError> {
        let from = range.start_incl;
        let arrived = source.arrivals(matchers, from, samples_max, &mut self.tracked)?;
        let Some(arrived) = arrived else { return Ok(false) };
        // Figures and newest samples are without start timestamps anyway.
        if arrived.has_starts && self.what == What::Samples {
            return Ok(false);
        }
        self.take(arrived);
        let what = self.what;
        self.series.iter_mut().for_each(|series| series.ring.advance(what, range));
        Ok(true)
    }

    fn take(&mut self, arrived: Arrivals) {
        let what = self.what;
        if let Some(before) = &arrived.moved {
            let mut old: Vec<Option<Kept>> =
                std::mem::take(&mut self.series).into_iter().map(Some).collect();
            let nothing =
                || Kept { labels: Labels::empty(), ring: Ring::new(what, &FloatColumn::default()) };
            let places = before.iter();
            let kept = places.map(|before| old[(*before)? as usize].take());
            self.series = kept.map(|kept| kept.unwrap_or_else(nothing)).collect();
            for (place, labels) in arrived.labels {
                self.series[place as usize].labels = labels;
            }
            let labels: Vec<&Labels> = self.series.iter().map(|series| &series.labels).collect();
            self.by_labels = label_order(&labels);
            // Those that somebody still reads are made anew when they are asked for.
            self.groupings.retain_mut(|groups| {
                let groups = Arc::get_mut(groups);
                groups.map(|groups| groups.move_to(before, |place| labels[place])).is_some()
            });
        }
        for (place, floats) in arrived.anew {
            self.series[place as usize].ring = Ring::new(what, &floats);
        }
        for (place, at_ms, value) in arrived.samples {
            self.series[place as usize].ring.push(at_ms, value);
        }
    }

    /// The groups of its series.
    pub(super) fn groups(&mut self, grouping: Grouping<'_>) -> Arc<Groups> {
        if let Some(known) = self.groupings.iter().find(|groups| groups.are_by(grouping)) {
            return Arc::clone(known);
        }
        if self.groupings.len() >= GROUPINGS_MAX {
            self.groupings.remove(0);
        }
        let labels = self.series.iter().map(|series| &series.labels);
        let groups = Arc::new(Groups::new(grouping, labels));
        self.groupings.push(Arc::clone(&groups));
        groups
    }
}

/// The series of a selection that have samples in its window, one by one.
#[derive(Debug)]
struct Walk {
    selection: Arc<Selection>,
    next: usize,
    /// The last column of times; series of one target share it.
    times: Option<Arc<[i64]>>,
}

impl Walk {
    fn new(selection: Arc<Selection>) -> Self {
        Self { selection, next: 0, times: None }
    }

    /// What is wanted of a series, without its labels; `None` without samples in the window.
    fn data(&mut self, place: usize) -> Option<SeriesData> {
        let Selection { what, series, .. } = &*self.selection;
        let ring = &series[place].ring;
        let (times, values) = ring.window();
        if times.is_empty() {
            return None;
        }
        if let (What::Folded(_), Some(aggregates)) = (what, ring.runs()) {
            return Some(SeriesData { aggregates, ..SeriesData::default() });
        }
        let known = self.times.take().filter(|known| **known == *times);
        let timestamps = known.unwrap_or_else(|| times.into());
        self.times = Some(Arc::clone(&timestamps));
        let floats = FloatColumn { timestamps, values: values.into(), starts: None };
        Some(SeriesData { floats, ..SeriesData::default() })
    }
}

/// Series with their labels, in the order of these.
#[derive(Debug)]
pub(super) struct Labelled(Walk);

impl Labelled {
    pub(super) fn new(selection: Arc<Selection>) -> Self {
        Self(Walk::new(selection))
    }
}

impl Iterator for Labelled {
    type Item = Result<SeriesData, SelectError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let place = *self.0.selection.by_labels.get(self.0.next)? as usize;
            self.0.next += 1;
            if let Some(data) = self.0.data(place) {
                let labels = self.0.selection.series[place].labels.clone();
                return Some(Ok(SeriesData { labels, ..data }));
            }
        }
    }
}

/// Series with their groups.
#[derive(Debug)]
pub(super) struct InGroups(Walk, Arc<Groups>);

impl InGroups {
    pub(super) fn new(selection: Arc<Selection>, groups: Arc<Groups>) -> Self {
        Self(Walk::new(selection), groups)
    }
}

impl Iterator for InGroups {
    type Item = Result<(u32, SeriesData), SelectError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.0.next < self.0.selection.series.len() {
            let place = self.0.next;
            self.0.next += 1;
            if let Some(data) = self.0.data(place) {
                return Some(Ok((self.1.of(place), data)));
            }
        }
        None
    }
}
