//! Protobuf request bodies to JSON, for every kind of the schema (kubectl from 1.32 on and helm send some
//! requests in protobuf only).
//!
//! The body is `k8s\0` and then `runtime.Unknown`: 1 = {1: apiVersion, 2: kind}, 2 = the object's bytes.
//! Go writes a field that is no pointer even when it is zero, and JSON leaves such fields out. The wire does
//! not tell pointers from values, so zero is kept only for the fields where it means something.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use prost::encoding::{WireType, decode_key, decode_varint};
use serde_json::{Map, Value, json};
use swell_api_types::schema::{Field, FieldType, Message, Schema, Shape};

/// First bytes of every body.
const MAGIC: &[u8] = b"k8s\0";

/// Numbers of which zero was set by somebody: these are pointers in Go.
const ZERO_NUMBER_COUNTS: &[&str] = &[
    "replicas",
    "minReplicas",
    "revisionHistoryLimit",
    "terminationGracePeriodSeconds",
    "gracePeriodSeconds",
    "stabilizationWindowSeconds",
    "tolerationSeconds",
    "priority",
    "runAsUser",
    "runAsGroup",
    "fsGroup",
    "leaseTransitions",
    "port",
];
/// Flags of which false was set by somebody.
const FALSE_COUNTS: &[&str] = &[
    "allocateLoadBalancerNodePorts",
    "allowPrivilegeEscalation",
    "automountServiceAccountToken",
    "blockOwnerDeletion",
    "controller",
    "enableServiceLinks",
    "hostUsers",
    "immutable",
    "optional",
    "orphanDependents",
    "privileged",
    "readOnlyRootFilesystem",
    "runAsNonRoot",
];

/// Bytes that are no object in protobuf.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProtobufError {
    #[error("the body does not begin with the bytes \"k8s\\0\"")]
    Magic,
    #[error("the body is cut off or damaged at byte {offset}")]
    Damaged { offset: usize },
    #[error("a text in the body is not UTF-8, at byte {offset}")]
    Text { offset: usize },
    #[error("kind {kind:?} of {api_version:?} is not known in protobuf")]
    UnknownKind { api_version: String, kind: String },
    #[error("messages are nested deeper than {DEPTH_MAX}")]
    Depth,
}

/// No API type nests deeper; a body that does was made to exhaust the stack.
const DEPTH_MAX: usize = 64;

/// The object of a protobuf body as JSON, with `apiVersion` and `kind`. `message_of` names the type of a kind.
pub(crate) fn decode(
    body: &[u8],
    message_of: impl Fn(&str, &str) -> Option<&'static str>,
) -> Result<Value, ProtobufError> {
    let envelope = body.strip_prefix(MAGIC).ok_or(ProtobufError::Magic)?;
    let mut reader = Reader { all: body, rest: envelope };
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    while let Some((tag, wire)) = reader.key()? {
        match (tag, wire) {
            (1, WireType::LengthDelimited) => {
                let mut inner = Reader { all: body, rest: reader.bytes()? };
                while let Some((tag, wire)) = inner.key()? {
                    match (tag, wire) {
                        (1, WireType::LengthDelimited) => api_version = inner.text()?.to_owned(),
                        (2, WireType::LengthDelimited) => kind = inner.text()?.to_owned(),
                        _ => inner.skip(wire)?,
                    }
                }
            }
            (2, WireType::LengthDelimited) => raw = reader.bytes()?,
            _ => reader.skip(wire)?,
        }
    }
    let message =
        message_of(&api_version, &kind).and_then(|name| Schema::get().message(name)).ok_or_else(
            || ProtobufError::UnknownKind { api_version: api_version.clone(), kind: kind.clone() },
        )?;
    let mut object = Map::new();
    read_message(message, Reader { all: body, rest: raw }, &mut object, 0)?;
    object.insert("apiVersion".to_owned(), Value::String(api_version));
    object.insert("kind".to_owned(), Value::String(kind));
    Ok(Value::Object(object))
}

struct Reader<'b> {
    /// The whole body, to tell offsets.
    all: &'b [u8],
    rest: &'b [u8],
}

impl<'b> Reader<'b> {
    fn damaged(&self) -> ProtobufError {
        ProtobufError::Damaged { offset: self.offset() }
    }

    fn offset(&self) -> usize {
        self.rest.as_ptr().addr().saturating_sub(self.all.as_ptr().addr())
    }

