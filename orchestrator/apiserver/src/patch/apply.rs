//! Server-side apply: a manager states the fields it wants; fields that it stated before and no longer does
//! are removed, unless another manager states them too.
//!
//! Only managers that apply own fields here; a plain update owns nothing, so that it neither conflicts with
//! an apply nor keeps a field alive.

use serde_json::{Map, Value, json};
use swell_api_types::ResourceType;
use swell_api_types::schema::{Field, FieldType, Message, Schema, Shape};

use super::fields::{FieldSet, fields_of, intersect, item_key, paths, remove, subtract};
use crate::failure::Failure;
use crate::object::metadata_mut;

/// `live` with the fields of `wanted` applied by `manager`.
pub(crate) fn apply(
    resource: &ResourceType,
    message: &Message,
    mut live: Value,
    wanted: &Value,
    manager: &str,
    force: bool,
    now: &str,
) -> Result<Value, Failure> {
    if wanted["metadata"]["managedFields"].as_array().is_some_and(|list| !list.is_empty()) {
        return Err(Failure::bad_request("metadata.managedFields must be nil"));
    }
    let fields = fields_of(message, wanted);
    let mut entries = managers(&live);
    check_conflicts(resource, message, &live, wanted, &entries, &fields, manager, force)?;
    let others: Vec<FieldSet> = entries
        .iter()
        .filter(|entry| entry.manager != manager)
        .map(|entry| entry.fields.clone())
        .collect();
    if let Some(own) = entries.iter().find(|entry| entry.manager == manager) {
        let mut gone = subtract(&own.fields, &fields);
        for other in &others {
            gone = subtract(&gone, other);
        }
        remove(Some(message), &mut live, &gone);
    }
    let mut merged = merge(Some(message), live, wanted);
    if force {
        for entry in entries.iter_mut().filter(|entry| entry.manager != manager) {
            entry.fields = subtract(&entry.fields, &fields);
        }
        entries.retain(|entry| entry.manager == manager || !entry.fields.is_empty());
    }
    let unchanged = entries
        .iter()
        .find(|entry| entry.manager == manager)
        .filter(|entry| entry.fields == fields)
        .map(|entry| entry.time.clone());
    entries.retain(|entry| entry.manager != manager);
    let time = unchanged.unwrap_or_else(|| now.to_owned());
    entries.push(Manager { manager: manager.to_owned(), fields, time });
    let list: Vec<_> = entries.into_iter().map(|entry| entry.render(resource)).collect();
    metadata_mut(&mut merged).insert("managedFields".to_owned(), Value::Array(list));
    Ok(merged)
}

struct Manager {
    manager: String,
    fields: FieldSet,
    time: String,
}

impl Manager {
    fn render(self, resource: &ResourceType) -> Value {
        json!({
            "manager": self.manager, "operation": "Apply", "apiVersion": resource.api_version(),
            "time": self.time, "fieldsType": "FieldsV1", "fieldsV1": self.fields,
        })
    }
}

fn managers(live: &Value) -> Vec<Manager> {
    let entries = live["metadata"]["managedFields"].as_array();
    entries
        .into_iter()
        .flatten()
        .filter(|entry| entry["operation"] == "Apply")
        .map(|entry| Manager {
            manager: entry["manager"].as_str().unwrap_or_default().to_owned(),
            fields: entry["fieldsV1"].as_object().cloned().unwrap_or_default(),
            time: entry["time"].as_str().unwrap_or_default().to_owned(),
        })
        .collect()
}

/// A field that another manager applied with another value needs force.
#[expect(clippy::too_many_arguments, reason = "the two sides of a conflict and how to name it")]
fn check_conflicts(
    resource: &ResourceType,
    message: &Message,
    live: &Value,
    wanted: &Value,
    entries: &[Manager],
    fields: &FieldSet,
    manager: &str,
    force: bool,
) -> Result<(), Failure> {
    if force {
        return Ok(());
    }
    let after = merge(Some(message), live.clone(), wanted);
    let mut causes = Vec::new();
    for entry in entries.iter().filter(|entry| entry.manager != manager) {
        let shared = intersect(fields, &entry.fields);
        for path in paths(&differing(Some(message), live, &after, &shared)) {
            causes.push((entry.manager.clone(), path));
        }
    }
    if causes.is_empty() {
        return Ok(());
    }
    let name = live["metadata"]["name"].as_str().unwrap_or_default();
    let texts: Vec<_> =
        causes.iter().map(|(manager, path)| format!("conflict with {manager:?}: {path}")).collect();
    let list: Vec<_> = causes
        .iter()
        .map(|(manager, path)| {
            json!({"reason": "FieldManagerConflict", "message": format!("conflict with {manager:?}"), "field": path})
        })
        .collect();
    let mut failure = Failure::conflict(resource, name, "fields are managed by others");
    let noun = if causes.len() == 1 { "conflict" } else { "conflicts" };
    failure.message = format!("Apply failed with {} {noun}: {}", causes.len(), texts.join(", "));
    failure.details = Some(json!({"causes": list}));
    Err(failure)
}

/// The fields of `set` whose values differ between two objects.
fn differing(message: Option<&Message>, left: &Value, right: &Value, set: &FieldSet) -> FieldSet {
    let mut found = FieldSet::new();
    for (step, below) in set {
        let Some(name) = step.strip_prefix("f:") else { continue };
        let (left, right) = (&left[name], &right[name]);
        if left == right {
            continue;
        }
        let below = below.as_object().cloned().unwrap_or_default();
        let field = message.and_then(|message| Schema::get().json_field(message, name));
        let inner = field.and_then(inner_of);
        let differs = match field {
            Some(field) if !below.is_empty() && field.shape == Shape::List => {
                list_differing(field, left, right, &below)
            }
            _ if !below.is_empty() => differing(inner, left, right, &below),
            _ => FieldSet::new(),
        };
        if below.is_empty() || !differs.is_empty() {
            found.insert(step.clone(), Value::Object(differs));
        }
    }
    found
}

