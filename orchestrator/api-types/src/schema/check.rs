//! Brings an object from outside into the shape of its type, or says where it does not fit.

use serde_json::{Map, Value};
use swell_model::Quantity;

use super::table::{Field, FieldType, Message, Schema, Shape};

/// An object in the shape of its type, and what had to be left out for that.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalized {
    /// The object, without unknown and null fields, quantities as strings.
    pub object: Value,
    /// Paths of the fields that the type does not have.
    pub unknown: Vec<String>,
}

/// A value is of another type than its field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct NormalizeError {
    /// Path of the field, such as `spec.replicas`.
    pub path: String,
    /// What it must be and what was given.
    pub problem: String,
}

/// Brings `object` into the shape of `message`: drops nulls, collects and drops unknown fields, turns
/// numbers given for quantities into text. `apiVersion` and `kind` stay.
///
/// # Errors
/// [`NormalizeError`] for the first value of a wrong type.
pub fn normalize(message: &Message, object: Value) -> Result<Normalized, NormalizeError> {
    let mut walk = Walk { schema: Schema::get(), path: String::new(), unknown: Vec::new() };
    let Value::Object(mut fields) = object else {
        return Err(NormalizeError {
            path: "(root)".to_owned(),
            problem: format!("must be an object, not {}", describe(&object)),
        });
    };
    let type_meta: Vec<_> = ["apiVersion", "kind"]
        .into_iter()
        .filter_map(|name| fields.remove(name).map(|value| (name, value)))
        .collect();
    let Value::Object(mut fields) = walk.message(message, Value::Object(fields))? else {
        unreachable!("a message is an object")
    };
    for (name, value) in type_meta {
        let Value::String(_) = value else { return Err(walk.fault_at(name, "a string", &value)) };
        fields.insert(name.to_owned(), value);
    }
    Ok(Normalized { object: Value::Object(fields), unknown: walk.unknown })
}

struct Walk {
    schema: &'static Schema,
    path: String,
    unknown: Vec<String>,
}

impl Walk {
    fn fault(&self, wanted: &str, given: &Value) -> NormalizeError {
        NormalizeError {
            path: self.path.clone(),
            problem: format!("must be {wanted}, not {}", describe(given)),
        }
    }

    fn fault_at(&self, name: &str, wanted: &str, given: &Value) -> NormalizeError {
        NormalizeError { path: name.to_owned(), ..self.fault(wanted, given) }
    }

    /// Walks below one step of the path.
    fn below<T>(&mut self, step: &str, work: impl FnOnce(&mut Self) -> T) -> T {
        let len = self.path.len();
        if len > 0 && !step.starts_with('[') {
            self.path.push('.');
        }
        self.path.push_str(step);
        let outcome = work(self);
        self.path.truncate(len);
        outcome
    }

    fn message(&mut self, message: &Message, value: Value) -> Result<Value, NormalizeError> {
        let Value::Object(fields) = value else { return Err(self.fault("an object", &value)) };
        let mut kept = Map::new();
        for (name, value) in fields {
            let Some(field) = self.schema.json_field(message, &name) else {
                self.below(&name, |walk| walk.unknown.push(walk.path.clone()));
                continue;
            };
            if !value.is_null() {
                let value = self.below(&name, |walk| walk.field(field, value))?;
                kept.insert(name, value);
            }
        }
        Ok(Value::Object(kept))
    }

    fn field(&mut self, field: &Field, value: Value) -> Result<Value, NormalizeError> {
        match (field.shape, value) {
            (Shape::Single, value) => self.value(field.ty, value),
            (Shape::List, Value::Array(items)) => items
                .into_iter()
                .enumerate()
                .map(|(idx, item)| {
                    self.below(&format!("[{idx}]"), |walk| walk.value(field.ty, item))
                })
                .collect::<Result<Vec<_>, _>>()
                .map(Value::Array),
            (Shape::Map, Value::Object(entries)) => entries
                .into_iter()
                .map(|(key, value)| {
                    let value = match (value, field.ty) {
                        (Value::Null, FieldType::String | FieldType::Bytes) => Value::from(""),
                        (value, ty) => {
                            self.below(&format!("[{key}]"), |walk| walk.value(ty, value))?
                        }
                    };
                    Ok((key, value))
                })
                .collect::<Result<Map<_, _>, _>>()
                .map(Value::Object),
            (Shape::List, value) => Err(self.fault("a list", &value)),
            (Shape::Map, value) => Err(self.fault("an object", &value)),
        }
    }

