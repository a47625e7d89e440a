//! Names, their values, and the series of each.

use swell_chunk::Cursor;

use super::{IndexError, VALUE_GROUP_LEN};
use crate::symbols::SymbolReader;

/// All label names, sorted.
#[derive(Clone, Debug)]
pub(super) struct Names {
    pub(super) entries: Vec<NameEntry>,
    /// The values of all names.
    values: (usize, usize),
}

/// One label name.
#[derive(Clone, Debug)]
pub(super) struct NameEntry {
    pub(super) name: String,
    pub(super) symbol: u32,
    pub(super) value_count: usize,
    values: (usize, usize),
    /// Postings of the series that have the label.
    pub(super) series: (usize, usize),
}

impl Names {
    pub(super) fn read(
        all: &[u8],
        section: (usize, usize),
        count: usize,
        symbols: &mut SymbolReader<'_>,
    ) -> Result<Self, IndexError> {
        const OUTSIDE: IndexError = IndexError::at("the values of a label lie outside the index");
        let mut cursor = Cursor::new(&all[section.0..section.1]);
        let mut entries: Vec<NameEntry> = Vec::new();
        let mut lens = Vec::new();
        for _ in 0..count {
            let symbol = cursor.varint_u32()?;
            let name = symbols.text(symbol)?.to_owned();
            let value_count = cursor.count(all.len())?;
            let len = cursor.count(all.len())?;
            if value_count.div_ceil(VALUE_GROUP_LEN) * 8 > len {
                return Err(OUTSIDE);
            }
            if entries.last().is_some_and(|last| last.name >= name) {
                return Err(IndexError::at("label names are out of order"));
            }
            let series_len = cursor.count(cursor.remaining())?;
            let start = section.0 + cursor.offset();
            cursor.take(series_len)?;
            let series = (start, start + series_len);
            entries.push(NameEntry { name, symbol, value_count, values: (0, 0), series });
            lens.push(len);
        }
        let values = (section.0 + cursor.offset(), section.1);
        let mut start = values.0;
        for (entry, len) in entries.iter_mut().zip(lens) {
            entry.values = (start, start + len);
            start += len;
        }
        if start == section.1 { Ok(Self { entries, values }) } else { Err(OUTSIDE) }
    }

    pub(super) fn find(&self, name: &str) -> Option<&NameEntry> {
        let idx = self.entries.binary_search_by(|entry| entry.name.as_str().cmp(name)).ok()?;
        Some(&self.entries[idx])
    }

    /// The values of a name of this index.
    pub(super) fn values<'a>(&self, all: &'a [u8], entry: &NameEntry) -> Values<'a> {
        let group_count = entry.value_count.div_ceil(VALUE_GROUP_LEN);
        let (skips, entries) = all[entry.values.0..entry.values.1].split_at(group_count * 8);
        let shared = &all[self.values.0..self.values.1];
        Values { skips, entries, shared, group_count, value_count: entry.value_count }
    }
}

/// The values of one label.
pub(super) struct Values<'a> {
    skips: &'a [u8],
    entries: &'a [u8],
    /// Where postings that stand elsewhere do.
    shared: &'a [u8],
    pub(super) group_count: usize,
    value_count: usize,
}

/// One value of a label, with the bytes of its postings.
pub(super) struct ValueEntry<'a> {
    pub(super) symbol: u32,
    pub(super) postings: &'a [u8],
}

impl<'a> Values<'a> {
    fn skip(&self, group: usize) -> (u32, usize) {
        let word =
            |at: usize| u32::from_le_bytes(self.skips[at..at + 4].try_into().expect("four bytes"));
        (word(group * 8), word(group * 8 + 4) as usize)
    }

    /// The group that holds the symbol, or the first one behind it.
    pub(super) fn group_from(&self, symbol: u32) -> usize {
        let (mut low, mut high) = (0, self.group_count);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.skip(middle).0 <= symbol { low = middle + 1 } else { high = middle }
        }
        low.saturating_sub(1)
    }

    /// The values of a group, in order.
    pub(super) fn group(
        &self,
        group: usize,
    ) -> Result<impl Iterator<Item = Result<ValueEntry<'a>, IndexError>>, IndexError> {
        let (mut symbol, offset) = self.skip(group);
        let bytes = self.entries.get(offset..);
        let bytes = bytes.ok_or(IndexError::at("a group of values lies outside its label"))?;
        let mut cursor = Cursor::new(bytes);
        let len = VALUE_GROUP_LEN.min(self.value_count - group * VALUE_GROUP_LEN);
        let shared = self.shared;
        Ok((0..len).map(move |_| {
            let distance = cursor.varint_u32()?;
            symbol = symbol
                .checked_add(distance)
                .ok_or(IndexError::at("a symbol lies outside the table"))?;
            let header = cursor.count(shared.len() * 2 + 1)?;
            let len = header / 2;
            let postings = if header & 1 == 0 {
                cursor.take(len)?
            } else {
                let start = cursor.count(shared.len())?;
                let postings = shared.get(start..start + len);
                postings.ok_or(IndexError::at("shared postings lie outside the index"))?
            };
            Ok(ValueEntry { symbol, postings })
        }))
    }

    /// The postings of a value.
    pub(super) fn find(&self, symbol: u32) -> Result<Option<&'a [u8]>, IndexError> {
        if self.group_count == 0 {
            return Ok(None);
        }
        for candidate in self.group(self.group_from(symbol))? {
            let candidate = candidate?;
            if candidate.symbol >= symbol {
                return Ok((candidate.symbol == symbol).then_some(candidate.postings));
            }
        }
        Ok(None)
    }
}
