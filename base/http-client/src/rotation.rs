//! Certificates that are replaced on disk while they are in use.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::options::{Pem, TlsOptions};

/// What tells a file from the one that was there before: inode, size, and time of change in seconds and nanoseconds.
type Stamp = (u64, u64, i64, i64);

/// The files that options name, as they are now; one that is not there has none.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stamps(Vec<Option<Stamp>>);

impl Stamps {
    pub(crate) fn of(options: &TlsOptions) -> Self {
        let identity = options.identity.iter().flat_map(|(certificate, key)| [certificate, key]);
        let files = options.ca.iter().chain(identity).filter_map(|pem| match pem {
            Pem::File(path) => Some(stamp(path)),
            Pem::Text(_) => None,
        });
        Self(files.collect())
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.ino(), metadata.size(), metadata.mtime(), metadata.mtime_nsec()))
}
