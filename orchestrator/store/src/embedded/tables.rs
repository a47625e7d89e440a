//! The tables and what they say at the start. Layout: see the module above.

use std::sync::Arc;

use redb::{Database, ReadableTable as _, TableDefinition};

use crate::store::{Revision, StoreError};

/// The format that this version writes and reads.
pub(super) const FORMAT: u64 = 1;

pub(super) type HeadValue = (u64, u64, &'static [u8]);
pub(super) type LogValue = (&'static str, Option<&'static [u8]>, u64, u64, Option<&'static [u8]>);

pub(super) const HEAD: TableDefinition<'_, &str, HeadValue> = TableDefinition::new("head");
pub(super) const LOG: TableDefinition<'_, u64, LogValue> = TableDefinition::new("log");
pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

pub(super) const META_FORMAT: &str = "format";
pub(super) const META_REVISION: &str = "revision";
pub(super) const META_OLDEST: &str = "oldest";

/// What a store knows of itself when it is opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    pub(super) format: u64,
    pub(super) latest: Revision,
    pub(super) oldest: Revision,
}

/// Creates the tables of a new store; reads the state of an old one.
pub(super) fn prepare(database: &Database) -> Result<State, redb::Error> {
    let write = database.begin_write()?;
    let state = {
        let mut meta = write.open_table(META)?;
        let value = |name: &str| -> Result<Option<u64>, redb::Error> {
            Ok(meta.get(name)?.map(|guard| guard.value()))
        };
        let state = State {
            format: value(META_FORMAT)?.unwrap_or(FORMAT),
            latest: Revision(value(META_REVISION)?.unwrap_or(0)),
            oldest: Revision(value(META_OLDEST)?.unwrap_or(0)),
        };
        if state.format == FORMAT {
            meta.insert(META_FORMAT, FORMAT)?;
            write.open_table(HEAD)?;
            write.open_table(LOG)?;
        }
        state
    };
    write.commit()?;
    Ok(state)
}

/// Wraps an error of redb with what was being done.
pub(super) fn medium<E: Into<redb::Error>>(action: &'static str) -> impl FnOnce(E) -> StoreError {
    move |error| {
        let source: redb::Error = error.into();
        StoreError::Medium { action, source: Arc::new(source) }
    }
}