    fn key(&mut self) -> Result<Option<(u32, WireType)>, ProtobufError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        decode_key(&mut self.rest).map(Some).map_err(|_| self.damaged())
    }

    fn varint(&mut self) -> Result<u64, ProtobufError> {
        decode_varint(&mut self.rest).map_err(|_| self.damaged())
    }

    fn take(&mut self, count: usize) -> Result<&'b [u8], ProtobufError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(|| self.damaged())?;
        self.rest = rest;
        Ok(taken)
    }

    fn bytes(&mut self) -> Result<&'b [u8], ProtobufError> {
        let count = usize::try_from(self.varint()?).map_err(|_| self.damaged())?;
        self.take(count)
    }

    fn text(&mut self) -> Result<&'b str, ProtobufError> {
        let offset = self.offset();
        std::str::from_utf8(self.bytes()?).map_err(|_| ProtobufError::Text { offset })
    }

    fn skip(&mut self, wire: WireType) -> Result<(), ProtobufError> {
        match wire {
            WireType::Varint => self.varint().map(drop),
            WireType::SixtyFourBit => self.take(8).map(drop),
            WireType::ThirtyTwoBit => self.take(4).map(drop),
            WireType::LengthDelimited => self.bytes().map(drop),
            WireType::StartGroup | WireType::EndGroup => Err(self.damaged()),
        }
    }
}

fn read_message(
    message: &Message,
    mut reader: Reader<'_>,
    object: &mut Map<String, Value>,
    depth: usize,
) -> Result<(), ProtobufError> {
    if depth > DEPTH_MAX {
        return Err(ProtobufError::Depth);
    }
    while let Some((tag, wire)) = reader.key()? {
        let Some(field) = message.fields.iter().find(|field| field.tag == tag) else {
            reader.skip(wire)?;
            continue;
        };
        match (field.shape, field.ty) {
            (Shape::Single, FieldType::Message(inner)) if field.inline => {
                let inner = Schema::get().referred(inner);
                let inner_reader = Reader { all: reader.all, rest: reader.bytes()? };
                read_message(inner, inner_reader, object, depth + 1)?;
            }
            (Shape::Single, ty) => {
                let value = read_value(ty, wire, &mut reader, depth)?;
                if !is_left_out(field, &value) {
                    object.insert(field.name.to_owned(), value);
                }
            }
            (Shape::List, ty) => {
                let list = object.entry(field.name).or_insert_with(|| json!([]));
                let Value::Array(list) = list else { continue };
                if wire == WireType::LengthDelimited && is_number(ty) {
                    let mut packed = Reader { all: reader.all, rest: reader.bytes()? };
                    while !packed.rest.is_empty() {
                        list.push(read_value(ty, WireType::Varint, &mut packed, depth)?);
                    }
                } else {
                    list.push(read_value(ty, wire, &mut reader, depth)?);
                }
            }
            (Shape::Map, ty) => {
                let mut entry = Reader { all: reader.all, rest: reader.bytes()? };
                let (mut key, mut value) = (String::new(), None);
                while let Some((tag, wire)) = entry.key()? {
                    match tag {
                        1 => key = entry.text()?.to_owned(),
                        2 => value = Some(read_value(ty, wire, &mut entry, depth)?),
                        _ => entry.skip(wire)?,
                    }
                }
                let map = object.entry(field.name).or_insert_with(|| json!({}));
                if let Value::Object(map) = map {
                    map.insert(key, value.unwrap_or_else(|| json!("")));
                }
            }
        }
    }
    Ok(())
}

const fn is_number(ty: FieldType) -> bool {
    matches!(ty, FieldType::Int32 | FieldType::Int64 | FieldType::Bool)
}

/// Whether JSON would leave the field out.
fn is_left_out(field: &Field, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Bool(flag) => !flag && !FALSE_COUNTS.contains(&field.name),
        Value::Number(number) => {
            number.as_f64() == Some(0.0) && !ZERO_NUMBER_COUNTS.contains(&field.name)
        }
        Value::Array(_) | Value::Object(_) => false,
    }
}

fn read_value(
    ty: FieldType,
    wire: WireType,
    reader: &mut Reader<'_>,
    depth: usize,
) -> Result<Value, ProtobufError> {
    let expected = match ty {
        FieldType::Int32 | FieldType::Int64 | FieldType::Bool => WireType::Varint,
        FieldType::Double => WireType::SixtyFourBit,
        _ => WireType::LengthDelimited,
    };
    if wire != expected {
        return Err(reader.damaged());
    }
    match ty {
        FieldType::Bool => Ok(json!(reader.varint()? != 0)),
        FieldType::Int32 | FieldType::Int64 => Ok(json!(reader.varint()?.cast_signed())),
        FieldType::Double => {
            let bytes = reader.take(8)?.try_into().map_err(|_| reader.damaged())?;
            Ok(json!(f64::from_le_bytes(bytes)))
        }
        FieldType::String => Ok(json!(reader.text()?)),
        FieldType::Bytes => Ok(json!(BASE64.encode(reader.bytes()?))),
        FieldType::Message(name) => {
            let mut object = Map::new();
            let inner = Reader { all: reader.all, rest: reader.bytes()? };
            read_message(Schema::get().referred(name), inner, &mut object, depth + 1)?;
            Ok(Value::Object(object))
        }
        FieldType::Quantity
        | FieldType::IntOrString
        | FieldType::Time
        | FieldType::MicroTime
        | FieldType::Duration
        | FieldType::RawJson => {
            let inner = Reader { all: reader.all, rest: reader.bytes()? };
            read_special(ty, inner)
        }
    }
}

