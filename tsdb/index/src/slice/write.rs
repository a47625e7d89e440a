//! Writes an index.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use swell_chunk::put_varint;
use swell_model::Labels;

use super::{DIFF_MAX, SERIES_GROUP_LEN, VALUE_GROUP_LEN};
use crate::{postings, symbols};

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
    let mut values = ValueWriter::default();
    for (name, postings_of) in names {
        let start = values.bytes.len();
        values.write(postings_of, symbol_of);
        let mut members: Vec<u32> = postings_of.values().flatten().copied().collect();
        members.sort_unstable();
        let mut list = Vec::new();
        postings::write(&members, &mut list);
        put_varint(&mut directory, u64::from(symbol_of[name]));
        put_varint(&mut directory, postings_of.len() as u64);
        put_varint(&mut directory, (values.bytes.len() - start) as u64);
        put_varint(&mut directory, list.len() as u64);
        directory.append(&mut list);
    }
    directory.append(&mut values.bytes);
    directory
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
    fn write(&mut self, postings_of: &BTreeMap<&str, Vec<u32>>, symbol_of: &HashMap<&str, u32>) {
        let values: Vec<(u32, &Vec<u32>)> =
            postings_of.iter().map(|(value, members)| (symbol_of[value], members)).collect();
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
