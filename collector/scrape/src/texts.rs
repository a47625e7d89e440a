//! What the texts of a target's series stand for, found by their place in the body before they are looked up.
//!
//! A target tells its series in the same order each time. So each text remembers which one came after it: where that
//! one comes again, it costs a comparison, and neither a hash nor a look-up.

use std::hash::{BuildHasher as _, BuildHasherDefault};

use hashbrown::HashTable;
use rustc_hash::FxHasher;

/// No text.
const NONE: u32 = u32::MAX;

/// What a text stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Index of the series.
    Known(u32),
    /// Metric relabelling dropped it.
    Dropped,
    /// The storage had no room for it when it was offered, in that scrape.
    Shed(u64),
}

#[derive(Debug)]
struct Entry {
    /// As it stands in the body; empty for an entry that is free.
    text: Box<str>,
    place: Place,
    /// Number of the scrape that brought it last.
    scrape: u64,
    /// The text that came after it.
    next: u32,
}

/// Texts of one target.
#[derive(Debug)]
pub(crate) struct Texts {
    entries: Vec<Entry>,
    /// Positions in `entries`, by the text there.
    by_text: HashTable<u32>,
    /// Positions that are free.
    free: Vec<u32>,
    /// The text that came first.
    first: u32,
    /// The text that came last in the scrape under way.
    last: u32,
    /// Texts of the scrape under way.
    seen_count: usize,
}

impl Default for Texts {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            by_text: HashTable::new(),
            free: Vec::new(),
            first: NONE,
            last: NONE,
            seen_count: 0,
        }
    }
}

fn hash(text: &str) -> u64 {
    BuildHasherDefault::<FxHasher>::default().hash_one(text)
}

impl Texts {
    /// A scrape begins.
    pub(crate) fn begin(&mut self) {
        self.last = NONE;
        self.seen_count = 0;
    }

    /// Texts that are known.
    pub(crate) fn len(&self) -> usize {
        self.by_text.len()
    }

    /// Whether a text is known.
    pub(crate) fn contains(&self, text: &str) -> bool {
        self.position(text).is_some()
    }

    fn position(&self, text: &str) -> Option<u32> {
        let found = self.by_text.find(hash(text), |at| *self.entries[*at as usize].text == *text);
        found.copied()
    }

    /// Position of the text that came after the last one before.
    fn next(&self) -> u32 {
        self.entries.get(self.last as usize).map_or(self.first, |last| last.next)
    }

    /// The text that comes next if the body is as the one before; empty when there was none.
    pub(crate) fn expected(&self) -> &str {
        self.entries.get(self.next() as usize).map_or("", |entry| &entry.text)
    }

    /// What a text stands for, when it is known; the scrape with this number brought it.
    pub(crate) fn find(&mut self, text: &str, scrape: u64) -> Option<Place> {
        let expected = self.next();
        let at = match self.entries.get(expected as usize) {
            Some(entry) if *entry.text == *text => expected,
            _ => {
                let at = self.position(text)?;
                self.follow(at);
                at
            }
        };
        let entry = &mut self.entries[at as usize];
        if entry.scrape != scrape {
            entry.scrape = scrape;
            self.seen_count += 1;
        }
        self.last = at;
        Some(entry.place)
    }

    /// Notes which text came after the last one.
    fn follow(&mut self, at: u32) {
        match self.entries.get_mut(self.last as usize) {
            Some(last) => last.next = at,
            None => self.first = at,
        }
    }

    /// Notes what a text stands for from now on; the scrape with this number brought it.
    pub(crate) fn set(&mut self, text: &str, place: Place, scrape: u64) {
        if let Some(at) = self.position(text) {
            self.entries[at as usize].place = place;
            return;
        }
        let entry = Entry { text: text.into(), place, scrape, next: NONE };
        let at = match self.free.pop() {
            Some(at) => {
                self.entries[at as usize] = entry;
                at
            }
            None => {
                self.entries.push(entry);
                u32::try_from(self.entries.len() - 1).expect("a body has fewer than 2^32 lines")
            }
        };
        let entries = &self.entries;
        self.by_text.insert_unique(hash(text), at, |at| hash(&entries[*at as usize].text));
        self.follow(at);
        self.last = at;
        self.seen_count += 1;
    }

    /// The scrape with this number is stored: what it did not bring is forgotten.
    pub(crate) fn settle(&mut self, scrape: u64) {
        if self.seen_count == self.by_text.len() {
            return;
        }
        let Self { entries, by_text, free, .. } = self;
        by_text.retain(|at| {
            let entry = &mut entries[*at as usize];
            let stays = entry.scrape == scrape;
            if !stays {
                entry.text = "".into();
                free.push(*at);
            }
            stays
        });
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// Goes through bodies, each text with its number; a text that is known must have the number it was given.
    fn follow(bodies: &[Vec<u8>]) {
        let mut texts = Texts::default();
        let mut model: BTreeMap<u8, (u32, u64)> = BTreeMap::new();
        let mut given = 0;
        for (scrape, body) in (1..).zip(bodies) {
            texts.begin();
            for letter in body {
                let text = format!("series{{a=\"{letter}\"}}");
                let next = texts.expected().to_owned();
                assert!(next.is_empty() || texts.contains(&next), "{next} was forgotten");
                let found = texts.find(&text, scrape);
                let expected = model.get(letter).map(|(number, _)| Place::Known(*number));
                assert_eq!(found, expected, "{bodies:?}");
                assert_eq!(texts.contains(&text), expected.is_some());
                if found.is_none() {
                    given += 1;
                    texts.set(&text, Place::Known(given), scrape);
                    model.insert(*letter, (given, scrape));
                }
                model.entry(*letter).and_modify(|known| known.1 = scrape);
            }
            texts.settle(scrape);
            model.retain(|_, (_, seen)| *seen == scrape);
            assert_eq!(texts.by_text.len(), model.len());
        }
    }

    #[test]
    fn order_may_change() {
        follow(&[
            vec![1, 2, 3],
            vec![1, 2, 3],
            vec![3, 2, 1],
            vec![2],
            vec![2, 1, 4],
            vec![],
            vec![1],
        ]);
    }

    #[test]
    fn a_place_may_change() {
        let mut texts = Texts::default();
        texts.begin();
        texts.set("a", Place::Shed(1), 1);
        texts.settle(1);
        texts.begin();
        assert_eq!(texts.expected(), "a");
        assert_eq!(texts.find("a", 2), Some(Place::Shed(1)));
        texts.set("a", Place::Known(7), 2);
        texts.settle(2);
        texts.begin();
        assert_eq!(texts.find("a", 3), Some(Place::Known(7)));
    }

    proptest! {
        #[test]
        fn a_text_keeps_its_place(bodies in prop::collection::vec(prop::collection::vec(0..8_u8, 0..12), 1..8)) {
            follow(&bodies);
        }
    }
}
