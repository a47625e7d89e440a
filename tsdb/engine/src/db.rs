//! The database as others see it: [`Db`] and its state. Opening is in `open.rs`, upkeep in `maintain.rs`.
//!
//! Lock order: `maintenance`, then `publishing`, then `commit`, then `state`, then exemplars, metadata, `saved`, the
//! sync gate or the lock inside `reserve`, which is held while the file is made or removed, and never while its space
//! is used.
//! `commit` orders batches: it is
//! held from the check of a batch to its being visible, so the log has them in the order the head took them.
//! `state` is held for writing only to change memory, never across IO. `groupings` is taken within `state`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use parking_lot::{Mutex, RwLock};
use swell_env::{Clock, Dir, DirLock};
use swell_model::{
    AppendError, AppendReport, Arrivals, AtHand, Batch, GroupedNewest, Grouping, Labels, Matcher,
    MetricMetadata, Row, SampleSink, SelectError, SelectHints, SelectedGroups, SeriesIter,
    SeriesRef, SeriesSource, Split, TimeRange, TimestampMs, Tracked, Wanted,
};
use swell_telemetry::chain;

use crate::acknowledged::Acknowledged;
use crate::block::{Block, BlockId, BlockMeta, Departed};
use crate::checkpoint::Saved;
use crate::coarse::{self, Choice};
use crate::config::{Config, WalSync};
use crate::described::Described;
use crate::exemplars::{ExemplarVerdict, Exemplars, SeriesExemplars};
use crate::follow::LogHolds;
use crate::groupings::Groupings;
use crate::head::{Head, Limits, START_MAX_MS, without_repeats};
use crate::limits::{Blame, check_room};
use crate::maintain::Backoff;
use crate::metrics::Metrics;
use crate::pace::Rest;
use crate::reserve::Reserve;
use crate::restore::Outcome;

use crate::status::Damage;
use crate::timeline::Timeline;
use crate::tuned::Tuned;
use crate::wal::{LogError, SyncGate, WalWriter};
use crate::writes::Writes;

/// An embedded time-series database over one directory. All methods may be called from many threads.
pub struct Db {
    pub(crate) inner: Arc<Inner>,
    pub(crate) syncer: Option<JoinHandle<()>>,
    /// Keeps a second process out; freed after the threads have ended.
    pub(crate) _lock: Box<dyn DirLock>,
}

pub(crate) struct Inner {
    pub(crate) config: Config,
    /// What of it may have changed since.
    pub(crate) tuned: RwLock<Tuned>,
    pub(crate) dir: Arc<dyn Dir>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) timeline: Timeline,
    pub(crate) metrics: Metrics,
    /// One run of [`Db::maintain`] at a time.
    pub(crate) maintenance: Mutex<Backoff>,
    /// One change of which blocks there are, or of what is deleted, at a time.
    pub(crate) publishing: Mutex<()>,
    /// What is kept back for a full disk.
    pub(crate) reserve: Reserve,
    /// Where background work pauses.
    pub(crate) rest: Rest,
    /// The log; orders batches.
    pub(crate) commit: Mutex<WalWriter>,
    pub(crate) state: RwLock<State>,
    pub(crate) groupings: Groupings,
    pub(crate) gate: SyncGate,
    pub(crate) exemplars: RwLock<Exemplars>,
    pub(crate) metadata: RwLock<Described>,
    /// Who was found to use up a limit on series.
    pub(crate) blame: Blame,
    /// Whether batches are taken.
    pub(crate) writes: Writes,
    /// Damage met at open, but for the log's; what is met later stands with its block.
    pub(crate) damage: Vec<Damage>,
    /// Blocks that are gone, while answers may be of them. Nothing else is locked under it but their damage.
    pub(crate) departed: Mutex<Vec<Departed>>,
    /// Damage that is no longer warned of. Nothing else is locked under it.
    pub(crate) acknowledged: RwLock<Acknowledged>,
    pub(crate) samples_appended: AtomicU64,
    /// Blocks that should be there; they stay listed until an operator forgets them.
    pub(crate) missing_blocks: Vec<BlockId>,
    pub(crate) next_block: AtomicU64,
    /// Files to be removed that a start would take for blocks. Nothing else is locked under it.
    pub(crate) orphans: Mutex<Vec<String>>,
    /// Blocks with samples from here on stay although their time is over: see [`Db::hold_from`].
    pub(crate) hold_from_ms: AtomicI64,
    /// Segments of the log that are not to be deleted yet. Nothing else is locked under it.
    pub(crate) log_holds: Mutex<LogHolds>,
    /// The checkpoint on disk.
    pub(crate) saved: Mutex<Saved>,
    /// Set once what was in memory is read back.
    pub(crate) replayed: OnceLock<Outcome>,
}

