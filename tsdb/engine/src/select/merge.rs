//! Series of several sources made one. Blocks and head meet by the identities of their series, so that labels are built
//! once for each series, whatever the number of blocks it is in, and not at all where only its group is wanted.

use std::collections::HashMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use swell_index::Identity;
use swell_model::{DurationMs, Grouping, Labels, Matcher, SelectError, TimeRange};

use super::{OnDamage, Part, Selected, storage};
use crate::block::{BlockSeries, Loaded, ReadBlockError};
use crate::coarse::CoarsePart;
use crate::head::HeadSeries;
use crate::tombstones::Tombstones;

/// Series of the blocks given, then of the head's snapshot, those with the same labels made one; only parts that may have
/// samples in the range.
pub(crate) fn merge(
    blocks: &[Arc<Loaded>],
    head: Vec<HeadSeries>,
    matchers: &[Matcher],
    range: TimeRange,
    on_damage: OnDamage,
) -> Result<Vec<Selected>, SelectError> {
    let mut meeting = Meeting::of(blocks.len() + usize::from(!head.is_empty()));
    // Of each series the block it was found in first, and its index there.
    let mut found_in: Vec<(usize, u32)> = Vec::new();
    for (nr, loaded) in blocks.iter().enumerate() {
        let asked = (matchers, range, on_damage);
        meeting.add_block(loaded, asked, |idx| found_in.push((nr, idx)))?;
    }
    for series in head {
        let identity = || Identity::of(&series.labels);
        let slot = meeting.slot(identity);
        meeting.selected[slot].labels = series.labels.clone();
        meeting.selected[slot].parts.push(Part::Head(series));
    }
    let mut selected = meeting.selected;
    let mut unlabelled: Vec<(Vec<usize>, Vec<u32>)> = vec![Default::default(); blocks.len()];
    for (slot, (nr, idx)) in found_in.into_iter().enumerate() {
        if selected[slot].labels.is_empty() {
            unlabelled[nr].0.push(slot);
            unlabelled[nr].1.push(idx);
        }
    }
    for (loaded, (slots, indices)) in blocks.iter().zip(unlabelled) {
        let labels = loaded.index.labels(&indices);
        let labels = labels.map_err(|error| storage(&loaded.index_fault(error)))?;
        for (slot, labels) in slots.into_iter().zip(labels) {
            selected[slot].labels = labels;
        }
    }
    Ok(selected)
}

/// Series of the head without their labels.
pub(crate) struct HeadInGroups {
    /// Each with its identity and the index of its group.
    pub(crate) series: Vec<(HeadSeries, Identity, u32)>,
    pub(crate) groups: Arc<[Labels]>,
}

/// Series, each with the index of its group, and the labels of the groups.
pub(crate) type InGroups = (Vec<(Selected, u32)>, Arc<[Labels]>);

/// As [`merge`], without labels of series.
pub(crate) fn merge_in_groups(
    blocks: &[Arc<Loaded>],
    head: HeadInGroups,
    asked: (&[Matcher], TimeRange, OnDamage),
    grouping: Grouping<'_>,
) -> Result<InGroups, SelectError> {
    let mut groups = Groups::default();
    let mut group_of: Vec<u32> = Vec::new();
    // With one source nothing can meet; a head without series may still be there.
    let mut meeting = Meeting::of(blocks.len() + usize::from(!head.series.is_empty()));
    for loaded in blocks {
        let mut new = Vec::new();
        meeting.add_block(loaded, asked, |idx| new.push(idx))?;
        let grouped = loaded.index.group(&new, grouping);
        let (of_new, labels) = grouped.map_err(|error| storage(&loaded.index_fault(error)))?;
        let numbers: Vec<u32> = labels.into_iter().map(|labels| groups.number(labels)).collect();
        group_of.extend(of_new.into_iter().map(|group| numbers[group as usize]));
    }
    let numbers: Vec<u32> =
        head.groups.iter().map(|labels| groups.number(labels.clone())).collect();
    for (series, identity, group) in head.series {
        let slot = meeting.slot(|| identity);
        if slot == group_of.len() {
            group_of.push(numbers[group as usize]);
        }
        meeting.selected[slot].parts.push(Part::Head(series));
    }
    let series = meeting.selected.into_iter().zip(group_of).collect();
    Ok((series, groups.labels.into()))
}

