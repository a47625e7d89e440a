//! Who owns whom, and what follows from it. No IO: objects in, steps out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use crate::delete::{FOREGROUND_FINALIZER, ORPHAN_FINALIZER};
use crate::object::{is_terminating, meta_text};

/// Identity of an object.
pub(super) type Uid = Arc<str>;

/// What an object says about itself and its owners.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    key: Arc<str>,
    owners: BTreeSet<Uid>,
    terminating: bool,
    foreground: bool,
    orphan: bool,
}

/// Every object that owns or is owned, or may become so.
#[derive(Debug, Default)]
pub(super) struct Graph {
    nodes: BTreeMap<Uid, Node>,
    dependents: BTreeMap<Uid, BTreeSet<Uid>>,
    pub(super) terminating_namespaces: BTreeSet<String>,
}

/// Something to be done. Each may be done twice without harm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Delete the object: all its owners are gone, or one is waiting for it.
    Delete { key: Arc<str>, uid: Uid, foreground: bool },
    /// Take references to these owners out of the object.
    Disown { key: Arc<str>, uid: Uid, owners: BTreeSet<Uid> },
    /// The finalizer has done its work.
    Finalize { key: Arc<str>, uid: Uid, finalizer: &'static str },
}

impl Graph {
    /// Notes an object as it is now; returns which objects need a look.
    pub(super) fn put(&mut self, key: &str, object: &Value) -> BTreeSet<Uid> {
        let uid: Uid = Arc::from(meta_text(object, "uid"));
        let metadata = &object["metadata"];
        let owners: BTreeSet<Uid> = metadata["ownerReferences"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|owner| owner["uid"].as_str().map(Arc::from))
            .collect();
        let has = |finalizer: &str| {
            let list = metadata["finalizers"].as_array();
            list.is_some_and(|list| list.iter().any(|known| known == finalizer))
        };
        let node = Node {
            key: Arc::from(key),
            owners,
            terminating: is_terminating(object),
            foreground: has(FOREGROUND_FINALIZER),
            orphan: has(ORPHAN_FINALIZER),
        };
        if self.nodes.get(&uid) == Some(&node) {
            return BTreeSet::new();
        }
        let mut look = self.forget(&uid);
        for owner in &node.owners {
            self.dependents.entry(Arc::clone(owner)).or_default().insert(Arc::clone(&uid));
        }
        look.extend(node.owners.iter().cloned());
        if node.terminating {
            look.extend(self.dependents.get(&uid).into_iter().flatten().cloned());
        }
        self.nodes.insert(Arc::clone(&uid), node);
        look.insert(uid);
        look
    }

    /// Notes that an object is gone; returns which objects need a look.
    pub(super) fn remove(&mut self, object: &Value) -> BTreeSet<Uid> {
        let uid: Uid = Arc::from(meta_text(object, "uid"));
        let mut look = self.forget(&uid);
        look.extend(self.dependents.get(&uid).into_iter().flatten().cloned());
        look
    }

    /// Takes an object's own links out; returns its former owners.
    fn forget(&mut self, uid: &Uid) -> BTreeSet<Uid> {
        let Some(node) = self.nodes.remove(uid) else { return BTreeSet::new() };
        for owner in &node.owners {
            if let Some(dependents) = self.dependents.get_mut(owner) {
                dependents.remove(uid);
                if dependents.is_empty() {
                    self.dependents.remove(owner);
                }
            }
        }
        node.owners
    }

    /// What is to be done about one object as things stand.
    pub(super) fn plan(&self, uid: &Uid) -> Vec<Step> {
        let Some(node) = self.nodes.get(uid) else { return Vec::new() };
        let mut steps = self.plan_as_dependent(uid, node);
        if node.terminating {
            steps.extend(self.plan_as_owner(uid, node));
        }
        steps
    }

    fn plan_as_dependent(&self, uid: &Uid, node: &Node) -> Vec<Step> {
        let (key, uid) = (Arc::clone(&node.key), Arc::clone(uid));
        let present: Vec<&Node> =
            node.owners.iter().filter_map(|owner| self.nodes.get(owner)).collect();
        let awaited = present.iter().any(|owner| owner.terminating && owner.foreground);
        let orphaned = present.iter().any(|owner| owner.terminating && owner.orphan);
        if !node.owners.is_empty() && !node.terminating {
            let others_remain =
                present.iter().any(|owner| !(owner.terminating && owner.foreground));
            if present.is_empty() || (awaited && !others_remain && !orphaned) {
                return vec![Step::Delete { key, uid, foreground: awaited }];
            }
        }
        let gone: BTreeSet<Uid> =
            node.owners.iter().filter(|owner| !self.nodes.contains_key(*owner)).cloned().collect();
        if gone.is_empty() || present.is_empty() {
            Vec::new()
        } else {
            vec![Step::Disown { key, uid, owners: gone }]
        }
    }

