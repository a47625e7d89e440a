//! What the ways in offer over HTTP, for the OpenAPI document.

use swell_http::openapi::{Answer, Kind, Operation, Parameter};

const JSON_OR_PROTOBUF: &[&str] = &["application/x-protobuf", "application/json"];
const LINES: &[&str] = &["text/plain"];
const EXPOSITION: &[&str] = &["text/plain", "application/vnd.google.protobuf"];
const DATABASE: Parameter = Parameter::new("db", Kind::Text, "Becomes the label db");
const PRECISION: Parameter =
    Parameter::new("precision", Kind::OneOf(&["ns", "us", "ms", "s", "m", "h"]), "Unit of times");
const GROUP: Parameter =
    Parameter::new("group", Kind::Text, "job/NAME, then further labels, each NAME/VALUE")
        .required();

const fn receiver(
    methods: &'static str,
    path: &'static str,
    summary: &'static str,
    parameters: &'static [Parameter],
) -> Operation {
    Operation::new(methods, path, "data", summary, parameters, Answer::Nothing)
}

const ALL: &[Operation] = &[
    receiver("POST", "/api/v1/otlp/v1/metrics", "Store OpenTelemetry's metrics", &[])
        .taking(JSON_OR_PROTOBUF),
    receiver("POST", "/write", "Store lines as InfluxDB 1 takes them", &[DATABASE, PRECISION])
        .taking(LINES),
    receiver(
        "POST",
        "/api/v2/write",
        "Store lines as InfluxDB 2 takes them",
        &[DATABASE, PRECISION],
    )
    .taking(LINES),
    receiver("GET", "/ping", "Tell whether lines are taken", &[]),
    receiver("PUT POST", "/metrics/{*group}", "Push the metrics of a group", &[GROUP])
        .taking(EXPOSITION),
    receiver("DELETE", "/metrics/{*group}", "End the metrics of a group", &[GROUP]),
];

/// Operations of the receivers.
#[must_use]
pub const fn operations() -> &'static [Operation] {
    ALL
}
