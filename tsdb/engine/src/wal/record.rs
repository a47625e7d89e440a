//! Log records as bytes. `docs/format/wal.md` has the layout.
//!
//! A segment defines the series it uses itself, so that each can be read alone and deleted without the others.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use swell_chunk::{
    Cursor, DecodeError, HISTOGRAMS_MAX, put_varint, put_zigzag, read_histograms, write_histograms,
};
use swell_model::{Labels, LabelsBuilder, NativeHistogram, TimestampMs};

pub(crate) const SEGMENT_MAGIC: &[u8; 8] = b"SWELLWAL";
pub(crate) const VERSION: u32 = 1;
/// Magic, version, number of the segment, checksum of these.
pub(crate) const SEGMENT_HEADER_LEN: usize = 24;

const RECORD_MAGIC: &[u8; 4] = b"SwRc";
/// Magic, length of the payload, number of the record in its segment, checksum of length, number and payload.
pub(crate) const RECORD_HEADER_LEN: usize = 20;

/// A series within one segment, dense from 0.
pub(crate) type LocalId = u32;

/// What one batch logs.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Record {
    /// The number of the first of `defined`; the others follow.
    pub(crate) first_id: LocalId,
    /// Series used for the first time in this segment.
    pub(crate) defined: Vec<Labels>,
    pub(crate) rows: Vec<RecordRow>,
    pub(crate) histograms: Vec<(LocalId, TimestampMs, Arc<NativeHistogram>)>,
}

/// Samples of one instant.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RecordRow {
    pub(crate) timestamp: TimestampMs,
    pub(crate) series: Vec<LocalId>,
    pub(crate) values: Vec<f64>,
}

