//! Writes an index. Series come one by one and need not be kept: most labels of a series are those of the one before,
//! at the same place, and what is new is looked up once and is a number from then on.

use std::collections::HashMap;

use hashbrown::HashTable;
use swell_chunk::put_varint;
use swell_model::Labels;

use super::{DIFF_MAX, SERIES_GROUP_LEN, VALUE_GROUP_LEN};
use crate::keyed::PairHasher;
use crate::{postings, symbols};

/// Writes the index of series that are sorted by their labels, each once.
///
/// # Panics
/// When the order is broken, or with 2^32 series.
pub fn write_index(series: &[Labels], out: &mut Vec<u8>) {
    let mut writer = IndexWriter::default();
    series.iter().for_each(|labels| writer.push(labels));
    writer.finish(out);
}

/// Collects the series of an index. Takes four bytes for each label of a series, and the distinct texts.
#[derive(Debug, Default)]
pub struct IndexWriter {
    texts: Texts,
    /// Numbers of name and value of each distinct pair, in the order of arrival.
    pairs: Vec<(u32, u32)>,
    by_pair: HashTable<u32>,
    pair_hashes: Vec<u64>,
    hasher: PairHasher,
    /// Pairs of all series, one series behind the other.
    labels: Vec<u32>,
    /// Where the pairs of each series end.
    ends: Vec<usize>,
    last: Labels,
}

/// Distinct texts by number.
#[derive(Debug, Default)]
struct Texts {
    bytes: String,
    ends: Vec<usize>,
    by_text: HashTable<u32>,
    hashes: Vec<u64>,
}

impl Texts {
    fn get(&self, number: u32) -> &str {
        let number = number as usize;
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[number]]
    }

    fn number_of(&mut self, text: &str, hasher: &PairHasher) -> u32 {
        let hash = hasher.hash(text, "");
        if let Some(number) = self.by_text.find(hash, |number| self.get(*number) == text) {
            return *number;
        }
        let number = u32::try_from(self.ends.len()).expect("below 2^32 symbols");
        self.bytes.push_str(text);
        self.ends.push(self.bytes.len());
        self.hashes.push(hash);
        let hashes = &self.hashes;
        self.by_text.insert_unique(hash, number, |number| hashes[*number as usize]);
        number
    }

    /// Numbers of the texts in their order, and by number the place there: its symbol.
    fn sorted(&self) -> (Vec<&str>, Vec<u32>) {
        let mut texts: Vec<(&str, u32)> =
            (0..).zip(&self.ends).map(|(number, _)| (self.get(number), number)).collect();
        texts.sort_unstable();
        let mut symbol_of = vec![0; texts.len()];
        for (symbol, (_, number)) in (0..).zip(&texts) {
            symbol_of[*number as usize] = symbol;
        }
        (texts.into_iter().map(|(text, _)| text).collect(), symbol_of)
    }
}

impl IndexWriter {
    /// Adds a series, whose labels are greater than those before.
    ///
    /// # Panics
    /// When the order is broken, or with 2^32 series.
    pub fn push(&mut self, labels: &Labels) {
        assert!(self.ends.is_empty() || self.last < *labels, "series are sorted, each once");
        let before = self.last_pairs();
        let last = std::mem::replace(&mut self.last, labels.clone());
        let mut of_last = last.iter().zip(before);
        for (name, value) in labels.iter() {
            let same = of_last.next().filter(|(pair, _)| *pair == (name, value));
            let number = match same {
                Some((_, place)) => self.labels[place],
                None => self.number_of(name, value),
            };
            self.labels.push(number);
        }
        self.ends.push(self.labels.len());
        u32::try_from(self.ends.len()).expect("below 2^32 series");
    }

    /// Number of series.
    #[must_use]
    pub const fn series_count(&self) -> usize {
        self.ends.len()
    }

    fn last_pairs(&self) -> std::ops::Range<usize> {
        let before = self.ends.len().checked_sub(2).map_or(0, |before| self.ends[before]);
        before..self.labels.len()
    }

    fn number_of(&mut self, name: &str, value: &str) -> u32 {
        let hash = self.hasher.hash(name, value);
        let is_same = |number: &u32| {
            let (known_name, known_value) = self.pairs[*number as usize];
            self.texts.get(known_value) == value && self.texts.get(known_name) == name
        };
        if let Some(number) = self.by_pair.find(hash, is_same) {
            return *number;
        }
        let number = u32::try_from(self.pairs.len()).expect("below 2^32 pairs");
        let name = self.texts.number_of(name, &self.hasher);
        self.pairs.push((name, self.texts.number_of(value, &self.hasher)));
        self.pair_hashes.push(hash);
        let hashes = &self.pair_hashes;
        self.by_pair.insert_unique(hash, number, |number| hashes[*number as usize]);
        number
    }

