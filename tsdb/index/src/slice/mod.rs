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
//! names    varint symbol, number of values, bytes of its values, bytes of the postings of its series, these
//!          postings (postings.rs); behind all of these the values of each name: for each group of 64 values 4 bytes
//!          LE symbol of the first and 4 bytes LE offset from the end of this list; then for each value varint symbol
//!          (distance from the one before in its group), varint bytes of its postings * 2 + they stand elsewhere,
//!          postings, or varint where they stand from the end of the names
//! ```
//!
//! Series stand sorted by their labels. The bytes' checksum was verified before they come here. Labels that always
//! change together (a pod, its address) have equal postings, which stand once.

mod grouping;
mod names;
mod series;
mod write;

use rustc_hash::FxHashMap;
use swell_chunk::{Cursor, DecodeError};
use swell_model::Labels;

use crate::postings;
use crate::select::{Keep, LabelIndex};
use crate::sets::Union;
use crate::symbols::SymbolReader;
pub use grouping::{KnownTexts, SymbolHashes};
use names::{NameEntry, Names};
use series::SeriesSection;
pub use write::{IndexWriter, write_index};

const SERIES_GROUP_LEN: usize = 32;
const VALUE_GROUP_LEN: usize = 64;
/// Finding the value of one of a few series costs as much as looking at so many values' postings.
const SERIES_PER_VALUE: usize = 4;
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

