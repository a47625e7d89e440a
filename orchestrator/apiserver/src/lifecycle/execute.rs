//! Carrying out what was planned.

use serde_json::{Value, json};
use swell_api_types::{RESOURCES, by_plural};
use swell_model::DurationMs;
use swell_store::{ListOptions, StoreError};

use super::plan::{Step, Uid};
use crate::delete::{DeleteOptions, delete};
use crate::failure::Failure;
use crate::object::{decode, is_terminating, meta_text, metadata_mut, parse_key, prefix, storage};
use crate::route::Target;
use crate::shared::Shared;
use crate::update::store_successor;

/// A change is made again when somebody else wrote in between, so many times.
const ATTEMPTS: usize = 5;

/// Does one step of garbage collection. What is gone meanwhile, or is another object of the same name, is done.
pub(super) async fn step(shared: &Shared, step: &Step) -> Result<(), Failure> {
    let outcome = match step {
        Step::Delete { key, uid, foreground } => {
            let Some((target, name)) = target_of(key) else { return Ok(()) };
            let mut options = DeleteOptions::background(uid);
            if *foreground {
                options = options.foreground();
            }
            let outcome = delete(shared, &target, &name, &options).await.map(drop);
            if outcome.is_ok() {
                shared.metrics.collected.with_label_values(&[target.resource.plural]).inc();
            }
            outcome
        }
        Step::Disown { key, uid, owners } => {
            modify(shared, key, uid, |object| {
                let list = object["metadata"]["ownerReferences"].as_array_mut();
                list.is_some_and(|list| {
                    let before = list.len();
                    list.retain(|owner| {
                        !owners.iter().any(|gone| owner["uid"].as_str() == Some(&**gone))
                    });
                    list.len() != before
                })
            })
            .await
        }
        Step::Finalize { key, uid, finalizer } => {
            modify(shared, key, uid, |object| {
                let list = object["metadata"]["finalizers"].as_array_mut();
                list.is_some_and(|list| {
                    let before = list.len();
                    list.retain(|known| known != finalizer);
                    list.len() != before
                })
            })
            .await
        }
    };
    match outcome {
        Err(failure) if matches!(failure.reason, "NotFound" | "Conflict") => Ok(()),
        outcome => outcome,
    }
}

fn target_of(key: &str) -> Option<(Target, String)> {
    let (resource, namespace, name) = parse_key(key)?;
    let namespace = namespace.map(str::to_owned);
    Some((Target { resource, namespace, name: None, subresource: None }, name.to_owned()))
}

/// Changes the object of this key and uid; `change` tells whether it changed anything.
async fn modify(
    shared: &Shared,
    key: &str,
    uid: &Uid,
    change: impl Fn(&mut Value) -> bool,
) -> Result<(), Failure> {
    let Some((target, name)) = target_of(key) else { return Ok(()) };
    let mut attempts_left = ATTEMPTS;
    loop {
        attempts_left -= 1;
        let Some(entry) = shared.store.get(key).await? else { return Ok(()) };
        let mut object = decode(&entry)?;
        if meta_text(&object, "uid") != &**uid || !change(&mut object) {
            return Ok(());
        }
        match store_successor(shared, &target, &name, object).await {
            Err(failure) if failure.reason == "Conflict" && attempts_left > 0 => {}
            outcome => return outcome.map(drop),
        }
    }
}

/// Deletes everything in a namespace that is being deleted; the namespace itself once it is empty.
pub(super) async fn empty_namespace(shared: &Shared, namespace: &str) -> Result<(), Failure> {
    let mut left = 0;
    for resource in RESOURCES {
        if !resource.namespaced || !std::ptr::eq(storage(resource), resource) {
            continue;
        }
        let page =
            shared.store.list(&prefix(resource, Some(namespace)), ListOptions::default()).await?;
        left += page.entries.len();
        let target = Target {
            resource,
            namespace: Some(namespace.to_owned()),
            name: None,
            subresource: None,
        };
        for entry in &page.entries {
            let object = decode(entry)?;
            if is_terminating(&object) {
                continue;
            }
            let options = DeleteOptions::background(meta_text(&object, "uid"));
            match delete(shared, &target, meta_text(&object, "name"), &options).await {
                Ok(_) => shared.metrics.collected.with_label_values(&[resource.plural]).inc(),
                Err(failure) if failure.reason == "NotFound" => {}
                Err(failure) => return Err(failure),
            }
        }
    }
    if left > 0 {
        return Ok(());
    }
    let resource = by_plural("", "v1", "namespaces").ok_or_else(Failure::no_such_path)?;
    let key = crate::object::key(resource, None, namespace);
    let Some(entry) = shared.store.get(&key).await? else { return Ok(()) };
    let uid = Uid::from(meta_text(&decode(&entry)?, "uid"));
    modify(shared, &key, &uid, |object| {
        let was_set = object["spec"]["finalizers"].as_array().is_some_and(|list| !list.is_empty());
        object["spec"]["finalizers"] = json!([]);
        was_set && is_terminating(object)
    })
    .await
}

/// Removes events that happened last before their lifetime.
pub(super) async fn expire_events(shared: &Shared, lifetime: DurationMs) -> Result<(), Failure> {
    let resource = by_plural("", "v1", "events").ok_or_else(Failure::no_such_path)?;
    let oldest = shared.clock.now() - lifetime;
    let page = shared.store.list(&prefix(resource, None), ListOptions::default()).await?;
    for entry in &page.entries {
        let mut event = decode(entry)?;
        let fields = [
            event["lastTimestamp"].take(),
            event["eventTime"].take(),
            metadata_mut(&mut event).remove("creationTimestamp").unwrap_or_default(),
        ];
        let last = fields
            .iter()
            .filter_map(|time| time.as_str()?.parse::<jiff::Timestamp>().ok())
            .map(jiff::Timestamp::as_millisecond)
            .max();
        if last.is_none_or(|last| last < oldest.0) {
            let txn = swell_store::Txn {
                key: entry.key.clone(),
                expected: swell_store::Expected::At(entry.mod_revision),
                op: swell_store::Op::Delete,
            };
            match shared.store.commit(txn).await {
                Ok(_) => shared.metrics.collected.with_label_values(&[resource.plural]).inc(),
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}
