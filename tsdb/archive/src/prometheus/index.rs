//! The index of a block, version 2: symbols and series. Postings are not needed, since every series is looked at.

use std::path::Path;

use swell_model::{Labels, LabelsBuilder};

use super::PrometheusError;
use super::bytes::{Fault, Reader, crc32c};

const MAGIC: u32 = 0xbaaa_d700;
/// The version this reads.
const VERSION: u8 = 2;
/// Six offsets and a checksum.
const TOC_BYTES: usize = 6 * 8 + 4;
/// Series start at multiples of this; their references are in these units.
const SERIES_ALIGNMENT: usize = 16;

/// A series and where its chunks are.
#[derive(Debug)]
pub(super) struct Series {
    /// As tombstones name it.
    pub(super) reference: u64,
    pub(super) labels: Labels,
    pub(super) chunks: Vec<ChunkPlace>,
}

/// Where a chunk is.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChunkPlace {
    pub(super) first_ms: i64,
    pub(super) last_ms: i64,
    /// Number of the file, from 0.
    pub(super) file_idx: usize,
    pub(super) offset: u64,
}

/// All series of an index.
pub(super) fn read(path: &Path, bytes: &[u8]) -> Result<Vec<Series>, PrometheusError> {
    let damaged = |offset: usize, what: Fault| PrometheusError::Damaged {
        path: path.to_owned(),
        offset: offset as u64,
        what,
    };
    let mut header = Reader::new(bytes, 0);
    let magic = header.u32().map_err(|what| damaged(0, what))?;
    if magic != MAGIC {
        return Err(damaged(0, format!("it starts with {magic:08x}, not as an index does")));
    }
    let version = header.u8().map_err(|what| damaged(4, what))?;
    if version != VERSION {
        let what = format!("an index of version {version}");
        return Err(PrometheusError::Unknown { path: path.to_owned(), offset: 4, what });
    }
    let toc_at = bytes.len().checked_sub(TOC_BYTES).ok_or_else(|| {
        damaged(bytes.len(), "the file ends before its table of contents".to_owned())
    })?;
    let toc = toc(&bytes[toc_at..]).map_err(|what| damaged(toc_at, what))?;
    let place = |offset: u64, what: &str| {
        usize::try_from(offset)
            .ok()
            .filter(|offset| *offset < toc_at)
            .ok_or_else(|| damaged(toc_at, format!("{what} start at {offset}, behind the end")))
    };
    let symbols_at = place(toc[0], "the symbols")?;
    let symbols = symbols(bytes, symbols_at).map_err(|what| damaged(symbols_at, what))?;
    let start = place(toc[1], "the series")?;
    // The section that comes next, whichever it is.
    let end = toc
        .iter()
        .filter_map(|offset| usize::try_from(*offset).ok())
        .filter(|offset| *offset > start)
        .fold(toc_at, usize::min);
    let mut all = Vec::new();
    let mut at = start.next_multiple_of(SERIES_ALIGNMENT);
    while at < end {
        let (series, next) =
            series(&bytes[..end], at, &symbols).map_err(|what| damaged(at, what))?;
        match series {
            Some(series) => all.push(series),
            // Only padding can be left.
            None => break,
        }
        at = next.next_multiple_of(SERIES_ALIGNMENT);
    }
    Ok(all)
}

fn toc(bytes: &[u8]) -> Result<[u64; 6], Fault> {
    let mut reader = Reader::new(bytes, 0);
    let mut offsets = [0; 6];
    for offset in &mut offsets {
        *offset = reader.u64()?;
    }
    check(&bytes[..TOC_BYTES - 4], reader.u32()?)?;
    Ok(offsets)
}

fn check(bytes: &[u8], expected: u32) -> Result<(), Fault> {
    let found = crc32c(bytes);
    if found == expected {
        Ok(())
    } else {
        Err(format!("the checksum is {found:08x}, not {expected:08x}"))
    }
}

fn symbols(bytes: &[u8], at: usize) -> Result<Vec<&str>, Fault> {
    let mut reader = Reader::new(bytes, at);
    let len = reader.u32()? as usize;
    let section = reader.take(len)?;
    check(section, reader.u32()?)?;
    let mut reader = Reader::new(section, 0);
    let count = reader.u32()? as usize;
    let mut symbols = Vec::with_capacity(count.min(section.len()));
    for _ in 0..count {
        let len = reader.count()?;
        let text = std::str::from_utf8(reader.take(len)?);
        symbols.push(text.map_err(|_| format!("symbol {} is no UTF-8", symbols.len()))?);
    }
    Ok(symbols)
}

/// The series at a position, and the position after it; `None` where there is padding instead.
fn series(bytes: &[u8], at: usize, symbols: &[&str]) -> Result<(Option<Series>, usize), Fault> {
    let mut reader = Reader::new(bytes, at);
    let len = reader.count()?;
    if len == 0 {
        return Ok((None, bytes.len()));
    }
    let content = reader.take(len)?;
    check(content, reader.u32()?)?;
    let next = reader.at();
    let mut reader = Reader::new(content, 0);
    let symbol = |reader: &mut Reader<'_>| {
        let idx = reader.uvarint()?;
        usize::try_from(idx)
            .ok()
            .and_then(|idx| symbols.get(idx).copied())
            .ok_or_else(|| format!("there is no symbol {idx}"))
    };
    let mut labels = LabelsBuilder::default();
    for _ in 0..reader.count()? {
        let name = symbol(&mut reader)?;
        let value = symbol(&mut reader)?;
        labels.set(name, value);
    }
    let mut chunks = Vec::new();
    let (mut time, mut reference) = (0_i64, 0_u64);
    for nr in 0..reader.count()? {
        let first_ms = if nr == 0 {
            reader.varint()?
        } else {
            time.wrapping_add(reader.uvarint()?.cast_signed())
        };
        let last_ms = first_ms.wrapping_add(reader.uvarint()?.cast_signed());
        reference = if nr == 0 {
            reader.uvarint()?
        } else {
            reference.wrapping_add(reader.varint()?.cast_unsigned())
        };
        time = last_ms;
        chunks.push(ChunkPlace {
            first_ms,
            last_ms,
            file_idx: usize::try_from(reference >> 32)
                .map_err(|_| format!("a chunk in file {}", reference >> 32))?,
            offset: reference & u64::from(u32::MAX),
        });
    }
    let reference = (at / SERIES_ALIGNMENT) as u64;
    Ok((Some(Series { reference, labels: labels.build(), chunks }), next))
}