/// The header of a segment.
pub(crate) fn segment_header(segment_nr: u64) -> [u8; SEGMENT_HEADER_LEN] {
    let mut header = [0; SEGMENT_HEADER_LEN];
    header[..8].copy_from_slice(SEGMENT_MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header[12..20].copy_from_slice(&segment_nr.to_le_bytes());
    let checksum = crc32fast::hash(&header[..20]);
    header[20..].copy_from_slice(&checksum.to_le_bytes());
    header
}

/// The version in a segment's header, when the header is sound.
pub(crate) fn segment_version(bytes: &[u8]) -> Option<u32> {
    let header = bytes.get(..SEGMENT_HEADER_LEN)?;
    let sound = header[..8] == *SEGMENT_MAGIC && crc32fast::hash(&header[..20]) == word(header, 20);
    sound.then(|| word(header, 8))
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// A stretch of a segment behind its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stretch {
    /// The payload of a record that passed its checksum.
    Record { payload: Range<usize> },
    /// Bytes that are no record.
    Damaged { bytes: Range<usize> },
}

/// Cuts the bytes of a segment, from `start` on, into records and what is none. After damage it looks for the next
/// record at every byte, since a length that is wrong says nothing about where to go on.
pub(crate) fn scan(bytes: &[u8], start: usize) -> Vec<Stretch> {
    let mut stretches = Vec::new();
    let mut at = start;
    let mut damaged_from = None;
    while at < bytes.len() {
        if let Some(payload) = record_at(bytes, at) {
            if let Some(from) = damaged_from.take() {
                stretches.push(Stretch::Damaged { bytes: from..at });
            }
            at = payload.end;
            stretches.push(Stretch::Record { payload });
        } else {
            damaged_from.get_or_insert(at);
            at += 1;
        }
    }
    if let Some(from) = damaged_from {
        stretches.push(Stretch::Damaged { bytes: from..bytes.len() });
    }
    stretches
}

fn record_at(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let header = bytes.get(at..at + RECORD_HEADER_LEN)?;
    if header[..4] != *RECORD_MAGIC {
        return None;
    }
    let start = at + RECORD_HEADER_LEN;
    let end = start.checked_add(word(header, 4) as usize)?;
    let payload = bytes.get(start..end)?;
    (checksum(&header[4..16], payload) == word(header, 16)).then_some(start..end)
}

fn checksum(length_and_number: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(length_and_number);
    hasher.update(payload);
    hasher.finalize()
}

impl Record {
    /// The record with its header; `None` when it is longer than a record can be.
    pub(crate) fn encode(&self, record_nr: u64) -> Option<Vec<u8>> {
        let mut out = vec![0; RECORD_HEADER_LEN];
        self.encode_definitions(&mut out);
        put_varint(&mut out, self.rows.len() as u64);
        let mut last_ms = 0;
        for row in &self.rows {
            put_zigzag(&mut out, row.timestamp.0.wrapping_sub(last_ms));
            last_ms = row.timestamp.0;
            put_varint(&mut out, row.series.len() as u64);
            put_ids(row.series.iter().copied(), &mut out);
            put_values(&row.values, &mut out);
        }
        put_varint(&mut out, self.histograms.len() as u64);
        put_ids(self.histograms.iter().map(|(id, ..)| *id), &mut out);
        for (_, timestamp, _) in &self.histograms {
            put_zigzag(&mut out, timestamp.0.wrapping_sub(last_ms));
            last_ms = timestamp.0;
        }
        for group in self.histograms.chunks(HISTOGRAMS_MAX) {
            let values: Vec<Arc<NativeHistogram>> =
                group.iter().map(|(.., value)| Arc::clone(value)).collect();
            let mut bytes = Vec::new();
            write_histograms(&values, &mut bytes);
            put_varint(&mut out, bytes.len() as u64);
            out.extend_from_slice(&bytes);
        }
        let len = u32::try_from(out.len() - RECORD_HEADER_LEN).ok()?;
        out[..4].copy_from_slice(RECORD_MAGIC);
        out[4..8].copy_from_slice(&len.to_le_bytes());
        out[8..16].copy_from_slice(&record_nr.to_le_bytes());
        let checksum = checksum(&out[4..16], &out[RECORD_HEADER_LEN..]);
        out[16..20].copy_from_slice(&checksum.to_le_bytes());
        Some(out)
    }

    fn encode_definitions(&self, out: &mut Vec<u8>) {
        put_varint(out, u64::from(self.first_id));
        put_varint(out, self.defined.len() as u64);
        let mut texts: Vec<&str> = Vec::new();
        let mut number_of: HashMap<&str, u64> = HashMap::new();
        let mut pairs = Vec::new();
        for labels in &self.defined {
            put_varint(&mut pairs, labels.len() as u64);
            for text in labels.iter().flat_map(|(name, value)| [name, value]) {
                let number = *number_of.entry(text).or_insert_with(|| {
                    texts.push(text);
                    texts.len() as u64 - 1
                });
                put_varint(&mut pairs, number);
            }
        }
        put_varint(out, texts.len() as u64);
        for text in texts {
            put_varint(out, text.len() as u64);
            out.extend_from_slice(text.as_bytes());
        }
        out.extend_from_slice(&pairs);
    }

    /// Reads a payload whose checksum was right.
    pub(crate) fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(payload);
        let first_id = cursor.varint_u32()?;
        let defined = read_definitions(&mut cursor)?;
        // Everything counted takes at least a byte, or is allocated as it is read.
        let row_count = cursor.count(cursor.remaining())?;
        let mut rows = Vec::new();
        let mut last_ms: i64 = 0;
        for _ in 0..row_count {
            last_ms = last_ms.wrapping_add(cursor.zigzag()?);
            let count = cursor.count(cursor.remaining())?;
            let series = read_ids(&mut cursor, count)?;
            let values = read_values(&mut cursor, count)?;
            rows.push(RecordRow { timestamp: TimestampMs(last_ms), series, values });
        }
        let count = cursor.count(cursor.remaining())?;
        let ids = read_ids(&mut cursor, count)?;
        let mut timestamps = Vec::with_capacity(count);
        for _ in 0..count {
            last_ms = last_ms.wrapping_add(cursor.zigzag()?);
            timestamps.push(TimestampMs(last_ms));
        }
        let mut values = Vec::with_capacity(count);
        while values.len() < count {
            let len = cursor.count(cursor.remaining())?;
            let group_len = HISTOGRAMS_MAX.min(count - values.len());
            values.extend(read_histograms(cursor.take(len)?, group_len)?);
        }
        cursor.finish()?;
        let histograms = ids
            .into_iter()
            .zip(timestamps)
            .zip(values)
            .map(|((id, timestamp), value)| (id, timestamp, value))
            .collect();
        Ok(Self { first_id, defined, rows, histograms })
    }

    /// First and last time of the samples.
    pub(crate) fn span(&self) -> Option<(TimestampMs, TimestampMs)> {
        let rows = self.rows.iter().map(|row| row.timestamp);
        let times = rows.chain(self.histograms.iter().map(|(_, timestamp, _)| *timestamp));
        times.fold(None, |span, at| match span {
            None => Some((at, at)),
            Some((first, last)) => Some((at.min(first), at.max(last))),
        })
    }
}

