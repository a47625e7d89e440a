//! Strategic merge patches (`k8s.io/apimachinery/pkg/util/strategicpatch`): like a merge patch, but lists
//! whose items have a key are merged item by item.
//!
//! Directives: `$patch: delete|replace|merge` in a map, `$retainKeys`, `$deleteFromPrimitiveList/FIELD` and
//! `$setElementOrder/FIELD`.

use serde_json::{Map, Value};
use swell_api_types::schema::{Field, FieldType, Message, Schema, Shape};

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
const ELEMENT_ORDER: &str = "$setElementOrder/";

/// A patch that cannot be merged.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StrategicError {
    #[error(
        "strategic merge patch: unknown value {value} of $patch at {path}: use delete, replace or merge"
    )]
    Directive { path: String, value: String },
    #[error("strategic merge patch: an item of {path} lacks its merge key {key}")]
    KeyMissing { path: String, key: String },
    #[error("strategic merge patch: {path} must be a list")]
    NotAList { path: String },
    #[error("strategic merge patch: nested deeper than {DEPTH_MAX}")]
    Depth,
}

const DEPTH_MAX: usize = 64;

/// `object` with `patch` merged into it; both are of the type `message`.
pub(crate) fn merge(
    message: &Message,
    object: Value,
    patch: &Value,
) -> Result<Value, StrategicError> {
    merge_value(Some(message), object, patch, "", 0)
}

fn merge_value(
    message: Option<&Message>,
    object: Value,
    patch: &Value,
    path: &str,
    depth: usize,
) -> Result<Value, StrategicError> {
    if depth > DEPTH_MAX {
        return Err(StrategicError::Depth);
    }
    let Value::Object(patch) = patch else { return Ok(patch.clone()) };
    let mut fields = match object {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    match patch.get(PATCH) {
        None => {}
        Some(directive) if directive == "merge" => {}
        Some(directive) if directive == "replace" => {
            return Ok(Value::Object(without_directives(patch)));
        }
        Some(directive) if directive == "delete" => return Ok(Value::Object(Map::new())),
        Some(other) => {
            return Err(StrategicError::Directive {
                path: path.to_owned(),
                value: other.to_string(),
            });
        }
    }
    if let Some(Value::Array(kept)) = patch.get(RETAIN_KEYS) {
        fields.retain(|name, _| kept.iter().any(|kept| kept == name));
    }
    for (name, change) in patch.iter().filter(|(name, _)| !name.starts_with('$')) {
        let here = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        if change.is_null() {
            fields.remove(name);
            continue;
        }
        let field = message.and_then(|message| Schema::get().json_field(message, name));
        let before = fields.remove(name);
        let merged = match (field, change) {
            (Some(field), Value::Array(items)) if field.merge_key.is_some() => {
                let order = order_of(patch, name);
                merge_list(field, before, items, order, &here, depth)?
            }
            (field, change) => {
                let inner = field.and_then(below);
                if change.is_object() {
                    let start = before.unwrap_or_default();
                    merge_value(inner, start, change, &here, depth + 1)?
                } else {
                    change.clone()
                }
            }
        };
        fields.insert(name.clone(), merged);
    }
    for (directive, values) in patch {
        if let (Some(name), Value::Array(gone)) = (directive.strip_prefix(DELETE_FROM), values)
            && let Some(Value::Array(list)) = fields.get_mut(name)
        {
            list.retain(|value| !gone.contains(value));
        }
        if let (Some(name), Value::Array(order)) = (directive.strip_prefix(ELEMENT_ORDER), values)
            && !patch.contains_key(name)
            && let Some(field) = message.and_then(|message| Schema::get().json_field(message, name))
            && let Some(Value::Array(list)) = fields.get_mut(name)
        {
            sort(list, order, field.merge_key.unwrap_or_default());
        }
    }
    Ok(Value::Object(fields))
}

/// The type of a field's values: none for scalars and for maps of scalars.
fn below(field: &Field) -> Option<&'static Message> {
    match (field.shape, field.ty) {
        (Shape::Single, FieldType::Message(name)) => Some(Schema::get().referred(name)),
        _ => None,
    }
}

fn without_directives(patch: &Map<String, Value>) -> Map<String, Value> {
    let own = patch.iter().filter(|(name, _)| !name.starts_with('$'));
    own.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn order_of<'p>(patch: &'p Map<String, Value>, name: &str) -> Option<&'p Vec<Value>> {
    patch.get(&format!("{ELEMENT_ORDER}{name}")).and_then(Value::as_array)
}

fn merge_list(
    field: &Field,
    before: Option<Value>,
    items: &[Value],
    order: Option<&Vec<Value>>,
    path: &str,
    depth: usize,
) -> Result<Value, StrategicError> {
    let key = field.merge_key.unwrap_or_default();
    let mut list = match before {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(StrategicError::NotAList { path: path.to_owned() }),
    };
    if key.is_empty() {
        for item in items {
            if !list.contains(item) {
                list.push(item.clone());
            }
        }
    } else {
        if items.iter().any(|item| item.get(PATCH).is_some_and(|directive| directive == "replace"))
        {
            list.clear();
        }
        let inner = match field.ty {
            FieldType::Message(name) => Some(Schema::get().referred(name)),
            _ => None,
        };
        for item in items {
            merge_item(inner, &mut list, item, key, path, depth)?;
        }
    }
    if let Some(order) = order {
        sort(&mut list, order, key);
    }
    Ok(Value::Array(list))
}

