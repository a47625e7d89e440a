//! Private files: written whole or not at all, readable by their owner only.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::PkiError;

/// Owner may read and write.
const MODE_PRIVATE: u32 = 0o600;
/// Everybody may read.
const MODE_PUBLIC: u32 = 0o644;
/// Owner only.
const MODE_DIR: u32 = 0o700;

pub(super) fn create_dir(dir: &Path) -> Result<(), PkiError> {
    DirBuilder::new()
        .recursive(true)
        .mode(MODE_DIR)
        .create(dir)
        .map_err(|source| PkiError::Write { path: dir.to_owned(), source })
}

pub(super) fn write_private(path: &Path, text: &str) -> Result<(), PkiError> {
    write(path, text, MODE_PRIVATE)
}

pub(super) fn write_public(path: &Path, text: &str) -> Result<(), PkiError> {
    write(path, text, MODE_PUBLIC)
}

pub(super) fn read(path: &Path) -> Result<String, PkiError> {
    fs::read_to_string(path).map_err(|source| PkiError::Read { path: path.to_owned(), source })
}

/// Through a temporary file and a rename, so that a crash leaves the old text or the new one.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), PkiError> {
    let fault = |source| PkiError::Write { path: path.to_owned(), source };
    let temporary = path.with_extension("tmp");
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(fault(error)),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&temporary)
        .map_err(fault)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(fault)?;
    fs::rename(&temporary, path).map_err(fault)
}