fn read_definitions(cursor: &mut Cursor<'_>) -> Result<Vec<Labels>, DecodeError> {
    let defined_count = cursor.count(cursor.remaining())?;
    let text_count = cursor.count(cursor.remaining())?;
    let mut texts = Vec::new();
    for _ in 0..text_count {
        let len = cursor.count(cursor.remaining())?;
        let text = std::str::from_utf8(cursor.take(len)?);
        texts.push(text.map_err(|_| cursor.fault("a label is not UTF-8"))?);
    }
    let mut defined = Vec::new();
    for _ in 0..defined_count {
        let mut labels = LabelsBuilder::default();
        for _ in 0..cursor.count(cursor.remaining())? {
            let mut text = || {
                let number = usize::try_from(cursor.varint()?).ok();
                let text = number.and_then(|number| texts.get(number));
                text.ok_or_else(|| cursor.fault("a label is missing"))
            };
            let (name, value) = (text()?, text()?);
            labels.set(name, value);
        }
        defined.push(labels.build());
    }
    Ok(defined)
}

/// Differences between neighbours: series of one target have neighbouring numbers.
fn put_ids(ids: impl Iterator<Item = LocalId>, out: &mut Vec<u8>) {
    let mut expected = 0;
    for id in ids {
        put_zigzag(out, i64::from(id) - expected);
        expected = i64::from(id) + 1;
    }
}

fn read_ids(cursor: &mut Cursor<'_>, count: usize) -> Result<Vec<LocalId>, DecodeError> {
    let mut ids = Vec::with_capacity(count);
    let mut expected: i64 = 0;
    for _ in 0..count {
        let id = cursor.zigzag()?.checked_add(expected).and_then(|id| u32::try_from(id).ok());
        let id = id.ok_or_else(|| cursor.fault("a series number is out of range"))?;
        ids.push(id);
        expected = i64::from(id) + 1;
    }
    Ok(ids)
}

/// Half a byte each for the number of bytes down to the last that is not zero, then these bytes, highest first:
/// short decimals and small integers end in zeros.
fn put_values(values: &[f64], out: &mut Vec<u8>) {
    let len = |value: f64| 8 - value.to_bits().trailing_zeros().min(64) / 8;
    for pair in values.chunks(2) {
        let low = len(pair[0]);
        let high = pair.get(1).map_or(0, |value| len(*value));
        out.push(u8::try_from(low | high << 4).expect("two numbers up to 8"));
    }
    for value in values {
        out.extend_from_slice(&value.to_bits().to_be_bytes()[..len(*value) as usize]);
    }
}

