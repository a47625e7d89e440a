//! Checksums made right, so that inputs get behind them: without, the fuzzer would find out nothing but that checksums work.
//! Layouts: `tsdb/engine/docs/format`.

use swell_chunk::Cursor;

fn put(bytes: &mut [u8], at: usize, checksum: u32) {
    if let Some(place) = bytes.get_mut(at..at + 4) {
        place.copy_from_slice(&checksum.to_le_bytes());
    }
}

fn word(bytes: &[u8], at: usize) -> Option<usize> {
    let word = bytes.get(at..at.checked_add(4)?)?;
    usize::try_from(u32::from_le_bytes(word.try_into().ok()?)).ok()
}

/// A file that ends with the checksum of all before.
pub(crate) fn at_end(bytes: &mut [u8]) {
    let Some(end) = bytes.len().checked_sub(4) else { return };
    put(bytes, end, crc32fast::hash(&bytes[..end]));
}

/// A segment of the log.
pub(crate) fn log_segment(bytes: &mut [u8]) {
    if bytes.len() < 24 {
        return;
    }
    put(bytes, 20, crc32fast::hash(&bytes[..20]));
    let mut at = 24;
    while let Some(len) = word(bytes, at + 4) {
        let Some(end) = at.checked_add(20 + len).filter(|end| *end <= bytes.len()) else { return };
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&bytes[at + 4..at + 16]);
        hasher.update(&bytes[at + 20..end]);
        put(bytes, at + 16, hasher.finalize());
        at = end;
    }
}

/// A checkpoint.
pub(crate) fn checkpoint(bytes: &mut [u8]) {
    frames_of_checkpoint(bytes, |_| false);
}

/// A file of labels at the beginning of these bytes, if there is one: its length, and the checksum of its frames'
/// checksums.
pub(crate) fn labels(bytes: &mut [u8]) -> Option<(usize, u32)> {
    const END: u8 = 10;
    bytes.starts_with(b"SWELLLBL").then(|| frames_of_checkpoint(bytes, |kind| kind == END))
}

/// What a checkpoint says of its labels, where it takes as many bytes as before.
pub(crate) fn seal(checkpoint: &mut [u8], len: usize, digest: u32) {
    const LABELS: u8 = 11;
    let Some([LABELS, 1, low, high, place @ ..]) = checkpoint.get_mut(24..32) else { return };
    if (0x80..0x4000).contains(&len) {
        (*low, *high) = (len.to_le_bytes()[0] | 0x80, (len >> 7).to_le_bytes()[0]);
        place.copy_from_slice(&digest.to_le_bytes());
    }
}

/// Header and frames, up to the first whose kind `is_last`; gives their length and the checksum of their checksums.
fn frames_of_checkpoint(bytes: &mut [u8], is_last: impl Fn(u8) -> bool) -> (usize, u32) {
    if bytes.len() < 16 {
        return (bytes.len(), 0);
    }
    put(bytes, 12, crc32fast::hash(&bytes[..12]));
    let (mut at, mut frame_nr) = (16, 0_u32);
    let mut digest = crc32fast::Hasher::new();
    while let Some(len) = word(bytes, at) {
        let Some(end) = at.checked_add(8 + len).filter(|end| *end <= bytes.len()) else { break };
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&frame_nr.to_le_bytes());
        hasher.update(&bytes[at..at + 4]);
        hasher.update(&bytes[at + 8..end]);
        put(bytes, at + 4, hasher.finalize());
        digest.update(&bytes[at + 4..at + 8]);
        let kind = bytes[at + 8..end].first().copied();
        at = end;
        frame_nr += 1;
        if kind.is_some_and(&is_last) {
            break;
        }
    }
    (at, digest.finalize())
}

/// A block, as far as its directories can be followed.
pub(crate) fn block(bytes: &mut [u8]) {
    let Some(body_end) = bytes.len().checked_sub(16).filter(|end| *end >= 16) else { return };
    put(bytes, 12, crc32fast::hash(&bytes[..12]));
    let Some(footer_at) = word(bytes, body_end).and_then(|len| body_end.checked_sub(len)) else {
        return;
    };
    if let Some(sections) = sections(&bytes[footer_at..body_end]) {
        let mut end = footer_at;
        for (nr, (len, checksum_at)) in sections.iter().enumerate().rev() {
            let Some(start) = end.checked_sub(*len) else { break };
            if nr == 0 {
                frames(bytes, start, end);
            }
            put(bytes, footer_at + checksum_at, crc32fast::hash(&bytes[start..end]));
            end = start;
        }
    }
    put(bytes, body_end + 4, crc32fast::hash(&bytes[footer_at..body_end]));
}

/// Length of each section, and where in the footer its checksum stands.
fn sections(footer: &[u8]) -> Option<Vec<(usize, usize)>> {
    let mut cursor = Cursor::new(footer);
    // id, four times, resolution, three counts
    for _ in 0..9 {
        cursor.varint().ok()?;
    }
    for _ in 0..cursor.count(footer.len()).ok()? {
        cursor.varint().ok()?;
    }
    let mut sections = Vec::new();
    for _ in 0..4 {
        let len = usize::try_from(cursor.varint().ok()?).ok()?;
        sections.push((len, cursor.offset()));
        cursor.u32().ok()?;
    }
    Some(sections)
}

/// The checksums of frames in their directory, which stands at `start..end`.
fn frames(bytes: &mut [u8], start: usize, end: usize) {
    let directory = bytes[start..end].to_vec();
    let mut cursor = Cursor::new(&directory);
    let Ok(count) = cursor.count(directory.len()) else { return };
    let mut at = 16_usize;
    for _ in 0..count {
        let (Ok(_), Ok(stored)) = (cursor.varint(), cursor.varint()) else { return };
        let checksum_at = start + cursor.offset();
        let len = usize::try_from(stored / 2).unwrap_or(usize::MAX);
        let Some(frame_end) = at.checked_add(len).filter(|end| *end <= start) else { return };
        put(bytes, checksum_at, crc32fast::hash(&bytes[at..frame_end]));
        at = frame_end;
        if cursor.u32().is_err() {
            return;
        }
    }
}
