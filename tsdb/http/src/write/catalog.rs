//! Series that were pushed before, found again without taking their labels apart.
//!
//! A sender repeats its series in the same order, request after request: each entry knows which one came after it, so a
//! series is found by comparing one hash in the next entry, and entries lie in the order of their first arrival. When
//! the order changes, a table by hash finds the entry, and the order is learnt anew.
//!
//! Keys are 128-bit hashes of what the message has for labels, under a seed that is drawn at start. Two label sets that
//! meet by chance need 2^64 of them; a sender cannot aim, and could write any series anyway.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};

use hashbrown::HashTable;
use parking_lot::{RwLock, RwLockReadGuard};
use swell_model::SeriesRef;
use twox_hash::XxHash3_128;

/// Hash of the labels of a series, in one of the two messages.
pub(crate) type Key = u128;

/// Entries kept; series beyond are looked up in the storage each time.
const ENTRIES_MAX: usize = 16 << 20;

/// See the module.
#[derive(Debug)]
pub(crate) struct Catalog {
    seed: u64,
    known: RwLock<Known>,
}

#[derive(Debug, Default)]
struct Known {
    entries: Vec<Entry>,
    by_key: HashTable<u32>,
    epoch: u16,
}

#[derive(Debug)]
struct Entry {
    key: [u64; 2],
    series: SeriesRef,
    /// What came after it last time.
    next: AtomicU32,
    /// Bytes of its labels in a 1.0 message; 0 when there is nothing to compare.
    labels_len: u16,
    /// When it was used last.
    epoch: AtomicU16,
}

/// A series to remember.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// Its key.
    pub(crate) key: Key,
    /// Bytes of its labels in a 1.0 message, else 0.
    pub(crate) labels_len: usize,
    /// What it is.
    pub(crate) series: SeriesRef,
}

/// How a series was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Where it was expected.
    pub(crate) in_sequence: u64,
    /// In the table.
    pub(crate) by_key: u64,
    /// Not at all.
    pub(crate) new: u64,
}

/// One request's way through the catalog.
pub(crate) struct Walk<'c> {
    known: RwLockReadGuard<'c, Known>,
    seed: u64,
    last: Option<u32>,
    pub(crate) tally: Tally,
}

const fn halves(key: Key) -> [u64; 2] {
    #[expect(clippy::cast_possible_truncation, reason = "the halves are what is wanted")]
    [key as u64, (key >> 64) as u64]
}

impl Catalog {
    pub(crate) fn new() -> Self {
        Self { seed: RandomState::new().hash_one("remote write"), known: RwLock::default() }
    }

    /// Starts at no series in particular.
    pub(crate) fn walk(&self) -> Walk<'_> {
        Walk { known: self.known.read(), seed: self.seed, last: None, tally: Tally::default() }
    }

    /// Remembers series, in the order in which they came.
    pub(crate) fn remember(&self, seen: &[Seen]) {
        let mut known = self.known.write();
        for seen in seen {
            known.insert(*seen);
        }
    }

    /// Forgets what was not used since the time before last that this was called.
    pub(crate) fn age(&self) {
        let mut known = self.known.write();
        let (this, before) = (known.epoch, known.epoch.wrapping_sub(1));
        let is_used = |entry: &Entry| {
            let used = entry.epoch.load(Ordering::Relaxed);
            used == this || used == before
        };
        if !known.entries.iter().all(is_used) {
            *known = known.filtered(is_used);
        }
        known.epoch = this.wrapping_add(1);
    }

    /// Number of series remembered.
    pub(crate) fn len(&self) -> usize {
        self.known.read().entries.len()
    }
}

impl Known {
    fn find(&self, key: Key) -> Option<u32> {
        let key = halves(key);
        self.by_key.find(key[0], |idx| self.entries[*idx as usize].key == key).copied()
    }