fn read_values(cursor: &mut Cursor<'_>, count: usize) -> Result<Vec<f64>, DecodeError> {
    let lens = cursor.take(count.div_ceil(2))?;
    let mut values = Vec::with_capacity(count);
    for idx in 0..count {
        let len = usize::from(lens[idx / 2] >> (idx % 2 * 4) & 15);
        let mut bytes = [0; 8];
        let kept = bytes.get_mut(..len).ok_or_else(|| cursor.fault("a value has over 8 bytes"))?;
        kept.copy_from_slice(cursor.take(len)?);
        values.push(f64::from_bits(u64::from_be_bytes(bytes)));
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_record() -> impl Strategy<Value = Record> {
        let labels =
            prop::collection::btree_map("[a-c]", "[x-z]{1,3}", 0..4).prop_map(Labels::from_pairs);
        let row = (any::<i64>(), prop::collection::vec((any::<u32>(), any_value()), 0..20))
            .prop_map(|(at, samples)| {
                let (series, values) = samples.into_iter().unzip();
                RecordRow { timestamp: TimestampMs(at), series, values }
            });
        let histogram = (any::<u32>(), any::<i64>(), any::<u32>()).prop_map(|(id, at, count)| {
            let value = NativeHistogram { count: f64::from(count), ..NativeHistogram::default() };
            (id, TimestampMs(at), Arc::new(value))
        });
        (
            any::<u32>(),
            prop::collection::vec(labels, 0..10),
            prop::collection::vec(row, 0..4),
            prop::collection::vec(histogram, 0..300),
        )
            .prop_map(|(first_id, defined, rows, histograms)| Record {
                first_id,
                defined,
                rows,
                histograms,
            })
    }

    fn any_value() -> impl Strategy<Value = f64> {
        prop_oneof![
            any::<i32>().prop_map(|v| f64::from(v) / 4.0),
            any::<f64>().prop_filter("NaN differs from itself", |v| !v.is_nan()),
        ]
    }

    proptest! {
        #[test]
        fn any_record_comes_back(record in any_record()) {
            let bytes = record.encode(7).expect("short enough");
            prop_assert_eq!(scan(&bytes, 0), [Stretch::Record { payload: RECORD_HEADER_LEN..bytes.len() }]);
            prop_assert_eq!(Record::decode(&bytes[RECORD_HEADER_LEN..]).expect("decodes"), record);
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(record) = Record::decode(&bytes) {
                prop_assert!(record.rows.len() <= bytes.len());
            }
            prop_assert!(scan(&bytes, 0).len() <= 1);
        }

        #[test]
        fn a_damaged_record_is_skipped_and_the_others_are_found(
            records in prop::collection::vec(any_record(), 1..5),
            hit in any::<prop::sample::Index>(),
            mask in 1u8..,
        ) {
            let mut bytes = Vec::new();
            let mut ends = Vec::new();
            for (nr, record) in (0u64..).zip(&records) {
                bytes.extend(record.encode(nr).expect("short enough"));
                ends.push(bytes.len());
            }
            let hit = hit.index(bytes.len());
            bytes[hit] ^= mask;
            let damaged_idx = ends.partition_point(|end| *end <= hit);
            let start = if damaged_idx == 0 { 0 } else { ends[damaged_idx - 1] };
            let stretches = scan(&bytes, 0);
            prop_assert_eq!(stretches.len(), records.len());
            prop_assert_eq!(&stretches[damaged_idx], &Stretch::Damaged { bytes: start..ends[damaged_idx] });
        }
    }

    #[test]
    fn values_end_in_zeros() {
        let mut out = Vec::new();
        put_values(&[0.0, 1.0, 5.5, 1e6], &mut out);
        assert_eq!(out.len(), 2 + 2 + 2 + 4);
        let mut cursor = Cursor::new(&out);
        assert_eq!(read_values(&mut cursor, 4).expect("decodes"), [0.0, 1.0, 5.5, 1e6]);
    }

    #[test]
    fn the_header_of_a_segment_is_told_from_noise() {
        let mut header = segment_header(3);
        assert_eq!(segment_version(&header), Some(VERSION));
        header[12] ^= 1;
        assert_eq!(segment_version(&header), None);
        assert_eq!(segment_version(&header[..10]), None);
    }
}
