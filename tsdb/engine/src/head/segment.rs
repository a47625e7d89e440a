//! A sealed stretch of rows of one target: immutable, readable without a lock.

use std::borrow::Cow;
use std::sync::Arc;

use swell_chunk::{
    Cursor, DecodeError, FloatReader, FloatWriter, TailColumn, TimesTail, put_varint, read_times,
    write_times,
};

use super::segments::ChunkRef;

/// Rows of a target and the columns of the series that stood in them, called members here.
///
/// A segment is sealed with its members' tokens as they are, since that costs only a copy while appends wait;
/// [`Segment::packed`] makes the small form of it in peace.
#[derive(Debug)]
pub(crate) struct Segment {
    times: Times,
    pub(crate) row_count: u32,
    pub(crate) first_ms: i64,
    pub(crate) last_ms: i64,
    pub(crate) sample_count: u64,
    form: Form,
    /// Where each member's bytes end.
    ends: Box<[u32]>,
    bytes: Box<[u8]>,
    /// Of each member, the column before in an older segment.
    before: Arc<[ChunkRef]>,
}

/// What a segment is made of.
#[derive(Debug)]
pub(crate) struct SegmentParts<'s> {
    /// As [`write_times`] writes them.
    pub(crate) times: Cow<'s, [u8]>,
    pub(crate) ends: Cow<'s, [u32]>,
    pub(crate) before: Cow<'s, [ChunkRef]>,
    pub(crate) bytes: &'s [u8],
    pub(crate) sample_count: u64,
    pub(crate) is_packed: bool,
}

#[derive(Debug)]
enum Times {
    Tail(TimesTail),
    Packed(Box<[u8]>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// What [`swell_chunk::Tail::copy_tokens`] gives.
    Tokens,
    /// varint number of runs of rows with a value, 0 for all rows; for each run varint gap before it and varint
    /// length; float column as one piece.
    Packed,
}

/// Collects members' tokens.
#[derive(Debug, Default)]
pub(crate) struct SegmentBuilder {
    ends: Vec<u32>,
    bytes: Vec<u8>,
    before: Vec<ChunkRef>,
    sample_count: u64,
}

impl SegmentBuilder {
    /// Adds a member: `copy` appends its tokens, `before` is its column in an older segment. Gives the member's number.
    pub(crate) fn add(
        &mut self,
        sample_count: u32,
        before: ChunkRef,
        copy: impl FnOnce(&mut Vec<u8>),
    ) -> u32 {
        copy(&mut self.bytes);
        self.before.push(before);
        self.ends.push(u32::try_from(self.bytes.len()).expect("a segment is below 4 GiB"));
        self.sample_count += u64::from(sample_count);
        u32::try_from(self.ends.len() - 1).expect("below 2^32 series")
    }

    /// Ends the segment; `times` has at least one row.
    pub(crate) fn finish(self, times: TimesTail, first_ms: i64) -> Segment {
        Segment {
            row_count: times.count(),
            first_ms,
            last_ms: times.last_ms().expect("a segment has rows"),
            times: Times::Tail(times),
            sample_count: self.sample_count,
            form: Form::Tokens,
            ends: self.ends.into(),
            bytes: self.bytes.into(),
            before: self.before.into(),
        }
    }
}

impl Segment {
    /// The column of a member in an older segment.
    pub(crate) fn before(&self, member: u32) -> ChunkRef {
        self.before[member as usize]
    }

    pub(crate) fn is_packed(&self) -> bool {
        self.form == Form::Packed
    }

    /// Times as they are when packed, and the rest as it is.
    pub(crate) fn parts(&self) -> SegmentParts<'_> {
        let times = match &self.times {
            Times::Packed(bytes) => Cow::Borrowed(&bytes[..]),
            Times::Tail(tail) => {
                let mut bytes = Vec::new();
                write_times(&tail.to_vec(), &mut bytes);
                Cow::Owned(bytes)
            }
        };
        SegmentParts {
            times,
            ends: Cow::Borrowed(&self.ends),
            before: Cow::Borrowed(&self.before),
            bytes: &self.bytes,
            sample_count: self.sample_count,
            is_packed: self.is_packed(),
        }
    }

    /// Puts a segment together; `row_times` are those of `parts`, at least one.
    pub(crate) fn of_parts(parts: SegmentParts<'_>, row_times: &[i64]) -> Self {
        Self {
            times: Times::Packed(parts.times.into()),
            row_count: u32::try_from(row_times.len()).expect("rows are counted by u32"),
            first_ms: row_times[0],
            last_ms: row_times[row_times.len() - 1],
            sample_count: parts.sample_count,
            form: if parts.is_packed { Form::Packed } else { Form::Tokens },
            ends: parts.ends.into(),
            bytes: parts.bytes.into(),
            before: parts.before.into(),
        }
    }

