//! The index in memory as bytes: lists of pairs series by series, then the texts of these pairs. Postings follow from the
//! lists. It is taken in slices, between which series may be added, so that nobody waits for all of it.
//!
//! ```text
//! parts
//!   byte 3  series from index 0 on through all parts; until the part ends each:
//!             varint  0: the index is not in use
//!                     1: varint labels, then each zigzag number of the pair, as difference from the one before
//!                     else bits of the labels that differ from the series before, + 1; of these the same differences
//!                     to the same label of the series before
//!           Pairs are numbered from 0 in the order in which they come here first
//!   byte 4  these pairs, sorted by name and value; until the part ends each:
//!             varint  bytes shared with the name before + 1 and text of the rest, for the first pair of a name; else 0
//!             varint  bytes shared with the value before, text of the rest
//!             zigzag  number, as difference from the one before
//!   byte 5  the end: varint pairs, varint indices
//!
//! text      varint length, bytes
//! ```

use std::cmp::Ordering;
use std::ops::Bound;
use std::sync::Arc;

use hashbrown::HashTable;
use swell_chunk::{Cursor, put_varint, put_zigzag};
use swell_model::Labels;

use super::image::{PairReader, UNUSED, check, put_after, put_numbers, read_numbers};
use super::{MemoryIndex, Pair, hash_of, sum};
use crate::members::Members;
use crate::slice::IndexError;

/// A part is ended when it has this much, or so many series: what one slice takes out of the index.
const PART_BYTES: usize = 1 << 18;
const PART_SERIES_MAX: u32 = 1 << 15;

const SERIES: u8 = 3;
const PAIRS: u8 = 4;
const END: u8 = 5;

/// A moment of an index: tells which series came later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    removal_count: u64,
    series_len: u32,
    reused_len: usize,
}

impl Mark {
    /// Indices of series that were given out by then.
    #[must_use]
    pub const fn bound(&self) -> u32 {
        self.series_len
    }
}

/// Where the writing of a table stands. All parts are of the index as it was at its beginning, and may have series that
/// came since.
#[derive(Debug)]
pub struct TableWriter {
    mark: Mark,
    stage: Stage,
    /// By number of a pair in the index, one more than its number in the table, or 0.
    numbers: Vec<u32>,
    pair_count: u32,
    of_series: Vec<u32>,
    before: Vec<u32>,
    /// Name and value of the pair written last, and its number.
    last: (String, String),
    last_number: i64,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Series { next: u32 },
    Pairs,
    End,
    Done,
}

impl TableWriter {
    /// When the table was begun.
    #[must_use]
    pub const fn mark(&self) -> Mark {
        self.mark
    }
}

