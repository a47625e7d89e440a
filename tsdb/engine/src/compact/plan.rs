//! What to write next: pure functions of what is there.

use swell_model::{DurationMs, TimeRange, TimestampMs};

use crate::block::{BlockId, BlockMeta};

/// Length of the blocks the head is flushed into.
pub(crate) const FLUSH_SPAN: DurationMs = DurationMs(2 * 3_600_000);
/// The head keeps a window open this long after it has ended, for targets that report late.
const FLUSH_DELAY: DurationMs = DurationMs(3_600_000);
/// Lengths of the blocks that are merged from smaller ones, rising.
const LEVEL_SPANS: [DurationMs; 2] = [DurationMs(24 * 3_600_000), DurationMs(8 * 24 * 3_600_000)];

/// A window of time, the end not included.
pub(crate) type Window = (TimestampMs, TimestampMs);

/// The oldest window of the head that is complete, given the times the head has.
pub(crate) fn flush(head: Option<TimeRange>) -> Option<Window> {
    let head = head?;
    let window = window_of(head.start_incl, FLUSH_SPAN);
    (head.end_incl >= window.1 + FLUSH_DELAY).then_some(window)
}

/// Blocks to merge, and the window of the result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Merge {
    /// Oldest first.
    pub(crate) sources: Vec<BlockId>,
    pub(crate) window: Window,
}

/// The next merge: blocks that overlap, else the oldest complete window of a level with more than one block.
/// A window is complete when the head has nothing before `head_floor`, and that is not before the window's end.
pub(crate) fn merge(metas: &[BlockMeta], head_floor: Option<TimestampMs>) -> Option<Merge> {
    let mut blocks: Vec<&BlockMeta> = metas.iter().collect();
    blocks.sort_by_key(|meta| (meta.start, meta.id));
    overlapping(&blocks).or_else(|| {
        LEVEL_SPANS.iter().find_map(|span| complete_window(&blocks, *span, head_floor?))
    })
}

fn overlapping(blocks: &[&BlockMeta]) -> Option<Merge> {
    let mut end = TimestampMs::MIN;
    let mut run: Vec<&BlockMeta> = Vec::new();
    for block in blocks {
        if block.start >= end {
            if run.len() > 1 {
                break;
            }
            run.clear();
        }
        run.push(block);
        end = end.max(block.end);
    }
    (run.len() > 1).then(|| merge_of(&run))
}

fn complete_window(
    blocks: &[&BlockMeta],
    span: DurationMs,
    head_floor: TimestampMs,
) -> Option<Merge> {
    let fits = |block: &&&BlockMeta| {
        let window = window_of(block.start, span);
        block.end <= window.1 && window.1 <= head_floor && block.end.since(block.start) < span
    };
    let candidates: Vec<&BlockMeta> = blocks.iter().filter(fits).copied().collect();
    candidates
        .chunk_by(|a, b| window_of(a.start, span) == window_of(b.start, span))
        .find(|group| group.len() > 1)
        .map(|group| Merge { window: window_of(group[0].start, span), ..merge_of(group) })
}

fn merge_of(blocks: &[&BlockMeta]) -> Merge {
    let start = blocks.iter().map(|block| block.start).min().expect("at least two blocks");
    let end = blocks.iter().map(|block| block.end).max().expect("at least two blocks");
    Merge { sources: blocks.iter().map(|block| block.id).collect(), window: (start, end) }
}

