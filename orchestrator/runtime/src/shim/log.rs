//! The container's log in Kubernetes' CRI format, rotated by size:
//! `<RFC 3339 with nanoseconds> <stdout|stderr> <F|P> <text>\n`, where `P` marks a part of a longer line.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::time::Timespec;

use crate::logs::rotated;
use crate::process::layout::LogSpec;

/// Longer lines are written in parts of this size, as containerd does.
const LINE_BYTES_MAX: usize = 16 * 1024;

/// Which output of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Stdout,
    Stderr,
}

/// Writes the log of one container. A full disk loses text, never the container; the loss is written
/// into the log when there is room again.
#[derive(Debug)]
pub(super) struct LogWriter {
    spec: LogSpec,
    file: File,
    file_bytes: u64,
    /// Begun lines of both streams.
    pending: [Vec<u8>; 2],
    /// Formatted text of the chunk at hand; kept for its capacity.
    formatted: Vec<u8>,
    stamp: Stamp,
    lost_bytes: u64,
}

impl LogWriter {
    pub(super) fn open(spec: LogSpec) -> io::Result<Self> {
        if let Some(dir) = spec.path.parent() {
            fs::create_dir_all(dir)?;
        }
        let file = open_append(&spec.path)?;
        let file_bytes = file.metadata()?.len();
        Ok(Self {
            spec,
            file,
            file_bytes,
            pending: [Vec::new(), Vec::new()],
            formatted: Vec::new(),
            stamp: Stamp::default(),
            lost_bytes: 0,
        })
    }

    /// Takes what the program wrote.
    pub(super) fn push(&mut self, stream: Stream, mut chunk: &[u8], at: Timespec) {
        let stamp = self.stamp.format(at).to_vec();
        while let Some(end) = chunk.iter().position(|byte| *byte == b'\n') {
            self.extend(stream, &chunk[..end], &stamp);
            self.emit(stream, b'F', &stamp);
            chunk = &chunk[end + 1..];
        }
        self.extend(stream, chunk, &stamp);
        self.flush();
    }

    /// Ends lines that were begun.
    pub(super) fn finish(&mut self, at: Timespec) {
        let stamp = self.stamp.format(at).to_vec();
        for stream in [Stream::Stdout, Stream::Stderr] {
            if !self.pending[stream as usize].is_empty() {
                self.emit(stream, b'F', &stamp);
            }
        }
        self.flush();
    }

    fn extend(&mut self, stream: Stream, mut text: &[u8], stamp: &[u8]) {
        loop {
            let pending = &mut self.pending[stream as usize];
            let room = LINE_BYTES_MAX - pending.len();
            if text.len() <= room {
                pending.extend_from_slice(text);
                return;
            }
            pending.extend_from_slice(&text[..room]);
            text = &text[room..];
            self.emit(stream, b'P', stamp);
        }
    }

    fn emit(&mut self, stream: Stream, tag: u8, stamp: &[u8]) {
        let name: &[u8] = match stream {
            Stream::Stdout => b" stdout ",
            Stream::Stderr => b" stderr ",
        };
        let line_len = stamp.len() + name.len() + 3 + self.pending[stream as usize].len();
        let buffered = (self.formatted.len() + line_len) as u64;
        if self.file_bytes + buffered > self.spec.file_bytes_max {
            self.flush();
        }
        let out = &mut self.formatted;
        out.extend_from_slice(stamp);
        out.extend_from_slice(name);
        out.push(tag);
        out.push(b' ');
        out.append(&mut self.pending[stream as usize]);
        out.push(b'\n');
    }

    fn flush(&mut self) {
        if self.formatted.is_empty() {
            return;
        }
        let mut text = std::mem::take(&mut self.formatted);
        if self.lost_bytes > 0 {
            let stamp = String::from_utf8_lossy(&self.stamp.text).into_owned();
            let lost = self.lost_bytes;
            text.extend_from_slice(
                format!("{stamp} stderr F swell: {lost} bytes of this log could not be written\n")
                    .as_bytes(),
            );
        }
        let written = self.rotate_if_full(text.len()).and_then(|()| self.file.write_all(&text));
        match written {
            Ok(()) => {
                self.file_bytes += text.len() as u64;
                self.lost_bytes = 0;
            }
            Err(_) => self.lost_bytes += text.len() as u64,
        }
        text.clear();
        self.formatted = text;
    }

