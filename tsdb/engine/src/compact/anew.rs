//! Aggregates of times into which samples were imported, made anew: blocks of aggregates are written once a day is over, and
//! know nothing of what comes for it later.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use swell_model::{
    Aggregate, DurationMs, HistogramRun, SelectError, SeriesData, TimeRange, TimestampMs,
    stretch_end,
};

use super::execute::discard;
use crate::block::{Block, BlockWriter, Packing, aggregate};
use crate::db::{Db, Inner};
use crate::maintain::MaintainError;
use crate::publish::Publishing;
use crate::select::{Columns, OnDamage, load, merge};

impl Db {
    /// Makes those aggregates anew whose stretches hold times of the range, after samples were imported there. Where samples
    /// are gone, what is stored of them stays: of two aggregates of one stretch that of more samples counts. Gives the
    /// number of blocks that were written anew. Days without aggregates are left to [`Db::maintain`].
    ///
    /// # Errors
    /// [`MaintainError`]; blocks that are not written anew stay as they are, and it may be tried again.
    pub fn aggregate_anew(&self, range: TimeRange) -> Result<usize, MaintainError> {
        let inner = &self.inner;
        inner.check_replayed("make aggregates anew")?;
        let mut backoff = inner.maintenance.lock();
        let publishing = inner.publishing.lock();
        let coarse = Arc::clone(&inner.state.read().coarse);
        let mut count = 0;
        for block in coarse.iter() {
            let (meta, resolution_ms) = (&block.meta, block.meta.resolution.0);
            let first_end_ms = stretch_end(range.start_incl.0, resolution_ms);
            let from = meta.start.max(TimestampMs(first_end_ms.saturating_sub(resolution_ms)));
            let to = meta.end.min(TimestampMs(stretch_end(range.end_incl.0, resolution_ms)));
            if from >= to {
                continue;
            }
            let made = inner.fold_anew(block, (from, to), &publishing)?;
            inner.exchange(&[meta.id], made);
            backoff.garbage.push(Arc::clone(block));
            count += 1;
        }
        inner.sweep(&mut backoff.garbage, &publishing)?;
        Ok(count)
    }
}

impl Inner {
    /// A block with the aggregates of another one and of the samples after `from` up to `to`.
    fn fold_anew(
        &self,
        block: &Arc<Block>,
        (from, to): (TimestampMs, TimestampMs),
        publishing: &Publishing<'_>,
    ) -> Result<Option<Arc<Block>>, MaintainError> {
        let fault = |source| {
            let action = format!("make the aggregates of {} anew", block.name);
            MaintainError::Read { action, source }
        };
        let meta = &block.meta;
        let resolution_ms = meta.resolution.0;
        let stored =
            self.read_sorted(std::slice::from_ref(block), TimeRange::ALL).map_err(fault)?;
        let samples = TimeRange { start_incl: from + DurationMs(1), end_incl: to };
        let blocks = Arc::clone(&self.state.read().blocks);
        let fresh = self.read_sorted(&blocks, samples).map_err(fault)?.map(|series| {
            series.map(|mut series| {
                aggregate(&mut series, resolution_ms);
                series
            })
        });
        let (id, window) = (self.next_id(), (meta.start, meta.end));
        let packing = Packing::Compressed;
        let mut writer =
            BlockWriter::create(&*self.dir, id, window, meta.resolution, vec![meta.id], packing)?;
        for series in Joined::new(stored, fresh, resolution_ms) {
            let added: Result<(), MaintainError> = match series {
                Ok(series) if series.aggregates.is_empty() && series.histogram_runs.is_empty() => {
                    Ok(())
                }
                Ok(series) => writer.add(&series).map_err(Into::into),
                Err(source) => Err(fault(source)),
            };
            if let Err(error) = added {
                discard(writer);
                return Err(error);
            }
        }
        self.finish(writer, publishing)
    }

    /// Series of blocks in the order of their labels; of blocks of aggregates these, of others the samples in the range.
    fn read_sorted(&self, blocks: &[Arc<Block>], range: TimeRange) -> Result<Columns, SelectError> {
        let loaded = load(blocks, range, self.clock.monotonic(), OnDamage::Fail)?;
        let mut selected = merge(&loaded, Vec::new(), &[], range, OnDamage::Fail)?;
        selected.sort_by(|a, b| a.labels.cmp(&b.labels));
        let are_coarse = blocks.iter().any(|block| block.meta.resolution > DurationMs::ZERO);
        Ok(if are_coarse {
            Columns::aggregates(selected)
        } else {
            Columns::samples(selected, range)
        })
    }
}

type Read = Result<SeriesData, SelectError>;

/// Two runs of series, each in the order of labels, as one.
struct Joined<A: Iterator<Item = Read>, B: Iterator<Item = Read>> {
    stored: std::iter::Peekable<A>,
    fresh: std::iter::Peekable<B>,
    resolution_ms: i64,
}

impl<A: Iterator<Item = Read>, B: Iterator<Item = Read>> Joined<A, B> {
    fn new(stored: A, fresh: B, resolution_ms: i64) -> Self {
        Self { stored: stored.peekable(), fresh: fresh.peekable(), resolution_ms }
    }
}

impl<A: Iterator<Item = Read>, B: Iterator<Item = Read>> Iterator for Joined<A, B> {
    type Item = Read;

    fn next(&mut self) -> Option<Read> {
        let order = match (self.stored.peek(), self.fresh.peek()) {
            (Some(Ok(stored)), Some(Ok(fresh))) => stored.labels.cmp(&fresh.labels),
            (Some(_), None) | (Some(Err(_)), _) => Ordering::Less,
            (None, _) | (_, Some(Err(_))) => Ordering::Greater,
        };
        match order {
            Ordering::Less => self.stored.next(),
            Ordering::Greater => self.fresh.next(),
            Ordering::Equal => {
                let (stored, fresh) = (self.stored.next()?, self.fresh.next()?);
                let resolution_ms = self.resolution_ms;
                Some(stored.and_then(|mut stored| {
                    let fresh = fresh?;
                    let figures = (|it: &Aggregate| it.last_ms, |it: &Aggregate| it.count);
                    let both = (stored.aggregates, fresh.aggregates);
                    stored.aggregates = fuller(both, figures, resolution_ms);
                    let figures = (|it: &HistogramRun| it.last_ms, |it: &HistogramRun| it.count);
                    let both = (stored.histogram_runs, fresh.histogram_runs);
                    stored.histogram_runs = fuller(both, figures, resolution_ms);
                    Ok(stored)
                }))
            }
        }
    }
}

/// For each stretch what is made of more samples; the fresh ones where both are of as many. `last_ms` and `count` tell of
/// each when its last sample was, and how many it has.
fn fuller<T>(
    (stored, fresh): (Vec<T>, Vec<T>),
    (last_ms, count): (impl Fn(&T) -> i64, impl Fn(&T) -> u64),
    resolution_ms: i64,
) -> Vec<T> {
    let end = |it: &T| stretch_end(last_ms(it), resolution_ms);
    let mut counts: BTreeMap<i64, [u64; 2]> = BTreeMap::new();
    for (idx, of_one) in [&stored, &fresh].into_iter().enumerate() {
        of_one.iter().for_each(|it| counts.entry(end(it)).or_default()[idx] += count(it));
    }
    let is_fresh = |it: &T| counts[&end(it)][1] >= counts[&end(it)][0];
    let mut all: Vec<T> = stored.into_iter().filter(|it| !is_fresh(it)).collect();
    all.extend(fresh.into_iter().filter(is_fresh));
    all.sort_by_key(last_ms);
    all
}