/// An index over bytes.
#[derive(Clone, Debug)]
pub struct SliceIndex<B> {
    bytes: B,
    symbol_count: u32,
    symbols: (usize, usize),
    series: SeriesSection,
    names: Names,
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
        let [symbols, shapes, series, names] = sections;
        let shapes = series::read_shapes(&all[shapes.0..shapes.1], shape_count)?;
        let series = SeriesSection::new(series, series_count, shapes)?;
        let mut reader = SymbolReader::new(&all[symbols.0..symbols.1], symbol_count)?;
        let names = Names::read(all, names, name_count, &mut reader)?;
        Ok(Self { symbol_count, symbols, series, names, bytes })
    }

    /// Number of series.
    #[must_use]
    pub const fn series_count(&self) -> u32 {
        self.series.count
    }

    /// Label names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.entries.iter().map(|entry| entry.name.as_str())
    }

    /// Values of a label, sorted; none when no series has it.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn values(&self, name: &str) -> Result<Vec<String>, IndexError> {
        let mut out = Vec::with_capacity(self.value_count(name));
        self.visit_values(name, "", &mut |value, _| {
            out.push(value.to_owned());
            Ok(())
        })?;
        Ok(out)
    }

    /// Values of a label that are not known yet, sorted; they are from then on. Texts of those that are known are not read.
    /// `hashes` are of this index.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn new_values(
        &self,
        name: &str,
        hashes: &SymbolHashes,
        known: &mut KnownTexts,
    ) -> Result<Vec<String>, IndexError> {
        let Some(entry) = self.names.find(name) else { return Ok(Vec::new()) };
        let mut symbols = self.symbol_reader()?;
        let values = self.names.values(self.bytes.as_ref(), entry);
        let mut out = Vec::new();
        for group in 0..values.group_count {
            for value in values.group(group)? {
                let symbol = value?.symbol;
                if known.add(hashes.of(symbol)?) {
                    out.push(symbols.text(symbol)?.to_owned());
                }
            }
        }
        Ok(out)
    }

    /// Values of a label, sorted, each with its number of series, which is read off without reading the series.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn values_with_counts(&self, name: &str) -> Result<Vec<(String, usize)>, IndexError> {
        let mut out = Vec::with_capacity(self.value_count(name));
        self.visit_values(name, "", &mut |value, list| {
            out.push((value.to_owned(), postings::count(list)?));
            Ok(())
        })?;
        Ok(out)
    }

    /// Label names, sorted, each with its number of values and of series.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn names_with_counts(&self) -> Result<Vec<(&str, usize, usize)>, IndexError> {
        let all = self.bytes.as_ref();
        let counts = |entry: &NameEntry| postings::count(&all[entry.series.0..entry.series.1]);
        self.names
            .entries
            .iter()
            .map(|entry| Ok((entry.name.as_str(), entry.value_count, counts(entry)?)))
            .collect()
    }

    /// Values that series have for a label, sorted; the series are sorted.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn values_of(&self, series: &[u32], name: &str) -> Result<Vec<String>, IndexError> {
        let mut out = Vec::new();
        if series.len() * SERIES_PER_VALUE < self.value_count(name) {
            let mut symbols = Vec::new();
            self.visit_symbols(series, name, &mut |_, symbol| {
                symbols.extend(symbol);
                Ok(())
            })?;
            symbols.sort_unstable();
            symbols.dedup();
            let mut texts = self.symbol_reader()?;
            for symbol in symbols {
                out.push(texts.text(symbol)?.to_owned());
            }
            return Ok(out);
        }
        let mut wanted = vec![0u64; (self.series_count() as usize).div_ceil(64)];
        for idx in series {
            let word = wanted.get_mut(*idx as usize / 64);
            *word.ok_or(IndexError::at("a series lies outside the block"))? |= 1 << (idx % 64);
        }
        self.visit_values(name, "", &mut |value, list| {
            if postings::meets(list, self.series_count(), &wanted)? {
                out.push(value.to_owned());
            }
            Ok(())
        })?;
        Ok(out)
    }

    /// Names of the labels that series have, sorted.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn names_of(&self, series: &[u32]) -> Result<Vec<String>, IndexError> {
        let mut shapes = vec![false; self.series.shapes.len()];
        let mut position = None;
        for idx in series {
            let at = self.series.seek(self.bytes.as_ref(), &mut position, *idx)?;
            shapes[at.shape] = true;
        }
        let mut symbols: Vec<u32> = Vec::new();
        for (shape, _) in self.series.shapes.iter().zip(shapes).filter(|(_, is_used)| *is_used) {
            symbols.extend(shape);
        }
        symbols.sort_unstable();
        symbols.dedup();
        let mut texts = self.symbol_reader()?;
        symbols.into_iter().map(|symbol| Ok(texts.text(symbol)?.to_owned())).collect()
    }

    /// Labels of series, in the order of the indices asked for; fast when these rise.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn labels(&self, indices: &[u32]) -> Result<Vec<Labels>, IndexError> {
        let mut texts = Texts::new(self.symbol_reader()?);
        let mut out = Vec::with_capacity(indices.len());
        let mut position = None;
        for idx in indices {
            let at = self.series.seek(self.bytes.as_ref(), &mut position, *idx)?;
            let names = &self.series.shapes[at.shape];
            for symbol in names.iter().chain(&at.values) {
                texts.load(*symbol)?;
            }
            let pairs = names.iter().zip(&at.values).map(|(n, v)| (texts.get(*n), texts.get(*v)));
            let sound = pairs.clone().is_sorted_by(|a, b| a.0 < b.0)
                && pairs.clone().all(|p| !p.1.is_empty());
            if !sound {
                return Err(IndexError::at("the labels of a series are out of order"));
            }
            out.push(Labels::from_sorted(pairs));
        }
        Ok(out)
    }

    fn symbol_reader(&self) -> Result<SymbolReader<'_>, IndexError> {
        SymbolReader::new(&self.bytes.as_ref()[self.symbols.0..self.symbols.1], self.symbol_count)
    }

    /// Calls `visit` with each series and the symbol of its value of the label, if it has one.
    fn visit_symbols(
        &self,
        series: &[u32],
        name: &str,
        visit: &mut dyn FnMut(u32, Option<u32>) -> Result<(), IndexError>,
    ) -> Result<(), IndexError> {
        let name_symbol = self.names.find(name).map(|entry| entry.symbol);
        let mut position = None;
        let mut last = (usize::MAX, None);
        for idx in series {
            let at = self.series.seek(self.bytes.as_ref(), &mut position, *idx)?;
            if last.0 != at.shape {
                let shape = &self.series.shapes[at.shape];
                last = (at.shape, shape.iter().position(|symbol| Some(*symbol) == name_symbol));
            }
            visit(*idx, last.1.map(|place| at.values[place]))?;
        }
        Ok(())
    }

    /// Calls `visit` for each value of the label that starts with `prefix`, in order.
    fn visit_values(
        &self,
        name: &str,
        prefix: &str,
        visit: &mut VisitValue<'_>,
    ) -> Result<(), IndexError> {
        let Some(entry) = self.names.find(name) else { return Ok(()) };
        let mut symbols = self.symbol_reader()?;
        let from = if prefix.is_empty() { 0 } else { symbols.lower_bound(prefix)? };
        let values = self.names.values(self.bytes.as_ref(), entry);
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

    /// The bytes of the postings of a pair; `None` when there is no such pair.
    fn postings_of(&self, name: &str, value: &str) -> Result<Option<&[u8]>, IndexError> {
        let Some(entry) = self.names.find(name) else { return Ok(None) };
        let Some(symbol) = self.symbol_reader()?.find(value)? else { return Ok(None) };
        self.names.values(self.bytes.as_ref(), entry).find(symbol)
    }
}

