//! The embedded backend against the contract of all backends, on a file and in memory.

use std::sync::Arc;

use swell_store::{Config, EmbeddedStore, contract};

#[tokio::test(flavor = "multi_thread")]
async fn a_file_keeps_the_contract() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = EmbeddedStore::open(&dir.path().join("objects.redb"), Config::default());
    contract::check(Arc::new(store.expect("opens"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_keeps_the_contract() {
    contract::check(Arc::new(EmbeddedStore::in_memory(Config::default()).expect("opens"))).await;
}
