//! The ReplicaSet of the current template, revisions, and how many old ones are kept.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, ReplicaSetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

use super::rollout::new_set_size;
use super::sets::{Created, DESIRED, MAX, Set, Sets, Sizing};
use super::{DeploymentError, Observed, Plan};
use crate::objects::{owner_reference, uid_of};
use crate::template_hash::{HASH_LABEL, template_hash};

/// Number of the rollout that a ReplicaSet belongs to; on the Deployment, that of the current one.
const REVISION: &str = "deployment.kubernetes.io/revision";
const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// Annotations of a Deployment that say nothing about its ReplicaSets.
const OWN_ANNOTATIONS: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    DESIRED,
    MAX,
    "deprecated.deployment.rollback.to",
];
/// Old ReplicaSets kept where the Deployment says nothing.
const HISTORY_DEFAULT: i32 = 10;

fn revision_of(set: &Set<'_>) -> i64 {
    set.annotation(REVISION).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Makes sure that the current template has a ReplicaSet with the newest revision. Returns the collision count when
/// a name was taken.
pub(super) fn ensure_new_set(
    observed: &Observed<'_>,
    sizing: &Sizing,
    sets: &mut Sets<'_>,
    plan: &mut Plan,
) -> Result<Option<i32>, DeploymentError> {
    let deployment = observed.deployment;
    let newest_old = sets.old.iter().map(revision_of).max().unwrap_or(0);
    let inherited = inherited_annotations(deployment);
    if let Some(new) = &sets.new {
        let own = revision_of(new);
        let revision = if own > newest_old { own } else { newest_old + 1 };
        let mut annotations: BTreeMap<String, String> = inherited
            .into_iter()
            .filter(|(key, value)| new.annotation(key) != Some(value.as_str()))
            .collect();
        if revision != own {
            annotations.insert(REVISION.to_owned(), revision.to_string());
        }
        let wanted = deployment.spec.as_ref().and_then(|spec| spec.min_ready_seconds);
        let stored = new.stored.spec.as_ref().and_then(|spec| spec.min_ready_seconds);
        let min_ready = (wanted.unwrap_or(0) != stored.unwrap_or(0)).then(|| wanted.unwrap_or(0));
        if !annotations.is_empty() || min_ready.is_some() {
            let change = plan.change_of(new);
            change.annotations.extend(annotations);
            change.min_ready_seconds = min_ready;
        }
        annotate_deployment(deployment, revision, plan);
        return Ok(None);
    }
    let revision = newest_old + 1;
    let waits = sizing.rolling.is_none() && observed.old_pod_count > 0;
    let size = if waits { 0 } else { new_set_size(sets, sizing) };
    let (name, hash, collision_count) = free_name(observed, sets)?;
    let mut annotations = inherited;
    annotations.insert(REVISION.to_owned(), revision.to_string());
    annotations.insert(DESIRED.to_owned(), sizing.replicas.to_string());
    annotations.insert(MAX.to_owned(), sizing.max_total().to_string());
    plan.create = Some(Box::new(new_set(deployment, &name, &hash, size, annotations)));
    if size > 0 {
        plan.note_size(&name, 0, size);
    }
    annotate_deployment(deployment, revision, plan);
    sets.created = Some(Created { name, size });
    Ok(collision_count)
}

fn annotate_deployment(deployment: &Deployment, revision: i64, plan: &mut Plan) {
    let text = revision.to_string();
    let stored = deployment.metadata.annotations.as_ref().and_then(|known| known.get(REVISION));
    if stored != Some(&text) {
        plan.annotate.insert(REVISION.to_owned(), text);
    }
}

fn inherited_annotations(deployment: &Deployment) -> BTreeMap<String, String> {
    let annotations = deployment.metadata.annotations.iter().flatten();
    annotations
        .filter(|(key, _)| !OWN_ANNOTATIONS.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// A name for the template's ReplicaSet that nobody else has.
fn free_name(
    observed: &Observed<'_>,
    sets: &Sets<'_>,
) -> Result<(String, String, Option<i32>), DeploymentError> {
    let deployment = observed.deployment;
    let own_name = deployment.metadata.name.clone().unwrap_or_default();
    let template = deployment.spec.as_ref().map(|spec| spec.template.clone()).unwrap_or_default();
    let known = deployment.status.as_ref().and_then(|status| status.collision_count).unwrap_or(0);
    let mut count = known;
    loop {
        let hash = template_hash(&template, count)
            .map_err(|source| DeploymentError::Template { name: own_name.clone(), source })?;
        let name = format!("{own_name}-{hash}");
        let taken = observed.taken_names.contains(&name.as_str())
            || sets.old.iter().any(|set| set.name() == name);
        if !taken {
            return Ok((name, hash, (count != known).then_some(count)));
        }
        count = count.saturating_add(1);
    }
}

fn new_set(
    deployment: &Deployment,
    name: &str,
    hash: &str,
    size: i32,
    annotations: BTreeMap<String, String>,
) -> ReplicaSet {
    let spec = deployment.spec.clone().unwrap_or_default();
    let mut template = spec.template;
    let labels = template.metadata.get_or_insert_default().labels.get_or_insert_default();
    labels.insert(HASH_LABEL.to_owned(), hash.to_owned());
    let labels = labels.clone();
    let mut match_labels = spec.selector.match_labels.unwrap_or_default();
    match_labels.insert(HASH_LABEL.to_owned(), hash.to_owned());
    ReplicaSet {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: deployment.metadata.namespace.clone(),
            labels: Some(labels),
            annotations: Some(annotations),
            owner_references: Some(vec![owner_reference(deployment)]),
            ..ObjectMeta::default()
        },
        spec: Some(ReplicaSetSpec {
            replicas: Some(size),
            min_ready_seconds: spec.min_ready_seconds,
            selector: LabelSelector {
                match_labels: Some(match_labels),
                match_expressions: spec.selector.match_expressions,
            },
            template: Some(template),
        }),
        status: None,
    }
}

/// Deletes the oldest ReplicaSets beyond the history limit, once they are empty.
pub(super) fn clean_up(deployment: &Deployment, sets: &Sets<'_>, plan: &mut Plan) {
    let spec = deployment.spec.as_ref();
    let limit = spec.and_then(|spec| spec.revision_history_limit).unwrap_or(HISTORY_DEFAULT);
    let kept = usize::try_from(limit).unwrap_or(0);
    let mut old: Vec<&Set<'_>> =
        sets.old.iter().filter(|set| set.stored.metadata.deletion_timestamp.is_none()).collect();
    let surplus = old.len().saturating_sub(kept);
    old.sort_by_key(|set| revision_of(set));
    for set in old.into_iter().take(surplus) {
        let settled = set.stored.status.as_ref().and_then(|status| status.observed_generation)
            >= set.stored.metadata.generation;
        if set.size == 0 && set.actual() == 0 && settled {
            let uid = uid_of(&set.stored.metadata).to_owned();
            plan.delete.push((set.name().to_owned(), uid));
        }
    }
}
