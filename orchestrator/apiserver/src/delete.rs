//! Deleting objects: at once, gracefully, or after their finalizers.

use serde_json::{Value, json};
use swell_api_types::ResourceType;
use swell_api_types::schema::{Schema, normalize};
use swell_model::{DurationMs, TimestampMs};
use swell_store::{Expected, ListOptions, Op, StoreError, Txn};

use crate::admit;
use crate::failure::Failure;
use crate::object::{
    decode, encode, is_terminating, key, meta_text, metadata_mut, prefix, revision_of, storage,
};
use crate::query::Query;
use crate::read::stored;
use crate::route::Target;
use crate::shared::{Shared, timestamp};
use crate::update::is_finished;

/// Namespaces that are part of the server.
pub(crate) const SYSTEM_NAMESPACES: &[&str] = &["default", "kube-system", "kube-node-lease"];
/// Kept by an object until everything it owns is gone.
pub(crate) const FOREGROUND_FINALIZER: &str = "foregroundDeletion";
/// Kept by an object until everything it owns has lost its reference to it.
pub(crate) const ORPHAN_FINALIZER: &str = "orphan";
/// A deletion is tried again when somebody else wrote in between, so many times.
const ATTEMPTS: usize = 5;

/// The longest time to stop: what is meant by more is forever, and later times cannot be written.
const GRACE_S_MAX: i64 = i32::MAX as i64;

/// How to delete.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeleteOptions {
    grace_period_s: Option<i64>,
    uid: Option<String>,
    resource_version: Option<String>,
    propagation: Option<Propagation>,
    dry_run: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Propagation {
    Background,
    Foreground,
    Orphan,
}

impl DeleteOptions {
    /// Reads the options of the body (none if empty) and of the query, which the body overrules.
    pub(crate) fn read(body: Option<&Value>, query: &Query) -> Result<Self, Failure> {
        let body = match body {
            None | Some(Value::Null) => Value::Null,
            Some(given) => normalize_options(given)?,
        };
        let text =
            |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let from_query = query
            .number("gracePeriodSeconds")?
            .map(|seconds| i64::try_from(seconds).unwrap_or(i64::MAX));
        let policy = text(&body["propagationPolicy"])
            .or_else(|| query.get("propagationPolicy").map(str::to_owned));
        let propagation = match policy.as_deref() {
            None if body["orphanDependents"] == true => Some(Propagation::Orphan),
            None => None,
            Some("Background") => Some(Propagation::Background),
            Some("Foreground") => Some(Propagation::Foreground),
            Some("Orphan") => Some(Propagation::Orphan),
            Some(other) => {
                return Err(Failure::bad_request(format!(
                    "propagationPolicy: Unsupported value: {other:?}: supported values: \"Background\", \"Foreground\", \"Orphan\""
                )));
            }
        };
        let grace_period_s = body["gracePeriodSeconds"].as_i64().or(from_query);
        if grace_period_s.is_some_and(|seconds| seconds < 0) {
            return Err(Failure::bad_request(
                "gracePeriodSeconds: must be greater than or equal to 0",
            ));
        }
        let dry_run_body = body["dryRun"].as_array().is_some_and(|list| !list.is_empty());
        Ok(Self {
            grace_period_s,
            uid: text(&body["preconditions"]["uid"]),
            resource_version: text(&body["preconditions"]["resourceVersion"]),
            propagation,
            dry_run: dry_run_body || query.write_options()?.dry_run,
        })
    }

    /// What the upkeep uses: in the background, only the object of this uid.
    pub(crate) fn background(uid: &str) -> Self {
        Self {
            uid: Some(uid.to_owned()),
            propagation: Some(Propagation::Background),
            ..Self::default()
        }
    }

    /// After what it owns.
    pub(crate) const fn foreground(mut self) -> Self {
        self.propagation = Some(Propagation::Foreground);
        self
    }
}

/// Options of a wrong type are refused: a precondition that is not understood must not be passed over.
fn normalize_options(given: &Value) -> Result<Value, Failure> {
    let message = Schema::get().message("meta.v1.DeleteOptions");
    let message = message.ok_or_else(Failure::no_such_path)?;
    let normalized = normalize(message, given.clone()).map_err(|error| {
        Failure::bad_request(format!("the body cannot be handled as DeleteOptions: {error}"))
    })?;
    Ok(normalized.object)
}

/// What became of a deletion.
#[derive(Debug)]
pub(crate) enum Deleted {
    /// The object is gone; its last state.
    Gone(Value),
    /// The object waits for a node agent, a finalizer or its content.
    Pending(Value),
}

/// Deletes one object.
pub(crate) async fn delete(
    shared: &Shared,
    target: &Target,
    name: &str,
    options: &DeleteOptions,
) -> Result<Deleted, Failure> {
    if target.resource.kind == "Namespace" && SYSTEM_NAMESPACES.contains(&name) {
        return Err(Failure::forbidden(format!(
            "namespaces {name:?} is forbidden: this namespace may not be deleted"
        )));
    }
    let mut attempts_left = ATTEMPTS;
    loop {
        attempts_left -= 1;
        let object = stored(shared, target, name).await?;
        check_preconditions(target.resource, &object, options)?;
        let now = shared.clock.now();
        let outcome = match mark(target.resource, &object, options, now) {
            None => remove(shared, target, name, object, options).await.map(Deleted::Gone),
            Some(marked) if marked == object || options.dry_run => Ok(Deleted::Pending(marked)),
            Some(marked) => store_marked(shared, target, name, marked).await,
        };
        match outcome {
            Err(failure) if failure.reason == "Conflict" && attempts_left > 0 => {}
            outcome => return outcome,
        }
    }
}