    fn value(&mut self, ty: FieldType, value: Value) -> Result<Value, NormalizeError> {
        match ty {
            FieldType::Message(name) => {
                return self.message(self.schema.referred(name), value);
            }
            FieldType::RawJson => return Ok(value),
            FieldType::Quantity => return self.quantity(value),
            _ => {}
        }
        let (fits, wanted) = match ty {
            FieldType::Bool => (value.is_boolean(), "true or false"),
            FieldType::Int32 => {
                (value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()), "an integer")
            }
            FieldType::Int64 => (value.as_i64().is_some(), "an integer"),
            FieldType::Double => (value.is_number(), "a number"),
            FieldType::IntOrString => (
                value.is_string()
                    || value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
                "an integer or a string",
            ),
            FieldType::Time | FieldType::MicroTime => (
                value.as_str().is_some_and(|text| text.parse::<jiff::Timestamp>().is_ok()),
                "a time such as 2026-01-31T12:00:00Z",
            ),
            FieldType::Bytes => (value.as_str().is_some_and(is_base64), "a text in base64"),
            _ => (value.is_string(), "a string"),
        };
        if fits { Ok(value) } else { Err(self.fault(wanted, &value)) }
    }

    fn quantity(&self, value: Value) -> Result<Value, NormalizeError> {
        let text = match &value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return Err(self.fault("a quantity such as 250m or 1Gi", &value)),
        };
        match Quantity::parse(&text) {
            Ok(_) => Ok(Value::String(text)),
            Err(_) => Err(self.fault("a quantity such as 250m or 1Gi", &value)),
        }
    }
}

fn is_base64(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    let padding = text.len() - body.len();
    text.len().is_multiple_of(4)
        && padding <= 2
        && body.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}

fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => format!("the text {text:?}"),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(message: &str, object: Value) -> Result<Normalized, NormalizeError> {
        normalize(Schema::get().message(message).expect("defined"), object)
    }

    #[test]
    fn unknown_fields_are_named_and_dropped_nulls_go_and_quantities_become_text() {
        let given = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "labels": null},
            "spec": {"replica": 3, "template": {"spec": {"containers": [
                {"name": "c", "imagee": "x", "resources": {"requests": {"cpu": 2, "memory": "1Gi"}}}
            ]}}}
        });
        let normalized = check("apps.v1.Deployment", given).expect("types fit");
        assert_eq!(normalized.unknown, ["spec.replica", "spec.template.spec.containers[0].imagee"]);
        assert_eq!(
            normalized.object,
            json!({
                "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"},
                "spec": {"template": {"spec": {"containers": [
                    {"name": "c", "resources": {"requests": {"cpu": "2", "memory": "1Gi"}}}
                ]}}}
            })
        );
    }

    #[test]
    fn wrong_types_are_named_with_their_path() {
        for (object, path) in [
            (json!({"spec": {"replicas": "three"}}), "spec.replicas"),
            (json!({"spec": {"replicas": 3_000_000_000_u64}}), "spec.replicas"),
            (json!({"spec": []}), "spec"),
            (json!({"metadata": {"labels": {"a": 1}}}), "metadata.labels[a]"),
            (json!({"metadata": {"creationTimestamp": "yesterday"}}), "metadata.creationTimestamp"),
            (json!({"kind": 5}), "kind"),
            (json!([]), "(root)"),
            (
                json!({"spec": {"template": {"spec": {"containers": [{"resources": {"limits": {"cpu": "lots"}}}]}}}}),
                "spec.template.spec.containers[0].resources.limits[cpu]",
            ),
        ] {
            assert_eq!(check("apps.v1.Deployment", object).expect_err(path).path, path);
        }
    }
}
