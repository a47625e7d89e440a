//! How records stand in a segment: each behind a header with its length, number and checksum, so that every record
//! can be told from noise alone. `docs/format/wal.md` has the layout.

use std::ops::Range;

pub(crate) const SEGMENT_MAGIC: &[u8; 8] = b"SWELLWAL";
pub(crate) const VERSION: u32 = 2;
/// Magic, version, number of the segment, checksum of these.
pub(crate) const SEGMENT_HEADER_LEN: usize = 24;

const RECORD_MAGIC: &[u8; 4] = b"SwRc";
/// Magic, length of the payload, number of the record in its segment, checksum of length, number and payload.
pub(crate) const RECORD_HEADER_LEN: usize = 20;
/// Longest payload: bounds what a damaged length makes a reader hold in memory.
pub(crate) const PAYLOAD_MAX_BYTES: usize = 256 << 20;

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

fn checksum(length_and_number: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(length_and_number);
    hasher.update(payload);
    hasher.finalize()
}

/// Room for the header of a record; the payload is appended, then [`end_record`] fills it in.
pub(crate) fn start_record(out: &mut Vec<u8>) {
    out.clear();
    out.resize(RECORD_HEADER_LEN, 0);
}

/// Fills the header in; `false` when the payload is longer than a record can be.
pub(crate) fn end_record(out: &mut [u8], record_nr: u64) -> bool {
    let len = out.len() - RECORD_HEADER_LEN;
    let Some(len) = u32::try_from(len).ok().filter(|_| len <= PAYLOAD_MAX_BYTES) else {
        return false;
    };
    out[..4].copy_from_slice(RECORD_MAGIC);
    out[4..8].copy_from_slice(&len.to_le_bytes());
    out[8..16].copy_from_slice(&record_nr.to_le_bytes());
    let checksum = checksum(&out[4..16], &out[RECORD_HEADER_LEN..]);
    out[16..20].copy_from_slice(&checksum.to_le_bytes());
    true
}

/// What stands at the beginning of some bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A sound record: its number, and its payload behind the header.
    Record { record_nr: u64, payload: Range<usize> },
    /// Perhaps a record: so many bytes are needed to tell.
    Needs(usize),
    /// No record.
    Nothing,
}

/// Looks for a record at the beginning of `bytes`, of which `available` (in the file) can be had in all.
pub(crate) fn record_at(bytes: &[u8], available: u64) -> Found {
    if available < RECORD_HEADER_LEN as u64 {
        return Found::Nothing;
    }
    let Some(header) = bytes.get(..RECORD_HEADER_LEN) else {
        return Found::Needs(RECORD_HEADER_LEN);
    };
    if header[..4] != *RECORD_MAGIC {
        return Found::Nothing;
    }
    let payload_len = word(header, 4) as usize;
    let end = RECORD_HEADER_LEN + payload_len.min(PAYLOAD_MAX_BYTES);
    if payload_len > PAYLOAD_MAX_BYTES || end as u64 > available {
        return Found::Nothing;
    }
    let Some(payload) = bytes.get(RECORD_HEADER_LEN..end) else {
        return Found::Needs(end);
    };
    if checksum(&header[4..16], payload) != word(header, 16) {
        return Found::Nothing;
    }
    let record_nr = u64::from_le_bytes(header[8..16].try_into().expect("eight bytes"));
    Found::Record { record_nr, payload: RECORD_HEADER_LEN..end }
}

/// The next place in `bytes`, from 1 on, where a record may start.
pub(crate) fn next_candidate(bytes: &[u8]) -> usize {
    let first = RECORD_MAGIC[0];
    let rest = bytes.get(1..).unwrap_or_default();
    rest.iter().position(|byte| *byte == first).map_or(bytes.len().max(1), |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_of_a_segment_is_told_from_noise() {
        let mut header = segment_header(3);
        assert_eq!(segment_version(&header), Some(VERSION));
        header[12] ^= 1;
        assert_eq!(segment_version(&header), None);
        assert_eq!(segment_version(&header[..10]), None);
    }

    #[test]
    fn a_record_is_found_whole_or_not_at_all() {
        let mut bytes = Vec::new();
        start_record(&mut bytes);
        bytes.extend_from_slice(b"payload");
        assert!(end_record(&mut bytes, 9));
        let len = bytes.len();
        let all = len as u64;
        let payload = RECORD_HEADER_LEN..len;
        assert_eq!(record_at(&bytes, all), Found::Record { record_nr: 9, payload });
        assert_eq!(record_at(&bytes[..4], all), Found::Needs(RECORD_HEADER_LEN));
        assert_eq!(record_at(&bytes[..len - 1], all), Found::Needs(len));
        assert_eq!(record_at(&bytes[..len - 1], all - 1), Found::Nothing);
        for at in 0..len {
            bytes[at] ^= 4;
            assert_eq!(record_at(&bytes, all), Found::Nothing, "byte {at}");
            bytes[at] ^= 4;
        }
        assert_eq!(next_candidate(b"SwRcSw"), 4);
        assert_eq!(next_candidate(b"abc"), 3);
        assert_eq!(next_candidate(b""), 1);
    }
}
