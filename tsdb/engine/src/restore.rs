//! Opening, second half: what was in memory, from the checkpoint and the log behind it.

use std::io;

use std::sync::Arc;
use swell_model::{
    AppendReport, Batch, DurationMs, HistogramSample, Row, SeriesRef, TimeRange, TimestampMs,
};
use swell_telemetry::chain;

use crate::block::manifest::Listed;
use crate::block::{self, Block};
use crate::checkpoint::{self, Loaded, ReadCheckpointError, Saved};
use crate::config::Config;
use crate::db::Inner;
use crate::described::Described;
use crate::exemplars::Exemplars;
use crate::head::{DefinedPairs, Head};
use crate::maintain::MaintainError;
use crate::open::{OpenError, Opening, report};
use crate::status::Damage;
use crate::tombstones;
use crate::wal::{
    self, BatchRecord, FlushMark, Position, RecordHistogram, RecordRow, ReplayError, Replayed,
    Resume, WalWriter,
};

/// What is left to do of an open: to read what was in memory.
pub struct Replay {
    inner: Arc<Inner>,
    /// What the list of blocks says.
    listed: Vec<Listed>,
}

impl std::fmt::Debug for Replay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replay").field("dir", &self.inner.dir).finish_non_exhaustive()
    }
}

/// What a replay met.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Of the log, and of what is deleted of it.
    pub(crate) damage: Vec<Damage>,
    pub(crate) record_count: u64,
    pub(crate) torn_bytes: u64,
    pub(crate) began_at_checkpoint: bool,
    pub(crate) checkpoint_fault: Option<String>,
    pub(crate) reach: Reach,
}

/// Until when what was lost before this start may have had samples. Without that, a file whose times nobody can tell
/// would cast doubt on all that comes after it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reach {
    /// Of blocks, and of log segments that were all in blocks: they lie before the head.
    blocks: TimestampMs,
    /// Of the log.
    log: TimestampMs,
    /// Since when there are samples in memory, late ones included: what is deleted of them is not older.
    head_from: TimestampMs,
}

impl Reach {
    fn of(inner: &Inner, head: &Head) -> Self {
        let range = head.range();
        let in_blocks = inner.state.read().blocks.iter().map(|block| block.meta.max).max();
        let newest = range.map(|range| range.end_incl).max(in_blocks);
        let allowed = inner.allowed();
        let log = newest.map_or(allowed, |newest| newest.max(allowed));
        let blocks = range.map_or(log, |range| range.start_incl - DurationMs(1));
        let ranges = range.into_iter().chain(head.late_range());
        let head_from = ranges.map(|range| range.start_incl).min().unwrap_or(log);
        Self { blocks, log, head_from }
    }

    /// The damage, with its times where they were not known.
    pub(crate) fn bound(&self, damage: &Damage) -> Damage {
        let in_blocks = format!("{}/", block::FOLDER);
        let is_of_blocks =
            damage.file.starts_with(&in_blocks) || damage.file.ends_with(block::SUFFIX_DAMAGED);
        let all = |end_incl| TimeRange { start_incl: TimestampMs::MIN, end_incl };
        let range = match damage.range {
            // Damage at the end of a log segment has no record behind it that tells how far it reaches.
            Some(range) if range.end_incl == TimestampMs::MAX => {
                TimeRange { end_incl: self.log.max(range.start_incl), ..range }
            }
            Some(range) => range,
            None if damage.file == tombstones::head_name() => {
                TimeRange { start_incl: self.head_from, end_incl: self.log }
            }
            None if is_of_blocks => all(self.blocks),
            None => all(self.log),
        };
        Damage { range: Some(range), ..damage.clone() }
    }
}

impl Replay {
    pub(crate) const fn new(inner: Arc<Inner>, listed: Vec<Listed>) -> Self {
        Self { inner, listed }
    }

