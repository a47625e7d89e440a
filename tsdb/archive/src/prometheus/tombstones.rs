//! What was deleted from a block and is still in it.

use std::collections::HashMap;
use std::path::Path;

use super::PrometheusError;
use super::bytes::{Fault, Reader, crc32c};

const MAGIC: u32 = 0x0130_ba30;
const VERSION: u8 = 1;

/// Deleted stretches by series: first and last millisecond.
pub(super) type Tombstones = HashMap<u64, Vec<(i64, i64)>>;

/// Reads a file of tombstones.
pub(super) fn read(path: &Path, bytes: &[u8]) -> Result<Tombstones, PrometheusError> {
    let damaged = |offset: usize, what: Fault| PrometheusError::Damaged {
        path: path.to_owned(),
        offset: offset as u64,
        what,
    };
    let Some((content, crc)) = bytes.split_last_chunk::<4>() else {
        return Err(damaged(0, "it is shorter than its checksum".to_owned()));
    };
    let mut reader = Reader::new(content, 0);
    let magic = reader.u32().map_err(|what| damaged(0, what))?;
    if magic != MAGIC {
        return Err(damaged(0, format!("it starts with {magic:08x}, not as tombstones do")));
    }
    let version = reader.u8().map_err(|what| damaged(4, what))?;
    if version != VERSION {
        let what = format!("tombstones of version {version}");
        return Err(PrometheusError::Unknown { path: path.to_owned(), offset: 4, what });
    }
    // The version is not under the checksum.
    let (found, expected) = (crc32c(&content[5..]), u32::from_be_bytes(*crc));
    if found != expected {
        return Err(damaged(5, format!("the checksum is {found:08x}, not {expected:08x}")));
    }
    let mut all = Tombstones::new();
    while !reader.is_empty() {
        let at = reader.at();
        let mut stone = || Ok((reader.uvarint()?, (reader.varint()?, reader.varint()?)));
        let (series, stretch) = stone().map_err(|what| damaged(at, what))?;
        all.entry(series).or_default().push(stretch);
    }
    Ok(all)
}
