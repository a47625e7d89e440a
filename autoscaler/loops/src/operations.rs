//! What the journal of decisions offers over HTTP, for the OpenAPI document.

use swell_http::openapi::{Answer, Kind, Operation, Parameter};

const KIND: Parameter = Parameter::new("kind", Kind::Text, "Kind of the object, or its short name");
const NAMESPACE: Parameter = Parameter::new("namespace", Kind::Text, "Namespace of the object");
const NAME: Parameter = Parameter::new("name", Kind::Text, "Name of the object");

const ALL: &[Operation] = &[
    Operation::new(
        "GET",
        "/api/swell/v1/decisions",
        "autoscaling",
        "List what the autoscaler decided",
        &[
            KIND,
            NAMESPACE,
            NAME,
            Parameter::new("from", Kind::Text, "First time"),
            Parameter::new("to", Kind::Text, "Last time"),
            Parameter::new(
                "limit",
                Kind::Whole,
                "Decisions at most; 100 unless told, 1000 at most",
            ),
        ],
        Answer::Json("object"),
    ),
    Operation::new(
        "GET",
        "/api/swell/v1/explain/{kind}/{namespace}/{name}",
        "autoscaling",
        "Explain the latest decision about an object",
        &[
            KIND.required(),
            NAMESPACE.required(),
            NAME.required(),
            Parameter::new("at", Kind::Text, "The latest one up to this time"),
        ],
        Answer::Json("object"),
    ),
];

/// Operations of [`crate::router`].
#[must_use]
pub const fn operations() -> &'static [Operation] {
    ALL
}
