//! Appends records. Owned by the database behind the lock that orders batches.

use std::io;
use std::sync::Arc;

use swell_env::{AppendFile, Dir};
use swell_model::{Batch, DurationMs, SeriesRef, TimestampMs};

use super::definitions::Definitions;
use super::frame::{end_record, segment_header, start_record};
use super::record::{
    FlushMark, LocalId, Position, batch_span, put_batch, put_flushed, put_late_below,
};
use super::resume::{Resume, put_series};
use super::values::Bases;
use super::{FOLDER, segment_name};

/// A segment is ended when its samples take this much.
const SEGMENT_SAMPLES_MAX_BYTES: u64 = 16 << 20;
/// A segment is not ended before its samples take so many times the bytes that its series' definitions take, since
/// the next one has to define them again.
const SAMPLES_PER_DEFINITION_BYTE: u64 = 8;
/// A segment this large is ended in any case.
const SEGMENT_MAX_BYTES: u64 = 512 << 20;
/// A segment whose samples span this much is ended, so that a slow log is deleted piece by piece too.
const SEGMENT_SPAN_MAX_MS: i64 = 3_600_000;

/// What is known of a segment file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) nr: u64,
    pub(crate) bytes: u64,
    /// First and last time of its samples.
    pub(crate) span: Option<(TimestampMs, TimestampMs)>,
}

impl Segment {
    fn is_before(&self, floor: TimestampMs) -> bool {
        self.span.is_none_or(|(_, last)| last < floor)
    }
}

/// Why the log took no record.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    /// Nothing of the record counts, and what was written before is as it was.
    #[error("write of the log failed: {0}")]
    Write(io::Error),
    /// A sync failed: nobody knows what of the file is durable, whatever a later sync says.
    #[error("sync of the log failed: {0}")]
    Sync(io::Error),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct WalWriter {
    dir: Arc<dyn Dir>,
    next_nr: u64,
    ended: Vec<Segment>,
    current: Option<Current>,
    /// By series index: generation, and number in the current segment or [`NO_ID`].
    ids: Vec<(u32, LocalId)>,
    bases: Bases,
    /// The record at hand.
    record: Vec<u8>,
    /// Numbers of the series in the batch at hand.
    batch_ids: Vec<LocalId>,
    /// See [`WalWriter::logged_bytes`].
    logged_bytes: u64,
    /// What is in blocks and the log may not say yet, oldest first.
    marks: Vec<FlushMark>,
    /// Samples before it are in blocks, but for late ones.
    floor: Option<TimestampMs>,
    /// Samples before it count as late from here on, which the log does not say yet.
    late_below: Option<TimestampMs>,
}

const NO_ID: LocalId = LocalId::MAX;
const A_MARK_IS_SHORT: &str = "a mark is short";
/// Bytes of a checkpoint's part.
const PART_BYTES: usize = 1 << 20;

/// The record at hand is ready to be written.
#[derive(Debug)]
#[must_use]
pub(crate) struct Encoded {
    span: Option<(TimestampMs, TimestampMs)>,
    definition_bytes: usize,
}

/// A record that was written.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) file: Arc<dyn AppendFile>,
    pub(crate) position: Position,
}

#[derive(Debug)]
struct Current {
    file: Arc<dyn AppendFile>,
    segment: Segment,
    record_count: u64,
    defined_count: LocalId,
    definition_bytes: u64,
    /// Writing a record failed: half of it may be there.
    has_torn_end: bool,
}

impl Current {
    fn is_full(&self) -> bool {
        let sample_bytes = self.segment.bytes - self.definition_bytes;
        let spans_long = |(first, last): (TimestampMs, TimestampMs)| {
            last.0.saturating_sub(first.0) >= SEGMENT_SPAN_MAX_MS
        };
        let samples_max =
            SEGMENT_SAMPLES_MAX_BYTES.max(self.definition_bytes * SAMPLES_PER_DEFINITION_BYTE);
        sample_bytes >= samples_max
            || self.segment.bytes >= SEGMENT_MAX_BYTES
            || self.segment.span.is_some_and(spans_long)
    }
}

