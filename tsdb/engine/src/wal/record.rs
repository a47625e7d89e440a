//! What a log record says, as bytes. `docs/format/wal.md` has the layout.
//!
//! A segment defines the series it uses itself, so that each can be read alone and deleted without the others.

use std::sync::Arc;

use swell_chunk::{
    Cursor, DecodeError, HISTOGRAMS_MAX, put_varint, put_zigzag, read_histograms, write_histograms,
};
use swell_model::{
    Batch, Exemplar, LabelsBuilder, MetricDescription, NativeHistogram, TimestampMs,
};

use super::definitions::{DefinedSeries, Definitions};
use super::described;
use super::values::{Bases, put_values, read_values};
use crate::starts::{put_starts, read_starts};

const KIND_BATCH: u8 = 0;
const KIND_FLUSHED: u8 = 1;
const KIND_LATE_BELOW: u8 = 2;

/// A series within one segment, dense from 0.
pub(crate) type LocalId = u32;

/// A record read back.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Record<'p> {
    /// What one batch logged.
    Batch(BatchRecord<'p>),
    /// Samples were put into a block.
    Flushed(FlushMark),
    /// Samples before this time that stand behind it came late: what is before it is being put into a block.
    LateBelow(TimestampMs),
}

/// All samples in `[from, below)` that were logged up to and with `upto` are in blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FlushMark {
    pub(crate) from: TimestampMs,
    pub(crate) below: TimestampMs,
    pub(crate) upto: Position,
}

impl FlushMark {
    /// All samples before `below` are in blocks, but for late ones.
    pub(crate) fn of_floor(below: TimestampMs) -> Self {
        Self { from: TimestampMs::MIN, below, upto: Position::default() }
    }

    /// Whether it says no more than until when all is in blocks, as the one that a segment begins with.
    pub(crate) fn is_of_floor(&self) -> bool {
        self.upto == Position::default()
    }
}

/// Where a record stands in the log: later ones are greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub(crate) segment_nr: u64,
    pub(crate) record_nr: u64,
}

/// What one batch logged, as it is read back. Series have numbers within their segment, dense from 0.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct BatchRecord<'p> {
    /// The number of the first of `defined`; the others follow.
    pub(crate) first_id: LocalId,
    /// Series used for the first time in this segment.
    pub(crate) defined: DefinedSeries<'p>,
    pub(crate) rows: Vec<RecordRow>,
    pub(crate) histograms: Vec<RecordHistogram>,
    pub(crate) exemplars: Vec<(LocalId, Exemplar)>,
    pub(crate) descriptions: Vec<MetricDescription>,
}

/// Samples of one instant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecordRow {
    /// The instant.
    pub timestamp: TimestampMs,
    /// Numbers of the series.
    pub series: Vec<LocalId>,
    /// Value of the series at the same index.
    pub values: Vec<f64>,
    /// As in [`swell_model::Row`].
    pub starts: Vec<i64>,
}

/// A histogram sample.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordHistogram {
    /// Number of the series.
    pub series: LocalId,
    /// When.
    pub timestamp: TimestampMs,
    /// What.
    pub value: Arc<NativeHistogram>,
    /// Start timestamp in milliseconds, 0 for none.
    pub start_ms: i64,
}