fn merge_item(
    inner: Option<&Message>,
    list: &mut Vec<Value>,
    item: &Value,
    key: &str,
    path: &str,
    depth: usize,
) -> Result<(), StrategicError> {
    let directive = item.get(PATCH).and_then(Value::as_str);
    let id = item.get(key);
    if id.is_none() && directive == Some("replace") {
        return Ok(());
    }
    let id = id
        .ok_or_else(|| StrategicError::KeyMissing { path: path.to_owned(), key: key.to_owned() })?;
    let at = list.iter().position(|known| known.get(key) == Some(id));
    match (directive, at) {
        (Some("delete"), Some(at)) => drop(list.remove(at)),
        (Some("delete"), None) => {}
        (_, at) => {
            let here = format!("{path}[{id}]");
            let before = at.map(|at| list[at].take()).unwrap_or_default();
            let merged = merge_value(inner, before, item, &here, depth + 1)?;
            match at {
                Some(at) => list[at] = merged,
                None => list.push(merged),
            }
        }
    }
    Ok(())
}

/// Sorts items as `order` lists their keys. Items that it does not list keep their place behind the listed
/// item that they followed.
fn sort(list: &mut Vec<Value>, order: &[Value], key: &str) {
    let rank = |item: &Value| {
        let id = if key.is_empty() { Some(item) } else { item.get(key) };
        let is_same = |listed: &Value| {
            let listed = if key.is_empty() { Some(listed) } else { listed.get(key) };
            listed == id
        };
        order.iter().position(is_same)
    };
    let (mut last, mut ranked) = (0, Vec::with_capacity(list.len()));
    for (idx, item) in list.drain(..).enumerate() {
        let own = rank(&item);
        last = own.unwrap_or(last);
        ranked.push(((last, own.is_none(), idx), item));
    }
    ranked.sort_by_key(|(place, _)| *place);
    list.extend(ranked.into_iter().map(|(_, item)| item));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(object: Value, patch: Value, expected: Value) {
        let message = Schema::get().message("apps.v1.Deployment").expect("defined");
        assert_eq!(merge(message, object, &patch), Ok(expected), "{patch}");
    }

    fn containers(list: Value) -> Value {
        json!({"spec": {"template": {"spec": {"containers": list}}}})
    }

    #[test]
    fn lists_merge_by_their_key() {
        check(
            containers(
                json!([{"name": "a", "image": "a:1", "args": ["x"]}, {"name": "b", "image": "b:1"}]),
            ),
            containers(json!([{"name": "b", "image": "b:2"}, {"name": "c", "image": "c:1"}])),
            containers(json!([
                {"name": "a", "image": "a:1", "args": ["x"]},
                {"name": "b", "image": "b:2"},
                {"name": "c", "image": "c:1"}
            ])),
        );
        check(
            containers(
                json!([{"name": "a", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]}]),
            ),
            containers(json!([{"name": "a", "env": [{"name": "X", "$patch": "delete"}]}])),
            containers(json!([{"name": "a", "env": [{"name": "Y", "value": "2"}]}])),
        );
    }

    #[test]
    fn plain_lists_and_nulls_replace() {
        check(
            containers(json!([{"name": "a", "args": ["x", "y"], "image": "i"}])),
            containers(json!([{"name": "a", "args": ["z"], "image": null}])),
            containers(json!([{"name": "a", "args": ["z"]}])),
        );
        check(
            json!({"metadata": {"labels": {"a": "1", "b": "2"}}}),
            json!({"metadata": {"labels": {"a": null, "c": "3"}}}),
            json!({"metadata": {"labels": {"b": "2", "c": "3"}}}),
        );
    }

    #[test]
    fn directives_are_obeyed() {
        check(
            json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}),
            json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}),
            json!({"spec": {"strategy": {"type": "Recreate"}}}),
        );
        check(
            json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}),
            json!({"spec": {"strategy": {"$patch": "replace", "type": "Recreate"}}}),
            json!({"spec": {"strategy": {"type": "Recreate"}}}),
        );
        check(
            json!({"metadata": {"finalizers": ["a", "b"]}}),
            json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["c"]}}),
            json!({"metadata": {"finalizers": ["b", "c"]}}),
        );
        check(
            containers(json!([{"name": "a"}, {"name": "b"}, {"name": "own"}])),
            json!({"spec": {"template": {"spec": {
                "$setElementOrder/containers": [{"name": "b"}, {"name": "a"}],
                "containers": [{"name": "a", "image": "i"}]
            }}}}),
            containers(json!([{"name": "b"}, {"name": "own"}, {"name": "a", "image": "i"}])),
        );
    }

    #[test]
    fn broken_patches_are_refused() {
        let message = Schema::get().message("apps.v1.Deployment").expect("defined");
        for patch in
            [containers(json!([{"image": "no name"}])), json!({"spec": {"$patch": "explode"}})]
        {
            let object = containers(json!([{"name": "a"}]));
            assert!(merge(message, object, &patch).is_err(), "{patch}");
        }
    }
}
