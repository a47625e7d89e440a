//! Reads of what is stored as aggregates of stretches: which blocks of which resolution stand for samples, and how
//! they are put together with the samples of a series.
//!
//! While samples are there they are read, unless aggregates give the same answer: when all windows of a query begin and
//! end where stretches do. Where samples are gone the finest resolution that is left stands for them. Of native histograms
//! aggregates are looked at only where samples are gone.

mod histograms;

use std::sync::Arc;

use swell_model::{
    Aggregate, Coarse, DurationMs, FloatColumn, SelectError, SelectHints, SeriesData, SeriesIter,
    Thinned, TimeRange, TimestampMs, WindowGrid, stretch_end,
};

use crate::block::{Block, BlockMeta, BlockSeries, Depth, Loaded, ReadBlockError};
use crate::compact::plan::DAY;
use crate::db::Db;
use crate::head::HeadSeries;
use crate::select::{Columns, Decoder, Folding, OnDamage, Part, Selected, load, merge, storage};
use crate::tombstones::Intervals;

/// Aggregates of a series in one block.
#[derive(Debug)]
pub(crate) struct CoarsePart {
    pub(crate) loaded: Arc<Loaded>,
    pub(crate) series: BlockSeries,
    pub(crate) deleted: Option<Arc<Intervals>>,
}

impl CoarsePart {
    fn meta(&self) -> &BlockMeta {
        &self.loaded.block.meta
    }
}

/// What a read takes beside samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Choice {
    /// The resolution that stands for samples that are there.
    pub(crate) aligned: Option<DurationMs>,
    /// Whether other resolutions are looked at for samples that are gone.
    pub(crate) others: bool,
}

/// Samples that a stretch has at least for its aggregate to be worth reading: it has ten columns where samples have two.
const WORTH_SAMPLES: u64 = 8;

/// Which aggregates a read may want. `samples_from` is the time from which no sample was deleted for its age;
/// `samples_per_day` are stored samples of all series together.
pub(crate) fn choose(
    metas: &[&BlockMeta],
    hints: &SelectHints,
    samples_from: TimestampMs,
    samples_per_day: u64,
) -> Choice {
    let fits = |grid: &WindowGrid, meta: &BlockMeta| {
        grid.range >= meta.resolution
            && grid.is_aligned(meta.resolution)
            && may_have(meta, hints.range)
            && per_day(&[meta]) * WORTH_SAMPLES <= samples_per_day
    };
    let aligned = match &hints.coarse {
        Coarse::Folded(grid, _) if hints.coarse.takes_stretches() => {
            let fitting = metas.iter().filter(|meta| fits(grid, meta));
            fitting.map(|meta| meta.resolution).max()
        }
        Coarse::Refused | Coarse::Newest | Coarse::Folded(..) => None,
    };
    let is_wanted = hints.coarse != Coarse::Refused || hints.labels_only;
    Choice { aligned, others: is_wanted && hints.range.start_incl < samples_from }
}

/// Samples, or aggregates, that blocks have on average for each day they cover.
pub(crate) fn per_day(metas: &[&BlockMeta]) -> u64 {
    let covered = |meta: &&BlockMeta| meta.end.since(meta.start).0.max(1).unsigned_abs();
    let covered_ms: u128 = metas.iter().map(|meta| u128::from(covered(meta))).sum();
    let count: u128 = metas.iter().map(|meta| u128::from(meta.sample_count)).sum();
    let day_ms = u128::from(DAY.0.unsigned_abs());
    u64::try_from(count * day_ms / covered_ms.max(1)).unwrap_or(u64::MAX)
}

/// Whether the stretches of a block may hold samples of the range, or of the stretch before it.
pub(crate) fn may_have(meta: &BlockMeta, range: TimeRange) -> bool {
    let stretch = meta.resolution;
    meta.min.0.saturating_sub(stretch.0) <= range.end_incl.0
        && range.start_incl.0.saturating_sub(stretch.0) <= meta.max.0
}

/// Those of the blocks that a choice takes.
pub(crate) fn chosen(blocks: &[Arc<Block>], choice: Choice, range: TimeRange) -> Vec<Arc<Block>> {
    let is_chosen = |block: &&Arc<Block>| {
        let meta = &block.meta;
        (choice.others || choice.aligned == Some(meta.resolution)) && may_have(meta, range)
    };
    blocks.iter().filter(is_chosen).cloned().collect()
}