/// Appends the payload of a batch. `ids` has the number of each sample's series: of all rows, then of the
/// histograms, then of the exemplars; `defined` the series that are new in the segment, from number `first_id` on.
/// Gives the bytes that the definitions took.
pub(crate) fn put_batch(
    batch: &Batch,
    (first_id, defined): (LocalId, &Definitions<'_>),
    mut ids: &[LocalId],
    bases: &mut Bases,
    out: &mut Vec<u8>,
) -> usize {
    let mut take_ids = |count: usize| {
        let (taken, rest) = ids.split_at(count);
        ids = rest;
        taken
    };
    out.push(KIND_BATCH);
    let before = out.len();
    put_varint(out, u64::from(first_id));
    defined.put(out);
    let definition_bytes = out.len() - before;
    bases.define(first_id, defined.len());
    put_varint(out, batch.rows.len() as u64);
    let mut last_ms = 0;
    for row in &batch.rows {
        put_zigzag(out, row.timestamp.0.wrapping_sub(last_ms));
        last_ms = row.timestamp.0;
        put_varint(out, row.series.len() as u64 * 2 + u64::from(!row.starts.is_empty()));
        let row_ids = take_ids(row.series.len());
        put_ids(row_ids, out);
        put_values(row_ids, &row.values, bases, out);
        if !row.starts.is_empty() {
            put_starts(row.starts.iter().copied(), out);
        }
    }
    bases.settle(first_id, defined.len());
    put_varint(out, batch.histograms.len() as u64);
    put_ids(take_ids(batch.histograms.len()), out);
    for sample in &batch.histograms {
        put_zigzag(out, sample.timestamp.0.wrapping_sub(last_ms));
        last_ms = sample.timestamp.0;
    }
    put_starts(batch.histograms.iter().map(|sample| sample.start_ms), out);
    for group in batch.histograms.chunks(HISTOGRAMS_MAX) {
        let values: Vec<Arc<NativeHistogram>> =
            group.iter().map(|sample| Arc::clone(&sample.value)).collect();
        let mut bytes = Vec::new();
        write_histograms(&values, &mut bytes);
        put_varint(out, bytes.len() as u64);
        out.extend_from_slice(&bytes);
    }
    put_varint(out, batch.exemplars.len() as u64);
    put_ids(take_ids(batch.exemplars.len()), out);
    for sample in &batch.exemplars {
        let exemplar = &sample.exemplar;
        put_zigzag(out, exemplar.timestamp.0.wrapping_sub(last_ms));
        last_ms = exemplar.timestamp.0;
        out.extend_from_slice(&exemplar.value.to_bits().to_le_bytes());
        put_varint(out, exemplar.labels.len() as u64);
        for text in exemplar.labels.iter().flat_map(|(name, value)| [name, value]) {
            put_text(text, out);
        }
    }
    described::put(&batch.descriptions, out);
    definition_bytes
}

/// Appends the payload of a mark.
pub(crate) fn put_flushed(mark: &FlushMark, out: &mut Vec<u8>) {
    out.push(KIND_FLUSHED);
    put_zigzag(out, mark.from.0);
    put_zigzag(out, mark.below.0);
    put_varint(out, mark.upto.segment_nr);
    put_varint(out, mark.upto.record_nr);
}

/// Appends the payload that says which samples behind it came late.
pub(crate) fn put_late_below(below: TimestampMs, out: &mut Vec<u8>) {
    out.push(KIND_LATE_BELOW);
    put_zigzag(out, below.0);
}

/// Reads a payload whose checksum was right. Records of a segment are read in their order, with the same `bases`.
pub(crate) fn read<'p>(payload: &'p [u8], bases: &mut Bases) -> Result<Record<'p>, DecodeError> {
    let mut cursor = Cursor::new(payload);
    let record = match cursor.u8()? {
        KIND_BATCH => Record::Batch(read_batch(&mut cursor, bases)?),
        KIND_FLUSHED => Record::Flushed(FlushMark {
            from: TimestampMs(cursor.zigzag()?),
            below: TimestampMs(cursor.zigzag()?),
            upto: Position { segment_nr: cursor.varint()?, record_nr: cursor.varint()? },
        }),
        KIND_LATE_BELOW => Record::LateBelow(TimestampMs(cursor.zigzag()?)),
        _ => return Err(cursor.fault("the kind of a record is unknown")),
    };
    cursor.finish()?;
    Ok(record)
}

fn read_batch<'p>(
    cursor: &mut Cursor<'p>,
    bases: &mut Bases,
) -> Result<BatchRecord<'p>, DecodeError> {
    let first_id = cursor.varint_u32()?;
    let defined = DefinedSeries::read(cursor)?;
    let end_id = u64::from(first_id) + defined.len() as u64;
    if end_id > DEFINED_MAX {
        return Err(cursor.fault("a series number is out of range"));
    }
    bases.define(first_id, defined.len());
    // Everything counted takes at least half a byte, or is allocated as it is read.
    let row_count = cursor.count(cursor.remaining())?;
    let mut rows = Vec::new();
    let mut last_ms: i64 = 0;
    for _ in 0..row_count {
        last_ms = last_ms.wrapping_add(cursor.zigzag()?);
        let count = cursor.count(cursor.remaining().saturating_mul(4))?;
        let (count, has_starts) = (count / 2, count % 2 == 1);
        let series = read_ids(cursor, count)?;
        let values = read_values(cursor, &series, bases)?;
        let starts = if has_starts { read_starts(cursor, count)? } else { Vec::new() };
        rows.push(RecordRow { timestamp: TimestampMs(last_ms), series, values, starts });
    }
    bases.settle(first_id, defined.len());
    let histograms = read_histogram_samples(cursor, &mut last_ms)?;
    let count = cursor.count(cursor.remaining())?;
    let ids = read_ids(cursor, count)?;
    let mut exemplars = Vec::with_capacity(count);
    for id in ids {
        last_ms = last_ms.wrapping_add(cursor.zigzag()?);
        let value = f64::from_bits(cursor.u64()?);
        let mut labels = LabelsBuilder::default();
        for _ in 0..cursor.count(cursor.remaining())? {
            let (name, value) = (read_text(cursor)?, read_text(cursor)?);
            labels.set(name, value);
        }
        let timestamp = TimestampMs(last_ms);
        exemplars.push((id, Exemplar { labels: labels.build(), value, timestamp }));
    }
    let descriptions = described::read(cursor)?;
    Ok(BatchRecord { first_id, defined, rows, histograms, exemplars, descriptions })
}

