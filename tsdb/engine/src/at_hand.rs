//! What a read would look at, where all of it is in memory.

use std::sync::Arc;

use swell_index::{LabelIndex as _, VALUES_PER_SERIES, foresee};
use swell_model::{AtHand, Matcher, TimeRange, Wanted};

use crate::block::Block;
use crate::coarse::may_have;
use crate::db::{Db, State};

/// Series that a selection may find.
const SERIES_MAX: usize = 1024;
/// Values of labels that finding them may look at.
const EFFORT_MAX: usize = SERIES_MAX * VALUES_PER_SERIES;
/// Bytes of a pattern: one of thousands of alternatives takes long for each value.
const PATTERN_BYTES_MAX: usize = 512;

impl Db {
    /// See [`swell_model::SeriesSource::at_hand`]. Nothing is at hand while somebody writes.
    pub(crate) fn looked_at(
        &self,
        wanted: Wanted<'_>,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Option<AtHand> {
        let state = self.inner.state.try_read()?;
        let mut older = state.blocks.iter().filter(|block| block.meta.range().overlaps(&range));
        let mut coarse = state.coarse.iter().filter(|block| may_have(&block.meta, range));
        if wanted == Wanted::Samples || !matchers.is_empty() {
            // Frames are read, and postings decoded.
            if older.next().is_some() || coarse.next().is_some() {
                return None;
            }
            return few(&state, matchers);
        }
        let count = |index: &dyn Fn(&str) -> usize, names: usize| match wanted {
            Wanted::Values(name) => index(name),
            Wanted::Names | Wanted::Samples => names,
        };
        let head = &state.head.index;
        let in_head = count(&|name| head.value_count(name), head.names().count());
        let found = older.chain(coarse).try_fold(in_head, |sum: usize, block: &Arc<Block>| {
            let index = &block.in_use()?.index;
            Some(sum + count(&|name| index.value_count(name), index.names().count()))
        })?;
        // They are listed, not searched for.
        Some(AtHand { found, looked_at: 0 })
    }
}

/// What a selection of the head looks at, where it is told by the index that this is little.
fn few(state: &State, matchers: &[Matcher]) -> Option<AtHand> {
    let head = &state.head;
    if matchers.iter().any(|matcher| matcher.value.len() > PATTERN_BYTES_MAX) {
        return None;
    }
    let Ok(foreseen) = foresee(&head.index, matchers, EFFORT_MAX);
    if foreseen.series_max > SERIES_MAX || foreseen.effort > EFFORT_MAX {
        return None;
    }
    let Ok(found) = swell_index::select(&head.index, matchers);
    if found.iter().any(|idx| head.has_histograms(*idx)) {
        return None;
    }
    Some(AtHand { found: found.len(), looked_at: foreseen.effort.div_ceil(VALUES_PER_SERIES) })
}
