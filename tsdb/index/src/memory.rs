//! The index of series in memory, which grows and shrinks. About a hundred bytes a series with a dozen labels: each pair
//! of name and value has a number, a series is a list of such numbers, and the series of a pair are a compressed set.

mod grouping;
mod image;
mod order;
mod table;
mod values;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::Bound;
use std::sync::Arc;

use hashbrown::HashTable;
use roaring::RoaringBitmap;
use swell_model::Labels;

pub use grouping::GroupedSeries;
pub use image::ImageReader;
pub use order::Unsorted;
pub use table::{Mark, TableReader, TableWriter};

use crate::keyed::{Identity, PairHasher};
use crate::lists::{ListRef, Lists};
use crate::members::Members;
use crate::select::{Keep, LabelIndex, Reach};
use crate::sets::Union;
use values::Values;

/// Series by labels, and postings by label. Indices are dense; those of removed series are given out again.
#[derive(Debug, Default)]
pub struct MemoryIndex {
    /// Of each series, the numbers of its pairs, sorted by name; `None` for an unused index.
    series: Vec<Option<ListRef>>,
    lists: Lists,
    unused: Vec<u32>,
    /// Unused indices that were given out again, since the last removal.
    reused: Vec<u32>,
    names: BTreeMap<Arc<str>, Values>,
    /// By number.
    pairs: Vec<Pair>,
    unused_pairs: Vec<u32>,
    /// By number of the pair, the number of its name; those are not given out again.
    pair_names: Vec<u32>,
    name_count: u32,
    /// By number of the pair, its hash; that of a series is the sum over its pairs.
    pair_hashes: Vec<u64>,
    /// Numbers of pairs, by their hash.
    by_pair: HashTable<u32>,
    /// Series, by their hash.
    by_labels: HashTable<u32>,
    hasher: PairHasher,
    /// Calls of [`MemoryIndex::remove`] that removed something: indices and numbers may be given out again since.
    removal_count: u64,
    /// How often series came or went.
    change_count: u64,
}

#[derive(Debug)]
struct Pair {
    name: Arc<str>,
    value: Arc<str>,
    series: Members,
}

impl MemoryIndex {
    /// The series with these labels.
    #[must_use]
    pub fn find(&self, labels: &Labels) -> Option<u32> {
        self.find_hashed(self.hasher.hash_all(labels), labels)
    }

    fn find_hashed(&self, hash: u64, labels: &Labels) -> Option<u32> {
        let is_same = |idx: &u32| self.texts(*idx).is_some_and(|texts| texts.eq(labels.iter()));
        self.by_labels.find(hash, is_same).copied()
    }

    /// Adds a series; its labels must not be there yet.
    ///
    /// # Panics
    /// When the labels are there, or after 2^32 series.
    pub fn insert(&mut self, labels: &Labels) -> u32 {
        let hashes = self.hashes(labels);
        let hash = sum(hashes.iter().copied());
        assert!(self.find_hashed(hash, labels).is_none(), "each label set has one series");
        let idx = self.next_idx();
        self.fill(idx, labels, &hashes, hash);
        idx
    }

    /// The series with these labels, made now if there is none.
    ///
    /// # Panics
    /// After 2^32 series.
    pub fn find_or_insert(&mut self, labels: &Labels) -> u32 {
        let hashes = self.hashes(labels);
        let hash = sum(hashes.iter().copied());
        if let Some(known) = self.find_hashed(hash, labels) {
            return known;
        }
        let idx = self.next_idx();
        self.fill(idx, labels, &hashes, hash);
        idx
    }

    /// The number of a pair of name and value, given out now if it is new: a series that has it is to be made then.
    pub fn pair(&mut self, name: &str, value: &str) -> u32 {
        self.number_of(name, value, self.hasher.hash(name, value))
    }

    /// The series with these pairs, given by their numbers and sorted by name, each name once; made now if there is none.
    ///
    /// # Panics
    /// After 2^32 series.
    pub fn find_or_insert_pairs(&mut self, numbers: &[u32]) -> u32 {
        let hash = hash_of(numbers, &self.pair_hashes);
        if let Some(known) = self.find_numbers(hash, numbers) {
            return known;
        }
        let idx = self.next_idx();
        self.fill_numbers(idx, numbers, hash);
        idx
    }

