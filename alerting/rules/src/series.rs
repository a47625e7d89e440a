//! Which series a rule wrote last time and not now.

use std::collections::HashSet;

use swell_model::Labels;

/// The series of a rule's last evaluation that went well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeriesTracker {
    seen: HashSet<Labels>,
}

impl SeriesTracker {
    /// Takes the series of an evaluation; gives those that vanished, which get a staleness marker. Not called
    /// after a failed evaluation, so that its series do not go stale.
    pub fn advance<'a>(&mut self, written: impl Iterator<Item = &'a Labels>) -> Vec<Labels> {
        let now: HashSet<Labels> = written.cloned().collect();
        let before = std::mem::replace(&mut self.seen, now);
        let mut vanished: Vec<Labels> =
            before.into_iter().filter(|labels| !self.seen.contains(labels)).collect();
        vanished.sort_unstable();
        vanished
    }

    /// Takes back what [`SeriesTracker::advance`] gave, when the markers could not be written: it is given again.
    pub fn not_marked(&mut self, vanished: Vec<Labels>) {
        self.seen.extend(vanished);
    }

    /// All series, which vanish with the rule.
    #[must_use]
    pub fn into_series(self) -> Vec<Labels> {
        self.seen.into_iter().collect()
    }

    /// The series of the last evaluation.
    pub fn series(&self) -> impl Iterator<Item = &Labels> {
        self.seen.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_written_again_vanishes_once() {
        let series = |name: &str| Labels::from_pairs([("__name__", name)]);
        let mut tracker = SeriesTracker::default();
        assert!(tracker.advance([series("a"), series("b")].iter()).is_empty());
        assert_eq!(tracker.advance([series("b"), series("c")].iter()), [series("a")]);
        assert!(tracker.advance([series("b"), series("c")].iter()).is_empty());
        assert_eq!(tracker.advance([].iter()), [series("b"), series("c")]);
        tracker.not_marked(vec![series("c")]);
        assert_eq!(tracker.advance([].iter()), [series("c")]);
    }
}
