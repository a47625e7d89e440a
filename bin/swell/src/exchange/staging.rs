//! An import into the storage of a running server: blocks are made in a folder inside its data directory, and the server takes
//! them in one by one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use swell_cli::{Adopted, Adopter, CliError};
use swell_model::SeriesData;
use tokio::runtime::Runtime;

use crate::tsdb_tools::{incoming, open_storage, tool_settings};

/// Imports into one directory that may be under way at once, or have left a folder behind.
const FOLDERS_MAX: u32 = 1000;
const NOT_FOUND: u16 = 404;

/// Where blocks are made for a server.
pub(super) struct Staging {
    parent: PathBuf,
    server: Adopter,
    runtime: Runtime,
}

/// A folder that goes with this value.
struct Folder {
    name: String,
    path: PathBuf,
}

impl Staging {
    /// Inside the data directory of the server that blocks are handed to.
    pub(super) fn new(data_dir: &Path, server: Adopter) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.context("start the asynchronous runtime")?;
        Ok(Self { parent: incoming(data_dir)?, server, runtime })
    }

    /// Makes a block of series, in a storage of its own, and has the server take it in. `None` when there is nothing to
    /// store. Nothing but what the server stored is left of it.
    pub(super) fn store(&self, series: Vec<SeriesData>) -> anyhow::Result<Option<Adopted>> {
        let folder = Folder::make(&self.parent)?;
        let db = open_storage(&folder.path, tool_settings())?;
        db.import(series).context("make a block")?;
        let made = db.blocks().pop();
        drop(db);
        let Some(block) = made else { return Ok(None) };
        let asked = self.server.adopt(&folder.name, &block.file);
        let adopted = self.runtime.block_on(asked).map_err(|error| {
            let is_elsewhere = matches!(error, CliError::HttpAnswer { code: NOT_FOUND, .. });
            let way_out = match is_elsewhere {
                true => ": --data-dir names the directory of that server, on this machine",
                false => {
                    "; what was handed over before is stored, and the import may be done again"
                }
            };
            anyhow::Error::new(error).context(format!("have the server take a block in{way_out}"))
        })?;
        Ok(Some(adopted))
    }
}

impl Folder {
    /// Makes one that nobody else has, in a folder that is made as well.
    fn make(parent: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
        for nr in 0..FOLDERS_MAX {
            let name = format!("import-{nr}");
            let path = parent.join(&name);
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self { name, path }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    return Err(error).with_context(|| format!("create {}", path.display()));
                }
            }
        }
        anyhow::bail!(
            "{} is full of folders that imports left behind: remove them",
            parent.display()
        )
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("{} stays: {error}", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_of_one_import_and_go_with_it() {
        let parent = tempfile::tempdir().expect("a folder");
        let parent = parent.path().join("incoming");
        let [one, other] = [0, 1].map(|_| Folder::make(&parent).expect("made"));
        assert_eq!((&*one.name, &*other.name), ("import-0", "import-1"));
        drop(one);
        assert!(!parent.join("import-0").exists() && other.path.is_dir());
        assert_eq!(Folder::make(&parent).expect("made").name, "import-0");
    }
}
