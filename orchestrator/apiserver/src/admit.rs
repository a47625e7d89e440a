//! From a client's object to one that may be stored: shape, version, metadata, defaults, rules.

use serde_json::{Value, json};
use swell_api_types::schema::{Schema, normalize};
use swell_api_types::{ResourceType, Subresource};

use crate::failure::Failure;
use crate::object::{
    NESTING_MAX, is_deeper_than, is_terminating, meta_text, metadata_mut, storage, to_storage,
};
use crate::query::FieldValidation;
use crate::route::Target;

/// Parts of the metadata that only the server writes.
const SERVER_WRITTEN: &[&str] =
    &["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"];

/// An object in the shape of its storage version, with warnings for the client.
pub(crate) struct Shaped {
    pub(crate) object: Value,
    pub(crate) warnings: Vec<String>,
}

/// Brings a client's object into the shape of the storage version.
pub(crate) fn shape(
    resource: &'static ResourceType,
    mut object: Value,
    validation: FieldValidation,
) -> Result<Shaped, Failure> {
    if is_deeper_than(&object, NESTING_MAX) {
        return Err(Failure::bad_request(format!(
            "the object is nested deeper than {NESTING_MAX} levels"
        )));
    }
    check_type(resource, &mut object)?;
    let mut warnings = Vec::new();
    let mut object = normalized(resource, object, validation, &mut warnings)?;
    if !std::ptr::eq(storage(resource), resource) {
        object = to_storage(resource, object)?;
        object = normalized(storage(resource), object, validation, &mut warnings)?;
    }
    Ok(Shaped { object, warnings })
}

/// The object must be of the kind that its path holds; a missing type is filled in.
fn check_type(resource: &ResourceType, object: &mut Value) -> Result<(), Failure> {
    let Value::Object(fields) = object else {
        return Err(Failure::bad_request(format!("the body must be a {} object", resource.kind)));
    };
    let (api_version, kind) = (resource.api_version(), resource.kind);
    let given_version = fields.entry("apiVersion").or_insert_with(|| json!(api_version));
    if *given_version != api_version {
        return Err(Failure::bad_request(format!(
            "the API version in the data ({}) does not match the expected API version ({api_version})",
            text(given_version)
        )));
    }
    let given_kind = fields.entry("kind").or_insert_with(|| json!(kind));
    if *given_kind != kind {
        return Err(Failure::bad_request(format!(
            "the kind in the data ({}) does not match the expected kind ({kind})",
            text(given_kind)
        )));
    }
    Ok(())
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn normalized(
    resource: &ResourceType,
    object: Value,
    validation: FieldValidation,
    warnings: &mut Vec<String>,
) -> Result<Value, Failure> {
    let message = Schema::get().message(resource.message).ok_or_else(Failure::no_such_path)?;
    let normalized = normalize(message, object).map_err(|error| {
        Failure::bad_request(format!(
            "{} in version {:?} cannot be handled as a {}: {error}",
            resource.kind, resource.version, resource.kind
        ))
    })?;
    let unknown = normalized.unknown.iter().map(|path| format!("unknown field {path:?}"));
    match validation {
        FieldValidation::Ignore => {}
        FieldValidation::Warn => warnings.extend(unknown),
        FieldValidation::Strict if normalized.unknown.is_empty() => {}
        FieldValidation::Strict => {
            let list: Vec<_> = unknown.collect();
            return Err(Failure::bad_request(format!(
                "strict decoding error: {}",
                list.join(", ")
            )));
        }
    }
    Ok(normalized.object)
}

/// The namespace of the path is the object's: filled in if missing, refused if another.
pub(crate) fn check_place(target: &Target, object: &mut Value) -> Result<(), Failure> {
    let given = meta_text(object, "namespace").to_owned();
    match target.namespace.as_deref() {
        Some(namespace) if given.is_empty() => {
            metadata_mut(object).insert("namespace".to_owned(), json!(namespace));
        }
        Some(namespace) if given != namespace => {
            return Err(Failure::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        Some(_) => {}
        None => {
            metadata_mut(object).remove("namespace");
        }
    }
    if let Some(name) = target.name.as_deref() {
        let given = meta_text(object, "name");
        if given.is_empty() {
            metadata_mut(object).insert("name".to_owned(), json!(name));
        } else if given != name {
            return Err(Failure::bad_request(format!(
                "the name of the object ({given}) does not match the name on the URL ({name})"
            )));
        }
    }
    Ok(())
}

/// Takes away from a new object what only the server or a controller may write.
pub(crate) fn strip_for_create(resource: &ResourceType, object: &mut Value) {
    let metadata = metadata_mut(object);
    for field in SERVER_WRITTEN.iter().chain(&["resourceVersion", "selfLink"]) {
        metadata.remove(*field);
    }
    let keeps_status = matches!(resource.kind, "Node");
    if resource.has(Subresource::Status)
        && !keeps_status
        && let Some(fields) = object.as_object_mut()
    {
        fields.remove("status");
    }
}

/// Joins a changed object with what the change may not touch in the old one.
pub(crate) fn carry_over(
    resource: &ResourceType,
    subresource: Option<Subresource>,
    old: &Value,
    new: &mut Value,
) {
    if subresource == Some(Subresource::Status) {
        let status = new["status"].take();
        let managed = new["metadata"]["managedFields"].take();
        *new = old.clone();
        put(new, "status", status);
        if managed.is_array() {
            metadata_mut(new).insert("managedFields".to_owned(), managed);
        }
        return;
    }
    if resource.has(Subresource::Status) {
        put(new, "status", old["status"].clone());
    }
    let metadata = metadata_mut(new);
    metadata.remove("selfLink");
    for field in SERVER_WRITTEN {
        match &old["metadata"][field] {
            Value::Null => metadata.remove(*field),
            value => metadata.insert((*field).to_owned(), value.clone()),
        };
    }
    if !metadata.contains_key("managedFields") && old["metadata"]["managedFields"].is_array() {
        metadata.insert("managedFields".to_owned(), old["metadata"]["managedFields"].clone());
    }
}

fn put(object: &mut Value, field: &str, value: Value) {
    if let Some(fields) = object.as_object_mut() {
        if value.is_null() {
            fields.remove(field);
        } else {
            fields.insert(field.to_owned(), value);
        }
    }
}

/// Counts a change of the spec.
pub(crate) fn count_generation(resource: &ResourceType, old: &Value, new: &mut Value) {
    if resource.has_generation
        && (old["spec"] != new["spec"] || is_terminating(old) != is_terminating(new))
    {
        let generation = old["metadata"]["generation"].as_i64().unwrap_or(1) + 1;
        metadata_mut(new).insert("generation".to_owned(), json!(generation));
    }
}

/// Fills in defaults and checks the rules of the kind. `object` is of the storage version.
pub(crate) fn complete(
    resource: &'static ResourceType,
    object: Value,
    old: Option<&Value>,
) -> Result<Value, Failure> {
    let resource = storage(resource);
    let name = meta_text(&object, "name").to_owned();
    let refuse = |error| Failure::prepare(resource, &name, error);
    let completed = (resource.rules.default)(object).map_err(refuse)?;
    (resource.rules.validate)(&completed, old).map_err(refuse)?;
    Ok(completed)
}
