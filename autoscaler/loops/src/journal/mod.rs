//! Decisions of the recent past: in memory to be asked for, on disk to outlive the process.

mod file;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use swell_decide::{DecisionRecord, DecisionTimes, ObjectName};
use swell_model::TimestampMs;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::file::Writer;
use crate::metrics::Metrics;

/// Records kept in memory, a few kilobytes each.
const RING_LEN_MAX: usize = 2000;
/// Records that may wait for the disk; a disk that hangs must not stop the scaling.
const WAITING_MAX: usize = 256;

/// The journal's folder or a file in it cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A system call failed.
    #[error("{action} {} of the decision journal", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// A file there is none of ours.
    #[error("{} is no decision journal of this version: move it away to start a new one", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A record has no JSON form.
    #[error("write decision {id} as JSON")]
    Encode {
        /// Id of the record.
        id: u64,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

/// Which decisions to answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Kind of the policy or of its target.
    pub kind: Option<String>,
    /// Namespace.
    pub namespace: Option<String>,
    /// Name of the policy or of its target (of whichever `kind` names, else of either).
    pub name: Option<String>,
    /// Not before.
    pub from: Option<TimestampMs>,
    /// Not after.
    pub to: Option<TimestampMs>,
    /// At most so many, the newest.
    pub limit: usize,
}

impl Query {
    fn matches(&self, record: &DecisionRecord) -> bool {
        let at = TimestampMs(record.at_ms);
        self.from.is_none_or(|from| at >= from)
            && self.to.is_none_or(|to| at <= to)
            && (self.is_about(&record.policy) || self.is_about(&record.target))
    }

    fn is_about(&self, object: &ObjectName) -> bool {
        let same = |wanted: &Option<String>, found: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted == found)
        };
        same(&self.kind, &object.kind)
            && same(&self.namespace, &object.namespace)
            && same(&self.name, &object.name)
    }
}

/// The journal. Clones share it.
#[derive(Clone)]
pub struct Journal {
    /// Held for single operations on the ring.
    ring: Arc<Mutex<Ring>>,
    waiting: mpsc::Sender<DecisionRecord>,
    metrics: Metrics,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal")
            .field("len", &self.ring.lock().records.len())
            .finish_non_exhaustive()
    }
}

struct Ring {
    /// Oldest first; ids rise.
    records: VecDeque<DecisionRecord>,
    next_id: u64,
}

/// Writes what waits to disk.
#[derive(Debug)]
pub(crate) struct JournalWriter {
    writer: Writer,
    waiting: mpsc::Receiver<DecisionRecord>,
    metrics: Metrics,
}

impl Journal {
    /// Opens the journal in `dir`, with the newest records of earlier runs in memory.
    pub(crate) fn open(
        dir: &Path,
        metrics: Metrics,
    ) -> Result<(Self, JournalWriter), JournalError> {
        let (writer, found) = Writer::open(dir)?;
        let mut records: VecDeque<DecisionRecord> = VecDeque::new();
        for record in found {
            match records.iter_mut().rev().find(|known| known.id == record.id) {
                Some(known) => *known = record,
                None => records.push_back(record),
            }
            if records.len() > RING_LEN_MAX {
                records.pop_front();
            }
        }
        let next_id = records.iter().map(|record| record.id).max().unwrap_or(0) + 1;
        let (waiting, incoming) = mpsc::channel(WAITING_MAX);
        let ring = Arc::new(Mutex::new(Ring { records, next_id }));
        let journal = Self { ring, waiting, metrics: metrics.clone() };
        Ok((journal, JournalWriter { writer, waiting: incoming, metrics }))
    }

    /// Keeps a record; gives it its id.
    pub(crate) fn append(&self, mut record: DecisionRecord) -> u64 {
        let id = {
            let mut ring = self.ring.lock();
            let id = ring.next_id;
            ring.next_id += 1;
            record.id = id;
            ring.records.push_back(record.clone());
            if ring.records.len() > RING_LEN_MAX {
                ring.records.pop_front();
            }
            id
        };
        self.to_disk(record);
        id
    }

    /// Counts one more pass that came to the same end as the record `id`, with what it measured.
    pub(crate) fn repeat(&self, id: u64, latest: &DecisionRecord) {
        let mut ring = self.ring.lock();
        if let Some(record) = ring.find(id) {
            record.repeated += 1;
            record.last_ms = Some(latest.at_ms);
            record.next = latest.next;
        }
    }

    /// Completes the times of a record.
    pub(crate) fn set_times(&self, id: u64, change: impl FnOnce(&mut DecisionTimes)) {
        let changed = {
            let mut ring = self.ring.lock();
            ring.find(id).map(|record| {
                change(&mut record.times);
                record.clone()
            })
        };
        if let Some(record) = changed {
            self.to_disk(record);
        }
    }

    fn to_disk(&self, record: DecisionRecord) {
        if self.waiting.try_send(record).is_err() {
            self.metrics.journal_dropped.inc();
        }
    }

    /// The decisions asked for, newest first.
    #[must_use]
    pub fn query(&self, query: &Query) -> Vec<DecisionRecord> {
        let ring = self.ring.lock();
        ring.records
            .iter()
            .rev()
            .filter(|record| query.matches(record))
            .take(query.limit)
            .cloned()
            .collect()
    }
}

impl Ring {
    fn find(&mut self, id: u64) -> Option<&mut DecisionRecord> {
        self.records.iter_mut().rev().find(|record| record.id == id)
    }
}

impl JournalWriter {
    /// Runs until `stop` or until every [`Journal`] is dropped; what waits then is still written.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let Self { mut writer, mut waiting, metrics } = self;
        let mut batch = Vec::new();
        loop {
            let count = tokio::select! {
                biased;
                count = waiting.recv_many(&mut batch, WAITING_MAX) => count,
                () = stop.cancelled(), if !waiting.is_closed() => {
                    waiting.close();
                    continue;
                }
            };
            if count == 0 {
                return;
            }
            let records = std::mem::take(&mut batch);
            let done = tokio::task::spawn_blocking(move || {
                let result = writer.append(&records);
                (writer, result)
            })
            .await;
            match done {
                Ok((back, result)) => {
                    writer = back;
                    if let Err(error) = result {
                        metrics.journal_failures.inc();
                        tracing::error!(
                            error = swell_telemetry::chain(&error),
                            "decisions could not be written to disk"
                        );
                    }
                }
                Err(error) => {
                    tracing::error!(error = %error, "the decision journal stops");
                    return;
                }
            }
        }
    }
}