/// What a read is about, as far as aggregates go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CoarseRead {
    pub(crate) choice: Choice,
    pub(crate) coarse: Coarse,
    pub(crate) range: TimeRange,
    pub(crate) head_from_ms: i64,
}

impl CoarseRead {
    /// Windows whose samples can be folded as they are decoded.
    pub(crate) const fn folding(&self) -> Option<Folding> {
        match self.coarse {
            Coarse::Folded(windows, figures) if windows.are_apart() => {
                Some(Folding { windows, figures })
            }
            _ => None,
        }
    }
}

impl Decoder {
    /// A series of which aggregates are stored as well: with samples where they are there, and aggregates or the newest
    /// samples of stretches where these stand for them. After an error the series is as it was.
    pub(crate) fn with_coarse(
        &mut self,
        series: &mut Selected,
        read: &CoarseRead,
    ) -> Result<SeriesData, SelectError> {
        let before: Vec<_> = series.parts.iter_mut().map(|part| part.deleted().clone()).collect();
        let outcome = self.read_with_coarse(series, read);
        if outcome.is_err() {
            // What aggregates hid is not hidden from a read that goes on without them.
            for (part, deleted) in series.parts.iter_mut().zip(before) {
                *part.deleted() = deleted;
            }
        }
        outcome
    }

    fn read_with_coarse(
        &mut self,
        series: &mut Selected,
        read: &CoarseRead,
    ) -> Result<SeriesData, SelectError> {
        series.coarse.sort_by_key(|part| (part.meta().resolution, part.meta().start));
        let are_kept = series.coarse.iter().any(|part| part.series.histograms.is_some());
        let has_histograms = are_kept || series.parts.iter().any(Part::has_histograms);
        let is_folded = read.coarse.takes_stretches() && !has_histograms;
        let mut found = Found { aggregates: Vec::new(), thinned: None };
        if let Some(resolution) = read.choice.aligned.filter(|_| is_folded) {
            let of_it: Vec<&CoarsePart> =
                series.coarse.iter().filter(|part| part.meta().resolution == resolution).collect();
            let ms = (read.range.start_incl.0, read.range.end_incl.0);
            found.aggregates = self.stretches(&of_it, ms, i64::MAX, Depth::All)?;
            hide_covered(series, &found.aggregates, resolution.0);
        }
        let mut data = self.series(series, read.range, read.head_from_ms)?;
        if read.choice.others {
            self.fill_gone(&series.coarse, read, is_folded, &mut data, &mut found)?;
            if are_kept {
                let coarse = &series.coarse;
                self.fill_gone_histograms(coarse, read, &mut data, &mut found.thinned)?;
            }
        }
        if is_folded {
            data.aggregates = found.aggregates;
        } else {
            data.floats = with_newest(data.floats, &found.aggregates);
            data.thinned = found.thinned;
        }
        Ok(data)
    }

    /// Aggregates of stretches that end before there are samples or finer aggregates.
    fn fill_gone(
        &mut self,
        coarse: &[CoarsePart],
        read: &CoarseRead,
        is_folded: bool,
        data: &mut SeriesData,
        found: &mut Found,
    ) -> Result<(), SelectError> {
        let first_sample = data.floats.timestamps.first().copied();
        let aligned_ms = read.choice.aligned.unwrap_or(DurationMs(1)).0;
        let first_aggregate = found.aggregates.first();
        let first_aggregate =
            first_aggregate.map(|it| stretch_end(it.last_ms, aligned_ms) - aligned_ms);
        let mut known_from =
            first_sample.into_iter().chain(first_aggregate).min().unwrap_or(i64::MAX);
        for parts in coarse.chunk_by(|a, b| a.meta().resolution == b.meta().resolution) {
            let resolution = parts[0].meta().resolution;
            if is_folded && read.choice.aligned == Some(resolution) {
                continue;
            }
            let parts: Vec<&CoarsePart> = parts.iter().collect();
            // Of a stretch that reaches into what is known only that is read.
            let upto_ms = match known_from {
                i64::MAX => i64::MAX,
                known => known - known.rem_euclid(resolution.0),
            };
            let start_ms = read.range.start_incl.0;
            let from_ms = if is_folded { start_ms } else { start_ms.saturating_sub(resolution.0) };
            let depth = if is_folded { Depth::All } else { Depth::Last };
            let ms = (from_ms, read.range.end_incl.0);
            let gone = self.stretches(&parts, ms, upto_ms, depth)?;
            let (Some(first), Some(last)) = (gone.first(), gone.last()) else { continue };
            thinned_to(&mut found.thinned, last.last_ms, resolution);
            known_from = stretch_end(first.last_ms, resolution.0) - resolution.0;
            // A sample at the very end of a stretch is part of it.
            if first_sample == Some(last.last_ms) {
                drop_first(&mut data.floats);
            }
            found.aggregates.splice(0..0, gone);
        }
        Ok(())
    }

