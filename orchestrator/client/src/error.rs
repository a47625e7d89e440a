//! What can go wrong with a request, told apart by what the caller can do.

use http::StatusCode;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;

/// Why a request to the API server failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is no such object: create it, or take it as deleted.
    #[error("{message}")]
    NotFound {
        /// The server's message.
        message: String,
    },
    /// The object changed since it was read: read it again and redo the change.
    #[error("{message}")]
    Conflict {
        /// The server's message.
        message: String,
    },
    /// An object of this name exists already.
    #[error("{message}")]
    AlreadyExists {
        /// The server's message.
        message: String,
    },
    /// The object breaks a rule of its kind; repeating the request cannot help.
    #[error("{message}")]
    Invalid {
        /// The server's message, with the paths of the fields at fault.
        message: String,
    },
    /// The revision asked for is compacted: list again.
    #[error("{message}")]
    Gone {
        /// The server's message.
        message: String,
    },
    /// The caller is unknown (401) or may not do this (403).
    #[error("{message}")]
    Denied {
        /// HTTP status code.
        code: u16,
        /// The server's message.
        message: String,
    },
    /// Any other answer that is not success.
    #[error("the API server answered {code}: {message}")]
    Api {
        /// HTTP status code.
        code: u16,
        /// The reason of the Status object, empty if it had none.
        reason: String,
        /// The server's message.
        message: String,
    },
    /// The request could not be built, as a name or selector does not fit into a URL.
    #[error("build a request for {path}")]
    Request {
        /// Path of the request.
        path: String,
        /// Why.
        #[source]
        source: http::Error,
    },
    /// The server could not be reached or the connection broke.
    #[error("request {path} from the API server")]
    Transport {
        /// Path of the request.
        path: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No answer in time.
    #[error("no answer from the API server on {path} within {seconds} s")]
    Timeout {
        /// Path of the request.
        path: String,
        /// The deadline that passed.
        seconds: u64,
    },
    /// The answer or the object is not the JSON that its kind demands.
    #[error("decode the answer of the API server on {path}")]
    Decode {
        /// Path of the request.
        path: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The object of a request cannot be written as JSON.
    #[error("encode the body of a request on {path}")]
    Encode {
        /// Path of the request.
        path: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The object given has no name, so that its path is unknown.
    #[error("the {kind} given has no metadata.name: set it")]
    Unnamed {
        /// Kind of the object.
        kind: &'static str,
    },
}

impl ClientError {
    /// Reads the body of a failed answer, which is a `Status` if the server is one of ours or Kubernetes'.
    pub(crate) fn from_answer(code: StatusCode, body: &[u8]) -> Self {
        match serde_json::from_slice::<Status>(body) {
            Ok(status) => Self::from_status(code.as_u16(), status),
            Err(_) => Self::Api {
                code: code.as_u16(),
                reason: String::new(),
                message: String::from_utf8_lossy(&body[..body.len().min(MESSAGE_BYTES_MAX)])
                    .into_owned(),
            },
        }
    }

    /// Sorts a `Status` by its reason.
    pub(crate) fn from_status(code: u16, status: Status) -> Self {
        let message = status.message.unwrap_or_default();
        let reason = status.reason.unwrap_or_default();
        match reason.as_str() {
            "NotFound" => Self::NotFound { message },
            "Conflict" => Self::Conflict { message },
            "AlreadyExists" => Self::AlreadyExists { message },
            "Invalid" => Self::Invalid { message },
            "Expired" | "Gone" => Self::Gone { message },
            "Unauthorized" | "Forbidden" => Self::Denied { code, message },
            _ => match code {
                404 => Self::NotFound { message },
                410 => Self::Gone { message },
                401 | 403 => Self::Denied { code, message },
                _ => Self::Api { code, reason, message },
            },
        }
    }

    /// Whether the same request may succeed later without any change: the server was away or overloaded.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Transport { .. } | Self::Timeout { .. } => true,
            Self::Api { code, .. } => *code == 429 || *code >= 500,
            _ => false,
        }
    }

    /// Whether the object was missing.
    #[must_use]
    pub const fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Whether the object changed since it was read.
    #[must_use]
    pub const fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict { .. })
    }
}

/// So much of a body that is no Status is shown.
const MESSAGE_BYTES_MAX: usize = 512;
