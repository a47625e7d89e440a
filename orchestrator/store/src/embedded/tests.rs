//! The moment between a commit, which readers see at once, and its publication to the watchers.

use std::sync::Arc;

use futures::StreamExt as _;
use futures::future::FutureExt as _;
use redb::Database;
use redb::backends::InMemoryBackend;
use tokio::sync::oneshot;

use super::hub::{self, Hub};
use super::writer::{Request, Writer};
use super::{Config, read, tables};
use crate::contract::put;
use crate::store::{Change, Expected, ListOptions, Revision, StoreError};

const PREFIX: &str = "k/";

/// A store whose commits are published by hand.
struct Halves {
    database: Arc<Database>,
    hub: Arc<Hub>,
    writer: Writer,
}

impl Halves {
    fn new() -> Self {
        let database =
            Database::builder().create_with_backend(InMemoryBackend::new()).expect("memory");
        let database = Arc::new(database);
        let state = tables::prepare(&database).expect("an empty store");
        let hub = Arc::new(Hub::new(state.latest, state.oldest));
        let writer = Writer::new(Arc::clone(&database), Arc::clone(&hub), Config::default(), state);
        Self { database, hub, writer }
    }

    /// Commits; returns what is to be published.
    fn commit(&self, batch: Vec<Request>) -> (Vec<Arc<Change>>, Revision, Revision) {
        let (mut changes, mut answers) = (Vec::new(), Vec::new());
        let (latest, oldest) =
            self.writer.apply(batch, &mut changes, &mut answers).expect("memory does not fail");
        (changes, latest, oldest)
    }
}

fn write(key: &str) -> Request {
    Request::Commit { txn: put(key, Expected::Any, "1"), reply: oneshot::channel().0 }
}

#[tokio::test]
async fn a_watch_from_a_list_waits_for_the_publication() {
    let halves = Halves::new();
    let (changes, latest, oldest) = halves.commit(vec![write("k/a"), write("k/b")]);
    let page = read::list(&halves.database, PREFIX, &ListOptions::default()).expect("readable");
    assert_eq!((page.entries.len(), page.revision), (2, Revision(2)));
    assert_eq!(halves.hub.latest(), Revision(0), "not published yet");

    let open = |after| hub::watch(&halves.hub, &halves.database, PREFIX, after);
    let mut stream = open(page.revision).expect("a list can be watched from");
    let future = open(Revision(3)).err();
    assert!(
        matches!(future, Some(StoreError::Future { latest: Revision(2), .. })),
        "what has not happened cannot be watched from: {future:?}"
    );

    halves.hub.publish(changes, latest, oldest);
    assert!(stream.next().now_or_never().is_none(), "what the list shows is not repeated");
    let mut halves = halves;
    halves.writer.latest = latest;
    let (changes, latest, oldest) = halves.commit(vec![write("k/c")]);
    halves.hub.publish(changes, latest, oldest);
    let batch = stream.next().await.expect("the watch goes on").expect("readable");
    assert_eq!(batch.reached, Revision(3));
    let keys: Vec<_> = batch.changes.iter().map(|change| &*change.key).collect();
    assert_eq!(keys, ["k/c"]);
}

#[tokio::test]
async fn a_watch_ends_when_what_it_waits_for_cannot_be_published() {
    let halves = Halves::new();
    let (_, latest, _) = halves.commit(vec![write("k/a")]);
    let mut stream =
        hub::watch(&halves.hub, &halves.database, PREFIX, latest).expect("has happened");
    halves.hub.close();
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn a_watch_notices_a_cut_of_the_log_before_its_publication() {
    let mut halves = Halves::new();
    let (_, latest, oldest) = halves.commit(vec![write("k/a"), write("k/b"), write("k/c")]);
    // As after a restart: the changes are in the log alone.
    halves.hub = Arc::new(Hub::new(latest, oldest));
    halves.writer.latest = latest;
    let mut stream =
        hub::watch(&halves.hub, &halves.database, PREFIX, Revision(0)).expect("in the log");
    let before = Revision(2);
    halves.commit(vec![Request::Compact { before, reply: oneshot::channel().0 }]);
    let item = stream.next().await.expect("an item");
    assert!(
        matches!(item, Err(StoreError::Compacted { asked: Revision(0), oldest }) if oldest == before),
        "two changes are gone, which the watch must tell: {item:?}"
    );
}
