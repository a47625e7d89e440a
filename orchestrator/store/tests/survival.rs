//! What survives: a kill at any moment, a second opener, a history longer than its bound.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use futures::StreamExt as _;
use swell_store::contract::put;
use swell_store::{Config, EmbeddedStore, Expected, ListOptions, OpenError, Store, StoreError};

/// Set in the process that is to be killed: the file to write to.
const CHILD_FILE: &str = "SWELL_STORE_TEST_CHILD_FILE";

/// Not a test of its own: the body of the process that `a_kill_loses_no_acknowledged_change` starts.
#[test]
fn child_writes_until_killed() {
    #[expect(clippy::disallowed_methods, reason = "how the parent talks to its child")]
    let Ok(path) = std::env::var(CHILD_FILE) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let store = EmbeddedStore::open(Path::new(&path), Config::default()).expect("opens");
        for number in 0.. {
            let key = format!("k/{number:08}");
            store.commit(put(&key, Expected::Absent, "x")).await.expect("writes");
            println!("acknowledged {number}");
        }
    });
}

#[test]
fn a_kill_loses_no_acknowledged_change() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("objects.redb");
    let mut child = Command::new(std::env::current_exe().expect("this test has a file"))
        .args(["--exact", "child_writes_until_killed", "--nocapture"])
        .env(CHILD_FILE, &path)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the child starts");
    let mut acknowledged = 0;
    for line in BufReader::new(child.stdout.take().expect("piped")).lines() {
        let line = line.expect("text");
        if let Some(number) = line.strip_prefix("acknowledged ") {
            acknowledged = number.parse::<usize>().expect("a number") + 1;
        }
        if acknowledged == 40 {
            child.kill().expect("still running");
        }
    }
    child.wait().expect("ended");
    assert!(acknowledged >= 40, "{acknowledged}");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let store = EmbeddedStore::open(&path, Config::default()).expect("opens after a kill");
        let page = store.list("k/", ListOptions::default()).await.expect("readable");
        assert!(page.entries.len() >= acknowledged, "{} < {acknowledged}", page.entries.len());
        assert_eq!(page.revision.0, page.entries.len() as u64);
    });
}

#[tokio::test]
async fn a_second_opener_is_refused_by_name() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("objects.redb");
    let _first = EmbeddedStore::open(&path, Config::default()).expect("opens");
    let second = EmbeddedStore::open(&path, Config::default());
    assert!(matches!(second, Err(OpenError::InUse { .. })), "{second:?}");
    let mode = std::fs::metadata(&path).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "secrets are in it");
}

#[tokio::test]
async fn a_file_that_is_no_store_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("objects.redb");
    let text = "this is not a store, but it is long enough to have a header ".repeat(200);
    std::fs::write(&path, &text).expect("writable");
    let outcome = EmbeddedStore::open(&path, Config::default());
    assert!(matches!(outcome, Err(OpenError::Medium { .. })), "{outcome:?}");
    assert_eq!(std::fs::read_to_string(&path).expect("readable"), text);
}

#[tokio::test]
async fn history_is_bounded_and_a_slow_watch_is_told() {
    let store = EmbeddedStore::in_memory(Config { history_len: 32 }).expect("opens");
    let start = store.commit(put("k", Expected::Any, "0")).await.expect("writes");
    let mut slow = store.watch("", start).expect("watchable");
    let filler = "x".repeat(64 << 10);
    for _ in 0..200 {
        store.commit(put("k", Expected::Any, &filler)).await.expect("writes");
    }
    let old = ListOptions { at: Some(start), ..ListOptions::default() };
    assert!(matches!(store.list("", old).await, Err(StoreError::Compacted { .. })));
    let told = slow.next().await.expect("an item");
    assert!(matches!(told, Err(StoreError::Compacted { .. })), "{told:?}");
}

#[tokio::test]
async fn closing_ends_watches() {
    let store = Arc::new(EmbeddedStore::in_memory(Config::default()).expect("opens"));
    let mut stream = store.watch("", store.revision()).expect("watchable");
    drop(store);
    assert!(stream.next().await.is_none());
}