    fn insert(&mut self, seen: Seen) {
        let labels_len = u16::try_from(seen.labels_len).unwrap_or(0);
        if let Some(idx) = self.find(seen.key) {
            self.entries[idx as usize].series = seen.series;
            return;
        }
        if self.entries.len() >= ENTRIES_MAX {
            return;
        }
        let idx = u32::try_from(self.entries.len()).expect("bounded by a constant below 2^32");
        let key = halves(seen.key);
        self.entries.push(Entry {
            key,
            series: seen.series,
            next: AtomicU32::new(idx + 1),
            labels_len,
            epoch: AtomicU16::new(self.epoch),
        });
        let entries = &self.entries;
        self.by_key.insert_unique(key[0], idx, |idx| entries[*idx as usize].key[0]);
    }

    fn filtered(&self, keep: impl Fn(&Entry) -> bool) -> Self {
        const GONE: u32 = u32::MAX;
        let mut new_idx = vec![GONE; self.entries.len()];
        let mut count = 0;
        for (idx, entry) in self.entries.iter().enumerate() {
            if keep(entry) {
                new_idx[idx] = count;
                count += 1;
            }
        }
        let mut kept = Self { epoch: self.epoch, ..Self::default() };
        kept.entries.reserve_exact(count as usize);
        for entry in self.entries.iter().filter(|entry| keep(entry)) {
            let key = u128::from(entry.key[0]) | u128::from(entry.key[1]) << 64;
            let labels_len = usize::from(entry.labels_len);
            kept.insert(Seen { key, labels_len, series: entry.series });
            let added = kept.entries.last().expect("just inserted");
            let next = new_idx.get(entry.next.load(Ordering::Relaxed) as usize);
            if let Some(next) = next.filter(|next| **next != GONE) {
                added.next.store(*next, Ordering::Relaxed);
            }
            added.epoch.store(entry.epoch.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        kept
    }
}

impl Walk<'_> {
    /// Key of labels as they stand in a 1.0 message.
    pub(crate) fn key_of_bytes(&self, labels: &[u8]) -> Key {
        XxHash3_128::oneshot_with_seed(self.seed, labels)
    }

    /// Key of a text, to make [`Walk::key_of_texts`] of.
    pub(crate) fn key_of_text(&self, text: &[u8]) -> Key {
        XxHash3_128::oneshot_with_seed(self.seed ^ 1, text)
    }

    /// Key of labels whose names and values are given by their keys, 16 bytes each; never that of a 1.0 message.
    pub(crate) fn key_of_texts(&self, texts: &[u8]) -> Key {
        XxHash3_128::oneshot_with_seed(self.seed ^ 2, texts)
    }

    fn expected(&self) -> Option<(u32, &Entry)> {
        let idx = self.known.entries.get(self.last? as usize)?.next.load(Ordering::Relaxed);
        Some((idx, self.known.entries.get(idx as usize)?))
    }

    fn is_at(&mut self, idx: u32) -> SeriesRef {
        let entry = &self.known.entries[idx as usize];
        if entry.epoch.load(Ordering::Relaxed) != self.known.epoch {
            entry.epoch.store(self.known.epoch, Ordering::Relaxed);
        }
        let series = entry.series;
        self.last = Some(idx);
        series
    }

    /// The series that came next the last time, if the message starts with its labels; and their length. `is_end`
    /// tells whether the labels may end at a length.
    pub(crate) fn recognise(
        &mut self,
        message: &[u8],
        is_end: impl FnOnce(usize) -> bool,
    ) -> Option<(SeriesRef, usize)> {
        let (idx, entry) = self.expected()?;
        let labels_len = usize::from(entry.labels_len);
        let key = entry.key;
        let labels = message.get(..labels_len).filter(|labels| !labels.is_empty())?;
        if !is_end(labels_len) || halves(self.key_of_bytes(labels)) != key {
            return None;
        }
        self.tally.in_sequence += 1;
        Some((self.is_at(idx), labels_len))
    }

    /// The series with this key.
    pub(crate) fn find(&mut self, key: Key) -> Option<SeriesRef> {
        if let Some((idx, entry)) = self.expected()
            && entry.key == halves(key)
        {
            self.tally.in_sequence += 1;
            return Some(self.is_at(idx));
        }
        let Some(idx) = self.known.find(key) else {
            self.tally.new += 1;
            return None;
        };
        self.tally.by_key += 1;
        if let Some(last) = self.last {
            self.known.entries[last as usize].next.store(idx, Ordering::Relaxed);
        }
        Some(self.is_at(idx))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(catalog: &Catalog, names: &[&str]) -> Vec<Seen> {
        let walk = catalog.walk();
        let one = |(idx, name): (usize, &&str)| Seen {
            key: walk.key_of_bytes(name.as_bytes()),
            labels_len: name.len(),
            series: SeriesRef(idx as u64 + 100),
        };
        names.iter().enumerate().map(one).collect()
    }

    /// Walks over the names; gives what was found and how.
    fn pass(catalog: &Catalog, names: &[&str]) -> (Vec<Option<u64>>, Tally) {
        let mut walk = catalog.walk();
        let mut found = Vec::new();
        for name in names {
            let message = format!("{name}|and samples");
            let at_end = |len: usize| message.as_bytes().get(len) == Some(&b'|');
            let series = match walk.recognise(message.as_bytes(), at_end) {
                Some((series, len)) => {
                    assert_eq!(len, name.len());
                    Some(series)
                }
                None => walk.find(walk.key_of_bytes(name.as_bytes())),
            };
            found.push(series.map(|series| series.0));
        }
        (found, walk.tally)
    }

    #[test]
    fn a_repeated_order_is_followed_and_a_new_one_learnt() {
        let catalog = Catalog::new();
        assert_eq!(pass(&catalog, &["a", "b"]).0, [None, None]);
        catalog.remember(&seen(&catalog, &["a", "b", "cc", "d"]));
        let (found, tally) = pass(&catalog, &["a", "b", "cc", "d"]);
        assert_eq!(found, [100, 101, 102, 103].map(Some));
        assert_eq!(tally, Tally { in_sequence: 3, by_key: 1, new: 0 });
        let (found, tally) = pass(&catalog, &["d", "b", "x", "cc", "a"]);
        assert_eq!(found, [Some(103), Some(101), None, Some(102), Some(100)]);
        assert_eq!(tally, Tally { in_sequence: 1, by_key: 3, new: 1 });
        let (_, tally) = pass(&catalog, &["d", "b", "cc", "a"]);
        assert_eq!(tally, Tally { in_sequence: 3, by_key: 1, new: 0 });
    }

    #[test]
    fn labels_that_only_begin_alike_are_others() {
        let catalog = Catalog::new();
        catalog.remember(&seen(&catalog, &["a", "ab"]));
        assert_eq!(pass(&catalog, &["a", "abc", "ab"]).0, [Some(100), None, Some(101)]);
        assert_eq!(pass(&catalog, &["a", "a"]).0, [Some(100), Some(100)]);
    }

    #[test]
    fn what_is_not_used_is_forgotten_and_the_order_stays() {
        let catalog = Catalog::new();
        catalog.remember(&seen(&catalog, &["a", "b", "c", "d"]));
        for _ in 0..3 {
            catalog.age();
            assert_eq!(pass(&catalog, &["a", "c", "d"]).0, [Some(100), Some(102), Some(103)]);
        }
        assert_eq!(catalog.len(), 3);
        let (found, tally) = pass(&catalog, &["a", "c", "d", "b"]);
        assert_eq!(found, [Some(100), Some(102), Some(103), None]);
        assert_eq!(tally, Tally { in_sequence: 2, by_key: 1, new: 1 });
    }

    #[test]
    fn a_series_may_get_another_reference() {
        let catalog = Catalog::new();
        let mut all = seen(&catalog, &["a"]);
        catalog.remember(&all);
        all[0].series = SeriesRef(7);
        catalog.remember(&all);
        assert_eq!(pass(&catalog, &["a"]).0, [Some(7)]);
        assert_eq!(catalog.len(), 1);
    }
}
