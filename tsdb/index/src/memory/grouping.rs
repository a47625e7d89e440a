//! Series in groups by some of their labels, told apart by numbers: no text is built but for each group's labels once.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use swell_model::{Grouping, Labels};

use super::MemoryIndex;

/// A symbol that no text has.
const NO_SYMBOL: u32 = u32::MAX;

/// Series and the group of each.
#[derive(Clone, Debug, Default)]
pub struct GroupedSeries {
    /// Sorted.
    pub series: Vec<u32>,
    /// The group of each series.
    pub group_of: Vec<u32>,
    /// Labels of each group; one whose series are all gone may be left over.
    pub groups: Arc<[Labels]>,
    /// Groups by the symbols that tell them apart.
    by_key: FxHashMap<Box<[u32]>, u32>,
    /// Of the index when the groups were made: a later removal may have given indices and symbols another meaning.
    removal_count: u64,
}

/// What tells groups apart, as symbols.
enum Keys {
    /// Pairs with these names, [`NO_SYMBOL`] where a series has none.
    Of(Vec<u32>),
    /// Pairs with all other names.
    Without(Vec<u32>),
}

impl Keys {
    fn new(index: &MemoryIndex, grouping: Grouping<'_>) -> Self {
        let symbol = |name: &str| index.names.get(name).map_or(NO_SYMBOL, |values| values.number);
        let mut names: Vec<u32> = grouping.names.iter().map(|name| symbol(name)).collect();
        if grouping.without {
            names.push(symbol(swell_model::METRIC_NAME));
            Self::Without(names)
        } else {
            Self::Of(names)
        }
    }

    /// The key of a series with these pairs.
    fn read(&self, index: &MemoryIndex, pairs: &[u32], key: &mut Vec<u32>) {
        key.clear();
        let name_of = |pair: u32| index.pair_names[pair as usize];
        match self {
            Self::Of(names) => key.extend(names.iter().map(|name| {
                pairs.iter().copied().find(|pair| name_of(*pair) == *name).unwrap_or(NO_SYMBOL)
            })),
            Self::Without(names) => {
                key.extend(pairs.iter().copied().filter(|pair| !names.contains(&name_of(*pair))));
            }
        }
    }
}

impl MemoryIndex {
    /// Groups series (sorted indices in use). `known` is an earlier result for the same grouping: what it knows of
    /// series is taken from there.
    ///
    /// # Panics
    /// When an index is not in use.
    #[must_use]
    pub fn group(
        &self,
        series: Vec<u32>,
        grouping: Grouping<'_>,
        known: Option<&Arc<GroupedSeries>>,
    ) -> Arc<GroupedSeries> {
        let known = known.filter(|known| known.removal_count == self.removal_count);
        if let Some(known) = known
            && known.series == series
        {
            return Arc::clone(known);
        }
        let keys = Keys::new(self, grouping);
        let mut by_key = known.map(|known| known.by_key.clone()).unwrap_or_default();
        let mut groups = known.map(|known| known.groups.to_vec()).unwrap_or_default();
        let mut known = known
            .map_or(&[][..], |known| &known.series)
            .iter()
            .zip(known.map_or(&[][..], |known| &known.group_of))
            .peekable();
        let mut group_of = Vec::with_capacity(series.len());
        let mut key = Vec::new();
        for idx in &series {
            while known.next_if(|(other, _)| *other < idx).is_some() {}
            if let Some((_, group)) = known.next_if(|(other, _)| *other == idx) {
                group_of.push(*group);
                continue;
            }
            let list = self.series[*idx as usize].expect("the index is in use");
            keys.read(self, self.lists.get(list), &mut key);
            let group = match by_key.get(&key[..]) {
                Some(group) => *group,
                None => {
                    let group = u32::try_from(groups.len()).expect("no more groups than series");
                    let labels = self.texts(*idx).expect("the index is in use");
                    groups
                        .push(Labels::from_sorted(labels.filter(|(name, _)| grouping.keeps(name))));
                    by_key.insert(key[..].into(), group);
                    group
                }
            };
            group_of.push(group);
        }
        Arc::new(GroupedSeries {
            series,
            group_of,
            groups: groups.into(),
            by_key,
            removal_count: self.removal_count,
        })
    }
}
