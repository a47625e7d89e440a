//! What was deleted and is still in a block or in the head: hidden from readers, and left out when the block is
//! written anew. `docs/format/tombstones.md` has the layout of the files.

mod file;
mod head;
mod intervals;

use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) use file::{
    ReadTombstonesError, head_name, name_of, read, read_head, write, write_head,
};
pub(crate) use head::{HeadTombstones, LateDeletion};
pub(crate) use intervals::Intervals;

/// Ending of the file of a block's tombstones.
pub(crate) const SUFFIX: &str = ".tomb";

/// Deleted intervals by series: by position in a block, by labels in the head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tombstones<K>(BTreeMap<K, Arc<Intervals>>);

impl<K> Default for Tombstones<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord> Tombstones<K> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Series of which something is deleted.
    pub(crate) fn series_count(&self) -> usize {
        self.0.len()
    }

    /// What is deleted of a series.
    pub(crate) fn of(&self, key: &K) -> Option<&Arc<Intervals>> {
        if self.0.is_empty() { None } else { self.0.get(key) }
    }

    /// Deletes an interval of a series; gives whether that is new.
    pub(crate) fn add(&mut self, key: K, from_ms: i64, to_ms: i64) -> bool {
        if from_ms > to_ms {
            return false;
        }
        match self.0.entry(key) {
            std::collections::btree_map::Entry::Vacant(slot) => {
                slot.insert(Arc::new(Intervals::one(from_ms, to_ms)));
                true
            }
            std::collections::btree_map::Entry::Occupied(mut slot) => {
                !slot.get().contains_all(from_ms, to_ms)
                    && Arc::make_mut(slot.get_mut()).add(from_ms, to_ms)
            }
        }
    }

    /// Forgets what lies before `floor_ms`; gives whether that was anything.
    pub(crate) fn drop_before(&mut self, floor_ms: i64) -> bool {
        let count = |all: &Self| all.0.values().map(|one| one.as_slice().len()).sum::<usize>();
        let before = count(self);
        self.0.retain(|_, intervals| Arc::make_mut(intervals).drop_before(floor_ms));
        count(self) != before
    }

    fn iter(&self) -> impl Iterator<Item = (&K, &Arc<Intervals>)> {
        self.0.iter()
    }
}
