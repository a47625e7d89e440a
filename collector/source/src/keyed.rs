//! Series kept in the order in which the kernel lists what they measure.

/// Values by key for a file whose lines keep their order from tick to tick (devices, fields, CPUs): the
/// entry is found by comparing one key, without hashing. A key that no longer comes is dropped at
/// [`KeyedSeries::end_tick`].
#[derive(Debug)]
pub struct KeyedSeries<T> {
    entries: Vec<Entry<T>>,
    cursor: usize,
}

#[derive(Debug)]
struct Entry<T> {
    key: Box<[u8]>,
    seen: bool,
    value: T,
}

impl<T> Default for KeyedSeries<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), cursor: 0 }
    }
}

impl<T> KeyedSeries<T> {
    /// The value of `key`, built when it is new. A repeated key gives the same value again.
    pub fn entry(&mut self, key: &[u8], build: impl FnOnce() -> T) -> &mut T {
        let expected = self.cursor;
        let found = match self.entries.get(expected) {
            Some(entry) if *entry.key == *key => Some(expected),
            _ => self.entries.iter().position(|entry| *entry.key == *key),
        };
        let idx = found.unwrap_or_else(|| {
            let at = expected.min(self.entries.len());
            self.entries.insert(at, Entry { key: key.into(), seen: false, value: build() });
            at
        });
        self.cursor = idx + 1;
        let entry = &mut self.entries[idx];
        entry.seen = true;
        &mut entry.value
    }

    /// Drops what did not come in this tick and starts again at the top.
    pub fn end_tick(&mut self) {
        self.entries.retain_mut(|entry| std::mem::take(&mut entry.seen));
        self.cursor = 0;
    }

    /// Values in the kernel's order.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.entries.iter_mut().map(|entry| &mut entry.value)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_behaves_as_a_map_of_the_last_tick(ticks in prop::collection::vec(prop::collection::vec(0_u8..6, 0..8), 1..12)) {
            let mut keyed = KeyedSeries::default();
            let mut model: BTreeMap<u8, usize> = BTreeMap::new();
            for (born, keys) in ticks.into_iter().enumerate() {
                for key in &keys {
                    let expected = *model.entry(*key).or_insert(born);
                    prop_assert_eq!(*keyed.entry(&[*key], || born), expected);
                }
                keyed.end_tick();
                model.retain(|key, _| keys.contains(key));
                let mut left: Vec<usize> = keyed.values_mut().map(|value| *value).collect();
                left.sort_unstable();
                let mut expected: Vec<usize> = model.values().copied().collect();
                expected.sort_unstable();
                prop_assert_eq!(left, expected);
            }
        }
    }
}
