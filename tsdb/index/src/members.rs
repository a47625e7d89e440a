//! The series that have a label: a list while they are few, a compressed bitmap once they are many.

use roaring::RoaringBitmap;
use swell_chunk::Cursor;

use crate::postings;
use crate::slice::IndexError;

use crate::sets::intersect;

/// A list becomes a bitmap above this, and a bitmap a list below half of it.
const LIST_MAX: usize = 16;

/// Looking one number up in a bitmap costs as much as listing so many.
const LOOKUP_COST: usize = 8;

#[derive(Debug)]
pub(crate) enum Members {
    /// Sorted.
    Few(Vec<u32>),
    Many(RoaringBitmap),
}

impl Default for Members {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Members {
    pub(crate) fn insert(&mut self, member: u32) {
        match self {
            Self::Few(list) => {
                let rises = list.last().is_none_or(|last| *last < member);
                let place = if rises { Err(list.len()) } else { list.binary_search(&member) };
                if let Err(at) = place {
                    if list.is_empty() {
                        list.reserve_exact(1);
                    }
                    list.insert(at, member);
                }
                if list.len() > LIST_MAX {
                    *self = Self::Many(list.iter().copied().collect());
                }
            }
            // Pushing behind the last would look for that first, bit by bit.
            Self::Many(bitmap) => {
                bitmap.insert(member);
            }
        }
    }

    /// Reads a list of postings whose members are below `series_count`.
    pub(crate) fn read(cursor: &mut Cursor<'_>, series_count: u32) -> Result<Self, IndexError> {
        if postings::count(cursor.rest())? <= LIST_MAX {
            return Ok(Self::Few(postings::read(cursor, series_count)?));
        }
        let mut bitmap = RoaringBitmap::new();
        postings::visit(cursor, series_count, &mut |first, last| {
            if first == last {
                bitmap.insert(first);
            } else {
                bitmap.insert_range(first..=last);
            }
            true
        })?;
        Ok(Self::Many(bitmap))
    }

    pub(crate) fn remove_all(&mut self, removed: &RoaringBitmap) {
        match self {
            Self::Few(list) => list.retain(|member| !removed.contains(*member)),
            Self::Many(bitmap) => {
                *bitmap -= removed;
                if bitmap.len() < LIST_MAX as u64 / 2 {
                    *self = Self::Few(bitmap.iter().collect());
                }
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Few(list) => list.len(),
            Self::Many(bitmap) => usize::try_from(bitmap.len()).expect("below 2^32"),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Members, rising, as a list.
    pub(crate) fn to_vec(&self) -> Vec<u32> {
        match self {
            Self::Few(list) => list.clone(),
            Self::Many(bitmap) => {
                let mut list = Vec::with_capacity(self.len());
                let mut members = bitmap.iter();
                // Series that come together are numbered together.
                while let Some(range) = members.next_range() {
                    list.extend(range);
                }
                list
            }
        }
    }

    /// Leaves of a sorted list only what is a member.
    pub(crate) fn retain_in(&self, list: &mut Vec<u32>) {
        match self {
            Self::Many(bitmap) if list.len() * LOOKUP_COST < self.len() => {
                list.retain(|member| bitmap.contains(*member));
            }
            Self::Few(members) => *list = intersect(list, members),
            Self::Many(_) => *list = intersect(list, &self.to_vec()),
        }
    }

    /// Members, rising.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> {
        let (few, many) = match self {
            Self::Few(list) => (Some(list), None),
            Self::Many(bitmap) => (None, Some(bitmap)),
        };
        few.into_iter().flatten().copied().chain(many.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn members_are_a_set(steps in prop::collection::vec((any::<bool>(), 0u32..200_000), 0..300), dense in any::<bool>()) {
            let (mut members, mut set) = (Members::default(), BTreeSet::new());
            for (is_insert, member) in steps {
                let member = if dense { member % 60 } else { member };
                if is_insert {
                    members.insert(member);
                    set.insert(member);
                } else {
                    let removed = [member, member + 7];
                    members.remove_all(&removed.into_iter().collect());
                    set.retain(|member| !removed.contains(member));
                }
                prop_assert_eq!(members.len(), set.len());
                prop_assert_eq!(members.is_empty(), set.is_empty());
            }
            prop_assert!(members.iter().eq(set.iter().copied()));
            prop_assert!(members.to_vec().into_iter().eq(set));
        }

        #[test]
        fn what_is_no_member_is_taken_out_of_a_list(
            members in prop::collection::btree_set(0u32..300, 0..200),
            list in prop::collection::btree_set(0u32..300, 0..200),
            few in any::<bool>(),
        ) {
            let mut set = Members::default();
            members.iter().for_each(|member| set.insert(*member));
            let mut list: Vec<u32> = list.into_iter().take(if few { 5 } else { 200 }).collect();
            let expected: Vec<u32> =
                list.iter().copied().filter(|one| members.contains(one)).collect();
            set.retain_in(&mut list);
            prop_assert_eq!(list, expected);
        }
    }
}
