//! What came to a series since a reader looked at it before. One sample more, which is what there is a second later, is told
//! by the number of values in the open column, and is at hand without decoding anything.

use super::segments::ChunkRef;
use super::{Head, NEVER};

/// What is known of a series from one look to the next, in three numbers for who keeps them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    newest_ms: i64,
    chunk: ChunkRef,
    late_changed: u64,
    /// Values in the open column.
    open_count: u32,
}

/// Bits for the number of values in an open column, which is sealed long before.
const COUNT_BITS: u32 = 16;

impl Seen {
    fn packed(self) -> [u64; 3] {
        let (segment, member) = self.chunk.numbers();
        let chunk = u64::from(segment) << 32 | u64::from(member);
        [
            self.newest_ms.cast_unsigned(),
            chunk,
            self.late_changed << COUNT_BITS | u64::from(self.open_count),
        ]
    }

    fn unpacked([newest, chunk, rest]: [u64; 3]) -> Self {
        let low = |bits: u64| u32::try_from(bits & u64::from(u32::MAX)).expect("32 bits");
        let open_count = rest & ((1 << COUNT_BITS) - 1);
        Self {
            newest_ms: newest.cast_signed(),
            chunk: ChunkRef::of_numbers(low(chunk >> 32), low(chunk)),
            late_changed: rest >> COUNT_BITS,
            open_count: low(open_count),
        }
    }
}

/// What came to a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Since {
    Nothing,
    /// Time and value of the only sample that came.
    One(i64, f64),
    /// Samples after this time.
    After(i64),
    /// More than that: all is to be read anew.
    Anything,
    /// There are histograms.
    Histograms,
}

impl Head {
    /// What came to a series since this was `known` of it, and what is known of it now.
    pub(crate) fn since(&self, idx: u32, known: Option<[u64; 3]>) -> (Since, [u64; 3]) {
        let series = &self.series[idx as usize];
        let extra = series.extra.as_ref();
        let now = Seen {
            newest_ms: self.newest.at_ms(idx as usize),
            chunk: series.chunk,
            late_changed: extra.map_or(0, |extra| extra.late_changed),
            open_count: series.tail.count(),
        };
        let has_histograms = extra.is_some_and(|extra| {
            !extra.histograms.is_empty() || !extra.late.histograms().is_empty()
        });
        let since = if has_histograms || series.last_is_histogram {
            Since::Histograms
        } else {
            known.map_or(Since::Anything, |known| self.told(idx, Seen::unpacked(known), now))
        };
        (since, now.packed())
    }

    fn told(&self, idx: u32, known: Seen, now: Seen) -> Since {
        if known.late_changed != now.late_changed || now.newest_ms < known.newest_ms {
            return Since::Anything;
        }
        // Samples that do not come late are newer than all before them.
        if now.newest_ms == known.newest_ms {
            return Since::Nothing;
        }
        // A column of which nothing is left in memory may have begun anew with any number of values.
        let is_same_column = now.chunk == known.chunk && known.newest_ms >= self.read_floor_ms;
        if is_same_column && now.open_count == known.open_count + 1 {
            return Since::One(now.newest_ms, self.newest.float(idx as usize));
        }
        // A late sample may stand after the newest one that did not come late.
        if self.has_late(idx) { Since::Anything } else { Since::After(known.newest_ms) }
    }

    /// Whether the newest samples of a series may have start timestamps.
    pub(crate) fn has_starts(&self, idx: u32) -> bool {
        let series = &self.series[idx as usize];
        let is_open = series.extra.as_ref().is_some_and(|extra| extra.starts.count() > 0);
        is_open || series.chunk.starts_member().is_some()
    }

    /// Whether all samples of a time and later are here, and none of them is deleted.
    pub(crate) fn has_all_from(&self, from_ms: i64) -> bool {
        self.tombstones.is_empty() && (self.read_floor_ms == NEVER || self.read_floor_ms <= from_ms)
    }
}
