//! The index of a block: bytes that are read in place.
//!
//! ```text
//! varint   number of symbols, series, label names, shapes (sets of label names)
//! varint   bytes of each section that follows: symbols, shapes, series, names
//! symbols  all names and values, sorted (symbols.rs)
//! shapes   varint number of names, varint symbol of each
//! series   4 bytes LE offset of each group of 32 series, from the end of this list; in a group each series:
//!          varint shape * 2 + follows the one before in its shape; then, unless it follows, the symbol of each
//!          value; else a varint of bits that tell which values differ, and the symbols of those
//! names    varint symbol, number of values, bytes of its values; behind all of these the values of each name:
//!          for each group of 64 values 4 bytes LE symbol of the first and 4 bytes LE offset from the end of this
//!          list; then for each value varint symbol (distance from the one before in its group), varint bytes of
//!          its postings, postings (postings.rs)
//! ```
//!
//! Series stand sorted by their labels. The bytes' checksum was verified before they come here.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use swell_chunk::{Cursor, DecodeError, put_varint};
use swell_model::Labels;

use crate::postings;
use crate::select::LabelIndex;
use crate::symbols::{self, SymbolReader};

const SERIES_GROUP_LEN: usize = 32;
const VALUE_GROUP_LEN: usize = 64;
/// Value positions that the difference bits of a series can name.
const DIFF_MAX: usize = 63;

/// An index that is not what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the label index is damaged: {what}")]
pub struct IndexError {
    /// What is wrong.
    pub what: &'static str,
}

impl IndexError {
    pub(crate) const fn at(what: &'static str) -> Self {
        Self { what }
    }
}

impl From<DecodeError> for IndexError {
    fn from(error: DecodeError) -> Self {
        Self { what: error.what }
    }
}

/// Writes the index of series that are sorted by their labels, each once.
///
/// # Panics
/// When the order is broken, or with 2^32 series.
pub fn write_index(series: &[Labels], out: &mut Vec<u8>) {
    assert!(series.is_sorted_by(|a, b| a < b), "series are sorted, each once");
    let mut texts: BTreeSet<&str> = BTreeSet::new();
    let mut names: BTreeMap<&str, BTreeMap<&str, Vec<u32>>> = BTreeMap::new();
    for (idx, labels) in series.iter().enumerate() {
        let idx = u32::try_from(idx).expect("below 2^32 series");
        for (name, value) in labels.iter() {
            texts.extend([name, value]);
            names.entry(name).or_default().entry(value).or_default().push(idx);
        }
    }
    let texts: Vec<&str> = texts.into_iter().collect();
    let symbol_of: HashMap<&str, u32> = texts
        .iter()
        .enumerate()
        .map(|(symbol, text)| (*text, u32::try_from(symbol).expect("below 2^32 symbols")))
        .collect();
    let mut symbol_bytes = Vec::new();
    symbols::write(&texts, &mut symbol_bytes);
    let (shape_count, shape_bytes, series_bytes) = write_series(series, &symbol_of);
    let name_bytes = write_names(&names, &symbol_of);
    for count in [texts.len(), series.len(), names.len(), shape_count] {
        put_varint(out, count as u64);
    }
    let sections = [symbol_bytes, shape_bytes, series_bytes, name_bytes];
    sections.iter().for_each(|section| put_varint(out, section.len() as u64));
    sections.iter().for_each(|section| out.extend_from_slice(section));
}

