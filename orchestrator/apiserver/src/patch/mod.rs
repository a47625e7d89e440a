//! The four forms of patches.

mod apply;
mod fields;
mod json;
mod strategic;

use http::HeaderMap;
use serde_json::{Value, json};
use swell_api_types::ResourceType;
use swell_api_types::schema::{Message, Schema};

use crate::body;
use crate::failure::Failure;
use crate::object::metadata_mut;
use crate::query::WriteOptions;

pub(crate) use json::apply as apply_json;

const MERGE: &str = "application/merge-patch+json";
const JSON: &str = "application/json-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";
const ACCEPTED: &str = "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml";

/// A patch as the client sent it.
#[derive(Debug)]
pub(crate) enum Patch {
    /// RFC 7386.
    Merge(Value),
    /// RFC 6902.
    Json(json_patch::Patch),
    /// Kubernetes' merge patch, which knows the keys of lists.
    Strategic(Value),
    /// Server-side apply: the fields that a manager wants, and no others.
    Apply(Value),
}

impl Patch {
    /// Reads a patch by its media type.
    pub(crate) fn read(headers: &HeaderMap, bytes: &[u8]) -> Result<Self, Failure> {
        let object = |bytes| {
            let value = body::json(bytes)?;
            if value.is_object() {
                Ok(value)
            } else {
                Err(Failure::bad_request("the patch must be an object"))
            }
        };
        match body::media_type(headers) {
            MERGE => object(bytes).map(Self::Merge),
            STRATEGIC => object(bytes).map(Self::Strategic),
            JSON => serde_json::from_slice(bytes).map(Self::Json).map_err(|error| {
                Failure::bad_request(format!("the body is not a JSON patch: {error}"))
            }),
            APPLY => {
                let text = std::str::from_utf8(bytes)
                    .map_err(|_| Failure::bad_request("the body is not UTF-8"))?;
                let value: Value = serde_saphyr::from_str(text).map_err(|error| {
                    Failure::bad_request(format!("error decoding YAML: {error}"))
                })?;
                if !value.is_object() {
                    return Err(Failure::bad_request("the patch must be an object"));
                }
                Ok(Self::Apply(value))
            }
            other => Err(Failure::unsupported_media_type(other, ACCEPTED)),
        }
    }

    /// Whether it creates an object that is missing.
    pub(crate) const fn creates(&self) -> bool {
        matches!(self, Self::Apply(_))
    }
}

fn message(resource: &ResourceType) -> Result<&'static Message, Failure> {
    Schema::get().message(resource.message).ok_or_else(Failure::no_such_path)
}

/// The object as the patch makes it. `object` is of the version of `resource`; `now` as objects carry it.
pub(crate) fn apply(
    resource: &'static ResourceType,
    mut object: Value,
    patch: &Patch,
    options: &WriteOptions,
    now: &str,
) -> Result<Value, Failure> {
    match patch {
        Patch::Merge(patch) => {
            json_patch::merge(&mut object, patch);
            Ok(object)
        }
        Patch::Json(patch) => {
            apply_json(&mut object, patch)?;
            Ok(object)
        }
        Patch::Strategic(patch) => strategic::merge(message(resource)?, object, patch)
            .map_err(|error| Failure::bad_request(error.to_string())),
        Patch::Apply(wanted) => {
            let manager = options.manager.as_deref().ok_or_else(manager_missing)?;
            apply::apply(resource, message(resource)?, object, wanted, manager, options.force, now)
        }
    }
}

/// The object that server-side apply creates.
pub(crate) fn create_by_apply(
    resource: &'static ResourceType,
    name: &str,
    patch: &Patch,
    options: &WriteOptions,
    now: &str,
) -> Result<Value, Failure> {
    let empty = json!({
        "apiVersion": resource.api_version(), "kind": resource.kind, "metadata": {"name": name},
    });
    let mut object = apply(resource, empty, patch, options, now)?;
    metadata_mut(&mut object).remove("resourceVersion");
    Ok(object)
}

fn manager_missing() -> Failure {
    Failure::bad_request(
        "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch",
    )
}
