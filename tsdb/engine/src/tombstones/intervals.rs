//! Closed intervals of time that were deleted.

/// Milliseconds, both ends included; rising, apart from each other.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Intervals(Vec<(i64, i64)>);

impl Intervals {
    /// One interval; none when the ends are in the wrong order.
    pub(crate) fn one(from_ms: i64, to_ms: i64) -> Self {
        let mut all = Self::default();
        all.add(from_ms, to_ms);
        all
    }

    /// Adds an interval, joined with those it touches; gives whether anything is new.
    pub(crate) fn add(&mut self, from_ms: i64, to_ms: i64) -> bool {
        if from_ms > to_ms || self.contains_all(from_ms, to_ms) {
            return false;
        }
        let first = self.0.partition_point(|(_, to)| to.saturating_add(1) < from_ms);
        let after = self.0.partition_point(|(from, _)| *from <= to_ms.saturating_add(1));
        let joined = match self.0.get(first..after) {
            Some([]) | None => (from_ms, to_ms),
            Some(met) => (from_ms.min(met[0].0), to_ms.max(met[met.len() - 1].1)),
        };
        self.0.splice(first..after, [joined]);
        true
    }

    /// Adds all intervals of others.
    pub(crate) fn join(&mut self, others: &Self) {
        for (from_ms, to_ms) in &others.0 {
            self.add(*from_ms, *to_ms);
        }
    }

    /// Whether one interval holds all of `[from_ms, to_ms]`.
    pub(crate) fn contains_all(&self, from_ms: i64, to_ms: i64) -> bool {
        let idx = self.0.partition_point(|(_, to)| *to < to_ms);
        self.0.get(idx).is_some_and(|(from, _)| *from <= from_ms)
    }

    /// What is left of `[from_ms, to_ms]`, rising.
    pub(crate) fn rest_of(&self, from_ms: i64, to_ms: i64) -> Vec<(i64, i64)> {
        let mut rest = Vec::new();
        let mut next = Some(from_ms);
        for (from, to) in &self.0 {
            let Some(at) = next.filter(|at| *at <= to_ms) else { break };
            if *to < at {
                continue;
            }
            if *from > to_ms {
                break;
            }
            if *from > at {
                rest.push((at, from - 1));
            }
            next = to.checked_add(1);
        }
        rest.extend(next.filter(|at| *at <= to_ms).map(|at| (at, to_ms)));
        rest
    }

    /// Forgets what lies before `floor_ms`; gives whether anything is left.
    pub(crate) fn drop_before(&mut self, floor_ms: i64) -> bool {
        self.0.retain(|(_, to)| *to >= floor_ms);
        !self.0.is_empty()
    }

    pub(crate) fn as_slice(&self) -> &[(i64, i64)] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn intervals_that_touch_are_joined() {
        let mut all = Intervals::default();
        assert!(all.add(10, 20) && all.add(30, 40) && all.add(21, 25));
        assert_eq!(all.as_slice(), [(10, 25), (30, 40)]);
        assert!(!all.add(12, 25) && !all.add(9, 8), "nothing new");
        assert!(all.add(26, 29));
        assert_eq!(all.as_slice(), [(10, 40)]);
        assert!(all.add(i64::MIN, 0) && all.add(50, i64::MAX));
        assert_eq!(all.rest_of(i64::MIN, i64::MAX), [(1, 9), (41, 49)]);
        assert_eq!(all.rest_of(60, 70), []);
        assert!(all.drop_before(45));
        assert_eq!(all.as_slice(), [(50, i64::MAX)]);
    }

    proptest! {
        #[test]
        fn intervals_are_sets(added in prop::collection::vec((0i64..60, 0i64..12), 0..12), from in 0i64..70, len in 0i64..40) {
            let mut all = Intervals::default();
            let mut set = std::collections::BTreeSet::new();
            for (at, len) in added {
                let new = (at..=at + len).filter(|ms| set.insert(*ms)).count() > 0;
                prop_assert_eq!(all.add(at, at + len), new);
            }
            prop_assert!(all.as_slice().windows(2).all(|pair| pair[0].1 + 1 < pair[1].0));
            let rest: Vec<i64> =
                all.rest_of(from, from + len).into_iter().flat_map(|(a, b)| a..=b).collect();
            let expected: Vec<i64> = (from..=from + len).filter(|ms| !set.contains(ms)).collect();
            prop_assert_eq!(rest, expected);
        }
    }
}