impl MemoryIndex {
    /// This moment.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark {
            removal_count: self.removal_count,
            series_len: self.bound_len(),
            reused_len: self.reused.len(),
        }
    }

    fn bound_len(&self) -> u32 {
        u32::try_from(self.series.len()).expect("below 2^32 series")
    }

    /// Indices of the series that were added since, in the order they were; `None` when some were removed.
    #[must_use]
    pub fn since(&self, mark: &Mark) -> Option<Vec<u32>> {
        let reused = self.reused.get(mark.reused_len..)?;
        let added = reused.iter().copied().chain(mark.series_len..self.bound_len());
        (mark.removal_count == self.removal_count).then(|| added.collect())
    }

    /// Begins a table.
    #[must_use]
    pub fn table(&self) -> TableWriter {
        TableWriter {
            mark: self.mark(),
            stage: Stage::Series { next: 0 },
            numbers: Vec::new(),
            pair_count: 0,
            of_series: Vec::new(),
            before: Vec::new(),
            last: (String::new(), String::new()),
            last_number: 0,
        }
    }

    /// Appends the next part of a table of this index, unless there is none; gives whether there was. No series may have
    /// been removed since the table was begun.
    pub fn write_part(&self, table: &mut TableWriter, out: &mut Vec<u8>) -> bool {
        match table.stage {
            Stage::Series { next } => {
                let end = table.mark.series_len;
                table.stage = match self.write_series(next, table, out) {
                    next if next < end => Stage::Series { next },
                    _ => Stage::Pairs,
                };
            }
            Stage::Pairs => {
                if !self.write_pairs(table, out) {
                    table.stage = Stage::End;
                }
            }
            Stage::End => {
                out.push(END);
                put_varint(out, u64::from(table.pair_count));
                put_varint(out, u64::from(table.mark.series_len));
                table.stage = Stage::Done;
            }
            Stage::Done => return false,
        }
        true
    }

    /// Gives the index of the first series that is left.
    fn write_series(&self, from: u32, table: &mut TableWriter, out: &mut Vec<u8>) -> u32 {
        out.push(SERIES);
        let start = out.len();
        table.numbers.resize(self.pairs.len(), 0);
        let end = table.mark.series_len.min(from.saturating_add(PART_SERIES_MAX));
        for idx in from..end {
            match self.series.get(idx as usize).copied().flatten() {
                None => put_varint(out, UNUSED),
                Some(list) => {
                    table.of_series.clear();
                    for number in self.lists.get(list) {
                        let known = &mut table.numbers[*number as usize];
                        if *known == 0 {
                            table.pair_count += 1;
                            *known = table.pair_count;
                        }
                        table.of_series.push(*known - 1);
                    }
                    put_numbers(&table.of_series, &table.before, out);
                    std::mem::swap(&mut table.of_series, &mut table.before);
                }
            }
            if out.len() - start >= PART_BYTES {
                return idx + 1;
            }
        }
        end
    }

    /// Gives whether some are left.
    fn write_pairs(&self, table: &mut TableWriter, out: &mut Vec<u8>) -> bool {
        out.push(PAIRS);
        let start = out.len();
        let (resumed, after) = std::mem::take(&mut table.last);
        let (mut last_name, mut last_value): (&str, &str) = (&resumed, &after);
        let names = self.names.range::<str, _>((Bound::Included(&*resumed), Bound::Unbounded));
        for (name, values) in names {
            let is_resumed = !resumed.is_empty() && **name == *resumed;
            let from = if is_resumed { Bound::Excluded(&*after) } else { Bound::Unbounded };
            for (value, number) in values.from(from) {
                let number = table.numbers.get(number as usize).copied().unwrap_or(0);
                // What came since has none.
                let Some(number) = number.checked_sub(1) else { continue };
                if *last_name == **name {
                    put_varint(out, 0);
                    put_after(last_value, value, 0, out);
                } else {
                    put_after(last_name, name, 1, out);
                    put_after("", value, 0, out);
                }
                put_zigzag(out, i64::from(number) - table.last_number);
                table.last_number = i64::from(number);
                last_name = name;
                last_value = value;
                if out.len() - start >= PART_BYTES {
                    table.last = (last_name.to_owned(), last_value.to_owned());
                    return true;
                }
            }
        }
        false
    }

    /// Puts a series back at the index that it had; the same again changes nothing.
    ///
    /// # Errors
    /// [`IndexError`] when another series has the index, the labels stand at another one, or it is not the next.
    pub fn put_back(&mut self, idx: u32, labels: &Labels) -> Result<(), IndexError> {
        let hashes = self.hashes(labels);
        let hash = sum(hashes.iter().copied());
        let known = self.find_hashed(hash, labels);
        if self.takes_back(idx, known, labels.len())? {
            self.fill(idx, labels, &hashes, hash);
        }
        Ok(())
    }

    /// The same of pairs, given by their numbers and sorted by name, each name once.
    ///
    /// # Errors
    /// As [`MemoryIndex::put_back`].
    pub fn put_back_pairs(&mut self, idx: u32, numbers: &[u32]) -> Result<(), IndexError> {
        let hash = hash_of(numbers, &self.pair_hashes);
        let known = self.find_numbers(hash, numbers);
        if self.takes_back(idx, known, numbers.len())? {
            self.fill_numbers(idx, numbers, hash);
        }
        Ok(())
    }

    /// Makes room for a series that is put back, whose labels stand at `known`; `false` when it is there already.
    fn takes_back(
        &mut self,
        idx: u32,
        known: Option<u32>,
        label_count: usize,
    ) -> Result<bool, IndexError> {
        match known {
            Some(known) if known == idx => return Ok(false),
            Some(_) => return Err(IndexError::at("a series has two numbers")),
            None => {}
        }
        if self.contains(idx) || idx > self.bound_len() || label_count > super::image::LABELS_MAX {
            return Err(IndexError::at("the number of a series is out of range"));
        }
        if idx == self.bound_len() {
            self.series.push(None);
        }
        Ok(true)
    }

    /// After the last series was put back: finds the indices that are not in use, and drops texts that no series has.
    pub fn settle(&mut self) {
        let unused = (0u32..).zip(&self.series).filter(|(_, list)| list.is_none());
        self.unused = unused.map(|(idx, _)| idx).collect();
        for number in 0..u32::try_from(self.pairs.len()).expect("below 2^32 pairs") {
            let pair = &self.pairs[number as usize];
            if pair.series.is_empty() && !pair.value.is_empty() {
                self.drop_pair(number);
            }
        }
    }
}

