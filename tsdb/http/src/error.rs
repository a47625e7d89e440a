//! Errors of the API in Prometheus' envelope, types and status codes.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use swell_http::ErrorBody;
use swell_model::SelectError;
use swell_promql::EvalError;
use swell_promql_syntax::ParseError;

use crate::turns::TooMany;

/// An error as the client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    code: StatusCode,
    kind: &'static str,
    message: String,
    /// After how many seconds it is worth to ask again.
    retry_after_s: Option<u32>,
}

/// 499: the client went away before the answer (nginx's convention, which Prometheus took over).
const CLIENT_CLOSED_REQUEST: u16 = 499;

impl ApiError {
    fn new(code: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self { code, kind, message: message.into(), retry_after_s: None }
    }

    /// 400: the request makes no sense.
    pub(crate) fn bad_data(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_data", message)
    }

    /// 400: one parameter makes no sense.
    pub(crate) fn bad_param(name: &str, message: String) -> Self {
        Self::bad_data(format!("invalid parameter {name:?}: {message}"))
    }

    /// 422: the query cannot be evaluated.
    pub(crate) fn execution(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "execution", message)
    }

    /// 503: it took too long, or too many queries wait.
    pub(crate) fn timeout(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", message)
    }

    /// 503, at once: as many queries wait as may.
    fn too_many_wait(waiting_max: usize) -> Self {
        let message = format!(
            "{waiting_max} queries wait for their turn already, which is the limit: ask again later, or raise swell.query.max_concurrency"
        );
        let refusal = Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message);
        Self { retry_after_s: Some(1), ..refusal }
    }

    /// 404: there is no such thing.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// 500: switched off.
    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "unavailable", message)
    }

    /// 500: stored data cannot be read.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    }

    /// The same with another status code.
    pub(crate) fn with_code(self, code: StatusCode) -> Self {
        Self { code, ..self }
    }

    /// The status code.
    pub(crate) const fn code(&self) -> StatusCode {
        self.code
    }

    /// The sentence for people.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// The type, for programs.
    pub(crate) const fn kind(&self) -> &'static str {
        self.kind
    }
}

impl ApiError {
    /// Why a query was not evaluated. A part of the language that is switched off is to Prometheus a fault of the text.
    pub(crate) fn of_query(query: &str, error: EvalError) -> Self {
        match error {
            EvalError::FeatureDisabled { span, .. } => {
                let at = span.position(query);
                Self::bad_param("query", format!("{at}: parse error: {error}"))
            }
            error => error.into(),
        }
    }
}

impl From<ParseError> for ApiError {
    fn from(error: ParseError) -> Self {
        Self::bad_param("query", error.to_string())
    }
}

impl From<SelectError> for ApiError {
    fn from(error: SelectError) -> Self {
        match error {
            SelectError::Stopped { .. } => Self::execution(swell_telemetry::chain(&error)),
            SelectError::Storage { .. } => Self::internal(swell_telemetry::chain(&error)),
        }
    }
}

impl From<EvalError> for ApiError {
    fn from(error: EvalError) -> Self {
        match error {
            EvalError::Select(error) => error.into(),
            EvalError::Cancelled => {
                let code = StatusCode::from_u16(CLIENT_CLOSED_REQUEST).expect("a valid code");
                Self::new(code, "canceled", error.to_string())
            }
            // To Prometheus a fault of the text, as it finds these before it evaluates.
            EvalError::Duration { .. } => Self::bad_param("query", error.to_string()),
            EvalError::TooManySteps { .. } | EvalError::BadRange(_) => {
                Self::bad_data(error.to_string())
            }
            _ => Self::execution(error.to_string()),
        }
    }
}

impl From<TooMany> for ApiError {
    fn from(TooMany(waiting_max): TooMany) -> Self {
        Self::too_many_wait(waiting_max)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = ErrorBody::new(self.code, self.kind, self.message).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}
