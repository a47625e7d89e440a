//! Request bodies: read within a bound, from JSON, YAML or protobuf.

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, header};
use serde_json::Value;
use swell_api_types::by_kind;

use crate::failure::Failure;
use crate::protobuf;
use crate::route::Review;

/// The largest body, as in Kubernetes.
pub(crate) const BODY_BYTES_MAX: usize = 3 << 20;

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// Reads a whole body.
pub(crate) async fn read(body: Body) -> Result<Bytes, Failure> {
    axum::body::to_bytes(body, BODY_BYTES_MAX).await.map_err(|error| {
        let cause = std::error::Error::source(&error);
        if cause.is_some_and(|cause| cause.is::<http_body_util::LengthLimitError>()) {
            Failure::too_large(BODY_BYTES_MAX)
        } else {
            Failure::bad_request(format!("the body could not be read: {error}"))
        }
    })
}

/// The media type of a body, without parameters; JSON when none is given.
pub(crate) fn media_type(headers: &HeaderMap) -> &str {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let given = given.unwrap_or("application/json");
    given.split(';').next().unwrap_or(given).trim()
}

/// Reads an object.
pub(crate) fn object(headers: &HeaderMap, body: &[u8]) -> Result<Value, Failure> {
    match media_type(headers) {
        "application/json" | "" => json(body),
        PROTOBUF => protobuf::decode(body, message_of)
            .map_err(|error| Failure::bad_request(error.to_string())),
        other => Err(Failure::unsupported_media_type(
            other,
            "application/json, application/vnd.kubernetes.protobuf",
        )),
    }
}

/// Reads JSON and says where it breaks.
pub(crate) fn json(body: &[u8]) -> Result<Value, Failure> {
    serde_json::from_slice(body)
        .map_err(|error| Failure::bad_request(format!("the body is not valid JSON: {error}")))
}

/// The type of everything that may come as protobuf.
fn message_of(api_version: &str, kind: &str) -> Option<&'static str> {
    if let Some(resource) = by_kind(api_version, kind) {
        return Some(resource.message);
    }
    match (api_version, kind) {
        ("autoscaling/v1", "Scale") => Some("autoscaling.v1.Scale"),
        ("policy/v1", "Eviction") => Some("policy.v1.Eviction"),
        ("v1", "Binding") => Some("core.v1.Binding"),
        (_, "DeleteOptions") => Some("meta.v1.DeleteOptions"),
        _ => Review::ALL.into_iter().find_map(|review| {
            let (group, version, own_kind, _) = review.names();
            let own = (format!("{group}/{version}"), own_kind);
            (own == (api_version.to_owned(), kind)).then_some(match review {
                Review::Access => "authorization.v1.SelfSubjectAccessReview",
                Review::Rules => "authorization.v1.SelfSubjectRulesReview",
                Review::Identity => "authentication.v1.SelfSubjectReview",
            })
        }),
    }
}
