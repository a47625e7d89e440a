//! Reads: series of head and blocks merged, columns decoded one series at a time, after all locks are gone.

mod columns;
mod decoder;
mod fold;
mod join;
mod merge;

use std::sync::Arc;

use swell_chunk::DecodeError;
use swell_model::{DurationMs, Labels, SelectError, SelectHints, TimeRange};
use swell_telemetry::chain;

use crate::block::{Block, BlockSeries, Loaded, ReadBlockError};
use crate::coarse::CoarsePart;
use crate::head::HeadSeries;
use crate::tombstones::Intervals;

pub(crate) use columns::{Columns, Reading};
pub(crate) use decoder::{Decoder, head_histograms};
pub(crate) use fold::Folding;
pub(crate) use join::positions;
pub(crate) use merge::{HeadInGroups, may_overlap, merge, merge_in_groups};

/// A series with the places its samples are in; without labels where its group is known instead.
#[derive(Debug, Default)]
pub(crate) struct Selected {
    pub(crate) labels: Labels,
    /// Oldest block first, the head last. Of samples at one time the one counts that wins by the rule of the head's
    /// late samples, whatever part it is in.
    pub(crate) parts: Vec<Part>,
    /// Aggregates of its samples, where blocks of a resolution were given.
    pub(crate) coarse: Vec<CoarsePart>,
}

impl Selected {
    fn has_deletions(&self) -> bool {
        self.parts.iter().any(|part| match part {
            Part::Block(.., deleted) => deleted.is_some(),
            Part::Head(columns) => columns.deleted.is_some(),
        })
    }

    /// Leaves out what is in damaged blocks; gives whether there was any.
    fn pass_over_damage(&mut self) -> bool {
        let (parts, coarse) = (self.parts.len(), self.coarse.len());
        self.parts.retain(|part| match part {
            Part::Block(loaded, ..) => loaded.block.damage().is_none(),
            Part::Head(_) => true,
        });
        self.coarse.retain(|part| part.loaded.block.damage().is_none());
        self.parts.len() < parts || self.coarse.len() < coarse
    }
}

/// What becomes of a read that meets damage. The block remembers it, whatever is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnDamage {
    /// It is an error.
    Fail,
    /// It goes on without what is damaged: for readers that show [`crate::Db::warnings`].
    PassOver,
}

impl OnDamage {
    pub(crate) const fn of(hints: &SelectHints) -> Self {
        if hints.passes_over_damage { Self::PassOver } else { Self::Fail }
    }

    /// What was read; nothing where it is damaged and that is passed over.
    pub(crate) fn check<T>(
        self,
        read: Result<T, ReadBlockError>,
    ) -> Result<Option<T>, SelectError> {
        match read {
            Ok(read) => Ok(Some(read)),
            Err(ReadBlockError::Damaged { .. }) if self == Self::PassOver => Ok(None),
            Err(error) => Err(storage(&error)),
        }
    }
}

#[derive(Debug)]
pub(crate) enum Part {
    Block(Arc<Loaded>, BlockSeries, Option<Arc<Intervals>>),
    Head(HeadSeries),
}

/// A failed read of a block as the reader sees it.
pub(crate) fn storage(error: &ReadBlockError) -> SelectError {
    let way_out = match error {
        ReadBlockError::Damaged { .. } => ": move the file away, or restore it from a backup",
        ReadBlockError::Read { .. } | ReadBlockError::Newer { .. } => "",
    };
    SelectError::Storage { what: format!("{}{way_out}", chain(error)) }
}

pub(crate) fn head_fault(error: DecodeError) -> SelectError {
    SelectError::Storage { what: format!("a column in memory: {}", chain(&error)) }
}

/// Blocks that may have samples in the range, loaded.
pub(crate) fn load(
    blocks: &[Arc<Block>],
    range: TimeRange,
    now: swell_env::Monotonic,
    on_damage: OnDamage,
) -> Result<Vec<Arc<Loaded>>, SelectError> {
    blocks
        .iter()
        .filter(|block| {
            // What stretches hold may be older than their ends.
            block.meta.resolution > DurationMs::ZERO || block.meta.range().overlaps(&range)
        })
        .filter_map(|block| on_damage.check(block.load(now)).transpose())
        .collect()
}
