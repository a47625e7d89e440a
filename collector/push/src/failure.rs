//! Why nothing of a push is stored.

use axum::http::StatusCode;
use swell_http::IntakeError;
use swell_model::AppendError;
use swell_telemetry::chain;

use crate::unpack::UnpackError;

/// A status code with a sentence for the sender.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: StatusCode,
    pub(crate) text: String,
}

impl Failure {
    pub(crate) fn bad(text: impl Into<String>) -> Self {
        Self { code: StatusCode::BAD_REQUEST, text: text.into() }
    }

    pub(crate) fn too_large(text: impl Into<String>) -> Self {
        Self { code: StatusCode::PAYLOAD_TOO_LARGE, text: text.into() }
    }
}

impl From<IntakeError> for Failure {
    fn from(error: IntakeError) -> Self {
        Self { code: error.code(), text: error.to_string() }
    }
}

impl From<UnpackError> for Failure {
    fn from(error: UnpackError) -> Self {
        match error {
            UnpackError::Malformed(_) => Self::bad(error.to_string()),
            UnpackError::TooLarge => Self::too_large(error.to_string()),
        }
    }
}

impl From<AppendError> for Failure {
    fn from(error: AppendError) -> Self {
        let text = format!("the samples cannot be stored now: {}", chain(&error));
        Self { code: StatusCode::SERVICE_UNAVAILABLE, text }
    }
}
