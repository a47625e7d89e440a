//! Reading the log while it is written: for those who hand on what is stored, and may be behind by hours. What they have
//! not read yet is held back from deletion, up to a limit.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use swell_model::{Exemplar, Labels, MetricDescription, TimestampMs};

use crate::db::{Db, Inner};
use crate::wal::{
    BatchRecord, RecordHistogram, RecordRow, Tail, TailItem, WalWriter, segment_name,
};

/// Where a record stands in the log: later ones are greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogPosition {
    /// Number of its segment.
    pub segment_nr: u64,
    /// Its number in the segment.
    pub record_nr: u64,
}

/// What a follower meets.
#[derive(Debug, PartialEq)]
pub enum Followed {
    /// What one batch logged. Series numbers start anew in each segment.
    Batch(LogPosition, LoggedBatch),
    /// So many segments were deleted before they were read.
    Lost(u64),
    /// So many bytes of a segment are damaged, and what they held is not known.
    Damaged {
        /// The segment's file.
        file: String,
        /// How many.
        bytes: u64,
    },
}

/// What one batch logged. Series have numbers within their segment, dense from 0.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoggedBatch {
    /// The number of the first of `defined`; the others follow.
    pub first_id: u32,
    /// Series used for the first time in this segment.
    pub defined: Vec<Labels>,
    /// Floats.
    pub rows: Vec<RecordRow>,
    /// Native histograms.
    pub histograms: Vec<RecordHistogram>,
    /// Exemplars with the number of their series.
    pub exemplars: Vec<(u32, Exemplar)>,
    /// What metric families are, as far as that was new.
    pub descriptions: Vec<MetricDescription>,
}

impl From<BatchRecord<'_>> for LoggedBatch {
    fn from(record: BatchRecord<'_>) -> Self {
        let BatchRecord { first_id, defined, rows, histograms, exemplars, descriptions } = record;
        let defined = (0..defined.len()).map(|nr| defined.labels(nr)).collect();
        Self { first_id, defined, rows, histograms, exemplars, descriptions }
    }
}

/// Why the log cannot be read on at the moment. The next try starts again with the segment at hand.
#[derive(Debug, thiserror::Error)]
#[error("read {file}")]
pub struct FollowError {
    /// The segment's file.
    pub file: String,
    /// The system's error.
    #[source]
    pub source: io::Error,
}

/// Which segments who still needs.
#[derive(Debug, Default)]
pub(crate) struct LogHolds {
    next_id: u64,
    /// Number of the first segment that is needed, by holder.
    first_needed: BTreeMap<u64, u64>,
}

/// Reads the log from some segment on. While it lives, what it has not released is kept, within
/// [`crate::Config::held_log_bytes_max`].
pub struct LogFollower {
    inner: Arc<Inner>,
    hold_id: u64,
    /// The segment that is read, or is to be read next.
    segment_nr: u64,
    tail: Option<Tail>,
}

impl std::fmt::Debug for LogFollower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogFollower").field("segment_nr", &self.segment_nr).finish_non_exhaustive()
    }
}

impl Db {
    /// Where the next record will stand, or further.
    #[must_use]
    pub fn log_end(&self) -> LogPosition {
        let (segment_nr, _, record_nr) = self.inner.commit.lock().end();
        LogPosition { segment_nr, record_nr }
    }

    /// A reader that begins with a segment, or with the oldest one behind it that is there. To be asked for before
    /// [`Db::maintain`] runs for the first time, which deletes what nobody needs.
    #[must_use]
    pub fn follow_log(&self, segment_nr: u64) -> LogFollower {
        let writer = self.inner.commit.lock();
        let is_there = writer.segments().any(|segment| segment.nr >= segment_nr);
        // Of what is not there a start has removed what had no records; a power cut may have taken more.
        let segment_nr = if is_there { segment_nr } else { writer.end().0 };
        let mut holds = self.inner.log_holds.lock();
        holds.next_id += 1;
        let hold_id = holds.next_id;
        holds.first_needed.insert(hold_id, segment_nr);
        LogFollower { inner: Arc::clone(&self.inner), hold_id, segment_nr, tail: None }
    }

    /// Samples stored since the open.
    #[must_use]
    pub fn samples_appended(&self) -> u64 {
        self.inner.samples_appended.load(Ordering::Relaxed)
    }
}