    /// Aggregates of stretches that end at `upto_ms` at the latest, and whose last sample lies in the range.
    fn stretches(
        &mut self,
        parts: &[&CoarsePart],
        (from_ms, to_ms): (i64, i64),
        upto_ms: i64,
        depth: Depth,
    ) -> Result<Vec<Aggregate>, SelectError> {
        let mut all = Vec::new();
        for part in parts {
            let resolution_ms = part.meta().resolution.0;
            let last_end = to_ms.saturating_add(resolution_ms).min(upto_ms);
            let ends = (from_ms, last_end);
            self.stretches_of(part, ends, depth, &mut all).map_err(|error| storage(&error))?;
        }
        all.retain(|it| (from_ms..=to_ms).contains(&it.last_ms));
        Ok(all)
    }

    /// Aggregates of stretches that end in a range.
    fn stretches_of(
        &mut self,
        part: &CoarsePart,
        (from_ms, to_ms): (i64, i64),
        depth: Depth,
        out: &mut Vec<Aggregate>,
    ) -> Result<(), ReadBlockError> {
        let Some(floats) = &part.series.floats else { return Ok(()) };
        let windows = match &part.deleted {
            None => vec![(from_ms, to_ms)],
            Some(deleted) => deleted.rest_of(from_ms, to_ms),
        };
        for window in windows {
            let ends = self.block_times(&part.loaded, floats.times)?;
            let (from, to) = crate::select::positions(ends, window);
            if from < to {
                let ends = ends[from..to].to_vec();
                let (frames, reader) = (&mut self.frames, &mut self.reader);
                let positions = (from, to);
                out.extend(
                    part.loaded.aggregates(floats, positions, &ends, depth, frames, reader)?,
                );
            }
        }
        Ok(())
    }

    /// All aggregates of a series: those of a later block count where two have the same stretch.
    pub(crate) fn aggregates(&mut self, series: &mut Selected) -> Result<SeriesData, SelectError> {
        let mut all: Vec<(i64, Aggregate)> = Vec::new();
        series.coarse.sort_by_key(|part| part.meta().id);
        for part in &series.coarse {
            let mut of_part = Vec::new();
            self.stretches_of(part, (i64::MIN, i64::MAX), Depth::All, &mut of_part)
                .map_err(|error| storage(&error))?;
            let resolution_ms = part.meta().resolution.0;
            all.extend(of_part.into_iter().map(|it| (stretch_end(it.last_ms, resolution_ms), it)));
        }
        all.sort_by_key(|(end_ms, _)| *end_ms);
        all.dedup_by(|later, kept| {
            let is_same = later.0 == kept.0;
            if is_same {
                kept.1 = later.1;
            }
            is_same
        });
        let aggregates = all.into_iter().map(|(_, it)| it).collect();
        let histogram_runs = self.all_runs(series)?;
        let labels = series.labels.clone();
        Ok(SeriesData { labels, aggregates, histogram_runs, ..SeriesData::default() })
    }
}

