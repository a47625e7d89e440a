//! A revisioned object store with optimistic transactions and watch; embedded on redb.
//!
//! [`Store`] is the contract, [`contract::check`] the suite that every backend passes, [`EmbeddedStore`]
//! the backend of a single server. One counter, the [`Revision`], orders all changes of all keys.

pub mod contract;

mod embedded;
mod store;

pub use embedded::{Config, EmbeddedStore, OpenError};
pub use store::{
    Change, Entry, Expected, ListOptions, Op, Page, Revision, Store, StoreError, Txn, WatchBatch,
    WatchStream,
};
