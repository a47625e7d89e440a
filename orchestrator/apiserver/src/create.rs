//! Creating objects.

use std::sync::Arc;

use serde_json::{Value, json};
use swell_api_types::by_plural;
use swell_store::{Expected, Op, StoreError, Txn};

use crate::admit::{self, Shaped};
use crate::failure::Failure;
use crate::object::{encode, is_terminating, key, meta_text, metadata_mut};
use crate::query::WriteOptions;
use crate::route::Target;
use crate::shared::Shared;

/// Letters of generated names: no vowels, so that no words arise; no digits that look like letters.
const NAME_LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
const GENERATED_LEN: usize = 5;
/// A generated name that is taken is generated again so many times.
const GENERATE_ATTEMPTS: usize = 8;
/// Longest name that a generated ending is put behind.
const GENERATE_PREFIX_LEN_MAX: usize = 63 - GENERATED_LEN;

/// An object as stored, with warnings for the client.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) object: Value,
    pub(crate) warnings: Vec<String>,
}

/// Creates an object of the version of `target`; returns it in the storage version.
pub(crate) async fn create(
    shared: &Shared,
    target: &Target,
    body: Value,
    options: &WriteOptions,
) -> Result<Written, Failure> {
    let Shaped { mut object, warnings } = admit::shape(target.resource, body, options.validation)?;
    admit::check_place(target, &mut object)?;
    if !meta_text(&object, "resourceVersion").is_empty() {
        return Err(Failure::bad_request(
            "resourceVersion should not be set on objects to be created",
        ));
    }
    admit::strip_for_create(target.resource, &mut object);
    check_namespace(shared, target, &object).await?;
    let prefix = meta_text(&object, "generateName").to_owned();
    let generated = meta_text(&object, "name").is_empty() && !prefix.is_empty();
    let mut attempts_left = if generated { GENERATE_ATTEMPTS } else { 1 };
    loop {
        attempts_left -= 1;
        if generated {
            metadata_mut(&mut object).insert("name".to_owned(), json!(generate_name(&prefix)));
        }
        match insert(shared, target, object.clone(), options).await {
            Err(failure) if failure.reason == "AlreadyExists" && attempts_left > 0 => {}
            outcome => return outcome.map(|object| Written { object, warnings }),
        }
    }
}

fn generate_name(prefix: &str) -> String {
    let mut name: String = prefix.chars().take(GENERATE_PREFIX_LEN_MAX).collect();
    let random = uuid::Uuid::new_v4();
    for byte in &random.as_bytes()[..GENERATED_LEN] {
        name.push(char::from(NAME_LETTERS[usize::from(*byte) % NAME_LETTERS.len()]));
    }
    name
}

/// Nothing is created in a namespace that is missing or on its way out.
async fn check_namespace(shared: &Shared, target: &Target, object: &Value) -> Result<(), Failure> {
    let Some(namespace) = target.namespace.as_deref() else { return Ok(()) };
    let namespaces = by_plural("", "v1", "namespaces").ok_or_else(Failure::no_such_path)?;
    let Some(entry) = shared.store.get(&key(namespaces, None, namespace)).await? else {
        return Err(Failure::not_found(namespaces, namespace));
    };
    if is_terminating(&crate::object::decode(&entry)?) {
        let name = meta_text(object, "name");
        let mut failure = Failure::forbidden(format!(
            "{} {name:?} is forbidden: unable to create new content in namespace {namespace} because it is being terminated",
            target.resource.qualified_plural()
        ));
        failure.details = Some(json!({
            "name": name, "kind": target.resource.plural, "group": target.resource.group,
            "causes": [{"reason": "NamespaceTerminating", "message": format!("namespace {namespace} is being terminated"), "field": "metadata.namespace"}],
        }));
        return Err(failure);
    }
    Ok(())
}

async fn insert(
    shared: &Shared,
    target: &Target,
    mut object: Value,
    options: &WriteOptions,
) -> Result<Value, Failure> {
    let metadata = metadata_mut(&mut object);
    metadata.insert("uid".to_owned(), json!(uuid::Uuid::new_v4().to_string()));
    metadata.insert("creationTimestamp".to_owned(), json!(shared.now_text()));
    if target.resource.has_generation {
        metadata.insert("generation".to_owned(), json!(1));
    }
    let mut object = admit::complete(target.resource, object, None)?;
    let holds_address =
        target.resource.kind == "Service" && shared.addresses.assign(target, &mut object)?;
    let outcome = if options.dry_run {
        is_free(shared, target, &object).await
    } else {
        store_new(shared, target, &mut object).await
    };
    if holds_address && (options.dry_run || outcome.is_err()) {
        shared.addresses.release(&object);
    }
    outcome.map(|()| object)
}

async fn is_free(shared: &Shared, target: &Target, object: &Value) -> Result<(), Failure> {
    let name = meta_text(object, "name");
    let key = key(target.resource, target.namespace.as_deref(), name);
    match shared.store.get(&key).await? {
        None => Ok(()),
        Some(_) => Err(Failure::already_exists(target.resource, name)),
    }
}

async fn store_new(shared: &Shared, target: &Target, object: &mut Value) -> Result<(), Failure> {
    let name = meta_text(object, "name").to_owned();
    let key: Arc<str> = key(target.resource, target.namespace.as_deref(), &name);
    let txn = Txn { key, expected: Expected::Absent, op: Op::Put(encode(object)) };
    match shared.store.commit(txn).await {
        Ok(revision) => {
            metadata_mut(object).insert("resourceVersion".to_owned(), json!(revision.to_string()));
            shared.metrics.writes.with_label_values(&[target.resource.plural, "create"]).inc();
            Ok(())
        }
        Err(StoreError::Conflict { .. }) => Err(Failure::already_exists(target.resource, &name)),
        Err(error) => Err(error.into()),
    }
}
