//! The table, read once from the text compiled in.

use std::collections::HashMap;
use std::sync::LazyLock;

const TEXT: &str = include_str!("../../schema/types.schema");

/// All types.
#[derive(Debug)]
pub struct Schema {
    messages: HashMap<&'static str, Message>,
}

/// One type.
#[derive(Debug)]
pub struct Message {
    /// Name without `io.k8s.api`, such as `core.v1.Pod`.
    pub name: &'static str,
    /// Fields in the order of their tags.
    pub fields: Vec<Field>,
}

/// One field of a type.
#[derive(Debug)]
pub struct Field {
    /// Name in JSON.
    pub name: &'static str,
    /// Number in protobuf.
    pub tag: u32,
    /// What one value is.
    pub ty: FieldType,
    /// How many values there are.
    pub shape: Shape,
    /// Whether the fields of the value stand in the parent's JSON.
    pub inline: bool,
    /// In a strategic merge patch, items are merged with those of the same key (empty: the same value).
    pub merge_key: Option<&'static str>,
    /// A strategic merge patch lists the keys that stay.
    pub retain_keys: bool,
    /// In server-side apply, fields that identify an item.
    pub list_keys: Vec<&'static str>,
    /// In server-side apply, the list is a set of values.
    pub is_set: bool,
    /// In server-side apply, the value changes as a whole.
    pub is_atomic: bool,
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of Kubernetes' types")]
pub enum FieldType {
    String,
    Bool,
    Int32,
    Int64,
    Double,
    Bytes,
    Quantity,
    IntOrString,
    Time,
    MicroTime,
    Duration,
    RawJson,
    /// Another type of the table.
    Message(&'static str),
}

/// How many values a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One, or none.
    Single,
    /// A list.
    List,
    /// A map by string.
    Map,
}

impl Schema {
    /// The table of this build.
    #[must_use]
    pub fn get() -> &'static Self {
        static SCHEMA: LazyLock<Schema> = LazyLock::new(|| Schema::read(TEXT));
        &SCHEMA
    }

    /// A type by its name, such as `core.v1.Pod`.
    #[must_use]
    pub fn message(&self, name: &str) -> Option<&Message> {
        self.messages.get(name)
    }

    /// The type that a field of type [`FieldType::Message`] refers to.
    ///
    /// # Panics
    /// When `name` does not come from a field of this table.
    #[must_use]
    pub fn referred(&self, name: &'static str) -> &Message {
        self.messages.get(name).expect("every name in the table is defined in it")
    }

    /// The field that holds `name` in the JSON of `message`, looked for in inlined types too.
    #[must_use]
    pub fn json_field<'s>(&'s self, message: &'s Message, name: &str) -> Option<&'s Field> {
        message.fields.iter().find_map(|field| match (field.inline, field.ty) {
            (true, FieldType::Message(inner)) => self.json_field(self.referred(inner), name),
            _ => (field.name == name).then_some(field),
        })
    }

    fn read(text: &'static str) -> Self {
        let mut messages = HashMap::new();
        let mut open: Option<Message> = None;
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if line.is_empty() {
                messages.extend(open.take().map(|message| (message.name, message)));
            } else if let Some(message) = &mut open {
                message.fields.push(read_field(line).expect("the generator writes whole lines"));
            } else {
                open = Some(Message { name: line, fields: Vec::new() });
            }
        }
        messages.extend(open.map(|message| (message.name, message)));
        Self { messages }
    }
}

fn read_field(line: &'static str) -> Option<Field> {
    let mut words = line.split(' ');
    let (name, tag, ty) = (words.next()?, words.next()?.parse().ok()?, words.next()?);
    let (shape, ty) = if let Some(inner) = ty.strip_prefix('[') {
        (Shape::List, inner.strip_suffix(']')?)
    } else if let Some(inner) = ty.strip_prefix('{') {
        (Shape::Map, inner.strip_suffix('}')?)
    } else {
        (Shape::Single, ty)
    };
    let ty = match ty {
        "string" => FieldType::String,
        "bool" => FieldType::Bool,
        "int32" => FieldType::Int32,
        "int64" => FieldType::Int64,
        "double" => FieldType::Double,
        "bytes" => FieldType::Bytes,
        "quantity" => FieldType::Quantity,
        "int-or-string" => FieldType::IntOrString,
        "time" => FieldType::Time,
        "micro-time" => FieldType::MicroTime,
        "duration" => FieldType::Duration,
        "raw-json" => FieldType::RawJson,
        other => FieldType::Message(other),
    };
    let mut field = Field {
        name,
        tag,
        ty,
        shape,
        inline: false,
        merge_key: None,
        retain_keys: false,
        list_keys: Vec::new(),
        is_set: false,
        is_atomic: false,
    };
    for flag in words {
        match flag.split_once('=') {
            Some(("merge", key)) => field.merge_key = Some(key),
            Some(("keys", keys)) => field.list_keys = keys.split(',').collect(),
            None if flag == "inline" => field.inline = true,
            None if flag == "merge" => field.merge_key = Some(""),
            None if flag == "retain-keys" => field.retain_keys = true,
            None if flag == "set" => field.is_set = true,
            None if flag == "atomic" => field.is_atomic = true,
            _ => return None,
        }
    }
    Some(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_named_is_defined() {
        let schema = Schema::get();
        for message in schema.messages.values() {
            for field in &message.fields {
                if let FieldType::Message(name) = field.ty {
                    assert!(schema.message(name).is_some(), "{}.{}", message.name, field.name);
                }
            }
        }
        assert!(schema.messages.len() > 200, "{}", schema.messages.len());
    }

    #[test]
    fn fields_carry_tags_markers_and_inlined_names() {
        let schema = Schema::get();
        let container = schema.message("core.v1.Container").expect("defined");
        let ports = schema.json_field(container, "ports").expect("defined");
        assert_eq!(
            (ports.tag, ports.merge_key, ports.shape),
            (6, Some("containerPort"), Shape::List)
        );
        assert_eq!(ports.list_keys, ["containerPort", "protocol"]);
        let probe = schema.message("core.v1.Probe").expect("defined");
        assert!(schema.json_field(probe, "httpGet").is_some(), "httpGet is inlined into Probe");
        assert!(schema.json_field(probe, "handler").is_none());
    }
}