    fn find_numbers(&self, hash: u64, numbers: &[u32]) -> Option<u32> {
        let is_same = |idx: &u32| {
            self.series[*idx as usize].is_some_and(|list| self.lists.get(list) == numbers)
        };
        self.by_labels.find(hash, is_same).copied()
    }

    /// An index for a new series.
    fn next_idx(&mut self) -> u32 {
        if let Some(idx) = self.unused.pop() {
            self.reused.push(idx);
            return idx;
        }
        self.series.push(None);
        u32::try_from(self.series.len() - 1).expect("below 2^32 series")
    }

    fn hashes(&self, labels: &Labels) -> Vec<u64> {
        labels.iter().map(|(name, value)| self.hasher.hash(name, value)).collect()
    }

    /// Makes a series of labels that no other has, at an index that is not in use.
    fn fill(&mut self, idx: u32, labels: &Labels, hashes: &[u64], hash: u64) {
        let pairs = labels.iter().zip(hashes);
        let numbers: Vec<u32> =
            pairs.map(|((name, value), hash)| self.number_of(name, value, *hash)).collect();
        self.fill_numbers(idx, &numbers, hash);
    }

    /// The same, of pairs by their numbers.
    fn fill_numbers(&mut self, idx: u32, numbers: &[u32], hash: u64) {
        for number in numbers {
            self.pairs[*number as usize].series.insert(idx);
        }
        self.series[idx as usize] = Some(self.lists.add(numbers));
        self.enter(idx, hash);
    }

    fn enter(&mut self, idx: u32, hash: u64) {
        self.change_count += 1;
        let (series, lists, pair_hashes) = (&self.series, &self.lists, &self.pair_hashes);
        self.by_labels.insert_unique(hash, idx, |idx| {
            let list = series[*idx as usize].expect("series in the table are in use");
            hash_of(lists.get(list), pair_hashes)
        });
    }

    fn find_pair(&self, name: &str, value: &str, hash: u64) -> Option<u32> {
        let is_same = |number: &u32| {
            let pair = &self.pairs[*number as usize];
            *pair.value == *value && *pair.name == *name
        };
        self.by_pair.find(hash, is_same).copied()
    }

    /// The number of a pair, given out now if it is new.
    fn number_of(&mut self, name: &str, value: &str, hash: u64) -> u32 {
        if let Some(number) = self.find_pair(name, value, hash) {
            return number;
        }
        let (name, name_number) = match self.names.get_key_value(name) {
            Some((known, values)) => (Arc::clone(known), values.number),
            None => {
                self.name_count += 1;
                (Arc::from(name), self.name_count - 1)
            }
        };
        let value: Arc<str> = Arc::from(value);
        let pair =
            Pair { name: Arc::clone(&name), value: Arc::clone(&value), series: Members::default() };
        let number = if let Some(number) = self.unused_pairs.pop() {
            self.pairs[number as usize] = pair;
            self.pair_names[number as usize] = name_number;
            self.pair_hashes[number as usize] = hash;
            number
        } else {
            self.pairs.push(pair);
            self.pair_names.push(name_number);
            self.pair_hashes.push(hash);
            u32::try_from(self.pairs.len() - 1).expect("below 2^32 pairs")
        };
        let pair_hashes = &self.pair_hashes;
        self.by_pair.insert_unique(hash, number, |number| pair_hashes[*number as usize]);
        let values = self.names.entry(name).or_insert_with(|| Values::new(name_number));
        values.insert(&value, number);
        number
    }

