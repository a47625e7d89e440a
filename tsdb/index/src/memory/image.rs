//! The index in memory as bytes, so that it need not be made anew from labels: texts once each, in the order that
//! their tables have; series as what differs from the one before; postings as in a block.
//!
//! ```text
//! parts, of about a megabyte each
//!   byte 0  sizes: varint pairs, varint indices of series given out
//!   byte 1  pairs, sorted by name and value; until the part ends each:
//!             varint  bytes shared with the name before + 1 and text of the rest, for the first pair of a name; else 0
//!             varint  bytes shared with the value before, text of the rest
//!             zigzag  number, as difference from the one before
//!             postings
//!   byte 2  series, from index 0 on through all parts; until the part ends each:
//!             varint  0: the index is not in use
//!                     1: varint labels, then each zigzag number of the pair, as difference from the one before
//!                     else bits of the labels that differ from the series before, + 1; of these the same differences
//!                     to the same label of the series before
//!
//! text      varint length, bytes
//! postings  as in the index of a block
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashTable;
use swell_chunk::{Cursor, put_varint, put_zigzag};

use super::{MemoryIndex, Pair, Values, hash_of};
use crate::members::Members;
use crate::postings;
use crate::slice::IndexError;

/// A part is ended when it has this much.
const PART_BYTES: usize = 1 << 20;

const SIZES: u8 = 0;
const PAIRS: u8 = 1;
const SERIES: u8 = 2;

/// What can stand for a series: a bit for each label, and the two values below.
const UNUSED: u64 = 0;
const WHOLE: u64 = 1;
const DIFFERENT_LABELS_MAX: usize = 62;

/// Labels that a list of numbers can hold.
const LABELS_MAX: usize = 1 << 15;

impl MemoryIndex {
    /// Gives the index to `put` in parts, for [`ImageReader`].
    pub fn write_image(&self, put: &mut dyn FnMut(&[u8])) {
        let mut part = vec![SIZES];
        put_varint(&mut part, self.pair_count() as u64);
        put_varint(&mut part, self.series.len() as u64);
        put(&part);
        let numbers = self.dense_numbers();
        self.write_pairs(&numbers, put);
        self.write_series(&numbers, put);
    }

    /// By number of a pair, the one it has in the image: that of its rank among those in use.
    fn dense_numbers(&self) -> Vec<u32> {
        let mut next = 0;
        let number = |pair: &Pair| {
            let number = next;
            next += u32::from(!pair.value.is_empty());
            number
        };
        self.pairs.iter().map(number).collect()
    }

    fn write_pairs(&self, numbers: &[u32], put: &mut dyn FnMut(&[u8])) {
        let mut part = vec![PAIRS];
        let (mut last_name, mut last_number) = ("", 0);
        let mut members = Vec::new();
        for (name, values) in &self.names {
            let mut last_value = "";
            for (nr, (value, number)) in values.by_value.iter().enumerate() {
                if nr == 0 {
                    put_after(last_name, name, 1, &mut part);
                    last_name = name;
                } else {
                    put_varint(&mut part, 0);
                }
                put_after(last_value, value, 0, &mut part);
                last_value = value;
                let dense = i64::from(numbers[*number as usize]);
                put_zigzag(&mut part, dense - last_number);
                last_number = dense;
                members.clear();
                members.extend(self.members_of(*number).iter());
                postings::write(&members, &mut part);
                if part.len() >= PART_BYTES {
                    put(&part);
                    part.truncate(1);
                }
            }
        }
        if part.len() > 1 {
            put(&part);
        }
    }

    fn write_series(&self, numbers: &[u32], put: &mut dyn FnMut(&[u8])) {
        let mut part = vec![SERIES];
        let (mut before, mut of_series): (Vec<u32>, Vec<u32>) = (Vec::new(), Vec::new());
        for list in &self.series {
            match list {
                None => put_varint(&mut part, UNUSED),
                Some(list) => {
                    of_series.clear();
                    let list = self.lists.get(*list);
                    of_series.extend(list.iter().map(|number| numbers[*number as usize]));
                    put_numbers(&of_series, &before, &mut part);
                    std::mem::swap(&mut of_series, &mut before);
                }
            }
            if part.len() >= PART_BYTES {
                put(&part);
                part.truncate(1);
            }
        }
        if part.len() > 1 {
            put(&part);
        }
    }
}

fn put_after(before: &str, text: &str, more: u64, out: &mut Vec<u8>) {
    let same = before.bytes().zip(text.bytes()).take_while(|(a, b)| a == b).count();
    put_varint(out, same as u64 + more);
    put_varint(out, (text.len() - same) as u64);
    out.extend_from_slice(&text.as_bytes()[same..]);
}

