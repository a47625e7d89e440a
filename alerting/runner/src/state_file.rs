//! Small files that are replaced as a whole.
//!
//! Layout: one line of ASCII, `<magic> <version> <CRC-32 of the payload, 8 hexadecimal digits>`, a newline, then the
//! payload (JSON, UTF-8). A file is written under another name, synced, renamed over the old one, and the folder
//! synced: after a crash either the old or the new one is there.

use std::io;

use swell_env::{Dir, read_whole};

/// Version of the layout and of the payloads.
const VERSION: u32 = 1;
/// No state is larger; a larger file is damaged.
const LEN_MAX_BYTES: u64 = 256 << 20;

/// A state file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateFileError {
    /// Reading failed.
    #[error("read {file}")]
    Read {
        /// Name.
        file: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The content is not what was written.
    #[error("{file} is damaged: {why}; remove it to go on without what it holds")]
    Damaged {
        /// Name.
        file: String,
        /// What differs.
        why: String,
    },
}

/// A state file that could not be replaced; the old one is there.
#[derive(Debug, thiserror::Error)]
#[error("write {file}")]
pub(crate) struct StateWriteError {
    file: String,
    #[source]
    source: io::Error,
}

/// Reads the payload; `None` when there is no file.
pub(crate) fn read(
    dir: &dyn Dir,
    file: &str,
    magic: &str,
) -> Result<Option<Vec<u8>>, StateFileError> {
    let bytes = match read_whole(dir, file, LEN_MAX_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(StateFileError::Read { file: path(dir, file), source }),
    };
    let damaged = |why: String| StateFileError::Damaged { file: path(dir, file), why };
    let line_end = bytes.iter().take(100).position(|byte| *byte == b'\n');
    let line_end = line_end.ok_or_else(|| damaged("the first line is missing".into()))?;
    let payload = &bytes[line_end + 1..];
    let found = String::from_utf8_lossy(&bytes[..line_end]).into_owned();
    let expected = header(magic, payload);
    if found != expected {
        return Err(damaged(format!(
            "the first line is {found:?}, the content asks for {expected:?}"
        )));
    }
    Ok(Some(payload.to_vec()))
}

fn header(magic: &str, payload: &[u8]) -> String {
    format!("{magic} {VERSION} {:08x}", crc32fast::hash(payload))
}

/// Replaces the file.
pub(crate) fn write(
    dir: &dyn Dir,
    file: &str,
    magic: &str,
    payload: &[u8],
) -> Result<(), StateWriteError> {
    let replace = || -> io::Result<()> {
        if payload.len() as u64 > LEN_MAX_BYTES / 2 {
            let text = format!("{} bytes are more than a start would read back", payload.len());
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
        }
        let fresh = format!("{file}.new");
        match dir.remove(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let out = dir.create(&fresh)?;
        out.append(format!("{}\n", header(magic, payload)).as_bytes())?;
        out.append(payload)?;
        out.sync()?;
        dir.rename(&fresh, file)?;
        dir.sync_dir("")
    };
    replace().map_err(|source| StateWriteError { file: path(dir, file), source })
}

fn path(dir: &dyn Dir, file: &str) -> String {
    format!("{}/{file}", dir.location())
}

#[cfg(test)]
mod tests {
    use swell_env::{Fault, FaultDir, MemDir};

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let dir = MemDir::new();
        assert!(read(&dir, "a", "SWELLX").expect("readable").is_none());
        for payload in [&b"{}"[..], b"", b"{\"a\":\n1}"] {
            write(&dir, "a", "SWELLX", payload).expect("writable");
            assert_eq!(read(&dir, "a", "SWELLX").expect("readable").as_deref(), Some(payload));
        }
    }

    #[test]
    fn damage_is_found() {
        let dir = MemDir::new();
        write(&dir, "a", "SWELLX", b"{\"a\":1}").expect("writable");
        assert!(matches!(read(&dir, "a", "OTHER"), Err(StateFileError::Damaged { .. })));
        for offset in 0..24 {
            let dir = MemDir::new();
            write(&dir, "a", "SWELLX", b"{\"a\":1}").expect("writable");
            dir.flip("a", offset, 1).expect("the file is that long");
            assert!(
                matches!(read(&dir, "a", "SWELLX"), Err(StateFileError::Damaged { .. })),
                "{offset}"
            );
        }
        dir.lose_end("a", 3).expect("the file is that long");
        assert!(matches!(read(&dir, "a", "SWELLX"), Err(StateFileError::Damaged { .. })));
    }

    #[test]
    fn a_failing_write_leaves_the_old_file_at_every_step() {
        let mut failed = 0;
        for step in 0..20 {
            let dir = FaultDir::new();
            write(&dir, "a", "SWELLX", b"old").expect("writable");
            dir.fail(dir.op_count() + step, 1, Fault::Io);
            let result = write(&dir, "a", "SWELLX", b"new");
            dir.heal();
            let payload = read(&dir, "a", "SWELLX").expect("readable").expect("there");
            if result.is_err() {
                failed += 1;
                assert!(payload == b"old" || payload == b"new");
            } else {
                assert_eq!(payload, b"new");
            }
        }
        assert!(failed > 3, "the faults were hit");
    }
}
