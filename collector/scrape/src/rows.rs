//! Samples of a body, row by row.

use rustc_hash::FxHashMap;
use swell_model::{Batch, Row, SeriesRef, TimestampMs};

/// A batch under construction.
pub(crate) struct Rows {
    pub(crate) batch: Batch,
    /// Row by timestamp.
    by_time: FxHashMap<TimestampMs, usize>,
    /// Samples that the first row has room for.
    len: usize,
}

impl Rows {
    /// Without rows; `len` samples are expected in the first.
    pub(crate) fn new(len: usize) -> Self {
        Self { batch: Batch::default(), by_time: FxHashMap::default(), len }
    }

    /// One more sample; samples of a time share a row.
    pub(crate) fn push(&mut self, at: TimestampMs, series: SeriesRef, value: f64, start_ms: i64) {
        let rows = &mut self.batch.rows;
        let row_idx = match rows.last() {
            Some(last) if last.timestamp == at => rows.len() - 1,
            _ => *self.by_time.entry(at).or_insert_with(|| {
                let len = if rows.is_empty() { self.len } else { 0 };
                let (series, values) = (Vec::with_capacity(len), Vec::with_capacity(len));
                rows.push(Row { timestamp: at, series, values, ..Row::default() });
                rows.len() - 1
            }),
        };
        let row = &mut rows[row_idx];
        row.series.push(series);
        row.values.push(value);
        if start_ms != 0 || !row.starts.is_empty() {
            row.starts.resize(row.values.len(), 0);
            row.starts[row.values.len() - 1] = start_ms;
        }
    }
}
