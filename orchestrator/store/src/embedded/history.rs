//! An earlier state: the latest one with the changes since taken back.

use std::collections::BTreeMap;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use bytes::Bytes;
use redb::ReadTransaction;

use super::read::entry;
use super::tables::{HEAD, LOG, medium};
use crate::store::{Change, Entry, Revision, StoreError};

const READ: &str = "read the history of";

/// The entries of a prefix as they were at `at`.
///
/// Going back from the latest change to the first after `at`, each puts back what it replaced.
pub(super) fn undo(
    transaction: &ReadTransaction,
    prefix: &str,
    start: Bound<&str>,
    at: Revision,
) -> Result<Vec<Entry>, StoreError> {
    let range = (start, Bound::<&str>::Unbounded);
    let head = transaction.open_table(HEAD).map_err(medium(READ))?;
    let mut state = BTreeMap::new();
    for item in head.range::<&str>(range).map_err(medium(READ))? {
        let (key, value) = item.map_err(medium(READ))?;
        if !key.value().starts_with(prefix) {
            break;
        }
        let found = entry(Arc::from(key.value()), value.value());
        state.insert(Arc::clone(&found.key), found);
    }
    let log = transaction.open_table(LOG).map_err(medium(READ))?;
    for item in log.range(at.0 + 1..).map_err(medium(READ))?.rev() {
        let (_, record) = item.map_err(medium(READ))?;
        let (key, _, created, modified_before, before) = record.value();
        if !key.starts_with(prefix) || !RangeBounds::<str>::contains(&range, key) {
            continue;
        }
        match before {
            None => {
                state.remove(key);
            }
            Some(value) => {
                let key: Arc<str> = Arc::from(key);
                state.insert(Arc::clone(&key), entry(key, (created, modified_before, value)));
            }
        }
    }
    Ok(state.into_values().collect())
}

/// The changes of a prefix after `after`, at most `limit` records of the log; and how far that reaches.
pub(super) fn changes_after(
    transaction: &ReadTransaction,
    prefix: &str,
    after: Revision,
    limit: usize,
) -> Result<(Vec<Arc<Change>>, Revision), StoreError> {
    let log = transaction.open_table(LOG).map_err(medium(READ))?;
    let (mut changes, mut reached) = (Vec::new(), after);
    for item in log.range(after.0 + 1..).map_err(medium(READ))?.take(limit) {
        let (revision, record) = item.map_err(medium(READ))?;
        reached = Revision(revision.value());
        let (key, value, created, _, before) = record.value();
        if key.starts_with(prefix) {
            changes.push(Arc::new(Change {
                revision: reached,
                key: Arc::from(key),
                value: value.map(Bytes::copy_from_slice),
                before: before.map(Bytes::copy_from_slice),
                create_revision: Revision(created),
            }));
        }
    }
    Ok((changes, reached))
}
