//! The files of one log as one text: rotation moves `0.log` to `0.log.1` while we read.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// How much is read at once.
const CHUNK_BYTES: usize = 32 * 1024;
/// More parts than any container is given.
const GENERATIONS_MAX: u32 = 1000;

/// Name of an older part of a log, 1 being the youngest; 0 is the log itself.
pub(crate) fn rotated(path: &Path, generation: u32) -> PathBuf {
    if generation == 0 {
        return path.to_owned();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{generation}"));
    PathBuf::from(name)
}

/// A place in a log.
#[derive(Debug)]
pub(super) struct LogFiles {
    path: PathBuf,
    current: Option<File>,
}

impl LogFiles {
    /// Opens the log at its beginning or so many lines before its end.
    pub(super) fn open(path: &Path, tail_lines: Option<u64>) -> io::Result<Self> {
        let mut log = Self { path: path.to_owned(), current: None };
        match tail_lines {
            Some(count) => log.seek_tail(count)?,
            None => log.current = log.oldest()?,
        }
        Ok(log)
    }

    /// The next bytes; `None` at the end, which may move.
    pub(super) fn read(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if self.current.is_none() {
                self.current = self.oldest()?;
            }
            let Some(file) = &mut self.current else { return Ok(None) };
            let mut chunk = vec![0; CHUNK_BYTES];
            let count = file.read(&mut chunk)?;
            if count > 0 {
                chunk.truncate(count);
                return Ok(Some(chunk));
            }
            match self.following()? {
                Some(next) => self.current = Some(next),
                None => return Ok(None),
            }
        }
    }

    /// The file after the current one; `None` when the current one is the log that is written to.
    fn following(&self) -> io::Result<Option<File>> {
        let Some(current) = &self.current else { return Ok(None) };
        let inode = current.metadata()?.ino();
        let mut younger = None;
        for generation in 0..GENERATIONS_MAX {
            let Some(file) = open(&rotated(&self.path, generation))? else {
                if generation == 0 {
                    continue;
                }
                // The current one was dropped meanwhile: go on with the oldest that is left.
                return Ok(younger);
            };
            if file.metadata()?.ino() == inode {
                return Ok(younger);
            }
            younger = Some(file);
        }
        Ok(younger)
    }

    fn oldest(&self) -> io::Result<Option<File>> {
        let mut oldest = open(&self.path)?;
        for generation in 1..GENERATIONS_MAX {
            match open(&rotated(&self.path, generation))? {
                Some(older) => oldest = Some(older),
                None => break,
            }
        }
        Ok(oldest)
    }

    fn seek_tail(&mut self, mut lines_wanted: u64) -> io::Result<()> {
        for generation in 0..GENERATIONS_MAX {
            let Some(mut file) = open(&rotated(&self.path, generation))? else { break };
            match tail_offset(&mut file, lines_wanted)? {
                Tail::At(offset) => {
                    file.seek(SeekFrom::Start(offset))?;
                    self.current = Some(file);
                    return Ok(());
                }
                Tail::Shorter { line_count } => {
                    file.seek(SeekFrom::Start(0))?;
                    self.current = Some(file);
                    lines_wanted -= line_count;
                }
            }
        }
        Ok(())
    }
}

/// Where the last lines of a file begin.
enum Tail {
    At(u64),
    /// The file has fewer lines.
    Shorter {
        line_count: u64,
    },
}

fn tail_offset(file: &mut File, lines_wanted: u64) -> io::Result<Tail> {
    let mut end = file.metadata()?.len();
    if lines_wanted == 0 {
        return Ok(Tail::At(end));
    }
    let mut line_count = 0;
    let mut buffer = vec![0; CHUNK_BYTES];
    while end > 0 {
        let start = end.saturating_sub(CHUNK_BYTES as u64);
        let chunk = &mut buffer[..usize::try_from(end - start).map_err(io::Error::other)?];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(chunk)?;
        for (idx, byte) in chunk.iter().enumerate().rev() {
            if *byte == b'\n' {
                if line_count == lines_wanted {
                    return Ok(Tail::At(start + idx as u64 + 1));
                }
                line_count += 1;
            }
        }
        end = start;
    }
    // Exactly as many as wanted is a whole file.
    if line_count == lines_wanted { Ok(Tail::At(0)) } else { Ok(Tail::Shorter { line_count }) }
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn all(log: &mut LogFiles) -> String {
        let mut text = Vec::new();
        while let Some(chunk) = log.read().unwrap() {
            text.extend(chunk);
        }
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn parts_are_read_oldest_first_and_tails_reach_into_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        assert_eq!(all(&mut LogFiles::open(&path, None).unwrap()), "");
        fs::write(rotated(&path, 2), "a\nb\n").unwrap();
        fs::write(rotated(&path, 1), "c\nd\n").unwrap();
        fs::write(&path, "e\nf\n").unwrap();
        for (tail_lines, expected) in [
            (None, "a\nb\nc\nd\ne\nf\n"),
            (Some(0), ""),
            (Some(1), "f\n"),
            (Some(2), "e\nf\n"),
            (Some(3), "d\ne\nf\n"),
            (Some(6), "a\nb\nc\nd\ne\nf\n"),
            (Some(99), "a\nb\nc\nd\ne\nf\n"),
        ] {
            assert_eq!(all(&mut LogFiles::open(&path, tail_lines).unwrap()), expected);
        }
    }

    #[test]
    fn a_tail_is_found_across_chunks() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        let line = "x".repeat(CHUNK_BYTES / 2 + 7);
        let text: String = (0..5).map(|n| format!("{n}{line}\n")).collect();
        fs::write(&path, &text).unwrap();
        let tail = all(&mut LogFiles::open(&path, Some(3)).unwrap());
        assert_eq!(tail, text[2 * (line.len() + 2)..]);
    }

    #[test]
    fn rotation_while_reading_loses_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        fs::write(&path, "one\n").unwrap();
        let mut log = LogFiles::open(&path, None).unwrap();
        assert_eq!(all(&mut log), "one\n");
        fs::rename(&path, rotated(&path, 2)).unwrap();
        fs::write(rotated(&path, 1), "two\n").unwrap();
        fs::write(&path, "three\n").unwrap();
        assert_eq!(all(&mut log), "two\nthree\n");
        // What we stand in is dropped: the oldest that is left comes next.
        fs::remove_file(rotated(&path, 2)).unwrap();
        fs::rename(&path, rotated(&path, 3)).unwrap();
        fs::remove_file(rotated(&path, 3)).unwrap();
        fs::write(rotated(&path, 1), "four\n").unwrap();
        fs::write(&path, "five\n").unwrap();
        let rest = all(&mut log);
        assert!(rest.ends_with("five\n"), "{rest:?}");
    }
}
