//! Failed scrapes in a file of their own, one JSON object a line.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use serde::Serialize;
use swell_model::TimestampMs;

/// A file that is appended to; jobs may share it.
#[derive(Debug)]
pub(crate) struct FailureLog {
    path: PathBuf,
    /// Held while a line is written, so that lines do not mix.
    file: Mutex<File>,
}

/// What a line tells.
#[derive(Serialize)]
struct Line<'a> {
    time_ms: i64,
    level: &'static str,
    msg: &'a str,
    job_name: &'a str,
    target: &'a str,
}

impl FailureLog {
    /// Opens the file for appending, and makes it where it is not there.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        Ok(Self { path: path.to_owned(), file: Mutex::new(file) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes that a scrape failed.
    pub(crate) fn note(
        &self,
        at: TimestampMs,
        job: &str,
        target: &str,
        error: &str,
    ) -> io::Result<()> {
        let line = Line { time_ms: at.0, level: "ERROR", msg: error, job_name: job, target };
        let mut text = serde_json::to_vec(&line)?;
        text.push(b'\n');
        self.file.lock().write_all(&text)
    }
}
