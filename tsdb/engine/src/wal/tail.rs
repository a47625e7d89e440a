//! Reads a segment from its start while it may still grow.

use std::io;
use std::sync::Arc;

use swell_env::{Dir, ReadFile};

use super::frame::{RECORD_HEADER_LEN, SEGMENT_HEADER_LEN};
use super::record::{self, Record};
use super::replay::read_version;
use super::scan::{Scan, Stretch};
use super::segment_name;
use super::values::Bases;
use crate::follow::LoggedBatch;

/// A segment and where its reader stands.
#[derive(Debug)]
pub(crate) struct Tail {
    pub(crate) nr: u64,
    file: Arc<dyn ReadFile>,
    scan: Scan,
    bases: Bases,
}

/// What stands next in a segment.
#[derive(Debug, PartialEq)]
pub(crate) enum TailItem {
    /// What a batch logged, and the number of its record.
    Batch(u64, LoggedBatch),
    /// A record that says nothing of samples.
    Other,
    /// Bytes that are no record.
    Damaged(u64),
}

impl Tail {
    pub(crate) fn open(dir: &dyn Dir, nr: u64) -> io::Result<Self> {
        let file = dir.open(&segment_name(nr))?;
        let len = file.len()?;
        let start =
            if read_version(&*file, len)?.is_some() { SEGMENT_HEADER_LEN as u64 } else { 0 };
        let scan = Scan::up_to(Arc::clone(&file), start, start);
        Ok(Self { nr, file, scan, bases: Bases::default() })
    }

    /// What stands next in the first `len_bytes` bytes, in all of the file without a number; `None` when there is no
    /// more. After an error the tail is to be dropped.
    pub(crate) fn next(&mut self, len_bytes: Option<u64>) -> io::Result<Option<TailItem>> {
        let len = match len_bytes {
            Some(len) => len,
            None => self.file.len()?,
        };
        self.scan.extend(len);
        Ok(self.scan.next()?.map(|stretch| match stretch {
            Stretch::Damaged { bytes } => TailItem::Damaged(bytes.end - bytes.start),
            Stretch::Record { record_nr, payload, .. } => {
                match record::read(payload, &mut self.bases) {
                    Ok(Record::Batch(batch)) => TailItem::Batch(record_nr, batch.into()),
                    Ok(Record::Flushed(_) | Record::LateBelow(_)) => TailItem::Other,
                    Err(_) => TailItem::Damaged((RECORD_HEADER_LEN + payload.len()) as u64),
                }
            }
        }))
    }
}
