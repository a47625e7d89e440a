//! The index in memory as checkpoints of version 1 have it; newer ones have a table ([`super::table`]). Nothing writes it
//! any more.
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

use std::sync::Arc;

use hashbrown::HashTable;
use swell_chunk::{Cursor, put_varint, put_zigzag};

use super::{MemoryIndex, Pair, Values, hash_of};
use crate::members::Members;
use crate::slice::IndexError;

const SIZES: u8 = 0;
const PAIRS: u8 = 1;
const SERIES: u8 = 2;

/// What can stand for a series: a bit for each label, and the two values below.
pub(super) const UNUSED: u64 = 0;
const WHOLE: u64 = 1;
const DIFFERENT_LABELS_MAX: usize = 62;

/// Labels that a list of numbers can hold.
pub(super) const LABELS_MAX: usize = 1 << 15;

pub(super) fn put_after(before: &str, text: &str, more: u64, out: &mut Vec<u8>) {
    let same = before.bytes().zip(text.bytes()).take_while(|(a, b)| a == b).count();
    put_varint(out, same as u64 + more);
    put_varint(out, (text.len() - same) as u64);
    out.extend_from_slice(&text.as_bytes()[same..]);
}

pub(super) fn put_numbers(numbers: &[u32], before: &[u32], out: &mut Vec<u8>) {
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

/// What changed from one series to the next.
pub(super) struct Changed {
    /// All of its labels were spelled out.
    pub(super) is_whole: bool,
    /// The largest number among those that changed.
    pub(super) largest: u32,
}

/// Reads the pairs of a series over those of the one before, behind its `code`; `was` is told place and number of each
/// that is replaced, unless all of them are: then they are in `before`.
pub(super) fn read_numbers(
    code: u64,
    numbers: &mut Vec<u32>,
    before: &mut Vec<u32>,
    cursor: &mut Cursor<'_>,
    mut was: impl FnMut(usize, u32),
) -> Result<Changed, IndexError> {
    let mut largest = 0;
    if code == WHOLE {
        std::mem::swap(numbers, before);
        numbers.clear();
        let mut last = 0;
        for _ in 0..cursor.count(cursor.remaining())? {
            last = add(last, cursor.zigzag()?)?;
            largest = largest.max(last);
            numbers.push(last);
        }
        if numbers.len() > LABELS_MAX {
            return Err(IndexError::at("a series has too many labels"));
        }
        return Ok(Changed { is_whole: true, largest });
    }
    let mut mask = code - 1;
    while mask != 0 {
        let nr = mask.trailing_zeros() as usize;
        let number = numbers.get_mut(nr).ok_or(IndexError::at("a label differs from none"))?;
        was(nr, *number);
        *number = add(*number, cursor.zigzag()?)?;
        largest = largest.max(*number);
        mask &= mask - 1;
    }
    Ok(Changed { is_whole: false, largest })
}

/// Reads pairs that are sorted by name and value.
#[derive(Debug, Default)]
pub(super) struct PairReader {
    /// Bytes of the name, and of the value, at hand.
    name: Vec<u8>,
    value: Vec<u8>,
    /// The values of the name at hand, sorted.
    values: Vec<(Arc<str>, u32)>,
    names: Vec<(Arc<str>, Values)>,
    last_number: i64,
    /// Pairs so far.
    pub(super) count: usize,
}

impl PairReader {
    /// The texts of the next pair: name, number of the name, value.
    pub(super) fn next_texts(
        &mut self,
        cursor: &mut Cursor<'_>,
    ) -> Result<(Arc<str>, u32, Arc<str>), IndexError> {
        let start = cursor.varint()?;
        if start > 0 {
            self.end_name();
            read_after(&mut self.name, start - 1, cursor)?;
            if self.names.last().is_some_and(|(last, _)| last.as_bytes() >= &self.name[..]) {
                return Err(IndexError::at("label names do not rise"));
            }
            let name = text(&self.name)?;
            let number = u32::try_from(self.names.len()).expect("fewer names than bytes");
            self.names.push((name, Values::new(number)));
            self.value.clear();
        }
        let Some((name, values)) = self.names.last() else {
            return Err(IndexError::at("a label has no name"));
        };
        let same = cursor.varint()?;
        read_after(&mut self.value, same, cursor)?;
        let value = text(&self.value)?;
        let rises = match self.values.last() {
            Some((last, _)) => **last < *value,
            None => !value.is_empty(),
        };
        if !rises {
            return Err(IndexError::at("label values do not rise"));
        }
        Ok((Arc::clone(name), values.number, value))
    }

    /// The number of the pair at hand, below `bound`.
    pub(super) fn next_number(
        &mut self,
        bound: usize,
        cursor: &mut Cursor<'_>,
    ) -> Result<u32, IndexError> {
        let number = self.last_number.wrapping_add(cursor.zigzag()?);
        self.last_number = number;
        let number = u32::try_from(number).ok().filter(|number| (*number as usize) < bound);
        number.ok_or(IndexError::at("the number of a label is out of range"))
    }

    /// Puts the pair at hand into the index, with these series unless it has some already.
    pub(super) fn set(
        &mut self,
        index: &mut MemoryIndex,
        number: u32,
        (name, name_number, value): (Arc<str>, u32, Arc<str>),
        series: Option<Members>,
    ) -> Result<(), IndexError> {
        let place = number as usize;
        if !index.pairs[place].value.is_empty() {
            return Err(IndexError::at("two labels have one number"));
        }
        let hash = index.hasher.hash(&name, &value);
        self.values.push((Arc::clone(&value), number));
        let pair = &mut index.pairs[place];
        (pair.name, pair.value) = (name, value);
        if let Some(series) = series {
            pair.series = series;
        }
        (index.pair_names[place], index.pair_hashes[place]) = (name_number, hash);
        let pair_hashes = &index.pair_hashes;
        index.by_pair.insert_unique(hash, number, |number| pair_hashes[*number as usize]);
        self.count += 1;
        Ok(())
    }

    fn end_name(&mut self) {
        if let Some((_, values)) = self.names.last_mut() {
            *values = Values::of_sorted(values.number, self.values.drain(..));
        }
    }

    /// Puts the names into the index.
    pub(super) fn finish(mut self, index: &mut MemoryIndex) {
        self.end_name();
        index.name_count = u32::try_from(self.names.len()).expect("fewer names than bytes");
        index.names = self.names.into_iter().collect();
    }
}

/// Makes an index of the parts of an image, in their order.
#[derive(Debug)]
pub struct ImageReader {
    index: MemoryIndex,
    /// Bytes of all parts, or more: nothing is counted that has not at least a byte.
    bytes_max: usize,
    sizes: Option<(u32, u32)>,
    pairs: PairReader,
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
            pairs: PairReader::default(),
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
            let texts = self.pairs.next_texts(cursor)?;
            let number = self.pairs.next_number(number_count as usize, cursor)?;
            let series = Members::read(cursor, series_count)?;
            self.pairs.set(&mut self.index, number, texts, Some(series))?;
        }
        Ok(())
    }

    fn series(&mut self, cursor: &mut Cursor<'_>, sizes: (u32, u32)) -> Result<(), IndexError> {
        let series_count = sizes.1 as usize;
        let index = &mut self.index;
        while cursor.remaining() > 0 {
            if index.series.len() == series_count {
                return Err(IndexError::at("there are more series than said"));
            }
            let idx = u32::try_from(index.series.len()).expect("below a u32");
            let code = cursor.varint()?;
            if code == UNUSED {
                index.series.push(None);
                index.unused.push(idx);
                continue;
            }
            read_numbers(code, &mut self.numbers, &mut Vec::new(), cursor, |_, _| {})?;
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
    pub fn finish(self) -> Result<MemoryIndex, IndexError> {
        let (pair_count, series_count) =
            self.sizes.ok_or(IndexError::at("the index has no sizes"))?;
        let mut index = self.index;
        if index.series.len() != series_count as usize || self.pairs.count != pair_count as usize {
            return Err(IndexError::at("the index lacks labels or series"));
        }
        self.pairs.finish(&mut index);
        Ok(index)
    }
}

/// Labels of a series are sorted by name, each once, and few.
pub(super) fn check(numbers: &[u32], pair_names: &[u32]) -> Result<(), IndexError> {
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

/// Reads a text that shares bytes with the one before, over that.
fn read_after(before: &mut Vec<u8>, same: u64, cursor: &mut Cursor<'_>) -> Result<(), IndexError> {
    let same = usize::try_from(same).ok().filter(|same| *same <= before.len());
    before.truncate(same.ok_or(IndexError::at("a text shares more than the one before has"))?);
    let len = cursor.count(cursor.remaining())?;
    before.extend_from_slice(cursor.take(len)?);
    Ok(())
}