/// Takes a value and the bytes of its postings.
type VisitValue<'v> = dyn FnMut(&str, &[u8]) -> Result<(), IndexError> + 'v;

/// Texts of symbols, each read once.
struct Texts<'a> {
    reader: SymbolReader<'a>,
    by_symbol: FxHashMap<u32, Box<str>>,
}

impl<'a> Texts<'a> {
    fn new(reader: SymbolReader<'a>) -> Self {
        Self { reader, by_symbol: FxHashMap::default() }
    }

    fn load(&mut self, symbol: u32) -> Result<(), IndexError> {
        if !self.by_symbol.contains_key(&symbol) {
            let text = self.reader.text(symbol)?.into();
            self.by_symbol.insert(symbol, text);
        }
        Ok(())
    }

    fn get(&self, symbol: u32) -> &str {
        self.by_symbol.get(&symbol).map(AsRef::as_ref).unwrap_or_default()
    }
}

impl<B: AsRef<[u8]>> LabelIndex for SliceIndex<B> {
    type Error = IndexError;

    fn all(&self) -> Result<Vec<u32>, IndexError> {
        Ok((0..self.series_count()).collect())
    }

    fn bound(&self) -> u32 {
        self.series_count()
    }

    fn value_count(&self, name: &str) -> usize {
        self.names.find(name).map_or(0, |entry| entry.value_count)
    }

    fn posting_count(&self, name: &str, value: &str) -> Result<usize, IndexError> {
        self.postings_of(name, value)?.map_or(Ok(0), postings::count)
    }

    fn postings(&self, name: &str, value: &str) -> Result<Vec<u32>, IndexError> {
        match self.postings_of(name, value)? {
            Some(list) => postings::read(&mut Cursor::new(list), self.series_count()),
            None => Ok(Vec::new()),
        }
    }

    fn with_label(&self, name: &str) -> Result<Vec<u32>, IndexError> {
        let Some(entry) = self.names.find(name) else { return Ok(Vec::new()) };
        let list = &self.bytes.as_ref()[entry.series.0..entry.series.1];
        postings::read(&mut Cursor::new(list), self.series_count())
    }

    fn postings_where(
        &self,
        name: &str,
        prefix: &str,
        keep: &mut Keep<'_>,
        out: &mut Union,
    ) -> Result<(), IndexError> {
        self.visit_values(name, prefix, &mut |value, list| {
            if keep(value) {
                out.extend(postings::read(&mut Cursor::new(list), self.series_count())?);
            }
            Ok(())
        })
    }

    fn retain(
        &self,
        series: &mut Vec<u32>,
        name: &str,
        keep: &mut Keep<'_>,
    ) -> Result<(), IndexError> {
        let mut texts = self.symbol_reader()?;
        let mut known: FxHashMap<Option<u32>, bool> = FxHashMap::default();
        let mut kept = Vec::with_capacity(series.len());
        self.visit_symbols(series, name, &mut |idx, symbol| {
            let passes = match known.get(&symbol) {
                Some(passes) => *passes,
                None => {
                    let value = symbol.map_or(Ok(""), |symbol| texts.text(symbol))?;
                    let passes = keep(value);
                    known.insert(symbol, passes);
                    passes
                }
            };
            if passes {
                kept.push(idx);
            }
            Ok(())
        })?;
        *series = kept;
        Ok(())
    }
}