fn write_series(series: &[Labels], symbol_of: &HashMap<&str, u32>) -> (usize, Vec<u8>, Vec<u8>) {
    let mut shapes: HashMap<Vec<u32>, usize> = HashMap::new();
    let mut shape_bytes = Vec::new();
    let mut offsets = Vec::new();
    let mut bytes = Vec::new();
    for group in series.chunks(SERIES_GROUP_LEN) {
        offsets.push(u32::try_from(bytes.len()).expect("series below 4 GiB"));
        let mut last: Option<(usize, Vec<u32>)> = None;
        for labels in group {
            let names: Vec<u32> = labels.iter().map(|(name, _)| symbol_of[name]).collect();
            let values: Vec<u32> = labels.iter().map(|(_, value)| symbol_of[value]).collect();
            let next_shape = shapes.len();
            let shape = *shapes.entry(names).or_insert_with_key(|names| {
                put_varint(&mut shape_bytes, names.len() as u64);
                names.iter().for_each(|name| put_varint(&mut shape_bytes, u64::from(*name)));
                next_shape
            });
            match &last {
                Some((last_shape, last_values))
                    if *last_shape == shape && values.len() <= DIFF_MAX =>
                {
                    put_varint(&mut bytes, shape as u64 * 2 + 1);
                    let differ = |idx: &usize| values[*idx] != last_values[*idx];
                    let bits =
                        (0..values.len()).filter(differ).fold(0, |bits, idx| bits | 1u64 << idx);
                    put_varint(&mut bytes, bits);
                    (0..values.len())
                        .filter(differ)
                        .for_each(|idx| put_varint(&mut bytes, u64::from(values[idx])));
                }
                _ => {
                    put_varint(&mut bytes, shape as u64 * 2);
                    values.iter().for_each(|value| put_varint(&mut bytes, u64::from(*value)));
                }
            }
            last = Some((shape, values));
        }
    }
    let mut out: Vec<u8> = offsets.iter().flat_map(|offset| offset.to_le_bytes()).collect();
    out.append(&mut bytes);
    (shapes.len(), shape_bytes, out)
}

fn write_names(
    names: &BTreeMap<&str, BTreeMap<&str, Vec<u32>>>,
    symbol_of: &HashMap<&str, u32>,
) -> Vec<u8> {
    let mut directory = Vec::new();
    let mut all_values = Vec::new();
    for (name, values) in names {
        let values: Vec<(&str, &Vec<u32>)> = values.iter().map(|(v, p)| (*v, p)).collect();
        let mut skips = Vec::new();
        let mut entries = Vec::new();
        let mut list = Vec::new();
        for group in values.chunks(VALUE_GROUP_LEN) {
            let mut last = symbol_of[group[0].0];
            skips.extend_from_slice(&last.to_le_bytes());
            let offset = u32::try_from(entries.len()).expect("values below 4 GiB");
            skips.extend_from_slice(&offset.to_le_bytes());
            for (value, members) in group {
                let symbol = symbol_of[value];
                put_varint(&mut entries, u64::from(symbol - last));
                list.clear();
                postings::write(members, &mut list);
                put_varint(&mut entries, list.len() as u64);
                entries.extend_from_slice(&list);
                last = symbol;
            }
        }
        put_varint(&mut directory, u64::from(symbol_of[name]));
        put_varint(&mut directory, values.len() as u64);
        put_varint(&mut directory, (skips.len() + entries.len()) as u64);
        all_values.append(&mut skips);
        all_values.append(&mut entries);
    }
    directory.append(&mut all_values);
    directory
}

/// An index over bytes.
#[derive(Clone, Debug)]
pub struct SliceIndex<B> {
    bytes: B,
    symbol_count: u32,
    series_count: u32,
    symbols: (usize, usize),
    series: (usize, usize),
    /// Symbols of the names in each shape.
    shapes: Vec<Box<[u32]>>,
    names: Vec<NameEntry>,
}

#[derive(Clone, Debug)]
struct NameEntry {
    name: String,
    value_count: usize,
    values: (usize, usize),
}

/// One value of a label, with the bytes of its postings.
struct ValueEntry<'a> {
    symbol: u32,
    postings: &'a [u8],
}

