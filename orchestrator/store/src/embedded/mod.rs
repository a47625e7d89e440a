//! The store of a single server: one redb file, one writer thread, watchers fed from memory.
//!
//! # Layout (format 1)
//! redb checks its own pages by checksum; our part is three tables.
//! ```text
//! head   key: &str       -> (create_revision: u64, mod_revision: u64, value: &[u8])        the latest state
//! log    revision: u64   -> (key: &str, value: Option<&[u8]>, create_revision: u64,
//!                            mod_revision_before: u64, before: Option<&[u8]>)
//! meta   name: &str      -> u64      "format", "revision" (latest), "oldest" (first revision still listable)
//! ```
//! `log` holds every revision after `oldest`. A value of none is a deletion.
//!
//! # Durability
//! Every commit is synced to the medium before it is acknowledged, so neither `kill -9` nor a power failure
//! loses an acknowledged change. The price, one sync, is shared by all changes that wait at that moment. A
//! weaker setting is not offered: redb keeps unsynced commits in memory, so they would not survive a `kill`.

mod history;
mod hub;
mod read;
mod tables;
mod writer;

#[cfg(test)]
mod tests;

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use futures::future::{BoxFuture, FutureExt as _};
use parking_lot::Mutex;
use redb::backends::InMemoryBackend;
use redb::{Database, DatabaseError};
use tokio::sync::{mpsc, oneshot};

use crate::store::{Entry, ListOptions, Page, Revision, Store, StoreError, Txn, WatchStream};
use hub::Hub;
use writer::{Request, Writer};

/// Changes that may wait for the writer. A sender beyond that waits, which is what slows it down.
const QUEUE_LEN_MAX: usize = 1024;
/// Pages of the file that redb keeps in memory; the rest is in the system's page cache.
const CACHE_BYTES: usize = 4 << 20;

/// The file holds secrets: its owner alone may read it.
const PRIVATE_MODE: u32 = 0o600;

/// How the embedded store behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// So many revisions stay listable and watchable; the writer forgets older ones as it goes.
    pub history_len: u64,
}

impl Default for Config {
    /// Ten thousand revisions: minutes of a busy cluster, enough for a client that lost its connection.
    fn default() -> Self {
        Self { history_len: 10_000 }
    }
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("{path} is in use by another process: stop it, or use another data directory")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file is of another format.
    #[error(
        "{path} has format {found} of the object store, this version reads {known}: use the version that wrote it"
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// Format of the file.
        found: u64,
        /// The only format known.
        known: u64,
    },
    /// The file cannot be read, written or is damaged.
    #[error("open the object store {path}")]
    Medium {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<redb::Error>,
    },
    /// The writer thread cannot be started.
    #[error("start the writer of the object store")]
    Thread(#[source] std::io::Error),
}

/// The embedded backend. Dropping it stops the writer after what was acknowledged; nothing is lost.
#[derive(Debug)]
pub struct EmbeddedStore {
    database: Arc<Database>,
    hub: Arc<Hub>,
    requests: Option<mpsc::Sender<Request>>,
    /// The writer, joined when the store is dropped; the lock guards the handle alone.
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl EmbeddedStore {
    /// Opens or creates the store in the file `path`.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(path: &Path, config: Config) -> Result<Self, OpenError> {
        let fault = |error: DatabaseError| match error {
            DatabaseError::DatabaseAlreadyOpen => OpenError::InUse { path: path.to_owned() },
            other => OpenError::Medium { path: path.to_owned(), source: Box::new(other.into()) },
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(PRIVATE_MODE)
            .open(path)
            .map_err(|error| fault(error.into()))?;
        let database =
            Database::builder().set_cache_size(CACHE_BYTES).create_file(file).map_err(fault)?;
        Self::start(database, path, config)
    }

    /// A store that lives in memory and dies with the process.
    ///
    /// # Errors
    /// [`OpenError`], which for memory means that it ran out.
    pub fn in_memory(config: Config) -> Result<Self, OpenError> {
        let path = Path::new("(memory)");
        let database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create_with_backend(InMemoryBackend::new())
            .map_err(|error| OpenError::Medium {
                path: path.to_owned(),
                source: Box::new(error.into()),
            })?;
        Self::start(database, path, config)
    }

    fn start(database: Database, path: &Path, config: Config) -> Result<Self, OpenError> {
        let fault = |source| OpenError::Medium { path: path.to_owned(), source: Box::new(source) };
        let state = tables::prepare(&database).map_err(fault)?;
        if state.format != tables::FORMAT {
            return Err(OpenError::Format {
                path: path.to_owned(),
                found: state.format,
                known: tables::FORMAT,
            });
        }
        let database = Arc::new(database);
        let hub = Arc::new(Hub::new(state.latest, state.oldest));
        let (requests, incoming) = mpsc::channel(QUEUE_LEN_MAX);
        let writer = Writer::new(Arc::clone(&database), Arc::clone(&hub), config, state);
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run(incoming))
            .map_err(OpenError::Thread)?;
        Ok(Self { database, hub, requests: Some(requests), writer: Mutex::new(Some(thread)) })
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Request,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let requests = self.requests.as_ref().ok_or(StoreError::Closed)?;
        requests.send(request(reply)).await.map_err(|_| StoreError::Closed)?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(writer) = self.writer.lock().take()
            && writer.join().is_err()
        {
            tracing::error!("the writer of the object store had panicked");
        }
        self.hub.close();
    }
}

impl Store for EmbeddedStore {
    fn get(&self, key: &str) -> BoxFuture<'_, Result<Option<Entry>, StoreError>> {
        std::future::ready(read::get(&self.database, key)).boxed()
    }

    fn list(&self, prefix: &str, options: ListOptions) -> BoxFuture<'_, Result<Page, StoreError>> {
        let database = Arc::clone(&self.database);
        let prefix = prefix.to_owned();
        async move {
            let read = move || read::list(&database, &prefix, &options);
            tokio::task::spawn_blocking(read).await.unwrap_or(Err(StoreError::Closed))
        }
        .boxed()
    }

    fn commit(&self, txn: Txn) -> BoxFuture<'_, Result<Revision, StoreError>> {
        self.ask(move |reply| Request::Commit { txn, reply }).boxed()
    }

    fn watch(&self, prefix: &str, after: Revision) -> Result<WatchStream, StoreError> {
        hub::watch(&self.hub, &self.database, prefix, after)
    }

    fn compact(&self, before: Revision) -> BoxFuture<'_, Result<(), StoreError>> {
        self.ask(move |reply| Request::Compact { before, reply }).boxed()
    }

    fn revision(&self) -> Revision {
        self.hub.latest()
    }
}
