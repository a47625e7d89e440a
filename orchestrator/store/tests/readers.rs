//! Readers beside busy writers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::StreamExt as _;
use swell_store::contract::put;
use swell_store::{Config, EmbeddedStore, Expected, ListOptions, Revision, Store};

const WRITERS: usize = 8;
const READERS: usize = 4;
const ROUNDS: usize = 250;

async fn write(store: Arc<EmbeddedStore>, key: String, ended: Arc<AtomicBool>) {
    let mut round = 0;
    while !ended.load(Ordering::Relaxed) {
        store.commit(put(&key, Expected::Any, &round.to_string())).await.expect("written");
        round += 1;
    }
}

/// A list and the first changes after it add up to the state that a later list shows.
async fn list_and_watch(store: Arc<EmbeddedStore>) {
    for round in 0..ROUNDS {
        let page = store.list("k/", ListOptions::default()).await.expect("listable");
        let mut stream = store
            .watch("k/", page.revision)
            .unwrap_or_else(|error| panic!("round {round}: watch from a list: {error}"));
        let mut reached = page.revision;
        let mut state: BTreeMap<_, _> =
            page.entries.into_iter().map(|entry| (entry.key, entry.mod_revision)).collect();
        while reached == page.revision {
            let batch = stream.next().await.expect("the watch goes on").expect("readable");
            for change in &batch.changes {
                assert_eq!(change.revision, Revision(reached.0 + 1), "none missed, none repeated");
                reached = change.revision;
                state.insert(Arc::clone(&change.key), change.revision);
            }
        }
        let then = ListOptions { at: Some(reached), ..ListOptions::default() };
        let later = store.list("k/", then).await.expect("listable");
        let shown: BTreeMap<_, _> =
            later.entries.into_iter().map(|entry| (entry.key, entry.mod_revision)).collect();
        assert_eq!(state, shown, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_list_can_be_watched_from_beside_busy_writers() {
    // The history is as long as the test, so that a reader that the system holds up finds its place again.
    let config = Config { history_len: 10_000_000 };
    let store = Arc::new(EmbeddedStore::in_memory(config).expect("opens"));
    let ended = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..WRITERS)
        .map(|idx| tokio::spawn(write(Arc::clone(&store), format!("k/{idx}"), Arc::clone(&ended))))
        .collect();
    let readers: Vec<_> =
        (0..READERS).map(|_| tokio::spawn(list_and_watch(Arc::clone(&store)))).collect();
    for reader in readers {
        reader.await.expect("every reader agrees with the store");
    }
    ended.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.expect("no writer fails");
    }
}
