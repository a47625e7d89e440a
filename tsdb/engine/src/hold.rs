//! What an archive needs of the database: which times it has for certain, and that nothing goes before it is archived.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use swell_model::{TimeRange, TimestampMs};

use crate::db::Db;

impl Db {
    /// Keeps blocks with samples at or after `from` although their time is over, until told otherwise: `TimestampMs::MAX`,
    /// the state at open, keeps none.
    pub fn hold_from(&self, from: TimestampMs) {
        self.inner.hold_from_ms.store(from.0, Ordering::Relaxed);
    }

    /// Times of the samples in blocks; `None` without blocks.
    #[must_use]
    pub fn block_range(&self) -> Option<TimeRange> {
        let blocks = Arc::clone(&self.inner.state.read().blocks);
        let first = blocks.iter().map(|block| block.meta.min).min()?;
        let last = blocks.iter().map(|block| block.meta.max).max()?;
        Some(TimeRange { start_incl: first, end_incl: last })
    }

    /// Times of all samples; `None` without any.
    #[must_use]
    pub fn range(&self) -> Option<TimeRange> {
        let head = self.inner.state.read().head.range();
        let blocks = self.block_range();
        let both = [head, blocks].into_iter().flatten();
        both.reduce(|a, b| TimeRange {
            start_incl: a.start_incl.min(b.start_incl),
            end_incl: a.end_incl.max(b.end_incl),
        })
    }

    /// From this time on the database has all there is: blocks that lie one behind the other, and the head. `None`
    /// without samples. Older blocks behind a gap do not count, since what is between may have been deleted.
    #[must_use]
    pub fn unbroken_from(&self) -> Option<TimestampMs> {
        let (blocks, head) = {
            let state = self.inner.state.read();
            (Arc::clone(&state.blocks), state.head.range())
        };
        let mut from = head.map(|range| range.start_incl);
        let mut newest_first: Vec<_> = blocks.iter().map(|block| &block.meta).collect();
        newest_first.sort_by_key(|meta| std::cmp::Reverse((meta.end, meta.start)));
        for meta in newest_first {
            match from {
                // The head's window begins where the last block ends, its samples may begin later.
                Some(known) if meta.end.0 + crate::compact::plan::FLUSH_SPAN.0 < known.0 => break,
                Some(known) => from = Some(known.min(meta.start)),
                None => from = Some(meta.start),
            }
        }
        from
    }
}
