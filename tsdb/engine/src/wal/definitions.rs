//! Labels of series: each text once, then of each series the numbers of its texts.
//!
//! ```text
//! varint  series
//! varint  texts; each: text
//! each series: varint labels; each: varint text of the name, varint text of the value
//! ```

use std::collections::HashMap;

use rustc_hash::FxHashMap;
use swell_chunk::{Cursor, DecodeError, put_varint};
use swell_model::Labels;

use super::record::{put_text, read_text};

/// Collects series to be written.
#[derive(Debug, Default)]
pub(crate) struct Definitions<'t> {
    series_count: u64,
    texts: Vec<&'t str>,
    number_of: HashMap<&'t str, u64>,
    /// Texts of name and value by what tells pairs apart: most pairs were met in an earlier series.
    of_pair: FxHashMap<u32, (u64, u64)>,
    numbers: Vec<u8>,
}

impl<'t> Definitions<'t> {
    /// Adds a series, given by its pairs: a number that tells it apart, name, value.
    pub(crate) fn add(&mut self, pairs: impl ExactSizeIterator<Item = (u32, &'t str, &'t str)>) {
        self.series_count += 1;
        put_varint(&mut self.numbers, pairs.len() as u64);
        for (pair, name, value) in pairs {
            let (name, value) = match self.of_pair.get(&pair) {
                Some(known) => *known,
                None => {
                    let texts = (self.number(name), self.number(value));
                    self.of_pair.insert(pair, texts);
                    texts
                }
            };
            put_varint(&mut self.numbers, name);
            put_varint(&mut self.numbers, value);
        }
    }

    fn number(&mut self, text: &'t str) -> u64 {
        *self.number_of.entry(text).or_insert_with(|| {
            self.texts.push(text);
            self.texts.len() as u64 - 1
        })
    }

    /// Series so far.
    pub(crate) fn len(&self) -> usize {
        usize::try_from(self.series_count).expect("counted in memory")
    }

    /// Appends them.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.series_count);
        put_varint(out, self.texts.len() as u64);
        self.texts.iter().for_each(|text| put_text(text, out));
        out.extend_from_slice(&self.numbers);
    }
}

/// Labels that a series has as a rule, at most.
const LABELS_EXPECTED: usize = 16;

/// Series as they were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DefinedSeries<'p> {
    texts: Vec<&'p str>,
    /// Texts of name and value, one series behind the other.
    pairs: Vec<(u32, u32)>,
    ends: Vec<u32>,
}

impl<'p> DefinedSeries<'p> {
    /// Reads what [`Definitions::put`] gave.
    pub(crate) fn read(cursor: &mut Cursor<'p>) -> Result<Self, DecodeError> {
        let mut defined = Self::default();
        let series_count = cursor.count(cursor.remaining())?;
        for _ in 0..cursor.count(cursor.remaining())? {
            defined.texts.push(read_text(cursor)?);
        }
        let text_count = defined.texts.len();
        let text = |cursor: &mut Cursor<'p>| {
            let number = u32::try_from(cursor.varint()?).ok();
            let number = number.filter(|number| (*number as usize) < text_count);
            number.ok_or_else(|| cursor.fault("a label is missing"))
        };
        // Each label takes two bytes at least.
        defined.pairs.reserve((series_count * LABELS_EXPECTED).min(cursor.remaining() / 2));
        for _ in 0..series_count {
            for _ in 0..cursor.count(cursor.remaining())? {
                defined.pairs.push((text(cursor)?, text(cursor)?));
            }
            let end = u32::try_from(defined.pairs.len());
            defined.ends.push(end.map_err(|_| cursor.fault("there are too many labels"))?);
        }
        Ok(defined)
    }

    /// Number of series.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Number of texts.
    pub(crate) fn text_count(&self) -> usize {
        self.texts.len()
    }

    pub(crate) fn text(&self, number: u32) -> &'p str {
        self.texts[number as usize]
    }

    /// Texts of name and value of each label of a series, as they were written.
    pub(crate) fn pairs(&self, nr: usize) -> &[(u32, u32)] {
        let start = nr.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        &self.pairs[start..self.ends[nr] as usize]
    }

    /// Labels of a series.
    pub(crate) fn labels(&self, nr: usize) -> Labels {
        let pairs = self.pairs(nr).iter();
        Labels::from_pairs(pairs.map(|(name, value)| (self.text(*name), self.text(*value))))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Labels as definitions; texts of equal pairs are looked up once.
    pub(crate) fn definitions(series: &[Labels]) -> Definitions<'_> {
        let mut pairs: HashMap<(&str, &str), u32> = HashMap::new();
        let mut out = Definitions::default();
        for labels in series {
            let with_numbers: Vec<(u32, &str, &str)> = labels
                .iter()
                .map(|(name, value)| {
                    let next = u32::try_from(pairs.len()).expect("few");
                    (*pairs.entry((name, value)).or_insert(next), name, value)
                })
                .collect();
            out.add(with_numbers.into_iter());
        }
        out
    }

    proptest! {
        #[test]
        fn series_come_back(
            series in prop::collection::vec(
                prop::collection::btree_map("[a-c]", "[a-c]{1,2}", 0..4).prop_map(Labels::from_pairs),
                0..20,
            ),
        ) {
            let mut bytes = Vec::new();
            let definitions = definitions(&series);
            prop_assert_eq!(definitions.len(), series.len());
            definitions.put(&mut bytes);
            let mut cursor = Cursor::new(&bytes);
            let defined = DefinedSeries::read(&mut cursor).expect("reads");
            cursor.finish().expect("all was read");
            let back: Vec<Labels> = (0..defined.len()).map(|nr| defined.labels(nr)).collect();
            prop_assert_eq!(back, series);
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            if let Ok(defined) = DefinedSeries::read(&mut Cursor::new(&bytes)) {
                (0..defined.len()).for_each(|nr| drop(defined.labels(nr)));
            }
        }
    }
}