/// What readers see.
pub(crate) struct State {
    pub(crate) head: Head,
    /// Blocks of samples, oldest first.
    pub(crate) blocks: Arc<Vec<Arc<Block>>>,
    /// Blocks of aggregates, likewise.
    pub(crate) coarse: Arc<Vec<Arc<Block>>>,
}

impl State {
    /// Blocks of samples and of aggregates.
    pub(crate) fn all_blocks(&self) -> Vec<Arc<Block>> {
        self.blocks.iter().chain(self.coarse.iter()).cloned().collect()
    }

    /// Which aggregates a read takes.
    pub(crate) fn coarse_choice(&self, hints: &SelectHints, inner: &Inner) -> Choice {
        if self.coarse.is_empty() {
            return Choice::default();
        }
        let metas: Vec<&BlockMeta> = self.coarse.iter().map(|block| &block.meta).collect();
        let samples: Vec<&BlockMeta> = self.blocks.iter().map(|block| &block.meta).collect();
        coarse::choose(&metas, hints, self.samples_from(inner), coarse::per_day(&samples))
    }

    /// From this time on no sample was deleted for its age.
    fn samples_from(&self, inner: &Inner) -> TimestampMs {
        let oldest = self.blocks.iter().map(|block| block.meta.start).min();
        let Some(oldest) = oldest else { return TimestampMs::MAX };
        if inner.config.retention_rules.is_empty() {
            return oldest;
        }
        // A rule may keep a block for some series of which others are cut out.
        let newest = self.blocks.iter().map(|block| block.meta.max).max().unwrap_or(oldest);
        oldest.max(newest - inner.tuned().retention_time)
    }
}

impl Inner {
    fn refuse(series: &Labels, reason: String) -> AppendError {
        AppendError::Refused { series: series.to_string(), reason }
    }

    pub(crate) fn check_labels(&self, labels: &Labels) -> Result<(), AppendError> {
        let config = &self.config;
        if labels.is_empty() {
            return Err(Self::refuse(labels, "it has no labels".to_owned()));
        }
        if labels.len() > config.label_count_max {
            let reason = format!("{} labels, at most {}", labels.len(), config.label_count_max);
            return Err(Self::refuse(labels, reason));
        }
        for (name, value) in labels.iter() {
            let faults = [
                ("name", name.len(), config.label_name_max_bytes),
                ("value", value.len(), config.label_value_max_bytes),
            ];
            if let Some((part, len, max)) = faults.into_iter().find(|(_, len, max)| len > max) {
                let shown: String = name.chars().take(64).collect();
                let reason = format!("the {part} of label {shown} has {len} bytes, at most {max}");
                return Err(AppendError::Refused {
                    series: labels.metric_name().unwrap_or_default().chars().take(64).collect(),
                    reason,
                });
            }
        }
        Ok(())
    }