/// Makes an index of the parts that [`MemoryIndex::write_part`] gave, in their order.
#[derive(Debug)]
pub struct TableReader {
    index: MemoryIndex,
    /// Kind of the last part.
    kind: u8,
    /// Pairs of the series before, and since which series each has stood there.
    numbers: Vec<u32>,
    since: Vec<u32>,
    /// Made anew with each series that has other labels.
    before: Vec<u32>,
    going: Vec<u32>,
    /// By number of the pair.
    members: Vec<Members>,
    pairs: PairReader,
}

/// Labels of which all are looked for in the series before.
const COMPARED_MAX: usize = 64;

impl Default for TableReader {
    fn default() -> Self {
        Self {
            index: MemoryIndex::default(),
            kind: SERIES,
            numbers: Vec::new(),
            since: Vec::new(),
            before: Vec::new(),
            going: Vec::new(),
            members: Vec::new(),
            pairs: PairReader::default(),
        }
    }
}

impl TableReader {
    /// Takes a part.
    ///
    /// # Errors
    /// [`IndexError`] when it is none, or does not follow the ones before.
    pub fn take(&mut self, part: &[u8]) -> Result<(), IndexError> {
        let mut cursor = Cursor::new(part);
        let kind = cursor.u8()?;
        let before = std::mem::replace(&mut self.kind, kind);
        match kind {
            SERIES if before == SERIES => self.series(&mut cursor),
            PAIRS if before <= PAIRS => {
                if before == SERIES {
                    self.begin_pairs();
                }
                self.pairs(&mut cursor)
            }
            END if before == PAIRS => {
                let (pairs, series) = (cursor.varint_u32()?, cursor.varint_u32()?);
                cursor.finish()?;
                let is_whole = self.pairs.count == pairs as usize
                    && self.index.pairs.len() == pairs as usize
                    && self.index.series.len() == series as usize;
                if is_whole { Ok(()) } else { Err(IndexError::at("the table lacks some parts")) }
            }
            _ => Err(IndexError::at("a part of the table is out of place")),
        }
    }

    fn series(&mut self, cursor: &mut Cursor<'_>) -> Result<(), IndexError> {
        while cursor.remaining() > 0 {
            let idx = self.index.bound_len();
            let code = cursor.varint()?;
            if code == UNUSED {
                self.end_runs(idx);
                self.since.clear();
                self.index.series.push(None);
                continue;
            }
            // Which labels are others than those of the series before; all of them behind an index that is not in use.
            let (numbers, before) = (&mut self.numbers, &mut self.before);
            let changed = read_numbers(code, numbers, before, cursor, |nr, was| {
                end_run(&mut self.members, was, self.since.get(nr).copied(), idx);
                if let Some(since) = self.since.get_mut(nr) {
                    *since = idx;
                }
            })?;
            if changed.is_whole {
                self.go_on(idx);
            } else if self.since.len() != self.numbers.len() {
                self.since.clear();
                self.since.resize(self.numbers.len(), idx);
            }
            if changed.largest as usize >= self.members.len() {
                self.make_room()?;
            }
            let list = self.index.lists.add(&self.numbers);
            self.index.series.push(Some(list));
        }
        Ok(())
    }

