//! What to write next: pure functions of what is there.

use swell_model::{DurationMs, TimeRange, TimestampMs};

use crate::block::{BlockId, BlockMeta};

/// Length of the blocks the head is flushed into.
pub(crate) const FLUSH_SPAN: DurationMs = DurationMs(2 * 3_600_000);
/// The head keeps a window open this long after it has ended, for targets that report late.
const FLUSH_DELAY: DurationMs = DurationMs(3_600_000);
/// Length of the blocks that flushed ones are merged into before their day is over: a read of today meets five or six blocks
/// rather than eleven.
const EIGHT_HOURS: DurationMs = DurationMs(8 * 3_600_000);
/// Where all samples are kept for less, blocks of eight hours would keep them for a good part longer: a block goes as a whole.
const KEPT_MIN: DurationMs = DurationMs(48 * 3_600_000);
/// Length of the blocks that are merged from these, and from flushed ones.
pub(crate) const DAY: DurationMs = DurationMs(24 * 3_600_000);
/// Length of the blocks that are merged from days.
const EIGHT_DAYS: DurationMs = DurationMs(8 * 24 * 3_600_000);
/// Blocks that are larger together are not merged for their level: it would take long and gain little.
const MERGE_MAX_BYTES: u64 = 32 << 30;
/// A block is written anew for its tombstones alone once they touch one in this many of its series.
const TOMBSTONES_SHARE: u64 = 20;

/// A window of time, the end not included.
pub(crate) type Window = (TimestampMs, TimestampMs);

/// The oldest window of the head that is complete, given the times the head has.
pub(crate) fn flush(head: TimeRange) -> Option<Window> {
    let window = window_of(head.start_incl, FLUSH_SPAN);
    (head.end_incl >= window.1 + FLUSH_DELAY).then_some(window)
}

/// Why blocks are written anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// They overlap: one time is looked for in two places.
    Overlap,
    /// They fill a window of the next level.
    Level,
    /// Much of one is deleted.
    Tombstones,
    /// Their samples are aggregated; they stay.
    Downsample,
}

/// Blocks to write as one, and what becomes of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rewrite {
    pub(crate) reason: Reason,
    /// What is read, oldest first, and goes once the result is there, unless it is [`Reason::Downsample`].
    pub(crate) sources: Vec<BlockId>,
    pub(crate) window: Window,
    pub(crate) resolution: DurationMs,
}

impl Rewrite {
    /// Whether it makes days, or parts of them, of what was flushed: soon done, and better before anything reads the day.
    pub(crate) fn is_of_fresh_blocks(&self) -> bool {
        match self.reason {
            Reason::Overlap => true,
            Reason::Level => self.window.1.since(self.window.0) <= DAY,
            Reason::Tombstones | Reason::Downsample => false,
        }
    }
}

/// A block as planning sees it.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) meta: BlockMeta,
    /// Series of which something is deleted.
    pub(crate) deleted_series_count: u64,
}

/// The next rewrite that was not given up. A window of a level is complete when the head has nothing before
/// `head_floor`, and that is not before the window's end. Samples are `kept` for that long at most.
pub(crate) fn next(
    candidates: &[Candidate],
    head_floor: Option<TimestampMs>,
    kept: DurationMs,
    given_up: &[Rewrite],
) -> Option<Rewrite> {
    let mut blocks: Vec<&Candidate> = candidates.iter().collect();
    blocks.sort_by_key(|block| (block.meta.resolution, block.meta.start, block.meta.id));
    let of_one_resolution: Vec<&[&Candidate]> =
        blocks.chunk_by(|a, b| a.meta.resolution == b.meta.resolution).collect();
    let each = || of_one_resolution.iter().copied();
    let level = |span: DurationMs| -> Vec<Rewrite> {
        let Some(floor) = head_floor else { return Vec::new() };
        each().flat_map(|blocks| complete_windows(blocks, span, floor)).collect()
    };
    each()
        .flat_map(overlapping)
        .chain(level(DAY))
        .chain(if kept >= KEPT_MIN { level(EIGHT_HOURS) } else { Vec::new() })
        .chain(each().flat_map(much_deleted))
        .chain(level(EIGHT_DAYS))
        .find(|rewrite| !given_up.contains(rewrite))
}

