//! Changing objects: replace and patch, of the whole or of its status.

use serde_json::{Value, json};
use swell_api_types::ResourceType;
use swell_store::{Expected, Op, StoreError, Txn};

use crate::admit::{self, Shaped};
use crate::create::{Written, create};
use crate::failure::Failure;
use crate::object::{
    demanded_revision, encode, is_terminating, key, meta_text, metadata_mut, revision_of, storage,
    to_version,
};
use crate::patch::{self, Patch};
use crate::query::WriteOptions;
use crate::read::stored;
use crate::route::Target;
use crate::shared::Shared;

/// A patch is applied again when somebody else wrote in between, so many times.
const PATCH_ATTEMPTS: usize = 5;

/// Replaces an object by a client's one.
pub(crate) async fn replace(
    shared: &Shared,
    target: &Target,
    name: &str,
    body: Value,
    options: &WriteOptions,
) -> Result<Written, Failure> {
    let Shaped { mut object, warnings } = admit::shape(target.resource, body, options.validation)?;
    admit::check_place(target, &mut object)?;
    let old = stored(shared, target, name).await?;
    let object = write(shared, target, &old, object, options).await?;
    Ok(Written { object, warnings })
}

/// Changes an object by a patch. Server-side apply creates what is missing.
pub(crate) async fn patch(
    shared: &Shared,
    target: &Target,
    name: &str,
    patch: &Patch,
    options: &WriteOptions,
) -> Result<(Written, bool), Failure> {
    let mut attempts_left = PATCH_ATTEMPTS;
    loop {
        attempts_left -= 1;
        let old = match stored(shared, target, name).await {
            Ok(old) => old,
            Err(failure) if failure.reason == "NotFound" && patch.creates() => {
                let body = patch::create_by_apply(
                    target.resource,
                    name,
                    patch,
                    options,
                    &shared.now_text(),
                )?;
                match create(shared, target, body, options).await {
                    Err(failure) if failure.reason == "AlreadyExists" && attempts_left > 0 => {
                        continue;
                    }
                    outcome => return outcome.map(|written| (written, true)),
                }
            }
            Err(failure) => return Err(failure),
        };
        let shown = to_version(target.resource, old.clone());
        let changed = patch::apply(target.resource, shown, patch, options, &shared.now_text())?;
        let names_revision =
            meta_text(&changed, "resourceVersion") != meta_text(&old, "resourceVersion");
        let Shaped { mut object, warnings } =
            admit::shape(target.resource, changed, options.validation)?;
        admit::check_place(target, &mut object)?;
        match write(shared, target, &old, object, options).await {
            Err(failure)
                if failure.reason == "Conflict" && !names_revision && attempts_left > 0 => {}
            outcome => return outcome.map(|object| (Written { object, warnings }, false)),
        }
    }
}

/// Stores `new` as the successor of `old`, both of the storage version.
async fn write(
    shared: &Shared,
    target: &Target,
    old: &Value,
    mut new: Value,
    options: &WriteOptions,
) -> Result<Value, Failure> {
    let resource = target.resource;
    let name = meta_text(old, "name");
    check_preconditions(resource, old, &new)?;
    admit::carry_over(resource, target.subresource, old, &mut new);
    let mut assigned_here = false;
    if resource.kind == "Service" {
        assigned_here = keep_address(shared, target, old, &mut new)?;
    }
    let outcome = async {
        let mut new = admit::complete(resource, new.clone(), Some(old))?;
        admit::count_generation(resource, old, &mut new);
        metadata_mut(&mut new)
            .insert("resourceVersion".to_owned(), old["metadata"]["resourceVersion"].clone());
        if new == *old || options.dry_run {
            return Ok(new);
        }
        store_successor(shared, target, name, new).await
    }
    .await;
    if assigned_here && (options.dry_run || outcome.is_err()) {
        shared.addresses.release(&new);
    }
    outcome
}

/// A change made for another revision or another object of the same name is refused.
fn check_preconditions(resource: &ResourceType, old: &Value, new: &Value) -> Result<(), Failure> {
    let name = meta_text(old, "name");
    if let Some(asked) = demanded_revision(resource, new)?
        && Some(asked) != revision_of(old)
    {
        return Err(Failure::modified(resource, name));
    }
    let (asked, uid) = (meta_text(new, "uid"), meta_text(old, "uid"));
    if !asked.is_empty() && asked != uid {
        return Err(Failure::conflict(
            resource,
            name,
            &format!(
                "Precondition failed: UID in precondition: {asked}, UID in object meta: {uid}"
            ),
        ));
    }
    Ok(())
}

/// A service keeps its address when the change does not name one, and gets one when it had none; whether a
/// new one was assigned.
fn keep_address(
    shared: &Shared,
    target: &Target,
    old: &Value,
    new: &mut Value,
) -> Result<bool, Failure> {
    let is_unset =
        |service: &Value| service["spec"]["clusterIP"].as_str().is_none_or(str::is_empty);
    if new["spec"]["type"] == "ExternalName" {
        return Ok(false);
    }
    if is_unset(old) {
        return shared.addresses.assign(target, new);
    }
    if !is_unset(new) {
        return Ok(false);
    }
    for field in ["clusterIP", "clusterIPs"] {
        new["spec"][field] = old["spec"][field].clone();
    }
    Ok(false)
}

/// Writes an object over the revision it carries. The last finalizer gone from an object that is being
/// deleted removes it instead.
pub(crate) async fn store_successor(
    shared: &Shared,
    target: &Target,
    name: &str,
    mut object: Value,
) -> Result<Value, Failure> {
    let resource = storage(target.resource);
    let key = key(resource, target.namespace.as_deref(), name);
    let expected = revision_of(&object).map_or(Expected::Any, Expected::At);
    let (op, verb) = if is_finished(resource, &object) {
        (Op::Delete, "delete")
    } else {
        (Op::Put(encode(&object)), "update")
    };
    match shared.store.commit(Txn { key, expected, op }).await {
        Ok(revision) => {
            metadata_mut(&mut object)
                .insert("resourceVersion".to_owned(), json!(revision.to_string()));
            shared.metrics.writes.with_label_values(&[resource.plural, verb]).inc();
            Ok(object)
        }
        Err(StoreError::Conflict { at: None, .. }) => Err(Failure::not_found(resource, name)),
        Err(StoreError::Conflict { .. }) => Err(Failure::modified(resource, name)),
        Err(error) => Err(error.into()),
    }
}

/// Whether nothing keeps a deleted object any longer.
pub(crate) fn is_finished(resource: &ResourceType, object: &Value) -> bool {
    let is_empty = |list: &Value| list.as_array().is_none_or(Vec::is_empty);
    let waits = match resource.kind {
        "Pod" => object["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) > 0,
        "Namespace" => !is_empty(&object["spec"]["finalizers"]),
        _ => false,
    };
    is_terminating(object) && !waits && is_empty(&object["metadata"]["finalizers"])
}
