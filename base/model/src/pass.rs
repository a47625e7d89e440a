//! What a collector writes each tick: series announced once, then one number and one value a sample.

use std::collections::HashMap;

use crate::{Labels, TimestampMs, stale_nan};

/// A series within one [`Pass`], dense from 0. Numbers of retired series are not used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesNumber(pub u32);

/// The samples of one tick and the series announced since the last one. Collectors keep their
/// [`SeriesNumber`]s between ticks, so that a tick builds no labels and allocates nothing.
///
/// Staleness: a series recorded in the tick before and not in this one gets a staleness marker by itself.
#[derive(Debug, Default)]
pub struct Pass {
    numbers: HashMap<Labels, SeriesNumber>,
    labels: Vec<Option<Labels>>,
    announced: Vec<SeriesNumber>,
    values: Vec<(SeriesNumber, f64)>,
    /// Tick in which the series of that number was last recorded.
    last_tick: Vec<u64>,
    live_before: Vec<SeriesNumber>,
    tick: u64,
}

/// What one tick hands to the stream or the storage.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PassDelta {
    /// When the tick was.
    pub timestamp: TimestampMs,
    /// Series not announced before, with their labels.
    pub announced: Vec<(SeriesNumber, Labels)>,
    /// Samples, staleness markers included.
    pub samples: Vec<(SeriesNumber, f64)>,
    /// Series that will not come again; their number is dead after this delta.
    pub retired: Vec<SeriesNumber>,
}

impl Pass {
    /// An empty pass, before the first tick.
    #[must_use]
    pub fn new() -> Self {
        Self { tick: 1, ..Self::default() }
    }

    /// The number of the series with these labels; announces it when it is new.
    ///
    /// # Panics
    /// After 2^32 series in one process.
    pub fn series(&mut self, labels: &Labels) -> SeriesNumber {
        if let Some(number) = self.numbers.get(labels) {
            return *number;
        }
        let number = SeriesNumber(u32::try_from(self.labels.len()).expect("below 2^32 series"));
        self.numbers.insert(labels.clone(), number);
        self.labels.push(Some(labels.clone()));
        self.last_tick.push(0);
        self.announced.push(number);
        number
    }

    /// Whether the number still stands for a series: a collector that kept one across a pause asks.
    #[must_use]
    pub fn is_live(&self, series: SeriesNumber) -> bool {
        self.labels.get(series.0 as usize).is_some_and(Option::is_some)
    }

    /// Records a value in this tick; of two for one series the first counts.
    ///
    /// # Panics
    /// When `series` was retired: collectors drop their numbers together with the thing they measured.
    pub fn record(&mut self, series: SeriesNumber, value: f64) {
        let idx = series.0 as usize;
        assert!(self.is_live(series), "series {series:?} was retired");
        if self.last_tick[idx] != self.tick {
            self.last_tick[idx] = self.tick;
            self.values.push((series, value));
        }
    }

    /// Announces and records in one step, for series that are built afresh each tick.
    pub fn record_labels(&mut self, labels: &Labels, value: f64) {
        let series = self.series(labels);
        self.record(series, value);
    }

    /// Samples recorded in this tick so far.
    #[must_use]
    pub fn recorded_count(&self) -> usize {
        self.values.len()
    }

    /// Series announced in this tick so far.
    #[must_use]
    pub fn announced_count(&self) -> usize {
        self.announced.len()
    }

    /// Ends the tick. Series recorded in the last tick and not in this one get a staleness marker and are retired.
    pub fn finish(&mut self, timestamp: TimestampMs) -> PassDelta {
        let mut samples = std::mem::take(&mut self.values);
        let live: Vec<SeriesNumber> = samples.iter().map(|(series, _)| *series).collect();
        let mut retired = Vec::new();
        for series in std::mem::replace(&mut self.live_before, live) {
            let idx = series.0 as usize;
            if self.last_tick[idx] != self.tick {
                samples.push((series, stale_nan()));
                retired.push(series);
                if let Some(labels) = self.labels[idx].take() {
                    self.numbers.remove(&labels);
                }
            }
        }
        let announced = std::mem::take(&mut self.announced)
            .into_iter()
            .filter_map(|series| {
                self.labels[series.0 as usize].clone().map(|labels| (series, labels))
            })
            .collect();
        self.tick += 1;
        PassDelta { timestamp, announced, samples, retired }
    }

    /// All live series, for a peer that knows none (a fresh connection).
    pub fn live(&self) -> impl Iterator<Item = (SeriesNumber, &Labels)> {
        self.labels.iter().enumerate().filter_map(|(idx, labels)| {
            let number = SeriesNumber(u32::try_from(idx).expect("below 2^32 series"));
            labels.as_ref().map(|labels| (number, labels))
        })
    }
}

/// A series that a collector records again and again: its labels, and the number they have in the pass.
/// A tick in which it was not recorded retires the number; the next [`PassSeries::record`] announces it anew.
/// Belongs to one pass: numbers of another would be mixed up.
#[derive(Clone, Debug)]
pub struct PassSeries {
    labels: Labels,
    number: Option<SeriesNumber>,
}

impl PassSeries {
    /// A series not announced yet.
    #[must_use]
    pub const fn new(labels: Labels) -> Self {
        Self { labels, number: None }
    }

    /// Its labels.
    #[must_use]
    pub const fn labels(&self) -> &Labels {
        &self.labels
    }

    /// Records a value in this tick.
    pub fn record(&mut self, pass: &mut Pass, value: f64) {
        let number = match self.number {
            Some(number) if pass.is_live(number) => number,
            _ => *self.number.insert(pass.series(&self.labels)),
        };
        pass.record(number, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::is_stale_nan;

    #[test]
    fn a_kept_series_comes_back_under_a_new_number_after_a_pause() {
        let mut pass = Pass::new();
        let mut series = PassSeries::new(Labels::from_pairs([("x", "a")]));
        series.record(&mut pass, 1.0);
        let first = pass.finish(TimestampMs(1000));
        assert_eq!(pass.finish(TimestampMs(2000)).retired, [first.announced[0].0]);
        series.record(&mut pass, 2.0);
        assert_eq!((pass.recorded_count(), pass.announced_count()), (1, 1));
        let third = pass.finish(TimestampMs(3000));
        assert_ne!(third.announced[0].0, first.announced[0].0);
        assert_eq!(third.announced[0].1, first.announced[0].1);
    }

    #[test]
    fn a_series_that_stops_is_marked_stale_once_and_retired() {
        let mut pass = Pass::new();
        let (a, b) = (Labels::from_pairs([("x", "a")]), Labels::from_pairs([("x", "b")]));
        let number_a = pass.series(&a);
        pass.record(number_a, 1.0);
        pass.record_labels(&b, 2.0);
        let first = pass.finish(TimestampMs(1000));
        assert_eq!((first.announced.len(), first.samples.len()), (2, 2));

        pass.record(number_a, 1.5);
        let second = pass.finish(TimestampMs(2000));
        assert_eq!(second.announced, []);
        assert_eq!(second.retired.len(), 1);
        assert!(second.samples.iter().any(|(series, v)| *series != number_a && is_stale_nan(*v)));

        pass.record(number_a, 1.6);
        pass.record_labels(&b, 3.0);
        let third = pass.finish(TimestampMs(3000));
        assert_eq!(third.announced.len(), 1, "b comes back under a new number");
        assert_eq!(third.samples.len(), 2);
        assert_eq!(pass.live().count(), 2);
    }
}