/// Blocks with tombstones, one at a time, as [`crate::Db::clean_tombstones`] has them written anew.
pub(crate) fn clean(candidates: &[Candidate]) -> Vec<Rewrite> {
    let deleted = candidates.iter().filter(|block| block.deleted_series_count > 0);
    deleted.map(|block| rewrite_of(Reason::Tombstones, &[block])).collect()
}

/// Runs of blocks that overlap.
fn overlapping(blocks: &[&Candidate]) -> Vec<Rewrite> {
    let mut runs: Vec<Vec<&Candidate>> = Vec::new();
    let mut end = TimestampMs::MIN;
    for block in blocks {
        match runs.last_mut() {
            Some(run) if block.meta.start < end => run.push(block),
            _ => runs.push(vec![block]),
        }
        end = end.max(block.meta.end);
    }
    runs.iter().filter(|run| run.len() > 1).map(|run| rewrite_of(Reason::Overlap, run)).collect()
}

fn complete_windows(
    blocks: &[&Candidate],
    span: DurationMs,
    head_floor: TimestampMs,
) -> Vec<Rewrite> {
    let fits = |block: &&&Candidate| {
        let meta = &block.meta;
        let window = window_of(meta.start, span);
        meta.end <= window.1 && window.1 <= head_floor && meta.end.since(meta.start) < span
    };
    let fitting: Vec<&Candidate> = blocks.iter().filter(fits).copied().collect();
    // Where a block of aggregates is, all samples are in it: it must not reach over a day that has none.
    let is_coarse = blocks.first().is_some_and(|block| block.meta.resolution > DurationMs::ZERO);
    fitting
        .chunk_by(|a, b| {
            window_of(a.meta.start, span) == window_of(b.meta.start, span)
                && (!is_coarse || a.meta.end == b.meta.start)
        })
        .filter(|group| {
            let bytes: u64 = group.iter().map(|block| block.meta.file_bytes).sum();
            group.len() > 1 && bytes <= MERGE_MAX_BYTES
        })
        .map(|group| {
            let rewrite = rewrite_of(Reason::Level, group);
            if is_coarse {
                return rewrite;
            }
            Rewrite { window: window_of(group[0].meta.start, span), ..rewrite }
        })
        .collect()
}

/// Blocks of which much is deleted. One that overlaps others waits until they are merged, since a new number
/// would change which of them counts; the newest one waits for the next, since it may not go as a whole.
fn much_deleted(blocks: &[&Candidate]) -> Vec<Rewrite> {
    let newest_end = blocks.iter().map(|block| block.meta.end).max();
    let is_worth_it = |block: &&&Candidate| {
        block.deleted_series_count > 0
            && Some(block.meta.end) < newest_end
            && block.deleted_series_count * TOMBSTONES_SHARE >= block.meta.series_count
    };
    let is_apart = |block: &&&Candidate| {
        blocks.iter().all(|other| {
            let (meta, other) = (&block.meta, &other.meta);
            other.id == meta.id || other.end <= meta.start || meta.end <= other.start
        })
    };
    blocks
        .iter()
        .filter(is_worth_it)
        .filter(is_apart)
        .map(|block| rewrite_of(Reason::Tombstones, &[block]))
        .collect()
}

fn rewrite_of(reason: Reason, blocks: &[&Candidate]) -> Rewrite {
    let metas = || blocks.iter().map(|block| &block.meta);
    let start = metas().map(|meta| meta.start).min().expect("at least one block");
    let end = metas().map(|meta| meta.end).max().expect("at least one block");
    let ids: Vec<BlockId> = metas().map(|meta| meta.id).collect();
    Rewrite { reason, sources: ids, window: (start, end), resolution: blocks[0].meta.resolution }
}

/// The window of that length, aligned to the epoch, that holds the instant.
pub(crate) fn window_of(at: TimestampMs, span: DurationMs) -> Window {
    let start = TimestampMs(at.0.saturating_sub(at.0.rem_euclid(span.0)));
    (start, start + span)
}

#[cfg(test)]
mod tests;