impl WalWriter {
    /// A writer behind the segments that are there, of which `unsaved_bytes` are in no checkpoint, of a head that is read
    /// from `floor` on. It makes its first file with the first record.
    pub(crate) fn new(
        dir: Arc<dyn Dir>,
        ended: Vec<Segment>,
        next_nr: u64,
        unsaved_bytes: u64,
        floor: Option<TimestampMs>,
    ) -> Self {
        Self {
            dir,
            next_nr,
            ended,
            current: None,
            ids: Vec::new(),
            bases: Bases::default(),
            record: Vec::new(),
            batch_ids: Vec::new(),
            logged_bytes: unsaved_bytes,
            marks: Vec::new(),
            floor,
            late_below: None,
        }
    }

    /// Ends a full segment and starts the next, so that records have one to go to, and says there what the log has to say
    /// before another batch. A segment that ends in half a record, since writing that failed, is cut and ended.
    pub(crate) fn make_room(&mut self) -> Result<(), LogError> {
        self.cut_torn_end()?;
        if self.current.as_ref().is_some_and(Current::is_full) {
            self.end_current()?;
        }
        if self.current.is_none() {
            self.current = Some(self.start()?);
        }
        if let Some(below) = self.late_below {
            self.write_short(|record| put_late_below(below, record))?;
            self.late_below = None;
        }
        Ok(())
    }

    /// Writes a record of a few bytes.
    fn write_short(&mut self, put: impl FnOnce(&mut Vec<u8>)) -> Result<Written, LogError> {
        let current = self.current.as_ref().expect("make_room started a segment");
        start_record(&mut self.record);
        put(&mut self.record);
        assert!(end_record(&mut self.record, current.record_count), "{A_MARK_IS_SHORT}");
        self.write(&Encoded { span: None, definition_bytes: 0 })
    }

    fn cut_torn_end(&mut self) -> Result<(), LogError> {
        if let Some(current) = self.current.as_ref().filter(|current| current.has_torn_end) {
            // Ending it syncs it: a failure of that is another matter than one of the cut, which changes nothing.
            current.file.cut(current.segment.bytes).map_err(LogError::Write)?;
            self.end_current()?;
        }
        Ok(())
    }

