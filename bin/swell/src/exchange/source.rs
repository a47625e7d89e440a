//! Where an export reads: a data directory that no server uses, or a snapshot that a running one makes of it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use swell_engine::Db;

use crate::tsdb_tools::{self, open, open_storage, tool_settings};

/// An open storage; what was made for it alone is removed by [`Source::close`].
pub(super) struct Source {
    pub(super) db: Db,
    snapshot: Option<PathBuf>,
}

impl Source {
    /// Opens the storage of a data directory. With a server's address, and the authorities to trust there, it is a
    /// snapshot that this server makes.
    pub(super) fn open(
        data_dir: &Path,
        server: Option<&str>,
        ca_file: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let Some(server) = server else {
            return Ok(Self { db: open(data_dir, tool_settings())?, snapshot: None });
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.context("start the asynchronous runtime")?;
        let asked = swell_cli::snapshot(server.to_owned(), ca_file.map(Path::to_owned));
        let name = runtime.block_on(asked).context("have the server make a snapshot")?;
        let snapshot = tsdb_tools::snapshots(data_dir).join(name);
        anyhow::ensure!(
            snapshot.is_dir(),
            "the server made a snapshot, and there is no {}: --data-dir names the directory of that server, on this machine",
            snapshot.display()
        );
        match open_storage(&snapshot, tool_settings()) {
            Ok(db) => Ok(Self { db, snapshot: Some(snapshot) }),
            Err(error) => {
                remove(&snapshot)?;
                Err(error)
            }
        }
    }

    /// Ends the use of it.
    pub(super) fn close(self) -> anyhow::Result<()> {
        self.db.close().context("close the storage")?;
        self.snapshot.map_or(Ok(()), |snapshot| remove(&snapshot))
    }
}

fn remove(snapshot: &Path) -> anyhow::Result<()> {
    fs::remove_dir_all(snapshot).with_context(|| format!("remove {}", snapshot.display()))
}
