//! Sets of fields as `managedFields` writes them (`FieldsV1`): `f:NAME` for a field, `k:{...}` for a list item
//! by its keys, `v:VALUE` for an item of a set, `.` for the item or map itself.

use serde_json::{Map, Value, json};
use swell_api_types::schema::{Field, FieldType, Message, Schema, Shape};

/// A set of fields: the keys of the tree.
pub(crate) type FieldSet = Map<String, Value>;

/// The fields that `object` of type `message` sets. Type, name and namespace belong to nobody.
pub(crate) fn fields_of(message: &Message, object: &Value) -> FieldSet {
    let mut set = of_message(Some(message), object);
    for name in ["f:apiVersion", "f:kind", "f:status"] {
        set.remove(name);
    }
    if let Some(Value::Object(metadata)) = set.get_mut("f:metadata") {
        for name in ["name", "namespace", "managedFields", "resourceVersion", "uid", "generateName"]
        {
            metadata.remove(&format!("f:{name}"));
        }
        for name in ["creationTimestamp", "generation"] {
            metadata.remove(&format!("f:{name}"));
        }
        if metadata.is_empty() {
            set.remove("f:metadata");
        }
    }
    set
}

fn of_message(message: Option<&Message>, object: &Value) -> FieldSet {
    let mut set = FieldSet::new();
    let Value::Object(fields) = object else { return set };
    for (name, value) in fields {
        let field = message.and_then(|message| Schema::get().json_field(message, name));
        set.insert(format!("f:{name}"), Value::Object(of_field(field, value)));
    }
    set
}

fn of_field(field: Option<&Field>, value: &Value) -> FieldSet {
    let Some(field) = field else { return FieldSet::new() };
    if field.is_atomic {
        return FieldSet::new();
    }
    let inner = match field.ty {
        FieldType::Message(name) => Some(Schema::get().referred(name)),
        _ => None,
    };
    match (field.shape, value) {
        (Shape::Single, Value::Object(_)) if inner.is_some() => of_message(inner, value),
        (Shape::Map, Value::Object(entries)) => {
            let mut set = FieldSet::from_iter([(".".to_owned(), json!({}))]);
            set.extend(entries.keys().map(|key| (format!("f:{key}"), json!({}))));
            set
        }
        (Shape::List, Value::Array(items)) if !field.list_keys.is_empty() => items
            .iter()
            .map(|item| {
                let mut set = of_message(inner, item);
                set.insert(".".to_owned(), json!({}));
                (item_key(field, item), Value::Object(set))
            })
            .collect(),
        (Shape::List, Value::Array(items)) if field.is_set => {
            items.iter().map(|item| (format!("v:{item}"), json!({}))).collect()
        }
        _ => FieldSet::new(),
    }
}

/// The step to a list item by its keys; a protocol that is left out is TCP, as the API defaults it.
pub(crate) fn item_key(field: &Field, item: &Value) -> String {
    let mut keys = Map::new();
    for name in &field.list_keys {
        let value = match item.get(*name) {
            Some(value) => value.clone(),
            None if *name == "protocol" => json!("TCP"),
            None => continue,
        };
        keys.insert((*name).to_owned(), value);
    }
    format!("k:{}", Value::Object(keys))
}

/// The fields of `set` that are not in `other`.
pub(crate) fn subtract(set: &FieldSet, other: &FieldSet) -> FieldSet {
    let mut rest = FieldSet::new();
    for (step, below) in set {
        match (below, other.get(step)) {
            (below, None) => {
                rest.insert(step.clone(), below.clone());
            }
            (Value::Object(below), Some(Value::Object(other_below))) if !below.is_empty() => {
                let below = subtract(below, other_below);
                if !below.is_empty() {
                    rest.insert(step.clone(), Value::Object(below));
                }
            }
            _ => {}
        }
    }
    rest
}

/// The fields of both.
pub(crate) fn intersect(set: &FieldSet, other: &FieldSet) -> FieldSet {
    let mut both = FieldSet::new();
    for (step, below) in set {
        if let (Value::Object(below), Some(Value::Object(other_below))) = (below, other.get(step)) {
            let common = intersect(below, other_below);
            if !common.is_empty() || below.is_empty() || other_below.is_empty() {
                both.insert(step.clone(), Value::Object(common));
            }
        }
    }
    both
}

/// Takes the fields of `set` out of `object`. An item of a keyed list goes as a whole when the set holds the
/// item itself; a structure that loses its last field goes too.
pub(crate) fn remove(message: Option<&Message>, object: &mut Value, set: &FieldSet) {
    for (step, below) in set {
        let Some(name) = step.strip_prefix("f:") else { continue };
        let Value::Object(below) = below else { continue };
        let field = message.and_then(|message| Schema::get().json_field(message, name));
        let Some(value) = object.get_mut(name) else { continue };
        let is_gone = match field {
            Some(field) if !below.is_empty() => remove_below(field, value, below),
            _ => true,
        };
        if is_gone && let Some(fields) = object.as_object_mut() {
            fields.remove(name);
        }
    }
}

/// Takes fields out of the value of a field; whether nothing is left.
fn remove_below(field: &Field, value: &mut Value, set: &FieldSet) -> bool {
    let inner = match field.ty {
        FieldType::Message(name) => Some(Schema::get().referred(name)),
        _ => None,
    };
    match (field.shape, value) {
        (Shape::List, Value::Array(items)) => {
            items.retain_mut(|item| {
                let step = if field.is_set { format!("v:{item}") } else { item_key(field, item) };
                match set.get(&step) {
                    None => true,
                    Some(Value::Object(below)) if !below.is_empty() && !below.contains_key(".") => {
                        remove(inner, item, below);
                        true
                    }
                    Some(_) => false,
                }
            });
            items.is_empty()
        }
        (Shape::Map, Value::Object(entries)) => {
            entries.retain(|key, _| !set.contains_key(&format!("f:{key}")));
            entries.is_empty()
        }
        (_, value) => {
            remove(inner, value, set);
            value.as_object().is_some_and(Map::is_empty)
        }
    }
}

/// The fields of a set as paths, for messages: `.spec.replicas`.
pub(crate) fn paths(set: &FieldSet) -> Vec<String> {
    let mut found = Vec::new();
    collect(set, "", &mut found);
    found
}

fn collect(set: &FieldSet, path: &str, found: &mut Vec<String>) {
    for (step, below) in set.iter().filter(|(step, _)| *step != ".") {
        let here = match step.split_once(':') {
            Some(("f", name)) => format!("{path}.{name}"),
            Some((_, key)) => format!("{path}[{key}]"),
            None => continue,
        };
        match below {
            Value::Object(below) if below.keys().any(|step| step != ".") => {
                collect(below, &here, found)
            }
            _ => found.push(here),
        }
    }
}