fn put_numbers(numbers: &[u32], before: &[u32], out: &mut Vec<u8>) {
    let differs = |nr: usize| numbers[nr] != before[nr];
    let mask = (numbers.len() == before.len() && numbers.len() <= DIFFERENT_LABELS_MAX)
        .then(|| {
            (0..numbers.len()).filter(|nr| differs(*nr)).fold(0, |mask, nr| mask | 1_u64 << nr)
        })
        .filter(|mask| *mask != 0);
    if let Some(mask) = mask {
        put_varint(out, mask + 1);
        for nr in (0..numbers.len()).filter(|nr| differs(*nr)) {
            put_zigzag(out, i64::from(numbers[nr]) - i64::from(before[nr]));
        }
        return;
    }
    put_varint(out, WHOLE);
    put_varint(out, numbers.len() as u64);
    let mut last = 0;
    for number in numbers {
        put_zigzag(out, i64::from(*number) - last);
        last = i64::from(*number);
    }
}

/// Makes an index of the parts that [`MemoryIndex::write_image`] gave, in their order.
#[derive(Debug)]
pub struct ImageReader {
    index: MemoryIndex,
    /// Bytes of all parts, or more: nothing is counted that has not at least a byte.
    bytes_max: usize,
    sizes: Option<(u32, u32)>,
    /// Bytes of the name, and of the value, at hand.
    name: Vec<u8>,
    value: Vec<u8>,
    /// The values of the name at hand, sorted.
    values: Vec<(Arc<str>, u32)>,
    names: Vec<(Arc<str>, Values)>,
    last_number: i64,
    pair_count: usize,
    numbers: Vec<u32>,
}

