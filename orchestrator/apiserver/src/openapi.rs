//! OpenAPI v3, as far as clients need it to send objects: the paths with the kinds they take and the
//! `fieldValidation` parameter, which tells kubectl (tried: 1.33 and 1.35) to leave validation to the server;
//! and the fields of every type, without descriptions, for `kubectl explain`.
//!
//! OpenAPI v2 is an empty document, in JSON and in the protobuf form that old clients want: kubectl looks into
//! it for kinds that v3 does not have (1.20 and 1.27: for all), finds nothing there, and skips its own
//! validation instead of giving up.

use std::collections::BTreeSet;

use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, header};
use serde_json::{Map, Value, json};
use swell_api_types::RESOURCES;
use swell_api_types::schema::{Field, FieldType, Message, Schema, Shape};

use crate::discovery::{digest, group_versions, with_etag};
use crate::failure::Failure;
use crate::negotiate::{Accepted, accepted};

const V2_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
/// The same as answers name it: `@` is not allowed there, and Go's clients refuse it.
const V2_PROTOBUF_ANSWER: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
const TITLE: &str = "Kubernetes";

/// The head of an OpenAPI v2 document in protobuf (`gnostic/openapiv2/OpenAPIv2.proto`).
#[derive(Clone, PartialEq, prost::Message)]
struct DocumentV2 {
    #[prost(string, tag = "1")]
    swagger: String,
    #[prost(message, optional, tag = "2")]
    info: Option<InfoV2>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct InfoV2 {
    #[prost(string, tag = "1")]
    title: String,
    #[prost(string, tag = "2")]
    version: String,
}

/// `/openapi/v2`, in the first form asked for that the server has.
pub(crate) fn version_2(headers: &HeaderMap) -> Result<Response, Failure> {
    for entry in accepted(headers) {
        if entry.media_type == V2_PROTOBUF {
            let info = InfoV2 { title: TITLE.to_owned(), version: version_text() };
            let document = DocumentV2 { swagger: "2.0".to_owned(), info: Some(info) };
            let bytes = prost::Message::encode_to_vec(&document);
            return Ok(([(header::CONTENT_TYPE, V2_PROTOBUF_ANSWER)], bytes).into_response());
        }
        if Accepted::is_json(&entry) {
            let document = json!({
                "swagger": "2.0", "info": {"title": TITLE, "version": version_text()}, "paths": {},
                "definitions": {},
            });
            return Ok(with_etag(headers, &document, "application/json"));
        }
    }
    Err(Failure::not_acceptable())
}

fn version_text() -> String {
    format!("swell {}", swell_telemetry::VERSION)
}

const REFERENCE: &str = "#/components/schemas/";

fn path_of(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

/// `/openapi/v3`: the documents, each with a hash of its content.
pub(crate) fn index(with_usage: bool) -> Value {
    let paths: Map<_, _> = group_versions(with_usage)
        .into_iter()
        .map(|(group, version)| {
            let path = path_of(group, version);
            let hash = digest(build(group, version).to_string().as_bytes());
            let url = format!("/openapi/v3/{path}?hash={hash}");
            (path, json!({"serverRelativeURL": url}))
        })
        .collect();
    json!({"paths": paths})
}

/// The document of one group and version.
pub(crate) fn document(group: &str, version: &str, with_usage: bool) -> Result<Value, Failure> {
    if group_versions(with_usage).contains(&(group, version)) {
        Ok(build(group, version))
    } else {
        Err(Failure::no_such_path())
    }
}

fn build(group: &str, version: &str) -> Value {
    let (mut paths, mut schemas) = (Map::new(), Map::new());
    let mut wanted = BTreeSet::new();
    let own = RESOURCES.iter().filter(|found| (found.group, found.version) == (group, version));
    for resource in own {
        let kind = json!({"group": group, "version": version, "kind": resource.kind});
        let place = if resource.namespaced { "namespaces/{namespace}/" } else { "" };
        let collection = format!("/{}/{place}{}", path_of(group, version), resource.plural);
        let parameters = json!([
            {"name": "dryRun", "in": "query", "schema": {"type": "string", "uniqueItems": true}},
            {"name": "fieldManager", "in": "query", "schema": {"type": "string", "uniqueItems": true}},
            {"name": "fieldValidation", "in": "query", "schema": {"type": "string", "uniqueItems": true}},
        ]);
        let operation = |action: &str| {
            json!({
                "parameters": parameters, "x-kubernetes-action": action,
                "x-kubernetes-group-version-kind": kind,
                "responses": {"200": {"description": "OK"}},
            })
        };
        paths.insert(
            collection.clone(),
            json!({"get": operation("list"), "post": operation("post")}),
        );
        paths.insert(
            format!("{collection}/{{name}}"),
            json!({
                "get": operation("get"), "put": operation("put"), "patch": operation("patch"),
                "delete": operation("delete"),
            }),
        );
        if let Some(message) = Schema::get().message(resource.message) {
            collect(message, &mut wanted);
            let mut schema = schema_of(message);
            schema["x-kubernetes-group-version-kind"] = json!([kind]);
            schema["properties"]["apiVersion"] = json!({"type": "string"});
            schema["properties"]["kind"] = json!({"type": "string"});
            schemas.insert(schema_name(message.name), schema);
        }
    }
    for name in wanted {
        if let Some(message) = Schema::get().message(name) {
            schemas.entry(schema_name(name)).or_insert_with(|| schema_of(message));
        }
    }
    json!({
        "openapi": "3.0.0",
        "info": {"title": TITLE, "version": version_text()},
        "paths": paths, "components": {"schemas": schemas},
    })
}

/// `io.k8s.api.core.v1.Pod`, as Kubernetes names its schemas.
fn schema_name(message: &str) -> String {
    match message.strip_prefix("meta.") {
        Some(rest) => format!("io.k8s.apimachinery.pkg.apis.meta.{rest}"),
        None => format!("io.k8s.api.{message}"),
    }
}

fn collect(message: &Message, wanted: &mut BTreeSet<&'static str>) {
    for field in &message.fields {
        if let FieldType::Message(name) = field.ty
            && wanted.insert(name)
        {
            collect(Schema::get().referred(name), wanted);
        }
    }
}

fn schema_of(message: &Message) -> Value {
    let mut properties = Map::new();
    add_properties(message, &mut properties);
    json!({"type": "object", "properties": properties})
}

fn add_properties(message: &Message, properties: &mut Map<String, Value>) {
    for field in &message.fields {
        match field.ty {
            FieldType::Message(name) if field.inline => {
                add_properties(Schema::get().referred(name), properties);
            }
            _ => drop(properties.insert(field.name.to_owned(), property(field))),
        }
    }
}

fn property(field: &Field) -> Value {
    let value = match field.ty {
        FieldType::String | FieldType::Quantity | FieldType::Duration => json!({"type": "string"}),
        FieldType::Bool => json!({"type": "boolean"}),
        FieldType::Int32 => json!({"type": "integer", "format": "int32"}),
        FieldType::Int64 => json!({"type": "integer", "format": "int64"}),
        FieldType::Double => json!({"type": "number", "format": "double"}),
        FieldType::Bytes => json!({"type": "string", "format": "byte"}),
        FieldType::Time | FieldType::MicroTime => json!({"type": "string", "format": "date-time"}),
        FieldType::IntOrString => {
            json!({"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]})
        }
        FieldType::RawJson => json!({"type": "object"}),
        FieldType::Message(name) => json!({"$ref": format!("{REFERENCE}{}", schema_name(name))}),
    };
    match field.shape {
        Shape::Single => value,
        Shape::List => {
            let mut list = json!({"type": "array", "items": value});
            if let Some(key) = field.merge_key {
                list["x-kubernetes-patch-strategy"] = json!("merge");
                if !key.is_empty() {
                    list["x-kubernetes-patch-merge-key"] = json!(key);
                }
            }
            list
        }
        Shape::Map => json!({"type": "object", "additionalProperties": value}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_leads_somewhere() {
        for (group, version) in group_versions(false) {
            let text = build(group, version);
            let schemas = &text["components"]["schemas"];
            check_references(&text, schemas);
        }
    }

    fn check_references(value: &Value, schemas: &Value) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(reference)) = fields.get("$ref") {
                    let name = reference.strip_prefix(REFERENCE).expect("a local reference");
                    assert!(schemas[name].is_object(), "{name}");
                }
                fields.values().for_each(|value| check_references(value, schemas));
            }
            Value::Array(items) => items.iter().for_each(|value| check_references(value, schemas)),
            _ => {}
        }
    }
}
