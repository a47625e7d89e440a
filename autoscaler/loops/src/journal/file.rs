//! The files of the journal.
//!
//! Two files of at most [`FILE_BYTES_MAX`]: `decisions.log`, which grows, and `decisions.log.1`, the one before it.
//!
//! ```text
//! file    := magic "SWELLDEC" | version u32 = 1 | frame*
//! frame   := length u32 | crc32 u32 of the payload | payload
//! payload := one decision record as JSON (UTF-8)
//! ```
//!
//! Numbers are little-endian. A record that comes again with the same id replaces the earlier one: its times were
//! completed. A crash may leave the last frame torn; it is cut off when the file is opened. Any other damage ends the
//! reading of the file at that place, is logged with its offset, and the damaged file is set aside as the old one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use swell_decide::DecisionRecord;

use super::JournalError;

const MAGIC: &[u8; 8] = b"SWELLDEC";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = MAGIC.len() + 4;
const FRAME_HEAD_BYTES: usize = 8;
/// A file is closed when it would grow beyond this.
pub(super) const FILE_BYTES_MAX: u64 = 8 << 20;
/// A longer frame is damage.
const FRAME_BYTES_MAX: usize = 1 << 20;
pub(super) const CURRENT: &str = "decisions.log";
pub(super) const PREVIOUS: &str = "decisions.log.1";

/// Appends records.
#[derive(Debug)]
pub(super) struct Writer {
    dir: PathBuf,
    file: File,
    len_bytes: u64,
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> JournalError {
    let path = path.to_owned();
    move |source| JournalError::Io { action, path, source }
}

impl Writer {
    /// Opens the folder's journal and answers what it holds, oldest first.
    pub(super) fn open(dir: &Path) -> Result<(Self, Vec<DecisionRecord>), JournalError> {
        fs::create_dir_all(dir).map_err(io_error("make the folder", dir))?;
        let mut records = Vec::new();
        if let Some(found) = read(&dir.join(PREVIOUS))? {
            records.extend(found.records);
        }
        let current = dir.join(CURRENT);
        let mut keep_bytes = None;
        if let Some(found) = read(&current)? {
            records.extend(found.records);
            if found.damaged {
                fs::rename(&current, dir.join(PREVIOUS))
                    .map_err(io_error("set aside the damaged file", &current))?;
            } else {
                keep_bytes = Some(found.good_bytes);
            }
        }
        let writer = match keep_bytes {
            None => Self::start(dir)?,
            Some(len_bytes) => {
                let file = OpenOptions::new()
                    .append(true)
                    .open(&current)
                    .map_err(io_error("open", &current))?;
                file.set_len(len_bytes).map_err(io_error("cut the torn end off", &current))?;
                Self { dir: dir.to_owned(), file, len_bytes }
            }
        };
        Ok((writer, records))
    }

    fn start(dir: &Path) -> Result<Self, JournalError> {
        let path = dir.join(CURRENT);
        let mut header = MAGIC.to_vec();
        header.extend(VERSION.to_le_bytes());
        let mut file = File::create(&path).map_err(io_error("create", &path))?;
        file.write_all(&header).map_err(io_error("write", &path))?;
        Ok(Self { dir: dir.to_owned(), file, len_bytes: HEADER_BYTES as u64 })
    }

    /// Writes records and waits until the disk has them.
    pub(super) fn append(&mut self, records: &[DecisionRecord]) -> Result<(), JournalError> {
        let mut bytes = Vec::new();
        for record in records {
            let payload = serde_json::to_vec(record)
                .map_err(|source| JournalError::Encode { id: record.id, source })?;
            let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
            bytes.extend(length.to_le_bytes());
            bytes.extend(crc32fast::hash(&payload).to_le_bytes());
            bytes.extend(payload);
        }
        if self.len_bytes + bytes.len() as u64 > FILE_BYTES_MAX {
            let current = self.dir.join(CURRENT);
            fs::rename(&current, self.dir.join(PREVIOUS))
                .map_err(io_error("set aside", &current))?;
            *self = Self::start(&self.dir)?;
        }
        let path = self.dir.join(CURRENT);
        let result = self.file.write_all(&bytes).and_then(|()| self.file.sync_data());
        if let Err(source) = result {
            // What was half written would hide what follows.
            let cut = self.file.set_len(self.len_bytes);
            tracing::debug!(cut = cut.is_ok(), "a failed write was taken back");
            return Err(JournalError::Io { action: "write", path, source });
        }
        self.len_bytes += bytes.len() as u64;
        Ok(())
    }
}

struct Found {
    records: Vec<DecisionRecord>,
    /// Bytes up to the end of the last whole frame.
    good_bytes: u64,
    /// Whether something other than a torn end is wrong.
    damaged: bool,
}

/// Reads a file as far as it is sound; `None` when there is none.
fn read(path: &Path) -> Result<Option<Found>, JournalError> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(mut file) => file.read_to_end(&mut bytes).map_err(io_error("read", path))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error("open", path)(error)),
    };
    if bytes.is_empty() {
        // A crash between making the file and writing its head.
        return Ok(Some(Found { records: Vec::new(), good_bytes: 0, damaged: true }));
    }
    let version = bytes.get(MAGIC.len()..HEADER_BYTES).and_then(number);
    if !bytes.starts_with(MAGIC) || version != Some(VERSION) {
        return Err(JournalError::Foreign { path: path.to_owned() });
    }
    let mut records = Vec::new();
    let mut at = HEADER_BYTES;
    loop {
        let rest = &bytes[at..];
        let Some(head) = rest.get(..FRAME_HEAD_BYTES) else { break };
        let (length, crc) = (number(&head[..4]), number(&head[4..]));
        let length = length.and_then(|length| usize::try_from(length).ok()).unwrap_or(usize::MAX);
        if length > FRAME_BYTES_MAX {
            return Ok(Some(damage(path, at, records)));
        }
        let Some(payload) = rest.get(FRAME_HEAD_BYTES..FRAME_HEAD_BYTES + length) else { break };
        let sound = crc == Some(crc32fast::hash(payload));
        let last = at + FRAME_HEAD_BYTES + length == bytes.len();
        match serde_json::from_slice(payload) {
            Ok(record) if sound => records.push(record),
            _ if last => break,
            _ => return Ok(Some(damage(path, at, records))),
        }
        at += FRAME_HEAD_BYTES + length;
    }
    Ok(Some(Found { records, good_bytes: at as u64, damaged: false }))
}

fn damage(path: &Path, at: usize, records: Vec<DecisionRecord>) -> Found {
    tracing::error!(file = %path.display(), offset = at, "the decision journal is damaged; later records of the file are not read");
    Found { records, good_bytes: at as u64, damaged: true }
}

fn number(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}