impl ImageReader {
    /// A reader of parts that have `bytes_max` bytes together at most, which bounds the memory that damaged ones ask
    /// for.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self {
            index: MemoryIndex::default(),
            bytes_max,
            sizes: None,
            name: Vec::new(),
            value: Vec::new(),
            values: Vec::new(),
            names: Vec::new(),
            last_number: 0,
            pair_count: 0,
            numbers: Vec::new(),
        }
    }

    /// Takes a part.
    ///
    /// # Errors
    /// [`IndexError`] when it is none, or does not follow the ones before.
    pub fn take(&mut self, part: &[u8]) -> Result<(), IndexError> {
        let mut cursor = Cursor::new(part);
        match (cursor.u8()?, self.sizes) {
            (SIZES, None) => self.sizes(&mut cursor),
            (PAIRS, Some(sizes)) if self.index.series.is_empty() => self.pairs(&mut cursor, sizes),
            (SERIES, Some(sizes)) => self.series(&mut cursor, sizes),
            _ => Err(IndexError::at("a part of the index is out of place")),
        }
    }

    fn sizes(&mut self, cursor: &mut Cursor<'_>) -> Result<(), IndexError> {
        let mut size = || cursor.count(self.bytes_max).map(u32::try_from);
        let (Ok(pair_count), Ok(series_count)) = (size()?, size()?) else {
            return Err(IndexError::at("there are more series than can be counted"));
        };
        cursor.finish()?;
        let index = &mut self.index;
        index.pairs.resize_with(pair_count as usize, unused_pair);
        index.pair_names = vec![0; pair_count as usize];
        index.pair_hashes = vec![0; pair_count as usize];
        index.by_pair = HashTable::with_capacity(pair_count as usize);
        index.series.reserve_exact(series_count as usize);
        index.by_labels = HashTable::with_capacity(series_count as usize);
        self.sizes = Some((pair_count, series_count));
        Ok(())
    }

    fn pairs(&mut self, cursor: &mut Cursor<'_>, sizes: (u32, u32)) -> Result<(), IndexError> {
        let (number_count, series_count) = sizes;
        while cursor.remaining() > 0 {
            let start = cursor.varint()?;
            if start > 0 {
                self.end_name();
                let before = std::mem::take(&mut self.name);
                self.name = read_after(&before, start - 1, cursor)?;
                if self.names.last().is_some_and(|(last, _)| last.as_bytes() >= &self.name[..]) {
                    return Err(IndexError::at("label names do not rise"));
                }
                let name = text(&self.name)?;
                let number = u32::try_from(self.names.len()).expect("fewer names than bytes");
                self.names.push((name, Values { number, by_value: BTreeMap::new() }));
                self.value.clear();
            }
            let Some((name, values)) = self.names.last() else {
                return Err(IndexError::at("a label has no name"));
            };
            let (name, name_number) = (Arc::clone(name), values.number);
            let same = cursor.varint()?;
            let value = read_after(&self.value, same, cursor)?;
            if value <= self.value {
                return Err(IndexError::at("label values do not rise"));
            }
            self.value = value;
            let value = text(&self.value)?;
            let number = self.last_number.wrapping_add(cursor.zigzag()?);
            self.last_number = number;
            let number = u32::try_from(number).ok().filter(|number| *number < number_count);
            let number = number.ok_or(IndexError::at("the number of a label is out of range"))?;
            let series = Members::read(cursor, series_count)?;
            let hash = self.index.hasher.hash(&name, &value);
            self.values.push((Arc::clone(&value), number));
            self.set_pair(number, Pair { name, value, series }, name_number, hash)?;
        }
        Ok(())
    }

    fn set_pair(
        &mut self,
        number: u32,
        pair: Pair,
        name_number: u32,
        hash: u64,
    ) -> Result<(), IndexError> {
        let index = &mut self.index;
        let place = number as usize;
        if !index.pairs[place].value.is_empty() {
            return Err(IndexError::at("two labels have one number"));
        }
        (index.pairs[place], index.pair_names[place]) = (pair, name_number);
        index.pair_hashes[place] = hash;
        let pair_hashes = &index.pair_hashes;
        index.by_pair.insert_unique(hash, number, |number| pair_hashes[*number as usize]);
        self.pair_count += 1;
        Ok(())
    }

    fn end_name(&mut self) {
        if let Some((_, values)) = self.names.last_mut() {
            values.by_value = self.values.drain(..).collect();
        }
    }

    fn series(&mut self, cursor: &mut Cursor<'_>, sizes: (u32, u32)) -> Result<(), IndexError> {
        let series_count = sizes.1 as usize;
        let index = &mut self.index;
        while cursor.remaining() > 0 {
            if index.series.len() == series_count {
                return Err(IndexError::at("there are more series than said"));
            }
            let idx = u32::try_from(index.series.len()).expect("below a u32");
            match cursor.varint()? {
                UNUSED => {
                    index.series.push(None);
                    index.unused.push(idx);
                    continue;
                }
                WHOLE => {
                    self.numbers.clear();
                    let len = cursor.count(cursor.remaining())?;
                    let mut last = 0;
                    for _ in 0..len {
                        let number = add(last, cursor.zigzag()?)?;
                        self.numbers.push(number);
                        last = number;
                    }
                }
                mask => {
                    let mut mask = mask - 1;
                    while mask != 0 {
                        let number = self.numbers.get_mut(mask.trailing_zeros() as usize);
                        let number = number.ok_or(IndexError::at("a label differs from none"))?;
                        *number = add(*number, cursor.zigzag()?)?;
                        mask &= mask - 1;
                    }
                }
            }
            check(&self.numbers, &index.pair_names)?;
            let hash = hash_of(&self.numbers, &index.pair_hashes);
            index.series.push(Some(index.lists.add(&self.numbers)));
            index.enter(idx, hash);
        }
        Ok(())
    }

    /// The index, when all parts were taken.
    ///
    /// # Errors
    /// [`IndexError`] when some are missing.
    pub fn finish(mut self) -> Result<MemoryIndex, IndexError> {
        self.end_name();
        let (pair_count, series_count) =
            self.sizes.ok_or(IndexError::at("the index has no sizes"))?;
        let mut index = self.index;
        if index.series.len() != series_count as usize || self.pair_count != pair_count as usize {
            return Err(IndexError::at("the index lacks labels or series"));
        }
        index.name_count = u32::try_from(self.names.len()).expect("fewer names than bytes");
        index.names = self.names.into_iter().collect();
        Ok(index)
    }
}

/// Labels of a series are sorted by name, each once, and few.
fn check(numbers: &[u32], pair_names: &[u32]) -> Result<(), IndexError> {
    if numbers.len() > LABELS_MAX {
        return Err(IndexError::at("a series has too many labels"));
    }
    let mut last = None;
    for number in numbers {
        let name = pair_names.get(*number as usize).copied();
        if name.is_none() || last >= name {
            return Err(IndexError::at("the labels of a series are not sorted"));
        }
        last = name;
    }
    Ok(())
}

fn unused_pair() -> Pair {
    Pair { name: Arc::from(""), value: Arc::from(""), series: Members::default() }
}

fn add(number: u32, difference: i64) -> Result<u32, IndexError> {
    let sum = i64::from(number).checked_add(difference).and_then(|sum| u32::try_from(sum).ok());
    sum.ok_or(IndexError::at("the number of a label is out of range"))
}

fn text(bytes: &[u8]) -> Result<Arc<str>, IndexError> {
    std::str::from_utf8(bytes).map(Arc::from).map_err(|_| IndexError::at("a text is not UTF-8"))
}

fn read_after(before: &[u8], same: u64, cursor: &mut Cursor<'_>) -> Result<Vec<u8>, IndexError> {
    let same = usize::try_from(same).ok().and_then(|same| before.get(..same));
    let same = same.ok_or(IndexError::at("a text shares more than the one before has"))?;
    let len = cursor.count(cursor.remaining())?;
    Ok([same, cursor.take(len)?].concat())
}
