//! Where a point stands in the log.

use swell_engine::LogPosition;

/// A place in the log: of a point, or before the first point of a record, with `sample` 0. Later ones are greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Number of the segment.
    pub(crate) segment: u64,
    /// Number of the record in it.
    pub(crate) record: u32,
    /// Which point of the record, from 1.
    pub(crate) sample: u32,
}

impl Place {
    /// Before the first point of a record.
    pub(crate) fn before(position: LogPosition) -> Self {
        // A segment has 512 MiB at most, a record twenty bytes at least.
        let record = u32::try_from(position.record_nr).expect("a segment has few records");
        Self { segment: position.segment_nr, record, sample: 0 }
    }

    /// Behind the last point of its record.
    pub(crate) const fn end_of_record(self) -> Self {
        Self { sample: u32::MAX, ..self }
    }
}