/// The window of that length, aligned to the epoch, that holds the instant.
fn window_of(at: TimestampMs, span: DurationMs) -> Window {
    let start = TimestampMs(at.0.saturating_sub(at.0.rem_euclid(span.0)));
    (start, start + span)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: i64 = 3_600_000;

    fn block(id: u64, start_h: i64, end_h: i64) -> BlockMeta {
        let (start, end) = (TimestampMs(start_h * HOUR), TimestampMs(end_h * HOUR));
        BlockMeta {
            id: BlockId(id),
            start,
            end,
            min: start,
            max: end - DurationMs(1),
            series_count: 1,
            chunk_count: 1,
            sample_count: 1,
            sources: Vec::new(),
            file_bytes: 1,
            index_bytes: 1,
        }
    }

    fn check_flush(head_h: Option<(i64, i64)>, expected_h: Option<(i64, i64)>) {
        let head = head_h.map(|(start, end)| TimeRange {
            start_incl: TimestampMs(start * HOUR),
            end_incl: TimestampMs(end * HOUR),
        });
        let expected = expected_h.map(|(s, e)| (TimestampMs(s * HOUR), TimestampMs(e * HOUR)));
        assert_eq!(flush(head), expected);
    }

    #[test]
    fn a_window_is_flushed_once_it_is_over_for_an_hour() {
        check_flush(None, None);
        check_flush(Some((0, 2)), None);
        check_flush(Some((1, 3)), Some((0, 2)));
        check_flush(Some((-1, 1)), Some((-2, 0)));
        check_flush(Some((-1, 0)), None);
        check_flush(Some((5, 100)), Some((4, 6)));
    }

    fn check_merge(
        blocks: &[(u64, i64, i64)],
        floor_h: i64,
        expected: Option<(&[u64], (i64, i64))>,
    ) {
        let metas: Vec<BlockMeta> = blocks.iter().map(|(id, s, e)| block(*id, *s, *e)).collect();
        let expected = expected.map(|(ids, (start, end))| Merge {
            sources: ids.iter().copied().map(BlockId).collect(),
            window: (TimestampMs(start * HOUR), TimestampMs(end * HOUR)),
        });
        assert_eq!(merge(&metas, Some(TimestampMs(floor_h * HOUR))), expected);
        let reversed: Vec<BlockMeta> = metas.into_iter().rev().collect();
        assert_eq!(merge(&reversed, Some(TimestampMs(floor_h * HOUR))), expected, "in any order");
    }

    #[test]
    fn days_are_merged_when_they_are_over() {
        check_merge(&[(1, 0, 2), (2, 2, 4)], 4, None);
        check_merge(&[(1, 0, 2), (2, 2, 4)], 24, Some((&[1, 2], (0, 24))));
        check_merge(&[(1, 0, 2)], 24, None);
        check_merge(&[(1, 0, 24), (2, 24, 26), (3, 26, 28)], 48, Some((&[2, 3], (24, 48))));
        check_merge(&[(1, 0, 24), (2, 24, 48)], 192, Some((&[1, 2], (0, 192))));
        check_merge(&[(1, 0, 192), (2, 192, 216)], 384, None);
    }

    #[test]
    fn blocks_that_overlap_are_merged_first() {
        check_merge(&[(1, 0, 2), (2, 2, 4), (3, 3, 5), (4, 6, 8)], 4, Some((&[2, 3], (2, 5))));
        check_merge(&[(1, 0, 10), (2, 2, 4), (3, 4, 6)], 4, Some((&[1, 2, 3], (0, 10))));
    }

    proptest! {
        #[test]
        fn planning_again_after_each_merge_comes_to_an_end(starts in prop::collection::btree_set(0i64..400, 0..60), floor in 0i64..900) {
            let mut metas: Vec<BlockMeta> =
                (1u64..).zip(&starts).map(|(id, at)| block(id, at * 2, at * 2 + 2)).collect();
            let mut next_id = 1000;
            while let Some(plan) = merge(&metas, Some(TimestampMs(floor * HOUR))) {
                prop_assert!(plan.sources.len() > 1);
                let before = metas.len();
                metas.retain(|meta| !plan.sources.contains(&meta.id));
                prop_assert_eq!(before - metas.len(), plan.sources.len());
                let mut merged = block(next_id, 0, 0);
                (merged.start, merged.end) = plan.window;
                metas.push(merged);
                next_id += 1;
            }
            metas.sort_by_key(|meta| meta.start);
            prop_assert!(metas.windows(2).all(|pair| pair[0].end <= pair[1].start), "windows stay apart");
        }
    }
}
