//! The labels of each series.

use swell_chunk::{Cursor, DecodeError};

use super::{IndexError, SERIES_GROUP_LEN};

/// Where the series stand, and the shapes they have.
#[derive(Clone, Debug)]
pub(super) struct SeriesSection {
    pub(super) count: u32,
    /// Symbols of the names in each shape.
    pub(super) shapes: Vec<Box<[u32]>>,
    section: (usize, usize),
}

/// A series, and what is behind it.
pub(super) struct SeriesPosition<'a> {
    group: usize,
    /// Series that the cursor stands before.
    next: u32,
    cursor: Cursor<'a>,
    /// Of the series before `next`.
    pub(super) shape: usize,
    pub(super) values: Vec<u32>,
}

impl SeriesSection {
    pub(super) fn new(
        section: (usize, usize),
        count: u32,
        shapes: Vec<Box<[u32]>>,
    ) -> Result<Self, IndexError> {
        if section.1 - section.0 < (count as usize).div_ceil(SERIES_GROUP_LEN) * 4 {
            return Err(IndexError::at("the series section ends early"));
        }
        Ok(Self { count, shapes, section })
    }

    /// Moves to a series, from where the last one was if that is near.
    pub(super) fn seek<'p, 'a>(
        &self,
        all: &'a [u8],
        position: &'p mut Option<SeriesPosition<'a>>,
        idx: u32,
    ) -> Result<&'p SeriesPosition<'a>, IndexError> {
        if idx >= self.count {
            return Err(IndexError::at("a series lies outside the block"));
        }
        let group = idx as usize / SERIES_GROUP_LEN;
        let mut at = match position.take() {
            Some(at) if at.group == group && at.next <= idx => at,
            last => self.group(all, group, last.map(|last| last.values).unwrap_or_default())?,
        };
        while at.next <= idx {
            self.read(&mut at)?;
        }
        Ok(position.insert(at))
    }

    fn group<'a>(
        &self,
        all: &'a [u8],
        group: usize,
        values: Vec<u32>,
    ) -> Result<SeriesPosition<'a>, IndexError> {
        let bytes = &all[self.section.0..self.section.1];
        let offset = &bytes[group * 4..group * 4 + 4];
        let offset = u32::from_le_bytes(offset.try_into().expect("four bytes")) as usize;
        let group_count = (self.count as usize).div_ceil(SERIES_GROUP_LEN);
        let entries = bytes[group_count * 4..].get(offset..);
        let entries = entries.ok_or(IndexError::at("a series group lies outside its section"))?;
        let next = u32::try_from(group * SERIES_GROUP_LEN).expect("below the series count");
        Ok(SeriesPosition { group, next, cursor: Cursor::new(entries), shape: usize::MAX, values })
    }

    fn read(&self, at: &mut SeriesPosition<'_>) -> Result<(), IndexError> {
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
            let mut bits = at.cursor.varint()?;
            if shape != at.shape || (len < 64 && bits >> len != 0) {
                return Err(IndexError::at("a series differs from none before it"));
            }
            while bits != 0 {
                at.values[bits.trailing_zeros() as usize] = at.cursor.varint_u32()?;
                bits &= bits - 1;
            }
        }
        at.shape = shape;
        at.next += 1;
        Ok(())
    }
}

/// Reads the shapes.
pub(super) fn read_shapes(bytes: &[u8], count: usize) -> Result<Vec<Box<[u32]>>, IndexError> {
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
