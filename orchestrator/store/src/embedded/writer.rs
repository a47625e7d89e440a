//! The one thread that writes: takes what waits, checks and applies it in one transaction, syncs once, tells
//! the watchers, and answers.

use std::sync::Arc;

use bytes::Bytes;
use redb::{Database, ReadableTable as _, Table};
use tokio::sync::{mpsc, oneshot};

use super::Config;
use super::hub::Hub;
use super::tables::{
    HEAD, HeadValue, LOG, LogValue, META, META_OLDEST, META_REVISION, State, medium,
};
use crate::store::{Change, Expected, Op, Revision, StoreError, Txn};

/// Changes that share one sync. Bounds the latency of the first and the memory of the transaction.
const BATCH_LEN_MAX: usize = 256;
/// History is cut in steps of this share of its length, so that not every commit pays for it.
const CUT_SHARE: u64 = 8;

const WRITE: &str = "write";

/// What the writer is asked.
pub(super) enum Request {
    /// Change a key.
    Commit { txn: Txn, reply: oneshot::Sender<Result<Revision, StoreError>> },
    /// Forget history.
    Compact { before: Revision, reply: oneshot::Sender<Result<(), StoreError>> },
}

pub(super) struct Writer {
    database: Arc<Database>,
    hub: Arc<Hub>,
    config: Config,
    pub(super) latest: Revision,
    oldest: Revision,
}

/// Answers that may be given once the transaction is durable.
pub(super) type Answer = Box<dyn FnOnce(&Result<(), StoreError>) + Send>;

impl Writer {
    pub(super) const fn new(
        database: Arc<Database>,
        hub: Arc<Hub>,
        config: Config,
        state: State,
    ) -> Self {
        Self { database, hub, config, latest: state.latest, oldest: state.oldest }
    }

    /// Works until all senders are gone, or until a write fails: then what the medium holds is unknown, and
    /// every further request is refused until the store is opened again.
    pub(super) fn run(mut self, mut incoming: mpsc::Receiver<Request>) {
        while let Some(first) = incoming.blocking_recv() {
            let mut batch = vec![first];
            while batch.len() < BATCH_LEN_MAX
                && let Ok(next) = incoming.try_recv()
            {
                batch.push(next);
            }
            if let Err(error) = self.write(batch) {
                tracing::error!(
                    error = swell_telemetry::chain(&error),
                    "the object store failed and takes no more writes"
                );
                self.hub.close();
                return;
            }
        }
    }

    fn write(&mut self, batch: Vec<Request>) -> Result<(), StoreError> {
        let mut changes = Vec::new();
        let mut answers: Vec<Answer> = Vec::new();
        let outcome = self.apply(batch, &mut changes, &mut answers);
        if let Ok((latest, oldest)) = &outcome {
            (self.latest, self.oldest) = (*latest, *oldest);
            self.hub.publish(changes, *latest, *oldest);
        }
        let outcome = outcome.map(|_| ());
        for answer in answers {
            answer(&outcome);
        }
        outcome
    }

    pub(super) fn apply(
        &self,
        batch: Vec<Request>,
        changes: &mut Vec<Arc<Change>>,
        answers: &mut Vec<Answer>,
    ) -> Result<(Revision, Revision), StoreError> {
        let mut latest = self.latest;
        let mut oldest = self.oldest;
        let write = self.database.begin_write().map_err(medium(WRITE))?;
        let mut head = write.open_table(HEAD).map_err(medium(WRITE))?;
        let mut log = write.open_table(LOG).map_err(medium(WRITE))?;
        for request in batch {
            match request {
                Request::Commit { txn, reply } => {
                    let verdict = change(&mut head, &mut log, &txn, latest)?;
                    if let Ok(Some(change)) = &verdict {
                        latest = change.revision;
                        changes.push(Arc::clone(change));
                    }
                    let verdict = verdict.map(|_| latest);
                    answers.push(answer(reply, verdict));
                }
                Request::Compact { before, reply } => {
                    let verdict = if before > latest {
                        Err(StoreError::Future { asked: before, latest })
                    } else {
                        oldest = oldest.max(before);
                        Ok(())
                    };
                    answers.push(answer(reply, verdict));
                }
            }
        }
        let surplus = (latest.0 - oldest.0).saturating_sub(self.config.history_len);
        if surplus > self.config.history_len / CUT_SHARE {
            oldest = Revision(oldest.0 + surplus);
        }
        if oldest > self.oldest {
            // What is at `oldest` stays listable: only later changes are taken back.
            log.retain_in(..=oldest.0, |_, _| false).map_err(medium("compact"))?;
        }
        drop((head, log));
        {
            let mut meta = write.open_table(META).map_err(medium(WRITE))?;
            meta.insert(META_REVISION, latest.0).map_err(medium(WRITE))?;
            meta.insert(META_OLDEST, oldest.0).map_err(medium(WRITE))?;
        }
        write.commit().map_err(medium("commit to"))?;
        Ok((latest, oldest))
    }
}

fn answer<T: Send + 'static>(
    reply: oneshot::Sender<Result<T, StoreError>>,
    verdict: Result<T, StoreError>,
) -> Answer {
    Box::new(move |durable| {
        let verdict = durable.clone().and(verdict);
        // A caller that no longer waits needs no answer.
        drop(reply.send(verdict));
    })
}

/// Applies one transaction. The outer error is the medium's, the inner one the caller's; none when there was
/// nothing to delete.
fn change(
    head: &mut Table<'_, &'static str, HeadValue>,
    log: &mut Table<'_, u64, LogValue>,
    txn: &Txn,
    latest: Revision,
) -> Result<Result<Option<Arc<Change>>, StoreError>, StoreError> {
    let before = head.get(&*txn.key).map_err(medium(WRITE))?.map(|guard| {
        let (created, modified, value) = guard.value();
        (Revision(created), Revision(modified), Bytes::copy_from_slice(value))
    });
    let at = before.as_ref().map(|(_, modified, _)| *modified);
    let as_expected = match txn.expected {
        Expected::Any => true,
        Expected::Absent => at.is_none(),
        Expected::At(revision) => at == Some(revision),
    };
    if !as_expected {
        return Ok(Err(StoreError::Conflict { key: Arc::clone(&txn.key), at }));
    }
    let revision = Revision(latest.0 + 1);
    let create_revision = before.as_ref().map_or(revision, |(created, _, _)| *created);
    let value = match &txn.op {
        Op::Put(value) => {
            let written = (create_revision.0, revision.0, &**value);
            head.insert(&*txn.key, written).map_err(medium(WRITE))?;
            Some(value.clone())
        }
        Op::Delete if before.is_none() => return Ok(Ok(None)),
        Op::Delete => {
            head.remove(&*txn.key).map_err(medium(WRITE))?;
            None
        }
    };
    let modified_before = at.unwrap_or_default();
    let before = before.map(|(_, _, value)| value);
    let record =
        (&*txn.key, value.as_deref(), create_revision.0, modified_before.0, before.as_deref());
    log.insert(revision.0, record).map_err(medium(WRITE))?;
    let key = Arc::clone(&txn.key);
    Ok(Ok(Some(Arc::new(Change { revision, key, value, before, create_revision }))))
}
