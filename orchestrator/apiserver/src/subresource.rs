//! `scale`, `binding` and `eviction`.

use serde_json::{Value, json};
use swell_api_types::schema::{Schema, normalize};
use swell_api_types::{Path, Subresource};

use crate::body;
use crate::create::Written;
use crate::delete::{DeleteOptions, Deleted, delete};
use crate::failure::Failure;
use crate::object::{demanded_revision, is_terminating, meta_text, revision_of};
use crate::patch::{self, Patch};
use crate::query::{Query, WriteOptions};
use crate::read::stored;
use crate::route::Target;
use crate::shared::Shared;
use crate::table::selector_text;
use crate::update;

/// The object itself, without the part.
fn whole(target: &Target) -> Target {
    Target { subresource: None, ..target.clone() }
}

/// The `Scale` of an object.
fn scale_of(object: &Value) -> Value {
    let metadata = &object["metadata"];
    let mut scale = json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
            "creationTimestamp": metadata["creationTimestamp"],
        },
        "spec": {}, "status": {"replicas": object["status"]["replicas"].as_i64().unwrap_or(0)},
    });
    if let Some(replicas) = object["spec"]["replicas"].as_i64() {
        scale["spec"]["replicas"] = json!(replicas);
    }
    if let Some(selector) = selector_text(&object["spec"]["selector"]) {
        scale["status"]["selector"] = json!(selector);
    }
    scale
}

/// Answers a GET of `scale`.
pub(crate) async fn get_scale(
    shared: &Shared,
    target: &Target,
    name: &str,
) -> Result<Value, Failure> {
    Ok(scale_of(&stored(shared, target, name).await?))
}

/// How `scale` is to be changed.
pub(crate) enum ScaleChange {
    Replace(Value),
    Patch(Patch),
}

/// A scale of a wrong shape is refused: without its number it would mean none.
fn shaped_scale(scale: Value) -> Result<Value, Failure> {
    let message = Schema::get().message("autoscaling.v1.Scale");
    let message = message.ok_or_else(Failure::no_such_path)?;
    let normalized = normalize(message, scale).map_err(|error| {
        Failure::bad_request(format!("the object cannot be handled as a Scale: {error}"))
    })?;
    Ok(normalized.object)
}

/// Changes how many replicas an object wants.
pub(crate) async fn set_scale(
    shared: &Shared,
    target: &Target,
    name: &str,
    change: &ScaleChange,
    options: &WriteOptions,
) -> Result<Value, Failure> {
    let object = stored(shared, target, name).await?;
    let scale = scale_of(&object);
    let wanted = match change {
        ScaleChange::Replace(wanted) => wanted.clone(),
        ScaleChange::Patch(Patch::Merge(patch) | Patch::Strategic(patch) | Patch::Apply(patch)) => {
            let mut wanted = scale.clone();
            json_patch::merge(&mut wanted, patch);
            wanted
        }
        ScaleChange::Patch(Patch::Json(patch)) => {
            let mut wanted = scale.clone();
            patch::apply_json(&mut wanted, patch)?;
            wanted
        }
    };
    let wanted = shaped_scale(wanted)?;
    let replicas = match &wanted["spec"]["replicas"] {
        Value::Null => 0,
        value => value.as_i64().and_then(|number| i32::try_from(number).ok()).ok_or_else(|| {
            Failure::bad_request(format!("spec.replicas: must be an integer, not {value}"))
        })?,
    };
    if replicas < 0 {
        let path = Path::new("spec").field("replicas");
        let fault = path.invalid(replicas, "must be greater than or equal to 0");
        return Err(Failure::invalid(target.resource, name, &[fault]));
    }
    let mut patch = json!({"spec": {"replicas": replicas}});
    let demanded = demanded_revision(target.resource, &wanted)?;
    if demanded.is_some() && demanded != revision_of(&scale) {
        return Err(Failure::modified(target.resource, name));
    }
    if matches!(change, ScaleChange::Replace(_)) && demanded.is_some() {
        patch["metadata"] = json!({"resourceVersion": wanted["metadata"]["resourceVersion"]});
    }
    let patch = Patch::Merge(patch);
    let (Written { object, .. }, _) =
        update::patch(shared, &whole(target), name, &patch, options).await?;
    Ok(scale_of(&object))
}

/// Binds a pod to a node, once.
pub(crate) async fn bind(
    shared: &Shared,
    target: &Target,
    name: &str,
    binding: &Value,
    options: &WriteOptions,
) -> Result<Value, Failure> {
    let resource = target.resource;
    let node = binding["target"]["name"].as_str().unwrap_or_default();
    let kind = binding["target"]["kind"].as_str().unwrap_or("Node");
    if node.is_empty() || !matches!(kind, "" | "Node") {
        let fault = Path::new("target").field("name").required("must name a Node");
        return Err(Failure::invalid(resource, name, &[fault]));
    }
    let mut pod = stored(shared, target, name).await?;
    let uid = meta_text(binding, "uid");
    if !uid.is_empty() && uid != meta_text(&pod, "uid") {
        return Err(Failure::conflict(
            resource,
            name,
            "the binding is for another pod of this name",
        ));
    }
    if is_terminating(&pod) {
        let why = format!("pod {name} is being deleted, cannot be assigned to a host");
        return Err(Failure::conflict(resource, name, &why));
    }
    let bound = pod["spec"]["nodeName"].as_str().unwrap_or_default();
    if !bound.is_empty() {
        let why = format!("pod {name} is already assigned to node {bound:?}");
        return Err(Failure::conflict(resource, name, &why));
    }
    pod["spec"]["nodeName"] = json!(node);
    set_scheduled(&mut pod, &shared.now_text());
    if !options.dry_run {
        update::store_successor(shared, &whole(target), name, pod).await?;
    }
    Ok(json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201,
    }))
}

fn set_scheduled(pod: &mut Value, now: &str) {
    let condition = json!({"type": "PodScheduled", "status": "True", "lastTransitionTime": now, "lastProbeTime": null});
    let conditions = &mut pod["status"]["conditions"];
    if !conditions.is_array() {
        *conditions = json!([]);
    }
    if let Some(list) = conditions.as_array_mut() {
        list.retain(|known| known["type"] != "PodScheduled");
        list.push(condition);
    }
}

/// Evicts a pod: deletes it with the options given. Nothing limits disruption yet, so it is never refused.
pub(crate) async fn evict(
    shared: &Shared,
    target: &Target,
    name: &str,
    eviction: &Value,
    query: &Query,
) -> Result<Value, Failure> {
    let given = meta_text(eviction, "name");
    if !given.is_empty() && given != name {
        return Err(Failure::bad_request("name in URL does not match name in Eviction object"));
    }
    let options = DeleteOptions::read(Some(&eviction["deleteOptions"]), query)?;
    let (Deleted::Gone(_) | Deleted::Pending(_)) =
        delete(shared, &whole(target), name, &options).await?;
    Ok(json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201,
    }))
}

/// Answers POST to a part.
pub(crate) async fn post(
    shared: &Shared,
    target: &Target,
    name: &str,
    headers: &http::HeaderMap,
    bytes: &[u8],
    query: &Query,
) -> Result<Value, Failure> {
    let object = body::object(headers, bytes)?;
    match target.subresource {
        Some(Subresource::Binding) => {
            bind(shared, target, name, &object, &query.write_options()?).await
        }
        Some(Subresource::Eviction) => evict(shared, target, name, &object, query).await,
        _ => Err(Failure::method_not_allowed()),
    }
}
