//! The contract of [`Store`] as a suite: every backend runs it in its tests.

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;

use crate::store::{
    Change, Expected, ListOptions, Op, Page, Revision, Store, StoreError, Txn, WatchStream,
};

/// Checks an empty store against the contract.
///
/// # Panics
/// When the store breaks it; the message tells where.
pub async fn check(store: Arc<dyn Store>) {
    assert_eq!(store.revision(), Revision(0), "the store given must be empty");
    transactions_hold_their_condition(&*store).await;
    lists_are_ordered_paged_and_of_one_revision(&*store).await;
    watches_miss_and_repeat_nothing(&*store).await;
    history_ends_where_it_was_compacted(&*store).await;
    concurrent_writers_lose_nothing(&store).await;
}

/// A put under a condition.
#[must_use]
pub fn put(key: &str, expected: Expected, value: &str) -> Txn {
    Txn { key: Arc::from(key), expected, op: Op::Put(Bytes::copy_from_slice(value.as_bytes())) }
}

/// A deletion under a condition.
#[must_use]
pub fn delete(key: &str, expected: Expected) -> Txn {
    Txn { key: Arc::from(key), expected, op: Op::Delete }
}

async fn must(store: &dyn Store, txn: Txn) -> Revision {
    let text = format!("{txn:?}");
    store.commit(txn).await.unwrap_or_else(|error| panic!("{text}: {error}"))
}

async fn conflict(store: &dyn Store, txn: Txn, expected_at: Option<Revision>) {
    let text = format!("{txn:?}");
    match store.commit(txn).await {
        Err(StoreError::Conflict { at, .. }) => assert_eq!(at, expected_at, "{text}"),
        other => panic!("{text}: expected a conflict, got {other:?}"),
    }
}

async fn transactions_hold_their_condition(store: &dyn Store) {
    let first = must(store, put("t/a", Expected::Absent, "1")).await;
    assert_eq!(first, Revision(1), "revisions count from one");
    conflict(store, put("t/a", Expected::Absent, "2"), Some(first)).await;
    let second = must(store, put("t/a", Expected::At(first), "2")).await;
    conflict(store, delete("t/a", Expected::At(first)), Some(second)).await;
    let entry = store.get("t/a").await.expect("readable").expect("exists");
    assert_eq!(entry.value, "2");
    assert_eq!((entry.create_revision, entry.mod_revision), (first, second));
    let third = must(store, delete("t/a", Expected::At(second))).await;
    assert_eq!(third, Revision(3));
    assert_eq!(store.get("t/a").await.expect("readable"), None);
    conflict(store, put("t/a", Expected::At(third), "3"), None).await;
    let nothing = must(store, delete("t/a", Expected::Any)).await;
    assert_eq!(nothing, third, "deleting what is not there is no change");
    assert_eq!(store.revision(), third);
}

fn keys(page: &Page) -> Vec<&str> {
    page.entries.iter().map(|entry| &*entry.key).collect()
}

async fn lists_are_ordered_paged_and_of_one_revision(store: &dyn Store) {
    for key in ["l/b", "l/a", "l/c", "m/x", "l"] {
        must(store, put(key, Expected::Absent, key)).await;
    }
    let all = store.list("l/", ListOptions::default()).await.expect("readable");
    assert_eq!(keys(&all), ["l/a", "l/b", "l/c"]);
    assert_eq!((all.revision, all.remaining_count), (store.revision(), 0));
    let options = ListOptions { limit: 2, ..ListOptions::default() };
    let first = store.list("l/", options).await.expect("readable");
    assert_eq!((keys(&first), first.remaining_count), (vec!["l/a", "l/b"], 1));

    must(store, delete("l/c", Expected::Any)).await;
    must(store, put("l/a", Expected::Any, "changed")).await;
    must(store, put("l/d", Expected::Absent, "new")).await;
    let options = ListOptions {
        at: Some(first.revision),
        limit: 2,
        after: first.entries.last().map(|entry| Arc::clone(&entry.key)),
    };
    let second = store.list("l/", options).await.expect("readable");
    assert_eq!(keys(&second), ["l/c"], "the second page is of the revision of the first");
    let then = ListOptions { at: Some(first.revision), ..ListOptions::default() };
    let again = store.list("l/", then).await.expect("readable");
    assert_eq!(again.entries, all.entries, "an earlier revision is as it was, to the last field");
    let future = ListOptions { at: Some(Revision(1 << 40)), ..ListOptions::default() };
    assert!(matches!(store.list("l/", future).await, Err(StoreError::Future { .. })));
}