    /// Removes series and what only they used; unknown indices are passed over.
    pub fn remove(&mut self, indices: &[u32]) {
        let mut removed = RoaringBitmap::new();
        // A bit for each pair: a flush may forget all series at once, each with a dozen pairs.
        let mut touched = vec![0_u64; self.pairs.len().div_ceil(64)];
        for idx in indices {
            let Some(list) = self.series.get_mut(*idx as usize).and_then(Option::take) else {
                continue;
            };
            let numbers = self.lists.get(list);
            let hash = hash_of(numbers, &self.pair_hashes);
            let entry = self.by_labels.find_entry(hash, |other| other == idx);
            entry.expect("series in use are in the table").remove();
            for number in numbers {
                touched[*number as usize / 64] |= 1 << (number % 64);
            }
            self.lists.remove(list);
            self.unused.push(*idx);
            removed.insert(*idx);
        }
        if removed.is_empty() {
            return;
        }
        self.removal_count += 1;
        self.change_count += 1;
        self.reused = Vec::new();
        for number in set_bits(&touched) {
            let pair = &mut self.pairs[number as usize];
            pair.series.remove_all(&removed);
            if pair.series.is_empty() {
                self.drop_pair(number);
            }
        }
    }

    /// Forgets a pair that no series has.
    fn drop_pair(&mut self, number: u32) {
        let pair = &mut self.pairs[number as usize];
        let (name, value) = (Arc::clone(&pair.name), Arc::clone(&pair.value));
        (pair.name, pair.value) = (Arc::from(""), Arc::from(""));
        let hash = self.pair_hashes[number as usize];
        let entry = self.by_pair.find_entry(hash, |other| *other == number);
        entry.expect("pairs in use are in the table").remove();
        self.unused_pairs.push(number);
        if let Some(values) = self.names.get_mut(&name) {
            values.remove(&value);
            if values.is_empty() {
                self.names.remove(&name);
            }
        }
    }

    /// Whether a series has this index.
    #[must_use]
    pub fn contains(&self, idx: u32) -> bool {
        self.series.get(idx as usize).is_some_and(Option::is_some)
    }

    /// Labels of a series; `None` for an unused index.
    #[must_use]
    pub fn labels(&self, idx: u32) -> Option<Labels> {
        self.texts(idx).map(Labels::from_sorted)
    }

    /// What tells a series apart from those of other indices; `None` for an unused index.
    #[must_use]
    pub fn identity(&self, idx: u32) -> Option<Identity> {
        self.texts(idx).map(Identity::of_pairs)
    }

    /// Pairs of a series, sorted by name: number, name, value; `None` for an unused index.
    #[must_use]
    pub fn pairs(&self, idx: u32) -> Option<impl ExactSizeIterator<Item = (u32, &str, &str)>> {
        let list = (*self.series.get(idx as usize)?)?;
        Some(self.lists.get(list).iter().map(|number| {
            let pair = &self.pairs[*number as usize];
            (*number, &*pair.name, &*pair.value)
        }))
    }

    fn texts(&self, idx: u32) -> Option<impl Iterator<Item = (&str, &str)>> {
        let list = (*self.series.get(idx as usize)?)?;
        Some(self.lists.get(list).iter().map(|number| {
            let pair = &self.pairs[*number as usize];
            (&*pair.name, &*pair.value)
        }))
    }

    fn members(&self, name: &str, value: &str) -> Option<&Members> {
        let number = self.find_pair(name, value, self.hasher.hash(name, value))?;
        Some(&self.pairs[number as usize].series)
    }

    fn members_of(&self, number: u32) -> &Members {
        &self.pairs[number as usize].series
    }

    /// A number that rises whenever a series comes or goes: while it stays, selections stay what they are.
    #[must_use]
    pub const fn change_count(&self) -> u64 {
        self.change_count
    }

    /// Number of series.
    #[must_use]
    pub fn series_count(&self) -> usize {
        self.series.len() - self.unused.len()
    }

    /// Number of distinct pairs of name and value.
    #[must_use]
    pub fn pair_count(&self) -> usize {
        self.pairs.len() - self.unused_pairs.len()
    }

    /// Label names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(AsRef::as_ref)
    }

    /// Values of a label, sorted, each with its number of series.
    pub fn values(&self, name: &str) -> impl Iterator<Item = (&str, usize)> {
        let values = self.names.get(name).into_iter().flat_map(Values::iter);
        values.map(|(value, number)| (value, self.members_of(number).len()))
    }
}