impl<B: AsRef<[u8]>> SliceIndex<B> {
    /// Reads the directory of an index.
    ///
    /// # Errors
    /// [`IndexError`] when the bytes are no index.
    pub fn new(bytes: B) -> Result<Self, IndexError> {
        let all = bytes.as_ref();
        let mut cursor = Cursor::new(all);
        let symbol_count = cursor.varint_u32()?;
        let series_count = cursor.varint_u32()?;
        // Each name and each shape takes at least a byte.
        let name_count = cursor.count(all.len())?;
        let shape_count = cursor.count(all.len())?;
        let mut section_lens = [0; 4];
        for len in &mut section_lens {
            *len = cursor.count(all.len())?;
        }
        let mut start = cursor.offset();
        let mut sections = [(0, 0); 4];
        for (section, len) in sections.iter_mut().zip(section_lens) {
            *section = (start, start + len);
            start += len;
        }
        if start != all.len() {
            return Err(IndexError::at("the sections do not fill the index"));
        }
        let [symbols, shape_section, series, name_section] = sections;
        let shapes = read_shapes(&all[shape_section.0..shape_section.1], shape_count)?;
        if (series.1 - series.0) < (series_count as usize).div_ceil(SERIES_GROUP_LEN) * 4 {
            return Err(IndexError::at("the series section ends early"));
        }
        let mut reader = SymbolReader::new(&all[symbols.0..symbols.1], symbol_count)?;
        let names = read_names(all, name_section, name_count, &mut reader)?;
        Ok(Self { symbol_count, series_count, symbols, series, shapes, names, bytes })
    }

    /// Number of series.
    #[must_use]
    pub const fn series_count(&self) -> u32 {
        self.series_count
    }

    /// Label names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|entry| entry.name.as_str())
    }

    /// Values of a label, sorted; none when no series has it.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn values(&self, name: &str) -> Result<Vec<String>, IndexError> {
        let mut out = Vec::new();
        self.visit_values(name, "", &mut |value, _| {
            out.push(value.to_owned());
            Ok(())
        })?;
        Ok(out)
    }

    /// Labels of series, in the order of the indices asked for; fast when these rise.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn labels(&self, indices: &[u32]) -> Result<Vec<Labels>, IndexError> {
        let mut symbols = self.symbol_reader()?;
        let mut texts: HashMap<u32, Box<str>> = HashMap::new();
        let mut out = Vec::with_capacity(indices.len());
        let mut position: Option<SeriesPosition<'_>> = None;
        for idx in indices {
            if *idx >= self.series_count {
                return Err(IndexError::at("a series lies outside the block"));
            }
            let group = *idx as usize / SERIES_GROUP_LEN;
            let mut at = match position.take() {
                Some(at) if at.group == group && at.next <= *idx => at,
                _ => self.series_group(group)?,
            };
            while at.next <= *idx {
                self.read_series(&mut at)?;
            }
            let names = &self.shapes[at.shape];
            for symbol in names.iter().chain(&at.values) {
                if !texts.contains_key(symbol) {
                    texts.insert(*symbol, symbols.text(*symbol)?.into());
                }
            }
            let pairs: Vec<(&str, &str)> =
                names.iter().zip(&at.values).map(|(n, v)| (&*texts[n], &*texts[v])).collect();
            let sound =
                pairs.is_sorted_by(|a, b| a.0 < b.0) && pairs.iter().all(|p| !p.1.is_empty());
            if !sound {
                return Err(IndexError::at("the labels of a series are out of order"));
            }
            out.push(Labels::from_sorted(pairs));
            position = Some(at);
        }
        Ok(out)
    }

    fn series_group(&self, group: usize) -> Result<SeriesPosition<'_>, IndexError> {
        let bytes = &self.bytes.as_ref()[self.series.0..self.series.1];
        let offset = &bytes[group * 4..group * 4 + 4];
        let offset = u32::from_le_bytes(offset.try_into().expect("four bytes")) as usize;
        let group_count = (self.series_count as usize).div_ceil(SERIES_GROUP_LEN);
        let entries = bytes[group_count * 4..].get(offset..);
        let entries = entries.ok_or(IndexError::at("a series group lies outside its section"))?;
        let first = u32::try_from(group * SERIES_GROUP_LEN).expect("below the series count");
        Ok(SeriesPosition {
            group,
            next: first,
            cursor: Cursor::new(entries),
            shape: usize::MAX,
            values: Vec::new(),
        })
    }

    fn read_series(&self, at: &mut SeriesPosition<'_>) -> Result<(), IndexError> {
        let header = at.cursor.varint()?;
        let shape = usize::try_from(header / 2).ok().filter(|shape| *shape < self.shapes.len());
        let shape = shape.ok_or(IndexError::at("a series has an unknown shape"))?;
        let len = self.shapes[shape].len();
        if header & 1 == 0 {
            at.values.clear();
            for _ in 0..len {
                at.values.push(at.cursor.varint_u32()?);
            }
        } else {
            let bits = at.cursor.varint()?;
            if shape != at.shape || (len < 64 && bits >> len != 0) {
                return Err(IndexError::at("a series differs from none before it"));
            }
            for (idx, value) in at.values.iter_mut().enumerate().take(64) {
                if bits >> idx & 1 == 1 {
                    *value = at.cursor.varint_u32()?;
                }
            }
        }
        at.shape = shape;
        at.next += 1;
        Ok(())
    }

    fn symbol_reader(&self) -> Result<SymbolReader<'_>, IndexError> {
        SymbolReader::new(&self.bytes.as_ref()[self.symbols.0..self.symbols.1], self.symbol_count)
    }

    fn entry(&self, name: &str) -> Option<&NameEntry> {
        let idx = self.names.binary_search_by(|entry| entry.name.as_str().cmp(name)).ok()?;
        Some(&self.names[idx])
    }

    /// Calls `visit` for each value of the label that starts with `prefix`, in order.
    fn visit_values(
        &self,
        name: &str,
        prefix: &str,
        visit: &mut VisitValue<'_>,
    ) -> Result<(), IndexError> {
        let Some(entry) = self.entry(name) else { return Ok(()) };
        let mut symbols = self.symbol_reader()?;
        let from = if prefix.is_empty() { 0 } else { symbols.lower_bound(prefix)? };
        let values = Values::new(self.bytes.as_ref(), entry);
        for group in values.group_from(from)..values.group_count {
            for value in values.group(group)? {
                let value = value?;
                if value.symbol < from {
                    continue;
                }
                let text = symbols.text(value.symbol)?;
                if !text.starts_with(prefix) {
                    return Ok(());
                }
                visit(text, value.postings)?;
            }
        }
        Ok(())
    }
}

