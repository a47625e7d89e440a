//! `/api/v1/openapi.yaml`: one document of what all routers of the HTTP port offer.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use serde_json::{Map, Value, json};
use swell_http::ErrorBody;
use swell_http::openapi::{Answer, Body, Kind, Operation, Parameter};

const PATH: &str = "/api/v1/openapi.yaml";
const MEDIA_TYPE: &str = "application/yaml; charset=utf-8";
const FORM: &str = "application/x-www-form-urlencoded";
const OWN: Operation = Operation::new(
    "GET",
    PATH,
    "status",
    "Give this document",
    &[Parameter::new("openapi_version", Kind::OneOf(&["3.1", "3.2"]), "3.1 unless told")],
    Answer::Text("application/yaml"),
);

/// A version of the format. Since 3.2 it has words for the entries of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V31,
    V32,
}

impl Version {
    const fn full(self) -> &'static str {
        match self {
            Self::V31 => "3.1.0",
            Self::V32 => "3.2.0",
        }
    }
}

/// What all routers of the HTTP port offer.
fn operations() -> Vec<Operation> {
    let mut all = swell_tsdb_http::operations();
    all.extend_from_slice(swell_alert_runner::operations());
    all.extend_from_slice(swell_push::operations());
    all.extend_from_slice(swell_autoscaler_loops::operations());
    all.extend_from_slice(swell_dashboards_serve::operations());
    all.extend_from_slice(&super::consoles::OPERATIONS);
    all.push(OWN);
    all
}

/// The route of the document, whose paths are found below `base`: nothing, or a path without a slash at its end.
pub(super) fn router(base: &str) -> Router {
    let base: Arc<str> = if base.is_empty() { "/" } else { base }.into();
    Router::new().route("/api/v1/openapi.yaml", get(document)).with_state(base)
}

async fn document(
    State(base): State<Arc<str>>,
    Query(params): Query<BTreeMap<String, String>>,
) -> Result<Response, ErrorBody> {
    let version = match params.get("openapi_version").map_or("", String::as_str) {
        "" | "3.1" | "3.1.0" => Version::V31,
        "3.2" | "3.2.0" => Version::V32,
        other => {
            let told =
                format!("invalid parameter \"openapi_version\": {other:?} is neither 3.1 nor 3.2");
            return Err(ErrorBody::bad_data(told));
        }
    };
    let text = serde_saphyr::to_string(&written(&operations(), version, &base));
    let text = text.map_err(|error| ErrorBody::internal(error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, MEDIA_TYPE)], text).into_response())
}