/// Types that are messages on the wire and plain values in JSON.
fn read_special(ty: FieldType, mut reader: Reader<'_>) -> Result<Value, ProtobufError> {
    let (mut first, mut second, mut text) = (0_i64, 0_i64, None::<&[u8]>);
    let offset = reader.offset();
    while let Some((tag, wire)) = reader.key()? {
        match (tag, wire) {
            (1, WireType::Varint) => first = reader.varint()?.cast_signed(),
            (2, WireType::Varint) => second = reader.varint()?.cast_signed(),
            (_, WireType::LengthDelimited) => text = Some(reader.bytes()?),
            _ => reader.skip(wire)?,
        }
    }
    let as_text = |bytes: Option<&[u8]>| {
        let text = std::str::from_utf8(bytes.unwrap_or_default());
        text.map(str::to_owned).map_err(|_| ProtobufError::Text { offset })
    };
    Ok(match ty {
        FieldType::Quantity => json!(as_text(text)?),
        FieldType::IntOrString if first == 0 => json!(second),
        FieldType::IntOrString => json!(as_text(text)?),
        FieldType::Time | FieldType::MicroTime if (first, second) == (0, 0) => Value::Null,
        FieldType::Time => json!(time(first, 0, offset)?.to_string()),
        FieldType::MicroTime => json!(format!("{:.6}", time(first, second, offset)?)),
        FieldType::Duration => {
            json!(format!("{}s", jiff::SignedDuration::from_nanos(first).as_secs_f64()))
        }
        _ => serde_json::from_slice(text.unwrap_or(b"null"))
            .map_err(|_| ProtobufError::Damaged { offset })?,
    })
}

fn time(seconds: i64, nanos: i64, offset: usize) -> Result<jiff::Timestamp, ProtobufError> {
    let nanos = i32::try_from(nanos).map_err(|_| ProtobufError::Damaged { offset })?;
    jiff::Timestamp::new(seconds, nanos).map_err(|_| ProtobufError::Damaged { offset })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;

    #[derive(Clone, PartialEq, prost::Message)]
    struct TypeMeta {
        #[prost(string, tag = "1")]
        api_version: String,
        #[prost(string, tag = "2")]
        kind: String,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct Unknown {
        #[prost(message, optional, tag = "1")]
        type_meta: Option<TypeMeta>,
        #[prost(bytes, tag = "2")]
        raw: Vec<u8>,
    }

    fn resource_message(api_version: &str, kind: &str) -> Option<&'static str> {
        swell_api_types::by_kind(api_version, kind).map(|resource| resource.message)
    }

    fn body(api_version: &str, kind: &str, raw: Vec<u8>) -> Vec<u8> {
        let type_meta =
            Some(TypeMeta { api_version: api_version.to_owned(), kind: kind.to_owned() });
        let mut body = MAGIC.to_vec();
        body.extend(Unknown { type_meta, raw }.encode_to_vec());
        body
    }

    /// What kubectl 1.36 sends for `create ns foo`, as recorded from the wire.
    #[test]
    fn the_recorded_namespace_is_read() {
        let recorded = b"k8s\0\n\x0f\n\x02v1\x12\tNamespace\x12\x1b\n\x13\n\x03foo\x12\0\x1a\0\"\0*\x002\08\0B\0\x12\0\x1a\x02\n\0\x1a\0\"\0";
        let object = decode(recorded, resource_message).expect("a namespace");
        assert_eq!(
            object,
            json!({
                "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "foo"}, "spec": {},
                "status": {}
            })
        );
    }

    #[test]
    fn maps_bytes_quantities_and_nested_lists_are_read() {
        // Secret {metadata {name: "s", labels {a: b}}, data {k: 0x00ff}, type: "Opaque"}
        let raw =
            b"\n\x0b\n\x01sZ\x06\n\x01a\x12\x01b\x12\x07\n\x01k\x12\x02\x00\xff\x1a\x06Opaque"
                .to_vec();
        let object = decode(&body("v1", "Secret", raw), resource_message).expect("a secret");
        assert_eq!(object["metadata"], json!({"name": "s", "labels": {"a": "b"}}));
        assert_eq!(object["data"], json!({"k": "AP8="}));
        assert_eq!(object["type"], "Opaque");
    }

    #[test]
    fn garbage_is_refused_by_name() {
        for bytes in [&b""[..], b"{}", b"k8s\0", b"k8s\0\xff\xff\xff", b"k8s\0\n\x7f"] {
            assert!(decode(bytes, resource_message).is_err(), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(raw in prop::collection::vec(any::<u8>(), 0..200)) {
            drop(decode(&body("apps/v1", "Deployment", raw.clone()), resource_message));
            let mut bare = MAGIC.to_vec();
            bare.extend(raw);
            drop(decode(&bare, resource_message));
        }
    }
}