    fn rotate_if_full(&mut self, more_bytes: usize) -> io::Result<()> {
        if self.file_bytes == 0
            || self.file_bytes + more_bytes as u64 <= self.spec.file_bytes_max.max(1)
        {
            return Ok(());
        }
        let path = &self.spec.path;
        let oldest = self.spec.file_count_max.max(1) - 1;
        for generation in (1..oldest).rev() {
            rename_if_there(&rotated(path, generation), &rotated(path, generation + 1))?;
        }
        if oldest == 0 {
            fs::remove_file(path)?;
        } else {
            fs::rename(path, rotated(path, 1))?;
        }
        self.file = open_append(path)?;
        self.file_bytes = 0;
        Ok(())
    }
}

fn open_append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

fn rename_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Formats timestamps; the part down to the second is kept, since most lines share it.
#[derive(Debug, Default)]
struct Stamp {
    second: Option<i64>,
    text: Vec<u8>,
}

impl Stamp {
    fn format(&mut self, at: Timespec) -> &[u8] {
        if self.second != Some(at.tv_sec) {
            let second = jiff::Timestamp::from_second(at.tv_sec).unwrap_or_default().to_string();
            self.text.clear();
            self.text.extend_from_slice(second.trim_end_matches('Z').as_bytes());
            self.text.extend_from_slice(b".000000000Z");
            self.second = Some(at.tv_sec);
        }
        let mut rest = at.tv_nsec;
        let len = self.text.len();
        for digit in self.text[len - 10..len - 1].iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
        }
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timespec = Timespec { tv_sec: 1_700_000_000, tv_nsec: 42 };
    const STAMP: &str = "2023-11-14T22:13:20.000000042Z";

    fn log(dir: &Path, file_bytes_max: u64, file_count_max: u32) -> LogWriter {
        let path = dir.join("web/0.log");
        LogWriter::open(LogSpec { path, file_bytes_max, file_count_max }).unwrap()
    }

    fn text(dir: &Path) -> String {
        fs::read_to_string(dir.join("web/0.log")).unwrap()
    }

    #[test]
    fn lines_of_both_streams_come_whole_with_time_and_stream() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(dir.path(), 1 << 20, 5);
        log.push(Stream::Stdout, b"one\ntw", AT);
        log.push(Stream::Stderr, b"oops\n\n", AT);
        log.push(Stream::Stdout, b"o\nrest", AT);
        log.finish(AT);
        assert_eq!(
            text(dir.path()),
            format!(
                "{STAMP} stdout F one\n{STAMP} stderr F oops\n{STAMP} stderr F \n\
                 {STAMP} stdout F two\n{STAMP} stdout F rest\n"
            )
        );
    }

    #[test]
    fn a_long_line_is_written_in_parts_that_give_the_line_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(dir.path(), 1 << 20, 5);
        let line: Vec<u8> = (0..40_000_u32).map(|n| b'a' + (n % 26) as u8).collect();
        log.push(Stream::Stdout, &line, AT);
        log.push(Stream::Stdout, b"\n", AT);
        let text = text(dir.path());
        let tags: Vec<&str> = text.lines().map(|line| line.split(' ').nth(2).unwrap()).collect();
        assert_eq!(tags, ["P", "P", "F"]);
        let joined: String = text.lines().map(|line| line.splitn(4, ' ').nth(3).unwrap()).collect();
        assert_eq!(joined.as_bytes(), line);
    }

    #[test]
    fn rotation_bounds_the_space_and_drops_the_oldest() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(dir.path(), 200, 3);
        for number in 0..40 {
            log.push(Stream::Stdout, format!("line {number}\n").as_bytes(), AT);
        }
        let mut names: Vec<_> = fs::read_dir(dir.path().join("web"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["0.log", "0.log.1", "0.log.2"]);
        for name in names {
            assert!(fs::metadata(dir.path().join("web").join(name)).unwrap().len() <= 200);
        }
        assert!(text(dir.path()).contains("line 39"));
    }

    #[test]
    fn the_second_is_cached_and_the_nanoseconds_are_not() {
        let mut stamp = Stamp::default();
        let at = |tv_sec, tv_nsec| Timespec { tv_sec, tv_nsec };
        assert_eq!(stamp.format(at(0, 0)), b"1970-01-01T00:00:00.000000000Z");
        assert_eq!(stamp.format(at(0, 999_999_999)), b"1970-01-01T00:00:00.999999999Z");
        assert_eq!(stamp.format(at(61, 1)), b"1970-01-01T00:01:01.000000001Z");
    }
}