    /// Reads the checkpoint and the log, and shows what they have; from then on the database takes samples.
    ///
    /// # Errors
    /// [`OpenError`]; the database stays as it was, and is to be dropped.
    pub fn run(self) -> Result<(), OpenError> {
        let inner = &*self.inner;
        let opening = Opening { dir: &*inner.dir, location: inner.dir.location().to_owned() };
        let mut damage = Vec::new();
        let mut restored = Restored {
            head: Head::new(),
            exemplars: Exemplars::new(inner.config.exemplars_max),
            described: inner.metadata.read().clone(),
        };
        let from = opening.checkpoint(&mut restored, &mut damage, &inner.config)?;
        opening.head_tombstones(&mut restored.head, &self.listed, &mut damage)?;
        let mut replayed = opening.replay(&mut restored, from.resume)?;
        let Restored { mut head, exemplars, described } = restored;
        let position = Position { segment_nr: replayed.next_nr, record_nr: 0 };
        let end = Position { segment_nr: replayed.next_nr - 1, record_nr: u64::from(u32::MAX) };
        if head.tombstones.end_at(end) {
            // Before anything else is logged, or the next start would take later samples for deleted ones.
            tombstones::write_head(&*inner.dir, &head.tombstones)
                .map_err(opening.io(format!("write {}", tombstones::head_name())))?;
        }
        after_replay(&mut head, &inner.state.read().blocks, position, inner.allowed());
        damage.append(&mut replayed.damage);
        let reach = Reach::of(inner, &head);
        let damage: Vec<Damage> = damage.iter().map(|found| reach.bound(found)).collect();
        report(&damage);
        inner.metrics.theirs.wal_corruptions.inc_by(damage.len() as u64);
        inner.metrics.theirs.series_created.inc_by(head.index.series_count() as u64);
        let (segments, next_nr) = (replayed.segments, replayed.next_nr);
        let (read_bytes, floor) = (replayed.read_bytes, head.read_floor());
        let writer = WalWriter::new(Arc::clone(&inner.dir), segments, next_nr, read_bytes, floor);
        *inner.commit.lock() = writer;
        inner.state.write().head = head;
        *inner.exemplars.write() = exemplars;
        *inner.metadata.write() = described;
        let labels_bytes = from.labels.map_or(0, |named| named.bytes);
        *inner.saved.lock() = Saved::found(from.file_bytes, labels_bytes);
        // Those of a checkpoint that is of no use are left to look at, until the next one.
        if (from.is_used || from.file_bytes.is_none())
            && let Err(left) =
                checkpoint::remove_unnamed(&*inner.dir, from.labels.map(|named| named.nr))
        {
            tracing::warn!(error = %left, "files of labels stay until a later checkpoint");
        }
        let outcome = Outcome {
            damage,
            record_count: replayed.record_count,
            torn_bytes: replayed.torn_bytes,
            began_at_checkpoint: from.is_used,
            checkpoint_fault: from.fault,
            reach,
        };
        assert!(inner.replayed.set(outcome).is_ok(), "there is one replay of a database");
        inner.update_gauges();
        Ok(())
    }
}

/// Says why something is refused while the log is read.
pub(crate) const STILL_READING: &str =
    "what was in memory is still being read back: try again in a moment";

impl Inner {
    /// What the replay met, once it has ended.
    pub(crate) fn is_replayed(&self) -> bool {
        self.replayed.get().is_some()
    }

    /// Refuses what would miss the samples that are not read yet.
    pub(crate) fn check_replayed(&self, action: &str) -> Result<(), MaintainError> {
        if self.is_replayed() {
            return Ok(());
        }
        let source = io::Error::new(io::ErrorKind::ResourceBusy, STILL_READING);
        Err(MaintainError::Io { action: action.to_owned(), source })
    }
}