fn list_differing(field: &Field, left: &Value, right: &Value, set: &FieldSet) -> FieldSet {
    let item = |list: &Value, step: &str| {
        let items = list.as_array().into_iter().flatten();
        items.into_iter().find(|item| item_key(field, item) == step).cloned().unwrap_or_default()
    };
    let mut found = FieldSet::new();
    for (step, below) in set {
        let (left, right) = (item(left, step), item(right, step));
        let below = below.as_object().cloned().unwrap_or_default();
        let differs = differing(inner_of(field), &left, &right, &below);
        if !differs.is_empty() {
            found.insert(step.clone(), Value::Object(differs));
        }
    }
    found
}

fn inner_of(field: &Field) -> Option<&'static Message> {
    match field.ty {
        FieldType::Message(name) => Some(Schema::get().referred(name)),
        _ => None,
    }
}

/// Merges `wanted` into `live`: structures and maps by field, keyed lists by item, sets by value, all else whole.
fn merge(message: Option<&Message>, live: Value, wanted: &Value) -> Value {
    let Value::Object(wanted) = wanted else { return wanted.clone() };
    let mut fields = match live {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    for (name, value) in wanted {
        let field = message.and_then(|message| Schema::get().json_field(message, name));
        let before = fields.remove(name).unwrap_or_default();
        let merged = match field {
            Some(field) if field.is_atomic => value.clone(),
            Some(field) => merge_field(field, before, value),
            None => value.clone(),
        };
        fields.insert(name.clone(), merged);
    }
    Value::Object(fields)
}

fn merge_field(field: &Field, before: Value, wanted: &Value) -> Value {
    let inner = inner_of(field);
    match (field.shape, before, wanted) {
        (Shape::Single, before, wanted) if inner.is_some() => merge(inner, before, wanted),
        (Shape::Map, Value::Object(mut entries), Value::Object(wanted)) => {
            entries.extend(wanted.clone());
            Value::Object(entries)
        }
        (Shape::List, Value::Array(mut items), Value::Array(wanted))
            if !field.list_keys.is_empty() =>
        {
            for item in wanted {
                let step = item_key(field, item);
                match items.iter_mut().find(|known| item_key(field, known) == step) {
                    Some(known) => *known = merge(inner, known.take(), item),
                    None => items.push(item.clone()),
                }
            }
            Value::Array(items)
        }
        (Shape::List, Value::Array(mut items), Value::Array(wanted)) if field.is_set => {
            for item in wanted {
                if !items.contains(item) {
                    items.push(item.clone());
                }
            }
            Value::Array(items)
        }
        (_, _, wanted) => wanted.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment() -> (&'static ResourceType, &'static Message) {
        let resource = swell_api_types::by_kind("apps/v1", "Deployment").expect("known");
        (resource, Schema::get().message(resource.message).expect("defined"))
    }

    fn run(live: &Value, wanted: &Value, manager: &str, force: bool) -> Result<Value, Failure> {
        let (resource, message) = deployment();
        apply(resource, message, live.clone(), wanted, manager, force, "2026-01-01T00:00:00Z")
    }

    fn wanted(replicas: i64, env: &[&str]) -> Value {
        let env: Vec<_> = env.iter().map(|name| json!({"name": name, "value": "1"})).collect();
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "labels": {"app": "web"}},
            "spec": {"replicas": replicas, "template": {"spec": {"containers": [{"name": "c", "env": env}]}}}
        })
    }

    #[test]
    fn fields_no_longer_wanted_go_and_foreign_ones_stay() {
        let mut live = run(&json!({}), &wanted(1, &["A", "B"]), "me", false).expect("applies");
        live["spec"]["template"]["spec"]["containers"][0]["image"] = json!("defaulted");
        let again = run(&live, &wanted(1, &["A"]), "me", false).expect("applies");
        let container = &again["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["env"], json!([{"name": "A", "value": "1"}]));
        assert_eq!(container["image"], "defaulted", "nobody took it back");
        assert_eq!(run(&again, &wanted(1, &["A"]), "me", false).expect("applies"), again);
    }

    #[test]
    fn another_managers_value_needs_force() {
        let live = run(&json!({"metadata": {"name": "web"}}), &wanted(1, &[]), "me", false)
            .expect("applies");
        let other = json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 5}});
        let failure = run(&live, &other, "you", false).expect_err("a conflict");
        assert_eq!(failure.reason, "Conflict");
        assert_eq!(
            failure.message,
            "Apply failed with 1 conflict: conflict with \"me\": .spec.replicas"
        );
        let same = json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 1}});
        run(&live, &same, "you", false).expect("the same value is no conflict");
        let forced = run(&live, &other, "you", true).expect("forced");
        assert_eq!(forced["spec"]["replicas"], 5);
        let mine = &forced["metadata"]["managedFields"][0];
        assert_eq!(mine["manager"], "me");
        assert!(mine["fieldsV1"]["f:spec"]["f:replicas"].is_null(), "it is yours now");
        let released =
            run(&forced, &json!({"apiVersion": "apps/v1", "kind": "Deployment"}), "you", false);
        assert!(released.expect("applies")["spec"]["replicas"].is_null());
    }
}