impl MemoryIndex {
    /// Values of a label among these series, sorted.
    #[must_use]
    pub fn values_of(&self, series: &[u32], name: &str) -> Vec<String> {
        let Some(values) = self.names.get(name) else { return Vec::new() };
        let mut found = vec![0_u64; self.pairs.len().div_ceil(64)];
        for list in series.iter().filter_map(|idx| *self.series.get(*idx as usize)?) {
            let numbers = self.lists.get(list).iter();
            let mut of_name = numbers.filter(|nr| self.pair_names[**nr as usize] == values.number);
            if let Some(number) = of_name.next() {
                found[*number as usize / 64] |= 1 << (number % 64);
            }
        }
        let mut texts: Vec<&str> =
            set_bits(&found).map(|number| &*self.pairs[number as usize].value).collect();
        texts.sort_unstable();
        texts.into_iter().map(str::to_owned).collect()
    }
}

/// Positions of the bits that are set.
fn set_bits(words: &[u64]) -> impl Iterator<Item = u32> {
    (0u32..).step_by(64).zip(words).flat_map(|(start, word)| {
        let mut left = *word;
        std::iter::from_fn(move || {
            let bit = (left != 0).then(|| left.trailing_zeros())?;
            left &= left - 1;
            Some(start + bit)
        })
    })
}

fn hash_of(numbers: &[u32], pair_hashes: &[u64]) -> u64 {
    sum(numbers.iter().map(|number| pair_hashes[*number as usize]))
}

fn sum(hashes: impl Iterator<Item = u64>) -> u64 {
    hashes.fold(0, u64::wrapping_add)
}

impl LabelIndex for MemoryIndex {
    type Error = Infallible;

    fn all(&self) -> Result<Vec<u32>, Infallible> {
        let used = (0u32..).zip(&self.series).filter(|(_, list)| list.is_some());
        Ok(used.map(|(idx, _)| idx).collect())
    }

    fn bound(&self) -> u32 {
        u32::try_from(self.series.len()).expect("below 2^32 series")
    }

    fn value_count(&self, name: &str) -> usize {
        self.names.get(name).map_or(0, Values::len)
    }

    fn prefixed(&self, name: &str, prefix: &str, limit: usize) -> Reach {
        let mut reach = Reach { values: 0, series: 0 };
        let Some(values) = self.names.get(name) else { return reach };
        let from = values.from(Bound::Included(prefix));
        for (_, number) in from.take_while(|(value, _)| value.starts_with(prefix)).take(limit) {
            reach.values += 1;
            reach.series += self.members_of(number).len();
        }
        reach
    }

    fn posting_count(&self, name: &str, value: &str) -> Result<usize, Infallible> {
        Ok(self.members(name, value).map_or(0, Members::len))
    }

    fn postings(&self, name: &str, value: &str) -> Result<Vec<u32>, Infallible> {
        Ok(self.members(name, value).map(Members::to_vec).unwrap_or_default())
    }

    fn retain_postings(
        &self,
        series: &mut Vec<u32>,
        name: &str,
        value: &str,
    ) -> Result<(), Infallible> {
        match self.members(name, value) {
            Some(members) => members.retain_in(series),
            None => series.clear(),
        }
        Ok(())
    }

    fn with_label(&self, name: &str) -> Result<Vec<u32>, Infallible> {
        let mut out = Union::new(self.bound());
        let values = self.names.get(name).into_iter();
        let numbers = values.flat_map(Values::iter).map(|(_, number)| number);
        numbers.for_each(|number| self.members_of(number).add_to(&mut out));
        Ok(out.finish())
    }

    fn postings_where(
        &self,
        name: &str,
        prefix: &str,
        keep: &mut Keep<'_>,
        out: &mut Union,
    ) -> Result<(), Infallible> {
        if let Some(values) = self.names.get(name) {
            for (value, number) in values.from(Bound::Included(prefix)) {
                if !value.starts_with(prefix) {
                    break;
                }
                if keep(value) {
                    self.members_of(number).add_to(out);
                }
            }
        }
        Ok(())
    }

    fn retain(
        &self,
        series: &mut Vec<u32>,
        name: &str,
        keep: &mut Keep<'_>,
    ) -> Result<(), Infallible> {
        series.retain(|idx| {
            let value = self.texts(*idx).and_then(|mut texts| texts.find(|text| text.0 == name));
            keep(value.map_or("", |(_, value)| value))
        });
        Ok(())
    }
}