async fn collect(stream: &mut WatchStream, up_to: Revision) -> Vec<Arc<Change>> {
    let mut seen = Vec::new();
    loop {
        let batch = stream.next().await.expect("the watch goes on").expect("readable");
        seen.extend(batch.changes);
        if batch.reached >= up_to {
            return seen;
        }
    }
}

async fn watches_miss_and_repeat_nothing(store: &dyn Store) {
    let before = store.revision();
    let mut early = store.watch("w/", before).expect("the latest revision can be watched from");
    must(store, put("w/a", Expected::Any, "1")).await;
    must(store, put("x", Expected::Any, "elsewhere")).await;
    must(store, put("w/a", Expected::Any, "2")).await;
    let last = must(store, delete("w/a", Expected::Any)).await;
    let mut late = store.watch("w/", before).expect("watchable");
    let seen = collect(&mut early, last).await;
    assert_eq!(seen, collect(&mut late, last).await, "a late watch sees what an early one saw");
    let values: Vec<_> = seen.iter().map(|change| change.value.as_deref()).collect();
    assert_eq!(values, [Some(&b"1"[..]), Some(b"2"), None]);
    let befores: Vec<_> = seen.iter().map(|change| change.before.as_deref()).collect();
    assert_eq!(befores, [None, Some(&b"1"[..]), Some(b"2")]);
    assert!(seen.windows(2).all(|pair| pair[0].revision < pair[1].revision));
    assert!(seen.iter().all(|change| change.create_revision == seen[0].revision));
    let asked = Revision(last.0 + 1);
    assert!(matches!(store.watch("w/", asked), Err(StoreError::Future { .. })));
}

async fn history_ends_where_it_was_compacted(store: &dyn Store) {
    let before = must(store, put("h/a", Expected::Any, "1")).await;
    let floor = must(store, put("h/a", Expected::Any, "2")).await;
    let last = must(store, put("h/a", Expected::Any, "3")).await;
    store.compact(floor).await.expect("compactable");
    assert!(matches!(store.watch("h/", before), Err(StoreError::Compacted { .. })));
    let old = ListOptions { at: Some(before), ..ListOptions::default() };
    assert!(matches!(store.list("h/", old).await, Err(StoreError::Compacted { .. })));
    let at_floor = ListOptions { at: Some(floor), ..ListOptions::default() };
    let page = store.list("h/", at_floor).await.expect("the floor itself stays listable");
    assert_eq!(page.entries[0].value, "2");
    assert_eq!(page.entries[0].mod_revision, floor);
    let mut stream = store.watch("h/", floor).expect("watchable from the floor");
    assert_eq!(collect(&mut stream, last).await.len(), 1);
    let future = store.compact(Revision(1 << 40)).await;
    assert!(matches!(future, Err(StoreError::Future { .. })));
}

async fn concurrent_writers_lose_nothing(store: &Arc<dyn Store>) {
    const WRITERS: usize = 8;
    const ROUNDS: usize = 20;
    let from = store.revision();
    must(&**store, put("c/counter", Expected::Absent, "0")).await;
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                for _ in 0..ROUNDS {
                    loop {
                        let entry = store.get("c/counter").await.expect("readable").expect("there");
                        let text = std::str::from_utf8(&entry.value).expect("a number");
                        let next = text.parse::<usize>().expect("a number") + 1;
                        let expected = Expected::At(entry.mod_revision);
                        match store.commit(put("c/counter", expected, &next.to_string())).await {
                            Ok(_) => break,
                            Err(StoreError::Conflict { .. }) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("no writer panics");
    }
    let entry = store.get("c/counter").await.expect("readable").expect("exists");
    assert_eq!(entry.value, (WRITERS * ROUNDS).to_string());
    let mut stream = store.watch("c/", from).expect("watchable");
    let seen = collect(&mut stream, store.revision()).await;
    assert_eq!(seen.len(), WRITERS * ROUNDS + 1, "each change is seen once");
}
