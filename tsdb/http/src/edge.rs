//! What happens around every request of the API, whatever it asks: compression, cross-origin headers, and a
//! refusal while the server is not ready.

use std::fmt;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use regex::Regex;
use swell_model::{PatternError, anchored_regex};
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::SizeAbove;

use crate::error::ApiError;
use crate::health::refusal;
use crate::service::Api;

/// Answers below do not get smaller by more than a packet.
const COMPRESSED_BYTES_MIN: u64 = 1024;

/// Answered before the server is ready: they tell how far the start is.
const BEFORE_READY: [&str; 2] = ["/api/v1/status/walreplay", "/api/v1/notifications"];
/// Answered from blocks as soon as these are open; each answer can say that something is missing.
const READS: [&str; 5] = [
    "/api/v1/query",
    "/api/v1/query_range",
    "/api/v1/series",
    "/api/v1/labels",
    "/api/v1/status/buildinfo",
];
const LABEL_VALUES: &str = "/api/v1/label/";

/// Compresses larger answers for clients that accept it, at the level that costs least.
pub(crate) fn compression() -> CompressionLayer<SizeAbove> {
    CompressionLayer::new()
        .gzip(true)
        .deflate(true)
        .quality(CompressionLevel::Fastest)
        .compress_when(SizeAbove::new(COMPRESSED_BYTES_MIN))
}

/// Whose pages may read the API: those of any origin unless told, as in Prometheus. The API has no cookies, and what
/// changes data is not behind this.
#[derive(Clone, Debug, Default)]
pub struct Origins(Option<(String, Regex)>);

impl Origins {
    /// Those that a pattern matches whole, such as `https://([a-z]+\.)?example\.org`.
    ///
    /// # Errors
    /// [`PatternError`] when the pattern is no regular expression.
    pub fn matching(pattern: &str) -> Result<Self, PatternError> {
        let pattern = Some(pattern).filter(|pattern| *pattern != ".*");
        let compiled = |pattern: &str| Ok((pattern.to_owned(), anchored_regex(pattern)?));
        Ok(Self(pattern.map(compiled).transpose()?))
    }

    /// What allows pages of an origin to read; nothing does where they may not.
    fn allowing(&self, origin: &HeaderValue) -> Option<HeaderValue> {
        match &self.0 {
            None => Some(HeaderValue::from_static("*")),
            Some((_, pattern)) => {
                let matches = origin.to_str().is_ok_and(|origin| pattern.is_match(origin));
                matches.then(|| origin.clone())
            }
        }
    }
}

/// As `--web.cors.origin` has it.
impl fmt::Display for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_ref().map_or(".*", |(pattern, _)| pattern))
    }
}

/// Lets pages of these origins read. Answers are what their type says, whatever text of others is in them.
pub(crate) async fn cross_origin(
    State(api): State<Arc<Api>>,
    request: Request,
    next: Next,
) -> Response {
    let asked = request.headers().get(header::ORIGIN).cloned();
    let mut response = if request.method() == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        next.run(request).await
    };
    response.headers_mut().append(header::VARY, HeaderValue::from_static("Origin"));
    response
        .headers_mut()
        .insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(origin) = asked {
        tell_origin(response.headers_mut(), api.config.origins.allowing(&origin));
    }
    response
}

fn tell_origin(headers: &mut HeaderMap, allowed: Option<HeaderValue>) {
    if let Some(allowed) = allowed {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
    }
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "Accept, Authorization, Content-Type, Origin"),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, "Date"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// 503 until everything answers, and again while the server stops: a half answer would look like a whole one. Queries
/// are answered sooner, with a warning: see [`swell_engine::Db::begin`].
pub(crate) async fn when_ready(
    State(api): State<Arc<Api>>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    let reads = || READS.contains(&path) || path.starts_with(LABEL_VALUES);
    if api.readiness.is_ready()
        || BEFORE_READY.contains(&path)
        || (api.readiness.is_reading() && reads())
    {
        return next.run(request).await;
    }
    refusal(&api.readiness)
}

/// Paths of the API that lead nowhere: told in the API's own form, so that clients can show it.
pub(crate) async fn unknown_path(uri: Uri) -> ApiError {
    ApiError::not_found(format!("{:?} is no endpoint of this API", uri.path()))
}