    /// Appends the index.
    pub fn finish(self, out: &mut Vec<u8>) {
        let Self { texts, pairs, labels, ends, .. } = self;
        let (sorted, symbol_of) = texts.sorted();
        let mut symbol_bytes = Vec::new();
        symbols::write(&sorted, &mut symbol_bytes);
        let symbols = |(name, value): (u32, u32)| Pair {
            name: symbol_of[name as usize],
            value: symbol_of[value as usize],
        };
        let pairs: Vec<Pair> = pairs.into_iter().map(symbols).collect();
        let series = SeriesPairs { pairs: &pairs, labels: &labels, ends: &ends };
        let (shape_count, shape_bytes, series_bytes) = write_series(&series);
        let (name_count, name_bytes) = write_names(&series);
        for count in [sorted.len(), ends.len(), name_count, shape_count] {
            put_varint(out, count as u64);
        }
        let sections = [symbol_bytes, shape_bytes, series_bytes, name_bytes];
        sections.iter().for_each(|section| put_varint(out, section.len() as u64));
        sections.iter().for_each(|section| out.extend_from_slice(section));
    }
}

/// Symbols of a label; the order of pairs is that of their texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Pair {
    name: u32,
    value: u32,
}

/// All series, as numbers of pairs.
struct SeriesPairs<'w> {
    pairs: &'w [Pair],
    labels: &'w [u32],
    ends: &'w [usize],
}

impl SeriesPairs<'_> {
    fn iter(&self) -> impl Iterator<Item = &[u32]> {
        let mut start = 0;
        self.ends.iter().map(move |end| &self.labels[std::mem::replace(&mut start, *end)..*end])
    }
}

fn write_series(series: &SeriesPairs<'_>) -> (usize, Vec<u8>, Vec<u8>) {
    let mut shapes: HashMap<Vec<u32>, usize> = HashMap::new();
    let mut shape_bytes = Vec::new();
    let mut offsets = Vec::new();
    let mut bytes = Vec::new();
    let (mut names, mut values): (Vec<u32>, Vec<u32>) = (Vec::new(), Vec::new());
    let (mut last_shape, mut last_names, mut last_values) = (0, Vec::new(), Vec::new());
    for (nr, labels) in series.iter().enumerate() {
        let is_first = nr % SERIES_GROUP_LEN == 0;
        if is_first {
            offsets.push(u32::try_from(bytes.len()).expect("series below 4 GiB"));
        }
        names.clear();
        values.clear();
        for pair in labels {
            let Pair { name, value } = series.pairs[*pair as usize];
            names.push(name);
            values.push(value);
        }
        let shape = if nr > 0 && names == last_names {
            last_shape
        } else {
            shape_of(&names, &mut shapes, &mut shape_bytes)
        };
        if !is_first && shape == last_shape && values.len() <= DIFF_MAX {
            put_varint(&mut bytes, shape as u64 * 2 + 1);
            let differ = |idx: &usize| values[*idx] != last_values[*idx];
            let bits = (0..values.len()).filter(differ).fold(0, |bits, idx| bits | 1u64 << idx);
            put_varint(&mut bytes, bits);
            (0..values.len())
                .filter(differ)
                .for_each(|idx| put_varint(&mut bytes, u64::from(values[idx])));
        } else {
            put_varint(&mut bytes, shape as u64 * 2);
            values.iter().for_each(|value| put_varint(&mut bytes, u64::from(*value)));
        }
        last_shape = shape;
        std::mem::swap(&mut last_names, &mut names);
        std::mem::swap(&mut last_values, &mut values);
    }
    let mut out: Vec<u8> = offsets.iter().flat_map(|offset| offset.to_le_bytes()).collect();
    out.append(&mut bytes);
    (shapes.len(), shape_bytes, out)
}

/// The number of a set of names, written down if it is new.
fn shape_of(names: &[u32], shapes: &mut HashMap<Vec<u32>, usize>, bytes: &mut Vec<u8>) -> usize {
    if let Some(shape) = shapes.get(names) {
        return *shape;
    }
    put_varint(bytes, names.len() as u64);
    names.iter().for_each(|name| put_varint(bytes, u64::from(*name)));
    shapes.insert(names.to_vec(), shapes.len());
    shapes.len() - 1
}

/// The members of each pair, rising: those of pair `n` end at `ends[n]`.
struct Postings {
    members: Vec<u32>,
    ends: Vec<usize>,
}

