//! The values of a label, sorted: texts side by side in one piece, which a pattern goes through three times as fast as
//! through pieces of memory each; those that came since it was made are kept apart until they are worth a new one.

use std::cmp::Ordering;
use std::collections::{BTreeMap, btree_map};
use std::iter::Peekable;
use std::ops::Bound;
use std::sync::Arc;

/// New values are put into the piece once they are a part of it this large, and so many.
const FRESH_PART: usize = 8;
const FRESH_MIN: usize = 64;

/// A piece this large stays as it is: places in it are counted by u32.
const PIECE_MAX_BYTES: usize = 1 << 31;

/// Number of a value that is gone.
const GONE: u32 = u32::MAX;

/// See the module.
#[derive(Debug)]
pub(super) struct Values {
    /// Of the name.
    pub(super) number: u32,
    piece: Piece,
    /// Values of the piece that are gone.
    gone_count: usize,
    /// Values that are not in the piece, or were gone from it.
    fresh: BTreeMap<Arc<str>, u32>,
}

#[derive(Debug, Default)]
struct Piece {
    texts: String,
    ends: Vec<u32>,
    /// Of the pairs.
    numbers: Vec<u32>,
}

impl Piece {
    fn text(&self, at: usize) -> &str {
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        &self.texts[start..self.ends[at] as usize]
    }

    /// `false` when the piece cannot have more bytes.
    fn push(&mut self, text: &str, number: u32) -> bool {
        let Ok(end) = u32::try_from(self.texts.len() + text.len()) else { return false };
        self.texts.push_str(text);
        self.ends.push(end);
        self.numbers.push(number);
        true
    }

    /// The first that is not below the text.
    fn lower_bound(&self, text: &str) -> usize {
        let (mut low, mut high) = (0, self.ends.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.text(middle) < text { low = middle + 1 } else { high = middle }
        }
        low
    }
}

impl Values {
    pub(super) fn new(number: u32) -> Self {
        Self { number, piece: Piece::default(), gone_count: 0, fresh: BTreeMap::new() }
    }

    /// Values that rise, with the numbers of their pairs.
    pub(super) fn of_sorted(number: u32, sorted: impl Iterator<Item = (Arc<str>, u32)>) -> Self {
        let mut values = Self::new(number);
        for (value, pair) in sorted {
            if !values.piece.push(&value, pair) {
                values.fresh.insert(value, pair);
            }
        }
        values
    }

    pub(super) fn len(&self) -> usize {
        self.piece.ends.len() - self.gone_count + self.fresh.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a value that is not there.
    pub(super) fn insert(&mut self, value: &Arc<str>, number: u32) {
        self.fresh.insert(Arc::clone(value), number);
        let is_worth = self.fresh.len() >= FRESH_MIN.max(self.piece.ends.len() / FRESH_PART);
        if is_worth && self.piece.texts.len() < PIECE_MAX_BYTES {
            self.renew();
        }
    }

    pub(super) fn remove(&mut self, value: &str) {
        if self.fresh.remove(value).is_some() {
            return;
        }
        let at = self.piece.lower_bound(value);
        if at < self.piece.ends.len()
            && self.piece.text(at) == value
            && self.piece.numbers[at] != GONE
        {
            self.piece.numbers[at] = GONE;
            self.gone_count += 1;
            if self.gone_count > FRESH_MIN.max(self.piece.ends.len() / 2) {
                self.renew();
            }
        }
    }

    /// Makes one piece of all, as far as texts fit into it.
    fn renew(&mut self) {
        let bytes: usize = self.fresh.keys().map(|text| text.len()).sum();
        let mut piece = Piece::default();
        piece.texts.reserve_exact(self.piece.texts.len() + bytes);
        piece.ends.reserve_exact(self.len());
        piece.numbers.reserve_exact(self.len());
        let mut left: BTreeMap<Arc<str>, u32> = BTreeMap::new();
        for (value, number) in self.iter() {
            if !left.is_empty() || !piece.push(value, number) {
                left.insert(Arc::from(value), number);
            }
        }
        (self.piece, self.gone_count, self.fresh) = (piece, 0, left);
    }

    /// All values, sorted, with the numbers of their pairs.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, u32)> {
        self.from(Bound::Unbounded)
    }

    /// The same from a text on, or behind it.
    pub(super) fn from<'v>(&'v self, start: Bound<&str>) -> Sorted<'v> {
        let at = match start {
            Bound::Unbounded => 0,
            Bound::Included(text) => self.piece.lower_bound(text),
            Bound::Excluded(text) => {
                let at = self.piece.lower_bound(text);
                let is_there = at < self.piece.ends.len() && self.piece.text(at) == text;
                at + usize::from(is_there)
            }
        };
        let fresh = self.fresh.range::<str, _>((start, Bound::Unbounded)).peekable();
        Sorted { piece: &self.piece, at, fresh }
    }
}

/// Goes through values in their order.
#[derive(Debug)]
pub(super) struct Sorted<'v> {
    piece: &'v Piece,
    at: usize,
    fresh: Peekable<btree_map::Range<'v, Arc<str>, u32>>,
}

impl<'v> Iterator for Sorted<'v> {
    type Item = (&'v str, u32);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        while self.piece.numbers.get(self.at) == Some(&GONE) {
            self.at += 1;
        }
        let fresh = self.fresh.peek().map(|(text, _)| &***text);
        let order = match (self.at < self.piece.ends.len(), fresh) {
            (false, None) => return None,
            (true, None) => Ordering::Less,
            (false, Some(_)) => Ordering::Greater,
            (true, Some(fresh)) => self.piece.text(self.at).cmp(fresh),
        };
        if order == Ordering::Less {
            let at = self.at;
            self.at += 1;
            return Some((self.piece.text(at), self.piece.numbers[at]));
        }
        self.fresh.next().map(|(text, number)| (&**text, *number))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn values_are_a_sorted_map(
            steps in prop::collection::vec((any::<bool>(), 0u32..400), 0..600),
            from in 0u32..400,
            begins_sorted in any::<bool>(),
        ) {
            let text = |nr: u32| format!("v{}", nr * 7 % 400);
            let mut model: BTreeMap<String, u32> = BTreeMap::new();
            if begins_sorted {
                model.extend((0..100).map(|nr| (text(nr), nr)));
            }
            let sorted = model.iter().map(|(text, nr)| (Arc::from(text.as_str()), *nr));
            let mut values = Values::of_sorted(3, sorted);
            for (is_insert, nr) in steps {
                let text = text(nr);
                match model.get(&text) {
                    None if is_insert => {
                        values.insert(&Arc::from(text.as_str()), nr);
                        model.insert(text, nr);
                    }
                    Some(_) if !is_insert => {
                        values.remove(&text);
                        model.remove(&text);
                    }
                    _ => values.remove("not there"),
                }
                prop_assert_eq!(values.len(), model.len());
                prop_assert_eq!(values.is_empty(), model.is_empty());
            }
            let all: Vec<(&str, u32)> = model.iter().map(|(text, nr)| (text.as_str(), *nr)).collect();
            prop_assert_eq!(values.iter().collect::<Vec<_>>(), all);
            let from = text(from);
            for start in [Bound::Included(&from), Bound::Excluded(&from)] {
                let expected = model.range((start.cloned(), Bound::Unbounded));
                let expected: Vec<(&str, u32)> = expected.map(|(text, nr)| (text.as_str(), *nr)).collect();
                prop_assert_eq!(values.from(start.map(String::as_str)).collect::<Vec<_>>(), expected);
            }
        }
    }
}