    pub(crate) fn member_count(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        let times_bytes = match &self.times {
            Times::Tail(tail) => tail.heap_bytes(),
            Times::Packed(bytes) => bytes.len(),
        };
        let member_bytes = size_of::<u32>() + size_of::<ChunkRef>();
        times_bytes + self.bytes.len() + self.ends.len() * member_bytes
    }

    pub(crate) fn times(&self) -> Result<Vec<i64>, DecodeError> {
        match &self.times {
            Times::Tail(tail) => Ok(tail.to_vec()),
            Times::Packed(bytes) => read_times(bytes, self.row_count as usize),
        }
    }

    /// Decodes the column of a member.
    pub(crate) fn read(
        &self,
        member: u32,
        reader: &mut FloatReader,
        out: &mut TailColumn,
    ) -> Result<(), DecodeError> {
        let member = member as usize;
        let start = member.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        let bytes = &self.bytes[start..self.ends[member] as usize];
        match self.form {
            Form::Tokens => out.read(bytes, self.row_count),
            Form::Packed => read_packed(bytes, self.row_count, reader, out),
        }
    }

    /// The same segment in a fraction of the bytes.
    pub(crate) fn packed(&self) -> Result<Self, DecodeError> {
        let mut reader = FloatReader::new();
        let mut column = TailColumn::default();
        let (mut ends, mut bytes) = (Vec::with_capacity(self.ends.len()), Vec::new());
        for member in 0..u32::try_from(self.ends.len()).expect("below 2^32 series") {
            self.read(member, &mut reader, &mut column)?;
            put_runs(&column.runs, self.row_count, &mut bytes);
            FloatWriter::new(&column.values).write_whole(&mut bytes);
            ends.push(u32::try_from(bytes.len()).expect("packing does not grow beyond 4 GiB"));
        }
        let mut times = Vec::new();
        write_times(&self.times()?, &mut times);
        Ok(Self {
            times: Times::Packed(times.into()),
            form: Form::Packed,
            ends: ends.into(),
            bytes: bytes.into(),
            before: Arc::clone(&self.before),
            ..*self
        })
    }
}

fn put_runs(runs: &[(u32, u32)], row_count: u32, out: &mut Vec<u8>) {
    if runs == [(0, row_count)] {
        put_varint(out, 0);
        return;
    }
    put_varint(out, runs.len() as u64);
    let mut end = 0;
    for (first, len) in runs {
        put_varint(out, u64::from(first - end));
        put_varint(out, u64::from(*len));
        end = first + len;
    }
}

fn read_packed(
    bytes: &[u8],
    row_count: u32,
    reader: &mut FloatReader,
    out: &mut TailColumn,
) -> Result<(), DecodeError> {
    let mut cursor = Cursor::new(bytes);
    out.runs.clear();
    let run_count = cursor.count(row_count as usize)?;
    let mut value_count = 0;
    if run_count == 0 {
        out.runs.push((0, row_count));
        value_count = row_count as usize;
    }
    let mut end = 0;
    for _ in 0..run_count {
        let left = (row_count - end) as usize;
        let first = end + u32::try_from(cursor.count(left)?).expect("at most the rows");
        let left = (row_count - first) as usize;
        let len = u32::try_from(cursor.count(left)?).expect("at most the rows");
        out.runs.push((first, len));
        value_count += len as usize;
        end = first + len;
    }
    out.values.clear();
    out.values.resize(value_count, 0.0);
    reader.read_whole(&mut cursor, &mut out.values)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use swell_chunk::Tail;

    use super::*;

    proptest! {
        #[test]
        fn packing_keeps_every_member(
            members in prop::collection::vec(prop::collection::vec(prop::option::of(any::<u64>()), 40), 1..8),
            steps in prop::collection::vec(1i64..100_000, 40),
        ) {
            let mut times = TimesTail::default();
            let mut last = 0;
            for step in &steps {
                last += step;
                times.push(last);
            }
            let mut builder = SegmentBuilder::default();
            for rows in &members {
                let mut tail = Tail::default();
                for (row, bits) in (0u32..).zip(rows) {
                    if let Some(bits) = bits {
                        tail.push(row, f64::from_bits(*bits));
                    }
                }
                builder.add(tail.count(), ChunkRef::NONE, |out| tail.copy_tokens(out));
            }
            let open = builder.finish(times, steps[0]);
            let packed = open.packed().expect("packs");
            prop_assert_eq!(open.times().expect("times"), packed.times().expect("times"));
            prop_assert_eq!(open.sample_count, packed.sample_count);
            let mut reader = FloatReader::new();
            for member in 0..u32::try_from(members.len()).expect("few") {
                let (mut a, mut b) = (TailColumn::default(), TailColumn::default());
                open.read(member, &mut reader, &mut a).expect("reads");
                packed.read(member, &mut reader, &mut b).expect("reads");
                prop_assert!(a.values.iter().map(|v| v.to_bits()).eq(b.values.iter().map(|v| v.to_bits())));
                prop_assert_eq!(a.runs, b.runs);
            }
        }
    }
}
