//! The newest exemplars, in memory: a ring over all series, in the order they came. The log has them too, so a
//! restart brings back those whose log segment is still there.

use std::collections::{BTreeMap, VecDeque};

use swell_model::{Exemplar, Labels, METRIC_NAME, MatchOp, Matcher, TimeRange};

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
    /// By the series' metric, which nearly every query names, then by series.
    by_metric: BTreeMap<String, OfMetric>,
}

/// Of each series in the order they came, so that times do not fall.
type OfMetric = BTreeMap<Labels, VecDeque<Exemplar>>;

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
        Self { max, ring: VecDeque::new(), by_metric: BTreeMap::new() }
    }

    /// Keeps at most `max` from now on; the oldest give way.
    pub(crate) fn resize(&mut self, max: usize) {
        self.max = max;
        while self.ring.len() > max {
            self.drop_oldest();
        }
    }

    /// The rule: times of a series do not fall, and a repeat of the newest is none.
    pub(crate) fn judge(&self, series: &Labels, exemplar: &Exemplar) -> ExemplarVerdict {
        let chars = |(name, value): (&str, &str)| name.chars().count() + value.chars().count();
        if self.max == 0 || exemplar.labels.iter().map(chars).sum::<usize>() > LABEL_CHARS_MAX {
            return ExemplarVerdict::Drop;
        }
        let of_metric = self.by_metric.get(metric(series));
        match of_metric.and_then(|all| all.get(series)?.back()) {
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
            let of_metric = self.by_metric.entry(metric(&series).to_owned()).or_default();
            of_metric.entry(series.clone()).or_default().push_back(exemplar);
            self.ring.push_back(series);
        }
        verdict
    }

    fn drop_oldest(&mut self) {
        let Some(series) = self.ring.pop_front() else { return };
        let Some(of_metric) = self.by_metric.get_mut(metric(&series)) else { return };
        if let Some(kept) = of_metric.get_mut(&series) {
            kept.pop_front();
            if kept.is_empty() {
                of_metric.remove(&series);
            }
        }
        if of_metric.is_empty() {
            self.by_metric.remove(metric(&series));
        }
    }

    /// Exemplars in the range of the series that satisfy all matchers, sorted by labels.
    pub(crate) fn select(&self, matchers: &[Matcher], range: TimeRange) -> Vec<SeriesExemplars> {
        let matches = |labels: &Labels| {
            matchers.iter().all(|m| m.matches(labels.get(&m.name).unwrap_or_default()))
        };
        let named = matchers.iter().find(|it| it.name == METRIC_NAME && it.op == MatchOp::Equal);
        let of_metrics: Vec<&OfMetric> = match named {
            Some(named) => self.by_metric.get(&named.value).into_iter().collect(),
            None => self.by_metric.values().collect(),
        };
        // Times of a series do not fall: most series are told from their newest, and of others the ends are found.
        let inside = |all: &VecDeque<Exemplar>| {
            let from = all.partition_point(|it| it.timestamp < range.start_incl);
            let to = all.partition_point(|it| it.timestamp <= range.end_incl);
            from..to.max(from)
        };
        let selected = of_metrics.into_iter().flatten().filter_map(|(labels, all)| {
            let found = inside(all);
            (!found.is_empty() && matches(labels)).then(|| SeriesExemplars {
                labels: labels.clone(),
                exemplars: all.range(found).cloned().collect(),
            })
        });
        let mut selected: Vec<SeriesExemplars> = selected.collect();
        selected.sort_by(|a, b| a.labels.cmp(&b.labels));
        selected
    }

    /// All, each with its series, in the order they came.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = (&Labels, &Exemplar)> {
        let mut next: BTreeMap<&Labels, std::collections::vec_deque::Iter<'_, Exemplar>> =
            self.by_metric.values().flatten().map(|(series, all)| (series, all.iter())).collect();
        self.ring.iter().filter_map(move |series| Some((series, next.get_mut(series)?.next()?)))
    }

    pub(crate) fn len(&self) -> usize {
        self.ring.len()
    }
}

fn metric(series: &Labels) -> &str {
    series.metric_name().unwrap_or_default()
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
        let range = |from: i64, to: i64| TimeRange {
            start_incl: TimestampMs(from),
            end_incl: TimestampMs(to),
        };
        let pattern = Matcher::new("__name__", MatchOp::Regex, "[ab]").expect("a pattern");
        for (from, to, expected) in
            [(0, 9, vec![vec![3, 4], vec![0]]), (1, 3, vec![vec![3]]), (4, 4, vec![vec![4]])]
        {
            let found = ring.select(std::slice::from_ref(&pattern), range(from, to));
            assert_eq!(found.iter().map(times).collect::<Vec<_>>(), expected, "{from} to {to}");
        }
        assert_eq!(ring.select(&[], range(5, 1)), [], "an empty range");
        for _ in 0..3 {
            ring.add(series("c"), exemplar(9, "y"));
            ring.add(series("c"), exemplar(9, "z"));
        }
        assert_eq!(ring.by_metric.len(), 1, "series without exemplars are not kept");
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
