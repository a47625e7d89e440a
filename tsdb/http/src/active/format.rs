//! The file of running queries: what was running when the process was killed is read from it at the next start. It is
//! written in place and never synced: it survives the end of the process, not a power cut.
//!
//! ```text
//! 8 bytes     "SWELLACT"
//! 4 bytes     LE version
//! 1024 bytes  for each query that may run:
//!   4 bytes   LE checksum (CRC-32) of the rest of the entry that is used
//!   2 bytes   LE length of the text, 0 when nothing runs here
//!   8 bytes   LE time of the beginning, milliseconds
//!   text      origin, a blank, the query; cut where there is no room
//! ```

use swell_model::TimestampMs;

const MAGIC: &[u8; 8] = b"SWELLACT";
const VERSION: u32 = 1;
const CHECKSUM_LEN: usize = 4;
const HEAD_LEN: usize = CHECKSUM_LEN + 2 + 8;

/// Bytes before the first entry.
pub(super) const HEADER_LEN: usize = 12;
/// Bytes of an entry.
pub(super) const ENTRY_LEN: usize = 1024;
/// What stands at the beginning of an entry that nothing runs in.
pub(super) const FREE: [u8; CHECKSUM_LEN + 2] = [0; CHECKSUM_LEN + 2];

/// A query that had not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftBehind {
    /// When it began.
    pub began_at: TimestampMs,
    /// Who asked for it: `api` or `rule`.
    pub origin: String,
    /// Its text, which may be cut.
    pub query: String,
}

/// An empty file for so many queries.
pub(super) fn empty(entry_count: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_LEN + entry_count * ENTRY_LEN);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.resize(HEADER_LEN + entry_count * ENTRY_LEN, 0);
    bytes
}

/// The entry of a query, as much of it as is used.
pub(super) fn encode(began_at: TimestampMs, origin: &str, query: &str) -> Vec<u8> {
    let text = format!("{origin} {query}");
    let mut len = text.len().min(ENTRY_LEN - HEAD_LEN);
    while !text.is_char_boundary(len) {
        len -= 1;
    }
    let mut entry = vec![0; CHECKSUM_LEN];
    let short = u16::try_from(len).expect("shorter than an entry");
    entry.extend_from_slice(&short.to_le_bytes());
    entry.extend_from_slice(&began_at.0.to_le_bytes());
    entry.extend_from_slice(&text.as_bytes()[..len]);
    let checksum = crc32fast::hash(&entry[CHECKSUM_LEN..]);
    entry[..CHECKSUM_LEN].copy_from_slice(&checksum.to_le_bytes());
    entry
}

/// What was running when the file was left. Entries that were being written at that moment, and files of another
/// version, tell nothing.
pub(super) fn decode(bytes: &[u8]) -> Vec<LeftBehind> {
    let header = [&MAGIC[..], &VERSION.to_le_bytes()[..]].concat();
    let Some(entries) = bytes.strip_prefix(&header[..]) else { return Vec::new() };
    entries.chunks(ENTRY_LEN).filter_map(entry).collect()
}

fn entry(bytes: &[u8]) -> Option<LeftBehind> {
    let (checksum, rest) = bytes.split_first_chunk::<CHECKSUM_LEN>()?;
    let (len, after) = rest.split_first_chunk::<2>()?;
    let len = usize::from(u16::from_le_bytes(*len));
    let used = rest.get(..HEAD_LEN - CHECKSUM_LEN + len).filter(|_| len > 0)?;
    if crc32fast::hash(used) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let (began_at, text) = after.split_first_chunk::<8>()?;
    let text = std::str::from_utf8(text.get(..len)?).ok()?;
    let (origin, query) = text.split_once(' ')?;
    Some(LeftBehind {
        began_at: TimestampMs(i64::from_le_bytes(*began_at)),
        origin: origin.to_owned(),
        query: query.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(entries: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = empty(entries.len());
        for (idx, entry) in entries.iter().enumerate() {
            let at = HEADER_LEN + idx * ENTRY_LEN;
            bytes[at..at + entry.len()].copy_from_slice(entry);
        }
        bytes
    }

    #[test]
    fn entries_come_back_and_long_ones_are_cut() {
        let long = "ü".repeat(2000);
        let entries = [
            encode(TimestampMs(7), "api", "up"),
            FREE.to_vec(),
            encode(TimestampMs(-1), "rule", &long),
        ];
        let read = decode(&file(&entries));
        let expected =
            LeftBehind { began_at: TimestampMs(7), origin: "api".into(), query: "up".into() };
        assert_eq!(read[0], expected);
        assert_eq!(read.len(), 2);
        assert!(long.starts_with(&read[1].query) && read[1].query.len() > 900);
        assert!(decode(&empty(3)).is_empty());
    }

    #[test]
    fn what_is_hurt_tells_nothing() {
        let good = file(&[encode(TimestampMs(7), "api", "sum(up)")]);
        let used = HEADER_LEN + HEAD_LEN + "api sum(up)".len();
        for offset in 0..used {
            let mut bytes = good.clone();
            bytes[offset] ^= 1;
            assert!(decode(&bytes).is_empty(), "byte {offset}");
        }
        for len in 0..used {
            assert!(decode(&good[..len]).is_empty(), "{len} bytes");
        }
    }
}