    /// Every series is known, every row is whole, every histogram can be stored.
    fn check_batch(head: &Head, batch: &Batch) -> Result<(), AppendError> {
        let known = |series: &SeriesRef| match head.idx_of(*series) {
            Some(_) => Ok(()),
            None => Err(AppendError::UnknownSeries(*series)),
        };
        let starts = |start_ms: i64, series: SeriesRef| {
            if start_ms.abs() <= START_MAX_MS {
                return Ok(());
            }
            let reason = format!("start timestamp {start_ms} ms is beyond {START_MAX_MS}");
            Err(Self::refuse(&head.labels(series), reason))
        };
        for row in &batch.rows {
            row.series.iter().try_for_each(known)?;
            check_shape(row)?;
            row.starts.iter().zip(&row.series).try_for_each(|(start, of)| starts(*start, *of))?;
        }
        for sample in &batch.histograms {
            known(&sample.series)?;
            starts(sample.start_ms, sample.series)?;
            if !swell_chunk::is_writable(&sample.value) {
                let reason = format!(
                    "a histogram's buckets do not fit its spans, or are more than {}",
                    swell_chunk::HISTOGRAM_BUCKETS_MAX
                );
                return Err(Self::refuse(&head.labels(sample.series), reason));
            }
        }
        batch.exemplars.iter().try_for_each(|sample| known(&sample.series))
    }

    /// What of a batch is taken: what is not, is not logged either, so that a log that is read back says what was
    /// stored and nothing else. With it the labels of the exemplars' series.
    fn admit<'b>(
        &self,
        batch: &'b Batch,
        report: &mut AppendReport,
    ) -> Result<(Cow<'b, Batch>, Vec<Labels>), AppendError> {
        let times = self.timeline.times(&*self.clock);
        let late_window = self.tuned().out_of_order_window;
        let newest = times.latest() + self.config.future_limit;
        let late_window_ms = if batch.in_order_only { 0 } else { late_window.0 };
        let limits = Limits { newest, late_window_ms, earliest: times.earliest() };
        let state = self.state.read();
        Self::check_batch(&state.head, batch)?;
        self.timeline.learn(&*self.clock, times, batch, (self.config.future_limit, late_window));
        let mut admitted =
            match without_repeats(batch, |at_ms| state.head.takes_late(at_ms, &limits), report) {
                Cow::Borrowed(batch) => state.head.admit(batch, &limits, report),
                Cow::Owned(batch) => {
                    Cow::Owned(state.head.admit(&batch, &limits, report).into_owned())
                }
            };
        let mut exemplar_series = Vec::new();
        if !batch.exemplars.is_empty() {
            let ring = self.exemplars.read();
            let mut kept = Vec::new();
            for sample in &batch.exemplars {
                let labels = state.head.labels(sample.series);
                let verdict = match sample.exemplar.timestamp > newest {
                    true => ExemplarVerdict::Drop,
                    false => ring.judge(&labels, &sample.exemplar),
                };
                report.exemplars_dropped += usize::from(verdict == ExemplarVerdict::Drop);
                if verdict == ExemplarVerdict::Store {
                    kept.push(sample.clone());
                    exemplar_series.push(labels);
                }
            }
            if kept.len() < batch.exemplars.len() {
                admitted.to_mut().exemplars = kept;
            }
        }
        if !batch.descriptions.is_empty() {
            let known = self.metadata.read();
            if !batch.descriptions.iter().all(|description| known.is_news(description)) {
                admitted.to_mut().descriptions.retain(|description| known.is_news(description));
            }
        }
        Ok((admitted, exemplar_series))
    }

    fn append(&self, batch: &Batch) -> Result<AppendReport, AppendError> {
        let outcome = self.try_append(batch);
        if let Err(AppendError::Paused { .. } | AppendError::ReadOnly { .. }) = outcome {
            self.metrics.batches_refused.inc();
        }
        outcome
    }

    fn try_append(&self, batch: &Batch) -> Result<AppendReport, AppendError> {
        self.writable()?;
        let mut report = AppendReport::default();
        let written = self.commit(batch, &mut report)?;
        if let Some(written) = written
            && self.config.wal_sync == WalSync::Always
        {
            self.gate.wait_durable(written).map_err(|reason| self.fail(reason))?;
        }
        self.samples_appended.fetch_add(report.stored as u64, Ordering::Relaxed);
        self.metrics.count(&report);
        Ok(report)
    }

    /// Logs the batch and makes it visible; gives its number for the sync gate, if anything was written.
    fn commit(&self, batch: &Batch, report: &mut AppendReport) -> Result<Option<u64>, AppendError> {
        let log_failure = |error: LogError| self.log_failed(&error);
        let mut writer = self.commit.lock();
        self.writable()?;
        let (batch, exemplar_series) = self.admit(batch, report)?;
        report.is_rolled_back = batch.is_whole && report.dropped() > 0;
        if batch.is_empty() || report.is_rolled_back {
            return Ok(None);
        }
        self.restore_reserve()?;
        writer.make_room().map_err(log_failure)?;
        let encoded = {
            let state = self.state.read();
            writer.encode(&batch, |series| state.head.pairs(series))
        };
        let Some(encoded) = encoded.map_err(log_failure)? else {
            let reason =
                "the batch takes more than 256 MiB in the log: send it in parts".to_owned();
            return Err(Self::refuse(&Labels::empty(), reason));
        };
        let written = writer.write(&encoded).map_err(log_failure)?;
        self.write_succeeded();
        self.state.write().head.apply(&batch, written.position, report);
        if !exemplar_series.is_empty() {
            let mut ring = self.exemplars.write();
            for (series, sample) in exemplar_series.into_iter().zip(&batch.exemplars) {
                match ring.add(series, sample.exemplar.clone()) {
                    ExemplarVerdict::Store => report.exemplars_stored += 1,
                    ExemplarVerdict::Drop => report.exemplars_dropped += 1,
                    ExemplarVerdict::Duplicate => {}
                }
            }
        }
        if !batch.descriptions.is_empty() {
            let mut known = self.metadata.write();
            batch.descriptions.iter().for_each(|description| known.learn(description.clone()));
        }
        Ok(Some(self.gate.wrote(written.file)))
    }
}

