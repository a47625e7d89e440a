//! What goes into a block, in the order of its labels: series are found a slice at a time, so that neither a flush nor
//! a merge holds all of them, and a flush holds writers up only while it copies a slice.

use std::collections::VecDeque;
use std::sync::Arc;

use swell_model::{DurationMs, Labels, SelectError, SeriesData, TimeRange};

use crate::block::Loaded;
use crate::coarse::CoarsePart;
use crate::db::Inner;
use crate::head::{Head, RowCopies};
use crate::select::{Columns, Part, Selected, may_overlap, storage};
use crate::tombstones::Tombstones;

/// Series found at a time.
const SLICE_LEN: usize = 256;

/// Gives series in slices, in the order of their labels.
pub(crate) trait Slices {
    /// The next ones; none at the end.
    fn next_slice(&mut self) -> Result<Vec<Selected>, SelectError>;
}

/// Decodes what slices give, series by series.
pub(crate) struct Sliced<S> {
    source: S,
    columns: Columns,
    is_done: bool,
}

impl<S: Slices> Sliced<S> {
    /// `columns` says what is read of each series.
    pub(crate) const fn new(source: S, columns: Columns) -> Self {
        Self { source, columns, is_done: false }
    }

    /// Times of which a series had several values, of which one was taken, so far.
    pub(crate) const fn conflict_count(&self) -> u64 {
        self.columns.conflict_count()
    }
}

impl<S: Slices> Iterator for Sliced<S> {
    type Item = Result<SeriesData, SelectError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let next = self.columns.next();
            if self.is_done || next.is_some() {
                self.is_done |= matches!(next, Some(Err(_)));
                return next;
            }
            match self.source.next_slice() {
                Ok(slice) if slice.is_empty() => self.is_done = true,
                Ok(slice) => self.columns.refill(slice),
                Err(error) => {
                    self.is_done = true;
                    return Some(Err(error));
                }
            }
        }
    }
}

/// The head's series, while its samples in the range stay as they are: nothing but late samples may come for it, which
/// may be among what is read or not. No series is forgotten meanwhile, since only upkeep does that.
pub(crate) struct HeadSlices<'i> {
    inner: &'i Inner,
    order: std::vec::IntoIter<u32>,
    range: TimeRange,
    rows: RowCopies,
}

impl<'i> HeadSlices<'i> {
    /// Those of the series there are now that `which` names. Writers wait only while their labels are copied, as numbers.
    pub(crate) fn new(
        inner: &'i Inner,
        range: TimeRange,
        which: impl FnOnce(&Head) -> Vec<u32>,
    ) -> Self {
        let unsorted = {
            let state = inner.state.read();
            state.head.index.unsorted(which(&state.head))
        };
        Self { inner, order: unsorted.sort().into_iter(), range, rows: RowCopies::default() }
    }
}

impl Slices for HeadSlices<'_> {
    fn next_slice(&mut self) -> Result<Vec<Selected>, SelectError> {
        while self.order.len() > 0 {
            let indices: Vec<u32> = self.order.by_ref().take(SLICE_LEN).collect();
            let state = self.inner.state.read();
            let found = state.head.snapshot_with(&indices, self.range, &mut self.rows);
            drop(state);
            if found.is_empty() {
                continue;
            }
            let selected = found.into_iter().map(|mut series| Selected {
                labels: std::mem::take(&mut series.labels),
                parts: vec![Part::Head(series)],
                coarse: Vec::new(),
            });
            return Ok(selected.collect());
        }
        Ok(Vec::new())
    }
}

/// Series of blocks, merged by their labels. Samples of the oldest block come first.
pub(crate) struct BlockSlices {
    blocks: Vec<BlockCursor>,
    range: TimeRange,
}

/// Where a series was found.
enum Found {
    Part(Part),
    Coarse(CoarsePart),
    /// Nothing of it lies in the range.
    Nothing,
}

/// A place among the series of a block.
struct BlockCursor {
    loaded: Arc<Loaded>,
    tombstones: Arc<Tombstones<u32>>,
    next_idx: u32,
    ahead: VecDeque<(Labels, Found)>,
}

impl BlockSlices {
    /// Series with samples in the range, or aggregates.
    pub(crate) fn new(blocks: Vec<Arc<Loaded>>, range: TimeRange) -> Result<Self, SelectError> {
        let cursor = |loaded: Arc<Loaded>| {
            let tombstones = loaded.block.tombstones().map_err(|error| storage(&error))?;
            Ok(BlockCursor { loaded, tombstones, next_idx: 0, ahead: VecDeque::new() })
        };
        let blocks = blocks.into_iter().map(cursor).collect::<Result<_, SelectError>>()?;
        Ok(Self { blocks, range })
    }

    fn next_series(&mut self) -> Result<Option<Selected>, SelectError> {
        for block in &mut self.blocks {
            block.look_ahead(self.range)?;
        }
        let firsts = self.blocks.iter().filter_map(|block| block.ahead.front());
        let Some(labels) = firsts.map(|(labels, _)| labels).min().cloned() else {
            return Ok(None);
        };
        let mut series = Selected { labels, ..Selected::default() };
        for block in &mut self.blocks {
            let is_of_series = block.ahead.front().is_some_and(|it| it.0 == series.labels);
            match is_of_series.then(|| block.ahead.pop_front()).flatten() {
                Some((_, Found::Part(part))) => series.parts.push(part),
                Some((_, Found::Coarse(part))) => series.coarse.push(part),
                Some((_, Found::Nothing)) | None => {}
            }
        }
        Ok(Some(series))
    }
}

impl Slices for BlockSlices {
    fn next_slice(&mut self) -> Result<Vec<Selected>, SelectError> {
        let mut slice = Vec::with_capacity(SLICE_LEN);
        while slice.len() < SLICE_LEN
            && let Some(series) = self.next_series()?
        {
            if !series.parts.is_empty() || !series.coarse.is_empty() {
                slice.push(series);
            }
        }
        Ok(slice)
    }
}

impl BlockCursor {
    /// Finds the next series, unless some are found already or there are no more.
    fn look_ahead(&mut self, range: TimeRange) -> Result<(), SelectError> {
        let loaded = &self.loaded;
        let left = loaded.index.series_count() - self.next_idx;
        if !self.ahead.is_empty() || left == 0 {
            return Ok(());
        }
        let len = left.min(u32::try_from(SLICE_LEN).expect("a slice is short"));
        let indices: Vec<u32> = (self.next_idx..self.next_idx + len).collect();
        self.next_idx += len;
        let labels = loaded.index.labels(&indices);
        let labels = labels.map_err(|error| storage(&loaded.index_fault(error)))?;
        let series = loaded.series(&indices).map_err(|error| storage(&error))?;
        for (idx, (labels, series)) in indices.into_iter().zip(labels.into_iter().zip(series)) {
            let deleted = || self.tombstones.of(&idx).cloned();
            let found = if loaded.block.meta.resolution > DurationMs::ZERO {
                let (loaded, deleted) = (Arc::clone(loaded), deleted());
                Found::Coarse(CoarsePart { loaded, series, deleted })
            } else if may_overlap(&series, range) {
                Found::Part(Part::Block(Arc::clone(loaded), series, deleted()))
            } else {
                Found::Nothing
            };
            self.ahead.push_back((labels, found));
        }
        Ok(())
    }
}
