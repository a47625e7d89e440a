//! Which days of samples are to be written as aggregates of stretches as well: a pure function of what is there.

use std::collections::BTreeSet;

use swell_model::{DurationMs, TimestampMs};

use super::plan::{Candidate, DAY, Reason, Rewrite, Window, window_of};
use crate::block::{BlockId, BlockMeta};

/// A resolution that is kept beside the samples, and after them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tier {
    /// Length of the stretches that become one aggregate each; it divides an hour.
    pub resolution: DurationMs,
    /// Older aggregates are deleted, measured from the newest block.
    pub retention: DurationMs,
}

/// All windows that are to be aggregated and were not given up, oldest first.
///
/// A window is a day. It is due when no sample of it can come any more, which is so before `settled`, and when
/// `coarse` has no block of the resolution for it. Days that are older than their aggregates are kept are passed over.
pub(crate) fn due(
    samples: &[Candidate],
    coarse: &[BlockMeta],
    tiers: &[Tier],
    settled: TimestampMs,
    given_up: &[Rewrite],
) -> Vec<Rewrite> {
    let Some(newest) = samples.iter().map(|block| block.meta.max).max() else { return Vec::new() };
    let days: BTreeSet<Window> = samples.iter().flat_map(|block| days_of(&block.meta)).collect();
    let covered: Vec<Vec<Window>> = tiers.iter().map(|tier| covered_by(coarse, *tier)).collect();
    let mut due = Vec::new();
    for window in days.into_iter().filter(|window| window.1 < settled) {
        for (tier, covered) in tiers.iter().zip(&covered) {
            let before = covered.partition_point(|there| there.0 <= window.0);
            let is_covered = before > 0 && window.1 <= covered[before - 1].1;
            if is_covered || newest.since(window.1) > tier.retention {
                continue;
            }
            // Its last stretch holds its end.
            let reaches = |meta: &BlockMeta| meta.min <= window.1 && meta.max > window.0;
            let mut sources: Vec<BlockId> = samples
                .iter()
                .filter(|block| reaches(&block.meta))
                .map(|block| block.meta.id)
                .collect();
            sources.sort();
            let resolution = tier.resolution;
            due.push(Rewrite { reason: Reason::Downsample, sources, window, resolution });
        }
    }
    due.retain(|rewrite| !rewrite.sources.is_empty() && !given_up.contains(rewrite));
    due
}

/// Windows of the blocks of a tier, rising; they lie apart.
fn covered_by(coarse: &[BlockMeta], tier: Tier) -> Vec<Window> {
    let of_it = coarse.iter().filter(|meta| meta.resolution == tier.resolution);
    let mut windows: Vec<Window> = of_it.map(|meta| (meta.start, meta.end)).collect();
    windows.sort();
    windows
}

/// Days that a block has samples in; a sample at the very start of one is of the day before.
fn days_of(meta: &BlockMeta) -> impl Iterator<Item = Window> + use<> {
    let (first, last) = (meta.min - DurationMs(1), meta.max - DurationMs(1));
    let mut next = Some(window_of(first, DAY));
    std::iter::from_fn(move || {
        let window = next.take().filter(|window| window.0 <= last)?;
        next = Some((window.1, window.1 + DAY));
        Some(window)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: i64 = 3_600_000;

    fn meta(id: u64, resolution: DurationMs, start_h: i64, end_h: i64) -> BlockMeta {
        let (start, end) = (TimestampMs(start_h * HOUR), TimestampMs(end_h * HOUR));
        BlockMeta {
            id: BlockId(id),
            start,
            end,
            resolution,
            min: start + DurationMs(1),
            max: end - DurationMs(1),
            series_count: 1,
            chunk_count: 1,
            sample_count: 1,
            sources: Vec::new(),
            file_bytes: 1,
            index_bytes: 1,
        }
    }

    fn samples(blocks: &[(i64, i64)]) -> Vec<Candidate> {
        let metas = (1u64..).zip(blocks).map(|(id, (s, e))| meta(id, DurationMs::ZERO, *s, *e));
        metas.map(|meta| Candidate { meta, deleted_series_count: 0 }).collect()
    }

    fn tier(resolution_ms: i64, retention_d: i64) -> Tier {
        let retention = DurationMs(retention_d * 24 * HOUR);
        Tier { resolution: DurationMs(resolution_ms), retention }
    }

    fn check(blocks: &[(i64, i64)], settled_h: i64, expected: &[(&[u64], (i64, i64), i64)]) {
        let tiers = [tier(300_000, 90), tier(HOUR, 400)];
        let settled = TimestampMs(settled_h * HOUR);
        let found: Vec<_> = due(&samples(blocks), &[], &tiers, settled, &[])
            .into_iter()
            .map(|it| {
                let ids: Vec<u64> = it.sources.iter().map(|id| id.0).collect();
                (ids, (it.window.0.0 / HOUR, it.window.1.0 / HOUR), it.resolution.0)
            })
            .collect();
        let expected: Vec<_> =
            expected.iter().map(|(ids, window, ms)| (ids.to_vec(), *window, *ms)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_day_is_due_once_nothing_can_come_for_it() {
        check(&[(0, 2), (2, 24), (24, 26)], 24, &[]);
        let both: &[(&[u64], (i64, i64), i64)] =
            &[(&[1, 2], (0, 24), 300_000), (&[1, 2], (0, 24), HOUR)];
        check(&[(0, 2), (2, 24), (24, 26)], 25, both);
        check(&[(0, 2), (2, 24), (24, 26)], 48, both);
        check(&[], 48, &[]);
    }

    #[test]
    fn what_is_there_given_up_or_too_old_is_not_due() {
        let blocks = samples(&[(0, 192)]);
        let tiers = [tier(HOUR, 4)];
        let settled = TimestampMs(190 * HOUR);
        let all = due(&blocks, &[], &tiers, settled, &[]);
        let days: Vec<i64> = all.iter().map(|it| it.window.0.0 / HOUR / 24).collect();
        assert_eq!(days, [3, 4, 5, 6], "older ones would be deleted at once");
        let there = [meta(9, DurationMs(HOUR), 96, 144), meta(10, DurationMs(60_000), 0, 192)];
        let left = due(&blocks, &there, &tiers, settled, &all[..1]);
        assert_eq!(left, all[3..]);
    }

    proptest! {
        #[test]
        fn planning_again_after_each_day_comes_to_an_end_in_any_order(
            starts in prop::collection::btree_set(0i64..60, 1..20),
            settled_h in 0i64..200,
            retention_d in 1i64..10,
        ) {
            let blocks: Vec<(i64, i64)> = starts.iter().map(|at| (at * 2, at * 2 + 2)).collect();
            let mut blocks = samples(&blocks);
            let tiers = [tier(60_000, retention_d), tier(HOUR, 30)];
            let settled = TimestampMs(settled_h * HOUR);
            let mut coarse = Vec::new();
            let first = due(&blocks, &coarse, &tiers, settled, &[]);
            blocks.reverse();
            prop_assert_eq!(&due(&blocks, &coarse, &tiers, settled, &[]), &first);
            while let Some(next) = due(&blocks, &coarse, &tiers, settled, &[]).first() {
                prop_assert!(coarse.len() < first.len());
                let (start_h, end_h) = (next.window.0.0 / HOUR, next.window.1.0 / HOUR);
                coarse.push(meta(1000 + coarse.len() as u64, next.resolution, start_h, end_h));
            }
            prop_assert_eq!(coarse.len(), first.len());
        }
    }
}