/// Labels of groups, each once.
#[derive(Default)]
struct Groups {
    labels: Vec<Labels>,
    by_labels: HashMap<Labels, u32>,
}

impl Groups {
    fn number(&mut self, labels: Labels) -> u32 {
        let next = u32::try_from(self.labels.len()).expect("no more groups than series");
        *self.by_labels.entry(labels).or_insert_with_key(|labels| {
            self.labels.push(labels.clone());
            next
        })
    }
}

/// Series met so far.
struct Meeting {
    selected: Vec<Selected>,
    /// Indices into these; with one source nothing can meet, and it stays empty.
    by_identity: FxHashMap<Identity, usize>,
    has_many: bool,
}

impl Meeting {
    fn of(source_count: usize) -> Self {
        let has_many = source_count > 1;
        Self { selected: Vec::new(), by_identity: FxHashMap::default(), has_many }
    }

    /// Where the series of this identity is, added now if it was not met before.
    fn slot(&mut self, identity: impl FnOnce() -> Identity) -> usize {
        let next = self.selected.len();
        let slot =
            if self.has_many { *self.by_identity.entry(identity()).or_insert(next) } else { next };
        if slot == next {
            self.selected.push(Selected::default());
        }
        slot
    }

    /// Adds the series of a block that may have samples in the range; says the index of each that was not met before.
    fn add_block(
        &mut self,
        loaded: &Arc<Loaded>,
        (matchers, range, on_damage): (&[Matcher], TimeRange, OnDamage),
        mut is_new: impl FnMut(u32),
    ) -> Result<(), SelectError> {
        let is_coarse = loaded.block.meta.resolution > DurationMs::ZERO;
        let found = on_damage.check(find(loaded, matchers, range, self.has_many))?;
        let Some(Matching { found, series, identities, tombstones }) = found else { return Ok(()) };
        for (nr, (idx, series)) in found.into_iter().zip(series).enumerate() {
            let known = self.selected.len();
            let slot = self.slot(|| identities[nr]);
            if slot == known {
                is_new(idx);
            }
            let (loaded, deleted) = (Arc::clone(loaded), tombstones.of(&idx).cloned());
            let selected = &mut self.selected[slot];
            if is_coarse {
                selected.coarse.push(CoarsePart { loaded, series, deleted });
            } else {
                selected.parts.push(Part::Block(loaded, series, deleted));
            }
        }
        Ok(())
    }
}

/// Series of a block that satisfy all matchers, and may have samples in the range.
struct Matching {
    found: Vec<u32>,
    series: Vec<BlockSeries>,
    /// Where they are asked for.
    identities: Vec<Identity>,
    tombstones: Arc<Tombstones<u32>>,
}

fn find(
    loaded: &Loaded,
    matchers: &[Matcher],
    range: TimeRange,
    with_identities: bool,
) -> Result<Matching, ReadBlockError> {
    let found = swell_index::select(&loaded.index, matchers);
    let found = found.map_err(|error| loaded.index_fault(error))?;
    let is_coarse = loaded.block.meta.resolution > DurationMs::ZERO;
    let series = loaded.series(&found)?;
    let (found, series): (Vec<u32>, Vec<BlockSeries>) = found
        .into_iter()
        .zip(series)
        .filter(|(_, series)| is_coarse || may_overlap(series, range))
        .unzip();
    let identities = if with_identities { loaded.identities(&found)? } else { Vec::new() };
    Ok(Matching { found, series, identities, tombstones: loaded.block.tombstones()? })
}

/// Whether a series of a block may have samples in the range.
pub(crate) fn may_overlap(series: &BlockSeries, range: TimeRange) -> bool {
    let floats = series.floats.as_ref().map(|columns| columns.times);
    let histograms = series.histograms.as_ref().map(|columns| columns.times);
    floats
        .into_iter()
        .chain(histograms)
        .any(|times| times.first_ms <= range.end_incl.0 && times.last_ms >= range.start_incl.0)
}