impl Postings {
    fn new(series: &SeriesPairs<'_>) -> Self {
        let mut ends = vec![0; series.pairs.len()];
        for pair in series.labels {
            ends[*pair as usize] += 1;
        }
        let mut start = 0;
        for end in &mut ends {
            start += std::mem::replace(end, start);
        }
        // Each end stands at its start now, and moves as members come.
        let mut members = vec![0; series.labels.len()];
        for (idx, labels) in (0u32..).zip(series.iter()) {
            for pair in labels {
                let end = &mut ends[*pair as usize];
                members[*end] = idx;
                *end += 1;
            }
        }
        Self { members, ends }
    }

    fn of(&self, pair: u32) -> &[u32] {
        let pair = pair as usize;
        let start = pair.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.members[start..self.ends[pair]]
    }
}

fn write_names(series: &SeriesPairs<'_>) -> (usize, Vec<u8>) {
    let postings = Postings::new(series);
    let mut order: Vec<u32> =
        (0..u32::try_from(series.pairs.len()).expect("below 2^32 pairs")).collect();
    order.sort_unstable_by_key(|pair| series.pairs[*pair as usize]);
    let mut directory = Vec::new();
    let mut values = ValueWriter::default();
    let mut with_name = vec![0u64; series.ends.len().div_ceil(64)];
    let name_of = |pair: u32| series.pairs[pair as usize].name;
    let mut name_count = 0;
    for of_name in order.chunk_by(|a, b| name_of(*a) == name_of(*b)) {
        name_count += 1;
        let start = values.bytes.len();
        let with_symbol = of_name.iter().map(|pair| {
            let members = postings.of(*pair);
            members.iter().for_each(|idx| with_name[*idx as usize / 64] |= 1 << (idx % 64));
            (series.pairs[*pair as usize].value, members)
        });
        values.write(&with_symbol.collect::<Vec<_>>());
        let mut list = Vec::new();
        postings::write(&taken(&mut with_name), &mut list);
        put_varint(&mut directory, u64::from(name_of(of_name[0])));
        put_varint(&mut directory, of_name.len() as u64);
        put_varint(&mut directory, (values.bytes.len() - start) as u64);
        put_varint(&mut directory, list.len() as u64);
        directory.append(&mut list);
    }
    directory.append(&mut values.bytes);
    (name_count, directory)
}

/// Positions of the bits that are set, which are cleared.
fn taken(bits: &mut [u64]) -> Vec<u32> {
    let mut out = Vec::new();
    for (start, word) in (0u32..).step_by(64).zip(bits) {
        let mut left = std::mem::take(word);
        while left != 0 {
            out.push(start + left.trailing_zeros());
            left &= left - 1;
        }
    }
    out
}

/// Shorter postings are repeated rather than referred to.
const SHARED_MIN_BYTES: usize = 5;

/// The values of all labels, one label behind the other.
#[derive(Default)]
struct ValueWriter {
    bytes: Vec<u8>,
    /// Where postings stand.
    known: HashMap<Vec<u8>, usize>,
}

impl ValueWriter {
    /// Writes the values of a label: symbol and members of each, in the order of the symbols.
    fn write(&mut self, values: &[(u32, &[u32])]) {
        let skips_start = self.bytes.len();
        let group_count = values.len().div_ceil(VALUE_GROUP_LEN);
        let entries_start = skips_start + group_count * 8;
        self.bytes.resize(entries_start, 0);
        let mut list = Vec::new();
        for (group_idx, group) in values.chunks(VALUE_GROUP_LEN).enumerate() {
            let mut last = group[0].0;
            let offset = u32::try_from(self.bytes.len() - entries_start);
            let offset = offset.expect("values of a label below 4 GiB");
            let skip = &mut self.bytes[skips_start + group_idx * 8..][..8];
            skip[..4].copy_from_slice(&last.to_le_bytes());
            skip[4..].copy_from_slice(&offset.to_le_bytes());
            for (symbol, members) in group {
                put_varint(&mut self.bytes, u64::from(symbol - last));
                last = *symbol;
                list.clear();
                postings::write(members, &mut list);
                if let Some(start) = self.known.get(&list) {
                    put_varint(&mut self.bytes, list.len() as u64 * 2 + 1);
                    put_varint(&mut self.bytes, *start as u64);
                    continue;
                }
                put_varint(&mut self.bytes, list.len() as u64 * 2);
                if list.len() >= SHARED_MIN_BYTES {
                    self.known.insert(list.clone(), self.bytes.len());
                }
                self.bytes.extend_from_slice(&list);
            }
        }
    }
}
