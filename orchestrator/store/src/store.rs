//! What a store must do.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

/// Number of a change; one counter for the whole store, rising by one with each change. Zero: the empty store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A key with its value at some revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Arc<str>,
    /// The value.
    pub value: Bytes,
    /// The change that created the key (after its last deletion).
    pub create_revision: Revision,
    /// The change that wrote this value.
    pub mod_revision: Revision,
}

/// What a transaction demands of its key before it changes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Nothing.
    Any,
    /// The key does not exist.
    Absent,
    /// The key exists and was last changed by this revision.
    At(Revision),
}

/// What a transaction does to its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Writes the value.
    Put(Bytes),
    /// Removes the key; without effect (and without a new revision) when it does not exist.
    Delete,
}

/// A change of one key under a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Txn {
    /// The key.
    pub key: Arc<str>,
    /// The condition.
    pub expected: Expected,
    /// The change.
    pub op: Op,
}

/// Which part of a prefix to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListOptions {
    /// The state at this revision; the latest if none.
    pub at: Option<Revision>,
    /// At most so many entries; all if zero.
    pub limit: usize,
    /// Only keys after this one: the last key of the page before.
    pub after: Option<Arc<str>>,
}

/// A part of a prefix at one revision, in the order of the keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The entries.
    pub entries: Vec<Entry>,
    /// The revision of which this is the state.
    pub revision: Revision,
    /// Number of further entries after the last one.
    pub remaining_count: usize,
}

/// One change that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its number.
    pub revision: Revision,
    /// The key.
    pub key: Arc<str>,
    /// The value written; none for a deletion.
    pub value: Option<Bytes>,
    /// The value before; none for a creation.
    pub before: Option<Bytes>,
    /// The change that created the key; for a deletion, of the key deleted.
    pub create_revision: Revision,
}

/// Some changes of a prefix, and how far the watch has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchBatch {
    /// Changes in the order of their revisions; may be empty.
    pub changes: Vec<Arc<Change>>,
    /// All changes up to here were seen.
    pub reached: Revision,
}

/// Changes as they come. An error is the last item.
pub type WatchStream = BoxStream<'static, Result<WatchBatch, StoreError>>;

/// Why a store did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The key is not as the transaction demands: read it again.
    #[error("key {key} is not as expected; it was last changed by revision {}", at.map_or_else(|| "none".to_owned(), |at| at.to_string()))]
    Conflict {
        /// The key.
        key: Arc<str>,
        /// The change that wrote it last; none if it does not exist.
        at: Option<Revision>,
    },
    /// The revision is older than what the store still knows: list again.
    #[error("revision {asked} is compacted; the oldest is {oldest}")]
    Compacted {
        /// The revision asked for.
        asked: Revision,
        /// The oldest revision known.
        oldest: Revision,
    },
    /// The revision has not happened yet.
    #[error("revision {asked} is in the future; the latest is {latest}")]
    Future {
        /// The revision asked for.
        asked: Revision,
        /// The latest revision.
        latest: Revision,
    },
    /// The store is closed, or refuses writes since one failed: reopen it.
    #[error("the store takes no more requests: reopen it")]
    Closed,
    /// The medium failed.
    #[error("{action} the store")]
    Medium {
        /// What was being done.
        action: &'static str,
        /// Why it failed.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
}

/// A revisioned key-value store. Keys are texts ordered by their bytes.
///
/// Contract, checked by [`crate::contract::check`]: a change that was acknowledged is seen by every later
/// read and by every watch, exactly once and in order; a list is the state of one revision; a watch from the
/// revision of a list misses nothing and repeats nothing.
pub trait Store: Send + Sync + 'static {
    /// Reads one key at the latest revision.
    fn get(&self, key: &str) -> BoxFuture<'_, Result<Option<Entry>, StoreError>>;

    /// Reads the keys that start with `prefix`.
    fn list(&self, prefix: &str, options: ListOptions) -> BoxFuture<'_, Result<Page, StoreError>>;

    /// Changes one key if it is as expected; returns the revision of the change. When it returns, the change
    /// is durable.
    fn commit(&self, txn: Txn) -> BoxFuture<'_, Result<Revision, StoreError>>;

    /// Follows the changes after `after` of keys that start with `prefix`.
    ///
    /// # Errors
    /// [`StoreError::Compacted`] or [`StoreError::Future`], at once; the former also as an item, when the
    /// reader falls behind.
    fn watch(&self, prefix: &str, after: Revision) -> Result<WatchStream, StoreError>;

    /// Forgets the history before `before`: it can no longer be listed or watched from.
    fn compact(&self, before: Revision) -> BoxFuture<'_, Result<(), StoreError>>;

    /// The latest revision that watchers were told of. A read at the same moment may already show the next.
    fn revision(&self) -> Revision;
}