impl Opening<'_> {
    /// Reads the checkpoint, if there is one of use.
    pub(crate) fn checkpoint(
        &self,
        restored: &mut Restored,
        damage: &mut Vec<Damage>,
        config: &Config,
    ) -> Result<Beginning, OpenError> {
        self.remove_unfinished_checkpoint()?;
        let entries = self.dir.list("").map_err(self.io("list the directory"))?;
        let entry = entries.iter().find(|entry| entry.name == checkpoint::NAME);
        let mut from =
            Beginning { file_bytes: entry.map(|entry| entry.len_bytes), ..Beginning::default() };
        if config.checkpoint_log_bytes == 0 {
            return Ok(from);
        }
        let loaded = match checkpoint::read(self.dir) {
            Ok(loaded) => loaded,
            Err(error @ ReadCheckpointError::Newer { .. }) => {
                let (location, what) = (self.location.clone(), chain(&error));
                return Err(OpenError::Newer { location, what });
            }
            Err(error) => {
                from.fault = Some(chain(&error));
                None
            }
        };
        let segments = self.dir.list(wal::FOLDER).map_err(self.io("list the log"))?;
        let is_there = |name: &str| {
            let file_name = name.rsplit('/').next();
            segments.iter().any(|entry| Some(&*entry.name) == file_name)
        };
        if let Some(loaded) = loaded {
            let Loaded { head, labels, resume, damage: known, exemplars, descriptions } = loaded;
            from.labels = labels;
            let segment = wal::segment_name(resume.segment_nr);
            let has_records = resume.offset > wal::SEGMENT_HEADER_LEN as u64;
            // One that had none yet need not have been made, unless there are later ones.
            let has_later = || {
                let nrs = segments.iter().filter_map(|entry| wal::segment_nr(&entry.name));
                nrs.max().is_some_and(|newest| newest > resume.segment_nr)
            };
            if !is_there(&segment) && (has_records || has_later()) {
                from.fault =
                    Some(format!("{} goes on in {segment}, which is gone", checkpoint::NAME));
            } else {
                from.is_used = true;
                damage.extend(known.into_iter().filter(|found| is_there(&found.file)));
                restored.head = head;
                from.resume = Some(resume);
                for (series, exemplar) in exemplars {
                    restored.exemplars.add(series, exemplar);
                }
                descriptions.into_iter().for_each(|it| restored.described.learn(it));
            }
        }
        if let Some(fault) = &from.fault {
            tracing::warn!(fault, "the checkpoint is of no use: all of the log is read instead");
        }
        Ok(from)
    }

    fn remove_unfinished_checkpoint(&self) -> Result<(), OpenError> {
        match self.dir.remove(checkpoint::NAME_UNFINISHED) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(self.io(format!("remove {}", checkpoint::NAME_UNFINISHED))(error))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn replay(
        &self,
        restored: &mut Restored,
        resume: Option<Resume>,
    ) -> Result<Replayed, OpenError> {
        let mut segment = resume.as_ref().map(|resume| resume.segment_nr);
        let known = resume.iter().flat_map(|resume| &resume.known);
        let mut known: Vec<Option<SeriesRef>> =
            known.map(|idx| idx.map(|idx| restored.head.reference(idx))).collect();
        let mut take = |position: Position, record: wal::Record<'_>| {
            if segment != Some(position.segment_nr) {
                segment = Some(position.segment_nr);
                known.clear();
            }
            match record {
                wal::Record::Batch(record) => restored.take(&mut known, record, position),
                wal::Record::LateBelow(below) => {
                    restored.head.raise_accept_floor(below);
                    0
                }
                wal::Record::Flushed(mark) => {
                    let is_news = restored.head.read_floor() < Some(mark.below);
                    // One that only tells the floor changes nothing where that is known.
                    if is_news || !mark.is_of_floor() {
                        restored.head.forget(&mark, true);
                    }
                    0
                }
            }
        };
        wal::replay(self.dir, resume, &mut take).map_err(|error| match error {
            ReplayError::Newer { .. } => {
                OpenError::Newer { location: self.location.clone(), what: chain(&error) }
            }
            ReplayError::Io { action, file, source } => self.io(format!("{action} {file}"))(source),
        })
    }
}