/// Takes a value and the bytes of its postings.
type VisitValue<'v> = dyn FnMut(&str, &[u8]) -> Result<(), IndexError> + 'v;

struct SeriesPosition<'a> {
    group: usize,
    /// Series that the cursor stands before.
    next: u32,
    cursor: Cursor<'a>,
    shape: usize,
    values: Vec<u32>,
}

/// The values of one label.
struct Values<'a> {
    skips: &'a [u8],
    entries: &'a [u8],
    group_count: usize,
    value_count: usize,
}

impl<'a> Values<'a> {
    fn new(all: &'a [u8], entry: &NameEntry) -> Self {
        let group_count = entry.value_count.div_ceil(VALUE_GROUP_LEN);
        let (skips, entries) = all[entry.values.0..entry.values.1].split_at(group_count * 8);
        Self { skips, entries, group_count, value_count: entry.value_count }
    }

    fn skip(&self, group: usize) -> (u32, usize) {
        let word =
            |at: usize| u32::from_le_bytes(self.skips[at..at + 4].try_into().expect("four bytes"));
        (word(group * 8), word(group * 8 + 4) as usize)
    }

    /// The group that holds the symbol, or the first one behind it.
    fn group_from(&self, symbol: u32) -> usize {
        let (mut low, mut high) = (0, self.group_count);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.skip(middle).0 <= symbol { low = middle + 1 } else { high = middle }
        }
        low.saturating_sub(1)
    }

    fn group(
        &self,
        group: usize,
    ) -> Result<impl Iterator<Item = Result<ValueEntry<'a>, IndexError>>, IndexError> {
        let (mut symbol, offset) = self.skip(group);
        let bytes = self.entries.get(offset..);
        let bytes = bytes.ok_or(IndexError::at("a group of values lies outside its label"))?;
        let mut cursor = Cursor::new(bytes);
        let len = VALUE_GROUP_LEN.min(self.value_count - group * VALUE_GROUP_LEN);
        Ok((0..len).map(move |_| {
            let distance = cursor.varint_u32()?;
            symbol = symbol
                .checked_add(distance)
                .ok_or(IndexError::at("a symbol lies outside the table"))?;
            let postings_len = cursor.count(cursor.remaining())?;
            Ok(ValueEntry { symbol, postings: cursor.take(postings_len)? })
        }))
    }
}