fn check_preconditions(
    resource: &ResourceType,
    object: &Value,
    options: &DeleteOptions,
) -> Result<(), Failure> {
    let name = meta_text(object, "name");
    for (what, asked, found) in [
        ("UID", &options.uid, meta_text(object, "uid")),
        ("ResourceVersion", &options.resource_version, meta_text(object, "resourceVersion")),
    ] {
        if let Some(asked) = asked
            && asked != found
        {
            let why = format!(
                "Precondition failed: {what} in precondition: {asked}, {what} in object meta: {found}"
            );
            return Err(Failure::conflict(resource, name, &why));
        }
    }
    Ok(())
}

/// The object marked as being deleted; none when nothing keeps it.
fn mark(
    resource: &ResourceType,
    object: &Value,
    options: &DeleteOptions,
    now: TimestampMs,
) -> Option<Value> {
    let mut marked = object.clone();
    let grace_s = grace_period(resource, object, options);
    let metadata = metadata_mut(&mut marked);
    let finalizer = match options.propagation {
        Some(Propagation::Foreground) => Some(FOREGROUND_FINALIZER),
        Some(Propagation::Orphan) => Some(ORPHAN_FINALIZER),
        Some(Propagation::Background) | None => None,
    };
    if let Some(finalizer) = finalizer {
        let list = metadata.entry("finalizers").or_insert_with(|| json!([]));
        if let Value::Array(list) = list
            && !list.iter().any(|known| known == finalizer)
        {
            list.push(json!(finalizer));
        }
    }
    let known_s = object["metadata"]["deletionGracePeriodSeconds"].as_i64();
    let shortens = known_s.is_none_or(|known| grace_s < known);
    if !is_terminating(object) || shortens {
        let at = timestamp(now + DurationMs::from_secs(grace_s));
        metadata.insert("deletionTimestamp".to_owned(), json!(at.to_string()));
        metadata.insert("deletionGracePeriodSeconds".to_owned(), json!(grace_s));
    }
    if resource.kind == "Namespace" {
        marked["status"]["phase"] = json!("Terminating");
    }
    admit::count_generation(resource, object, &mut marked);
    (!is_finished(resource, &marked)).then_some(marked)
}

/// Seconds that the object has to stop. Only a pod on a node has any, and only while it runs.
fn grace_period(resource: &ResourceType, object: &Value, options: &DeleteOptions) -> i64 {
    let on_node = object["spec"]["nodeName"].as_str().is_some_and(|node| !node.is_empty());
    let phase = object["status"]["phase"].as_str().unwrap_or_default();
    if resource.kind != "Pod" || !on_node || matches!(phase, "Succeeded" | "Failed") {
        return 0;
    }
    let own = object["spec"]["terminationGracePeriodSeconds"].as_i64();
    options.grace_period_s.or(own).unwrap_or(30).min(GRACE_S_MAX)
}

async fn remove(
    shared: &Shared,
    target: &Target,
    name: &str,
    object: Value,
    options: &DeleteOptions,
) -> Result<Value, Failure> {
    if options.dry_run {
        return Ok(object);
    }
    commit(shared, target, name, &object, Op::Delete, "delete").await.map(|_| object)
}

async fn store_marked(
    shared: &Shared,
    target: &Target,
    name: &str,
    mut marked: Value,
) -> Result<Deleted, Failure> {
    let op = Op::Put(encode(&marked));
    let revision = commit(shared, target, name, &marked, op, "update").await?;
    metadata_mut(&mut marked).insert("resourceVersion".to_owned(), json!(revision));
    Ok(Deleted::Pending(marked))
}

async fn commit(
    shared: &Shared,
    target: &Target,
    name: &str,
    read: &Value,
    op: Op,
    verb: &str,
) -> Result<String, Failure> {
    let resource = storage(target.resource);
    let key = key(resource, target.namespace.as_deref(), name);
    let expected = revision_of(read).map_or(Expected::Any, Expected::At);
    match shared.store.commit(Txn { key, expected, op }).await {
        Ok(revision) => {
            shared.metrics.writes.with_label_values(&[resource.plural, verb]).inc();
            Ok(revision.to_string())
        }
        Err(StoreError::Conflict { at: None, .. }) => Err(Failure::not_found(resource, name)),
        Err(StoreError::Conflict { .. }) => Err(Failure::modified(resource, name)),
        Err(error) => Err(error.into()),
    }
}

/// Deletes every object of a collection that the query selects; returns them as they were.
pub(crate) async fn delete_collection(
    shared: &Shared,
    target: &Target,
    query: &Query,
    options: &DeleteOptions,
) -> Result<Vec<Value>, Failure> {
    let selection = query.selection(target.resource)?;
    let key_prefix = prefix(target.resource, target.namespace.as_deref());
    let page = shared.store.list(&key_prefix, ListOptions::default()).await?;
    let mut deleted = Vec::new();
    for entry in &page.entries {
        let object = decode(entry)?;
        if !selection.matches(&object) {
            continue;
        }
        let namespace = Some(meta_text(&object, "namespace")).filter(|text| !text.is_empty());
        let one = Target { namespace: namespace.map(str::to_owned), ..target.clone() };
        match delete(shared, &one, meta_text(&object, "name"), options).await {
            Ok(Deleted::Gone(object) | Deleted::Pending(object)) => deleted.push(object),
            Err(failure) if failure.reason == "NotFound" => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(deleted)
}
