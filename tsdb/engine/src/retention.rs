//! What has served its time: pure functions of what is there.
//!
//! Age is measured from the newest sample in a block, never from the clock, so that a clock that jumps makes nothing
//! old by itself.

use swell_model::{DurationMs, Matcher, TimestampMs};

use crate::block::{BlockId, BlockMeta};
use crate::compact::downsample::Tier;

/// Blocks that one run deletes at most: a mistake costs a few of them before someone sees it.
pub(crate) const DELETE_MAX: usize = 4;
/// Series are deleted by rule in steps of this, so that not each run writes tombstones.
const CUT_STEP: DurationMs = DurationMs(3_600_000);

/// How long series that satisfy all matchers are kept.
#[derive(Clone, Debug, PartialEq)]
pub struct RetentionRule {
    /// Conditions on the labels.
    pub matchers: Vec<Matcher>,
    /// Older samples are deleted.
    pub time: DurationMs,
}

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits<'a> {
    /// Of series that no rule names.
    pub(crate) time: DurationMs,
    /// The first rule that names a series counts.
    pub(crate) rules: &'a [RetentionRule],
    /// Of all blocks together.
    pub(crate) size_bytes: Option<u64>,
}

/// Blocks to delete, and why no more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RetentionPlan {
    /// Oldest first, [`DELETE_MAX`] at most.
    pub(crate) delete: Vec<BlockId>,
    /// Time passed that no block has samples for: longer than the retention, so it may be a clock that jumped, and
    /// nothing before it is deleted for its age until as much has been stored after it.
    pub(crate) held_back_by_gap: Option<DurationMs>,
    /// Samples older than that are deleted of the series of each rule, and at the end of those that no rule names;
    /// `None` where whole blocks go in time.
    pub(crate) cuts: Vec<Option<TimestampMs>>,
    /// Aggregates older than that are deleted of the series of each rule.
    pub(crate) coarse_cuts: Vec<Option<TimestampMs>>,
}

impl Limits<'_> {
    /// How long any series is kept.
    pub(crate) fn longest(&self) -> DurationMs {
        self.rules.iter().map(|rule| rule.time).fold(self.time, DurationMs::max)
    }
}

/// Blocks of aggregates to delete, oldest first, [`DELETE_MAX`] at most: those that are older than their tier is kept,
/// those of no tier as samples are, and the oldest while all together exceed half of the size. `newest` is the
/// newest sample of a block.
pub(crate) fn plan_coarse(
    coarse: &[BlockMeta],
    tiers: &[Tier],
    limits: &Limits<'_>,
    newest: TimestampMs,
) -> Vec<BlockId> {
    let mut blocks: Vec<&BlockMeta> = coarse.iter().collect();
    blocks.sort_by_key(|meta| (meta.max, meta.id));
    let kept = |meta: &BlockMeta| {
        let tier = tiers.iter().find(|tier| tier.resolution == meta.resolution);
        tier.map_or(limits.longest(), |tier| tier.retention)
    };
    let mut total: u64 = blocks.iter().map(|meta| meta.file_bytes).sum();
    let mut expired = Vec::new();
    for meta in blocks {
        let is_too_much = limits.size_bytes.is_some_and(|limit| total > limit / 2);
        if newest.since(meta.max) > kept(meta) || is_too_much {
            total -= meta.file_bytes;
            expired.push(meta.id);
        }
    }
    expired.truncate(DELETE_MAX);
    expired
}

