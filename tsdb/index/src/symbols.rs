//! A sorted table of texts: found by binary search, read by number.
//!
//! ```text
//! 4 bytes LE  offset of each group of 16 texts, from the end of this list
//! groups      first text: varint length, bytes; each other: varint bytes shared with the one before,
//!             varint length of the rest, bytes
//! ```

use swell_chunk::{Cursor, put_varint};

use crate::slice::IndexError;

const GROUP_LEN: usize = 16;

/// Appends the table of texts that are sorted, each once.
pub(crate) fn write(texts: &[&str], out: &mut Vec<u8>) {
    let mut groups = Vec::new();
    let mut offsets = Vec::new();
    for group in texts.chunks(GROUP_LEN) {
        offsets.push(u32::try_from(groups.len()).expect("symbols below 4 GiB"));
        let mut last = "";
        for (idx, text) in group.iter().enumerate() {
            let shared = if idx == 0 { 0 } else { shared_len(last, text) };
            if idx > 0 {
                put_varint(&mut groups, shared as u64);
            }
            put_varint(&mut groups, (text.len() - shared) as u64);
            groups.extend_from_slice(&text.as_bytes()[shared..]);
            last = text;
        }
    }
    offsets.iter().for_each(|offset| out.extend_from_slice(&offset.to_le_bytes()));
    out.extend_from_slice(&groups);
}

fn shared_len(a: &str, b: &str) -> usize {
    a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count()
}

/// The table over bytes, with the last group that was read.
pub(crate) struct SymbolReader<'a> {
    offsets: &'a [u8],
    groups: &'a [u8],
    count: u32,
    group_idx: Option<usize>,
    /// The texts of the group one behind the other, and where each ends.
    texts: String,
    ends: Vec<usize>,
    /// Room for the text being put together.
    last: Vec<u8>,
}

impl<'a> SymbolReader<'a> {
    pub(crate) fn new(bytes: &'a [u8], count: u32) -> Result<Self, IndexError> {
        let group_count = (count as usize).div_ceil(GROUP_LEN);
        let split = group_count * 4;
        if bytes.len() < split {
            return Err(IndexError::at("the symbol table ends early"));
        }
        let (offsets, groups) = bytes.split_at(split);
        let (texts, ends, last) = (String::new(), Vec::new(), Vec::new());
        Ok(Self { offsets, groups, count, group_idx: None, texts, ends, last })
    }

    /// The text of a symbol.
    pub(crate) fn text(&mut self, symbol: u32) -> Result<&str, IndexError> {
        if symbol >= self.count {
            return Err(IndexError::at("a symbol lies outside the table"));
        }
        let symbol = symbol as usize;
        self.load(symbol / GROUP_LEN)?;
        Ok(self.loaded(symbol % GROUP_LEN))
    }

    /// A text of the group that is loaded.
    fn loaded(&self, position: usize) -> &str {
        let start = position.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.texts[start..self.ends[position]]
    }

    /// The first symbol whose text is not below `text`; the number of symbols when all are.
    pub(crate) fn lower_bound(&mut self, text: &str) -> Result<u32, IndexError> {
        let group_count = self.offsets.len() / 4;
        let (mut low, mut high) = (0, group_count);
        // Groups before `low` start below the text, groups from `high` on do not.
        while low < high {
            let middle = low + (high - low) / 2;
            if self.first_of(middle)? < text.as_bytes() { low = middle + 1 } else { high = middle }
        }
        let Some(group_idx) = low.checked_sub(1) else { return Ok(0) };
        self.load(group_idx)?;
        let within = (0..self.ends.len())
            .find(|position| self.loaded(*position) >= text)
            .unwrap_or(self.ends.len());
        Ok(u32::try_from(group_idx * GROUP_LEN + within).expect("below the symbol count"))
    }

    /// The symbol of a text.
    pub(crate) fn find(&mut self, text: &str) -> Result<Option<u32>, IndexError> {
        let symbol = self.lower_bound(text)?;
        Ok(if symbol < self.count && self.text(symbol)? == text { Some(symbol) } else { None })
    }

    fn group(&self, group_idx: usize) -> Result<Cursor<'a>, IndexError> {
        let offset = &self.offsets[group_idx * 4..group_idx * 4 + 4];
        let offset = u32::from_le_bytes(offset.try_into().expect("four bytes"));
        let bytes = self.groups.get(offset as usize..);
        Ok(Cursor::new(bytes.ok_or(IndexError::at("a symbol group lies outside the table"))?))
    }

    fn first_of(&self, group_idx: usize) -> Result<&'a [u8], IndexError> {
        let mut cursor = self.group(group_idx)?;
        let len = cursor.count(cursor.remaining())?;
        Ok(cursor.take(len)?)
    }

    fn load(&mut self, group_idx: usize) -> Result<(), IndexError> {
        if self.group_idx == Some(group_idx) {
            return Ok(());
        }
        self.group_idx = None;
        let mut cursor = self.group(group_idx)?;
        let group_len = GROUP_LEN.min(self.count as usize - group_idx * GROUP_LEN);
        self.texts.clear();
        self.ends.clear();
        self.last.clear();
        for idx in 0..group_len {
            let shared = if idx == 0 { 0 } else { cursor.count(self.last.len())? };
            self.last.truncate(shared);
            let rest_len = cursor.count(cursor.remaining())?;
            self.last.extend_from_slice(cursor.take(rest_len)?);
            let text = std::str::from_utf8(&self.last);
            self.texts.push_str(text.map_err(|_| IndexError::at("a symbol is not UTF-8"))?);
            self.ends.push(self.texts.len());
        }
        self.group_idx = Some(group_idx);
        Ok(())
    }
}
