//! Which blocks have served their time: a pure function of what is there.

use swell_model::DurationMs;

use crate::block::{BlockId, BlockMeta};

/// Blocks to delete, and why no more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RetentionPlan {
    /// Oldest first.
    pub(crate) delete: Vec<BlockId>,
    /// Time passed that no block has samples for: longer than the retention, so it may be a clock that jumped, and
    /// nothing before it is deleted for its age until as much has been stored after it.
    pub(crate) held_back_by_gap: Option<DurationMs>,
}

/// Deletes blocks older than `time`, measured from the newest sample in a block, and the oldest blocks while all
/// together exceed `size_bytes`; never the newest block.
pub(crate) fn plan(
    metas: &[BlockMeta],
    time: DurationMs,
    size_bytes: Option<u64>,
) -> RetentionPlan {
    let mut blocks: Vec<&BlockMeta> = metas.iter().collect();
    blocks.sort_by_key(|meta| (meta.max, meta.id));
    let Some((newest, older)) = blocks.split_last() else { return RetentionPlan::default() };
    let mut plan = RetentionPlan::default();
    // From the newest block back: how old a block is counts only across times that were covered.
    let mut covered_from = newest.min;
    let mut expired = 0;
    for (idx, block) in older.iter().enumerate().rev() {
        if newest.max.since(block.max) > time {
            let gap = covered_from.since(block.max);
            if gap > time && newest.max.since(covered_from) < time {
                plan.held_back_by_gap = Some(gap);
            } else {
                expired = idx + 1;
            }
            break;
        }
        covered_from = covered_from.min(block.min);
    }
    let mut total: u64 = blocks[expired..].iter().map(|block| block.file_bytes).sum();
    while let Some(limit) = size_bytes
        && total > limit
        && expired < older.len()
    {
        total -= blocks[expired].file_bytes;
        expired += 1;
    }
    plan.delete = blocks[..expired].iter().map(|block| block.id).collect();
    plan
}

#[cfg(test)]
mod tests {
    use swell_model::TimestampMs;

    use super::*;

    const DAY: i64 = 86_400_000;

    fn check(
        days: &[i64],
        time_days: i64,
        size_bytes: Option<u64>,
        deleted: &[u64],
        gap_days: Option<i64>,
    ) {
        let metas: Vec<BlockMeta> = (1u64..)
            .zip(days)
            .map(|(id, day)| {
                let (start, end) = (TimestampMs(day * DAY), TimestampMs((day + 1) * DAY));
                BlockMeta {
                    id: BlockId(id),
                    start,
                    end,
                    min: start,
                    max: end,
                    series_count: 1,
                    chunk_count: 1,
                    sample_count: 1,
                    sources: Vec::new(),
                    file_bytes: 10,
                    index_bytes: 1,
                }
            })
            .collect();
        let expected = RetentionPlan {
            delete: deleted.iter().copied().map(BlockId).collect(),
            held_back_by_gap: gap_days.map(|days| DurationMs(days * DAY)),
        };
        assert_eq!(plan(&metas, DurationMs(time_days * DAY), size_bytes), expected);
        let reversed: Vec<BlockMeta> = metas.into_iter().rev().collect();
        assert_eq!(plan(&reversed, DurationMs(time_days * DAY), size_bytes), expected);
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
    fn a_jump_of_the_clock_deletes_nothing() {
        check(&[1, 2, 3, 3653], 15, None, &[], Some(3649));
        check(&[1, 2, 3653, 3660], 15, None, &[], Some(3650));
        check(&[1, 2, 3653, 3660, 3668], 15, None, &[1, 2], None);
        check(&[1, 2, 3653], 15, Some(20), &[1], Some(3650));
    }
}