/// Where reading the log begins.
#[derive(Default)]
pub(crate) struct Beginning {
    /// Bytes of the checkpoint that is there.
    pub(crate) file_bytes: Option<u64>,
    /// The file with its labels.
    pub(crate) labels: Option<checkpoint::Named>,
    pub(crate) is_used: bool,
    pub(crate) resume: Option<Resume>,
    /// Why it is not used.
    pub(crate) fault: Option<String>,
}

/// What the checkpoint and the log bring back.
pub(crate) struct Restored {
    pub(crate) head: Head,
    pub(crate) exemplars: Exemplars,
    pub(crate) described: Described,
}

impl Restored {
    /// Takes what a batch logged; gives the number of samples whose series is unknown.
    fn take(
        &mut self,
        known: &mut Vec<Option<SeriesRef>>,
        record: BatchRecord<'_>,
        position: Position,
    ) -> u64 {
        let first = record.first_id as usize;
        let defined_count = record.defined.len();
        if known.len() < first + defined_count {
            known.resize(first + defined_count, None);
        }
        let mut pairs = DefinedPairs::new(&record.defined);
        for nr in 0..defined_count {
            known[first + nr] = Some(self.head.define(&mut pairs, nr));
        }
        let series_of = |id: u32| known.get(id as usize).copied().flatten();
        let mut unattributed = 0;
        let mut batch = Batch::default();
        for row in record.rows {
            let sample_count = row.series.len();
            let row = known_part(row, series_of);
            unattributed += (sample_count - row.series.len()) as u64;
            batch.rows.push(row);
        }
        for sample in record.histograms {
            let RecordHistogram { series, timestamp, value, start_ms } = sample;
            match series_of(series) {
                Some(series) => {
                    batch.histograms.push(HistogramSample { series, timestamp, value, start_ms });
                }
                None => unattributed += 1,
            }
        }
        // Repeats inside the batch were counted when it came.
        self.head.apply(&batch, position, &mut AppendReport::default());
        for (id, exemplar) in record.exemplars {
            if let Some(series) = series_of(id) {
                self.exemplars.add(self.head.labels(series), exemplar);
            }
        }
        record.descriptions.into_iter().for_each(|description| self.described.learn(description));
        unattributed
    }
}

/// The samples of a row whose series are known.
fn known_part(row: RecordRow, series_of: impl Fn(u32) -> Option<SeriesRef>) -> Row {
    let mut series = Vec::with_capacity(row.series.len());
    series.extend(row.series.iter().map_while(|id| series_of(*id)));
    let RecordRow { timestamp, series: ids, mut values, mut starts } = row;
    if series.len() < ids.len() {
        let mut is_known = ids.iter().map(|id| series_of(*id).is_some());
        values.retain(|_| is_known.next().unwrap_or(true));
        let mut is_known = ids.iter().map(|id| series_of(*id).is_some());
        starts.retain(|_| is_known.next().unwrap_or(true));
        series.clear();
        series.extend(ids.iter().filter_map(|id| series_of(*id)));
    }
    Row { timestamp, series, values, starts }
}

/// The log names no series any more: those without samples go. When blocks reach further than what the log says is in
/// them, and nothing in the head is older, the head takes no samples for their windows but as late ones. Blocks with
/// samples after `allowed` do not count: they are ahead of the clock.
pub(crate) fn after_replay(
    head: &mut Head,
    blocks: &[Arc<Block>],
    upto: Position,
    allowed: TimestampMs,
) {
    head.forget_series();
    let come = || blocks.iter().map(|block| &block.meta).filter(|meta| meta.max <= allowed);
    if let Some(newest) = come().map(|meta| meta.max).max() {
        head.has_seen(newest);
    }
    if let Some(end) = come().map(|meta| meta.end).max()
        && head.range().is_none_or(|range| range.start_incl >= end)
        && head.late_count() == 0
    {
        head.forget(&FlushMark { from: TimestampMs::MIN, below: end, upto }, false);
    }
}
