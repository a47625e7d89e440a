//! The error body of Swell's own API, in the envelope of the Prometheus API that shares its port.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;

/// `{"status":"error","errorType":…,"error":…}` with a status code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ErrorBody {
    #[serde(skip)]
    code: StatusCode,
    status: &'static str,
    #[serde(rename = "errorType")]
    kind: &'static str,
    error: String,
}

impl ErrorBody {
    /// An error; `kind` is a word for programs (`bad_data`, `not_found`, …), `error` a sentence for people
    /// that names what, where and the way out.
    pub fn new(code: StatusCode, kind: &'static str, error: impl Into<String>) -> Self {
        Self { code, status: "error", kind, error: error.into() }
    }

    /// 400 `bad_data`.
    pub fn bad_data(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_data", error)
    }

    /// 404 `not_found`.
    pub fn not_found(error: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", error)
    }

    /// 401 `unauthorized`.
    pub fn unauthorized(error: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", error)
    }

    /// 500 `internal`.
    pub fn internal(error: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", error)
    }
}

impl IntoResponse for ErrorBody {
    fn into_response(self) -> Response {
        (self.code, Json(self)).into_response()
    }
}
