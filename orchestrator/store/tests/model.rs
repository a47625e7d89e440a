//! Random operations on the store and on a model of maps, with reopening in between.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt as _;
use proptest::prelude::*;
use swell_store::contract::{delete, put};
use swell_store::{Config, EmbeddedStore, Expected, ListOptions, Revision, Store, StoreError};

#[derive(Clone, Debug)]
enum Step {
    Put { key: u8, condition: Condition, value: u8 },
    Delete { key: u8, condition: Condition },
    ListAt { back: u64, limit: usize, after: Option<u8> },
    Compact { back: u64 },
    Reopen,
}

#[derive(Clone, Copy, Debug)]
enum Condition {
    Any,
    Absent,
    Current,
    Stale,
}

fn condition() -> impl Strategy<Value = Condition> {
    prop_oneof![
        3 => Just(Condition::Any),
        1 => Just(Condition::Absent),
        2 => Just(Condition::Current),
        1 => Just(Condition::Stale),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..6_u8, condition(), any::<u8>())
            .prop_map(|(key, condition, value)| Step::Put { key, condition, value }),
        3 => (0..6_u8, condition()).prop_map(|(key, condition)| Step::Delete { key, condition }),
        3 => (0..8_u64, 0..4_usize, proptest::option::of(0..6_u8))
            .prop_map(|(back, limit, after)| Step::ListAt { back, limit, after }),
        1 => (0..8_u64).prop_map(|back| Step::Compact { back }),
        1 => Just(Step::Reopen),
    ]
}

type State = BTreeMap<String, (u64, String)>;

/// Every state since the beginning; the index is the revision.
struct Model {
    states: Vec<State>,
    oldest: u64,
}

impl Model {
    fn latest(&self) -> u64 {
        self.states.len() as u64 - 1
    }

    fn expected(&self, key: &str, condition: Condition) -> Expected {
        let at = self.states[self.states.len() - 1].get(key).map(|(at, _)| *at);
        match condition {
            Condition::Any => Expected::Any,
            Condition::Absent => Expected::Absent,
            Condition::Current => at.map_or(Expected::Absent, |at| Expected::At(Revision(at))),
            Condition::Stale => Expected::At(Revision(at.unwrap_or(0) + 1)),
        }
    }

    fn commit(&mut self, key: &str, expected: Expected, value: Option<String>) -> Option<u64> {
        let mut state = self.states[self.states.len() - 1].clone();
        let at = state.get(key).map(|(at, _)| *at);
        let fits = match expected {
            Expected::Any => true,
            Expected::Absent => at.is_none(),
            Expected::At(revision) => at == Some(revision.0),
        };
        if !fits {
            return None;
        }
        let next = self.latest() + 1;
        match value {
            Some(value) => drop(state.insert(key.to_owned(), (next, value))),
            None if at.is_none() => return Some(self.latest()),
            None => drop(state.remove(key)),
        }
        self.states.push(state);
        Some(next)
    }
}

async fn run(steps: Vec<Step>) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("objects.redb");
    let open = || EmbeddedStore::open(&path, Config::default()).expect("opens");
    let mut store = open();
    let mut model = Model { states: vec![State::new()], oldest: 0 };
    for step in steps {
        match step {
            Step::Put { key, condition, value } => {
                let (key, value) = (format!("k/{key}"), value.to_string());
                let expected = model.expected(&key, condition);
                let outcome = store.commit(put(&key, expected, &value)).await.ok();
                let wanted = model.commit(&key, expected, Some(value));
                assert_eq!(outcome.map(|revision| revision.0), wanted);
            }
            Step::Delete { key, condition } => {
                let key = format!("k/{key}");
                let expected = model.expected(&key, condition);
                let outcome = store.commit(delete(&key, expected)).await.ok();
                assert_eq!(outcome.map(|revision| revision.0), model.commit(&key, expected, None));
            }
            Step::ListAt { back, limit, after } => {
                let at = model.latest().saturating_sub(back);
                let after = after.map(|key| format!("k/{key}"));
                list_agrees(&store, &model, at, limit, after).await;
            }
            Step::Compact { back } => {
                let before = model.latest().saturating_sub(back);
                store.compact(Revision(before)).await.expect("not in the future");
                model.oldest = model.oldest.max(before);
            }
            Step::Reopen => {
                drop(store);
                store = open();
                assert_eq!(store.revision().0, model.latest());
            }
        }
    }
    replay_agrees(&store, &model).await;
}

async fn list_agrees(
    store: &EmbeddedStore,
    model: &Model,
    at: u64,
    limit: usize,
    after: Option<String>,
) {
    let options =
        ListOptions { at: Some(Revision(at)), limit, after: after.as_deref().map(Arc::from) };
    let outcome = store.list("k/", options).await;
    if at < model.oldest {
        assert!(matches!(outcome, Err(StoreError::Compacted { .. })), "{outcome:?}");
        return;
    }
    let page = outcome.expect("listable");
    let state = &model.states[usize::try_from(at).expect("small")];
    let wanted: Vec<_> = state
        .iter()
        .filter(|(key, _)| after.as_ref().is_none_or(|after| *key > after))
        .map(|(key, (at, value))| (key.as_str(), *at, value.as_bytes()))
        .collect();
    let shown = if limit == 0 { wanted.len() } else { limit.min(wanted.len()) };
    let found: Vec<_> = page
        .entries
        .iter()
        .map(|entry| (&*entry.key, entry.mod_revision.0, &*entry.value))
        .collect();
    assert_eq!(found, wanted[..shown]);
    assert_eq!(page.remaining_count, wanted.len() - shown);
}

/// A watch from the oldest revision, applied to the state there, leads to the latest state.
async fn replay_agrees(store: &EmbeddedStore, model: &Model) {
    let mut state = model.states[usize::try_from(model.oldest).expect("small")].clone();
    let mut reached = model.oldest;
    let mut stream = store.watch("k/", Revision(reached)).expect("watchable");
    while reached < model.latest() {
        let batch = stream.next().await.expect("goes on").expect("readable");
        for change in batch.changes {
            let value = change.value.as_ref().map(|value| String::from_utf8_lossy(value));
            match value {
                Some(value) => {
                    let written = (change.revision.0, value.into_owned());
                    state.insert(change.key.to_string(), written);
                }
                None => drop(state.remove(&*change.key)),
            }
            assert_eq!(state, model.states[usize::try_from(change.revision.0).expect("small")]);
        }
        reached = batch.reached.0;
    }
    assert_eq!(state, model.states[model.states.len() - 1]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn the_store_does_what_the_model_does(steps in prop::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(run(steps));
    }
}
