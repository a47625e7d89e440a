//! Pods by owner, and those that wait for a node.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use parking_lot::Mutex;
use swell_client::ObjectKey;
use swell_reconcile::controller_of;

use crate::changes::Change;

/// Kept by the feed from the pods' cache, before it asks for looks. Clones share the index.
#[derive(Clone, Default)]
pub(crate) struct PodIndex {
    /// Held for single map operations only.
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    by_owner: HashMap<String, BTreeMap<ObjectKey, Arc<Pod>>>,
    waiting: BTreeMap<ObjectKey, Arc<Pod>>,
}

impl PodIndex {
    pub(crate) fn note(&self, changes: &[Change<Pod>]) {
        let mut state = self.state.lock();
        for change in changes {
            if let Some(before) = &change.before
                && let Some(owner) = controller_of(&before.metadata)
                && let Some(pods) = state.by_owner.get_mut(&owner.uid)
            {
                pods.remove(&change.key);
                if pods.is_empty() {
                    state.by_owner.remove(&owner.uid);
                }
            }
            state.waiting.remove(&change.key);
            let Some(after) = &change.after else { continue };
            if let Some(owner) = controller_of(&after.metadata) {
                let pods = state.by_owner.entry(owner.uid.clone()).or_default();
                pods.insert(change.key.clone(), Arc::clone(after));
            }
            if waits_for_node(after) {
                state.waiting.insert(change.key.clone(), Arc::clone(after));
            }
        }
    }

    /// The pods that the object of this uid controls.
    pub(crate) fn owned_by(&self, uid: &str) -> Vec<Arc<Pod>> {
        let state = self.state.lock();
        state.by_owner.get(uid).map(|pods| pods.values().cloned().collect()).unwrap_or_default()
    }

    /// The pods that have no node yet and are ours to place.
    pub(crate) fn waiting(&self) -> Vec<Arc<Pod>> {
        self.state.lock().waiting.values().cloned().collect()
    }

    pub(crate) fn has_waiting(&self) -> bool {
        !self.state.lock().waiting.is_empty()
    }
}

/// The name under which pods ask for this scheduler.
const SCHEDULER_NAME: &str = "default-scheduler";

fn waits_for_node(pod: &Pod) -> bool {
    let spec = pod.spec.as_ref();
    let placed =
        spec.and_then(|spec| spec.node_name.as_deref()).is_some_and(|node| !node.is_empty());
    let ours = spec
        .and_then(|spec| spec.scheduler_name.as_deref())
        .is_none_or(|name| name == SCHEDULER_NAME);
    let gated =
        spec.and_then(|spec| spec.scheduling_gates.as_ref()).is_some_and(|gates| !gates.is_empty());
    !placed && ours && !gated && swell_api_types::pod_is_active(pod)
}
