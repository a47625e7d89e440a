//! Appends records. Owned by the database behind the lock that orders batches.

use std::io;
use std::sync::Arc;

use swell_env::{AppendFile, Dir};
use swell_model::{Batch, Labels, SeriesRef, TimestampMs};

use super::record::{LocalId, Record, RecordRow, SEGMENT_HEADER_LEN, segment_header};
use super::{FOLDER, segment_name};

/// A segment this large is ended.
const SEGMENT_MAX_BYTES: u64 = 16 << 20;
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

/// See the module.
#[derive(Debug)]
pub(crate) struct WalWriter {
    dir: Arc<dyn Dir>,
    next_nr: u64,
    ended: Vec<Segment>,
    current: Option<Current>,
    /// By series index: generation, and number in the current segment.
    ids: Vec<Option<(u32, LocalId)>>,
}

/// A record ready to be written.
#[derive(Debug)]
pub(crate) struct Encoded {
    bytes: Vec<u8>,
    span: Option<(TimestampMs, TimestampMs)>,
}

#[derive(Debug)]
struct Current {
    file: Arc<dyn AppendFile>,
    segment: Segment,
    record_count: u64,
    defined_count: LocalId,
}

impl WalWriter {
    /// A writer behind the segments that are there. It makes its first file with the first record.
    pub(crate) fn new(dir: Arc<dyn Dir>, ended: Vec<Segment>, next_nr: u64) -> Self {
        Self { dir, next_nr, ended, current: None, ids: Vec::new() }
    }

    /// Ends a full segment and starts the next, so that [`WalWriter::encode`] has one to number series in.
    pub(crate) fn make_room(&mut self) -> io::Result<()> {
        self.end_when_full()?;
        if self.current.is_none() {
            self.current = Some(self.start()?);
        }
        Ok(())
    }

    /// A batch as one record for the current segment. `labels_of` gives the labels of a series that exists.
    ///
    /// # Panics
    /// Without [`WalWriter::make_room`] before.
    pub(crate) fn encode(
        &mut self,
        batch: &Batch,
        labels_of: impl Fn(SeriesRef) -> Labels,
    ) -> io::Result<Encoded> {
        let current = self.current.as_mut().expect("make_room started a segment");
        let mut record = Record { first_id: current.defined_count, ..Record::default() };
        let mut local = |series: SeriesRef, record: &mut Record| {
            let idx = usize::try_from(series.0 & u64::from(u32::MAX)).expect("32 bits");
            let generation = u32::try_from(series.0 >> 32).expect("32 bits");
            if self.ids.len() <= idx {
                self.ids.resize(idx + 1, None);
            }
            match self.ids[idx] {
                Some((known, id)) if known == generation => id,
                _ => {
                    let id = current.defined_count;
                    current.defined_count += 1;
                    self.ids[idx] = Some((generation, id));
                    record.defined.push(labels_of(series));
                    id
                }
            }
        };
        for row in &batch.rows {
            let series = row.series.iter().map(|series| local(*series, &mut record)).collect();
            let (timestamp, values) = (row.timestamp, row.values.clone());
            record.rows.push(RecordRow { timestamp, series, values });
        }
        for sample in &batch.histograms {
            let id = local(sample.series, &mut record);
            record.histograms.push((id, sample.timestamp, Arc::clone(&sample.value)));
        }
        let bytes = record.encode(current.record_count).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "a batch takes more than 4 GiB in the log")
        })?;
        Ok(Encoded { bytes, span: record.span() })
    }

    /// Writes a record. After a failure the segment may end in half of it, and must take no other.
    pub(crate) fn write(&mut self, record: &Encoded) -> io::Result<Arc<dyn AppendFile>> {
        let current = self.current.as_mut().expect("the record was encoded for this segment");
        current.file.append(&record.bytes)?;
        current.record_count += 1;
        current.segment.bytes += record.bytes.len() as u64;
        current.segment.span = joined(current.segment.span, record.span);
        Ok(Arc::clone(&current.file))
    }

    fn end_when_full(&mut self) -> io::Result<()> {
        let is_full = self.current.as_ref().is_some_and(|current| {
            let span = current.segment.span;
            current.segment.bytes >= SEGMENT_MAX_BYTES
                || span.is_some_and(|(first, last)| last.since(first).0 >= SEGMENT_SPAN_MAX_MS)
        });
        if is_full { self.end_current() } else { Ok(()) }
    }

    /// Ends the current segment, synced before the next one starts, so that only the newest can have a torn end.
    fn end_current(&mut self) -> io::Result<()> {
        if let Some(current) = &self.current {
            current.file.sync()?;
            self.ended.push(current.segment);
            self.current = None;
            self.ids.clear();
        }
        Ok(())
    }

    fn start(&mut self) -> io::Result<Current> {
        let nr = self.next_nr;
        self.next_nr += 1;
        let file = self.dir.create(&segment_name(nr))?;
        file.append(&segment_header(nr))?;
        file.sync()?;
        self.dir.sync_dir(FOLDER)?;
        let segment = Segment { nr, bytes: SEGMENT_HEADER_LEN as u64, span: None };
        Ok(Current { file, segment, record_count: 0, defined_count: 0 })
    }

    /// All segments, the current one last.
    pub(crate) fn segments(&self) -> impl Iterator<Item = &Segment> {
        self.ended.iter().chain(self.current.iter().map(|current| &current.segment))
    }

    /// Deletes ended segments whose samples are all before `floor`: they are in blocks.
    pub(crate) fn delete_before(&mut self, floor: TimestampMs) -> io::Result<()> {
        let is_done = |segment: &Segment| segment.span.is_none_or(|(_, last)| last < floor);
        while let Some(idx) = self.ended.iter().position(is_done) {
            self.dir.remove(&segment_name(self.ended[idx].nr))?;
            self.ended.remove(idx);
        }
        Ok(())
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
