//! What changed in a cache since the last look.

use std::collections::BTreeMap;
use std::sync::Arc;

use swell_client::{Cache, Object, ObjectKey};
use tokio::sync::watch;

/// An object before and after; at least one of them is there.
#[derive(Debug)]
pub(crate) struct Change<K> {
    pub(crate) key: ObjectKey,
    pub(crate) before: Option<Arc<K>>,
    pub(crate) after: Option<Arc<K>>,
}

impl<K> Change<K> {
    /// The states there are, the old one first.
    pub(crate) fn states(&self) -> impl Iterator<Item = &Arc<K>> {
        self.before.iter().chain(&self.after)
    }
}

/// Remembers what a cache held, and tells what is different now. Compares pointers, so a look costs one step an object.
pub(crate) struct Changes<K> {
    cache: Cache<K>,
    wake: watch::Receiver<u64>,
    seen: BTreeMap<ObjectKey, Arc<K>>,
}

impl<K: Object> Changes<K> {
    pub(crate) fn of(cache: &Cache<K>) -> Self {
        Self { cache: cache.clone(), wake: cache.changed(), seen: BTreeMap::new() }
    }

    /// Waits until the cache may have changed; false when it stopped.
    pub(crate) async fn wait(&mut self) -> bool {
        self.wake.changed().await.is_ok()
    }

    /// Everything that is different from the last look.
    pub(crate) fn take(&mut self) -> Vec<Change<K>> {
        self.wake.mark_unchanged();
        let mut changes = Vec::new();
        let mut now = BTreeMap::new();
        for object in self.cache.list() {
            let key = ObjectKey::of(&*object);
            let before = self.seen.remove(&key);
            if before.as_ref().is_none_or(|before| !Arc::ptr_eq(before, &object)) {
                changes.push(Change { key: key.clone(), before, after: Some(Arc::clone(&object)) });
            }
            now.insert(key, object);
        }
        let gone = std::mem::replace(&mut self.seen, now);
        changes.extend(gone.into_iter().map(|(key, before)| Change {
            key,
            before: Some(before),
            after: None,
        }));
        changes
    }
}

impl<K: Object> Changes<K> {
    /// The object of this key, as the cache has it now.
    pub(crate) fn get(&self, key: &ObjectKey) -> Option<Arc<K>> {
        self.cache.get_key(key)
    }

    /// Whether the cache has a cluster-wide object of this name.
    pub(crate) fn has_name(&self, name: &str) -> bool {
        self.cache.get("", name).is_some()
    }
}
