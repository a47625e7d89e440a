//! Objects between store and client: keys, bytes, versions.
//!
//! Stored under `/registry/GROUP/PLURAL/[NAMESPACE/]NAME` (`core` for the core group) as JSON of the storage
//! version, without `resourceVersion`, which is the store's revision.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use swell_api_types::{
    Path, ResourceType, by_plural, endpoint_slices, hpa_v1_from_v2, hpa_v2_from_v1,
};
use swell_store::{Entry, Revision};

use crate::failure::Failure;

/// Objects and lists may be nested so deep. Lower than what can be read back from JSON.
pub(crate) const NESTING_MAX: usize = 100;

/// Everything that is stored lies below.
pub(crate) const ROOT: &str = "/registry/";

/// The resource that is stored: others are views of it.
pub(crate) fn storage(resource: &'static ResourceType) -> &'static ResourceType {
    let stored = match (resource.group, resource.version, resource.plural) {
        ("autoscaling", "v1", plural @ "horizontalpodautoscalers") => {
            by_plural("autoscaling", "v2", plural)
        }
        ("discovery.k8s.io", "v1", "endpointslices") => by_plural("", "v1", "endpoints"),
        _ => None,
    };
    stored.unwrap_or(resource)
}

/// Whether objects of the resource are made of stored ones of another kind.
pub(crate) fn is_derived(resource: &ResourceType) -> bool {
    resource.kind == "EndpointSlice"
}

/// What a stored object is to readers of the resource: itself, or the objects made of it.
pub(crate) fn derive(resource: &ResourceType, object: Value) -> Vec<Value> {
    if is_derived(resource) { endpoint_slices(&object) } else { vec![object] }
}

fn group_segment(resource: &ResourceType) -> &'static str {
    if resource.group.is_empty() { "core" } else { resource.group }
}

/// Prefix of the keys of a collection.
pub(crate) fn prefix(resource: &'static ResourceType, namespace: Option<&str>) -> String {
    let resource = storage(resource);
    let collection = format!("{ROOT}{}/{}/", group_segment(resource), resource.plural);
    match namespace {
        Some(namespace) if resource.namespaced => format!("{collection}{namespace}/"),
        _ => collection,
    }
}

/// Key of an object.
pub(crate) fn key(
    resource: &'static ResourceType,
    namespace: Option<&str>,
    name: &str,
) -> Arc<str> {
    Arc::from(format!("{}{name}", prefix(resource, namespace)))
}

/// Resource, namespace and name of a key.
pub(crate) fn parse_key(key: &str) -> Option<(&'static ResourceType, Option<&str>, &str)> {
    let mut segments = key.strip_prefix(ROOT)?.split('/');
    let (group, plural) = (segments.next()?, segments.next()?);
    let group = if group == "core" { "" } else { group };
    let resource = swell_api_types::RESOURCES
        .iter()
        .find(|resource| (resource.group, resource.plural) == (group, plural))?;
    let (first, second) = (segments.next()?, segments.next());
    match (resource.namespaced, second) {
        (true, Some(name)) => Some((resource, Some(first), name)),
        (false, None) => Some((resource, None, first)),
        _ => None,
    }
}

/// The object of an entry, with its resource version.
pub(crate) fn decode(entry: &Entry) -> Result<Value, Failure> {
    decode_bytes(&entry.key, &entry.value, entry.mod_revision)
}

/// The object of a value written by `revision`, with its resource version.
pub(crate) fn decode_bytes(key: &str, value: &[u8], revision: Revision) -> Result<Value, Failure> {
    let mut object: Value = serde_json::from_slice(value)
        .map_err(|error| Failure::internal(&format!("the value of {key} is damaged"), &error))?;
    object["metadata"]["resourceVersion"] = json!(revision.to_string());
    Ok(object)
}

/// The bytes to store.
pub(crate) fn encode(object: &Value) -> Bytes {
    let mut object = object.clone();
    metadata_mut(&mut object).remove("resourceVersion");
    Bytes::from(object.to_string())
}

/// The metadata of an object; made if missing.
pub(crate) fn metadata_mut(object: &mut Value) -> &mut Map<String, Value> {
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    object["metadata"].as_object_mut().expect("made an object above")
}

/// A text of the metadata; empty if missing.
pub(crate) fn meta_text<'o>(object: &'o Value, field: &str) -> &'o str {
    object["metadata"][field].as_str().unwrap_or_default()
}

/// The revision that an object was read at; none if it names none.
pub(crate) fn revision_of(object: &Value) -> Option<Revision> {
    meta_text(object, "resourceVersion").parse().ok().filter(|number| *number > 0).map(Revision)
}

/// The revision that a client's object demands; none if it names none.
pub(crate) fn demanded_revision(
    resource: &ResourceType,
    object: &Value,
) -> Result<Option<Revision>, Failure> {
    let text = meta_text(object, "resourceVersion");
    if !text.is_empty() && text.parse::<u64>().is_err() {
        let path = Path::new("metadata").field("resourceVersion");
        let fault = path.invalid(text, "must be one that the server has given out");
        return Err(Failure::invalid(resource, meta_text(object, "name"), &[fault]));
    }
    Ok(revision_of(object))
}

/// Whether objects and lists are nested deeper in `value` than `levels`. Looks no deeper than that itself.
pub(crate) fn is_deeper_than(value: &Value, levels: usize) -> bool {
    let below = |inner: &Value| levels == 0 || is_deeper_than(inner, levels - 1);
    match value {
        Value::Object(fields) => fields.values().any(below),
        Value::Array(items) => items.iter().any(below),
        _ => false,
    }
}

/// Whether the object is being deleted.
pub(crate) fn is_terminating(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

/// Rewrites an object of the storage version in the version asked for.
pub(crate) fn to_version(resource: &'static ResourceType, object: Value) -> Value {
    let is_stored = std::ptr::eq(storage(resource), resource);
    if is_stored || is_derived(resource) { object } else { hpa_v1_from_v2(object) }
}

/// Rewrites an object of the version given in the storage version.
pub(crate) fn to_storage(resource: &'static ResourceType, object: Value) -> Result<Value, Failure> {
    if std::ptr::eq(storage(resource), resource) {
        return Ok(object);
    }
    let name = meta_text(&object, "name").to_owned();
    hpa_v2_from_v1(object).map_err(|error| Failure::prepare(resource, &name, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_back() {
        for (group, version, plural, namespace) in [
            ("", "v1", "pods", Some("default")),
            ("", "v1", "nodes", None),
            ("apps", "v1", "deployments", Some("shop")),
        ] {
            let resource = by_plural(group, version, plural).expect("known");
            let key = key(resource, namespace, "x");
            let (found, found_namespace, name) = parse_key(&key).expect("a key");
            assert!(std::ptr::eq(found, resource));
            assert_eq!((found_namespace, name), (namespace, "x"));
        }
        assert_eq!(parse_key("/registry/core/pods/x").map(|found| found.2), None);
    }
}
