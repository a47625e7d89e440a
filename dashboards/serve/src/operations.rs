//! What the views of objects offer over HTTP, for the OpenAPI document; pages of the app are no part of an API.

use swell_http::openapi::{Answer, Kind, Operation, Parameter};

const ALL: &[Operation] = &[
    Operation::new(
        "GET",
        "/api/swell/v1/overview",
        "objects",
        "Sum up nodes and workloads",
        &[],
        Answer::Json("object"),
    ),
    Operation::new(
        "GET",
        "/api/swell/v1/workloads/{namespace}/{name}",
        "objects",
        "Show a workload with its pods and events",
        &[
            Parameter::new("namespace", Kind::Text, "Its namespace").required(),
            Parameter::new("name", Kind::Text, "Its name").required(),
        ],
        Answer::Json("object"),
    ),
];

/// Operations of [`crate::router`].
#[must_use]
pub const fn operations() -> &'static [Operation] {
    ALL
}
