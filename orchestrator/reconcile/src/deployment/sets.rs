//! The ReplicaSets of a Deployment, with sizes that a plan changes before anything is written.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Plan, SetChange, is_of_template};
use crate::note::Note;

/// Replicas that the Deployment wanted when it last sized a ReplicaSet.
pub(super) const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
/// Most replicas that it allowed then, surge included.
pub(super) const MAX: &str = "deployment.kubernetes.io/max-replicas";

/// How many replicas may exist and may be missing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizing {
    pub(super) replicas: i32,
    /// `None` for the strategy `Recreate`.
    pub(super) rolling: Option<Rolling>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Rolling {
    pub(super) max_surge: i32,
    pub(super) max_unavailable: i32,
}

impl Sizing {
    pub(super) fn of(deployment: &Deployment) -> Self {
        let spec = deployment.spec.clone().unwrap_or_default();
        let replicas = spec.replicas.unwrap_or(1).max(0);
        let strategy = spec.strategy.unwrap_or_default();
        if strategy.type_.as_deref() == Some("Recreate") {
            return Self { replicas, rolling: None };
        }
        let rolling = strategy.rolling_update.unwrap_or_default();
        let quarter = IntOrString::String("25%".to_owned());
        let max_surge = share(rolling.max_surge.as_ref().unwrap_or(&quarter), replicas, true);
        let mut max_unavailable =
            share(rolling.max_unavailable.as_ref().unwrap_or(&quarter), replicas, false);
        if max_surge == 0 && max_unavailable == 0 {
            max_unavailable = 1;
        }
        let max_unavailable = max_unavailable.min(replicas);
        Self { replicas, rolling: Some(Rolling { max_surge, max_unavailable }) }
    }

    /// Most replicas of all ReplicaSets together.
    pub(super) fn max_total(&self) -> i32 {
        self.replicas.saturating_add(self.rolling.map_or(0, |rolling| rolling.max_surge))
    }
}

/// A count, or a percentage of `whole`; nonsense counts as none.
fn share(value: &IntOrString, whole: i32, round_up: bool) -> i32 {
    match value {
        IntOrString::Int(count) => (*count).max(0),
        IntOrString::String(text) => {
            let percent: i64 =
                text.strip_suffix('%').and_then(|digits| digits.parse().ok()).unwrap_or(0);
            let product = percent.max(0).saturating_mul(whole.into());
            let rounded = if round_up {
                product.div_euclid(100) + i64::from(product % 100 != 0)
            } else {
                product / 100
            };
            i32::try_from(rounded).unwrap_or(i32::MAX)
        }
    }
}

/// One ReplicaSet; `size` is what the plan asks for.
#[derive(Debug)]
pub(super) struct Set<'a> {
    pub(super) stored: &'a ReplicaSet,
    pub(super) size: i32,
}

impl Set<'_> {
    pub(super) fn name(&self) -> &str {
        self.stored.metadata.name.as_deref().unwrap_or_default()
    }

    pub(super) fn stored_size(&self) -> i32 {
        self.stored.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
    }

    pub(super) fn available(&self) -> i32 {
        self.stored.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0)
    }

    pub(super) fn ready(&self) -> i32 {
        self.stored.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0)
    }

    pub(super) fn actual(&self) -> i32 {
        self.stored.status.as_ref().map_or(0, |status| status.replicas)
    }

    pub(super) fn annotation(&self, key: &str) -> Option<&str> {
        self.stored.metadata.annotations.as_ref()?.get(key).map(String::as_str)
    }

    fn age_key(&self) -> impl Ord + use<> {
        let metadata = &self.stored.metadata;
        (metadata.creation_timestamp.clone(), metadata.name.clone())
    }
}

/// The ReplicaSets of a Deployment: the one of its template, and the others, oldest first.
#[derive(Debug)]
pub(super) struct Sets<'a> {
    pub(super) new: Option<Set<'a>>,
    /// Size of the ReplicaSet that the plan creates.
    pub(super) created: Option<Created>,
    pub(super) old: Vec<Set<'a>>,
}

/// The ReplicaSet that the plan creates.
#[derive(Debug)]
pub(super) struct Created {
    pub(super) name: String,
    pub(super) size: i32,
}

impl<'a> Sets<'a> {
    pub(super) fn sort(deployment: &Deployment, stored: &[&'a ReplicaSet]) -> Self {
        let template = deployment.spec.as_ref().map(|spec| &spec.template);
        let mut all: Vec<Set<'a>> = stored
            .iter()
            .map(|stored| {
                let mut set = Set { stored, size: 0 };
                set.size = set.stored_size();
                set
            })
            .collect();
        all.sort_by_key(Set::age_key);
        let new_idx = all.iter().position(|set| is_of_template(set.stored, template));
        let new = new_idx.map(|idx| all.remove(idx));
        Self { new, created: None, old: all }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Set<'a>> {
        self.new.iter().chain(&self.old)
    }

    pub(super) fn new_size(&self) -> i32 {
        self.created.as_ref().map_or(0, |created| created.size)
            + self.new.as_ref().map_or(0, |set| set.size)
    }

    pub(super) fn total_size(&self) -> i32 {
        self.new_size() + self.old.iter().map(|set| set.size).sum::<i32>()
    }

    pub(super) fn total_available(&self) -> i32 {
        self.all().map(Set::available).sum()
    }

    /// Writes the sizes that differ into the plan, with their annotations and events.
    pub(super) fn write_sizes(&self, sizing: &Sizing, plan: &mut Plan) {
        for set in self.all() {
            let mut annotations = BTreeMap::new();
            for (key, value) in [(DESIRED, sizing.replicas), (MAX, sizing.max_total())]
                .map(|(k, v)| (k, v.to_string()))
            {
                let outdated = set.annotation(key) != Some(value.as_str());
                if outdated && (set.size > 0 || set.stored_size() > 0) {
                    annotations.insert(key.to_owned(), value);
                }
            }
            let from = set.stored_size();
            if set.size == from && annotations.is_empty() {
                continue;
            }
            let change = plan.change_of(set);
            change.annotations.extend(annotations);
            if set.size != from {
                change.replicas = Some(set.size);
                plan.note_size(set.name(), from, set.size);
            }
        }
    }
}

impl Plan {
    /// The change of one ReplicaSet, made if there is none yet.
    pub(super) fn change_of(&mut self, set: &Set<'_>) -> &mut SetChange {
        let idx = self.change.iter().position(|change| change.name == set.name());
        let idx = idx.unwrap_or_else(|| {
            self.change.push(SetChange {
                name: set.name().to_owned(),
                resource_version: set.stored.metadata.resource_version.clone(),
                replicas: None,
                annotations: BTreeMap::new(),
                min_ready_seconds: None,
            });
            self.change.len() - 1
        });
        &mut self.change[idx]
    }

    pub(super) fn note_size(&mut self, name: &str, from: i32, to: i32) {
        let way = if to > from { "up" } else { "down" };
        self.notes.push(Note::normal(
            "ScalingReplicaSet",
            format!("Scaled {way} replica set {name} from {from} to {to}"),
        ));
    }
}
