//! The index of series in memory, which grows and shrinks.

mod grouping;

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::convert::Infallible;
use std::hash::BuildHasher as _;
use std::ops::Bound;
use std::sync::Arc;

use swell_model::Labels;

pub use grouping::GroupedSeries;

use crate::select::{Keep, LabelIndex};
use crate::sets::Union;

/// Series by labels, and postings by label. Indices are dense; those of removed series are given out again.
#[derive(Debug, Default)]
pub struct MemoryIndex {
    symbols: Symbols,
    /// Of each series, pairs of symbols sorted by name; empty for an unused index.
    series: Vec<Option<Pairs>>,
    unused: Vec<u32>,
    all: Vec<u32>,
    names: BTreeMap<Arc<str>, Values>,
    pair_count: usize,
    by_hash: HashMap<u64, u32>,
    /// Series whose hash another one had first.
    collided: Vec<u32>,
    hasher: RandomState,
    /// Calls of [`MemoryIndex::remove`] that removed something: indices and symbols may be given out again since.
    removal_count: u64,
}

type Values = BTreeMap<Arc<str>, Vec<u32>>;
/// Symbols of name and value.
type Pairs = Box<[(u32, u32)]>;

impl MemoryIndex {
    /// The series with these labels.
    #[must_use]
    pub fn find(&self, labels: &Labels) -> Option<u32> {
        let candidate = self.by_hash.get(&self.hasher.hash_one(labels)).copied()?;
        std::iter::once(candidate)
            .chain(self.collided.iter().copied())
            .find(|idx| self.pairs(*idx).is_some_and(|pairs| pairs.eq(labels.iter())))
    }

    /// Adds a series; its labels must not be there yet.
    ///
    /// # Panics
    /// When the labels are there, or after 2^32 series.
    pub fn insert(&mut self, labels: &Labels) -> u32 {
        assert!(self.find(labels).is_none(), "each label set has one series");
        let idx = self.unused.pop().unwrap_or_else(|| {
            self.series.push(None);
            u32::try_from(self.series.len() - 1).expect("below 2^32 series")
        });
        let mut pairs = Vec::with_capacity(labels.len());
        for (name, value) in labels.iter() {
            let (name_symbol, name) = self.symbols.acquire(name);
            let (value_symbol, value) = self.symbols.acquire(value);
            pairs.push((name_symbol, value_symbol));
            let postings = self.names.entry(name).or_default().entry(value).or_default();
            if postings.is_empty() {
                self.pair_count += 1;
            }
            insert_sorted(postings, idx);
        }
        self.series[idx as usize] = Some(pairs.into());
        insert_sorted(&mut self.all, idx);
        match self.by_hash.entry(self.hasher.hash_one(labels)) {
            std::collections::hash_map::Entry::Occupied(_) => self.collided.push(idx),
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(idx);
            }
        }
        idx
    }

    /// Removes series and what only they used; unknown indices are passed over.
    pub fn remove(&mut self, indices: &[u32]) {
        let mut touched: BTreeSet<(u32, u32)> = BTreeSet::new();
        let mut removed = Vec::with_capacity(indices.len());
        for idx in indices {
            let Some(labels) = self.labels(*idx) else { continue };
            let hash = self.hasher.hash_one(&labels);
            if self.by_hash.get(&hash) == Some(idx) {
                self.by_hash.remove(&hash);
            }
            self.collided.retain(|other| other != idx);
            if let Some(pairs) = self.series[*idx as usize].take() {
                touched.extend(pairs.iter().copied());
                removed.push((*idx, pairs));
            }
        }
        self.removal_count += u64::from(!removed.is_empty());
        let is_there = |series: &[Option<_>], idx: &u32| series[*idx as usize].is_some();
        self.all.retain(|idx| is_there(&self.series, idx));
        for (name, value) in touched {
            let (name, value) = (self.symbols.text(name), self.symbols.text(value));
            let Some(values) = self.names.get_mut(&name) else { continue };
            if let Some(postings) = values.get_mut(&value) {
                postings.retain(|idx| is_there(&self.series, idx));
                if postings.is_empty() {
                    values.remove(&value);
                    self.pair_count -= 1;
                }
            }
            if values.is_empty() {
                self.names.remove(&name);
            }
        }
        for (idx, pairs) in removed {
            for (name, value) in pairs {
                self.symbols.release(name);
                self.symbols.release(value);
            }
            self.unused.push(idx);
        }
        self.rehome_collided();
    }

    /// A series that collided with a removed one takes its place, or `find` would miss it.
    fn rehome_collided(&mut self) {
        for idx in std::mem::take(&mut self.collided) {
            let Some(labels) = self.labels(idx) else { continue };
            match self.by_hash.entry(self.hasher.hash_one(&labels)) {
                std::collections::hash_map::Entry::Occupied(_) => self.collided.push(idx),
                std::collections::hash_map::Entry::Vacant(entry) => {
                    entry.insert(idx);
                }
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
        self.pairs(idx).map(Labels::from_sorted)
    }

    fn pairs(&self, idx: u32) -> Option<impl Iterator<Item = (&str, &str)>> {
        let pairs = self.series.get(idx as usize)?.as_ref()?;
        let text = |symbol: u32| &*self.symbols.texts[symbol as usize];
        Some(pairs.iter().map(move |(name, value)| (text(*name), text(*value))))
    }

    /// Number of series.
    #[must_use]
    pub fn series_count(&self) -> usize {
        self.all.len()
    }

    /// Number of distinct pairs of name and value.
    #[must_use]
    pub const fn pair_count(&self) -> usize {
        self.pair_count
    }

    /// Label names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(AsRef::as_ref)
    }

    /// Values of a label, sorted, each with its number of series.
    pub fn values(&self, name: &str) -> impl Iterator<Item = (&str, usize)> {
        self.names
            .get(name)
            .into_iter()
            .flat_map(|values| values.iter().map(|(value, series)| (&**value, series.len())))
    }
}

