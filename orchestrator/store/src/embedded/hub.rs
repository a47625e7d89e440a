//! Watchers: each has a place in the sequence of changes and looks at what came after it when woken. Recent
//! changes are in a ring, older ones in the log; a slow watcher costs nothing but its place.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::StreamExt as _;
use parking_lot::Mutex;
use redb::{Database, ReadableDatabase as _};
use tokio::sync::watch as wake;

use super::history::changes_after;
use super::read::span;
use super::tables::medium;
use crate::store::{Change, Revision, StoreError, WatchBatch, WatchStream};

/// Changes in memory for watchers; a watcher further behind reads the log.
const RING_LEN_MAX: usize = 1024;
/// Bytes of values in memory for watchers.
const RING_BYTES_MAX: usize = 4 << 20;
/// Log records that a watcher reads at a time.
const LOG_READ_LEN: usize = 256;
/// Changes that a watcher takes from the ring at a time.
const RING_READ_LEN: usize = 256;

const WATCH: &str = "watch";

/// How far the store is, as watchers see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Progress {
    latest: Revision,
    closed: bool,
}

/// Recent changes and those who wait for the next.
#[derive(Debug)]
pub(super) struct Hub {
    /// Recent changes without gap, up to the latest. Held while copying a few `Arc`s.
    ring: Mutex<Ring>,
    progress: wake::Sender<Progress>,
}

#[derive(Debug)]
struct Ring {
    changes: VecDeque<Arc<Change>>,
    bytes: usize,
    /// Everything after this revision, up to the latest, is in the ring.
    after: Revision,
    oldest: Revision,
}

fn size(change: &Change) -> usize {
    let value = |value: &Option<bytes::Bytes>| value.as_ref().map_or(0, bytes::Bytes::len);
    value(&change.value) + value(&change.before) + change.key.len()
}

impl Hub {
    pub(super) fn new(latest: Revision, oldest: Revision) -> Self {
        let ring = Ring { changes: VecDeque::new(), bytes: 0, after: latest, oldest };
        let (progress, _) = wake::channel(Progress { latest, closed: false });
        Self { ring: Mutex::new(ring), progress }
    }

    pub(super) fn latest(&self) -> Revision {
        self.progress.borrow().latest
    }

    /// Makes changes known that are durable.
    pub(super) fn publish(&self, changes: Vec<Arc<Change>>, latest: Revision, oldest: Revision) {
        {
            let mut ring = self.ring.lock();
            ring.oldest = oldest;
            for change in changes {
                ring.bytes += size(&change);
                ring.changes.push_back(change);
            }
            while ring.changes.len() > RING_LEN_MAX || ring.bytes > RING_BYTES_MAX {
                let Some(gone) = ring.changes.pop_front() else { break };
                ring.bytes -= size(&gone);
                ring.after = gone.revision;
            }
        }
        self.progress.send_if_modified(|progress| {
            let moved = progress.latest != latest;
            progress.latest = latest;
            moved
        });
    }

    /// Ends every watch.
    pub(super) fn close(&self) {
        self.progress.send_modify(|progress| progress.closed = true);
    }

    /// What came after `after`, from the ring; none when the ring does not reach back that far.
    fn recent(&self, prefix: &str, after: Revision) -> Option<WatchBatch> {
        let ring = self.ring.lock();
        if after < ring.after {
            return None;
        }
        let start = ring.changes.partition_point(|change| change.revision <= after);
        let mut batch = WatchBatch { changes: Vec::new(), reached: after };
        for change in ring.changes.range(start..).take(RING_READ_LEN) {
            batch.reached = change.revision;
            if change.key.starts_with(prefix) {
                batch.changes.push(Arc::clone(change));
            }
        }
        Some(batch)
    }

    fn oldest(&self) -> Revision {
        self.ring.lock().oldest
    }
}

struct Watcher {
    hub: Arc<Hub>,
    database: Arc<Database>,
    progress: wake::Receiver<Progress>,
    prefix: Arc<str>,
    reached: Revision,
}

/// Follows `prefix` after `after`.
pub(super) fn watch(
    hub: &Arc<Hub>,
    database: &Arc<Database>,
    prefix: &str,
    after: Revision,
) -> Result<WatchStream, StoreError> {
    // Readers see a commit a moment before it is published here. Whoever watches from there waits for it.
    if after > hub.latest() {
        let transaction = database.begin_read().map_err(medium(WATCH))?;
        let (latest, _) = span(&transaction)?;
        if after > latest {
            return Err(StoreError::Future { asked: after, latest });
        }
    }
    let oldest = hub.oldest();
    if after < oldest {
        return Err(StoreError::Compacted { asked: after, oldest });
    }
    let watcher = Watcher {
        hub: Arc::clone(hub),
        database: Arc::clone(database),
        progress: hub.progress.subscribe(),
        prefix: Arc::from(prefix),
        reached: after,
    };
    let stream = futures::stream::unfold(Some(watcher), |watcher| async move {
        let mut watcher = watcher?;
        match watcher.next().await {
            Some(Ok(batch)) => Some((Ok(batch), Some(watcher))),
            Some(Err(error)) => Some((Err(error), None)),
            None => None,
        }
    });
    Ok(stream.boxed())
}

impl Watcher {
    async fn next(&mut self) -> Option<Result<WatchBatch, StoreError>> {
        let reached = self.reached;
        let waited = self
            .progress
            .wait_for(|progress| progress.closed || progress.latest > reached)
            .await
            .map(|progress| *progress);
        match waited {
            Ok(progress) if progress.latest > reached => {}
            Ok(_) | Err(_) => return None,
        }
        let batch = match self.hub.recent(&self.prefix, reached) {
            Some(batch) => batch,
            None => match self.read_log().await {
                Ok(batch) => batch,
                Err(error) => return Some(Err(error)),
            },
        };
        self.reached = batch.reached;
        Some(Ok(batch))
    }

    async fn read_log(&self) -> Result<WatchBatch, StoreError> {
        let (database, prefix, after) =
            (Arc::clone(&self.database), Arc::clone(&self.prefix), self.reached);
        let read = move || {
            let transaction = database.begin_read().map_err(medium(WATCH))?;
            // Of the same snapshot as the log: the hub hears of a cut only after it was made.
            let (_, oldest) = span(&transaction)?;
            if after < oldest {
                return Err(StoreError::Compacted { asked: after, oldest });
            }
            let (changes, reached) = changes_after(&transaction, &prefix, after, LOG_READ_LEN)?;
            Ok(WatchBatch { changes, reached })
        };
        tokio::task::spawn_blocking(read).await.unwrap_or(Err(StoreError::Closed))
    }
}