fn check_shape(row: &Row) -> Result<(), AppendError> {
    let (series, values, starts) = (row.series.len(), row.values.len(), row.starts.len());
    if series == values && (starts == 0 || starts == series) {
        return Ok(());
    }
    let reason = format!("a row has {series} series, {values} values and {starts} start times");
    Err(Inner::refuse(&Labels::empty(), reason))
}

impl Db {
    /// What is known of metric families, by name.
    #[must_use]
    pub fn metadata(&self) -> BTreeMap<String, MetricMetadata> {
        self.inner.metadata.read().all()
    }

    /// Exemplars in the range of the series that satisfy all matchers, sorted by labels; the newest are kept in
    /// memory, [`Config::exemplars_max`] of all series together.
    #[must_use]
    pub fn exemplars(&self, matchers: &[Matcher], range: TimeRange) -> Vec<SeriesExemplars> {
        self.inner.exemplars.read().select(matchers, range)
    }

    /// Syncs the log, so that everything acknowledged survives a power cut.
    ///
    /// # Errors
    /// [`AppendError::ReadOnly`] when the sync fails, or another one failed before.
    pub fn sync(&self) -> Result<(), AppendError> {
        self.inner.gate.sync_all().map_err(|reason| self.inner.fail(reason))
    }

    /// Syncs the log, writes a checkpoint and ends the database's threads. Dropping without closing is as being killed:
    /// nothing that was acknowledged is lost, but a power cut may still take what was not synced.
    ///
    /// # Errors
    /// [`AppendError::ReadOnly`] when the sync fails. A checkpoint that cannot be written is logged: the next start takes
    /// longer, and nothing else is missing.
    pub fn close(self) -> Result<(), AppendError> {
        self.finish()
    }

    /// What [`Db::close`] does, for an owner among others; nothing is to be appended after it.
    ///
    /// # Errors
    /// As [`Db::close`].
    pub fn finish(&self) -> Result<(), AppendError> {
        self.sync()?;
        if let Err(error) = self.checkpoint() {
            tracing::warn!(error = chain(&error), "the next start has to read all of the log");
        }
        Ok(())
    }
}