impl LabelIndex for MemoryIndex {
    type Error = Infallible;

    fn all(&self) -> Result<Vec<u32>, Infallible> {
        Ok(self.all.clone())
    }

    fn bound(&self) -> u32 {
        u32::try_from(self.series.len()).expect("below 2^32 series")
    }

    fn value_count(&self, name: &str) -> usize {
        self.names.get(name).map_or(0, BTreeMap::len)
    }

    fn prefixed_count(&self, name: &str, prefix: &str, limit: usize) -> usize {
        let Some(values) = self.names.get(name) else { return 0 };
        let from = values.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        from.take_while(|(value, _)| value.starts_with(prefix)).take(limit).count()
    }

    fn posting_count(&self, name: &str, value: &str) -> Result<usize, Infallible> {
        Ok(self.names.get(name).and_then(|values| values.get(value)).map_or(0, Vec::len))
    }

    fn postings(&self, name: &str, value: &str) -> Result<Vec<u32>, Infallible> {
        Ok(self.names.get(name).and_then(|values| values.get(value)).cloned().unwrap_or_default())
    }

    fn with_label(&self, name: &str) -> Result<Vec<u32>, Infallible> {
        let mut out = Union::new(self.bound());
        let values = self.names.get(name).into_iter().flat_map(BTreeMap::values);
        values.for_each(|postings| out.extend(postings.iter().copied()));
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
            let from = (Bound::Included(prefix), Bound::Unbounded);
            for (value, postings) in values.range::<str, _>(from) {
                if !value.starts_with(prefix) {
                    break;
                }
                if keep(value) {
                    out.extend(postings.iter().copied());
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
            let value = self.pairs(*idx).and_then(|mut pairs| pairs.find(|pair| pair.0 == name));
            keep(value.map_or("", |(_, value)| value))
        });
        Ok(())
    }
}

fn insert_sorted(list: &mut Vec<u32>, idx: u32) {
    match list.last() {
        Some(last) if *last >= idx => {
            if let Err(at) = list.binary_search(&idx) {
                list.insert(at, idx);
            }
        }
        _ => list.push(idx),
    }
}

/// Each text once, counted by its users.
#[derive(Debug, Default)]
struct Symbols {
    texts: Vec<Arc<str>>,
    users: Vec<u32>,
    by_text: HashMap<Arc<str>, u32>,
    unused: Vec<u32>,
}

impl Symbols {
    fn acquire(&mut self, text: &str) -> (u32, Arc<str>) {
        if let Some(symbol) = self.by_text.get(text) {
            self.users[*symbol as usize] += 1;
            return (*symbol, Arc::clone(&self.texts[*symbol as usize]));
        }
        let shared: Arc<str> = text.into();
        let symbol = if let Some(symbol) = self.unused.pop() {
            self.texts[symbol as usize] = Arc::clone(&shared);
            self.users[symbol as usize] = 1;
            symbol
        } else {
            self.texts.push(Arc::clone(&shared));
            self.users.push(1);
            u32::try_from(self.texts.len() - 1).expect("below 2^32 symbols")
        };
        self.by_text.insert(Arc::clone(&shared), symbol);
        (symbol, shared)
    }

    fn release(&mut self, symbol: u32) {
        let users = &mut self.users[symbol as usize];
        *users -= 1;
        if *users == 0 {
            let text = std::mem::replace(&mut self.texts[symbol as usize], Arc::from(""));
            self.by_text.remove(&text);
            self.unused.push(symbol);
        }
    }

    fn text(&self, symbol: u32) -> Arc<str> {
        Arc::clone(&self.texts[symbol as usize])
    }
}
