//! The newest exemplars, in memory: a ring over all series, in the order they came. The log has them too, so a
//! restart brings back those whose log segment is still there.

use std::collections::{BTreeMap, VecDeque};

use swell_model::{Exemplar, Labels, Matcher, TimeRange};

/// Characters that the labels of an exemplar have at most, names and values together (OpenMetrics).
const LABEL_CHARS_MAX: usize = 128;

/// Exemplars of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesExemplars {
    /// Of the series.
    pub labels: Labels,
    /// Times rising.
    pub exemplars: Vec<Exemplar>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Exemplars {
    max: usize,
    /// Series of each exemplar, in the order they came.
    ring: VecDeque<Labels>,
    by_series: BTreeMap<Labels, VecDeque<Exemplar>>,
}

/// What is to be done with an exemplar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExemplarVerdict {
    Store,
    Duplicate,
    Drop,
}

impl Exemplars {
    /// Keeps at most `max`.
    pub(crate) const fn new(max: usize) -> Self {
        Self { max, ring: VecDeque::new(), by_series: BTreeMap::new() }
    }

    /// The rule: times of a series do not fall, and a repeat of the newest is none.
    pub(crate) fn judge(&self, series: &Labels, exemplar: &Exemplar) -> ExemplarVerdict {
        let chars = |(name, value): (&str, &str)| name.chars().count() + value.chars().count();
        if self.max == 0 || exemplar.labels.iter().map(chars).sum::<usize>() > LABEL_CHARS_MAX {
            return ExemplarVerdict::Drop;
        }
        match self.by_series.get(series).and_then(VecDeque::back) {
            Some(newest) if is_same(newest, exemplar) => ExemplarVerdict::Duplicate,
            Some(newest) if newest.timestamp > exemplar.timestamp => ExemplarVerdict::Drop,
            _ => ExemplarVerdict::Store,
        }
    }

    /// Adds an exemplar that [`Exemplars::judge`] lets pass; the oldest give way.
    pub(crate) fn add(&mut self, series: Labels, exemplar: Exemplar) -> ExemplarVerdict {
        let verdict = self.judge(&series, &exemplar);
        if verdict == ExemplarVerdict::Store {
            while self.ring.len() >= self.max {
                self.drop_oldest();
            }
            self.by_series.entry(series.clone()).or_default().push_back(exemplar);
            self.ring.push_back(series);
        }
        verdict
    }

    fn drop_oldest(&mut self) {
        let Some(series) = self.ring.pop_front() else { return };
        if let Some(kept) = self.by_series.get_mut(&series) {
            kept.pop_front();
            if kept.is_empty() {
                self.by_series.remove(&series);
            }
        }
    }

    /// Exemplars in the range of the series that satisfy all matchers, sorted by labels.
    pub(crate) fn select(&self, matchers: &[Matcher], range: TimeRange) -> Vec<SeriesExemplars> {
        let matches = |labels: &Labels| {
            matchers.iter().all(|m| m.matches(labels.get(&m.name).unwrap_or_default()))
        };
        let inside = |exemplar: &&Exemplar| range.contains(exemplar.timestamp);
        self.by_series
            .iter()
            .filter(|(labels, _)| matches(labels))
            .map(|(labels, all)| SeriesExemplars {
                labels: labels.clone(),
                exemplars: all.iter().filter(inside).cloned().collect(),
            })
            .filter(|series| !series.exemplars.is_empty())
            .collect()
    }

    /// All, each with its series, in the order they came.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = (&Labels, &Exemplar)> {
        let mut next: BTreeMap<&Labels, std::collections::vec_deque::Iter<'_, Exemplar>> =
            self.by_series.iter().map(|(series, all)| (series, all.iter())).collect();
        self.ring.iter().filter_map(move |series| Some((series, next.get_mut(series)?.next()?)))
    }

    pub(crate) fn len(&self) -> usize {
        self.ring.len()
    }
}

fn is_same(a: &Exemplar, b: &Exemplar) -> bool {
    a.timestamp == b.timestamp && a.value.to_bits() == b.value.to_bits() && a.labels == b.labels
}

#[cfg(test)]
mod tests {
    use swell_model::TimestampMs;

    use super::*;

    fn series(name: &str) -> Labels {
        Labels::from_pairs([("__name__", name)])
    }

    fn exemplar(at_ms: i64, trace: &str) -> Exemplar {
        let labels = Labels::from_pairs([("trace_id", trace)]);
        Exemplar { labels, value: 1.0, timestamp: TimestampMs(at_ms) }
    }

    #[test]
    fn the_oldest_give_way() {
        let mut ring = Exemplars::new(3);
        for at in 0..5 {
            assert_eq!(ring.add(series("a"), exemplar(at, "x")), ExemplarVerdict::Store);
        }
        ring.add(series("b"), exemplar(0, "x"));
        assert_eq!(ring.len(), 3);
        let all = ring.select(&[], TimeRange::ALL);
        let times = |found: &SeriesExemplars| -> Vec<i64> {
            found.exemplars.iter().map(|e| e.timestamp.0).collect()
        };
        assert_eq!(all.iter().map(times).collect::<Vec<_>>(), [vec![3, 4], vec![0]]);
        let only = ring.select(&[Matcher::equal("__name__", "b")], TimeRange::ALL);
        assert_eq!(only.len(), 1);
        for _ in 0..3 {
            ring.add(series("c"), exemplar(9, "y"));
            ring.add(series("c"), exemplar(9, "z"));
        }
        assert_eq!(ring.by_series.len(), 1, "series without exemplars are not kept");
    }

    #[test]
    fn repeats_and_what_comes_late_are_not_stored() {
        let mut ring = Exemplars::new(10);
        ring.add(series("a"), exemplar(5, "x"));
        assert_eq!(ring.add(series("a"), exemplar(5, "x")), ExemplarVerdict::Duplicate);
        assert_eq!(ring.add(series("a"), exemplar(5, "y")), ExemplarVerdict::Store);
        assert_eq!(ring.add(series("a"), exemplar(4, "x")), ExemplarVerdict::Drop);
        assert_eq!(ring.add(series("a"), exemplar(6, &"x".repeat(121))), ExemplarVerdict::Drop);
        assert_eq!(ring.add(series("a"), exemplar(6, &"ä".repeat(120))), ExemplarVerdict::Store);
        assert_eq!(Exemplars::new(0).add(series("a"), exemplar(5, "x")), ExemplarVerdict::Drop);
    }
}
