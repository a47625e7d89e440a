//! Where an export reads: a data directory that no server uses, or a snapshot that a running one makes of it.

use std::fs;
use std::path::{Component, Path, PathBuf};

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
        anyhow::ensure!(
            is_folder_name(&name),
            "the server named a snapshot {name:?}, which is no name of a folder"
        );
        let snapshot = tsdb_tools::snapshots(data_dir).join(&name);
        anyhow::ensure!(
            snapshot.is_dir(),
            "the server made the snapshot {name}, which stays there, and there is no {}: --data-dir names the directory of that server, on this machine",
            snapshot.display()
        );
        // What cannot be opened may be something else, and is left alone.
        let db = open_storage(&snapshot, tool_settings())
            .with_context(|| format!("the snapshot stays at {}", snapshot.display()))?;
        Ok(Self { db, snapshot: Some(snapshot) })
    }

    /// Ends the use of it.
    pub(super) fn close(self) -> anyhow::Result<()> {
        let closed = self.db.close().context("close the storage");
        let removed = self.snapshot.map_or(Ok(()), |snapshot| remove(&snapshot));
        closed.and(removed)
    }
}

/// Whether a name leads to one folder inside another, and nowhere else.
fn is_folder_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(part)), None) if part == name)
}

fn remove(snapshot: &Path) -> anyhow::Result<()> {
    fs::remove_dir_all(snapshot).with_context(|| format!("remove {}", snapshot.display()))
}

#[cfg(test)]
mod tests {
    use super::is_folder_name;

    #[test]
    fn a_server_cannot_lead_elsewhere() {
        for (name, is_good) in [
            ("20170710T211224Z-2be650b6d019eb54", true),
            ("", false),
            (".", false),
            ("..", false),
            ("../..", false),
            ("/", false),
            ("/etc", false),
            ("a/b", false),
            ("a/", false),
        ] {
            assert_eq!(is_folder_name(name), is_good, "{name:?}");
        }
    }
}