impl Db {
    /// All aggregates of a resolution, read and checked as they are stored; series in any order.
    ///
    /// # Errors
    /// [`SelectError`] when they cannot be read; also from the iterator's items.
    pub fn aggregates(&self, resolution: DurationMs) -> Result<SeriesIter<'_>, SelectError> {
        let coarse = Arc::clone(&self.inner.state.read().coarse);
        let of_it = coarse.iter().filter(|block| block.meta.resolution == resolution);
        let of_it: Vec<Arc<Block>> = of_it.cloned().collect();
        let loaded = load(&of_it, TimeRange::ALL, self.inner.clock.monotonic(), OnDamage::Fail)?;
        let selected = merge(&loaded, Vec::new(), &[], TimeRange::ALL, OnDamage::Fail)?;
        Ok(Box::new(Columns::aggregates(selected)))
    }
}

/// What was read of aggregates.
struct Found {
    aggregates: Vec<Aggregate>,
    thinned: Option<Thinned>,
}

impl Part {
    fn has_histograms(&self) -> bool {
        match self {
            Self::Block(_, columns, _) => columns.histograms.is_some(),
            Self::Head(columns) => columns.has_histograms(),
        }
    }

    const fn deleted(&mut self) -> &mut Option<Arc<Intervals>> {
        match self {
            Self::Block(.., deleted) | Self::Head(HeadSeries { deleted, .. }) => deleted,
        }
    }

    fn hide(&mut self, covered: &Intervals) {
        let deleted = self.deleted();
        let mut hidden = covered.clone();
        if let Some(deleted) = deleted {
            hidden.join(deleted);
        }
        *deleted = Some(Arc::new(hidden));
    }
}

/// Samples in the stretches of these aggregates are not read. Those of other stretches are: where a part of a stretch
/// was deleted its aggregate is gone, and what is left of its samples is not.
fn hide_covered(series: &mut Selected, by: &[Aggregate], resolution_ms: i64) {
    let mut covered = Intervals::default();
    for aggregate in by {
        let end_ms = stretch_end(aggregate.last_ms, resolution_ms);
        covered.add(end_ms - resolution_ms + 1, end_ms);
    }
    series.parts.iter_mut().for_each(|part| part.hide(&covered));
}

/// Notes that the newest samples of stretches stand for samples up to that of a last one.
fn thinned_to(thinned: &mut Option<Thinned>, last_ms: i64, resolution: DurationMs) {
    let until = TimestampMs(stretch_end(last_ms, resolution.0));
    let thinned = thinned.get_or_insert(Thinned { until, spacing: resolution });
    thinned.spacing = thinned.spacing.max(resolution);
    thinned.until = thinned.until.max(until);
}

fn drop_first(floats: &mut FloatColumn) {
    floats.timestamps = floats.timestamps[1..].into();
    floats.values = floats.values[1..].into();
    floats.starts = floats.starts.as_deref().map(|starts| starts[1..].into());
}

