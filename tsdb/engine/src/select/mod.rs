//! Reads: series of head and blocks merged, columns decoded one series at a time, after all locks are gone.

mod columns;
mod decoder;
mod join;

use std::collections::HashMap;
use std::sync::Arc;

use swell_chunk::DecodeError;
use swell_model::{DurationMs, Labels, Matcher, SelectError, SelectHints, TimeRange};
use swell_telemetry::chain;

use crate::block::{Block, BlockSeries, Loaded, ReadBlockError};
use crate::coarse::CoarsePart;
use crate::head::{Head, HeadSeries};
use crate::tombstones::Intervals;

pub(crate) use columns::Columns;
pub(crate) use decoder::{Decoder, head_histograms};
pub(crate) use join::positions;

/// A series with the places its samples are in.
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
}

#[derive(Debug)]
pub(crate) enum Part {
    Block(Arc<Loaded>, BlockSeries, Option<Arc<Intervals>>),
    Head(HeadSeries),
}

/// Series of the blocks given, then of the head's snapshot, merged by labels; only parts that may have samples
/// in the range.
pub(crate) fn merge(
    blocks: &[Arc<Loaded>],
    head: Vec<HeadSeries>,
    matchers: &[Matcher],
    range: TimeRange,
) -> Result<Vec<Selected>, SelectError> {
    let mut selected: Vec<Selected> = Vec::new();
    let mut by_labels: HashMap<Labels, usize> = HashMap::new();
    // With one source nothing can meet, and the map is not needed.
    let source_count = blocks.len() + usize::from(!head.is_empty());
    let mut add = |labels: Labels, found: Found| {
        if source_count == 1 {
            let mut series = Selected { labels, ..Selected::default() };
            found.add_to(&mut series);
            selected.push(series);
            return;
        }
        let idx = *by_labels.entry(labels).or_insert_with_key(|labels| {
            selected.push(Selected { labels: labels.clone(), ..Selected::default() });
            selected.len() - 1
        });
        found.add_to(&mut selected[idx]);
    };
    for loaded in blocks {
        let found = swell_index::select(&loaded.index, matchers)
            .map_err(|error| storage(&loaded.index_fault(error)))?;
        let labels =
            loaded.index.labels(&found).map_err(|error| storage(&loaded.index_fault(error)))?;
        let series = loaded.series(&found).map_err(|error| storage(&error))?;
        let tombstones = loaded.block.tombstones().map_err(|error| storage(&error))?;
        for (idx, (labels, series)) in found.into_iter().zip(labels.into_iter().zip(series)) {
            let deleted = || tombstones.of(&idx).cloned();
            if loaded.block.meta.resolution > DurationMs::ZERO {
                let (loaded, deleted) = (Arc::clone(loaded), deleted());
                add(labels, Found::Coarse(CoarsePart { loaded, series, deleted }));
            } else if may_overlap(&series, range) {
                add(labels, Found::Part(Part::Block(Arc::clone(loaded), series, deleted())));
            }
        }
    }
    for series in head {
        add(series.labels.clone(), Found::Part(Part::Head(series)));
    }
    Ok(selected)
}

/// One place a series was found in.
enum Found {
    Part(Part),
    Coarse(CoarsePart),
}

impl Found {
    fn add_to(self, series: &mut Selected) {
        match self {
            Self::Part(part) => series.parts.push(part),
            Self::Coarse(part) => series.coarse.push(part),
        }
    }
}

fn may_overlap(series: &BlockSeries, range: TimeRange) -> bool {
    let floats = series.floats.as_ref().map(|columns| columns.times);
    let histograms = series.histograms.as_ref().map(|columns| columns.times);
    floats
        .into_iter()
        .chain(histograms)
        .any(|times| times.first_ms <= range.end_incl.0 && times.last_ms >= range.start_incl.0)
}

/// The head's part of a read.
pub(crate) fn snapshot(head: &Head, matchers: &[Matcher], hints: &SelectHints) -> Vec<HeadSeries> {
    let Ok(found) = swell_index::select(&head.index, matchers);
    head.snapshot(&found, hints.range)
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
) -> Result<Vec<Arc<Loaded>>, SelectError> {
    blocks
        .iter()
        .filter(|block| {
            // What stretches hold may be older than their ends.
            block.meta.resolution > DurationMs::ZERO || block.meta.range().overlaps(&range)
        })
        .map(|block| block.load(now).map_err(|error| storage(&error)))
        .collect()
}