impl Drop for Db {
    fn drop(&mut self) {
        self.inner.gate.close();
        if let Some(syncer) = self.syncer.take()
            && syncer.join().is_err()
        {
            tracing::error!("the thread that syncs the log panicked");
        }
        self.inner.state.read().all_blocks().iter().for_each(|block| block.let_go());
    }
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let inner = &self.inner;
        f.debug_struct("Db")
            .field("dir", &inner.dir)
            .field("config", &inner.config)
            .finish_non_exhaustive()
    }
}

impl SampleSink for Db {
    fn resolve(&self, labels: &Labels) -> Result<SeriesRef, AppendError> {
        let inner = &self.inner;
        if let Some(found) = inner.state.read().head.find(labels) {
            return Ok(found);
        }
        inner.writable()?;
        inner.check_labels(labels)?;
        let mut state = inner.state.write();
        if state.head.find(labels).is_none()
            && let Some(full) = check_room(&state.head.index, labels, &inner.config)
        {
            drop(state);
            inner.metrics.shed(full.kind);
            let now = inner.clock.monotonic();
            let guilty = inner.blame.sentence(&inner.state.read().head.index, &full, now);
            let reason = format!("{}; {guilty}", full.what);
            return Err(AppendError::TooManySeries { series: labels.to_string(), reason });
        }
        let count_before = state.head.index.series_count();
        let series = state.head.resolve(labels);
        let count = state.head.index.series_count();
        // Another may have made it between the two locks.
        inner.metrics.theirs.series_created.inc_by((count - count_before) as u64);
        inner.metrics.head_series.set(i64::try_from(count).unwrap_or(i64::MAX));
        Ok(series)
    }

    fn append(&self, batch: &Batch) -> Result<AppendReport, AppendError> {
        self.inner.append(batch)
    }
}

impl SeriesSource for Db {
    fn select<'a>(
        &'a self,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<SeriesIter<'a>, SelectError> {
        let mut parts = self.parts(matchers, hints, Split::WHOLE)?;
        Ok(parts.pop().expect("a whole is one part"))
    }

    fn select_parts<'a>(
        &'a self,
        matchers: &[Matcher],
        hints: &SelectHints,
        split: Split,
    ) -> Result<Vec<SeriesIter<'a>>, SelectError> {
        self.parts(matchers, hints, split)
    }

    fn select_grouped<'a>(
        &'a self,
        matchers: &[Matcher],
        hints: &SelectHints,
        grouping: Grouping<'_>,
        split: Split,
    ) -> Result<Option<SelectedGroups<'a>>, SelectError> {
        self.grouped(matchers, hints, grouping, split)
    }

    fn newest_grouped(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        grouping: Grouping<'_>,
    ) -> Result<Option<GroupedNewest>, SelectError> {
        self.newest_in_groups(matchers, range, grouping)
    }

    fn at_hand(
        &self,
        wanted: Wanted<'_>,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Option<AtHand> {
        self.looked_at(wanted, matchers, range)
    }

    fn arrivals(
        &self,
        matchers: &[Matcher],
        from: TimestampMs,
        samples_max: usize,
        tracked: &mut Tracked,
    ) -> Result<Option<Arrivals>, SelectError> {
        self.arrived(matchers, from, samples_max, tracked)
    }

    fn warnings(&self, range: TimeRange) -> Vec<String> {
        Self::warnings(self, range)
    }

    fn label_names(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<String>, SelectError> {
        self.names_of(matchers, range)
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<String>, SelectError> {
        self.values_of(name, matchers, range)
    }
}

impl Db {
    /// First time the head is read from, no later than the clock has come: what is before it is in blocks.
    #[must_use]
    pub fn head_floor(&self) -> Option<TimestampMs> {
        let floor = self.inner.state.read().head.read_floor()?;
        Some(floor.min(self.inner.times().held))
    }
}
