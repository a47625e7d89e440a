//! The order of series by their labels, found without looking at a text for each: pairs are ranked once, and a series is
//! the list of its ranks.

use super::{MemoryIndex, Values};

/// Ranks that one comparison looks at.
const KEY_LEN: usize = 4;

/// Series as lists of ranks: what is needed to sort them, copied out of the index.
#[derive(Debug, Default)]
pub struct Unsorted {
    series: Vec<u32>,
    /// Rank + 1 of each pair, one series behind the other; 0 is no label.
    ranks: Vec<u32>,
    ends: Vec<usize>,
}

impl MemoryIndex {
    /// What it takes to sort series by their labels: [`Unsorted::sort`] needs the index no more. Unused indices are
    /// passed over.
    #[must_use]
    pub fn unsorted(&self, series: impl IntoIterator<Item = u32>) -> Unsorted {
        let mut rank_of = vec![0; self.pairs.len()];
        let in_order = self.names.values().flat_map(Values::iter);
        for (rank, (_, number)) in (1..).zip(in_order) {
            rank_of[number as usize] = rank;
        }
        let mut unsorted = Unsorted::default();
        for idx in series {
            let Some(Some(list)) = self.series.get(idx as usize) else { continue };
            let numbers = self.lists.get(*list).iter();
            unsorted.ranks.extend(numbers.map(|number| rank_of[*number as usize]));
            unsorted.ends.push(unsorted.ranks.len());
            unsorted.series.push(idx);
        }
        unsorted
    }
}

impl Unsorted {
    /// Indices of the series in the order of their labels.
    #[must_use]
    pub fn sort(&self) -> Vec<u32> {
        let count = u32::try_from(self.series.len()).expect("below 2^32 series");
        let mut keyed: Vec<(u128, u32)> = (0..count).map(|place| (0, place)).collect();
        self.sort_run(&mut keyed, 0);
        keyed.into_iter().map(|(_, place)| self.series[place as usize]).collect()
    }

    fn ranks(&self, place: u32) -> &[u32] {
        let place = place as usize;
        let start = place.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.ranks[start..self.ends[place]]
    }

    /// Sorts series whose first `depth` labels are the same. It calls itself for those that share the next ones as
    /// well, at most once for each [`KEY_LEN`] labels of a series.
    fn sort_run(&self, run: &mut [(u128, u32)], mut depth: usize) {
        let [first, others @ ..] = &*run else { return };
        let first = &self.ranks(first.1)[depth..];
        let shared = others.iter().fold(first.len(), |shared, (_, place)| {
            let other = &self.ranks(*place)[depth..];
            first[..shared].iter().zip(other).take_while(|(a, b)| a == b).count()
        });
        depth += shared;
        for (key, place) in &mut *run {
            let ranks = self.ranks(*place).iter().skip(depth).copied();
            *key = ranks
                .chain(std::iter::repeat(0))
                .take(KEY_LEN)
                .fold(0, |key, rank| key << u32::BITS | u128::from(rank));
        }
        run.sort_unstable_by_key(|(key, _)| *key);
        for same in run.chunk_by_mut(|a, b| a.0 == b.0) {
            if same.len() > 1 && self.ranks(same[0].1).len() > depth {
                self.sort_run(same, depth + KEY_LEN);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use swell_model::Labels;

    use super::*;

    proptest! {
        #[test]
        fn the_order_is_that_of_the_labels(
            series in prop::collection::btree_set(
                prop::collection::btree_map("[a-h]", "[ab]{1,2}", 1..9).prop_map(Labels::from_pairs),
                1..60,
            ),
            shuffle in any::<u64>(),
            removed in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
        ) {
            let mut arrived: Vec<&Labels> = series.iter().collect();
            let turn = |labels: &Labels| {
                use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
                BuildHasherDefault::<DefaultHasher>::new().hash_one((shuffle, labels))
            };
            arrived.sort_by_key(|labels| turn(labels));
            let mut index = MemoryIndex::default();
            let numbers: Vec<u32> = arrived.iter().map(|labels| index.insert(labels)).collect();
            for gone in removed {
                index.remove(&[numbers[gone.index(numbers.len())]]);
            }
            let sorted = index.unsorted(numbers).sort();
            let labels: Vec<Labels> = sorted.iter().filter_map(|idx| index.labels(*idx)).collect();
            prop_assert_eq!(labels.len(), index.series_count());
            prop_assert!(labels.is_sorted_by(|a, b| a < b));
        }
    }
}