fn read_shapes(bytes: &[u8], count: usize) -> Result<Vec<Box<[u32]>>, IndexError> {
    let mut cursor = Cursor::new(bytes);
    let mut shapes = Vec::new();
    for _ in 0..count {
        let len = cursor.count(cursor.remaining())?;
        let names: Result<Box<[u32]>, DecodeError> =
            (0..len).map(|_| cursor.varint_u32()).collect();
        shapes.push(names?);
    }
    cursor.finish()?;
    Ok(shapes)
}

fn read_names(
    all: &[u8],
    section: (usize, usize),
    count: usize,
    symbols: &mut SymbolReader<'_>,
) -> Result<Vec<NameEntry>, IndexError> {
    const OUTSIDE: IndexError = IndexError::at("the values of a label lie outside the index");
    let mut cursor = Cursor::new(&all[section.0..section.1]);
    let mut names: Vec<NameEntry> = Vec::new();
    let mut lens = Vec::new();
    for _ in 0..count {
        let symbol = cursor.varint_u32()?;
        let name = symbols.text(symbol)?.to_owned();
        let value_count = cursor.count(all.len())?;
        let len = cursor.count(all.len())?;
        if value_count.div_ceil(VALUE_GROUP_LEN) * 8 > len {
            return Err(OUTSIDE);
        }
        if names.last().is_some_and(|last| last.name >= name) {
            return Err(IndexError::at("label names are out of order"));
        }
        names.push(NameEntry { name, value_count, values: (0, 0) });
        lens.push(len);
    }
    let mut start = section.0 + cursor.offset();
    for (entry, len) in names.iter_mut().zip(lens) {
        entry.values = (start, start + len);
        start += len;
    }
    if start == section.1 { Ok(names) } else { Err(OUTSIDE) }
}

impl<B: AsRef<[u8]>> LabelIndex for SliceIndex<B> {
    type Error = IndexError;

    fn all(&self) -> Result<Vec<u32>, IndexError> {
        Ok((0..self.series_count).collect())
    }

    fn postings(&self, name: &str, value: &str) -> Result<Vec<u32>, IndexError> {
        let Some(entry) = self.entry(name) else { return Ok(Vec::new()) };
        let Some(symbol) = self.symbol_reader()?.find(value)? else { return Ok(Vec::new()) };
        let values = Values::new(self.bytes.as_ref(), entry);
        if values.group_count == 0 {
            return Ok(Vec::new());
        }
        for candidate in values.group(values.group_from(symbol))? {
            let candidate = candidate?;
            if candidate.symbol == symbol {
                return postings::read(&mut Cursor::new(candidate.postings), self.series_count);
            }
        }
        Ok(Vec::new())
    }

    fn postings_where(
        &self,
        name: &str,
        prefix: &str,
        keep: &mut dyn FnMut(&str) -> bool,
        out: &mut Vec<Vec<u32>>,
    ) -> Result<(), IndexError> {
        self.visit_values(name, prefix, &mut |value, list| {
            if keep(value) {
                out.push(postings::read(&mut Cursor::new(list), self.series_count)?);
            }
            Ok(())
        })
    }
}
