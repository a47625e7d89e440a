//! What was done to the pods of one owner and may not be seen in the cache yet.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use swell_model::{DurationMs, TimestampMs};

use crate::objects::uid_of;

/// A creation or deletion that the cache has not shown after this time is no longer believed in: the object came
/// and went between two looks. Should the cache lag by more, a pod too many is created, and deleted again.
const BELIEVED_FOR: DurationMs = DurationMs(10_000);

/// Pods created and deleted for one owner, kept until the cache shows it.
#[derive(Clone, Debug, Default)]
pub struct Expectations {
    /// By uid: what the server answered, and when.
    created: BTreeMap<String, (Arc<Pod>, TimestampMs)>,
    /// By uid: when the deletion was answered.
    deleted: BTreeMap<String, TimestampMs>,
}

impl Expectations {
    /// A pod was created; `pod` is what the server answered.
    pub fn pod_created(&mut self, pod: Arc<Pod>, now: TimestampMs) {
        self.created.insert(uid_of(&pod.metadata).to_owned(), (pod, now));
    }

    /// The deletion of a pod was accepted.
    pub fn pod_deleted(&mut self, uid: &str, now: TimestampMs) {
        self.created.remove(uid);
        self.deleted.insert(uid.to_owned(), now);
    }

    /// When to look again although nothing happens, as something expected has not shown yet.
    #[must_use]
    pub fn recheck_after(&self) -> Option<DurationMs> {
        let nothing = self.created.is_empty() && self.deleted.is_empty();
        (!nothing).then_some(BELIEVED_FOR)
    }

    /// Brings a copy from the cache up to date: adds pods that it does not show yet, drops those that were deleted,
    /// and forgets what the cache shows.
    pub fn apply(&mut self, cached: Vec<Arc<Pod>>, now: TimestampMs) -> Vec<Arc<Pod>> {
        self.created.retain(|_, (_, at)| *at + BELIEVED_FOR > now);
        self.deleted.retain(|_, at| *at + BELIEVED_FOR > now);
        let mut still_deleted = BTreeMap::new();
        let mut pods = Vec::with_capacity(cached.len() + self.created.len());
        for pod in cached {
            let uid = uid_of(&pod.metadata);
            self.created.remove(uid);
            match self.deleted.get(uid) {
                Some(at) if pod.metadata.deletion_timestamp.is_none() => {
                    still_deleted.insert(uid.to_owned(), *at);
                }
                _ => pods.push(pod),
            }
        }
        self.deleted = still_deleted;
        pods.extend(self.created.values().map(|(pod, _)| Arc::clone(pod)));
        pods
    }
}