    fn plan_as_owner(&self, uid: &Uid, node: &Node) -> Vec<Step> {
        let none = BTreeSet::new();
        let dependents = self.dependents.get(uid).unwrap_or(&none);
        let finalize = |finalizer| Step::Finalize {
            key: Arc::clone(&node.key),
            uid: Arc::clone(uid),
            finalizer,
        };
        let mut steps = Vec::new();
        if node.orphan {
            steps.extend(dependents.iter().filter_map(|dependent| {
                Some(Step::Disown {
                    key: Arc::clone(&self.nodes.get(dependent)?.key),
                    uid: Arc::clone(dependent),
                    owners: BTreeSet::from([Arc::clone(uid)]),
                })
            }));
            steps.push(finalize(ORPHAN_FINALIZER));
        } else if node.foreground && dependents.is_empty() {
            steps.push(finalize(FOREGROUND_FINALIZER));
        }
        steps
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(uid: &str, owners: &[&str], finalizers: &[&str], terminating: bool) -> Value {
        let owners: Vec<_> = owners.iter().map(|uid| json!({"uid": uid})).collect();
        let mut object =
            json!({"metadata": {"uid": uid, "ownerReferences": owners, "finalizers": finalizers}});
        if terminating {
            object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        object
    }

    fn graph(objects: &[Value]) -> Graph {
        let mut graph = Graph::default();
        for object in objects {
            graph.put(&format!("/{}", meta_text(object, "uid")), object);
        }
        graph
    }

    fn uids(list: &[&str]) -> BTreeSet<Uid> {
        list.iter().map(|uid| Arc::from(*uid)).collect()
    }

    fn delete(uid: &str, foreground: bool) -> Step {
        Step::Delete { key: Arc::from(format!("/{uid}")), uid: Arc::from(uid), foreground }
    }

    fn plan(graph: &Graph, uid: &str) -> Vec<Step> {
        graph.plan(&Arc::from(uid))
    }

    #[test]
    fn dependents_of_a_deleted_owner_are_deleted() {
        let owner = object("owner", &[], &[], false);
        let mut graph = graph(&[owner.clone(), object("child", &["owner"], &[], false)]);
        assert_eq!(plan(&graph, "child"), []);
        assert_eq!(graph.remove(&owner), uids(&["child"]));
        assert_eq!(plan(&graph, "child"), [delete("child", false)]);
    }

    #[test]
    fn an_object_with_another_owner_only_loses_the_reference() {
        let gone = object("gone", &[], &[], false);
        let mut graph = graph(&[
            gone.clone(),
            object("stays", &[], &[], false),
            object("child", &["gone", "stays"], &[], false),
        ]);
        graph.remove(&gone);
        let step = Step::Disown {
            key: Arc::from("/child"),
            uid: Arc::from("child"),
            owners: uids(&["gone"]),
        };
        assert_eq!(plan(&graph, "child"), [step]);
    }

    #[test]
    fn in_the_foreground_the_owner_waits() {
        let child = object("child", &["owner"], &[], false);
        let mut graph =
            graph(&[object("owner", &[], &[FOREGROUND_FINALIZER], true), child.clone()]);
        assert_eq!(plan(&graph, "owner"), []);
        assert_eq!(plan(&graph, "child"), [delete("child", true)]);
        assert_eq!(graph.remove(&child), uids(&["owner"]));
        let done = Step::Finalize {
            key: Arc::from("/owner"),
            uid: Arc::from("owner"),
            finalizer: FOREGROUND_FINALIZER,
        };
        assert_eq!(plan(&graph, "owner"), [done]);
    }

    #[test]
    fn orphans_are_disowned_before_the_owner_goes() {
        let graph = graph(&[
            object("owner", &[], &[ORPHAN_FINALIZER], true),
            object("child", &["owner"], &[], false),
        ]);
        assert_eq!(plan(&graph, "child"), []);
        let steps = plan(&graph, "owner");
        assert!(matches!(&steps[0], Step::Disown { uid, .. } if **uid == *"child"), "{steps:?}");
        assert!(
            matches!(&steps[1], Step::Finalize { finalizer: ORPHAN_FINALIZER, .. }),
            "{steps:?}"
        );
    }

    #[test]
    fn an_unchanged_object_needs_no_look() {
        let child = object("child", &["owner"], &[], false);
        let mut graph = graph(std::slice::from_ref(&child));
        assert_eq!(graph.put("/child", &child), BTreeSet::new());
        assert_eq!(plan(&graph, "child"), [delete("child", false)], "its owner never was");
    }
}