/// The newest samples of stretches in front of those that are there.
fn with_newest(floats: FloatColumn, stretches: &[Aggregate]) -> FloatColumn {
    if stretches.is_empty() {
        return floats;
    }
    let times = stretches.iter().map(|it| it.last_ms);
    let values = stretches.iter().map(|it| it.last);
    let starts = floats.starts.as_deref().map(|starts| {
        std::iter::repeat_n(0, stretches.len()).chain(starts.iter().copied()).collect()
    });
    FloatColumn {
        timestamps: times.chain(floats.timestamps.iter().copied()).collect(),
        values: values.chain(floats.values.iter().copied()).collect(),
        starts,
    }
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;
    use swell_env::{ManualClock, MemDir};
    use swell_model::{
        Batch, Figures, Labels, Row, SampleSink as _, SeriesData, SeriesSource as _,
    };

    use super::*;
    use crate::compact::downsample::Tier;
    use crate::config::Config;
    use crate::status::MaintainReport;

    const HOUR: i64 = 3_600_000;

    fn open(disk: &MemDir) -> Db {
        let clock = Arc::new(ManualClock::new(TimestampMs(1000 * HOUR)));
        let tier = Tier { resolution: DurationMs(HOUR), retention: DurationMs(9000 * HOUR) };
        let config = Config { tiers: vec![tier], background: None, ..Config::standard() };
        Db::open(Arc::new(disk.clone()), config, clock, &Registry::new()).expect("opens")
    }

    /// Hours with sixty samples each, in blocks of two hours, and those of the first day in one of aggregates too.
    fn day() -> MemDir {
        let disk = MemDir::new();
        let db = open(&disk);
        let series = db.resolve(&Labels::from_pairs([("__name__", "a")])).expect("resolves");
        let mut report = MaintainReport::default();
        for minute in 1..=28 * 60 {
            let row = Row::new(TimestampMs(minute * 60_000), vec![series], vec![1.0]);
            db.append(&Batch::of_rows(vec![row])).expect("appends");
            db.inner.flush(&mut report).expect("flushes");
        }
        let mut backoff = db.inner.maintenance.lock();
        let due = db.inner.due_downsampling(&backoff);
        assert_eq!(due.len(), 1);
        db.inner.rewrite(&due[0], &mut backoff, &mut report).expect("aggregates");
        drop(backoff);
        disk
    }

    /// Hours that are asked for: the day, and a block that has its last sample and others that no aggregate stands for.
    const HOURS: i64 = 26;
    const ALL: u64 = 26 * 60;

    /// How many samples the hours have, as a reader sees it who passes over damage.
    fn count(db: &Db, coarse: Coarse) -> u64 {
        let range = TimeRange { start_incl: TimestampMs(1), end_incl: TimestampMs(HOURS * HOUR) };
        let hints = SelectHints { coarse, passes_over_damage: true, ..SelectHints::range(range) };
        let counted = |data: SeriesData| {
            let folded: u64 = data.aggregates.iter().map(|it| it.count).sum();
            folded + data.floats.timestamps.len() as u64
        };
        let found = db.select(&[], &hints).expect("selects");
        found.map(|series| counted(series.expect("passes over damage"))).sum()
    }

    #[test]
    fn changes_are_counted_of_samples_and_not_of_stretches() {
        let grid = WindowGrid {
            first_end: TimestampMs(26 * HOUR),
            step: DurationMs(HOUR),
            count: 1,
            range: DurationMs(24 * HOUR),
        };
        let range =
            TimeRange { start_incl: TimestampMs(2 * HOUR + 1), end_incl: TimestampMs(26 * HOUR) };
        let db = open(&day());
        let taken = |coarse| {
            let hints = SelectHints { coarse, ..SelectHints::range(range) };
            db.inner.state.read().coarse_choice(&hints, &db.inner)
        };
        assert_eq!(taken(Coarse::Folded(grid, Figures::Falls)).aligned, Some(DurationMs(HOUR)));
        let of_changes = taken(Coarse::Folded(grid, Figures::Changes));
        assert_eq!(of_changes, taken(Coarse::Newest));
        assert_eq!(of_changes.aligned, None);
    }

    #[test]
    fn samples_that_aggregates_hid_are_read_when_both_are_damaged() {
        let grid = WindowGrid {
            first_end: TimestampMs(HOUR),
            step: DurationMs(HOUR),
            count: 26,
            // They overlap, so that samples are not folded but stood for.
            range: DurationMs(2 * HOUR),
        };
        let coarse = Coarse::Folded(grid, Figures::Extremes);
        let disk = day();
        assert_eq!(count(&open(&disk), coarse), ALL);
        let last = {
            let db = open(&disk);
            let state = db.inner.state.read();
            assert_eq!((state.blocks.len(), state.coarse.len()), (13, 1));
            state.blocks[12].name.clone()
        };
        let len = swell_env::read_whole(&disk, &last, u64::MAX).expect("reads").len();
        let mut hurt_count = 0;
        for offset in (0..len).step_by(3) {
            let hurt = disk.after_kill();
            hurt.flip(&last, offset, 0x10).expect("flips");
            let db = open(&hurt);
            let without = count(&db, Coarse::Refused);
            let is_hurt = !db.status().damage.is_empty() && without > 0 && without < ALL;
            drop(db);
            if is_hurt {
                let db = open(&hurt);
                // As when another series met damage there in the same query.
                drop(db.inner.state.read().coarse[0].damaged(0, "met before"));
                let found = count(&db, coarse);
                assert!(found >= without, "{found} in place of {without} at {offset}");
                // Else the block was found out before aggregates were looked at.
                hurt_count += usize::from(found == without);
            }
        }
        assert!(hurt_count > 0, "samples of the last block were asked for");
    }
}
