//! Series as records of the log and checkpoints define them, into the index: pairs are looked up once a record, and no
//! label set is built.

use swell_index::MemoryIndex;
use swell_model::SeriesRef;

use super::Head;
use crate::wal::DefinedSeries;

/// What is known of one record's texts.
#[derive(Debug)]
pub(crate) struct DefinedPairs<'d, 'p> {
    defined: &'d DefinedSeries<'p>,
    /// By number of a value's text: that of the name's + 1, and the pair in the index.
    of_value: Vec<(u32, u32)>,
    /// Texts of names that rise: those of the series before.
    names: Vec<u32>,
    numbers: Vec<u32>,
}

impl<'d, 'p> DefinedPairs<'d, 'p> {
    pub(crate) fn new(defined: &'d DefinedSeries<'p>) -> Self {
        let of_value = vec![(0, 0); defined.text_count()];
        Self { defined, of_value, names: Vec::new(), numbers: Vec::new() }
    }

    /// Whether the labels of a series are sorted by name, each once, and have values.
    fn is_sorted(&mut self, pairs: &[(u32, u32)]) -> bool {
        let defined = self.defined;
        let has_values = pairs.iter().all(|(_, value)| !defined.text(*value).is_empty());
        let names = pairs.iter().map(|(name, _)| *name);
        if self.names.len() != pairs.len() || !self.names.iter().copied().eq(names.clone()) {
            if !pairs.is_sorted_by(|a, b| defined.text(a.0) < defined.text(b.0)) {
                return false;
            }
            self.names.clear();
            self.names.extend(names);
        }
        has_values
    }

    /// Numbers of the pairs of a series in the index, given out now where they are new; `None` when its labels are not in
    /// order, and have to be put there as a label set.
    pub(crate) fn numbers(&mut self, nr: usize, index: &mut MemoryIndex) -> Option<&[u32]> {
        let defined = self.defined;
        let pairs = defined.pairs(nr);
        if !self.is_sorted(pairs) {
            return None;
        }
        self.numbers.clear();
        for (name, value) in pairs {
            let known = &mut self.of_value[*value as usize];
            if known.0 != name + 1 {
                *known = (name + 1, index.pair(defined.text(*name), defined.text(*value)));
            }
            self.numbers.push(known.1);
        }
        Some(&self.numbers)
    }
}

impl Head {
    /// Finds or makes the series that a record defines at that place.
    pub(crate) fn define(&mut self, record: &mut DefinedPairs<'_, '_>, nr: usize) -> SeriesRef {
        let Some(numbers) = record.numbers(nr, &mut self.index) else {
            return self.resolve(&record.defined.labels(nr));
        };
        let idx = self.index.find_or_insert_pairs(numbers);
        self.reference_of_new(idx)
    }
}