impl LogFollower {
    /// What comes next; `None` when all has been read that is there by now.
    ///
    /// # Errors
    /// [`FollowError`] when a file cannot be read. What was handed out of its segment comes again afterwards.
    pub fn read_next(&mut self) -> Result<Option<Followed>, FollowError> {
        loop {
            let (end_nr, end_bytes, _) = self.inner.commit.lock().end();
            if self.tail.is_none() {
                match self.open_next()? {
                    Opened::Lost(segments) => return Ok(Some(Followed::Lost(segments))),
                    Opened::None => return Ok(None),
                    Opened::Tail(tail) => self.tail = Some(tail),
                }
            }
            let Some(tail) = &mut self.tail else { return Ok(None) };
            let nr = tail.nr;
            // One that has ended may have grown since the last look, and does not any more.
            let len_bytes = (nr >= end_nr).then_some(end_bytes);
            let item = tail.next(len_bytes).map_err(|source| {
                self.tail = None;
                FollowError { file: segment_name(nr), source }
            })?;
            match item {
                Some(TailItem::Batch(record_nr, batch)) => {
                    let at = LogPosition { segment_nr: nr, record_nr };
                    return Ok(Some(Followed::Batch(at, batch)));
                }
                Some(TailItem::Damaged(bytes)) => {
                    return Ok(Some(Followed::Damaged { file: segment_name(nr), bytes }));
                }
                Some(TailItem::Other) => {}
                None if nr < end_nr => {
                    self.tail = None;
                    self.segment_nr = nr + 1;
                }
                None => return Ok(None),
            }
        }
    }

    /// Opens the segment that is to be read, or the first that there is behind it.
    fn open_next(&mut self) -> Result<Opened, FollowError> {
        let wanted = self.segment_nr;
        let (oldest, next) = {
            let writer = self.inner.commit.lock();
            let mut numbers = writer.segments().map(|segment| segment.nr);
            let oldest = numbers.next();
            (oldest, oldest.into_iter().chain(numbers).find(|nr| *nr >= wanted))
        };
        let Some(nr) = next else { return Ok(Opened::None) };
        self.segment_nr = nr;
        // Deleted are the oldest; a number that is missing between others had no records.
        if oldest.is_some_and(|oldest| oldest > wanted) {
            return Ok(Opened::Lost(nr - wanted));
        }
        match Tail::open(&*self.inner.dir, nr) {
            Ok(tail) => Ok(Opened::Tail(tail)),
            // Deleted a moment ago.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.segment_nr = nr + 1;
                Ok(Opened::Lost(1))
            }
            Err(source) => Err(FollowError { file: segment_name(nr), source }),
        }
    }

    /// What stands before that segment is not needed any more.
    pub fn release(&self, before_segment_nr: u64) {
        if let Some(held) = self.inner.log_holds.lock().first_needed.get_mut(&self.hold_id) {
            *held = before_segment_nr.max(*held);
        }
    }

    /// The segment that is read, or is to be read next.
    #[must_use]
    pub const fn segment_nr(&self) -> u64 {
        self.segment_nr
    }
}

/// What there is to be read.
enum Opened {
    Tail(Tail),
    Lost(u64),
    None,
}

impl Drop for LogFollower {
    fn drop(&mut self) {
        self.inner.log_holds.lock().first_needed.remove(&self.hold_id);
    }
}

impl Inner {
    /// Number of the segment before which nobody holds one. What lies beyond the limit is not held; nor is anything on
    /// a full disk, where storing comes before sending.
    pub(crate) fn log_not_held_before(
        &self,
        writer: &WalWriter,
        floor: TimestampMs,
        is_full: bool,
    ) -> u64 {
        let current_nr = writer.current_nr();
        let Some(held) = self.log_holds.lock().first_needed.values().min().copied() else {
            return current_nr;
        };
        let mut left = if is_full { 0 } else { self.config.held_log_bytes_max };
        for segment in writer.done(floor).rev().take_while(|segment| segment.nr >= held) {
            match left.checked_sub(segment.bytes) {
                Some(rest) => left = rest,
                None => return current_nr.min(segment.nr + 1),
            }
        }
        current_nr.min(held)
    }
}