/// The document of these operations, below a path.
fn written(operations: &[Operation], version: Version, base: &str) -> Value {
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for operation in operations {
        // Variable parts that take the rest of a path are written as others.
        let path = operation.path.replace("{*", "{");
        let item = paths.entry(path.clone()).or_default();
        for method in operation.methods.split(' ') {
            let method = method.to_ascii_lowercase();
            item.insert(method.clone(), method_of(operation, &path, &method, version));
        }
    }
    json!({
        "openapi": version.full(),
        "info": {
            "title": "Swell",
            "summary": "Metrics, rules and alerts, autoscaling",
            "version": swell_telemetry::VERSION,
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": base}],
        "paths": paths,
        "components": {"schemas": {
            "Error": {
                "type": "object",
                "required": ["status", "errorType", "error"],
                "properties": {
                    "status": {"type": "string", "const": "error"},
                    "errorType": {"type": "string"},
                    "error": {"type": "string"},
                },
            },
            "Remarks": {"type": "array", "items": {"type": "string"}},
        }},
    })
}

fn method_of(operation: &Operation, path: &str, method: &str, version: Version) -> Value {
    let in_path = |it: &&Parameter| path.contains(&format!("{{{}}}", it.name));
    let carries = method == "post" || method == "put";
    let mut parameters: Vec<Value> =
        operation.parameters.iter().filter(in_path).map(|it| placed(it, "path")).collect();
    let others: Vec<&Parameter> = operation.parameters.iter().filter(|it| !in_path(it)).collect();
    let mut shown = json!({
        "operationId": id_of(method, path),
        "tags": [operation.tag],
        "summary": operation.summary,
    });
    match operation.body {
        Body::Form if carries => {
            if !others.is_empty() {
                shown["requestBody"] = form(&others);
            }
        }
        body => {
            parameters.extend(others.iter().map(|it| placed(it, "query")));
            if let (Body::Of(media_types), true) = (body, carries) {
                let content = media_types.iter().map(|media| ((*media).to_owned(), json!({})));
                shown["requestBody"] =
                    json!({"required": true, "content": content.collect::<Map<_, _>>()});
            }
        }
    }
    if !parameters.is_empty() {
        shown["parameters"] = json!(parameters);
    }
    shown["responses"] = responses(operation.answer, version);
    shown
}

/// `get-api-v1-query`.
fn id_of(method: &str, path: &str) -> String {
    let words = path.split(|letter: char| !letter.is_ascii_alphanumeric());
    let words = words.filter(|word| !word.is_empty());
    std::iter::once(method).chain(words).collect::<Vec<_>>().join("-")
}

fn placed(parameter: &Parameter, place: &str) -> Value {
    let mut shown = json!({
        "name": parameter.name,
        "in": place,
        "description": parameter.about,
        "schema": schema(parameter.kind),
    });
    if parameter.is_required {
        shown["required"] = json!(true);
    }
    shown
}

fn form(parameters: &[&Parameter]) -> Value {
    let properties = parameters.iter().map(|it| {
        let mut property = schema(it.kind);
        property["description"] = json!(it.about);
        (it.name.to_owned(), property)
    });
    let properties: Map<String, Value> = properties.collect();
    let required: Vec<&str> =
        parameters.iter().filter(|it| it.is_required).map(|it| it.name).collect();
    let mut schema = json!({"type": "object", "properties": properties});
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    json!({"required": !required.is_empty(), "content": {FORM: {"schema": schema}}})
}

fn schema(kind: Kind) -> Value {
    match kind {
        Kind::Text => json!({"type": "string"}),
        Kind::Texts => json!({"type": "array", "items": {"type": "string"}}),
        Kind::Time => {
            json!({"oneOf": [{"type": "string", "format": "date-time"}, {"type": "number"}]})
        }
        Kind::Duration => json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
        Kind::Whole => json!({"type": "integer", "minimum": 0}),
        Kind::Truth => json!({"type": "boolean"}),
        Kind::OneOf(words) => json!({"type": "string", "enum": words}),
    }
}

fn responses(answer: Answer, version: Version) -> Value {
    let of = |media_type: &str, schema: Value| json!({media_type: {"schema": schema}});
    let content = match answer {
        Answer::Data(kind) => of(
            "application/json",
            json!({
                "type": "object",
                "required": ["status", "data"],
                "properties": {
                    "status": {"type": "string", "const": "success"},
                    "data": {"type": kind},
                    "warnings": {"$ref": "#/components/schemas/Remarks"},
                    "infos": {"$ref": "#/components/schemas/Remarks"},
                },
            }),
        ),
        Answer::Json(kind) => of("application/json", json!({"type": kind})),
        Answer::Text(media_type) => of(media_type, json!({"type": "string"})),
        Answer::Bytes(media_type) => json!({media_type: {}}),
        Answer::Stream(media_type) if version == Version::V31 => {
            of(media_type, json!({"type": "string"}))
        }
        Answer::Stream(media_type) => json!({media_type: {"itemSchema": {"type": "object"}}}),
        Answer::Nothing => Value::Null,
    };
    let mut good = json!({"description": "Done"});
    if !content.is_null() {
        good["content"] = content;
    }
    json!({
        "2XX": good,
        "default": {
            "description": "Refused or failed",
            "content": of("application/json", json!({"$ref": "#/components/schemas/Error"})),
        },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Where routers of the HTTP port are written.
    const ROUTERS: [&str; 10] = [
        "tsdb/http/src/lib.rs",
        "tsdb/http/src/write/mod.rs",
        "alerting/runner/src/http/prometheus.rs",
        "alerting/runner/src/http/alertmanager.rs",
        "alerting/runner/src/http/notifications.rs",
        "alerting/runner/src/http/silences.rs",
        "collector/push/src/influx.rs",
        "collector/push/src/groups/mod.rs",
        "collector/push/src/otlp/mod.rs",
        "autoscaler/loops/src/http.rs",
    ];
    const MORE_ROUTERS: [&str; 3] = [
        "dashboards/serve/src/observe.rs",
        "bin/swell/src/server/consoles.rs",
        "bin/swell/src/server/openapi.rs",
    ];
    /// Nothing is there but a refusal that says so.
    const REFUSALS: [&str; 1] = ["/api/v1/{*path}"];

    /// Paths of routes with their methods, as they stand in a source.
    fn routes(source: &str) -> Vec<(String, Vec<String>)> {
        let code = source.split("#[cfg(test)]").next().unwrap_or_default();
        let mut found = Vec::new();
        for call in code.split(".route(").skip(1) {
            let Some(rest) = call.trim_start().strip_prefix('"') else { continue };
            let Some((path, rest)) = rest.split_once('"') else { continue };
            // Up to the end of the call.
            let mut depth = 1;
            let end = rest.find(|letter: char| {
                depth += i32::from(letter == '(') - i32::from(letter == ')');
                depth == 0
            });
            let handlers = &rest[..end.unwrap_or(rest.len())];
            let methods = ["get", "post", "put", "delete"].into_iter().filter(|method| {
                let called = format!("{method}(");
                handlers.match_indices(&called).any(|(at, _)| {
                    !handlers[..at]
                        .ends_with(|letter: char| letter.is_alphanumeric() || letter == '_')
                })
            });
            found.push((path.to_owned(), methods.map(str::to_owned).collect()));
        }
        found
    }

    #[test]
    fn every_route_is_in_the_document_and_back() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut routed = BTreeSet::new();
        for file in ROUTERS.iter().chain(&MORE_ROUTERS) {
            let source = fs::read_to_string(root.join(file)).expect("a source of ours");
            let routes = routes(&source);
            assert!(!routes.is_empty(), "{file} has routes");
            for (path, methods) in routes {
                // The handlers of pushed groups stand before their route.
                let methods = match path.as_str() {
                    "/metrics/{*group}" => ["delete", "post", "put"].map(str::to_owned).to_vec(),
                    _ => methods,
                };
                if !REFUSALS.contains(&path.as_str()) {
                    routed.extend(methods.into_iter().map(|method| (path.clone(), method)));
                }
            }
        }
        let told: BTreeSet<(String, String)> = operations()
            .iter()
            .flat_map(|it| {
                it.methods.split(' ').map(|method| (it.path.to_owned(), method.to_lowercase()))
            })
            .collect();
        let untold: Vec<_> = routed.difference(&told).collect();
        assert!(untold.is_empty(), "routes without an operation: {untold:?}");
        let unrouted: Vec<_> = told.difference(&routed).collect();
        assert!(unrouted.is_empty(), "operations without a route: {unrouted:?}");
    }

    #[test]
    fn the_document_is_whole_in_both_versions() {
        for version in [Version::V31, Version::V32] {
            let document = written(&operations(), version, "/base");
            assert_eq!(document["openapi"], version.full());
            assert_eq!(document["servers"][0]["url"], "/base");
            let paths = document["paths"].as_object().expect("paths");
            let mut ids = BTreeSet::new();
            for (path, item) in paths {
                for (method, operation) in item.as_object().expect("methods") {
                    assert!(ids.insert(operation["operationId"].to_string()), "{method} {path}");
                    let named = operation["parameters"].as_array().into_iter().flatten();
                    let in_path = named.filter(|it| it["in"] == "path").inspect(|it| {
                        assert_eq!(it["required"], true, "{method} {path}: {it}");
                    });
                    assert_eq!(in_path.count(), path.matches('{').count(), "{method} {path}");
                }
            }
            let query = &paths["/api/v1/query"];
            assert_eq!(query["get"]["parameters"][0]["name"], "query");
            let form = &query["post"]["requestBody"]["content"][FORM]["schema"];
            assert_eq!(form["required"], json!(["query"]));
            let live = &paths["/api/v1/notifications/live"]["get"]["responses"]["2XX"]["content"];
            let has_items = !live["text/event-stream"]["itemSchema"].is_null();
            assert_eq!(has_items, version == Version::V32);
        }
    }
}