/// Deletes blocks older than the longest time that any series is kept, and the oldest blocks while all together
/// exceed the size; never the newest block.
///
/// Of `held` blocks none goes for its age: they are still needed.
pub(crate) fn plan(metas: &[BlockMeta], limits: &Limits<'_>, held: &[BlockId]) -> RetentionPlan {
    let time = limits.longest();
    let mut blocks: Vec<&BlockMeta> = metas.iter().collect();
    blocks.sort_by_key(|meta| (meta.max, meta.id));
    let Some((newest, older)) = blocks.split_last() else { return RetentionPlan::default() };
    let mut plan = RetentionPlan::default();
    // From the newest block back: how old a block is counts only across times that were covered.
    let mut covered_from = newest.min;
    let mut expired = 0;
    for (idx, block) in older.iter().enumerate().rev() {
        let gap = covered_from.since(block.max);
        if gap > limits.time && newest.max.since(covered_from) < limits.time {
            plan.held_back_by_gap = Some(gap);
            break;
        }
        if newest.max.since(block.max) > time {
            expired = idx + 1;
            break;
        }
        covered_from = covered_from.min(block.min);
    }
    if let Some(first_held) = blocks[..expired].iter().position(|meta| held.contains(&meta.id)) {
        expired = first_held;
    }
    let mut total: u64 = blocks[expired..].iter().map(|block| block.file_bytes).sum();
    while let Some(limit) = limits.size_bytes
        && total > limit
        && expired < older.len()
    {
        total -= blocks[expired].file_bytes;
        expired += 1;
    }
    let expired = expired.min(DELETE_MAX);
    plan.delete = blocks[..expired].iter().map(|block| block.id).collect();
    if plan.held_back_by_gap.is_none() && !limits.rules.is_empty() {
        let cut = |kept: DurationMs| {
            let at = newest.max - kept;
            (kept < time).then(|| TimestampMs(at.0.saturating_sub(at.0.rem_euclid(CUT_STEP.0))))
        };
        let times = limits.rules.iter().map(|rule| rule.time).chain([limits.time]);
        plan.cuts = times.map(cut).collect();
        let coarse_cut = |rule: &RetentionRule| {
            let at = newest.max - rule.time;
            Some(TimestampMs(at.0.saturating_sub(at.0.rem_euclid(CUT_STEP.0))))
        };
        plan.coarse_cuts = limits.rules.iter().map(coarse_cut).collect();
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;

    fn metas(days: &[i64]) -> Vec<BlockMeta> {
        let of = |(id, day): (u64, &i64)| {
            let (start, end) = (TimestampMs(day * DAY), TimestampMs((day + 1) * DAY));
            BlockMeta {
                id: BlockId(id),
                start,
                end,
                resolution: DurationMs::ZERO,
                min: start,
                max: end,
                series_count: 1,
                chunk_count: 1,
                sample_count: 1,
                sources: Vec::new(),
                file_bytes: 10,
                index_bytes: 1,
            }
        };
        (1u64..).zip(days).map(of).collect()
    }

    fn check(
        days: &[i64],
        time_days: i64,
        size_bytes: Option<u64>,
        deleted: &[u64],
        gap_days: Option<i64>,
    ) {
        let mut metas = metas(days);
        let expected = RetentionPlan {
            delete: deleted.iter().copied().map(BlockId).collect(),
            held_back_by_gap: gap_days.map(|days| DurationMs(days * DAY)),
            ..RetentionPlan::default()
        };
        let limits = Limits { time: DurationMs(time_days * DAY), rules: &[], size_bytes };
        assert_eq!(plan(&metas, &limits, &[]), expected);
        metas.reverse();
        assert_eq!(plan(&metas, &limits, &[]), expected);
        metas.retain(|meta| !deleted.contains(&meta.id.0));
        let again = plan(&metas, &limits, &[]);
        assert!(again.delete.is_empty() || deleted.len() == DELETE_MAX, "{again:?}");
    }

    #[test]
    fn old_blocks_go() {
        check(&[], 15, None, &[], None);
        check(&[1], 15, None, &[], None);
        check(&[1, 2, 3], 15, None, &[], None);
        check(&[1, 2, 10, 17], 15, None, &[1], None);
        check(&[1, 2, 10, 18], 15, None, &[1, 2], None);
    }

    #[test]
    fn large_databases_lose_their_oldest_blocks() {
        check(&[1, 2, 3, 4], 15, Some(25), &[1, 2], None);
        check(&[1, 2], 15, Some(1), &[1], None);
        check(&[1, 2], 15, Some(20), &[], None);
    }

    #[test]
    fn a_run_deletes_a_few_blocks_however_many_are_due() {
        check(&[1, 2, 3, 4, 5, 6, 7, 20, 28], 15, None, &[1, 2, 3, 4], None);
        check(&[1, 2, 3, 4, 5, 6, 7], 15, Some(5), &[1, 2, 3, 4], None);
    }

    #[test]
    fn a_jump_of_the_clock_deletes_nothing() {
        check(&[1, 2, 3, 3653], 15, None, &[], Some(3649));
        check(&[1, 2, 3653, 3660], 15, None, &[], Some(3650));
        check(&[1, 2, 3653, 3660, 3668], 15, None, &[1, 2], None);
        check(&[1, 2, 3653], 15, Some(20), &[1], Some(3650));
    }

    #[test]
    fn rules_cut_series_out_of_blocks_that_stay() {
        let rule = |days: i64| RetentionRule { matchers: Vec::new(), time: DurationMs(days * DAY) };
        let cuts = |days: &[i64], rules: &[RetentionRule]| {
            let limits = Limits { time: DurationMs(15 * DAY), rules, size_bytes: None };
            let plan = plan(&metas(days), &limits, &[]);
            let cuts: Vec<Option<i64>> =
                plan.cuts.iter().map(|cut| cut.map(|at| at.0 / DAY)).collect();
            (plan.delete.len(), cuts)
        };
        assert_eq!(cuts(&[1, 9, 18], &[rule(2)]), (1, vec![Some(17), None]));
        let longer = [rule(2), rule(30)];
        assert_eq!(cuts(&[1, 9, 18], &longer), (0, vec![Some(17), None, Some(4)]));
        assert_eq!(cuts(&[1, 4000], &[rule(2)]), (0, vec![]), "held back after a jump");
        assert_eq!(cuts(&[1, 2], &[]), (0, vec![]));
    }
}