/// Series that one segment defines at most: what a damaged number can ask for in memory.
const DEFINED_MAX: u64 = 1 << 26;

fn read_histogram_samples(
    cursor: &mut Cursor<'_>,
    last_ms: &mut i64,
) -> Result<Vec<RecordHistogram>, DecodeError> {
    let count = cursor.count(cursor.remaining())?;
    let ids = read_ids(cursor, count)?;
    let mut timestamps = Vec::with_capacity(count);
    for _ in 0..count {
        *last_ms = last_ms.wrapping_add(cursor.zigzag()?);
        timestamps.push(TimestampMs(*last_ms));
    }
    let starts = read_starts(cursor, count)?;
    let mut values = Vec::with_capacity(count);
    while values.len() < count {
        let len = cursor.count(cursor.remaining())?;
        let group_len = HISTOGRAMS_MAX.min(count - values.len());
        values.extend(read_histograms(cursor.take(len)?, group_len)?);
    }
    let samples = ids.into_iter().zip(timestamps).zip(values).zip(starts);
    Ok(samples
        .map(|(((series, timestamp), value), start_ms)| RecordHistogram {
            series,
            timestamp,
            value,
            start_ms,
        })
        .collect())
}

impl BatchRecord<'_> {
    /// First and last time of the samples.
    pub(crate) fn span(&self) -> Option<(TimestampMs, TimestampMs)> {
        let rows = self.rows.iter().map(|row| row.timestamp);
        span_of(rows.chain(self.histograms.iter().map(|sample| sample.timestamp)))
    }
}

/// First and last time of the samples of a batch.
pub(crate) fn batch_span(batch: &Batch) -> Option<(TimestampMs, TimestampMs)> {
    let rows = batch.rows.iter().map(|row| row.timestamp);
    span_of(rows.chain(batch.histograms.iter().map(|sample| sample.timestamp)))
}

fn span_of(times: impl Iterator<Item = TimestampMs>) -> Option<(TimestampMs, TimestampMs)> {
    times.fold(None, |span, at| match span {
        None => Some((at, at)),
        Some((first, last)) => Some((at.min(first), at.max(last))),
    })
}

pub(super) fn put_text(text: &str, out: &mut Vec<u8>) {
    put_varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

pub(crate) fn read_text<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, DecodeError> {
    let len = cursor.count(cursor.remaining())?;
    let text = std::str::from_utf8(cursor.take(len)?);
    text.map_err(|_| cursor.fault("a text is not UTF-8"))
}

/// Runs of numbers that follow each other: a target's series have neighbouring numbers.
fn put_ids(ids: &[LocalId], out: &mut Vec<u8>) {
    let mut expected = 0;
    for run in ids.chunk_by(|a, b| a.checked_add(1) == Some(*b)) {
        put_zigzag(out, i64::from(run[0]) - expected);
        put_varint(out, run.len() as u64 - 1);
        expected = i64::from(run[0]) + run.len() as i64;
    }
}

fn read_ids(cursor: &mut Cursor<'_>, count: usize) -> Result<Vec<LocalId>, DecodeError> {
    let mut ids = Vec::new();
    let mut expected: i64 = 0;
    while ids.len() < count {
        let first = cursor.zigzag()?.checked_add(expected).and_then(|id| u32::try_from(id).ok());
        let first = first.ok_or_else(|| cursor.fault("a series number is out of range"))?;
        let more = cursor.count(count - ids.len() - 1)?;
        let last = u32::try_from(more).ok().and_then(|more| first.checked_add(more));
        let last = last.ok_or_else(|| cursor.fault("a series number is out of range"))?;
        ids.extend(first..=last);
        expected = i64::from(last) + 1;
    }
    Ok(ids)
}

#[cfg(test)]
mod tests;
