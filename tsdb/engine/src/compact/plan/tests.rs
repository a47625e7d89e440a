use proptest::prelude::*;

use super::*;

const HOUR: i64 = 3_600_000;

fn block(id: u64, start_h: i64, end_h: i64) -> Candidate {
    let (start, end) = (TimestampMs(start_h * HOUR), TimestampMs(end_h * HOUR));
    let meta = BlockMeta {
        id: BlockId(id),
        start,
        end,
        resolution: DurationMs::ZERO,
        min: start,
        max: end - DurationMs(1),
        series_count: 100,
        chunk_count: 1,
        sample_count: 1,
        sources: Vec::new(),
        file_bytes: 1,
        index_bytes: 1,
    };
    Candidate { meta, deleted_series_count: 0 }
}

fn check_flush(head_h: Option<(i64, i64)>, expected_h: Option<(i64, i64)>) {
    let head = head_h.map(|(start, end)| TimeRange {
        start_incl: TimestampMs(start * HOUR),
        end_incl: TimestampMs(end * HOUR),
    });
    let expected = expected_h.map(|(s, e)| (TimestampMs(s * HOUR), TimestampMs(e * HOUR)));
    assert_eq!(head.and_then(flush), expected);
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

fn check_merge(blocks: &[(u64, i64, i64)], floor_h: i64, expected: Option<(&[u64], (i64, i64))>) {
    let candidates: Vec<Candidate> = blocks.iter().map(|(id, s, e)| block(*id, *s, *e)).collect();
    let floor = Some(TimestampMs(floor_h * HOUR));
    let expected = expected.map(|(ids, (start, end))| {
        let ids: Vec<BlockId> = ids.iter().copied().map(BlockId).collect();
        (ids, (TimestampMs(start * HOUR), TimestampMs(end * HOUR)))
    });
    let found = |rewrite: Rewrite| (rewrite.sources, rewrite.window);
    assert_eq!(next(&candidates, floor, KEPT_MIN, &[]).map(found), expected);
    let reversed: Vec<Candidate> = candidates.into_iter().rev().collect();
    assert_eq!(next(&reversed, floor, KEPT_MIN, &[]).map(found), expected, "in any order");
}

#[test]
fn days_are_merged_when_they_are_over() {
    check_merge(&[(1, 0, 2), (2, 2, 4)], 4, None);
    check_merge(&[(1, 0, 2), (2, 2, 4)], 24, Some((&[1, 2], (0, 24))));
    check_merge(&[(1, 0, 2)], 24, None);
    check_merge(&[(1, 0, 8), (2, 8, 16), (3, 16, 18)], 24, Some((&[1, 2, 3], (0, 24))));
    check_merge(&[(1, 0, 24), (2, 24, 26), (3, 26, 28)], 48, Some((&[2, 3], (24, 48))));
    check_merge(&[(1, 0, 24), (2, 24, 48)], 192, Some((&[1, 2], (0, 192))));
    check_merge(&[(1, 0, 192), (2, 192, 216)], 384, None);
}

#[test]
fn a_third_of_a_day_is_merged_before_the_day_is_over() {
    check_merge(&[(1, 0, 2), (2, 2, 4), (3, 6, 8)], 6, None);
    check_merge(&[(1, 0, 2), (2, 2, 4), (3, 6, 8)], 8, Some((&[1, 2, 3], (0, 8))));
    check_merge(&[(1, 0, 8), (2, 8, 10), (3, 14, 16)], 16, Some((&[2, 3], (8, 16))));
    check_merge(&[(1, 0, 8), (2, 8, 16), (3, 16, 18)], 18, None);
    // Not where samples are kept for less than two days.
    let flushed = [block(1, 0, 2), block(2, 2, 4)];
    let floor = Some(TimestampMs(8 * HOUR));
    assert!(next(&flushed, floor, KEPT_MIN, &[]).is_some());
    assert_eq!(next(&flushed, floor, KEPT_MIN - DurationMs(1), &[]), None);
    // Whole days are made of what there is, at once.
    check_merge(&[(1, 0, 2), (2, 2, 4), (3, 24, 26), (4, 26, 28)], 32, Some((&[1, 2], (0, 24))));
    check_merge(&[(1, 0, 24), (3, 24, 26), (4, 26, 28)], 32, Some((&[3, 4], (24, 32))));
}

#[test]
fn blocks_that_overlap_are_merged_first() {
    check_merge(&[(1, 0, 2), (2, 2, 4), (3, 3, 5), (4, 6, 8)], 4, Some((&[2, 3], (2, 5))));
    check_merge(&[(1, 0, 10), (2, 2, 4), (3, 4, 6)], 4, Some((&[1, 2, 3], (0, 10))));
}

#[test]
fn what_was_given_up_is_passed_over_for_what_comes_after() {
    let blocks = [block(1, 0, 2), block(2, 1, 3), block(3, 24, 26), block(4, 25, 28)];
    let first = next(&blocks, None, KEPT_MIN, &[]).expect("two overlaps");
    let second = next(&blocks, None, KEPT_MIN, std::slice::from_ref(&first)).expect("the other");
    assert_eq!(second.sources, [BlockId(3), BlockId(4)]);
    assert_eq!(next(&blocks, None, KEPT_MIN, &[first, second]), None);
}

#[test]
fn very_large_blocks_stay_as_they_are() {
    let mut blocks = [block(1, 0, 2), block(2, 2, 4)];
    blocks[0].meta.file_bytes = MERGE_MAX_BYTES;
    assert_eq!(next(&blocks, Some(TimestampMs(24 * HOUR)), KEPT_MIN, &[]), None);
}

#[test]
fn a_block_is_written_anew_when_a_twentieth_of_its_series_is_touched() {
    let mut blocks = [block(1, 0, 2), block(2, 2, 4), block(4, 6, 8)];
    blocks[2].deleted_series_count = 100;
    assert_eq!(next(&blocks, None, KEPT_MIN, &[]), None, "the newest waits");
    blocks[2].deleted_series_count = 0;
    blocks[1].deleted_series_count = 4;
    assert_eq!(next(&blocks, None, KEPT_MIN, &[]), None);
    blocks[1].deleted_series_count = 5;
    let rewrite = next(&blocks, None, KEPT_MIN, &[]).expect("much is deleted");
    assert_eq!((rewrite.reason, rewrite.sources), (Reason::Tombstones, vec![BlockId(2)]));
    blocks[0].deleted_series_count = 1;
    let all: Vec<Vec<BlockId>> = clean(&blocks).into_iter().map(|it| it.sources).collect();
    assert_eq!(all, [[BlockId(1)], [BlockId(2)]], "on demand, however little");
    let overlapping = [blocks[1].clone(), block(3, 3, 5)];
    assert_eq!(next(&overlapping, None, KEPT_MIN, &[]).map(|it| it.reason), Some(Reason::Overlap));
}

proptest! {
    #[test]
    fn planning_again_after_each_merge_comes_to_an_end(starts in prop::collection::btree_set(0i64..400, 0..60), floor in 0i64..900) {
        let mut blocks: Vec<Candidate> =
            (1u64..).zip(&starts).map(|(id, at)| block(id, at * 2, at * 2 + 2)).collect();
        let mut next_id = 1000;
        while let Some(plan) = next(&blocks, Some(TimestampMs(floor * HOUR)), KEPT_MIN, &[]) {
            prop_assert!(next_id < 3000, "{:?}", plan);
            let before = blocks.len();
            blocks.retain(|block| !plan.sources.contains(&block.meta.id));
            prop_assert_eq!(before - blocks.len(), plan.sources.len());
            let mut merged = block(next_id, 0, 0);
            (merged.meta.start, merged.meta.end) = plan.window;
            merged.meta.max = plan.window.1 - DurationMs(1);
            merged.meta.resolution = plan.resolution;
            blocks.push(merged);
            next_id += 1;
        }
        blocks.sort_by_key(|block| (block.meta.resolution, block.meta.start));
        let apart = |pair: &[Candidate]| {
            pair[0].meta.resolution != pair[1].meta.resolution || pair[0].meta.end <= pair[1].meta.start
        };
        prop_assert!(blocks.windows(2).all(apart), "windows stay apart");
    }
}
