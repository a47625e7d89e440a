//! Reading: one key, or a prefix at the latest or an earlier revision.

use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use redb::{Database, ReadTransaction, ReadableDatabase as _};

use super::history::undo;
use super::tables::{HEAD, META, META_OLDEST, META_REVISION, medium};
use crate::store::{Entry, ListOptions, Page, Revision, StoreError};

const READ: &str = "read";

/// Reads one key.
pub(super) fn get(database: &Database, key: &str) -> Result<Option<Entry>, StoreError> {
    let transaction = database.begin_read().map_err(medium(READ))?;
    let head = transaction.open_table(HEAD).map_err(medium(READ))?;
    let found = head.get(key).map_err(medium(READ))?;
    Ok(found.map(|guard| entry(Arc::from(key), guard.value())))
}

pub(super) fn entry(key: Arc<str>, (created, modified, value): (u64, u64, &[u8])) -> Entry {
    Entry {
        key,
        value: Bytes::copy_from_slice(value),
        create_revision: Revision(created),
        mod_revision: Revision(modified),
    }
}

/// Latest and oldest revision of a snapshot.
pub(super) fn span(transaction: &ReadTransaction) -> Result<(Revision, Revision), StoreError> {
    let meta = transaction.open_table(META).map_err(medium(READ))?;
    let value = |name: &str| {
        let found = meta.get(name).map_err(medium(READ))?;
        Ok::<_, StoreError>(Revision(found.map_or(0, |guard| guard.value())))
    };
    Ok((value(META_REVISION)?, value(META_OLDEST)?))
}

/// Reads a page of a prefix.
pub(super) fn list(
    database: &Database,
    prefix: &str,
    options: &ListOptions,
) -> Result<Page, StoreError> {
    let transaction = database.begin_read().map_err(medium(READ))?;
    let (latest, oldest) = span(&transaction)?;
    let at = options.at.unwrap_or(latest);
    if at > latest {
        return Err(StoreError::Future { asked: at, latest });
    }
    if at < oldest {
        return Err(StoreError::Compacted { asked: at, oldest });
    }
    let start = match &options.after {
        Some(after) if &**after >= prefix => Bound::Excluded(&**after),
        _ => Bound::Included(prefix),
    };
    let limit = if options.limit == 0 { usize::MAX } else { options.limit };
    if at == latest {
        let head = transaction.open_table(HEAD).map_err(medium(READ))?;
        let mut page = Page { entries: Vec::new(), revision: at, remaining_count: 0 };
        for item in head.range::<&str>((start, Bound::Unbounded)).map_err(medium(READ))? {
            let (key, value) = item.map_err(medium(READ))?;
            if !key.value().starts_with(prefix) {
                break;
            }
            if page.entries.len() < limit {
                page.entries.push(entry(Arc::from(key.value()), value.value()));
            } else {
                page.remaining_count += 1;
            }
        }
        return Ok(page);
    }
    let mut entries = undo(&transaction, prefix, start, at)?;
    let remaining_count = entries.len().saturating_sub(limit);
    entries.truncate(limit);
    Ok(Page { entries, revision: at, remaining_count })
}