    /// Makes one record of a batch for the current segment, to be written at once. `pairs_of` gives the labels of a
    /// series that exists: a number that tells the pair apart, name, value. `None` when the batch is too long for a record.
    ///
    /// # Panics
    /// Without [`WalWriter::make_room`] before.
    pub(crate) fn encode<'t, I>(
        &mut self,
        batch: &Batch,
        pairs_of: impl Fn(SeriesRef) -> I,
    ) -> Result<Option<Encoded>, LogError>
    where
        I: ExactSizeIterator<Item = (u32, &'t str, &'t str)>,
    {
        let current = self.current.as_mut().expect("make_room started a segment");
        let first_id = current.defined_count;
        let mut defined = Definitions::default();
        self.batch_ids.clear();
        let rows = batch.rows.iter().flat_map(|row| row.series.iter().copied());
        let histograms = batch.histograms.iter().map(|sample| sample.series);
        let exemplars = batch.exemplars.iter().map(|sample| sample.series);
        for series in rows.chain(histograms).chain(exemplars) {
            let idx = usize::try_from(series.0 & u64::from(u32::MAX)).expect("32 bits");
            let generation = u32::try_from(series.0 >> 32).expect("32 bits");
            if self.ids.len() <= idx {
                self.ids.resize(idx + 1, (0, NO_ID));
            }
            let (known, id) = &mut self.ids[idx];
            if *id == NO_ID || *known != generation {
                *known = generation;
                *id = current.defined_count;
                current.defined_count += 1;
                defined.add(pairs_of(series));
            }
            self.batch_ids.push(*id);
        }
        start_record(&mut self.record);
        let definition_bytes = put_batch(
            batch,
            (first_id, &defined),
            &self.batch_ids,
            &mut self.bases,
            &mut self.record,
        );
        if end_record(&mut self.record, current.record_count) {
            return Ok(Some(Encoded { span: batch_span(batch), definition_bytes }));
        }
        // Its definitions were given numbers and are not written: the next record must not count on them.
        self.end_current()?;
        Ok(None)
    }

    /// Writes the record at hand. After a failure the segment may end in half of it, and takes no other.
    pub(crate) fn write(&mut self, encoded: &Encoded) -> Result<Written, LogError> {
        let current = self.current.as_mut().expect("the record was encoded for this segment");
        current.file.append(&self.record).map_err(|error| {
            current.has_torn_end = true;
            LogError::Write(error)
        })?;
        let position = Position { segment_nr: current.segment.nr, record_nr: current.record_count };
        current.record_count += 1;
        current.segment.bytes += self.record.len() as u64;
        self.logged_bytes += self.record.len() as u64;
        current.definition_bytes += encoded.definition_bytes as u64;
        current.segment.span = joined(current.segment.span, encoded.span);
        Ok(Written { file: Arc::clone(&current.file), position })
    }

    /// Takes a mark that samples are in a block; [`WalWriter::write_marks`] writes it down.
    pub(crate) fn note(&mut self, mark: FlushMark) {
        self.floor = self.floor.max(Some(mark.below));
        self.late_below = self.late_below.filter(|below| *below > mark.below);
        self.marks.push(mark);
    }

    /// Samples before `below` count as late from here on: a block is being made of those that are there. The log says so
    /// before its next batch; else the mark of that block would be taken for one of these samples, too.
    pub(crate) fn late_below(&mut self, below: TimestampMs) {
        self.late_below = self.late_below.max(Some(below));
    }

    /// Whether there are marks of which it is not known that they are durable.
    pub(crate) fn has_marks(&self) -> bool {
        !self.marks.is_empty()
    }

    /// Writes these marks; gives the last record. A mark that stands twice in the log says no more than one.
    pub(crate) fn write_marks(&mut self) -> Result<Option<Written>, LogError> {
        let mut last = None;
        for idx in 0..self.marks.len() {
            self.make_room()?;
            let mark = self.marks[idx];
            last = Some(self.write_short(|record| put_flushed(&mark, record))?);
        }
        Ok(last)
    }

    /// What [`WalWriter::write_marks`] wrote is durable.
    pub(crate) fn marks_are_durable(&mut self) {
        self.marks.clear();
    }

    /// The position of the newest record; the least one before the first.
    pub(crate) fn position(&self) -> Position {
        match &self.current {
            Some(current) if current.record_count > 0 => {
                Position { segment_nr: current.segment.nr, record_nr: current.record_count - 1 }
            }
            _ => Position { segment_nr: self.next_nr - 1, record_nr: u64::from(u32::MAX) },
        }
    }

    /// Where the log goes on behind what is written by now.
    pub(crate) fn resume(&self) -> Resume {
        let segments: Vec<Segment> = self.segments().copied().collect();
        let (at, defined_count) = match &self.current {
            Some(current) => {
                let at = (current.segment.nr, current.segment.bytes, current.record_count);
                (at, current.defined_count)
            }
            None => ((self.next_nr, 0, 0), 0),
        };
        Resume::at(at, segments, defined_count)
    }

    /// Gives the series that the current segment defines to `put`, in parts. `generation_of` knows the generation of
    /// each index that the head has in use.
    pub(crate) fn write_resume_series(
        &self,
        generation_of: impl Fn(u32) -> Option<u32>,
        put: &mut dyn FnMut(&[u8]),
    ) {
        let Some(current) = &self.current else { return };
        let mut indices = vec![None; current.defined_count as usize];
        for (idx, (generation, id)) in (0u32..).zip(&self.ids) {
            if *id != NO_ID && generation_of(idx) == Some(*generation) {
                indices[*id as usize] = Some(idx);
            }
        }
        let mut part = Vec::new();
        let mut before = 0;
        for (id, idx) in (0..).zip(indices) {
            put_series(idx, before, (id, &self.bases), &mut part);
            before = idx.unwrap_or(before);
            if part.len() >= PART_BYTES {
                put(&part);
                part.clear();
            }
        }
        if !part.is_empty() {
            put(&part);
        }
    }

    /// Bytes written since the open, and those that a start had to read; never falls.
    pub(crate) const fn logged_bytes(&self) -> u64 {
        self.logged_bytes
    }

    /// Ends the current segment, synced before the next one starts, so that only the newest can have a torn end.
    fn end_current(&mut self) -> Result<(), LogError> {
        if let Some(current) = &self.current {
            current.file.sync().map_err(LogError::Sync)?;
            self.ended.push(current.segment);
            self.current = None;
            self.ids.clear();
            self.bases.clear();
        }
        Ok(())
    }

    /// Makes the next segment. One that cannot be made whole is removed: there is nothing in it yet.
    ///
    /// It begins with a mark of what is in blocks by now. When the segments before it are gone, nothing else would tell
    /// late samples from others, and those would go with the next mark.
    fn start(&mut self) -> Result<Current, LogError> {
        let (nr, name) = (self.next_nr, segment_name(self.next_nr));
        let mut begin = segment_header(nr).to_vec();
        if let Some(below) = self.floor {
            start_record(&mut self.record);
            put_flushed(&FlushMark::of_floor(below), &mut self.record);
            assert!(end_record(&mut self.record, 0), "{A_MARK_IS_SHORT}");
            begin.extend_from_slice(&self.record);
        }
        let file = self.dir.create(&name).map_err(LogError::Write)?;
        self.next_nr += 1;
        let begun =
            file.append(&begin).and_then(|()| file.sync()).and_then(|()| self.dir.sync_dir(FOLDER));
        if let Err(error) = begun {
            match self.dir.remove(&name) {
                Ok(()) => self.next_nr = nr,
                Err(left) => tracing::warn!(file = name, error = %left, "an empty segment stays"),
            }
            return Err(LogError::Write(error));
        }
        let segment = Segment { nr, bytes: begin.len() as u64, span: None };
        Ok(Current {
            file,
            segment,
            record_count: u64::from(self.floor.is_some()),
            defined_count: 0,
            definition_bytes: 0,
            has_torn_end: false,
        })
    }

    /// All segments, the current one last.
    pub(crate) fn segments(&self) -> impl Iterator<Item = &Segment> {
        self.ended.iter().chain(self.current.iter().map(|current| &current.segment))
    }

    /// Number of the segment that takes the next record, unless a new one is started for it.
    pub(crate) fn current_nr(&self) -> u64 {
        self.current.as_ref().map_or(self.next_nr, |current| current.segment.nr)
    }

    /// The segment that is written to: its number, bytes and number of whole records; of one to be made without any.
    pub(crate) fn end(&self) -> (u64, u64, u64) {
        match &self.current {
            Some(current) => (current.segment.nr, current.segment.bytes, current.record_count),
            None => (self.next_nr, 0, 0),
        }
    }

    /// Ended segments with samples before `floor` only, oldest first, up to the first other one.
    pub(crate) fn done(&self, floor: TimestampMs) -> impl DoubleEndedIterator<Item = &Segment> {
        let count = self.ended.iter().take_while(|segment| segment.is_before(floor)).count();
        self.ended[..count].iter()
    }

    /// Ends the current segment, and notes that the samples of all that have ended are in blocks or late ones: `floor`
    /// came down below the times of some.
    pub(crate) fn come_back(&mut self, floor: Option<TimestampMs>) -> Result<(), LogError> {
        self.cut_torn_end()?;
        self.end_current()?;
        (self.floor, self.late_below) = (floor, None);
        let last = floor.map_or(TimestampMs::MIN, |floor| floor - DurationMs(1));
        for segment in &mut self.ended {
            segment.span = segment.span.map(|(from, to)| (from.min(last), to.min(last)));
        }
        Ok(())
    }

    /// Deletes ended segments with numbers below `before_nr` whose samples are all before `floor`: they are in blocks.
    /// Oldest first, up to the first that stays: the marks that tell what of it is in blocks stand in those after it.
    pub(crate) fn delete_before(&mut self, floor: TimestampMs, before_nr: u64) -> io::Result<()> {
        let is_done = |segment: &Segment| segment.nr < before_nr && segment.is_before(floor);
        while let Some(segment) = self.ended.first().filter(|segment| is_done(segment)) {
            self.dir.remove(&segment_name(segment.nr))?;
            self.ended.remove(0);
        }
        Ok(())
    }

    /// Heap bytes of what is kept for each series.
    pub(crate) const fn heap_bytes(&self) -> usize {
        self.ids.capacity() * size_of::<(u32, LocalId)>()
            + self.bases.heap_bytes()
            + self.record.capacity()
            + self.batch_ids.capacity() * size_of::<LocalId>()
    }
}

fn joined(
    a: Option<(TimestampMs, TimestampMs)>,
    b: Option<(TimestampMs, TimestampMs)>,
) -> Option<(TimestampMs, TimestampMs)> {
    match (a, b) {
        (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
        (a, b) => a.or(b),
    }
}