    /// Runs of pairs that the series at hand shares with the one before go on, the others end. Both are sorted by name, so
    /// what they share stands in the same order.
    fn go_on(&mut self, idx: u32) {
        let (before, since) = (&self.before, &self.since);
        let is_short = before.len() == since.len() && before.len() <= COMPARED_MAX;
        let mut at = 0;
        self.going.clear();
        for number in &self.numbers {
            let left = if is_short { &before[at..] } else { &[] };
            let Some(skipped) = left.iter().position(|other| other == number) else {
                self.going.push(idx);
                continue;
            };
            for (number, since) in before.iter().zip(since).skip(at).take(skipped) {
                end_run(&mut self.members, *number, Some(*since), idx);
            }
            at += skipped + 1;
            self.going.push(since[at - 1]);
        }
        for (nr, number) in before.iter().enumerate().skip(at) {
            end_run(&mut self.members, *number, since.get(nr).copied(), idx);
        }
        std::mem::swap(&mut self.since, &mut self.going);
    }

    /// Counts the pairs that the series at hand is the first to have.
    fn make_room(&mut self) -> Result<(), IndexError> {
        for number in &self.numbers {
            match (*number as usize).cmp(&self.members.len()) {
                Ordering::Less => {}
                Ordering::Equal => self.members.push(Members::default()),
                Ordering::Greater => {
                    return Err(IndexError::at("the number of a label is out of range"));
                }
            }
        }
        Ok(())
    }

    fn end_runs(&mut self, end: u32) {
        for (number, since) in self.numbers.iter().zip(&self.since) {
            end_run(&mut self.members, *number, Some(*since), end);
        }
    }

    fn begin_pairs(&mut self) {
        let end = self.index.bound_len();
        self.end_runs(end);
        let index = &mut self.index;
        let count = self.members.len();
        let nothing: Arc<str> = Arc::from("");
        index.pairs = std::mem::take(&mut self.members)
            .into_iter()
            .map(|series| Pair { name: Arc::clone(&nothing), value: Arc::clone(&nothing), series })
            .collect();
        index.pair_names = vec![0; count];
        index.pair_hashes = vec![0; count];
        index.by_pair = HashTable::with_capacity(count);
    }

    fn pairs(&mut self, cursor: &mut Cursor<'_>) -> Result<(), IndexError> {
        while cursor.remaining() > 0 {
            let (name, name_number, value) = self.pairs.next_texts(cursor)?;
            let number = self.pairs.next_number(self.index.pairs.len(), cursor)?;
            self.pairs.set(&mut self.index, number, (name, name_number, value), None)?;
        }
        Ok(())
    }

    /// The index, when all parts were taken. [`MemoryIndex::settle`] is to follow.
    ///
    /// # Errors
    /// [`IndexError`] when some are missing.
    pub fn finish(self) -> Result<MemoryIndex, IndexError> {
        if self.kind != END {
            return Err(IndexError::at("the table has no end"));
        }
        let mut index = self.index;
        self.pairs.finish(&mut index);
        index.by_labels = HashTable::with_capacity(index.series.len());
        for idx in 0..index.bound_len() {
            let Some(list) = index.series[idx as usize] else { continue };
            let numbers = index.lists.get(list);
            check(numbers, &index.pair_names)?;
            let hash = hash_of(numbers, &index.pair_hashes);
            index.enter(idx, hash);
        }
        Ok(index)
    }
}

/// Series from `since` on and below `end` have the pair.
fn end_run(members: &mut [Members], number: u32, since: Option<u32>, end: u32) {
    if let (Some(since), Some(members)) = (since, members.get_mut(number as usize))
        && since < end
    {
        members.push_run(since, end - 1);
    }
}
